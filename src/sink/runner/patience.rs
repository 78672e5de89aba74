//! How long a thread of a sink may still take.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::stamp::Timestamp;

/// Pauses that end when closing begins, and closing that ends.
#[derive(Debug)]
pub(super) struct Patience {
    closed: Receiver<Instant>,
    until: Option<Instant>,
}

impl Patience {
    /// `closed` tells until when things must be done; a sender that is dropped says: at once.
    pub(super) const fn new(closed: Receiver<Instant>) -> Self {
        Self { closed, until: None }
    }

    /// Waits, and no longer than closing allows. A closing that begins cuts no pause short: the sink asked for it.
    pub(super) fn pause(&mut self, pause: Duration) {
        let end = now() + pause;
        if self.until.is_none() {
            match self.closed.recv_timeout(pause) {
                Ok(until) => self.until = Some(until),
                Err(RecvTimeoutError::Disconnected) => self.until = Some(now()),
                Err(RecvTimeoutError::Timeout) => return,
            }
        }
        let end = self.until.map_or(end, |until| until.min(end));
        thread::sleep(end.saturating_duration_since(now()));
    }

    /// Whether nothing may be tried any more.
    pub(super) fn is_over(&mut self) -> bool {
        self.has_begun() && self.until.is_some_and(|until| until <= now())
    }

    /// Whether closing has begun.
    pub(super) fn has_begun(&mut self) -> bool {
        if self.until.is_none() {
            match self.closed.try_recv() {
                Ok(until) => self.until = Some(until),
                Err(TryRecvError::Disconnected) => self.until = Some(now()),
                Err(TryRecvError::Empty) => {}
            }
        }
        self.until.is_some()
    }
}

/// Delivery happens in real time, whatever the time of the packets.
#[expect(
    clippy::disallowed_methods,
    reason = "pauses and graces are of the clock on the wall"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// What the clock on the wall says: the age of rows that wait is of it.
#[expect(
    clippy::disallowed_methods,
    reason = "rows that wait outlive a process, and only this clock does, too"
)]
pub(super) fn wall() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
