//! The thread of one source in live capture: packets into batches, batches to shards, a tick each second.
//!
//! Costs a copy per packet, and with more than one shard a decode. No lock, no wait, and no clock but on a quiet wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::Shared;
use crate::engine::batch::Batch;
use crate::engine::live::{Config, Message, News, Tapped, join};
use crate::model::net::Transport;
use crate::model::packet::{LinkType, Packet, RawPacket};
use crate::model::stamp::Timestamp;
use crate::packet::{Decoder, steer};
use crate::source::{Pull, Source};

/// Between two ticks, in nanoseconds.
const TICK_NANOS: u64 = 1_000_000_000;

/// Packets between two looks at the flag that stops: a busy wire is never idle.
const STOP_CHECK_PACKETS: u32 = 256;

/// How long a source that was stopped is asked for what the kernel still gathers: twice the default read time-out.
const GATHER_NANOS: u64 = 200_000_000;

/// How long a source that was stopped is read at most, when it holds more than that.
const BACKLOG_NANOS: u64 = 2_000_000_000;

/// The way to one shard.
pub(super) struct Lane {
    queue: SyncSender<Message>,
    filling: Batch,
}

impl Lane {
    pub(super) fn new(queue: SyncSender<Message>) -> Self {
        Self {
            queue,
            filling: Batch::default(),
        }
    }
}

/// A source at work.
pub(super) struct Tap {
    index: usize,
    source: Box<dyn Source>,
    feed: Feed,
    stop: Arc<AtomicBool>,
    tell: Sender<News>,
}

impl Tap {
    pub(super) fn new(
        index: usize,
        source: Box<dyn Source>,
        lanes: Vec<Lane>,
        returned: Receiver<Batch>,
        shared: &Arc<Shared>,
        config: &Config,
        (stop, tell): (&Arc<AtomicBool>, &Sender<News>),
    ) -> Self {
        Self {
            index,
            source,
            feed: Feed {
                index: u16::try_from(index).unwrap_or(u16::MAX),
                lanes,
                returned,
                decoder: Decoder::new(&shared.settings.packet, shared.settings.checksums),
                shared: Arc::clone(shared),
                max_bytes: config.batch_max_bytes,
                flush_nanos: config.flush_ms.saturating_mul(1_000_000),
                state: Tapped::default(),
                ticked: Timestamp::MIN,
                orphaned: false,
            },
            stop: Arc::clone(stop),
            tell: tell.clone(),
        }
    }

    /// Until the source ends or is stopped.
    pub(super) fn run(mut self) {
        let mut packets: u32 = 0;
        let mut stopped: Option<Timestamp> = None;
        loop {
            let (now, idle) = match self.source.pull() {
                Pull::Packet(raw) => {
                    self.feed.packet(&raw);
                    packets = packets.wrapping_add(1);
                    if !packets.is_multiple_of(STOP_CHECK_PACKETS) {
                        continue;
                    }
                    (raw.at.time, false)
                }
                Pull::Idle => {
                    self.feed.state.worked = true;
                    self.feed.flush();
                    (clock(), true)
                }
                // An interface has none; a file that is given in place of one is for a replay.
                Pull::Secrets(_) => continue,
                Pull::End => break,
                Pull::Failed(error) => {
                    self.fail(error.to_string());
                    break;
                }
            };
            if self.stop.load(Ordering::Relaxed) {
                // What was sent before the stop is still in the ring, or gathered by the kernel.
                let since = *stopped.get_or_insert_with(clock);
                let waited = clock().since(since);
                if waited >= BACKLOG_NANOS || (idle && waited >= GATHER_NANOS) || (!idle && now > since) {
                    break;
                }
            }
            self.feed.flush_old(now);
            if self.feed.tick(now) {
                self.publish();
            }
            if self.feed.orphaned {
                self.fail("a worker ended in a bug, and its flows go unseen; start the sensor again".to_owned());
                break;
            }
        }
        self.feed.finish();
        self.feed.decoder.drain();
        self.feed.state.ended = true;
        self.publish();
    }

    /// Nobody listens any more when the grace of stopping was over.
    fn fail(&self, error: String) {
        let index = self.index;
        let _ = self.tell.send(News::Failed { index, error });
    }

    fn publish(&mut self) {
        self.feed.state.kernel_drops = self.source.kernel_drops();
        self.feed.state.counters.lost.add(&self.feed.decoder.take_lost());
        let (index, state) = (self.index, self.feed.state);
        // Nobody listens any more when the grace of stopping was over.
        let _ = self.tell.send(News::Source { index, state });
    }
}

/// All of a tap but its source, whose packets are borrowed from it.
struct Feed {
    index: u16,
    lanes: Vec<Lane>,
    returned: Receiver<Batch>,
    /// Only with more than one shard.
    decoder: Decoder,
    shared: Arc<Shared>,
    max_bytes: usize,
    flush_nanos: u64,
    state: Tapped,
    ticked: Timestamp,
    /// A shard has gone.
    orphaned: bool,
}

impl Feed {
    fn packet(&mut self, raw: &RawPacket<'_>) {
        self.state.worked = true;
        self.state.seen = join(self.state.seen, Some((raw.at.time, raw.at.time)));
        if self.lanes.len() > 1 {
            self.steer(raw);
        } else {
            self.push(0, raw);
        }
    }

    /// To the shard that owns a packet's slice; what belongs to no flow is counted here.
    fn steer(&mut self, raw: &RawPacket<'_>) {
        let decoded = self.decoder.decode(raw);
        let counters = &mut self.state.counters;
        let (key, reassembled) = match decoded.map(|decoded| (decoded.packet, decoded.reassembled)) {
            Ok((Packet::Tcp(segment), whole)) => (steer::key(segment.src, segment.dst, Transport::Tcp).0, whole),
            Ok((Packet::Udp(datagram), whole)) => (steer::key(datagram.src, datagram.dst, Transport::Udp).0, whole),
            Ok((Packet::Encrypted(bytes), _)) => {
                counters.count(raw);
                counters.blind.encrypted_bytes += u64::from(bytes);
                return;
            }
            Ok((Packet::Fragment | Packet::Other, _)) => return counters.count(raw),
            Err(_) => {
                counters.count(raw);
                counters.lost.undecodable_packets += 1;
                return;
            }
        };
        let number = usize::from(self.shared.settings.steering.slice(&key)) % self.lanes.len();
        if !reassembled {
            return self.push(number, raw);
        }
        counters.count(raw);
        let whole = self.decoder.take_whole();
        self.push(
            number,
            &RawPacket {
                at: raw.at,
                link: LinkType::Datagram,
                data: &whole,
                wire_len: u32::try_from(whole.len()).unwrap_or(u32::MAX),
            },
        );
    }

    fn push(&mut self, number: usize, raw: &RawPacket<'_>) {
        let Some(lane) = self.lanes.get(number) else { return };
        if self.is_old(lane, raw.at.time) || !lane.filling.fits(raw.data.len(), self.max_bytes) {
            self.send(number);
        }
        if let Some(lane) = self.lanes.get_mut(number) {
            lane.filling.push(raw);
        }
    }

    fn flush(&mut self) {
        (0..self.lanes.len()).for_each(|number| self.send(number));
    }

    /// On a busy wire a lane with little traffic must not wait for its next packet.
    fn flush_old(&mut self, now: Timestamp) {
        for number in 0..self.lanes.len() {
            if self.lanes.get(number).is_some_and(|lane| self.is_old(lane, now)) {
                self.send(number);
            }
        }
    }

    fn is_old(&self, lane: &Lane, now: Timestamp) -> bool {
        let first = lane.filling.first();
        first.is_some_and(|first| now.nanos().abs_diff(first.time.nanos()) >= self.flush_nanos)
    }

    /// Hands a lane's batch over, or drops it and counts its packets.
    fn send(&mut self, number: usize) {
        let Some(lane) = self.lanes.get_mut(number) else { return };
        if lane.filling.is_empty() {
            return;
        }
        let fresh = self.returned.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut lane.filling, fresh);
        let (mut refused, orphaned) = match lane.queue.try_send(Message::Batch(self.index, full)) {
            Err(TrySendError::Full(Message::Batch(_, batch))) => (batch, false),
            Err(TrySendError::Disconnected(Message::Batch(_, batch))) => (batch, true),
            Ok(()) | Err(_) => return,
        };
        self.state.queue_drops += refused.len() as u64;
        self.orphaned |= orphaned;
        refused.clear();
        // The other one may be without room yet.
        lane.filling = refused;
    }

    /// Whether a second has passed; then the shards are told. One that is behind learns it by its packets.
    fn tick(&mut self, now: Timestamp) -> bool {
        if now.nanos().abs_diff(self.ticked.nanos()) < TICK_NANOS {
            return false;
        }
        self.ticked = now;
        for lane in &self.lanes {
            let _ = lane.queue.try_send(Message::Tick(now));
        }
        true
    }

    /// Nothing is captured any more, so that this may wait for room in the queues.
    fn finish(&mut self) {
        for lane in &mut self.lanes {
            let batch = std::mem::take(&mut lane.filling);
            let len = batch.len() as u64;
            if len > 0 && lane.queue.send(Message::Batch(self.index, batch)).is_err() {
                self.state.queue_drops += len;
            }
        }
    }
}

/// A quiet wire has no packet time.
#[expect(clippy::disallowed_methods, reason = "the engine may ask a clock")]
pub(super) fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
