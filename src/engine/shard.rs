//! A worker's share of the flow space: whole slices, in one thread.
//!
//! Cost per packet: decode, one hash, one look-up. A packet of a slice that another worker owns costs decode and hash.

use std::sync::Arc;

use crate::engine::Shared;
use crate::engine::messages::Messages;
use crate::engine::slice::Slice;
use crate::inventory::admission::SLICES;
use crate::model::counters::{Counters, Load};
use crate::model::message_seen::MessageSeen;
use crate::model::net::Transport;
use crate::model::packet::{Outer, Packet, RawPacket};
use crate::model::stamp::Timestamp;
use crate::packet::{Decoder, steer};
use crate::source::KeyLog;
use crate::stream::secrets::Secrets;

/// Which of all packets come to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All; it takes those of its slices, and each of the others does the same.
    All,
    /// Any; those of other workers' slices are handed over.
    Some,
    /// Whole flows that the kernel chose for it: they go to one of its slices. The kernel chooses by what is outermost;
    /// what was in a tunnel is handed over to the worker of its slice, so that its two directions meet.
    Flows,
}

/// A packet that another worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Which one.
    pub worker: usize,
    /// Whether it came in fragments, and is now in [`Shard::take_whole`].
    pub whole: bool,
    /// What was around it.
    pub outer: Option<Outer>,
}

/// Worker `index` of `count`: owns every slice whose number leaves `index` when divided by `count`.
pub struct Shard {
    shared: Arc<Shared>,
    slices: Vec<Option<Slice>>,
    index: usize,
    count: usize,
    share: Share,
    /// Of its own capture files, in their order, above those that all workers share.
    secrets: Arc<Secrets>,
    decoder: Decoder,
    /// Counts what belongs to no flow: of workers that see the same packets exactly one does.
    leads: bool,
    counters: Counters,
    seen: Option<(Timestamp, Timestamp)>,
    messages: Messages,
}

impl Shard {
    /// A worker that sees every packet.
    pub fn new(shared: &Arc<Shared>, index: usize, count: usize) -> Self {
        Self::sharing(shared, (index, count), Share::All)
    }

    /// Worker `index` of `count`, to which such packets come.
    pub fn sharing(shared: &Arc<Shared>, (index, count): (usize, usize), share: Share) -> Self {
        let count = count.clamp(1, SLICES);
        let secrets = Arc::new(match &shared.settings.secrets {
            Some(all) => Secrets::above(all),
            None => Secrets::new(shared.settings.tls.max_connections, false),
        });
        let slices = (0..SLICES)
            .zip(0_u16..)
            .map(|(slice, number)| (slice % count == index).then(|| Slice::new(shared, number, &secrets)))
            .collect();
        Self {
            shared: Arc::clone(shared),
            slices,
            index,
            count,
            share,
            secrets,
            decoder: Decoder::new(&shared.settings.packet, shared.settings.checksums),
            leads: index == 0 || share != Share::All,
            counters: Counters::default(),
            seen: None,
            messages: Messages::new(&shared.settings),
        }
    }

    /// From the next packet on the rules are those of `shared`, which is of the same run.
    pub fn adopt(&mut self, shared: &Arc<Shared>) {
        self.shared = Arc::clone(shared);
    }

    /// A key log out of a capture. From then on another one may follow, so that flows without secrets are waited for.
    pub fn secrets(&mut self, log: KeyLog<'_>) {
        self.secrets.read(log.0);
        self.secrets.expect_more();
    }

    /// A packet. Packets of other workers' slices are passed over.
    pub fn packet(&mut self, raw: &RawPacket<'_>) {
        self.take(raw, None);
    }

    /// A packet, with what was around it before it was put together elsewhere. Gives it back where it is another
    /// worker's.
    pub fn take(&mut self, raw: &RawPacket<'_>, around: Option<Outer>) -> Option<Elsewhere> {
        if self.leads {
            let (first, last) = self.seen.get_or_insert((raw.at.time, raw.at.time));
            (*first, *last) = ((*first).min(raw.at.time), (*last).max(raw.at.time));
        }
        let Self {
            shared,
            slices,
            decoder,
            index,
            count,
            share,
            messages,
            ..
        } = self;
        let Ok(decoded) = decoder.decode(raw) else {
            self.outside(raw, 1, 0);
            return None;
        };
        let (outer, whole) = (decoded.outer.or(around), decoded.reassembled);
        let (key, from_low) = match &decoded.packet {
            Packet::Tcp(segment) => steer::key(segment.src, segment.dst, Transport::Tcp),
            Packet::Udp(datagram) => steer::key(datagram.src, datagram.dst, Transport::Udp),
            Packet::Encrypted(bytes) => {
                let bytes = *bytes;
                self.outside(raw, 0, bytes);
                return None;
            }
            Packet::Fragment | Packet::Other => {
                self.outside(raw, 0, 0);
                return None;
            }
        };
        let number = usize::from(shared.settings.steering.slice(&key));
        let slice = match slices.get_mut(number) {
            Some(Some(slice)) => slice,
            _ => {
                let steered = whole || outer.is_some_and(|outer| outer.is_tunnel());
                if *share != Share::Flows || steered {
                    let worker = number % *count;
                    return Some(Elsewhere { worker, whole, outer });
                }
                slices.get_mut(near(number, *index, *count))?.as_mut()?
            }
        };
        slice.count(raw);
        match &decoded.packet {
            Packet::Tcp(segment) => slice.segment(key, from_low, segment, outer, shared),
            Packet::Udp(datagram) => slice.datagram(key, from_low, datagram, outer, shared),
            Packet::Encrypted(_) | Packet::Fragment | Packet::Other => {}
        }
        messages.collect(slice.messages());
        None
    }

    /// A packet of another worker that came in fragments, from its IP header on; its last fragment is counted here.
    pub fn take_whole(&mut self, raw: &RawPacket<'_>) -> Vec<u8> {
        self.counters.count(raw);
        self.decoder.take_whole()
    }

    /// A packet of no flow.
    fn outside(&mut self, raw: &RawPacket<'_>, undecodable: u64, encrypted_bytes: u32) {
        if self.leads {
            self.counters.count(raw);
            self.counters.lost.undecodable_packets += undecodable;
            self.counters.blind.encrypted_bytes += u64::from(encrypted_bytes);
        }
    }

    /// Ends what has been idle at this moment of packet time.
    pub fn tick(&mut self, now: Timestamp) {
        for slice in self.slices.iter_mut().flatten() {
            slice.tick(now, &self.shared);
            self.messages.collect(slice.messages());
        }
    }

    /// Ends every flow.
    pub fn drain(&mut self) {
        self.decoder.drain();
        for slice in self.slices.iter_mut().flatten() {
            slice.drain(&self.shared);
            self.messages.collect(slice.messages());
        }
    }

    /// Messages since the last call, in no order.
    pub fn take_messages(&mut self) -> Vec<MessageSeen> {
        self.messages.take()
    }

    /// Bound of the messages that wait.
    pub fn messages_max(&self) -> usize {
        self.shared.settings.messages_max
    }

    /// Messages that wait to be taken.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Everything counted so far.
    pub fn counters(&mut self) -> Counters {
        let mut evicted = 0;
        for slice in self.slices.iter_mut().flatten() {
            slice.take_counters(&mut self.counters);
            evicted += slice.evicted();
        }
        self.counters.lost.evicted_flows = evicted;
        self.counters.lost.shed_events += self.messages.take_shed();
        // Every worker holds the same fragments; the leading one tells what was lost of them.
        let lost = self.decoder.take_lost();
        if self.leads {
            self.counters.lost.add(&lost);
            self.counters.blind.evicted_secrets = self.secrets.evicted();
        }
        self.counters
    }

    /// What it holds.
    pub fn load(&self) -> Load {
        let slices = self.slices.iter().flatten().map(Slice::load);
        slices.fold(Load::default(), |mut sum, load| {
            sum.add(load);
            sum
        })
    }

    /// First and last packet time; `None` but for the leading worker.
    pub const fn seen(&self) -> Option<(Timestamp, Timestamp)> {
        self.seen
    }
}

/// The slice of worker `index` of `count` that stands in for a slice of another one.
const fn near(number: usize, index: usize, count: usize) -> usize {
    let slice = number - number % count + index;
    if slice < SLICES { slice } else { slice - count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_has_a_slice_for_every_flow() {
        for count in 1..=SLICES {
            for index in 0..count {
                for number in 0..SLICES {
                    let slice = near(number, index, count);
                    assert!(slice < SLICES && slice % count == index, "{number} {index} {count}");
                }
            }
        }
    }
}
