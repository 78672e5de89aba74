//! The runner of one sink: queue, batches, retry, back-off, counting, draining; so that a sink only has to write.
//!
//! One bounded queue and threads of its own per sink: a slow sink hurts itself alone. A live sensor never waits for it
//! ([`Pressure::Shed`]); a replay does ([`Pressure::Wait`]). Whatever is not delivered is counted and told at the end.
//! This file is what the others see of a runner; `direct.rs` is the thread of a sink that is near,
//! `spooled.rs` are the two of one that is far away, and `gauge.rs` counts.

mod direct;
mod gauge;
mod patience;
mod spooled;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

pub use gauge::Tally;

use crate::model::event::Event;
use crate::sink::Sink;
use crate::sink::outbox::Outbox;
use crate::sink::remote::{Origin, Remote};
use crate::sink::runner::direct::Direct;
use crate::sink::runner::gauge::Gauge;
use crate::sink::runner::patience::{Patience, now};
use crate::sink::runner::spooled::{Sealer, Sender as Courier, Shared};

/// Bounds of a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Events that wait in the queue.
    pub queue_max_events: usize,
    /// Events of one batch.
    pub batch_max_events: usize,
    /// How long a batch that is not full waits for more, in milliseconds.
    pub batch_wait_ms: u64,
    /// Pause before the first retry, in milliseconds; it doubles up to `retry_max_ms`.
    pub retry_first_ms: u64,
    /// Longest pause between two tries, in milliseconds.
    pub retry_max_ms: u64,
    /// How long a batch is tried before it is given up, in milliseconds.
    pub retry_grace_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_max_events: 16_384,
            batch_max_events: 1_000,
            batch_wait_ms: 1_000,
            retry_first_ms: 100,
            retry_max_ms: 10_000,
            retry_grace_ms: 60_000,
        }
    }
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Drops the new event and counts it: live capture never waits.
    Shed,
    /// Waits: a replay may be slow, and must be whole.
    Wait,
}

/// A sink on threads of its own.
#[derive(Debug)]
pub struct Runner {
    queue: SyncSender<Event>,
    pressure: Pressure,
    gauge: Arc<Gauge>,
    /// Says that nothing more will come, and until when what is left may be delivered.
    closing: Sender<Instant>,
    /// The threads hold its other end as long as they run.
    done: Receiver<()>,
}

impl Runner {
    /// Starts a thread for a sink that is near.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sink: Box<dyn Sink>, config: Config, pressure: Pressure) -> std::io::Result<Self> {
        let (queue, events) = sync_channel(config.queue_max_events);
        let (closing, closed) = channel();
        let (running, done) = channel();
        let gauge = Arc::new(Gauge::new(sink.name(), false));
        let worker = Direct {
            sink,
            config,
            events,
            patience: Patience::new(closed),
            gauge: Arc::clone(&gauge),
        };
        thread::Builder::new()
            .name(format!("sink-{}", gauge.name()))
            .spawn(move || {
                worker.run();
                // Nobody listens any more when closing ran out of time.
                let _ = running.send(());
            })?;
        Ok(Self {
            queue,
            pressure,
            gauge,
            closing,
            done,
        })
    }

    /// Starts the two threads of a sink that is far away, with its outbox between them.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn remote(
        remote: Remote,
        outbox: Outbox,
        origin: &Origin,
        config: Config,
        pressure: Pressure,
    ) -> std::io::Result<Self> {
        let (queue, events) = sync_channel(config.queue_max_events);
        let (closing, closed) = channel();
        let (running, done) = channel();
        let (wake, woken) = sync_channel(1);
        let gauge = Arc::new(Gauge::new(&remote.name, true));
        gauge.stock(outbox.stock());
        let outbox = Arc::new(Shared::new(outbox));
        let sealer = Sealer {
            seal: remote.seal,
            config: config.clone(),
            events,
            outbox: Arc::clone(&outbox),
            gauge: Arc::clone(&gauge),
            wake,
        };
        let courier = Courier {
            deliver: remote.deliver,
            config,
            outbox,
            gauge: Arc::clone(&gauge),
            patience: Patience::new(closed),
            wake: woken,
            boot: format!("{}-{:x}", origin.sensor, origin.began.micros()),
            settled: None,
        };
        let thread = |half| thread::Builder::new().name(format!("{half}-{}", gauge.name()));
        thread("seal").spawn(move || sealer.run())?;
        thread("sink").spawn(move || {
            courier.run();
            // Nobody listens any more when closing ran out of time.
            let _ = running.send(());
        })?;
        Ok(Self {
            queue,
            pressure,
            gauge,
            closing,
            done,
        })
    }

    /// Takes an event, and tells whether it did. Never blocks under [`Pressure::Shed`].
    pub fn send(&self, event: Event) -> bool {
        let taken = match self.pressure {
            Pressure::Shed => match self.queue.try_send(event) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            },
            Pressure::Wait => self.queue.send(event).is_ok(),
        };
        self.gauge.offer(taken);
        taken
    }

    /// What became of the events so far.
    pub fn tally(&self) -> Tally {
        self.gauge.tally()
    }

    /// Delivers what is queued, within the grace, and says what became of everything. A sink that hangs is left behind:
    /// closing never takes longer than the grace and a moment.
    pub fn close(self, grace: Duration) -> Tally {
        self.begin_closing(grace).wait()
    }

    /// Says that nothing more will come.
    pub fn begin_closing(self, grace: Duration) -> Closing {
        let until = now() + grace;
        // A thread that has ended needs not be told.
        let _ = self.closing.send(until);
        Closing {
            until,
            gauge: self.gauge,
            done: self.done,
        }
    }
}

/// A runner that will take nothing more.
#[derive(Debug)]
pub struct Closing {
    until: Instant,
    gauge: Arc<Gauge>,
    done: Receiver<()>,
}

/// How long closing waits beyond the grace for a try that has begun.
const CLOSING_MOMENT: Duration = Duration::from_millis(500);

impl Closing {
    /// See [`Runner::close`].
    pub fn wait(self) -> Tally {
        let patience = self.until.saturating_duration_since(now()) + CLOSING_MOMENT;
        match self.done.recv_timeout(patience) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => self.gauge.complain("the sink did not answer in time"),
            Err(RecvTimeoutError::Disconnected) => self.gauge.complain("the sink ended in a panic"),
        }
        self.gauge.last_tally()
    }
}

/// Waits for more until there is enough, or it has waited long enough.
fn fill(events: &Receiver<Event>, taken: &mut Vec<Event>, config: &Config) {
    let until = now() + Duration::from_millis(config.batch_wait_ms);
    while taken.len() < config.batch_max_events {
        match events.recv_timeout(until.saturating_duration_since(now())) {
            Ok(event) => taken.push(event),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return,
        }
    }
}
