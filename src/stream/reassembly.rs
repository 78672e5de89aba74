//! TCP reassembly of both directions of one flow (RFC 9293, section 3.4).
//!
//! Bytes that arrive in order are lent through: no copy, no allocation, about a hundred bytes of state for a flow. Only
//! what arrives ahead of a hole is copied and held, within [`Budget`]. A hole that cannot be filled any more becomes a
//! [`Data::Gap`]; when that is so is decided by the flow's own packets (see `Side::hole_is_final`), never by a clock.
//! Where copies overlap and differ, [`Overlap`] says which one wins, as the receiver would choose, and the contradiction
//! is counted. Bytes already handed on are not kept, so a later copy of them is dropped uncompared: every system does
//! the same with what it has given to its application.
//!
//! It does not find port reuse (the flow table does), does not check checksums (decoding does), and ignores urgent data,
//! options and selective acknowledgements. A tail that was acknowledged and never seen is not told: whether its last
//! number was a FIN is unknown.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

mod held;
mod overlap;
mod side;
#[cfg(test)]
mod tests;

use crate::model::chunk::{Chunk, Data};
use crate::model::net::Direction;
use crate::model::packet::{Flags, Segment};
use crate::model::stamp::Stamp;
use held::Run;
use overlap::Extent;
pub use overlap::Overlap;
use side::Side;

/// Both directions of one TCP flow.
#[derive(Debug, Default)]
pub struct Reassembly {
    to_server: Side,
    to_client: Side,
    tally: Tally,
}

/// How much may be held out of order. One for each slice of the flow space, lent to every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Held now by all flows of the slice, in bytes, a fixed cost for each held piece included.
    pub held_bytes: usize,
    /// Bound of `held_bytes`.
    pub max_bytes: usize,
    /// Bound of what one flow may hold, both directions together, in bytes.
    pub flow_max_bytes: usize,
    /// Which of two copies wins.
    pub overlap: Overlap,
}

/// Bounds of reassembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most bytes that all flows together hold out of order. Each slice gets an equal share.
    pub max_bytes: usize,
    /// Most bytes that one flow holds out of order: a hole in front of more is told as a gap.
    pub flow_max_bytes: usize,
    /// Which of two copies of the same bytes wins where they differ.
    pub overlap: Overlap,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            flow_max_bytes: 1 << 20,
            overlap: Overlap::default(),
        }
    }
}

impl Config {
    /// The share of one of `slices` equal slices. A flow may always hold its bound when it is alone in its slice.
    pub fn budget(&self, slices: usize) -> Budget {
        let share = self.max_bytes.checked_div(slices).unwrap_or(self.max_bytes);
        Budget {
            held_bytes: 0,
            max_bytes: share.max(self.flow_max_bytes),
            flow_max_bytes: self.flow_max_bytes,
            overlap: self.overlap,
        }
    }
}

/// What reassembly lost or found odd, since the last [`Reassembly::take_tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes told as gaps.
    pub gap_bytes: u64,
    /// Held pieces that a later copy contradicted: what the receiver was given is a matter of its taste.
    pub conflicts: u32,
    /// Segments ignored because no window reaches their sequence number.
    pub implausible: u32,
}

impl Reassembly {
    /// Takes one segment that travels `dir` and hands on what became deliverable, of either direction.
    pub fn push(&mut self, dir: Direction, segment: &Segment<'_>, budget: &mut Budget, out: &mut dyn FnMut(Chunk<'_>)) {
        let (mine, other) = match dir {
            Direction::ToServer => (&mut self.to_server, &mut self.to_client),
            Direction::ToClient => (&mut self.to_client, &mut self.to_server),
        };
        let odd = segment.flags.has(Flags::SYN | Flags::FIN | Flags::RST) || segment.missing != 0;
        if odd || other.is_waiting() || !mine.continues(segment.seq) {
            return self.push_odd(dir, segment, budget, out);
        }
        if segment.flags.has(Flags::ACK) {
            other.acknowledge(segment.ack);
        }
        if !segment.payload.is_empty() {
            mine.advance(segment.payload.len());
            out(Chunk {
                at: segment.at,
                dir,
                lane: 0,
                data: Data::Bytes(segment.payload),
            });
        }
    }

    /// The flow has ended: hands on what is held, with its gaps, then [`Data::End`] for each direction that has not had
    /// it. `at` is the stamp of the flow's last packet.
    pub fn finish(&mut self, at: Stamp, budget: &mut Budget, out: &mut dyn FnMut(Chunk<'_>)) {
        for dir in [Direction::ToServer, Direction::ToClient] {
            let (mine, mut outlet) = self.outlet(dir, at, budget, out);
            mine.finish(&mut outlet);
        }
    }

    /// Gives back what is held without handing it on: the flow is bypassed.
    pub fn abandon(&mut self, budget: &mut Budget) {
        self.to_server.abandon(budget);
        self.to_client.abandon(budget);
    }

    /// Client and server were taken for each other.
    pub fn flip(&mut self) {
        std::mem::swap(&mut self.to_server, &mut self.to_client);
    }

    /// Whether both directions had their [`Data::End`].
    pub fn has_ended(&self) -> bool {
        self.to_server.has_ended() && self.to_client.has_ended()
    }

    /// Pieces that a later copy contradicted, since the last call.
    pub fn take_conflicts(&mut self) -> u32 {
        std::mem::take(&mut self.tally.conflicts)
    }

    /// The counts since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Everything but the next plain segment of a direction without holes.
    #[inline(never)]
    fn push_odd(&mut self, dir: Direction, segment: &Segment<'_>, budget: &mut Budget, out: &mut dyn FnMut(Chunk<'_>)) {
        if segment.flags.has(Flags::RST) {
            return self.reset(dir, segment, budget, out);
        }
        let (mine, other) = match dir {
            Direction::ToServer => (&mut self.to_server, &mut self.to_client),
            Direction::ToClient => (&mut self.to_client, &mut self.to_server),
        };
        let Some(pos) = mine.place(segment, other.is_exact()) else {
            self.tally.implausible = self.tally.implausible.saturating_add(1);
            return;
        };
        let missing = u64::from(segment.missing);
        let end = pos.saturating_add(segment.payload.len() as u64).saturating_add(missing);
        let run = Run {
            pos,
            origin: Extent { start: pos, end },
            at: segment.at,
            data: segment.payload,
            missing,
        };
        // Holes age by what was acknowledged before this packet, so that a tap that lags behind the other may catch up.
        mine.age(Some(&run).filter(|run| run.end() > pos || segment.flags.has(Flags::FIN)));
        other.age(None);
        if segment.flags.has(Flags::ACK) {
            other.acknowledge(segment.ack);
        }
        if segment.flags.has(Flags::FIN) {
            mine.finishes_at(run.end());
        }
        let (mine, mut outlet) = self.outlet(dir, segment.at, budget, out);
        mine.take(run, &mut outlet);
        mine.settle(&mut outlet);
        let (other, mut outlet) = self.outlet(dir.flip(), segment.at, budget, out);
        other.settle(&mut outlet);
    }

    /// A reset ends both directions, if its numbers are such that the receiver could have believed it.
    fn reset(&mut self, dir: Direction, segment: &Segment<'_>, budget: &mut Budget, out: &mut dyn FnMut(Chunk<'_>)) {
        let (mine, other) = match dir {
            Direction::ToServer => (&self.to_server, &self.to_client),
            Direction::ToClient => (&self.to_client, &self.to_server),
        };
        // The answer to a segment that no connection knows has no number of its own, but acknowledges that segment.
        let believed = if mine.has_started() {
            mine.may_reset(segment.seq)
        } else {
            other.may_reset(segment.ack)
        };
        if believed {
            self.finish(segment.at, budget, out);
        } else {
            self.tally.implausible = self.tally.implausible.saturating_add(1);
        }
    }

    /// One direction, and where its chunks go.
    fn outlet<'o>(
        &'o mut self,
        dir: Direction,
        at: Stamp,
        budget: &'o mut Budget,
        out: &'o mut dyn FnMut(Chunk<'_>),
    ) -> (&'o mut Side, Outlet<'o>) {
        let (mine, other) = match dir {
            Direction::ToServer => (&mut self.to_server, &self.to_client),
            Direction::ToClient => (&mut self.to_client, &self.to_server),
        };
        (
            mine,
            Outlet {
                dir,
                at,
                other_cost: other.cost(),
                budget,
                tally: &mut self.tally,
                out,
            },
        )
    }
}

/// Where the chunks of one direction go, and what they are counted against.
struct Outlet<'o> {
    dir: Direction,
    /// Of the packet at hand.
    at: Stamp,
    /// Held by the other direction, in bytes.
    other_cost: usize,
    budget: &'o mut Budget,
    tally: &'o mut Tally,
    out: &'o mut dyn FnMut(Chunk<'_>),
}

impl Outlet<'_> {
    fn bytes(&mut self, run: &Run<'_>) {
        if !run.data.is_empty() {
            (self.out)(Chunk {
                at: run.at,
                dir: self.dir,
                lane: 0,
                data: Data::Bytes(run.data),
            });
        }
        self.gap(run.at, run.missing);
    }

    fn gap(&mut self, at: Stamp, bytes: u64) {
        if bytes > 0 {
            self.tally.gap_bytes = self.tally.gap_bytes.saturating_add(bytes);
            (self.out)(Chunk {
                at,
                dir: self.dir,
                lane: 0,
                data: Data::Gap(bytes),
            });
        }
    }

    fn end(&mut self) {
        (self.out)(Chunk {
            at: self.at,
            dir: self.dir,
            lane: 0,
            data: Data::End,
        });
    }

    fn conflicts(&mut self, count: u32) {
        self.tally.conflicts = self.tally.conflicts.saturating_add(count);
    }

    /// Whether a direction that holds `held` bytes may hold `more`.
    fn fits(&self, held: usize, more: usize) -> bool {
        let flow = held.saturating_add(self.other_cost).saturating_add(more);
        flow <= self.budget.flow_max_bytes && self.budget.held_bytes.saturating_add(more) <= self.budget.max_bytes
    }
}
