//! What a source gives, looked at from outside and handed on: for `live --check`, which says what a sensor can see.
//!
//! Cost per packet: decode, a hash, and a look-up among the last packets. No part of ordinary capture.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::engine::live::clock;
use crate::model::packet::{Packet, RawPacket};
use crate::model::stamp::Timestamp;
use crate::packet::{self, Checksums, Decoder};
use crate::source::{Pull, Source};

/// Packets among which a second copy is looked for.
const RECENT_MAX: usize = 4_096;
/// Between two copies of a packet that is mirrored twice, in nanoseconds; a sender repeats itself later.
const COPY_NANOS: u64 = 20_000_000;

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Packets.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// In a VLAN.
    pub vlan: u64,
    /// In a tunnel.
    pub tunnel: u64,
    /// Neither TCP nor UDP.
    pub other: u64,
    /// TCP and UDP packets with payload.
    pub carrying: u64,
    /// Of those, second copies.
    pub copies: u64,
    /// Cut by the snap length, or by whoever mirrors.
    pub cut: u64,
    /// Longest packet on the wire, in bytes.
    pub longest: u32,
    /// Largest difference of packet time and clock, in nanoseconds.
    pub skew_nanos: u64,
}

impl Look {
    /// Adds what was seen elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.vlan += other.vlan;
        self.tunnel += other.tunnel;
        self.other += other.other;
        self.carrying += other.carrying;
        self.copies += other.copies;
        self.cut += other.cut;
        self.longest = self.longest.max(other.longest);
        self.skew_nanos = self.skew_nanos.max(other.skew_nanos);
    }
}

#[expect(clippy::disallowed_types, reason = "taken once, when a source ends")]
type Slot = std::sync::Mutex<Look>;

/// Where all sources put what they saw.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Slot>);

impl Ledger {
    /// What all sources that have ended saw.
    pub fn sum(&self) -> Look {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A source that is looked at.
pub struct Watched {
    inner: Box<dyn Source>,
    eyes: Eyes,
    ledger: Ledger,
}

struct Eyes {
    look: Look,
    decoder: Decoder,
    hasher: RandomState,
    recent: VecDeque<(u64, Timestamp)>,
    known: HashSet<u64>,
}

impl Watched {
    /// Looks at what a source gives from now on.
    pub fn new(inner: Box<dyn Source>, config: &packet::Config, ledger: &Ledger) -> Self {
        Self {
            inner,
            eyes: Eyes {
                look: Look::default(),
                decoder: Decoder::new(config, Checksums::default()),
                hasher: RandomState::new(),
                recent: VecDeque::with_capacity(RECENT_MAX),
                known: HashSet::with_capacity(RECENT_MAX),
            },
            ledger: ledger.clone(),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut sum = self.ledger.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.add(&self.eyes.look);
    }
}

impl Source for Watched {
    fn pull(&mut self) -> Pull<'_> {
        let pull = self.inner.pull();
        if let Pull::Packet(raw) = &pull {
            self.eyes.see(raw);
        }
        pull
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn kernel_drops(&mut self) -> u64 {
        self.inner.kernel_drops()
    }

    fn revive(&mut self) -> bool {
        self.inner.revive()
    }
}

impl Eyes {
    fn see(&mut self, raw: &RawPacket<'_>) {
        let look = &mut self.look;
        look.packets += 1;
        look.bytes += u64::from(raw.wire_len);
        look.cut += u64::from(raw.data.len() < raw.wire_len as usize);
        look.longest = look.longest.max(raw.wire_len);
        // Asked of a few: packets wait in the ring for a moment anyway.
        if look.packets % 256 == 1 {
            look.skew_nanos = look.skew_nanos.max(clock().nanos().abs_diff(raw.at.time.nanos()));
        }
        let Ok(decoded) = self.decoder.decode(raw) else {
            look.other += 1;
            return;
        };
        look.vlan += u64::from(decoded.outer.is_some_and(|outer| outer.vlan.is_some()));
        look.tunnel += u64::from(decoded.outer.is_some_and(|outer| outer.is_tunnel()));
        let mark = match &decoded.packet {
            Packet::Tcp(it) if !it.payload.is_empty() => {
                self.hasher.hash_one((it.src, it.dst, it.seq, it.ack, it.payload))
            }
            Packet::Udp(it) if !it.payload.is_empty() => self.hasher.hash_one((it.src, it.dst, it.payload)),
            Packet::Tcp(_) | Packet::Udp(_) => return,
            Packet::Encrypted(_) | Packet::Fragment | Packet::Other => {
                look.other += 1;
                return;
            }
        };
        let copy = self.has_come(mark, raw.at.time);
        self.look.carrying += 1;
        self.look.copies += u64::from(copy);
    }

    /// Whether the same packet came a moment before.
    fn has_come(&mut self, mark: u64, now: Timestamp) -> bool {
        while let Some((old, at)) = self.recent.front().copied() {
            if self.recent.len() < RECENT_MAX && now.since(at) <= COPY_NANOS {
                break;
            }
            self.recent.pop_front();
            self.known.remove(&old);
        }
        if !self.known.insert(mark) {
            return true;
        }
        self.recent.push_back((mark, now));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::open_file;

    fn look(capture: &str) -> Look {
        let ledger = Ledger::default();
        let file = open_file(&format!("pcaps/{capture}.pcap"), 0).unwrap();
        let mut source = Watched::new(file, &packet::Config::default(), &ledger);
        while !matches!(source.pull(), Pull::End) {}
        drop(source);
        ledger.sum()
    }

    #[test]
    fn captures_are_what_their_names_say() {
        let plain = look("py_streamable_stateful");
        assert!(
            plain.packets > 0 && plain.vlan + plain.tunnel + plain.copies + plain.cut == 0,
            "{plain:?}"
        );
        let vlan = look("encap_vlan");
        assert_eq!(vlan.vlan, vlan.packets, "{vlan:?}");
        let vxlan = look("encap_vxlan");
        assert!(vxlan.tunnel > 0, "{vxlan:?}");
        let twice = look("net_span_duplicates");
        assert!(twice.copies * 5 > twice.carrying * 2, "{twice:?}");
        let cut = look("net_snaplen200");
        assert!(cut.cut > 0 && cut.longest > 200, "{cut:?}");
    }
}
