//! The thread of one worker in live capture: it reads its handles and looks into their packets, all in one place.
//!
//! An in-order byte is never copied here: it is read where the kernel put it, and the kernel's ring is the queue. Only what
//! belongs to another worker is copied, into a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use crate::engine::live::lanes::{Lanes, Parcel};
use crate::engine::live::tap::{Tap, Turn};
use crate::engine::live::{News, clock, now};
use crate::engine::{Elsewhere, Shard, Shared};
use crate::model::packet::{LinkType, RawPacket};
use crate::model::stamp::Timestamp;

/// Between two publications of the counters, in nanoseconds.
const PUBLISH_NANOS: u64 = 1_000_000_000;

/// Wait when there is no packet: short beside the time in which 10 Gbit/s fill the default ring.
const IDLE_WAIT: Duration = Duration::from_millis(5);

/// Wait of a worker that has nothing to read but what others send.
const INBOX_WAIT: Duration = Duration::from_millis(100);

/// Batches of others that are looked into before the own handles have their turn again.
const INBOX_BURST: usize = 4;

pub(super) struct Worker {
    index: usize,
    taps: Vec<Tap>,
    desk: Desk,
    stop: Arc<AtomicBool>,
    /// Other rules.
    rules: Receiver<Arc<Shared>>,
    tell: Sender<News>,
    /// Messages of all workers that nobody has taken yet.
    underway: Arc<AtomicUsize>,
    messages_max: usize,
    ticked: Timestamp,
}

/// Where packets are looked into.
struct Desk {
    shard: Shard,
    lanes: Lanes,
    /// Of the last packet.
    latest: Timestamp,
}

impl Desk {
    /// A packet of an own handle.
    fn take(&mut self, raw: &RawPacket<'_>) {
        self.latest = raw.at.time;
        let Some(Elsewhere { worker, whole, outer }) = self.shard.take(raw, None) else {
            return;
        };
        if !whole {
            return self.lanes.push(worker, raw, None);
        }
        let data = self.shard.take_whole(raw);
        let datagram = RawPacket {
            link: LinkType::Datagram,
            data: &data,
            wire_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            ..*raw
        };
        self.lanes.push(worker, &datagram, outer);
    }

    /// What another worker sent.
    fn open(&mut self, parcel: Parcel) {
        for (raw, outer) in parcel.batch.packets() {
            self.latest = raw.at.time;
            // Two workers that disagree about whose it is would send it to and fro.
            self.shard.take(&raw, outer);
        }
        self.lanes.give_back(parcel.from, parcel.batch);
    }

    /// Opens a few parcels; whether there was any.
    fn open_some(&mut self) -> Result<bool, TryRecvError> {
        for nth in 0..INBOX_BURST {
            match self.lanes.receive() {
                Ok(parcel) => self.open(parcel),
                Err(TryRecvError::Empty) => return Ok(nth > 0),
                Err(gone @ TryRecvError::Disconnected) => return if nth > 0 { Ok(true) } else { Err(gone) },
            }
        }
        Ok(true)
    }
}

impl Worker {
    pub(super) fn new(
        index: usize,
        shard: Shard,
        lanes: Lanes,
        taps: Vec<Tap>,
        stop: &Arc<AtomicBool>,
        rules: Receiver<Arc<Shared>>,
        (tell, underway): (Sender<News>, Arc<AtomicUsize>),
    ) -> Self {
        let messages_max = shard.messages_max();
        Self {
            index,
            taps,
            desk: Desk {
                shard,
                lanes,
                latest: Timestamp::MIN,
            },
            stop: Arc::clone(stop),
            rules,
            tell,
            underway,
            messages_max,
            ticked: Timestamp::MIN,
        }
    }

    /// Until every handle has ended or is stopped, here and with all others.
    pub(super) fn run(mut self) {
        while self.turn() {}
        let Desk { shard, lanes, .. } = &mut self.desk;
        let mut open = |lanes: &mut Lanes| match lanes.wait(IDLE_WAIT) {
            Ok(parcel) => {
                for (raw, outer) in parcel.batch.packets() {
                    shard.take(&raw, outer);
                }
                lanes.give_back(parcel.from, parcel.batch);
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        };
        lanes.finish(&mut |lanes| {
            open(lanes);
        });
        while open(lanes) {}
        self.desk.shard.drain();
        self.publish(true);
    }

    /// Every handle once; whether there is more to do than to wait for the others.
    fn turn(&mut self) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            self.taps.iter_mut().for_each(Tap::stop);
        }
        let (mut busy, mut left) = (false, false);
        for tap in &mut self.taps {
            let turn = tap.burst(&mut |raw| self.desk.take(raw));
            busy |= turn == Turn::Busy;
            left |= turn != Turn::Ended;
        }
        let received = self.desk.open_some();
        busy |= received == Ok(true);
        // Without handles of its own it still looks into what others send, until all of them have ended or all are to.
        if !left && (received.is_err() || self.stop.load(Ordering::Relaxed)) {
            return false;
        }
        let now = if busy { self.desk.latest } else { self.rest() };
        self.desk.lanes.flush_old(now);
        self.tick(now);
        true
    }

    /// A quiet moment; a quiet wire has no packet time, so that the clock on the wall stands in.
    fn rest(&mut self) -> Timestamp {
        self.desk.lanes.flush();
        if self.taps.is_empty() {
            if let Ok(parcel) = self.desk.lanes.wait(INBOX_WAIT) {
                self.desk.open(parcel);
            }
        } else {
            std::thread::sleep(IDLE_WAIT);
        }
        clock()
    }

    /// Once a second. A clock that was set back starts anew.
    fn tick(&mut self, now: Timestamp) {
        if now.nanos().abs_diff(self.ticked.nanos()) < PUBLISH_NANOS {
            return;
        }
        self.ticked = now;
        if let Some(shared) = self.rules.try_iter().last() {
            self.desk.shard.adopt(&shared);
        }
        self.desk.shard.tick(now);
        self.publish(false);
    }

    /// Hands messages over, unless those before are still waiting: then they stay here, within their bound.
    fn hand_over_messages(&mut self) {
        let count = self.desk.shard.messages();
        if count == 0 || self.underway.load(Ordering::Relaxed).saturating_add(count) > self.messages_max {
            return;
        }
        self.underway.fetch_add(count, Ordering::Relaxed);
        // Nobody listens any more when the grace of stopping was over.
        let _ = self.tell.send(News::Messages(self.desk.shard.take_messages()));
    }

    fn publish(&mut self, done: bool) {
        self.taps.iter_mut().for_each(Tap::publish);
        self.hand_over_messages();
        let mut counters = self.desk.shard.counters();
        counters.lost.queue_drops = self.desk.lanes.dropped;
        // Nobody listens any more when the grace of stopping was over.
        let _ = self.tell.send(News::Shard {
            index: self.index,
            at: now(),
            counters: Box::new(counters),
            load: self.desk.shard.load(),
            orphaned: self.desk.lanes.orphaned,
            done,
        });
    }
}
