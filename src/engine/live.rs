//! Live capture: a thread per interface, a thread per shard, bounded queues of batches between them.
//!
//! Capture never waits for anybody. A batch that finds its shard's queue full is dropped and its packets are counted; an
//! empty one comes back over a second channel. Whoever started it hears of counters and failures over a channel and keeps
//! no lock. With one shard nothing is decoded here; with more, the headers are, to find the shard of a flow, so that the
//! two halves of a flow on two taps meet; then fragments are put together here, for they show no flow, and those of one
//! datagram must come over one tap. It knows no signals, no store and no report: those are the edge's.

mod capture;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::Shared;
use crate::engine::batch::Batch;
use crate::engine::live::capture::{Lane, Tap};
use crate::engine::live::worker::Worker;
use crate::model::counters::Counters;
use crate::model::server::Capture;
use crate::model::stamp::Timestamp;
use crate::source::Source;

/// The section `[live]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes of packets that are handed over at once.
    pub batch_max_bytes: usize,
    /// Batches that wait for one worker; what comes on top is dropped and counted.
    pub queue_max_batches: usize,
    /// Packet time after which a batch that is not full goes, in milliseconds.
    pub flush_ms: u64,
    /// How long stopping waits for the workers, and again for the store, in milliseconds.
    pub shutdown_grace_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_max_bytes: 256 << 10,
            queue_max_batches: 64,
            flush_ms: 100,
            shutdown_grace_ms: 5_000,
        }
    }
}

/// What goes to a shard.
enum Message {
    /// Packets of the source with this number.
    Batch(u16, Batch),
    /// It is this late.
    Tick(Timestamp),
}

/// What a thread tells whoever started it. Numbers are since the start.
enum News {
    Source {
        index: usize,
        state: Tapped,
    },
    Failed {
        index: usize,
        error: String,
    },
    Shard {
        index: usize,
        counters: Counters,
    },
    /// The last that a shard has to say.
    Done {
        index: usize,
        counters: Counters,
    },
}

/// What a source has given.
#[derive(Clone, Copy, Debug, Default)]
struct Tapped {
    kernel_drops: u64,
    queue_drops: u64,
    /// Of packets that go to no shard: those of no flow, and fragments.
    counters: Counters,
    seen: Option<(Timestamp, Timestamp)>,
    /// It has given a packet, or a moment without one.
    worked: bool,
    ended: bool,
}

/// A capture that runs.
pub struct Live {
    names: Vec<String>,
    sources: Vec<Tapped>,
    shards: Vec<Counters>,
    shards_left: usize,
    failures: Vec<String>,
    failed: bool,
    news: Receiver<News>,
    stop: Arc<AtomicBool>,
    grace: Duration,
}

impl Live {
    /// Starts a thread for each source and for each of so many workers.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        shared: &Arc<Shared>,
        sources: Vec<Box<dyn Source>>,
        workers: usize,
        config: &Config,
    ) -> std::io::Result<Self> {
        let workers = workers.max(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, news) = channel();
        let (homes, returns): (Vec<_>, Vec<_>) = sources.iter().map(|_| channel()).unzip();
        let mut queues = Vec::with_capacity(workers);
        for index in 0..workers {
            let (queue, messages) = sync_channel(config.queue_max_batches.max(1));
            queues.push(queue);
            let worker = Worker::new(shared, index, workers, messages, homes.clone(), tell.clone());
            thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || worker.run())?;
        }
        let names: Vec<String> = sources.iter().map(|source| source.name().to_owned()).collect();
        for (index, (source, returned)) in sources.into_iter().zip(returns).enumerate() {
            let lanes = queues.iter().cloned().map(Lane::new).collect();
            let tap = Tap::new(index, source, lanes, returned, shared, config, (&stop, &tell));
            let name = format!("tap-{}", names.get(index).map_or("", String::as_str));
            thread::Builder::new().name(name).spawn(move || tap.run())?;
        }
        Ok(Self {
            sources: vec![Tapped::default(); names.len()],
            names,
            shards: vec![Counters::default(); workers],
            shards_left: workers,
            failures: Vec::new(),
            failed: false,
            news,
            stop,
            grace: Duration::from_millis(config.shutdown_grace_ms),
        })
    }

    /// Hears what the threads have told since the last call, and gives the failures among it.
    pub fn hear(&mut self) -> Vec<String> {
        while let Ok(news) = self.news.try_recv() {
            self.note(news);
        }
        std::mem::take(&mut self.failures)
    }

    fn note(&mut self, news: News) {
        match news {
            News::Source { index, state } => self.sources[index] = state,
            News::Failed { index, error } => {
                self.failed = true;
                self.failures.push(error);
                self.sources[index].ended = true;
            }
            News::Shard { index, counters } => self.shards[index] = counters,
            News::Done { index, counters } => {
                self.shards[index] = counters;
                self.shards_left = self.shards_left.saturating_sub(1);
            }
        }
    }

    /// Whether every source has ended.
    pub fn has_ended(&self) -> bool {
        self.sources.iter().all(|source| source.ended)
    }

    /// Whether any source ever gave a packet, or a moment without one.
    pub fn has_worked(&self) -> bool {
        self.sources.iter().any(|source| source.worked)
    }

    /// Whether a source, or a worker, was lost on the way.
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// The capture as far as it was heard of.
    pub fn capture(&self) -> Capture {
        let mut capture = Capture {
            sources: self.names.clone(),
            ..Capture::default()
        };
        for counters in &self.shards {
            capture.counters.add(counters);
        }
        for source in &self.sources {
            capture.counters.add(&source.counters);
            capture.counters.lost.kernel_drops += source.kernel_drops;
            capture.counters.lost.queue_drops += source.queue_drops;
            capture.seen = join(capture.seen, source.seen);
        }
        capture
    }

    /// Stops the sources, has the workers finish what is queued and end their flows, and waits for them within the grace.
    /// Gives failures that nobody has heard of.
    pub fn stop(&mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let deadline = now() + self.grace;
        while self.shards_left > 0 {
            match self.news.recv_timeout(deadline.saturating_duration_since(now())) {
                Ok(news) => self.note(news),
                Err(error) => {
                    self.failed = true;
                    self.failures.push(match error {
                        RecvTimeoutError::Timeout => format!(
                            "{} workers did not finish within {} ms; what they held is missing",
                            self.shards_left,
                            self.grace.as_millis()
                        ),
                        RecvTimeoutError::Disconnected => {
                            format!(
                                "{} workers ended in a panic; what they held is missing",
                                self.shards_left
                            )
                        }
                    });
                    break;
                }
            }
        }
        self.hear()
    }
}

/// The span that holds both.
fn join(one: Option<(Timestamp, Timestamp)>, two: Option<(Timestamp, Timestamp)>) -> Option<(Timestamp, Timestamp)> {
    match (one, two) {
        (Some(one), Some(two)) => Some((one.0.min(two.0), one.1.max(two.1))),
        (one, two) => one.or(two),
    }
}

/// The grace is of the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "the engine may ask a clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
