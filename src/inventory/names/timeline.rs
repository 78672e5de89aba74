//! Which of many that each count for some time counts at a moment: asked in the logarithm of their number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::stamp::Timestamp;

/// Something that counts for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// First moment.
    pub(super) from: Timestamp,
    /// Last moment.
    pub(super) to: Timestamp,
    /// Of several the one that is younger counts, and of equals the one of the lower number.
    pub(super) given: Timestamp,
    pub(super) number: usize,
}

/// What counts from each moment on at which that changes, in order.
#[derive(Debug)]
pub(super) struct Timeline(Vec<(Timestamp, Option<usize>)>);

impl Timeline {
    pub(super) fn new(mut stretches: Vec<Stretch>) -> Self {
        stretches.sort_unstable_by_key(|stretch| stretch.from);
        let behind = |stretch: &Stretch| stretch.to.plus_nanos(1);
        let mut moments: Vec<Timestamp> = stretches
            .iter()
            .flat_map(|stretch| [stretch.from, behind(stretch)])
            .collect();
        moments.sort_unstable();
        moments.dedup();
        let mut begin = stretches.iter().peekable();
        let mut heap = BinaryHeap::new();
        let mut steps: Vec<(Timestamp, Option<usize>)> = Vec::new();
        for moment in moments {
            while let Some(stretch) = begin.next_if(|stretch| stretch.from <= moment) {
                heap.push((stretch.given, Reverse(stretch.number), behind(stretch)));
            }
            while heap.peek().is_some_and(|(_, _, end)| *end <= moment) {
                heap.pop();
            }
            let counts = heap.peek().map(|(_, Reverse(number), _)| *number);
            if steps.last().map(|(_, before)| *before) != Some(counts) {
                steps.push((moment, counts));
            }
        }
        Self(steps)
    }

    /// The number of what counts at that moment.
    pub(super) fn at(&self, moment: Timestamp) -> Option<usize> {
        let behind = self.0.partition_point(|(from, _)| *from <= moment);
        self.0.get(behind.checked_sub(1)?)?.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        /// The same as looking at each of them.
        #[test]
        fn tells_what_a_search_tells(
            parts in prop::collection::vec((0_i64..40, 0_i64..12, 0_i64..30), 0..30),
            moment in -2_i64..60,
        ) {
            let time = Timestamp::from_nanos;
            let stretches: Vec<Stretch> = parts
                .iter()
                .enumerate()
                .map(|(number, (from, len, given))| Stretch {
                    from: time(*from),
                    to: time(from + len),
                    given: time(*given),
                    number,
                })
                .collect();
            let counts = stretches.iter().filter(|stretch| stretch.from <= time(moment) && time(moment) <= stretch.to);
            let expect = counts.max_by_key(|stretch| (stretch.given, Reverse(stretch.number)));
            let timeline = Timeline::new(stretches.clone());
            prop_assert_eq!(timeline.at(time(moment)), expect.map(|stretch| stretch.number));
        }
    }
}
