//! What of a view the store already has: a hash of each record as it was sent last, and which records those were.
//!
//! Bounded by the view itself. A record that found the queue full counts as never sent, so that it goes with the next
//! round: a full queue delays, and loses nothing as long as there is a next round.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, Hasher, RandomState};

use crate::model::event::Event;
use crate::store::sqlite::Record;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    hasher: RandomState,
    sent: HashSet<u64>,
    /// What the store may hold of the last view.
    records: BTreeSet<Record>,
    /// What is no longer in the view although nothing was forgotten: to be taken back.
    pub(super) gone: BTreeSet<Record>,
}

impl Ledger {
    /// Gives each event that changed to `send`, which tells whether it was taken. After one that was not, the others
    /// wait, too. `forgot` says that the inventory has forgotten since: then what is missing stays in the store. Gives
    /// whether everything is sent.
    pub(super) fn settle(&mut self, events: Vec<Event>, forgot: bool, mut send: impl FnMut(Event) -> bool) -> bool {
        let mut present = HashSet::with_capacity(events.len());
        let mut open = true;
        let records: BTreeSet<Record> = events.iter().filter_map(Record::of).collect();
        if !forgot {
            self.gone.extend(self.records.difference(&records).cloned());
        }
        self.gone.retain(|record| !records.contains(record));
        self.records = records;
        for event in events {
            let state = self.state(&event);
            let known = self.sent.contains(&state);
            if !known && open {
                open = send(event);
            }
            if known || open {
                present.insert(state);
            }
        }
        self.sent = present;
        open
    }

    /// A hash of everything in a record.
    fn state(&self, event: &Event) -> u64 {
        struct Text<H>(H);
        impl<H: Hasher> fmt::Write for Text<H> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.write(text.as_bytes());
                Ok(())
            }
        }
        let mut text = Text(self.hasher.build_hasher());
        // A hasher takes everything.
        let _ = write!(text, "{event:?}");
        text.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::fixture;

    #[test]
    fn only_what_changed_goes() {
        let mut view = fixture::view();
        let mut ledger = Ledger::default();
        let mut settle = |events: Vec<Event>, room: usize| {
            let mut taken = 0;
            let whole = ledger.settle(events, false, |_| {
                taken += usize::from(taken < room);
                taken < room
            });
            (taken, whole)
        };
        let all = fixture::events(&view).len();
        assert_eq!(settle(fixture::events(&view), usize::MAX), (all, true));
        assert_eq!(settle(fixture::events(&view), usize::MAX), (0, true));
        view.servers[0].messages.requests += 1;
        assert_eq!(settle(fixture::events(&view), usize::MAX), (1, true));
        view.servers[0].messages.requests -= 1;
        assert_eq!(settle(fixture::events(&view), usize::MAX), (1, true));
    }

    #[test]
    fn what_is_gone_is_taken_back_unless_it_was_forgotten() {
        let whole = fixture::view();
        let mut less = fixture::view();
        let id = less.servers.remove(0).id;
        let mut ledger = Ledger::default();
        ledger.settle(fixture::events(&whole), false, |_| true);
        assert!(ledger.gone.is_empty());
        ledger.settle(fixture::events(&less), false, |_| true);
        assert_eq!(ledger.gone, BTreeSet::from([Record::Server(id)]));
        ledger.settle(fixture::events(&whole), false, |_| true);
        assert!(ledger.gone.is_empty(), "it came back");
        ledger.settle(fixture::events(&less), true, |_| true);
        assert!(ledger.gone.is_empty(), "the store still knows it");
    }

    #[test]
    fn what_found_no_room_goes_later() {
        let events = || fixture::events(&fixture::view());
        let mut ledger = Ledger::default();
        let mut arrived = Vec::new();
        let mut rounds = 0;
        loop {
            let mut room = 3;
            let whole = ledger.settle(events(), false, |event| {
                let fits = room > 0;
                if fits {
                    room -= 1;
                    arrived.push(format!("{event:?}"));
                }
                fits
            });
            rounds += 1;
            if whole {
                break;
            }
        }
        assert_eq!(rounds, events().len().div_ceil(3));
        assert_eq!(
            arrived,
            events().iter().map(|event| format!("{event:?}")).collect::<Vec<_>>()
        );
    }
}
