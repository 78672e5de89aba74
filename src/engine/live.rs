//! Live capture: a thread per worker, which reads its own handles and looks into their packets.
//!
//! Capture never waits for anybody: the kernel's ring is the queue, and what does not fit into it the kernel counts. With
//! several workers every interface has a handle for each, and the kernel spreads whole flows over them; what a worker
//! finds inside a tunnel goes to the worker of its slice (`lanes`), so that the two halves of a flow meet there. Where the
//! kernel does not spread, everything goes to the worker of its slice. Whoever started it hears of counters and
//! failures over a channel and keeps no lock. It knows no signals, no store and no report: those are the edge's.

mod lanes;
mod tap;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::live::tap::Tap;
use crate::engine::live::worker::Worker;
use crate::engine::{Shard, Share, Shared};
use crate::model::counters::{Counters, InterfaceState, Load};
use crate::model::message_seen::MessageSeen;
use crate::model::server::Capture;
use crate::model::stamp::Timestamp;
use crate::source::Source;

/// The section `[live]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bytes of packets that one worker hands over to another at once.
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

/// What a thread tells whoever started it. Numbers are since the start.
enum News {
    /// What a handle has given.
    Source {
        interface: usize,
        handle: usize,
        state: Tapped,
    },
    /// An interface went, or is back.
    Said {
        interface: usize,
        text: String,
        failed: bool,
    },
    /// What a worker has counted; `done` is the last that it has to say.
    Shard {
        index: usize,
        at: Instant,
        counters: Box<Counters>,
        load: Load,
        /// Another worker has gone.
        orphaned: bool,
        done: bool,
    },
    /// Messages that a worker has seen; they count as underway until they are taken.
    Messages(Vec<MessageSeen>),
    /// A worker ended in a panic.
    Lost { index: usize },
}

/// What a handle has given.
#[derive(Clone, Copy, Debug, Default)]
struct Tapped {
    kernel_drops: u64,
    seen: Option<(Timestamp, Timestamp)>,
    /// It has given a packet, or a moment without one.
    worked: bool,
    ended: bool,
}

/// An interface and its handles.
struct Interface {
    name: String,
    handles: Vec<Handle>,
    /// What was told of it last, so that several handles tell it once.
    said: String,
    up: bool,
}

struct Handle {
    worker: usize,
    state: Tapped,
}

/// What a worker told last.
#[derive(Clone, Debug)]
struct Heard {
    counters: Counters,
    load: Load,
    at: Instant,
    done: bool,
    lost: bool,
}

impl Heard {
    fn new() -> Self {
        Self {
            counters: Counters::default(),
            load: Load::default(),
            at: now(),
            done: false,
            lost: false,
        }
    }
}

/// How a capture is, beside what it has counted.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// In the order given.
    pub interfaces: Vec<InterfaceState>,
    /// What all workers hold.
    pub load: Load,
    /// Why it should be started again.
    pub sick: Vec<String>,
}

/// A worker that said nothing for so long hangs: it speaks once a second.
const STALLED: Duration = Duration::from_secs(20);

/// The handles of one interface.
pub type Handles = Vec<Box<dyn Source>>;

/// A capture that runs.
pub struct Live {
    interfaces: Vec<Interface>,
    shards: Vec<Heard>,
    shards_left: usize,
    failures: Vec<String>,
    failed: bool,
    orphaned: bool,
    /// Since they were taken last.
    messages: Vec<MessageSeen>,
    /// Messages on the way from the workers to whoever takes them.
    underway: Arc<AtomicUsize>,
    /// To each worker.
    rules: Vec<Sender<Arc<Shared>>>,
    news: Receiver<News>,
    stop: Arc<AtomicBool>,
    grace: Duration,
}

impl Live {
    /// Starts a thread for each of so many workers. Each interface has either one handle or one for each worker, over
    /// which the kernel spreads its flows.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        shared: &Arc<Shared>,
        interfaces: Vec<Handles>,
        workers: usize,
        config: &Config,
    ) -> std::io::Result<Self> {
        let workers = workers.max(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, news) = channel();
        let share = if interfaces.iter().all(|handles| handles.len() == workers) {
            Share::Flows
        } else {
            Share::Some
        };
        let mut taps: Vec<Vec<Tap>> = (0..workers).map(|_| Vec::new()).collect();
        let mut known = Vec::with_capacity(interfaces.len());
        for (number, sources) in interfaces.into_iter().enumerate() {
            let mut interface = Interface {
                name: sources.first().map_or("", |source| source.name()).to_owned(),
                handles: Vec::with_capacity(sources.len()),
                said: String::new(),
                up: true,
            };
            let spread = sources.len() > 1;
            for (handle, source) in sources.into_iter().enumerate() {
                let worker = (if spread { handle } else { number }) % workers;
                if let Some(taps) = taps.get_mut(worker) {
                    taps.push(Tap::new(number, handle, source, &tell));
                }
                let state = Tapped::default();
                interface.handles.push(Handle { worker, state });
            }
            known.push(interface);
        }
        let underway = Arc::new(AtomicUsize::new(0));
        let lanes = lanes::between(workers, config);
        let mut rules = Vec::with_capacity(workers);
        for (index, (taps, lanes)) in taps.into_iter().zip(lanes).enumerate() {
            let (shared, stop, tell) = (Arc::clone(shared), Arc::clone(&stop), tell.clone());
            let underway = Arc::clone(&underway);
            let (order, ordered) = channel();
            rules.push(order);
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let lost = tell.clone();
                let work = AssertUnwindSafe(|| {
                    let shard = Shard::sharing(&shared, (index, workers), share);
                    Worker::new(index, shard, lanes, taps, &stop, ordered, (tell, underway)).run();
                });
                if catch_unwind(work).is_err() {
                    // Nobody listens any more when the grace of stopping was over.
                    let _ = lost.send(News::Lost { index });
                }
            })?;
        }
        Ok(Self {
            interfaces: known,
            shards: vec![Heard::new(); workers],
            shards_left: workers,
            failures: Vec::new(),
            failed: false,
            orphaned: false,
            messages: Vec::new(),
            underway,
            rules,
            news,
            stop,
            grace: Duration::from_millis(config.shutdown_grace_ms),
        })
    }

    /// Has the workers go on under other rules, within a second: `shared` is of the same run ([`Shared::under`]).
    pub fn adopt(&self, shared: &Arc<Shared>) {
        for worker in &self.rules {
            // It may have ended.
            let _ = worker.send(Arc::clone(shared));
        }
    }

    /// Hears what the threads have told since the last call, and gives the failures among it.
    pub fn hear(&mut self) -> Vec<String> {
        while let Ok(news) = self.news.try_recv() {
            self.note(news);
        }
        std::mem::take(&mut self.failures)
    }

    /// Messages since the last call, in no order.
    pub fn take_messages(&mut self) -> Vec<MessageSeen> {
        let taken = std::mem::take(&mut self.messages);
        self.underway.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }

    fn note(&mut self, news: News) {
        match news {
            News::Messages(mut rows) => self.messages.append(&mut rows),
            News::Source {
                interface,
                handle,
                state,
            } => {
                let known = self.interfaces.get_mut(interface);
                if let Some(handle) = known.and_then(|interface| interface.handles.get_mut(handle)) {
                    handle.state = state;
                }
            }
            News::Said {
                interface,
                text,
                failed,
            } => {
                self.failed |= failed;
                let Some(interface) = self.interfaces.get_mut(interface) else {
                    return;
                };
                interface.up = !failed;
                if interface.said != text {
                    interface.said.clone_from(&text);
                    self.failures.push(text);
                }
            }
            News::Shard {
                index,
                at,
                counters,
                load,
                orphaned,
                done,
            } => {
                if let Some(shard) = self.shards.get_mut(index) {
                    shard.counters = *counters;
                    (shard.load, shard.at, shard.done) = (load, at, done);
                }
                if orphaned && !done && !std::mem::replace(&mut self.orphaned, true) {
                    self.failed = true;
                    let told = "a worker has gone, and what was in a tunnel may go unseen; start the sensor again";
                    self.failures.push(told.to_owned());
                }
                self.shards_left = self.shards_left.saturating_sub(usize::from(done));
            }
            News::Lost { index } => self.lose(index),
        }
    }

    /// A worker ended in a bug. The kernel spreads what it got over the others, if there are any.
    fn lose(&mut self, index: usize) {
        self.failed = true;
        self.shards_left = self.shards_left.saturating_sub(1);
        if let Some(shard) = self.shards.get_mut(index) {
            shard.lost = true;
        }
        self.failures
            .push("a worker ended in a bug, and what its flows held is lost; start the sensor again".to_owned());
        let handles = self.interfaces.iter_mut().flat_map(|interface| &mut interface.handles);
        for handle in handles.filter(|handle| handle.worker == index) {
            handle.state.ended = true;
        }
    }

    fn handles(&self) -> impl Iterator<Item = &Tapped> {
        let handles = self.interfaces.iter().flat_map(|interface| &interface.handles);
        handles.map(|handle| &handle.state)
    }

    /// Whether every source has ended.
    pub fn has_ended(&self) -> bool {
        self.handles().all(|handle| handle.ended)
    }

    /// Whether any source ever gave a packet, or a moment without one.
    pub fn has_worked(&self) -> bool {
        self.handles().any(|handle| handle.worked)
    }

    /// Whether a source, or a worker, was lost on the way.
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// The capture as far as it was heard of.
    pub fn capture(&self) -> Capture {
        let mut capture = Capture {
            sources: self.interfaces.iter().map(|interface| interface.name.clone()).collect(),
            ..Capture::default()
        };
        for shard in &self.shards {
            capture.counters.add(&shard.counters);
        }
        for handle in self.handles() {
            capture.counters.lost.kernel_drops += handle.kernel_drops;
            capture.seen = join(capture.seen, handle.seen);
        }
        capture
    }

    /// How it is, as far as it was heard of.
    pub fn condition(&self) -> Condition {
        let mut condition = Condition::default();
        for interface in &self.interfaces {
            let handles = interface.handles.iter().map(|handle| &handle.state);
            condition.interfaces.push(InterfaceState {
                name: interface.name.clone(),
                up: interface.up && !handles.clone().any(|handle| handle.ended),
                kernel_drops: handles.map(|handle| handle.kernel_drops).sum(),
            });
        }
        for (index, shard) in self.shards.iter().enumerate() {
            condition.load.add(shard.load);
            if shard.lost {
                condition.sick.push(format!("worker {index} ended in a bug"));
            } else if !shard.done && shard.at.elapsed() > STALLED {
                condition.sick.push(format!("worker {index} makes no progress"));
            }
        }
        condition
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
                            format!("{} workers are gone; what they held is missing", self.shards_left)
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

/// A quiet wire has no packet time.
#[expect(clippy::disallowed_methods, reason = "the engine may ask a clock")]
pub(super) fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

/// The grace is of the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "the engine may ask a clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
