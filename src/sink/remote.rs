//! The seam of sinks that are far away: ClickHouse, a SIEM, a file that a shipper reads.
//!
//! Such a sink is two halves, because they run on two threads. [`Seal`] turns events into rows of the sink's own,
//! versioned encoding: pure, and done once. [`Deliver`] sends a batch of such rows, as often as it takes. Between the
//! two lies the outbox, which keeps what was not delivered, also over a restart: so that bytes may be read by a later
//! version of the sink, and begin with a version.

use std::fmt;
use std::sync::Arc;

use crate::model::event::Event;
use crate::model::stamp::Timestamp;
use crate::sink::SinkError;

/// Who writes: the same for every event of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the sensor.
    pub sensor: Arc<str>,
    /// The run: one life of a live sensor, or one capture however often it is replayed.
    pub run: Arc<str>,
    /// When this process began to write, by the clock on the wall. Of a run that was written before, what this process
    /// does not write any more counts no longer.
    pub began: Timestamp,
}

/// What a batch is worth when room is scarce, cheapest first. One batch has one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Messages.
    Message,
    /// States of the capture, clients, servers, sessions and lookups.
    Record,
    /// Findings.
    Finding,
}

impl Class {
    /// Every class, cheapest first.
    pub const ALL: [Self; 3] = [Self::Message, Self::Record, Self::Finding];

    /// The class of an event.
    pub const fn of(event: &Event) -> Self {
        use crate::model::event::Record;
        match event {
            Event::Finding(_) | Event::Gone(Record::Finding(_)) => Self::Finding,
            Event::Message(_) => Self::Message,
            Event::Capture(_)
            | Event::Client(_)
            | Event::Gone(_)
            | Event::Lookup(_)
            | Event::Server(_)
            | Event::Session(_) => Self::Record,
        }
    }
}

/// Rows in a sink's own encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many.
    pub rows: u64,
    /// The rows.
    pub bytes: Vec<u8>,
}

/// What is delivered at once: whole, or not at all as far as can be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `<sensor>-<boot>-<sequence>`: the same in every try, also after a restart, and never used for another batch.
    pub token: String,
    /// When the batch was closed, by the clock on the wall; the same in every try.
    pub sealed: Timestamp,
    /// What it is worth.
    pub class: Class,
    /// Rows in the order in which they were sealed; at least one part, and the same parts in every try.
    pub parts: Vec<Part>,
}

impl Batch {
    /// Rows of all parts.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }
}

/// Encodes events. Runs while a delivery hangs, and knows no network and no clock.
pub trait Seal: Send {
    /// Rows of events of one class, in their order; `None` when none of them is of interest to the sink.
    fn seal(&mut self, events: &[Event]) -> Option<Part>;
}

/// Delivers batches. May block, with time-outs of its own.
pub trait Deliver: Send {
    /// Delivers a batch. It comes again, unchanged, until it is delivered or rejected: there is no last try.
    ///
    /// # Errors
    /// [`SinkError::Retry`] when it may go in later; [`SinkError::Reject`] when these rows can never go in: then the
    /// batch is put aside, counted and told. The message is for operators, in one line, without secrets.
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError>;
}

/// A sink that is far away.
pub struct Remote {
    /// For counters and messages, and the name of its outbox: letters, digits, `-` and `_`.
    pub name: Arc<str>,
    /// Its encoding half.
    pub seal: Box<dyn Seal>,
    /// Its delivering half.
    pub deliver: Box<dyn Deliver>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
