//! What is known of a flow: identity, roles and volume.

use crate::model::net::{Direction, FiveTuple};
use crate::model::server::Encryption;
use crate::model::stamp::{Span, Stamp};

/// One flow: all packets of one five-tuple between its start and its end.
#[derive(Clone, Copy, Debug)]
pub struct FlowInfo {
    /// Unique within a run and the same in every run: a hash of the five-tuple and of the first stamp.
    pub id: u64,
    /// The two ends by role. Roles are settled before the first parsed byte and never change later.
    pub tuple: FiveTuple,
    /// First and last packet.
    pub seen: Span,
    /// Packets per direction, indexed by [`Direction::index`].
    pub packets: [u64; 2],
    /// Layer 4 payload bytes per direction, as on the wire.
    pub bytes: [u64; 2],
    /// Whether the capture holds the start of the flow (the SYN), so that the first byte seen is the first byte sent.
    pub from_start: bool,
    /// What key material opened, so that what is inside could be read; set before the first message from inside.
    pub encryption: Encryption,
}

impl FlowInfo {
    /// Whether packets of only one direction were captured.
    pub const fn one_sided(&self) -> bool {
        self.packets[0] == 0 || self.packets[1] == 0
    }

    /// Adds one packet of `bytes` payload bytes.
    pub fn count(&mut self, at: Stamp, dir: Direction, bytes: u64) {
        self.seen.join(Span::at(at));
        let (packets, total) = match dir {
            Direction::ToServer => (&mut self.packets[0], &mut self.bytes[0]),
            Direction::ToClient => (&mut self.packets[1], &mut self.bytes[1]),
        };
        *packets = packets.wrapping_add(1);
        *total = total.saturating_add(bytes);
    }
}

/// Why a flow is no longer looked into. Each value is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Lost step too often to find back.
    Desync,
    /// The policy or the configuration leaves it out.
    Excluded,
    /// A memory bound was reached.
    Memory,
    /// Encrypted, and the key material says nothing of it.
    NoSecrets,
    /// Encrypted, and all that can be read was read.
    Opaque,
    /// A bug in a parser, held by the fence around one conversation.
    Panicked,
    /// No protocol knows it.
    Unknown,
    /// Encrypted, and its secrets in the key material do not fit.
    WrongSecrets,
}

impl Why {
    /// All values, in the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::Desync,
        Self::Excluded,
        Self::Memory,
        Self::NoSecrets,
        Self::Opaque,
        Self::Panicked,
        Self::Unknown,
        Self::WrongSecrets,
    ];

    /// Whether it is encryption that hides the flow.
    pub const fn is_encryption(self) -> bool {
        matches!(self, Self::NoSecrets | Self::Opaque | Self::WrongSecrets)
    }

    /// For metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Desync => "desync",
            Self::Excluded => "excluded",
            Self::Memory => "memory",
            Self::NoSecrets => "no_secrets",
            Self::Opaque => "opaque",
            Self::Panicked => "panicked",
            Self::Unknown => "unknown",
            Self::WrongSecrets => "wrong_secrets",
        }
    }

    /// Index of the counter.
    pub const fn index(self) -> usize {
        self as usize
    }
}
