//! What of a view a sink already has: a hash of each record as it was sent last, and which records those were.
//!
//! Bounded by the view itself. A record that found the queue full counts as never sent, so that it goes with the next
//! round: a full queue delays, and loses nothing as long as there is a next round.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, Hasher, RandomState};

use crate::model::event::{Event, Record};

/// Every record of a view, each with a hash of everything in it: made once for all sinks.
pub(super) struct States {
    events: Vec<(u64, Event)>,
    records: BTreeSet<Record>,
}

impl States {
    pub(super) fn new(events: Vec<Event>, hasher: &RandomState) -> Self {
        let records = events.iter().filter_map(Record::of).collect();
        let events = events.into_iter().map(|event| (state(&event, hasher), event)).collect();
        Self { events, records }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: HashSet<u64>,
    /// What the sink may hold of the last view.
    records: BTreeSet<Record>,
    /// What is no longer in the view although nothing was forgotten: to be taken back.
    gone: BTreeSet<Record>,
}

impl Ledger {
    /// Gives each event that changed to `send`, which tells whether it was taken. After one that was not, the others
    /// wait, too. `forgot` says that the inventory has forgotten since: then what is missing stays in the sink. Gives
    /// whether everything is sent.
    pub(super) fn settle(&mut self, states: &States, forgot: bool, mut send: impl FnMut(Event) -> bool) -> bool {
        if !forgot {
            self.gone.extend(self.records.difference(&states.records).cloned());
        }
        self.gone.retain(|record| !states.records.contains(record));
        self.records.clone_from(&states.records);
        let mut present = HashSet::with_capacity(states.events.len());
        let mut open = true;
        for (state, event) in &states.events {
            let known = self.sent.contains(state);
            if !known && open {
                open = send(event.clone());
            }
            if known || open {
                present.insert(*state);
            }
        }
        self.sent = present;
        while open && let Some(record) = self.gone.pop_first() {
            open = send(Event::Gone(record.clone()));
            if !open {
                self.gone.insert(record);
            }
        }
        open
    }
}

/// A hash of everything in a record.
fn state(event: &Event, hasher: &RandomState) -> u64 {
    struct Text<H>(H);
    impl<H: Hasher> fmt::Write for Text<H> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut text = Text(hasher.build_hasher());
    // A hasher takes everything.
    let _ = write!(text, "{event:?}");
    text.0.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::server::View;
    use crate::store::fixture;

    /// A ledger, and what it sends while there is room.
    #[derive(Default)]
    struct Run {
        ledger: Ledger,
        hasher: RandomState,
        sent: Vec<String>,
    }

    impl Run {
        fn settle(&mut self, view: &View, forgot: bool, mut room: usize) -> bool {
            self.sent.clear();
            let states = States::new(fixture::events(view), &self.hasher);
            self.ledger.settle(&states, forgot, |event| {
                let fits = room > 0;
                if fits {
                    room -= 1;
                    self.sent.push(format!("{event:?}"));
                }
                fits
            })
        }
    }

    #[test]
    fn only_what_changed_goes() {
        let mut view = fixture::view();
        let mut run = Run::default();
        let mut settle = |view: &View| {
            assert!(run.settle(view, false, usize::MAX));
            run.sent.len()
        };
        assert_eq!(settle(&view), fixture::events(&view).len());
        assert_eq!(settle(&view), 0);
        view.servers[0].messages.requests += 1;
        assert_eq!(settle(&view), 1);
        view.servers[0].messages.requests -= 1;
        assert_eq!(settle(&view), 1);
    }

    #[test]
    fn what_is_gone_is_taken_back_unless_it_was_forgotten() {
        let whole = fixture::view();
        let mut less = fixture::view();
        let id = less.servers.remove(0).id;
        let mut run = Run::default();
        run.settle(&whole, false, usize::MAX);
        assert!(!run.settle(&less, false, 0), "there was no room to say it");
        assert!(run.settle(&less, false, usize::MAX));
        assert_eq!(run.sent, [format!("{:?}", Event::Gone(Record::Server(id)))]);
        assert!(run.settle(&less, false, usize::MAX) && run.sent.is_empty());
        run.settle(&whole, false, usize::MAX);
        assert_eq!(run.sent.len(), 1, "it came back");
        run.settle(&less, true, usize::MAX);
        assert!(run.sent.is_empty(), "the sink still knows it");
    }

    #[test]
    fn what_found_no_room_goes_later() {
        let view = fixture::view();
        let mut run = Run::default();
        let (mut arrived, mut rounds, mut whole) = (Vec::new(), 0, false);
        while !whole {
            whole = run.settle(&view, false, 3);
            arrived.append(&mut run.sent);
            rounds += 1;
        }
        let all: Vec<String> = fixture::events(&view)
            .iter()
            .map(|event| format!("{event:?}"))
            .collect();
        assert_eq!(rounds, all.len().div_ceil(3));
        assert_eq!(arrived, all);
    }
}
