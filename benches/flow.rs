//! What a packet costs in the flow table and in reassembly.
//!
//! Each round handles `PACKETS` packets, so that divan's `items/s` reads as packets in a second; inputs are made outside
//! the measured part.

use std::net::{IpAddr, Ipv4Addr};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use shadowtap::flow::{Class, Config, Flow, Table};
use shadowtap::model::chunk::Chunk;
use shadowtap::model::net::{Direction, Endpoint, FiveTuple, Transport};
use shadowtap::model::packet::{Flags, Segment};
use shadowtap::model::stamp::{Stamp, Timestamp};
use shadowtap::stream::reassembly::{self, Reassembly};

/// Packets in a round.
const PACKETS: u32 = 100_000;
/// Slices of the flow space, as in the engine.
const SLICES: u64 = 256;
/// Payload of a full segment.
const PAYLOAD: [u8; 1448] = [b'x'; 1448];

type Key = (u128, u128, u64);

fn main() {
    divan::main();
}

const fn key(flow: u64) -> Key {
    (0x0a00_0001_0a00_0000 + flow as u128, 0x0a00_0002, flow << 16 | 443)
}

const fn stamp(packet: u64) -> Stamp {
    Stamp {
        time: Timestamp::from_nanos(packet as i64 * 1000),
        source: 0,
        packet,
    }
}

fn open(at: Stamp) -> Flow<Option<Box<[u64; 32]>>> {
    let end = |port| Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let tuple = FiveTuple {
        transport: Transport::Tcp,
        client: end(40_000),
        server: end(443),
    };
    Flow::new(tuple, true, true, at, None)
}

/// Flow numbers in an order that no prefetcher foresees.
fn scattered(flows: u64) -> Vec<u64> {
    let mut seed = 1_u64;
    let step = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % flows
    };
    std::iter::repeat_with(step).take(PACKETS as usize).collect()
}

/// A packet of a flow that is there, `flows` in all.
#[divan::bench(args = [1_000, 30_000, 1_000_000])]
fn table_hit(bencher: Bencher<'_, '_>, flows: u64) {
    let config = Config {
        max_flows: 4 << 20,
        ..Config::default()
    };
    let mut tables: Vec<_> = (0..SLICES)
        .map(|_| Table::<Key, _>::new(&config, SLICES as usize))
        .collect();
    for flow in 0..flows {
        let table = &mut tables[(flow % SLICES) as usize];
        table
            .touch(key(flow), stamp(flow), |_| false, || open(stamp(flow)), &mut |_, _| {})
            .set_class(Class::Open);
    }
    let order = scattered(flows);
    let mut packet = flows;
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        for flow in &order {
            packet += 1;
            let at = stamp(packet);
            let table = &mut tables[(flow % SLICES) as usize];
            let entry = table.touch(key(*flow), at, |_| false, || open(at), &mut |_, _| {});
            entry.flow.info.count(at, Direction::ToServer, 100);
        }
    });
}

/// The first packet of a flow, in full tables of `flows` in all.
#[divan::bench(args = [30_000, 1_000_000])]
fn table_insert_and_evict(bencher: Bencher<'_, '_>, flows: u64) {
    let config = Config {
        max_flows: flows as usize,
        ..Config::default()
    };
    let mut tables: Vec<_> = (0..SLICES)
        .map(|_| Table::<Key, _>::new(&config, SLICES as usize))
        .collect();
    let mut flow = 0;
    let mut insert = |count: u64| {
        for _ in 0..count {
            flow += 1;
            let at = stamp(flow);
            let table = &mut tables[(flow % SLICES) as usize];
            let entry = table.touch(key(flow), at, |_| false, || open(at), &mut |flow, _| {
                black_box(flow);
            });
            entry.flow.info.count(at, Direction::ToServer, 100);
        }
    };
    insert(flows + SLICES);
    bencher
        .counter(ItemsCount::new(PACKETS))
        .bench_local(|| insert(u64::from(PACKETS)));
}

fn segment(packet: u32, seq: u32, ack: u32, payload: &[u8]) -> Segment<'_> {
    let end = Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    let at = stamp(u64::from(packet));
    Segment {
        at,
        src: end,
        dst: end,
        seq,
        ack,
        flags: Flags(Flags::ACK),
        payload,
        missing: 0,
    }
}

/// Pushes a round of segments whose places are `place(i)`; the other end acknowledges everything at every eighth.
fn reassemble(bencher: Bencher<'_, '_>, place: impl Fn(u32) -> u32) {
    let segments: Vec<_> = (0..PACKETS)
        .map(|index| match index % 8 {
            7 => (Direction::ToServer, segment(index, 1, index / 8 * 7 * 1448, b"")),
            _ => (
                Direction::ToClient,
                segment(index, place(index - index / 8) * 1448, 1, &PAYLOAD),
            ),
        })
        .collect();
    let mut budget = reassembly::Config::default().budget(SLICES as usize);
    bencher.counter(ItemsCount::new(PACKETS)).bench_local(|| {
        let mut flow = Reassembly::default();
        let mut out = |chunk: Chunk<'_>| {
            black_box(chunk);
        };
        for (dir, segment) in &segments {
            flow.push(*dir, segment, &mut budget, &mut out);
        }
        flow.finish(stamp(u64::from(PACKETS)), &mut budget, &mut out);
    });
}

/// Every segment is the next one.
#[divan::bench]
fn reassembly_in_order(bencher: Bencher<'_, '_>) {
    reassemble(bencher, |index| index);
}

/// Every other segment comes before the one it follows.
#[divan::bench]
fn reassembly_swapped_pairs(bencher: Bencher<'_, '_>) {
    reassemble(bencher, |index| index ^ 1);
}

/// Runs of 64 segments arrive backwards.
#[divan::bench]
fn reassembly_backwards_by_64(bencher: Bencher<'_, '_>) {
    reassemble(bencher, |index| index ^ 63);
}
