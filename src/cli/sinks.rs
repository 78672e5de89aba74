//! The sinks of a process, and what operators are told of them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::setup;
use crate::log;
use crate::model::event::Event;
use crate::model::message_seen::MessageRow;
use crate::model::server::View;
use crate::report::display::terminal;
use crate::sink::hub::Hub;
use crate::sink::runner::Tally;

/// Pause before a full queue is tried again when stopping.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Sinks {
    hub: Hub,
    /// Whether every sink was sent everything in the last round.
    whole: bool,
    /// The inventory has forgotten since the last round.
    pub(super) forgot: bool,
    /// What was told of each sink.
    told: BTreeMap<String, Told>,
}

/// What was told of a sink.
#[derive(Debug, Default)]
struct Told {
    failing: bool,
    unspooled: bool,
    lost: u64,
}

impl Sinks {
    pub(super) fn new(hub: Hub) -> Self {
        Self {
            hub,
            whole: true,
            forgot: false,
            told: BTreeMap::new(),
        }
    }

    /// Whether there is nothing left to send of the view before.
    pub(super) const fn whole(&self) -> bool {
        self.whole
    }

    /// Takes messages, which go with the next call of [`Sinks::settle`].
    pub(super) fn say(&mut self, messages: &[MessageRow]) {
        self.hub.say(messages);
    }

    /// Sends what has changed, as far as there is room.
    pub(super) fn settle(&mut self, view: &View) {
        if !self.hub.is_empty() {
            let forgot = std::mem::take(&mut self.forgot);
            self.whole = self.hub.settle(setup::events(view), forgot);
        }
    }

    /// Sends every sink a state again although it did not change.
    pub(super) fn repeat(&self, event: &Event) {
        self.hub.send(event);
    }

    /// What became of the events so far, sink by sink.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        self.hub.tallies()
    }

    /// Tells of sinks that fail, are back, or lost something.
    pub(super) fn hear(&mut self) {
        for tally in self.hub.tallies() {
            let told = self.told.entry(tally.name.clone()).or_default();
            let name = &tally.name;
            if tally.failing && !told.failing {
                let why = complaint(&tally);
                log::warning("sink-fails", format_args!("{name}: {why}; it is tried again"));
            }
            if told.failing && !tally.failing {
                log::info("sink-works", format_args!("{name}: works again"));
            }
            if let Some(error) = tally.spool_error.as_deref().filter(|_| !told.unspooled) {
                let error = terminal(error);
                log::error(
                    "spool-fails",
                    format_args!("{name}: what waits for it cannot be kept: {error}"),
                );
            }
            let lost = lost(&tally);
            if lost > told.lost {
                let (more, fates) = (lost - told.lost, fates(&tally));
                log::error("sink-lost", format_args!("{name}: {more} records are lost: {fates}"));
            }
            *told = Told {
                failing: tally.failing,
                unspooled: tally.spool_error.is_some(),
                lost,
            };
        }
    }

    /// Records that arrived, and records that never will.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.hub.tallies().iter().fold((0, 0), |(delivered, lost), tally| {
            (delivered + tally.delivered, lost + self::lost(tally))
        })
    }

    /// Sends what is left and waits for it, within the grace. Whether everything has arrived.
    pub(super) fn close(mut self, view: &View, grace: Duration) -> bool {
        let end = now() + grace;
        self.settle(view);
        while !self.whole && now() < end {
            thread::sleep(FULL_PAUSE);
            self.settle(view);
        }
        let mut arrived = self.whole;
        for tally in self.hub.close(grace) {
            let (name, why) = (&tally.name, complaint(&tally));
            if lost(&tally) > 0 || !self.whole {
                arrived = false;
                log::error("sink-lost", format_args!("{name}: not everything is there: {why}"));
            } else if tally.waiting > 0 {
                let waiting = tally.waiting;
                let what = format_args!("{name}: {waiting} records wait in the spool for the next start: {why}");
                log::warning("sink-waits", what);
            }
        }
        arrived
    }
}

/// Records that will never arrive. What a full queue turned away goes with the next round.
const fn lost(tally: &Tally) -> u64 {
    tally.lost() - tally.shed
}

/// What became of those that are lost.
fn fates(tally: &Tally) -> String {
    let fates = [
        (tally.rejected, "refused by it"),
        (tally.evicted, "too much, or too old, for the spool"),
        (tally.undelivered, "given up"),
    ];
    let told = fates.iter().filter(|(count, _)| *count > 0);
    told.map(|(count, fate)| format!("{count} {fate}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn complaint(tally: &Tally) -> String {
    let error = tally.last_error.as_deref();
    error.map_or_else(|| "it is too slow".to_owned(), |error| terminal(error).to_string())
}

#[expect(clippy::disallowed_methods, reason = "a grace is of the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}
