//! Against a reassembly that keeps every byte of every fragment in a map, and knows no bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const UNIT: usize = 8;

fn key(v6: bool, id: u32) -> Key {
    let addr = |host: u8| -> IpAddr {
        if v6 {
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)).into()
        } else {
            Ipv4Addr::new(10, 0, 0, host).into()
        }
    };
    Key {
        src: addr(1),
        dst: addr(2),
        protocol: if v6 { 0 } else { 17 },
        id,
    }
}

fn fragment(key: Key, offset: usize, more: bool, data: &[u8]) -> Fragment<'_> {
    Fragment {
        key,
        protocol: 17,
        offset,
        more,
        data,
        routed: false,
    }
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_nanos(1_795_168_800_000_000_000 + milliseconds * 1_000_000)
}

/// What a datagram holds behind its header.
fn payload(v6: bool, whole: &[u8]) -> Vec<u8> {
    whole[if v6 { 40 } else { 20 }..].to_vec()
}

/// One piece of a datagram.
type Cut = (usize, bool, Vec<u8>);

/// A datagram in pieces of so many units, in order.
fn cuts(bytes: &[u8], units: &[usize]) -> Vec<Cut> {
    let (mut offset, mut out, mut units) = (0, Vec::new(), units.iter().cycle());
    while offset < bytes.len() {
        let end = (offset + units.next().unwrap() * UNIT).min(bytes.len());
        out.push((offset, end < bytes.len(), bytes[offset..end].to_vec()));
        offset = end;
    }
    out
}

/// The rules of the module's head, said in the simplest way.
#[derive(Default)]
struct Oracle {
    bytes: BTreeMap<usize, u8>,
    seen: Vec<(usize, usize)>,
    total: Option<usize>,
    given_up: bool,
    whole: bool,
}

impl Oracle {
    fn push(&mut self, v6: bool, (offset, more, data): &Cut) -> Option<Vec<u8>> {
        let (start, end, last) = (*offset, offset + data.len(), !more);
        let same = (start..end).all(|at| self.bytes.get(&at) == Some(&data[at - start]));
        if self.whole {
            if same && (self.total == Some(end)) == last {
                return None;
            }
            *self = Self::default();
        }
        if self.given_up {
            return None;
        }
        let furthest = self.bytes.keys().last().map_or(0, |last| last + 1);
        let wrong_end = match self.total {
            Some(total) => end > total || (end == total) != last,
            None => last && furthest > end,
        };
        let overlaps = (start..end).any(|at| self.bytes.contains_key(&at));
        let copy = self.seen.contains(&(start, end)) && same;
        self.given_up = v6 && (wrong_end || (overlaps && !copy));
        if wrong_end || self.given_up {
            return None;
        }
        self.seen.push((start, end));
        for at in start..end {
            self.bytes.entry(at).or_insert(data[at - start]);
        }
        if last {
            self.total = Some(end);
        }
        self.whole = self.total == Some(self.bytes.len());
        self.whole.then(|| self.bytes.values().copied().collect())
    }
}

/// Bytes of few values, so that overlaps agree as often as not.
fn overlapping() -> impl Strategy<Value = Vec<Cut>> {
    let cut = (0..6_usize, 1..4_usize, prop::bool::weighted(0.7), 0..2_u8, 0..UNIT).prop_map(
        |(offset, units, more, value, short)| {
            let len = units * UNIT - if more { 0 } else { short };
            (offset * UNIT, more, vec![value; len])
        },
    );
    prop::collection::vec(cut, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_naive_reassembly_agrees(cuts in overlapping(), v6: bool) {
        let mut defrag = Defrag::new(&Config::default());
        let (mut oracle, mut out) = (Oracle::default(), Vec::new());
        for cut in &cuts {
            let piece = fragment(key(v6, 7), cut.0, cut.1, &cut.2);
            let whole = defrag.push(at(0), &piece, &mut out).then(|| payload(v6, &out));
            prop_assert_eq!(whole, oracle.push(v6, cut));
        }
        defrag.drain();
        prop_assert_eq!(defrag.held_bytes, defrag.datagrams.values().map(Datagram::charge).sum::<usize>());
    }

    /// Any cut, any order, any copies: each datagram comes out once, or not at all when a part was lost.
    #[test]
    fn what_is_not_lost_is_whole(
        datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 9..700), prop::collection::vec(1..9_usize, 1..4)), 1..6),
        order in prop::collection::vec(any::<u32>(), 200),
        copies in prop::collection::vec(prop::bool::weighted(0.2), 200),
        lost in prop::collection::vec(prop::bool::weighted(0.02), 200),
        v6: bool,
    ) {
        let mut events = Vec::new();
        let mut broken = vec![false; datagrams.len()];
        let mut number = 0_usize;
        for (index, (bytes, units)) in datagrams.iter().enumerate() {
            // One piece alone is no fragment.
            let units: Vec<usize> = units.iter().map(|units| (*units).min((bytes.len() - 1) / UNIT)).collect();
            for cut in cuts(bytes, &units) {
                number += 1;
                if lost[number % lost.len()] {
                    broken[index] = true;
                    continue;
                }
                events.push((order[number % order.len()], index, cut.clone()));
                if copies[number % copies.len()] {
                    events.push((order[(number * 7) % order.len()], index, cut));
                }
            }
        }
        events.sort_by_key(|event| event.0);
        let mut defrag = Defrag::new(&Config::default());
        let (mut seen, mut out) = (vec![None; datagrams.len()], Vec::new());
        for (now, (_, index, cut)) in (0..).zip(&events) {
            let piece = fragment(key(v6, u32::try_from(*index).unwrap()), cut.0, cut.1, &cut.2);
            if defrag.push(at(now), &piece, &mut out) {
                prop_assert!(seen[*index].replace(payload(v6, &out)).is_none(), "twice");
            }
        }
        for ((whole, broken), (bytes, _)) in seen.iter().zip(&broken).zip(&datagrams) {
            prop_assert_eq!(whole.as_ref(), if *broken { None } else { Some(bytes) });
        }
        defrag.drain();
        let lost = defrag.take_lost();
        prop_assert_eq!((lost.evicted_fragments, lost.conflicting_fragments), (0, 0));
        let left = events.iter().any(|(_, index, _)| broken[*index]);
        prop_assert_eq!(lost.orphan_fragments > 0, left);
    }
}

fn small(change: impl FnOnce(&mut Config)) -> Defrag {
    let mut config = Config::default();
    change(&mut config);
    Defrag::new(&config)
}

fn push(defrag: &mut Defrag, now: i64, id: u32, offset: usize, more: bool, data: &[u8]) -> bool {
    defrag.push(at(now), &fragment(key(false, id), offset, more, data), &mut Vec::new())
}

#[test]
fn the_oldest_datagram_goes_first() {
    let mut defrag = small(|config| config.fragments_max_datagrams = 2);
    for id in 0..3 {
        assert!(!push(&mut defrag, 0, id, 0, true, &[1; 8]));
    }
    assert_eq!(defrag.take_lost().evicted_fragments, 1);
    assert!(!push(&mut defrag, 1, 0, 8, false, &[1]), "it was the oldest");
    assert_eq!(defrag.take_lost().evicted_fragments, 1);
    assert!(push(&mut defrag, 1, 2, 8, false, &[1]));
    // What is whole makes room for what is not, without a loss.
    assert!(!push(&mut defrag, 2, 4, 0, true, &[1; 8]));
    assert_eq!(defrag.take_lost().evicted_fragments, 0);
    defrag.drain();
    assert_eq!(defrag.take_lost().orphan_fragments, 2);
    assert!(defrag.waiting.is_empty());
}

#[test]
fn bytes_are_bounded_whatever_a_fragment_claims() {
    let mut defrag = small(|config| config.fragments_max_bytes = 64 << 10);
    for id in 0..10_000 {
        let offset = if id % 2 == 0 { 65_504 } else { 0 };
        push(&mut defrag, 0, id, offset, true, &[7; 8]);
        push(&mut defrag, 0, id / 3, 8 * (id as usize % 500), true, &[7; 1_400]);
        assert!(defrag.held_bytes <= (64 << 10) + 8_000, "{}", defrag.held_bytes);
        let charged: usize = defrag.datagrams.values().map(Datagram::charge).sum();
        assert_eq!(charged, defrag.held_bytes);
        assert!(defrag.waiting.len() + defrag.whole.len() == defrag.datagrams.len());
    }
    assert!(defrag.take_lost().evicted_fragments > 9_000);
}

#[test]
fn a_datagram_of_too_many_pieces_goes() {
    let mut defrag = small(|config| config.fragments_max_pieces = 4);
    for piece in 0..5 {
        assert!(!push(&mut defrag, 0, 1, piece * 16, true, &[1; 8]));
    }
    assert_eq!(defrag.take_lost().evicted_fragments, 5);
    assert!(defrag.datagrams.is_empty() && defrag.held_bytes == 0);
}

#[test]
fn a_datagram_is_given_up_in_packet_time() {
    let mut defrag = Defrag::new(&Config::default());
    assert!(!push(&mut defrag, 0, 1, 0, true, &[1; 8]));
    assert!(!push(&mut defrag, 29_999, 2, 0, true, &[1; 8]));
    assert!(!push(&mut defrag, 30_001, 1, 8, false, &[1]), "too late");
    assert_eq!(defrag.take_lost().orphan_fragments, 1);
    assert!(
        push(&mut defrag, 30_002, 1, 0, true, &[1; 8]),
        "the next of that number"
    );
    // A clock that goes back gives nothing up, and one that is far away nothing together.
    assert!(!push(&mut defrag, -100_000, 3, 0, true, &[1; 8]));
    assert!(push(&mut defrag, 30_003, 2, 8, false, &[1]));
    assert!(!push(&mut defrag, 30_003, 3, 8, false, &[1]));
}

#[test]
fn copies_of_a_whole_datagram_are_known_for_a_while() {
    let mut defrag = Defrag::new(&Config::default());
    let (head, tail) = ([1; 8], [2; 3]);
    assert!(!push(&mut defrag, 0, 1, 0, true, &head));
    assert!(push(&mut defrag, 1, 1, 8, false, &tail));
    for _ in 0..2 {
        assert!(!push(&mut defrag, 2, 1, 0, true, &head));
        assert!(!push(&mut defrag, 2, 1, 8, false, &tail));
    }
    defrag.drain();
    assert_eq!(defrag.take_lost(), Lost::default());
    // Other bytes under the same number are the next datagram; so is the same again after a while.
    assert!(!push(&mut defrag, 3, 1, 0, true, &[3; 8]));
    assert!(push(&mut defrag, 3, 1, 8, false, &tail));
    assert!(!push(&mut defrag, 2_000, 1, 0, true, &[3; 8]));
    assert!(push(&mut defrag, 2_000, 1, 8, false, &tail));
}

/// The shapes of old attacks on whoever put fragments together.
#[test]
fn contradictions_are_counted() {
    let cases: [(&str, &[Cut], [bool; 2]); 4] = [
        (
            "a fragment inside another (teardrop)",
            &[(0, true, vec![1; 32]), (8, false, vec![2; 4]), (32, false, vec![1; 8])],
            [true, false],
        ),
        (
            "two ends",
            &[(0, true, vec![1; 8]), (16, false, vec![1; 8]), (8, false, vec![1; 8])],
            [false, false],
        ),
        (
            "beyond the end",
            &[(8, false, vec![1; 8]), (16, true, vec![1; 8]), (0, true, vec![1; 8])],
            [true, false],
        ),
        (
            "the head again, with another port",
            &[(0, true, vec![1; 8]), (0, true, vec![2; 8]), (8, false, vec![1; 8])],
            [true, false],
        ),
    ];
    for (name, cuts, whole) in cases {
        for (v6, expect) in [false, true].into_iter().zip(whole) {
            let mut defrag = Defrag::new(&Config::default());
            let mut out = Vec::new();
            let mut seen = false;
            for cut in cuts {
                if defrag.push(at(0), &fragment(key(v6, 1), cut.0, cut.1, &cut.2), &mut out) {
                    assert!(payload(v6, &out).iter().all(|byte| *byte == 1), "{name}: {out:?}");
                    seen = true;
                }
            }
            assert_eq!(seen, expect, "{name}, {v6}");
            assert_eq!(defrag.take_lost().conflicting_fragments, 1, "{name}, {v6}");
        }
    }
}
