//! The runner of one sink: queue, batches, retry, back-off, counting, draining; so that a sink is only `write(batch)`.
//!
//! One plain thread and one bounded queue per sink: a slow sink hurts itself alone. A live sensor never waits for it
//! ([`Pressure::Shed`]); a replay does ([`Pressure::Wait`]). Whatever is not delivered is counted and told at the end.
//! It keeps nothing on disk: an outbox that survives a restart is another file's work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::event::Event;
use crate::sink::{Sink, SinkError};

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
    /// How long closing waits for what is still queued, in milliseconds.
    pub drain_grace_ms: u64,
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
            drain_grace_ms: 10_000,
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

/// What became of the events so far; every event that was offered is in exactly one of the first four, or queued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
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
    /// The sink's last complaint.
    pub last_error: Option<String>,
}

impl Tally {
    /// Events that will never arrive.
    pub const fn lost(&self) -> u64 {
        self.shed.saturating_add(self.rejected).saturating_add(self.undelivered)
    }
}

/// A sink on a thread of its own.
#[derive(Debug)]
pub struct Runner {
    queue: SyncSender<Event>,
    pressure: Pressure,
    drain: Duration,
    counts: Arc<Counts>,
    /// Dropped to say that nothing more will come: ends a pause between two tries.
    closing: Sender<()>,
    /// The worker's last word.
    done: Receiver<Option<String>>,
}

#[derive(Debug, Default)]
struct Counts {
    offered: AtomicU64,
    delivered: AtomicU64,
    shed: AtomicU64,
    rejected: AtomicU64,
    undelivered: AtomicU64,
    retries: AtomicU64,
}

impl Runner {
    /// Starts a thread for the sink.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sink: Box<dyn Sink>, config: Config, pressure: Pressure) -> std::io::Result<Self> {
        let (queue, events) = sync_channel(config.queue_max_events);
        let (closing, closed) = channel();
        let (last_word, done) = channel();
        let counts = Arc::new(Counts::default());
        let drain = Duration::from_millis(config.drain_grace_ms);
        let worker = Worker {
            sink,
            config,
            events,
            closed,
            deadline: None,
            counts: Arc::clone(&counts),
            last_error: None,
        };
        thread::Builder::new()
            .name(format!("sink-{}", worker.sink.name()))
            .spawn(move || {
                // Nobody listens any more when closing ran out of time.
                let _ = last_word.send(worker.run());
            })?;
        Ok(Self {
            queue,
            pressure,
            drain,
            counts,
            closing,
            done,
        })
    }

    /// Takes an event. Never blocks under [`Pressure::Shed`].
    pub fn send(&self, event: Event) {
        self.counts.offered.fetch_add(1, Ordering::Relaxed);
        let taken = match self.pressure {
            Pressure::Shed => match self.queue.try_send(event) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            },
            Pressure::Wait => self.queue.send(event).is_ok(),
        };
        if !taken {
            self.counts.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What became of the events so far.
    pub fn tally(&self) -> Tally {
        self.counts.tally()
    }

    /// Delivers what is queued, within the grace, and says what became of everything. A sink that hangs is left behind:
    /// closing never takes longer than the grace and a moment.
    pub fn close(self) -> Tally {
        let Self {
            queue,
            drain,
            counts,
            closing,
            done,
            ..
        } = self;
        drop(queue);
        drop(closing);
        let last_error = match done.recv_timeout(drain + CLOSING_MOMENT) {
            Ok(last_error) => last_error,
            Err(RecvTimeoutError::Timeout) => Some("the sink did not answer in time".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Some("the sink ended in a panic".to_owned()),
        };
        let mut tally = Tally {
            last_error,
            ..counts.tally()
        };
        // What a hanging or broken sink still holds has arrived nowhere as far as anyone knows.
        let told = tally.delivered + tally.lost();
        tally.undelivered += counts.offered.load(Ordering::Relaxed).saturating_sub(told);
        tally
    }
}

/// How long closing waits beyond the grace for a try that has begun.
const CLOSING_MOMENT: Duration = Duration::from_millis(500);

impl Counts {
    fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            delivered: read(&self.delivered),
            shed: read(&self.shed),
            rejected: read(&self.rejected),
            undelivered: read(&self.undelivered),
            retries: read(&self.retries),
            last_error: None,
        }
    }
}

struct Worker {
    sink: Box<dyn Sink>,
    config: Config,
    events: Receiver<Event>,
    closed: Receiver<()>,
    /// When closing began, plus the grace.
    deadline: Option<Instant>,
    counts: Arc<Counts>,
    last_error: Option<String>,
}

impl Worker {
    fn run(mut self) -> Option<String> {
        let mut batch = Vec::with_capacity(self.config.batch_max_events.min(1_024));
        while let Ok(first) = self.events.recv() {
            batch.push(first);
            self.fill(&mut batch);
            self.deliver(&batch);
            batch.clear();
        }
        self.last_error
    }

    /// Waits for more until the batch is full or has waited long enough.
    fn fill(&self, batch: &mut Vec<Event>) {
        let until = now() + Duration::from_millis(self.config.batch_wait_ms);
        while batch.len() < self.config.batch_max_events {
            match self.events.recv_timeout(until.saturating_duration_since(now())) {
                Ok(event) => batch.push(event),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return,
            }
        }
    }

    /// Tries until the sink takes the batch, refuses it, or a grace is over.
    fn deliver(&mut self, batch: &[Event]) {
        let begun = now();
        let mut pause = Duration::from_millis(self.config.retry_first_ms);
        let given_up = loop {
            if self.out_of_time() {
                break &self.counts.undelivered;
            }
            match self.sink.write(batch) {
                Ok(()) => break &self.counts.delivered,
                Err(SinkError::Reject(error)) => {
                    self.last_error = Some(error);
                    break &self.counts.rejected;
                }
                Err(SinkError::Retry(error)) => self.last_error = Some(error),
            }
            if begun.elapsed() + pause > Duration::from_millis(self.config.retry_grace_ms) {
                break &self.counts.undelivered;
            }
            self.counts.retries.fetch_add(1, Ordering::Relaxed);
            self.pause(pause);
            pause = (pause * 2).min(Duration::from_millis(self.config.retry_max_ms));
        };
        given_up.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }

    /// Waits, and no longer than closing allows.
    fn pause(&mut self, pause: Duration) {
        if self.deadline.is_none() && matches!(self.closed.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return;
        }
        let left = self.closing().saturating_duration_since(now());
        thread::sleep(pause.min(left));
    }

    fn out_of_time(&mut self) -> bool {
        let closing = matches!(self.closed.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
        closing && self.closing() <= now()
    }

    /// When closing must be done; the first call says that it has begun.
    fn closing(&mut self) -> Instant {
        let grace = Duration::from_millis(self.config.drain_grace_ms);
        *self.deadline.get_or_insert_with(|| now() + grace)
    }
}

/// Delivery happens in real time, whatever the time of the packets.
#[expect(
    clippy::disallowed_methods,
    reason = "pauses and graces are of the clock on the wall"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::fixture;

    /// A sink that does what its script says, then takes everything; it tells each batch's length.
    struct Scripted {
        script: std::vec::IntoIter<Result<(), SinkError>>,
        told: Sender<usize>,
        gate: Option<Receiver<()>>,
    }

    impl Sink for Scripted {
        fn name(&self) -> &str {
            "scripted"
        }

        fn write(&mut self, batch: &[Event]) -> Result<(), SinkError> {
            if let Some(gate) = &self.gate {
                let _ = gate.recv();
            }
            let answer = self.script.next().unwrap_or(Ok(()));
            if answer.is_ok() {
                let _ = self.told.send(batch.len());
            }
            answer
        }
    }

    fn config() -> Config {
        Config {
            queue_max_events: 4,
            batch_max_events: 3,
            batch_wait_ms: 20,
            retry_first_ms: 1,
            retry_max_ms: 4,
            retry_grace_ms: 2_000,
            drain_grace_ms: 2_000,
        }
    }

    fn event() -> Event {
        fixture::events(&fixture::view()).remove(0)
    }

    fn sink(script: Vec<Result<(), SinkError>>, gate: Option<Receiver<()>>) -> (Box<Scripted>, Receiver<usize>) {
        let (told, hear) = channel();
        (
            Box::new(Scripted {
                script: script.into_iter(),
                told,
                gate,
            }),
            hear,
        )
    }

    fn retry() -> Result<(), SinkError> {
        Err(SinkError::Retry("away".to_owned()))
    }

    #[test]
    fn a_replay_delivers_all_in_batches() {
        let (sink, hear) = sink(Vec::new(), None);
        let runner = Runner::start(sink, config(), Pressure::Wait).unwrap();
        (0..50).for_each(|_| runner.send(event()));
        let tally = runner.close();
        assert_eq!(
            tally,
            Tally {
                delivered: 50,
                ..Tally::default()
            }
        );
        let lengths: Vec<usize> = hear.iter().collect();
        assert_eq!(lengths.iter().sum::<usize>(), 50);
        assert!(lengths.iter().all(|length| *length <= 3));
    }

    #[test]
    fn a_batch_that_is_not_full_goes_after_its_wait() {
        let (sink, hear) = sink(Vec::new(), None);
        let runner = Runner::start(sink, config(), Pressure::Shed).unwrap();
        runner.send(event());
        assert_eq!(hear.recv_timeout(Duration::from_secs(10)), Ok(1));
        assert_eq!(runner.close().delivered, 1);
    }

    #[test]
    fn a_full_queue_sheds_and_counts_when_live() {
        let (open, gate) = channel();
        let (sink, _hear) = sink(Vec::new(), Some(gate));
        let runner = Runner::start(sink, config(), Pressure::Shed).unwrap();
        (0..100).for_each(|_| runner.send(event()));
        // Four in the queue and three in the batch at hand is the most that can be held.
        assert!(runner.tally().shed >= 93, "{:?}", runner.tally());
        drop(open);
        let tally = runner.close();
        assert_eq!((tally.delivered + tally.shed, tally.undelivered), (100, 0));
    }

    #[test]
    fn what_may_go_in_later_is_tried_again() {
        let (sink, hear) = sink(vec![retry(), retry(), retry()], None);
        let runner = Runner::start(sink, config(), Pressure::Wait).unwrap();
        runner.send(event());
        let tally = runner.close();
        let expect = Tally {
            delivered: 1,
            retries: 3,
            last_error: Some("away".to_owned()),
            ..Tally::default()
        };
        assert_eq!(tally, expect);
        assert_eq!(hear.iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_will_never_go_in_is_not_tried_again() {
        let (sink, hear) = sink(vec![Err(SinkError::Reject("no".to_owned()))], None);
        let runner = Runner::start(
            sink,
            Config {
                batch_max_events: 1,
                ..config()
            },
            Pressure::Wait,
        )
        .unwrap();
        (0..3).for_each(|_| runner.send(event()));
        let tally = runner.close();
        assert_eq!((tally.delivered, tally.rejected, tally.retries), (2, 1, 0));
        assert_eq!(tally.last_error.as_deref(), Some("no"));
        assert_eq!(hear.iter().count(), 2);
    }

    #[test]
    fn a_sink_that_stays_away_is_given_up_within_its_grace() {
        let away = || (0..10_000).map(|_| retry()).collect();
        let (sink, _hear) = sink(away(), None);
        let short = Config {
            retry_grace_ms: 30,
            batch_max_events: 1,
            ..config()
        };
        let runner = Runner::start(sink, short, Pressure::Wait).unwrap();
        (0..2).for_each(|_| runner.send(event()));
        let tally = runner.close();
        assert_eq!((tally.delivered, tally.undelivered, tally.lost()), (0, 2, 2));

        let (sink, _hear) = self::sink(away(), None);
        let hasty = Config {
            retry_grace_ms: 3_600_000,
            drain_grace_ms: 30,
            ..config()
        };
        let runner = Runner::start(sink, hasty, Pressure::Wait).unwrap();
        (0..5).for_each(|_| runner.send(event()));
        let begun = now();
        let tally = runner.close();
        assert_eq!((tally.delivered, tally.undelivered), (0, 5));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_sink_that_hangs_does_not_hold_up_closing() {
        let (open, gate) = channel();
        let (sink, _hear) = sink(Vec::new(), Some(gate));
        let runner = Runner::start(
            sink,
            Config {
                drain_grace_ms: 30,
                ..config()
            },
            Pressure::Wait,
        )
        .unwrap();
        runner.send(event());
        let tally = runner.close();
        assert_eq!((tally.delivered, tally.undelivered), (0, 1));
        assert!(tally.last_error.is_some());
        drop(open);
    }
}
