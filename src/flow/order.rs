//! Which flow was touched least recently, in each class: intrusive doubly linked lists over slot numbers.
//!
//! The links lie apart from the flows, twelve bytes in all less than a cache line, so that relinking touches no
//! neighbour's flow. Free slots are one more list.

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

/// `LISTS` lists over one set of slots; each slot is in at most one of them.
#[derive(Debug)]
pub(super) struct Order<const LISTS: usize> {
    links: Vec<Link>,
    lists: [Ends; LISTS],
}

impl<const LISTS: usize> Order<LISTS> {
    pub(super) const fn new() -> Self {
        Self {
            links: Vec::new(),
            lists: [Ends {
                oldest: NONE,
                newest: NONE,
            }; LISTS],
        }
    }

    /// A further slot, in no list yet. `None` when there are no more numbers.
    pub(super) fn grow(&mut self) -> Option<u32> {
        let slot = u32::try_from(self.links.len()).ok().filter(|slot| *slot != NONE)?;
        self.links.push(Link {
            older: NONE,
            newer: NONE,
        });
        Some(slot)
    }

    /// The oldest slot of a list.
    pub(super) fn oldest(&self, list: usize) -> Option<u32> {
        self.lists
            .get(list)
            .map(|ends| ends.oldest)
            .filter(|slot| *slot != NONE)
    }

    /// Appends a slot, which is in no list, as the newest.
    pub(super) fn append(&mut self, list: usize, slot: u32) {
        let Some(ends) = self.lists.get_mut(list) else { return };
        let older = std::mem::replace(&mut ends.newest, slot);
        if older == NONE {
            ends.oldest = slot;
        }
        self.set(slot, |link| *link = Link { older, newer: NONE });
        self.set(older, |link| link.newer = slot);
    }

    /// Takes a slot out of the list that it is in.
    pub(super) fn remove(&mut self, list: usize, slot: u32) {
        let (Some(link), Some(ends)) = (self.links.get(slot as usize).copied(), self.lists.get_mut(list)) else {
            return;
        };
        if link.older == NONE {
            ends.oldest = link.newer;
        }
        if link.newer == NONE {
            ends.newest = link.older;
        }
        self.set(link.older, |older| older.newer = link.newer);
        self.set(link.newer, |newer| newer.older = link.older);
    }

    fn set(&mut self, slot: u32, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(slot as usize) {
            change(link);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )]

    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against plain queues: each step moves a slot to the end of a list.
        #[test]
        fn lists_keep_their_order(steps in prop::collection::vec((0u32..8, 0usize..3), 0..100)) {
            let mut order = Order::<3>::new();
            let mut queues: [VecDeque<u32>; 3] = Default::default();
            for slot in 0..8 {
                prop_assert_eq!(order.grow(), Some(slot));
            }
            for (slot, list) in steps {
                if let Some(home) = queues.iter().position(|queue| queue.contains(&slot)) {
                    order.remove(home, slot);
                    queues[home].retain(|other| *other != slot);
                }
                order.append(list, slot);
                queues[list].push_back(slot);
                for (list, queue) in queues.iter().enumerate() {
                    prop_assert_eq!(order.oldest(list), queue.front().copied());
                }
            }
            for (list, queue) in queues.iter().enumerate() {
                for slot in queue {
                    prop_assert_eq!(order.oldest(list), Some(*slot));
                    order.remove(list, *slot);
                }
                prop_assert_eq!(order.oldest(list), None);
            }
        }
    }
}
