//! Which of two copies of the same bytes the receiver keeps.
//!
//! RFC 9293 leaves it open, and systems differ (Novak and Sturges, Target-Based TCP Stream Reassembly, 2007): an evader
//! sends both, and a monitor that chooses otherwise than the receiver reads another conversation. That only concerns
//! bytes that wait behind a hole; those that were handed on are settled everywhere.

/// Where a segment lies in its stream: the positions of its first byte and behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A receiver's choice between two copies that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The copy whose segment begins earlier, else the one that came first: FreeBSD, macOS.
    Bsd,
    /// The copy that came first: Windows.
    First,
    /// The copy that came last: Cisco IOS.
    Last,
    /// The copy whose segment begins earlier; of two that begin at the same place, the longer one, else the one that came
    /// first. The default: most servers run it.
    #[default]
    Linux,
}

impl Overlap {
    /// Whether the segment that came later wins.
    pub(super) const fn later_wins(self, later: Extent, earlier: Extent) -> bool {
        match self {
            Self::Bsd => later.start < earlier.start,
            Self::First => false,
            Self::Last => true,
            Self::Linux => later.start < earlier.start || (later.start == earlier.start && later.end > earlier.end),
        }
    }
}
