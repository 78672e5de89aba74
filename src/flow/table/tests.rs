//! The table's rules, and the table against a plain map.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::model::net::{Endpoint, FiveTuple, Transport};

fn at(seconds: i64) -> Stamp {
    Stamp {
        time: Timestamp::from_parts(seconds, 0),
        ..Stamp::default()
    }
}

fn flow(transport: Transport, at: Stamp, state: u32) -> Flow<u32> {
    let end = Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    Flow::new(
        FiveTuple {
            transport,
            client: end,
            server: end,
        },
        true,
        true,
        at,
        state,
    )
}

/// A table of TCP flows whose state is the second they were opened, and the log of its ends.
struct Bench {
    table: Table<u64, u32>,
    ended: Vec<(u32, Ended)>,
}

impl Bench {
    fn new(max_flows: usize) -> Self {
        Self {
            table: Table::new(
                &Config {
                    max_flows,
                    ..Config::default()
                },
                1,
            ),
            ended: Vec::new(),
        }
    }

    fn touch(&mut self, key: u64, seconds: i64, class: Option<Class>) -> u32 {
        let open = || flow(Transport::Tcp, at(seconds), seconds as u32);
        let ended = &mut self.ended;
        let mut entry = self.table.touch(key, at(seconds), |_| false, open, &mut |flow, why| {
            ended.push((flow.state, why));
        });
        class.into_iter().for_each(|class| entry.set_class(class));
        entry.flow.state
    }
}

#[test]
fn starts_without_memory() {
    let table = Table::<u64, u32>::new(&Config::default(), 256);
    assert_eq!((table.slots.capacity(), table.index.capacity()), (0, 0));
    assert_eq!(size_of::<Option<Slot<(u128, u128, u64), Box<u64>>>>(), 256);
}

#[test]
fn a_silent_flow_ends_at_its_next_packet_or_at_anyone_elses() {
    let mut bench = Bench::new(10);
    assert_eq!(bench.touch(1, 0, Some(Class::Open)), 0);
    assert_eq!(bench.touch(1, 300, None), 0);
    assert_eq!(bench.touch(1, 601, None), 601);
    assert_eq!(bench.ended, [(0, Ended::Idle)]);
    bench.touch(2, 632, None);
    assert_eq!((bench.ended[1], bench.table.len()), ((601, Ended::Idle), 1));
}

#[test]
fn another_connection_replaces_the_flow() {
    let mut bench = Bench::new(10);
    bench.touch(1, 0, Some(Class::Precious));
    let mut old = None;
    let mut end = |flow: Flow<u32>, why| old = Some((flow.state, why));
    let entry = bench
        .table
        .touch(1, at(1), |_| true, || flow(Transport::Tcp, at(1), 1), &mut end);
    assert_eq!(
        (entry.fresh, entry.flow.state, entry.class()),
        (true, 1, Class::Opening)
    );
    assert_eq!((old, bench.table.len()), (Some((0, Ended::Replaced)), 1));
}

#[test]
fn room_is_made_by_who_is_nearest_to_its_time_out() {
    let mut bench = Bench::new(4);
    bench.touch(1, 0, Some(Class::Precious));
    bench.touch(2, 1, Some(Class::Open));
    bench.touch(3, 2, Some(Class::Bypassed));
    for seconds in 20..24_i64 {
        bench.touch(seconds.cast_unsigned(), seconds, None);
    }
    // At 21 s the bypassed flow (4 * 19 s of 300 s), at 22 s the open one (21 s of 300 s, against 2 s of 30 s), at 23 s
    // a handshake (3 s of 30 s).
    assert_eq!(
        bench.ended,
        [(2, Ended::Evicted), (1, Ended::Evicted), (20, Ended::Evicted)]
    );
    assert_eq!((bench.table.evicted(), bench.table.len()), (3, 4));
    bench.ended.clear();
    let ended = &mut bench.ended;
    bench.table.drain(&mut |flow, why| ended.push((flow.state, why)));
    bench.ended.sort_by_key(|(state, _)| *state);
    assert_eq!(bench.ended, [0, 21, 22, 23].map(|state| (state, Ended::Drained)));
    assert_eq!(bench.touch(1, 30, None), 30);
}

#[test]
fn a_wrong_time_does_not_stay_for_ever() {
    let mut bench = Bench::new(10);
    bench.touch(1, 1_000_000, None);
    bench.touch(2, 0, None);
    bench.touch(2, 1, None);
    assert_eq!(bench.ended, [(1_000_000, Ended::Idle)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a plain map that knows each flow's last packet: the same flows begin and end idle, none is lost.
    #[test]
    fn agrees_with_a_plain_map(
        steps in prop::collection::vec((0u64..12, 1i64..20, 0usize..12), 1..300), max_flows in 1usize..14,
    ) {
        let mut bench = Bench::new(max_flows);
        let mut map: HashMap<u64, (u32, i64, Class)> = HashMap::new();
        let mut now = 0;
        for (key, pause, class) in steps {
            now += pause;
            let class = Class::ALL.get(class).copied();
            let config = Config::default();
            let idle = |class: Class| i64::try_from(config.idle_ms(class)).unwrap() / 1000;
            let before = map.get(&key).copied().filter(|(_, last, class)| now - last <= idle(*class));
            let state = bench.touch(key, now, class);
            for (state, why) in bench.ended.drain(..) {
                let (key, (_, last, class)) = map.iter().find(|(_, known)| known.0 == state).unwrap();
                prop_assert_eq!(why == Ended::Idle, now - last > idle(*class));
                let key = *key;
                map.remove(&key);
            }
            let fresh = !map.contains_key(&key);
            prop_assert_eq!(before.is_none(), fresh);
            let standing = map.get(&key).map_or(Class::Opening, |(_, _, class)| *class);
            map.insert(key, (state, now, class.unwrap_or(standing)));
            prop_assert_eq!(bench.table.len(), map.len());
            prop_assert!(map.len() <= max_flows);
        }
        let mut left = 0;
        bench.table.drain(&mut |_, _| left += 1);
        prop_assert_eq!(left, map.len());
    }
}
