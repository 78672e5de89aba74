//! What a runner counts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::model::stamp::Timestamp;
use crate::sink::outbox::Stock;
use crate::sink::runner::patience::wall;

/// What became of the events so far. Of a sink that is near every event that was offered is delivered, shed, rejected or
/// undelivered, or queued. One that is far away makes rows of those that are of interest to it: what follows `shed` is
/// then in rows, and a row may also be evicted, or waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Name of the sink.
    pub name: String,
    /// Events that the sink was to get.
    pub offered: u64,
    /// Written.
    pub delivered: u64,
    /// Dropped because the queue was full.
    pub shed: u64,
    /// In batches that the sink will never take.
    pub rejected: u64,
    /// Given up: the sink did not come back within its grace, or closing ran out of time.
    pub undelivered: u64,
    /// Rows that a bound of the outbox, or a full disk, cost.
    pub evicted: u64,
    /// Rows that wait in the outbox, those of earlier starts included.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// How long the oldest of them has waited, in milliseconds.
    pub lag_ms: u64,
    /// What is wrong with the outbox now.
    pub spool_error: Option<String>,
    /// Tries that were repeated.
    pub retries: u64,
    /// Whether the last try failed.
    pub failing: bool,
    /// The sink's last complaint.
    pub last_error: Option<String>,
}

impl Tally {
    /// Events that will never arrive.
    pub const fn lost(&self) -> u64 {
        let given_up = self
            .rejected
            .saturating_add(self.undelivered)
            .saturating_add(self.evicted);
        self.shed.saturating_add(given_up)
    }
}

/// Counted by the threads of a runner, read by anybody.
#[derive(Debug)]
pub(super) struct Gauge {
    name: String,
    offered: AtomicU64,
    pub(super) delivered: AtomicU64,
    shed: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) undelivered: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) evicted: AtomicU64,
    /// Events that went through a sealer.
    pub(super) sealed: AtomicU64,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
    /// Nanoseconds since the epoch; `i64::MAX` where nothing waits.
    oldest: AtomicI64,
    far: bool,
    complaint: Complaint,
}

/// What operators should know.
#[derive(Clone, Debug, Default)]
struct Said {
    failing: bool,
    last_error: Option<String>,
    spool_error: Option<String>,
}

#[expect(
    clippy::disallowed_types,
    reason = "taken once a try by the thread of a sink, and by who asks how it is; never by a packet"
)]
type Complaint = std::sync::Mutex<Said>;

pub(super) fn add(count: &AtomicU64, number: u64) {
    count.fetch_add(number, Ordering::Relaxed);
}

impl Gauge {
    /// `far`: whether there is an outbox.
    pub(super) fn new(name: &str, far: bool) -> Self {
        Self {
            name: name.to_owned(),
            offered: AtomicU64::default(),
            delivered: AtomicU64::default(),
            shed: AtomicU64::default(),
            rejected: AtomicU64::default(),
            undelivered: AtomicU64::default(),
            retries: AtomicU64::default(),
            evicted: AtomicU64::default(),
            sealed: AtomicU64::default(),
            waiting: AtomicU64::default(),
            waiting_bytes: AtomicU64::default(),
            oldest: AtomicI64::new(i64::MAX),
            far,
            complaint: Complaint::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn offer(&self, taken: bool) {
        add(&self.offered, 1);
        add(&self.shed, u64::from(!taken));
    }

    /// A try failed.
    pub(super) fn complain(&self, error: impl Into<String>) {
        let error = error.into();
        self.say(|said| (said.failing, said.last_error) = (true, Some(error)));
    }

    /// A try went well.
    pub(super) fn content(&self) {
        self.say(|said| said.failing = false);
    }

    /// What is wrong with the outbox, if anything.
    pub(super) fn spool(&self, error: Option<String>) {
        self.say(|said| said.spool_error = error);
    }

    /// What lies in the outbox.
    pub(super) fn stock(&self, stock: Stock) {
        self.waiting.store(stock.rows, Ordering::Relaxed);
        self.waiting_bytes.store(stock.bytes, Ordering::Relaxed);
        let oldest = stock.oldest.unwrap_or(Timestamp::MAX);
        self.oldest.store(oldest.nanos(), Ordering::Relaxed);
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        // A thread that panicked with the lock left something whole behind.
        change(&mut self.complaint.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    pub(super) fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut said = Said::default();
        self.say(|now| said.clone_from(now));
        let oldest = Timestamp::from_nanos(self.oldest.load(Ordering::Relaxed));
        Tally {
            name: self.name.clone(),
            offered: read(&self.offered),
            delivered: read(&self.delivered),
            shed: read(&self.shed),
            rejected: read(&self.rejected),
            undelivered: read(&self.undelivered),
            evicted: read(&self.evicted),
            waiting: read(&self.waiting),
            waiting_bytes: read(&self.waiting_bytes),
            lag_ms: wall().since(oldest) / 1_000_000,
            spool_error: said.spool_error,
            retries: read(&self.retries),
            failing: said.failing,
            last_error: said.last_error,
        }
    }

    /// The tally after the end: what a hanging or broken thread still holds has arrived nowhere as far as anyone knows.
    pub(super) fn last_tally(&self) -> Tally {
        let mut tally = self.tally();
        let told = match self.far {
            true => tally.shed + self.sealed.load(Ordering::Relaxed),
            false => tally.delivered + tally.lost(),
        };
        tally.undelivered += tally.offered.saturating_sub(told);
        tally
    }
}
