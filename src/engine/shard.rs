//! A worker's share of the flow space: whole slices, in one thread.
//!
//! Cost per packet: decode, one hash, one look-up. A packet of a slice that another worker owns costs decode and hash.

use std::sync::Arc;

use crate::engine::Shared;
use crate::engine::slice::Slice;
use crate::inventory::admission::SLICES;
use crate::model::counters::Counters;
use crate::model::net::Transport;
use crate::model::packet::{Packet, RawPacket};
use crate::model::stamp::Timestamp;
use crate::packet::{Decoder, steer};
use crate::source::KeyLog;
use crate::stream::secrets::Secrets;

/// Worker `index` of `count`: owns every slice whose number leaves `index` when divided by `count`.
pub struct Shard {
    shared: Arc<Shared>,
    slices: Vec<Option<Slice>>,
    /// Of its own capture files, in their order, above those that all workers share.
    secrets: Arc<Secrets>,
    decoder: Decoder,
    /// Counts what belongs to no flow: exactly one worker does.
    leads: bool,
    counters: Counters,
    seen: Option<(Timestamp, Timestamp)>,
}

impl Shard {
    /// A worker.
    pub fn new(shared: &Arc<Shared>, index: usize, count: usize) -> Self {
        let secrets = Arc::new(match &shared.settings.secrets {
            Some(all) => Secrets::above(all),
            None => Secrets::new(shared.settings.tls.max_connections, false),
        });
        let slices = (0..SLICES)
            .zip(0_u16..)
            .map(|(slice, number)| (slice % count.max(1) == index).then(|| Slice::new(shared, number, &secrets)))
            .collect();
        Self {
            shared: Arc::clone(shared),
            slices,
            secrets,
            decoder: Decoder::new(&shared.settings.packet, shared.settings.checksums),
            leads: index == 0,
            counters: Counters::default(),
            seen: None,
        }
    }

    /// A key log out of a capture. From then on another one may follow, so that flows without secrets are waited for.
    pub fn secrets(&mut self, log: KeyLog<'_>) {
        self.secrets.read(log.0);
        self.secrets.expect_more();
    }

    /// A packet. Packets of other workers' slices are passed over.
    pub fn packet(&mut self, raw: &RawPacket<'_>) {
        if self.leads {
            let (first, last) = self.seen.get_or_insert((raw.at.time, raw.at.time));
            (*first, *last) = ((*first).min(raw.at.time), (*last).max(raw.at.time));
        }
        let Self {
            shared,
            slices,
            decoder,
            ..
        } = self;
        match decoder.decode(raw).map(|decoded| (decoded.packet, decoded.outer)) {
            Ok((Packet::Tcp(segment), outer)) => {
                let (key, from_low) = steer::key(segment.src, segment.dst, Transport::Tcp);
                if let Some(slice) = owned(slices, shared, &key) {
                    slice.count(raw);
                    slice.segment(key, from_low, &segment, outer, shared);
                }
            }
            Ok((Packet::Udp(datagram), outer)) => {
                let (key, from_low) = steer::key(datagram.src, datagram.dst, Transport::Udp);
                if let Some(slice) = owned(slices, shared, &key) {
                    slice.count(raw);
                    slice.datagram(key, from_low, &datagram, outer, shared);
                }
            }
            Ok((Packet::Encrypted(bytes), _)) => self.outside(raw, 0, bytes),
            Ok((Packet::Fragment | Packet::Other, _)) => self.outside(raw, 0, 0),
            Err(_) => self.outside(raw, 1, 0),
        }
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
        }
    }

    /// Ends every flow.
    pub fn drain(&mut self) {
        self.decoder.drain();
        for slice in self.slices.iter_mut().flatten() {
            slice.drain(&self.shared);
        }
    }

    /// Everything counted so far.
    pub fn counters(&mut self) -> Counters {
        let mut evicted = 0;
        for slice in self.slices.iter_mut().flatten() {
            slice.take_counters(&mut self.counters);
            evicted += slice.evicted();
        }
        self.counters.lost.evicted_flows = evicted;
        // Every worker holds the same fragments; the leading one tells what was lost of them.
        let lost = self.decoder.take_lost();
        if self.leads {
            self.counters.lost.add(&lost);
            self.counters.blind.evicted_secrets = self.secrets.evicted();
        }
        self.counters
    }

    /// First and last packet time; `None` but for the leading worker.
    pub const fn seen(&self) -> Option<(Timestamp, Timestamp)> {
        self.seen
    }
}

/// The slice of a flow, when this worker owns it.
fn owned<'a>(slices: &'a mut [Option<Slice>], shared: &Shared, key: &steer::FlowKey) -> Option<&'a mut Slice> {
    let number = usize::from(shared.settings.steering.slice(key));
    slices.get_mut(number)?.as_mut()
}
