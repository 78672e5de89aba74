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
use crate::packet::{self, steer};
use crate::source::KeyLog;
use crate::stream::secrets::Secrets;

/// Worker `index` of `count`: owns every slice whose number leaves `index` when divided by `count`.
pub struct Shard {
    shared: Arc<Shared>,
    slices: Vec<Option<Slice>>,
    /// Of its own capture files, in their order, above those that all workers share.
    secrets: Arc<Secrets>,
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
        match packet::decode(raw, self.shared.settings.checksums) {
            Ok(Packet::Tcp(segment)) => {
                let (key, from_low) = steer::key(segment.src, segment.dst, Transport::Tcp);
                if let Some(slice) = self.slice(&key) {
                    slice.0.count(raw);
                    slice.0.segment(key, from_low, &segment, slice.1);
                }
            }
            Ok(Packet::Udp(datagram)) => {
                let (key, from_low) = steer::key(datagram.src, datagram.dst, Transport::Udp);
                if let Some(slice) = self.slice(&key) {
                    slice.0.count(raw);
                    slice.0.datagram(key, from_low, &datagram, slice.1);
                }
            }
            Ok(Packet::Other) => self.outside(raw, 0),
            Err(_) => self.outside(raw, 1),
        }
    }

    fn slice(&mut self, key: &steer::FlowKey) -> Option<(&mut Slice, &Shared)> {
        let number = usize::from(self.shared.settings.steering.slice(key));
        let slice = self.slices.get_mut(number)?.as_mut()?;
        Some((slice, &self.shared))
    }

    /// A packet of no flow.
    fn outside(&mut self, raw: &RawPacket<'_>, undecodable: u64) {
        if self.leads {
            self.counters.count(raw);
            self.counters.lost.undecodable_packets += undecodable;
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
        if self.leads {
            self.counters.blind.evicted_secrets = self.secrets.evicted();
        }
        self.counters
    }

    /// First and last packet time; `None` but for the leading worker.
    pub const fn seen(&self) -> Option<(Timestamp, Timestamp)> {
        self.seen
    }
}
