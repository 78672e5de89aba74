//! The ways from one worker to the others: what was in a tunnel, or came over an interface that is not spread, goes to the
//! worker of its slice.
//!
//! Bounded queues of batches. Nobody waits: a batch that finds the queue full is dropped and its packets are counted.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, TrySendError};
use std::time::Duration;

use crate::engine::batch::Batch;
use crate::engine::live::Config;
use crate::model::packet::{Outer, RawPacket};
use crate::model::stamp::Timestamp;

/// Packets of the worker with this number.
pub(super) struct Parcel {
    pub(super) from: usize,
    pub(super) batch: Batch,
}

/// The way to one worker.
struct Lane {
    queue: SyncSender<Parcel>,
    filling: Batch,
}

/// All ways from and to one worker.
pub(super) struct Lanes {
    index: usize,
    /// To each worker, by number; its own is never used.
    out: Vec<Lane>,
    inbox: Receiver<Parcel>,
    /// Where empty batches go back to, by worker.
    homes: Vec<Sender<Batch>>,
    returned: Receiver<Batch>,
    max_bytes: usize,
    flush_nanos: u64,
    /// Packets dropped before a full queue.
    pub(super) dropped: u64,
    /// A worker has gone, and what goes to it is lost.
    pub(super) orphaned: bool,
}

/// The ends of all queues, for each worker its own.
pub(super) fn between(workers: usize, config: &Config) -> Vec<Lanes> {
    let (queues, inboxes): (Vec<_>, Vec<_>) = (0..workers)
        .map(|_| std::sync::mpsc::sync_channel(config.queue_max_batches.max(1)))
        .unzip();
    let (homes, returns): (Vec<_>, Vec<_>) = (0..workers).map(|_| std::sync::mpsc::channel()).unzip();
    let ends = inboxes.into_iter().zip(returns).enumerate();
    ends.map(|(index, (inbox, returned))| Lanes {
        index,
        out: others(&queues, index),
        inbox,
        homes: homes.clone(),
        returned,
        max_bytes: config.batch_max_bytes,
        flush_nanos: config.flush_ms.saturating_mul(1_000_000),
        dropped: 0,
        orphaned: false,
    })
    .collect()
}

/// A worker that held its own queue would never see it end: in its place is one that nobody reads.
fn others(queues: &[SyncSender<Parcel>], index: usize) -> Vec<Lane> {
    let lane = |(number, queue): (usize, &SyncSender<Parcel>)| Lane {
        queue: if number == index {
            std::sync::mpsc::sync_channel(0).0
        } else {
            queue.clone()
        },
        filling: Batch::default(),
    };
    queues.iter().enumerate().map(lane).collect()
}

impl Lanes {
    /// Puts a packet on its way.
    pub(super) fn push(&mut self, worker: usize, raw: &RawPacket<'_>, outer: Option<Outer>) {
        let Some(lane) = self.out.get(worker) else { return };
        if self.is_old(lane, raw.at.time) || !lane.filling.fits(raw.data.len(), self.max_bytes) {
            self.send(worker);
        }
        if let Some(lane) = self.out.get_mut(worker) {
            lane.filling.push(raw, outer);
        }
    }

    /// Sends every batch that holds anything.
    pub(super) fn flush(&mut self) {
        (0..self.out.len()).for_each(|worker| self.send(worker));
    }

    /// On a busy wire a lane with little traffic must not wait for its next packet.
    pub(super) fn flush_old(&mut self, now: Timestamp) {
        for worker in 0..self.out.len() {
            if self.out.get(worker).is_some_and(|lane| self.is_old(lane, now)) {
                self.send(worker);
            }
        }
    }

    fn is_old(&self, lane: &Lane, now: Timestamp) -> bool {
        let first = lane.filling.first();
        first.is_some_and(|first| now.nanos().abs_diff(first.time.nanos()) >= self.flush_nanos)
    }

    /// Hands a lane's batch over, or drops it and counts its packets.
    fn send(&mut self, worker: usize) {
        if let Some(batch) = self.try_send(worker) {
            self.dropped += batch.len() as u64;
            self.reuse(worker, batch);
        }
    }

    /// Gives back a batch that found no room.
    fn try_send(&mut self, worker: usize) -> Option<Batch> {
        let lane = self.out.get_mut(worker)?;
        if lane.filling.is_empty() {
            return None;
        }
        let fresh = self.returned.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut lane.filling, fresh);
        let from = self.index;
        match lane.queue.try_send(Parcel { from, batch }) {
            Ok(()) => None,
            Err(TrySendError::Full(parcel)) => Some(parcel.batch),
            Err(TrySendError::Disconnected(parcel)) => {
                self.orphaned = true;
                Some(parcel.batch)
            }
        }
    }

    /// The other one may be without room yet.
    fn reuse(&mut self, worker: usize, mut batch: Batch) {
        batch.clear();
        if let Some(lane) = self.out.get_mut(worker) {
            lane.filling = batch;
        }
    }

    /// What others have sent.
    pub(super) fn receive(&self) -> Result<Parcel, TryRecvError> {
        self.inbox.try_recv()
    }

    /// Waits for what others send, a while.
    pub(super) fn wait(&self, patience: Duration) -> Result<Parcel, RecvTimeoutError> {
        self.inbox.recv_timeout(patience)
    }

    /// Gives an empty batch back to whoever filled it.
    pub(super) fn give_back(&self, from: usize, mut batch: Batch) {
        batch.clear();
        if let Some(home) = self.homes.get(from) {
            // Its worker may have ended.
            let _ = home.send(batch);
        }
    }

    /// Sends what is left: nothing is captured any more, so that this may wait for room. `meanwhile` is called where
    /// there is none, and takes what others send; two workers that wait for each other would wait for ever.
    pub(super) fn finish(&mut self, meanwhile: &mut dyn FnMut(&mut Self)) {
        for worker in 0..self.out.len() {
            while let Some(batch) = self.try_send(worker) {
                if self.orphaned {
                    self.dropped += batch.len() as u64;
                    break;
                }
                if let Some(lane) = self.out.get_mut(worker) {
                    lane.filling = batch;
                }
                meanwhile(self);
            }
        }
        self.out.clear();
    }
}
