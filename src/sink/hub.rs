//! Feeds every sink: each has its own queue, and its own account of what it already has.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::time::Duration;

use crate::model::event::Event;
use crate::model::message_seen::MessageRow;
use crate::sink::ledger::{Ledger, States};
use crate::sink::runner::{Closing, Runner, Tally};

/// Every sink of a process.
#[derive(Debug, Default)]
pub struct Hub {
    lanes: Vec<Lane>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Lane {
    runner: Runner,
    ledger: Ledger,
    /// Messages that wait for room in the queue.
    outbox: VecDeque<MessageRow>,
    /// Messages that were too many to wait.
    shed: u64,
}

/// Messages that wait for the queue of one sink; of more the latest are kept, and the others counted as lost.
const OUTBOX_MAX_MESSAGES: usize = 262_144;

impl Hub {
    /// Adds a sink.
    pub fn add(&mut self, runner: Runner) {
        self.lanes.push(Lane {
            runner,
            ledger: Ledger::default(),
            outbox: VecDeque::new(),
            shed: 0,
        });
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Sends each sink what it does not have yet of all records, and takes back what is no longer among them, unless the
    /// inventory has forgotten since (`forgot`). Gives whether everything was sent: else the rest goes with the next call.
    pub fn settle(&mut self, events: Vec<Event>, forgot: bool) -> bool {
        let states = States::new(events, &self.hasher);
        self.lanes.iter_mut().fold(true, |whole, lane| {
            let runner = &lane.runner;
            lane.ledger.settle(&states, forgot, |event| runner.send(event)) && lane.flush() && whole
        })
    }

    /// Takes messages for every sink: they go, once, behind the records of the next call of [`Hub::settle`].
    pub fn say(&mut self, messages: &[MessageRow]) {
        for lane in &mut self.lanes {
            lane.outbox.extend(messages.iter().cloned());
            let over = lane.outbox.len().saturating_sub(OUTBOX_MAX_MESSAGES);
            lane.outbox.drain(..over);
            lane.shed += over as u64;
        }
    }

    /// Sends every sink an event that is no state of a record, and goes once.
    pub fn send(&self, event: &Event) {
        for lane in &self.lanes {
            lane.runner.send(event.clone());
        }
    }

    /// What became of the events so far, sink by sink.
    pub fn tallies(&self) -> Vec<Tally> {
        let tally = |lane: &Lane| {
            let mut tally = lane.runner.tally();
            tally.undelivered += lane.shed;
            tally
        };
        self.lanes.iter().map(tally).collect()
    }

    /// Delivers what is queued, all sinks at once and within the grace, and says what became of everything.
    pub fn close(self, grace: Duration) -> Vec<Tally> {
        let closing: Vec<_> = self
            .lanes
            .into_iter()
            .map(|lane| lane.runner.begin_closing(grace))
            .collect();
        closing.into_iter().map(Closing::wait).collect()
    }
}

impl Lane {
    /// Sends what waits, as far as there is room; whether that is all.
    fn flush(&mut self) -> bool {
        while let Some(row) = self.outbox.front() {
            if !self.runner.send(Event::Message(Box::new(row.clone()))) {
                return false;
            }
            self.outbox.pop_front();
        }
        true
    }
}
