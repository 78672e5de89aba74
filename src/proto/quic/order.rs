//! Bytes of one CRYPTO or STREAM sequence, put in order: frames come in any order, more than once, and overlapping.
//!
//! What comes in order is handed on as it is; what is ahead of a hole is copied, bounded, and handed on when the hole
//! is filled. Of two copies of a byte the first counts: an honest sender never changes one (RFC 9000, section 2.2).

use std::collections::BTreeMap;

use crate::model::chunk::Data;

/// Charged for each held piece beside its bytes: its share of the map and of the allocator, in bytes.
const PIECE_COST_BYTES: usize = 64;

/// One sequence.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Offset of the next byte to hand on.
    next: u64,
    /// Pieces ahead of `next`, without overlap, by offset.
    held: BTreeMap<u64, Box<[u8]>>,
    /// Bytes of `held`, with the cost of each piece.
    cost: usize,
}

impl Order {
    /// Takes the bytes of a frame and gives those that are next to `sink`. Holds at most about `max_bytes`; tells
    /// whether there was room for all.
    pub(super) fn push(&mut self, offset: u64, bytes: &[u8], max_bytes: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        let (mut at, mut bytes, mut fits) = (offset, bytes, true);
        loop {
            let known = self.known_until(at).saturating_sub(at);
            let skip = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
            bytes = bytes.get(skip..).unwrap_or_default();
            at = at.saturating_add(skip as u64);
            if bytes.is_empty() {
                return fits;
            }
            if skip > 0 {
                // What is known may go on right behind what was known here.
                continue;
            }
            let room = self
                .held
                .range(at..)
                .next()
                .map_or(u64::MAX, |(start, _)| start.saturating_sub(at));
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (fresh, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
            if at == self.next {
                sink(fresh);
                self.next = self.next.saturating_add(length as u64);
                self.release(sink);
            } else {
                fits &= self.hold(at, fresh, max_bytes);
            }
            at = at.saturating_add(length as u64);
            bytes = rest;
        }
    }

    /// Offset of the next byte to hand on.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// What is held, in bytes, with the cost of each piece.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Waits for nothing any longer: gives all that is held, with the holes as gaps, and goes on at `offset` at least.
    pub(super) fn flush(&mut self, offset: u64, give: &mut dyn FnMut(Data<'_>)) {
        for (start, piece) in std::mem::take(&mut self.held) {
            self.jump(start, give);
            give(Data::Bytes(&piece));
            self.next = self.next.saturating_add(piece.len() as u64);
        }
        self.cost = 0;
        self.jump(offset, give);
    }

    fn jump(&mut self, offset: u64, give: &mut dyn FnMut(Data<'_>)) {
        let missing = offset.saturating_sub(self.next);
        if missing > 0 {
            give(Data::Gap(missing));
            self.next = offset;
        }
    }

    /// Behind the last byte that is known without a hole from `at` on; `at` when the byte there is not known.
    fn known_until(&self, at: u64) -> u64 {
        if at < self.next {
            return self.next;
        }
        let before = self.held.range(..=at).next_back();
        before.map_or(at, |(start, piece)| start.saturating_add(piece.len() as u64).max(at))
    }

    fn hold(&mut self, at: u64, bytes: &[u8], max_bytes: usize) -> bool {
        let cost = self.cost.saturating_add(bytes.len()).saturating_add(PIECE_COST_BYTES);
        let fits = cost <= max_bytes;
        if fits {
            self.cost = cost;
            self.held.insert(at, bytes.into());
        }
        fits
    }

    /// Hands on what has become next.
    fn release(&mut self, sink: &mut dyn FnMut(&[u8])) {
        while let Some(piece) = self.held.remove(&self.next) {
            sink(&piece);
            self.next = self.next.saturating_add(piece.len() as u64);
            self.cost = self.cost.saturating_sub(piece.len()).saturating_sub(PIECE_COST_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use proptest::prelude::*;

    use super::*;

    /// Every byte on its own: the first copy counts.
    fn oracle(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut known = BTreeMap::new();
        for (offset, bytes) in frames {
            for (at, byte) in (*offset..).zip(bytes) {
                known.entry(at).or_insert(*byte);
            }
        }
        (0..).map_while(|at| known.get(&at).copied()).collect()
    }

    proptest! {
        #[test]
        fn gives_what_byte_by_byte_gives(
            frames in prop::collection::vec((0_u64..60, prop::collection::vec(any::<u8>(), 0..20)), 0..20),
        ) {
            let (mut order, mut given) = (Order::default(), Vec::new());
            for (count, (offset, bytes)) in (1..).zip(&frames) {
                prop_assert!(order.push(*offset, bytes, usize::MAX, &mut |bytes| given.extend_from_slice(bytes)));
                prop_assert_eq!(&given, &oracle(&frames[..count]));
                prop_assert_eq!(order.next, given.len() as u64);
                let cost: usize = order.held.values().map(|piece| piece.len() + PIECE_COST_BYTES).sum();
                prop_assert_eq!(order.cost, cost);
            }
        }

        #[test]
        fn keeps_its_bound(
            frames in prop::collection::vec((0_u64..200, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            max_bytes in 0_usize..600,
        ) {
            let (mut order, mut given, mut fitted) = (Order::default(), Vec::new(), true);
            for (offset, bytes) in &frames {
                fitted &= order.push(*offset, bytes, max_bytes, &mut |bytes| given.extend_from_slice(bytes));
                prop_assert!(order.cost <= max_bytes);
            }
            if fitted {
                prop_assert_eq!(given, oracle(&frames));
            }
        }
    }

    #[test]
    fn the_end_of_the_range_is_no_special_place() {
        let mut order = Order::default();
        assert!(order.push(u64::MAX, &[1, 2, 3], 1_000, &mut |_| panic!("nothing is next")));
        assert!(!order.push(1 << 61, &[0; 1_000], 1_000, &mut |_| panic!("nothing is next")));
    }
}
