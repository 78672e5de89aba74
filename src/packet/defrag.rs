//! Fragments of IPv4 (RFC 791, RFC 815) and IPv6 (RFC 8200, section 4.5) become whole datagrams.
//!
//! Bounded by datagrams, by bytes, by fragments of one datagram and by packet time; the oldest datagram goes first. What
//! is held grows with the bytes that came, never with the offset that a fragment claims.
//!
//! Where fragments overlap, hosts differ. A fragment that repeats what is there is a copy, from a mirror port or
//! of the network, and changes nothing. Else IPv6 gives the datagram up, as RFC 5722 wants. In IPv4 the byte that came
//! first stays, as BSD has it; Linux and Windows give the datagram up today, but reading nothing would let the sender
//! hide from the sensor what some receivers read. Every contradiction is counted. A datagram that became whole is
//! remembered for a while, so that copies of its fragments do not wait for a rest that never comes: with other bytes
//! under the same identification it is the next datagram.
//!
//! Costs two look-ups and two copies a fragment. Deliberately no fragments that the snap length cut.

mod pieces;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;

use super::config::Config;
use super::defrag::pieces::{Met, Pieces};
use crate::model::counters::Lost;
use crate::model::stamp::Timestamp;

/// What every datagram that waits is charged on top of its bytes.
const DATAGRAM_OVERHEAD_BYTES: usize = 256;

/// Which fragments belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// Part of the key in IPv4 only; else 0.
    pub(super) protocol: u8,
    pub(super) id: u32,
}

/// A fragment whose header is sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) key: Key,
    /// What is in the datagram, as this fragment has it.
    pub(super) protocol: u8,
    /// In bytes.
    pub(super) offset: usize,
    /// Whether others follow.
    pub(super) more: bool,
    pub(super) data: &'a [u8],
    /// Whether a source route changes the addresses on the way: then checksums cannot be computed.
    pub(super) routed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// It was handed on; copies are still known.
    Whole,
    /// It contradicts itself: no fragment of it counts (RFC 5722).
    GivenUp,
}

struct Datagram {
    /// Position in the order of first fragments.
    number: u64,
    /// When it came to its state, or its first fragment came.
    since: Timestamp,
    state: State,
    pieces: Pieces,
    fragments: u64,
    protocol: u8,
    routed: bool,
}

impl Datagram {
    fn charge(&self) -> usize {
        self.pieces.held_bytes().saturating_add(DATAGRAM_OVERHEAD_BYTES)
    }
}

/// The fragments that wait.
pub(super) struct Defrag {
    max_bytes: usize,
    max_datagrams: usize,
    max_pieces: usize,
    timeout_nanos: u64,
    repeat_nanos: u64,
    /// Never walked: the order of a hash must not show.
    datagrams: HashMap<Key, Datagram>,
    /// Those that wait, and were given up, by age.
    waiting: BTreeMap<u64, Key>,
    /// Those that are whole, by age: they make room first.
    whole: BTreeMap<u64, Key>,
    numbers: u64,
    held_bytes: usize,
    lost: Lost,
}

impl Defrag {
    pub(super) fn new(config: &Config) -> Self {
        let nanos = |milliseconds: u64| milliseconds.saturating_mul(1_000_000);
        Self {
            max_bytes: config.fragments_max_bytes,
            max_datagrams: config.fragments_max_datagrams,
            max_pieces: config.fragments_max_pieces,
            timeout_nanos: nanos(config.fragments_timeout_ms),
            repeat_nanos: nanos(config.fragments_repeat_ms),
            datagrams: HashMap::new(),
            waiting: BTreeMap::new(),
            whole: BTreeMap::new(),
            numbers: 0,
            held_bytes: 0,
            lost: Lost::default(),
        }
    }

    pub(super) fn take_lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    /// Nothing comes any more.
    pub(super) fn drain(&mut self) {
        while let Some((_, key)) = self.waiting.first_key_value() {
            let key = *key;
            self.orphan(&key);
        }
    }

    /// Takes a fragment. `true` when it made its datagram whole, which is then in `out`.
    pub(super) fn push(&mut self, now: Timestamp, fragment: &Fragment<'_>, out: &mut Vec<u8>) -> bool {
        self.expire(now);
        match self.known(now, fragment) {
            Some(State::Whole) => return false,
            Some(State::GivenUp | State::Open) => self.make_room(0, fragment.data.len()),
            None => {
                self.make_room(1, fragment.data.len().saturating_add(DATAGRAM_OVERHEAD_BYTES));
                self.open(now, fragment);
            }
        }
        // Making room may have taken this very datagram away.
        let Some(datagram) = self.datagrams.get_mut(&fragment.key) else {
            self.lost.evicted_fragments = self.lost.evicted_fragments.saturating_add(1);
            return false;
        };
        datagram.fragments = datagram.fragments.saturating_add(1);
        if datagram.state == State::GivenUp {
            return false;
        }
        let before = datagram.charge();
        let met = datagram.pieces.insert(fragment.offset, fragment.data, !fragment.more);
        if fragment.offset == 0 && met == Met::New {
            datagram.protocol = fragment.protocol;
        }
        datagram.routed |= fragment.routed;
        let strict = fragment.key.src.is_ipv6();
        let contradicts = met == Met::Contradiction || (strict && met == Met::Overlap);
        if contradicts {
            self.lost.conflicting_fragments = self.lost.conflicting_fragments.saturating_add(1);
        }
        if contradicts && strict {
            datagram.state = State::GivenUp;
            datagram.pieces.forget();
        }
        self.held_bytes = self.held_bytes.saturating_sub(before).saturating_add(datagram.charge());
        if datagram.pieces.len() > self.max_pieces {
            self.evict(&fragment.key);
            return false;
        }
        if !datagram.pieces.are_whole() {
            return false;
        }
        header(&fragment.key, datagram, out);
        datagram.pieces.write(out);
        (datagram.state, datagram.since) = (State::Whole, now);
        let number = datagram.number;
        self.waiting.remove(&number);
        self.whole.insert(number, fragment.key);
        true
    }

    /// The state of the fragment's datagram, if it is there; one that the fragment cannot belong to goes.
    fn known(&mut self, now: Timestamp, fragment: &Fragment<'_>) -> Option<State> {
        let datagram = self.datagrams.get(&fragment.key)?;
        let age = now.nanos().abs_diff(datagram.since.nanos());
        let state = datagram.state;
        if state == State::Whole {
            let repeats = datagram.pieces.hold(fragment.offset, fragment.data, !fragment.more);
            if repeats && age <= self.repeat_nanos {
                return Some(state);
            }
            self.remove(&fragment.key);
            return None;
        }
        if age > self.timeout_nanos {
            self.orphan(&fragment.key);
            return None;
        }
        Some(state)
    }

    fn open(&mut self, now: Timestamp, fragment: &Fragment<'_>) {
        self.numbers = self.numbers.saturating_add(1);
        let datagram = Datagram {
            number: self.numbers,
            since: now,
            state: State::Open,
            pieces: Pieces::default(),
            fragments: 0,
            protocol: fragment.protocol,
            routed: false,
        };
        self.held_bytes = self.held_bytes.saturating_add(datagram.charge());
        self.waiting.insert(self.numbers, fragment.key);
        self.datagrams.insert(fragment.key, datagram);
    }

    /// Gives up what is too old. Time that goes back makes nothing older than it is.
    fn expire(&mut self, now: Timestamp) {
        let age = |datagram: &Datagram| now.nanos().saturating_sub(datagram.since.nanos()).max(0).unsigned_abs();
        while let Some(key) = self.whole.first_key_value().map(|(_, key)| *key)
            && self
                .datagrams
                .get(&key)
                .is_none_or(|datagram| age(datagram) > self.repeat_nanos)
        {
            self.remove(&key);
        }
        while let Some(key) = self.waiting.first_key_value().map(|(_, key)| *key)
            && self
                .datagrams
                .get(&key)
                .is_none_or(|datagram| age(datagram) > self.timeout_nanos)
        {
            self.orphan(&key);
        }
    }

    /// Makes room for so many datagrams and bytes more: first by forgetting what is whole, then by eviction.
    fn make_room(&mut self, datagrams: usize, bytes: usize) {
        while self.datagrams.len().saturating_add(datagrams) > self.max_datagrams
            || self.held_bytes.saturating_add(bytes) > self.max_bytes
        {
            if let Some(key) = self.whole.first_key_value().map(|(_, key)| *key) {
                self.remove(&key);
            } else if let Some(key) = self.waiting.first_key_value().map(|(_, key)| *key) {
                self.evict(&key);
            } else {
                break;
            }
        }
    }

    fn evict(&mut self, key: &Key) {
        let fragments = self.remove(key);
        self.lost.evicted_fragments = self.lost.evicted_fragments.saturating_add(fragments);
    }

    fn orphan(&mut self, key: &Key) {
        let fragments = self.remove(key);
        self.lost.orphan_fragments = self.lost.orphan_fragments.saturating_add(fragments);
    }

    /// Gives the number of its fragments.
    fn remove(&mut self, key: &Key) -> u64 {
        let Some(datagram) = self.datagrams.remove(key) else {
            return 0;
        };
        self.held_bytes = self.held_bytes.saturating_sub(datagram.charge());
        self.waiting.remove(&datagram.number);
        self.whole.remove(&datagram.number);
        datagram.fragments
    }
}

/// Writes a header for the whole. Of the options and extensions that were in front of the fragments only one thing
/// matters: where they change the addresses, a length of 0 says that nothing can be checked.
fn header(key: &Key, datagram: &Datagram, out: &mut Vec<u8>) {
    out.clear();
    let len = |header: usize| {
        let whole = datagram.pieces.total().saturating_add(header);
        let told = if datagram.routed { 0 } else { whole };
        u16::try_from(told).unwrap_or_default().to_be_bytes()
    };
    match (key.src, key.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let ([l0, l1], [s0, s1, s2, s3], [d0, d1, d2, d3]) = (len(20), src.octets(), dst.octets());
            let protocol = datagram.protocol;
            let blank = [
                0x45, 0, l0, l1, 0, 0, 0, 0, 64, protocol, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3,
            ];
            let sum = Sum16BitWords::new().add_slice(&blank).ones_complement();
            // The sum is in the byte order of the machine, as it lies in memory.
            let [c0, c1] = sum.to_ne_bytes();
            out.extend_from_slice(&[
                0x45, 0, l0, l1, 0, 0, 0, 0, 64, protocol, c0, c1, s0, s1, s2, s3, d0, d1, d2, d3,
            ]);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let [l0, l1] = len(0);
            out.extend_from_slice(&[0x60, 0, 0, 0, l0, l1, datagram.protocol, 64]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
        }
        // No packet has addresses of two families.
        _ => {}
    }
}

#[cfg(test)]
#[path = "defrag/tests.rs"]
mod tests;
