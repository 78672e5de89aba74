//! What a runner counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of the events so far; every event that was offered is in exactly one of the next four, or queued.
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
        self.shed.saturating_add(self.rejected).saturating_add(self.undelivered)
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
    complaint: Complaint,
}

#[expect(
    clippy::disallowed_types,
    reason = "taken once a try by the thread of a sink, and by who asks how it is; never by a packet"
)]
type Complaint = std::sync::Mutex<(bool, Option<String>)>;

pub(super) fn add(count: &AtomicU64, number: u64) {
    count.fetch_add(number, Ordering::Relaxed);
}

impl Gauge {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            offered: AtomicU64::default(),
            delivered: AtomicU64::default(),
            shed: AtomicU64::default(),
            rejected: AtomicU64::default(),
            undelivered: AtomicU64::default(),
            retries: AtomicU64::default(),
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
        self.say(true, Some(error.into()));
    }

    /// A try went well.
    pub(super) fn content(&self) {
        self.say(false, None);
    }

    fn say(&self, failing: bool, error: Option<String>) {
        // A thread that panicked with the lock left a whole pair behind.
        let mut complaint = self.complaint.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        complaint.0 = failing;
        complaint.1 = error.or_else(|| complaint.1.take());
    }

    pub(super) fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let complaint = self.complaint.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Tally {
            name: self.name.clone(),
            offered: read(&self.offered),
            delivered: read(&self.delivered),
            shed: read(&self.shed),
            rejected: read(&self.rejected),
            undelivered: read(&self.undelivered),
            retries: read(&self.retries),
            failing: complaint.0,
            last_error: complaint.1.clone(),
        }
    }

    /// The tally after the end: what a hanging or broken sink still holds has arrived nowhere as far as anyone knows.
    pub(super) fn last_tally(&self) -> Tally {
        let mut tally = self.tally();
        let told = tally.delivered + tally.lost();
        tally.undelivered += tally.offered.saturating_sub(told);
        tally
    }
}
