//! One direction of a TCP flow: where it is, what it holds, when its holes become gaps.
//!
//! Sequence numbers (RFC 9293, section 3.4) are turned into 64-bit positions next to the current one, so that nothing
//! else has to think of wrap-around.
//!
//! **Mid-stream start.** A direction whose SYN was not seen starts at its first segment; or, when the peer has
//! acknowledged a little less before, at what the peer acknowledged, because a reordered segment may still fill that. As
//! long as nothing was handed on, an earlier segment moves the start back. A hole in front of the first byte of such a
//! direction is no gap: the capture simply begins behind it.

use super::held::{Held, Piece, Run};
use super::{Budget, Outlet};
use crate::model::packet::{Flags, Segment};

/// Farthest jump of a sequence number that is believed: the largest window (RFC 7323, section 2.3).
const PLAUSIBLE_BYTES: u64 = 1 << 30;
/// How far a reset may lie from the bytes seen. RFC 5961, section 3, has the receiver believe an exact match only; what
/// was lost or is still in flight widens that here.
const RESET_REACH_BYTES: u64 = 1 << 20;
/// How far before a direction's first segment its start may lie without a SYN.
const START_REACH_BYTES: u64 = 1 << 16;
/// Packets of the flow, behind the acknowledgement of a hole, after which the hole is final. A further segment of the
/// direction itself, beyond the hole, counts for all of them.
const GRACE_PACKETS: u8 = 3;
/// Behind a hole in a direction that nobody acknowledges, more than this makes it final.
const ONE_SIDED_HELD_BYTES: usize = 64 << 10;
/// Same, in pieces.
const ONE_SIDED_HELD_PIECES: usize = 64;
/// Position of sequence number 0 in a direction that has no reference yet: far enough from 0 to go back.
const ORIGIN: u64 = 1 << 40;

/// `next` is valid.
const STARTED: u8 = 1 << 0;
/// `next` started at the first byte sent: a SYN was seen.
const EXACT: u8 = 1 << 1;
/// Something was handed on.
const DELIVERED: u8 = 1 << 2;
/// `acked` is valid.
const ACKED: u8 = 1 << 3;
/// `fin` is valid and was not reached.
const FIN: u8 = 1 << 4;
/// The end was told.
const ENDED: u8 = 1 << 5;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Position of the next byte to hand on.
    next: u64,
    /// Position up to which the peer has acknowledged.
    acked: u64,
    /// Position of the FIN.
    fin: u64,
    held: Option<Box<Held>>,
    marks: u8,
    /// Packets since the hole was acknowledged.
    grace: u8,
}

/// The position with the low bits `seq` that is nearest to `reference`.
const fn near(reference: u64, seq: u32) -> u64 {
    let distance = seq.wrapping_sub(reference as u32).cast_signed();
    reference.saturating_add_signed(distance as i64)
}

impl Side {
    const fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Whether a plain segment at `seq` is the next one, with nothing else to think of.
    pub(super) const fn continues(&self, seq: u32) -> bool {
        self.marks & (STARTED | FIN | ENDED) == STARTED && self.next as u32 == seq && self.held.is_none()
    }

    /// Whether something lies behind a hole.
    pub(super) const fn is_waiting(&self) -> bool {
        self.held.is_some() || self.is(FIN)
    }

    pub(super) const fn has_started(&self) -> bool {
        self.is(STARTED)
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.is(ENDED)
    }

    /// Whether the start of this direction is known to be its first byte.
    pub(super) const fn is_exact(&self) -> bool {
        self.is(EXACT)
    }

    pub(super) fn cost(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.cost())
    }

    /// Goes on by bytes that were handed on without the help of this type.
    pub(super) const fn advance(&mut self, bytes: usize) {
        self.next = self.next.saturating_add(bytes as u64);
        self.marks |= DELIVERED;
    }

    /// The peer acknowledged everything before `ack`.
    pub(super) const fn acknowledge(&mut self, ack: u32) {
        let reference = if self.is(STARTED) {
            self.next
        } else if self.is(ACKED) {
            self.acked
        } else {
            ORIGIN
        };
        let pos = near(reference, ack);
        let believed = !self.is(STARTED) || pos <= self.next.saturating_add(PLAUSIBLE_BYTES);
        if believed && (!self.is(ACKED) || pos > self.acked) {
            self.acked = pos;
            self.marks |= ACKED;
        }
    }

    /// Position of the segment's first byte, starting the direction if need be; `None` when it cannot be believed.
    /// `peer_exact`: the other direction's SYN was seen, so that the first acknowledgement tells this one's start.
    pub(super) fn place(&mut self, segment: &Segment<'_>, peer_exact: bool) -> Option<u64> {
        let syn = segment.flags.has(Flags::SYN);
        let seq = if syn { segment.seq.wrapping_add(1) } else { segment.seq };
        if !self.is(STARTED) {
            let pos = near(if self.is(ACKED) { self.acked } else { ORIGIN }, seq);
            let awaited = self.is(ACKED) && pos > self.acked && pos.saturating_sub(self.acked) <= START_REACH_BYTES;
            self.next = if awaited && !syn { self.acked } else { pos };
            self.marks |= if syn || (peer_exact && self.is(ACKED)) {
                STARTED | EXACT
            } else {
                STARTED
            };
            return Some(pos);
        }
        let pos = near(self.next, seq);
        if pos < self.next && !self.is(DELIVERED | EXACT | ENDED) && self.next.saturating_sub(pos) <= START_REACH_BYTES
        {
            // One byte just before the current position is a keep-alive (RFC 9293, section 3.8.4), no earlier data.
            let keep_alive = segment.payload.len() <= 1 && !syn;
            self.next = if keep_alive { self.next } else { pos };
            self.marks |= if syn { EXACT } else { 0 };
        }
        let jump = self.next.abs_diff(pos) > PLAUSIBLE_BYTES;
        let foreign_syn = syn && pos > self.next;
        (!jump && !foreign_syn).then_some(pos)
    }

    /// A FIN at `pos`; the first one counts.
    pub(super) const fn finishes_at(&mut self, pos: u64) {
        if pos >= self.next && !self.is(FIN | ENDED) {
            self.fin = pos;
            self.marks |= FIN;
        }
    }

    /// Whether a reset with this number may be believed.
    pub(super) fn may_reset(&self, seq: u32) -> bool {
        if !self.is(STARTED) {
            return true;
        }
        let pos = near(self.next, seq);
        let held = self.held.as_ref().and_then(|held| held.end()).unwrap_or_default();
        let fin = if self.is(FIN) { self.fin } else { 0 };
        let top = self.next.max(held).max(fin).max(self.acked);
        pos >= self.next.saturating_sub(RESET_REACH_BYTES) && pos <= top.saturating_add(RESET_REACH_BYTES)
    }

    /// Hands on what is in order of `run`, holds the rest.
    pub(super) fn take(&mut self, run: Run<'_>, outlet: &mut Outlet<'_>) {
        if self.is(ENDED) {
            return;
        }
        let mut rest = run.from(self.next);
        self.contradict(&rest, outlet);
        while !rest.is_empty() {
            let first = self.held.as_ref().and_then(|held| held.first()).unwrap_or(u64::MAX);
            if rest.pos == self.next {
                let part = rest.until(first);
                outlet.bytes(&part);
                self.next = part.end();
                self.marks |= if part.is_empty() { 0 } else { DELIVERED };
                self.grace = 0;
                self.drain(outlet);
            } else if self.hold(rest, outlet) {
                return;
            } else {
                self.skip(rest.pos.min(first), outlet);
            }
            rest = rest.from(self.next);
        }
    }

    /// Compares `run` with what is held; the loser gives way.
    fn contradict(&mut self, run: &Run<'_>, outlet: &mut Outlet<'_>) {
        let Some(held) = self.held.as_deref_mut() else { return };
        let before = held.cost();
        outlet.conflicts(held.contradict(run, outlet.budget.overlap));
        // A piece that is cut in two costs a little more.
        let held_bytes = outlet.budget.held_bytes.saturating_sub(before);
        outlet.budget.held_bytes = held_bytes.saturating_add(held.cost());
        if held.len() == 0 {
            self.held = None;
        }
    }

    /// Copies what is new of `run`; `false` when the budget has no room.
    fn hold(&mut self, run: Run<'_>, outlet: &mut Outlet<'_>) -> bool {
        let mut none = Held::default();
        let held = self.held.as_deref_mut().unwrap_or(&mut none);
        let parts = held.uncovered(run);
        if parts.is_empty() {
            return true;
        }
        let more = held.cost_of(&parts);
        if !outlet.fits(held.cost(), more) {
            return false;
        }
        held.hold(&parts);
        outlet.budget.held_bytes = outlet.budget.held_bytes.saturating_add(more);
        if self.held.is_none() {
            self.held = Some(Box::new(none));
        }
        true
    }

    /// A packet of the flow goes by; `run` if it is one of this direction that holds something. Counts towards the end
    /// of a hole that the peer has acknowledged before.
    pub(super) fn age(&mut self, run: Option<&Run<'_>>) {
        let beyond = run.map(|run| run.pos).filter(|pos| *pos > self.next);
        let Some(end) = self.hole_end().into_iter().chain(beyond).min() else {
            return;
        };
        if self.is(ACKED) && self.acked >= end {
            self.grace = self
                .grace
                .saturating_add(if beyond.is_some() { GRACE_PACKETS } else { 1 });
        }
    }

    /// Turns final holes into gaps, and tells the end when it is reached.
    pub(super) fn settle(&mut self, outlet: &mut Outlet<'_>) {
        while let Some(end) = self.hole_end() {
            if self.is(FIN) && self.next >= self.fin {
                return self.end(outlet);
            }
            if !self.hole_is_final(end) {
                return;
            }
            self.skip(end, outlet);
        }
    }

    /// Hands on everything with its gaps, then the end.
    pub(super) fn finish(&mut self, outlet: &mut Outlet<'_>) {
        while let Some(end) = self.hole_end().filter(|_| !self.is(FIN) || self.next < self.fin) {
            self.skip(end, outlet);
        }
        self.end(outlet);
    }

    /// Frees what is held.
    pub(super) fn abandon(&mut self, budget: &mut Budget) {
        budget.held_bytes = budget.held_bytes.saturating_sub(self.cost());
        self.held = None;
    }

    /// Where the hole at `next` ends: at the first held piece, or at the FIN.
    fn hole_end(&self) -> Option<u64> {
        let first = self.held.as_ref().and_then(|held| held.first());
        first.into_iter().chain(self.is(FIN).then_some(self.fin)).min()
    }

    /// Whether nothing will fill the hole any more:
    ///
    /// - the peer has acknowledged the FIN, so it has everything;
    /// - the peer has acknowledged the hole, and what came since shows that the capture is past it;
    /// - nobody acknowledges (one-sided capture), and plenty has come behind the hole.
    ///
    /// A full budget is the fourth reason, see `take`.
    fn hole_is_final(&self, end: u64) -> bool {
        if !self.is(ACKED) {
            let held = self.held.as_ref();
            return held.is_some_and(|held| held.cost() > ONE_SIDED_HELD_BYTES || held.len() > ONE_SIDED_HELD_PIECES);
        }
        let all_acked = self.is(FIN) && self.acked > self.fin;
        all_acked || (self.acked >= end && self.grace >= GRACE_PACKETS)
    }

    /// Gives up the bytes before `pos`, and hands on what is held from there.
    fn skip(&mut self, pos: u64, outlet: &mut Outlet<'_>) {
        if self.is(DELIVERED | EXACT) {
            let at = self.held.as_ref().and_then(|held| held.first_at()).unwrap_or(outlet.at);
            outlet.gap(at, pos.saturating_sub(self.next));
        }
        self.next = pos;
        self.grace = 0;
        self.drain(outlet);
    }

    /// Hands on the held pieces that are in order now.
    fn drain(&mut self, outlet: &mut Outlet<'_>) {
        while self
            .held
            .as_ref()
            .and_then(|held| held.first())
            .is_some_and(|first| first <= self.next)
        {
            let Some((pos, piece)) = self.pop(outlet.budget) else {
                return;
            };
            let run = piece.run(pos).from(self.next);
            self.next = run.end();
            self.marks |= DELIVERED;
            outlet.bytes(&run);
        }
    }

    fn pop(&mut self, budget: &mut Budget) -> Option<(u64, Piece)> {
        let held = self.held.as_mut()?;
        let before = held.cost();
        let popped = held.pop();
        let after = held.cost();
        budget.held_bytes = budget.held_bytes.saturating_sub(before.saturating_sub(after));
        if held.len() == 0 {
            self.held = None;
        }
        popped
    }

    fn end(&mut self, outlet: &mut Outlet<'_>) {
        self.abandon(outlet.budget);
        if !self.is(ENDED) {
            self.marks = (self.marks & !FIN) | ENDED;
            outlet.end();
        }
    }
}
