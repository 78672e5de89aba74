//! The two threads of a sink that is far away, and the outbox between them.
//!
//! The sealer takes events from the queue and puts them into the outbox, encoded, at least once a second, whatever the
//! sink does: what a killed process loses is what came within that second. The sender takes batches out and tries each
//! until it is delivered or refused, in order, with pauses that grow. Nothing is ever given up but at a bound of the
//! outbox.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use crate::model::event::Event;
use crate::sink::SinkError;
use crate::sink::outbox::Outbox;
use crate::sink::remote::{Class, Deliver, Seal};
use crate::sink::runner::gauge::{Gauge, add};
use crate::sink::runner::patience::{Patience, wall};
use crate::sink::runner::{Config, fill};

#[cfg(test)]
mod tests;

/// How often the sender looks by itself: rows of another process, and batches whose wait is over.
const BEAT: Duration = Duration::from_millis(500);

/// How long the rows of a class wait for more, in milliseconds: records change every few seconds, and a database likes
/// few large batches better than many small ones.
const fn wait_ms(class: Class) -> u64 {
    match class {
        Class::Finding => 0,
        Class::Message => 5_000,
        Class::Record => 1_000,
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "between the two threads of a sink, for the time of a small transaction; no packet waits for it"
)]
pub(super) type Shared = std::sync::Mutex<Outbox>;

/// A thread that panicked within a transaction left it undone.
fn lock(outbox: &Shared) -> impl std::ops::DerefMut<Target = Outbox> {
    outbox.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Encodes what comes and puts it into the outbox.
pub(super) struct Sealer {
    pub(super) seal: Box<dyn Seal>,
    pub(super) config: Config,
    pub(super) events: Receiver<Event>,
    pub(super) outbox: Arc<Shared>,
    pub(super) gauge: Arc<Gauge>,
    /// Wakes the sender; dropped in the end.
    pub(super) wake: SyncSender<()>,
}

impl Sealer {
    /// Until nothing more comes.
    pub(super) fn run(mut self) {
        let mut taken = Vec::with_capacity(self.config.batch_max_events.min(1_024));
        while let Ok(first) = self.events.recv() {
            taken.push(first);
            fill(&self.events, &mut taken, &self.config);
            self.put(&mut taken);
            // Full: it will look anyhow.
            let _ = self.wake.try_send(());
        }
    }

    fn put(&mut self, taken: &mut Vec<Event>) {
        let events = taken.len() as u64;
        let mut parts = Vec::new();
        // Records first: a sink says more of a finding when it knows the server that it is about.
        for class in Class::ALL {
            let of_class: Vec<Event> = taken.extract_if(.., |event| Class::of(event) == class).collect();
            if !of_class.is_empty() {
                parts.extend(self.seal.seal(&of_class).map(|part| (class, part)));
            }
        }
        taken.clear();
        parts.reverse();
        if !parts.is_empty() {
            let mut outbox = lock(&self.outbox);
            match outbox.put(&parts, wall()) {
                Ok(evicted) => {
                    add(&self.gauge.evicted, evicted);
                    self.gauge.spool(None);
                }
                Err(error) => {
                    add(&self.gauge.evicted, parts.iter().map(|(_, part)| part.rows).sum());
                    self.gauge.spool(Some(error.to_string()));
                }
            }
            self.gauge.stock(outbox.stock());
        }
        add(&self.gauge.sealed, events);
    }
}

/// Delivers what is in the outbox.
pub(super) struct Sender {
    pub(super) deliver: Box<dyn Deliver>,
    pub(super) config: Config,
    pub(super) outbox: Arc<Shared>,
    pub(super) gauge: Arc<Gauge>,
    pub(super) patience: Patience,
    pub(super) wake: Receiver<()>,
    /// First part of every token: sensor and start of this process.
    pub(super) boot: String,
    /// A batch that was delivered or refused, and could not be taken out of the outbox.
    pub(super) settled: Option<i64>,
}

impl Sender {
    /// Until the sealer has ended and nothing is left, or closing is over.
    pub(super) fn run(mut self) {
        let first = Duration::from_millis(self.config.retry_first_ms);
        let mut pause = first;
        while !self.patience.is_over() {
            match self.step() {
                Step::Idle => {
                    if self.wake.recv_timeout(BEAT) == Err(RecvTimeoutError::Disconnected) && !self.has_more() {
                        break;
                    }
                }
                Step::Done => pause = first,
                // What is on disk goes with the next start: nobody need wait for a sink that is away.
                Step::Failed if self.patience.has_begun() && lock(&self.outbox).is_durable() => {
                    self.await_sealer();
                    break;
                }
                Step::Failed => {
                    add(&self.gauge.retries, 1);
                    self.patience.pause(jittered(pause));
                    pause = (pause * 2).min(Duration::from_millis(self.config.retry_max_ms));
                }
            }
        }
        let outbox = lock(&self.outbox);
        self.gauge.stock(outbox.stock());
        if !outbox.is_durable() {
            add(&self.gauge.undelivered, outbox.stock().rows);
        }
    }

    /// Waits until everything that came is in the outbox.
    fn await_sealer(&mut self) {
        while !self.patience.is_over() && self.wake.recv_timeout(BEAT) != Err(RecvTimeoutError::Disconnected) {}
    }

    /// One batch, tried once.
    fn step(&mut self) -> Step {
        let closing = self.patience.has_begun();
        let next = lock(&self.outbox).next(&self.boot, wall(), |class| if closing { 0 } else { wait_ms(class) });
        let (id, batch) = match next {
            Ok(Some(next)) => next,
            Ok(None) => return Step::Idle,
            Err(error) => return self.fail(error.to_string()),
        };
        let (rows, mut refused) = (batch.rows(), None);
        if self.settled != Some(id) {
            match self.deliver.deliver(&batch) {
                Ok(()) => {
                    add(&self.gauge.delivered, rows);
                    self.gauge.content();
                }
                Err(SinkError::Reject(error)) => {
                    add(&self.gauge.rejected, rows);
                    self.gauge.complain(error.clone());
                    refused = Some(error);
                }
                Err(SinkError::Retry(error)) => {
                    self.gauge.complain(error);
                    return Step::Failed;
                }
            }
        }
        self.settled = Some(id);
        let mut outbox = lock(&self.outbox);
        let ended = match refused {
            Some(why) => outbox.bury(id, &why),
            None => outbox.done(id),
        };
        self.gauge.stock(outbox.stock());
        drop(outbox);
        match ended {
            Ok(()) => Step::Done,
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&self, error: String) -> Step {
        self.gauge.spool(Some(error));
        Step::Failed
    }

    /// Whether something waits that this process delivers.
    fn has_more(&self) -> bool {
        let outbox = lock(&self.outbox);
        outbox.delivers() && outbox.stock().rows > 0
    }
}

enum Step {
    Done,
    Failed,
    Idle,
}

/// Between half of a pause and the whole: sensors that lost their sink at one moment do not come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() >> 32;
    pause / 2 + pause.mul_f64(random as f64 / f64::from(u32::MAX) / 2.0)
}
