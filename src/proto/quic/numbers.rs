//! Packet numbers of one direction (RFC 9000, section 12.3): which were seen, which are missing, and which of these the
//! receiver has acknowledged, so that only the capture lost them.

/// Runs of missing numbers that are remembered. Below the last that was forgotten every packet counts as new: one that is
/// read twice says nothing twice, since streams know their bytes.
const MISSING_MAX: usize = 64;

/// What was seen of one direction.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Behind the highest.
    next: u64,
    /// Runs below `next` that are missing: first, and behind the last. In ascending order.
    missing: Vec<(u64, u64)>,
    /// Behind the last run that was forgotten.
    forgotten: u64,
}

impl Numbers {
    /// The highest number.
    pub(super) fn largest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// Takes note of a packet: whether it is seen for the first time.
    pub(super) fn see(&mut self, number: u64) -> bool {
        if number >= self.next {
            if number > self.next {
                self.missing.push((self.next, number));
            }
            self.forget();
            self.next = number.saturating_add(1);
            return true;
        }
        number < self.forgotten || self.fill(number, number)
    }

    /// Whether any of these is missing, both ends included.
    pub(super) fn lacks(&self, first: u64, last: u64) -> bool {
        let behind = last.saturating_add(1);
        self.missing.iter().any(|(start, end)| *start < behind && first < *end)
    }

    /// Waits for these no longer, both ends included: whether any was missing.
    pub(super) fn fill(&mut self, first: u64, last: u64) -> bool {
        if !self.lacks(first, last) {
            return false;
        }
        let behind = last.saturating_add(1);
        let outside = |(start, end): (u64, u64)| [(start, end.min(first)), (start.max(behind), end)];
        let left = self.missing.iter().copied().flat_map(outside);
        self.missing = left.filter(|(start, end)| start < end).collect();
        self.forget();
        true
    }

    /// Keeps the bound: the oldest runs go.
    fn forget(&mut self) {
        let over = self.missing.len().saturating_sub(MISSING_MAX);
        if let Some((_, behind)) = self.missing.drain(..over).next_back() {
            self.forgotten = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_hides_no_packet() {
        let mut numbers = Numbers::default();
        assert!(numbers.see(10_000));
        for number in (1..9_000).step_by(2) {
            assert!(numbers.see(number), "{number}");
            assert!(numbers.missing.len() <= MISSING_MAX);
        }
        assert!(numbers.see(2) && numbers.see(9_999) && !numbers.see(9_999) && !numbers.see(10_000));
    }

    proptest! {
        #[test]
        fn knows_what_a_set_knows(steps in prop::collection::vec((any::<bool>(), 0_u64..40, 0_u64..6), 0..30)) {
            let mut numbers = Numbers::default();
            let mut seen = std::collections::BTreeSet::new();
            for (sees, first, length) in steps {
                if sees {
                    prop_assert_eq!(numbers.see(first), seen.insert(first));
                    prop_assert_eq!(numbers.largest(), seen.last().copied());
                } else if let Some(largest) = numbers.largest() {
                    let range = first..=(first + length);
                    let lacks: Vec<u64> = range.clone().filter(|it| *it <= largest && !seen.contains(it)).collect();
                    prop_assert_eq!(numbers.lacks(first, first + length), !lacks.is_empty());
                    prop_assert_eq!(numbers.fill(first, first + length), !lacks.is_empty());
                    seen.extend(lacks);
                }
            }
        }
    }
}
