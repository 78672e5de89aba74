//! The rules of reassembly one by one. [`oracle`] tries them together.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

mod oracle;

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::model::net::Endpoint;
use crate::model::stamp::Timestamp;

const AMPLE: Budget = Budget {
    held_bytes: 0,
    max_bytes: 8 << 20,
    flow_max_bytes: 1 << 20,
    overlap: Overlap::First,
};
const TO_SERVER: Direction = Direction::ToServer;
const TO_CLIENT: Direction = Direction::ToClient;

fn segment(packet: u64, seq: u32, ack: Option<u32>, flags: u8, payload: &[u8]) -> Segment<'_> {
    let end = Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    Segment {
        at: Stamp {
            time: Timestamp::from_nanos(0),
            source: 0,
            packet,
        },
        src: end,
        dst: end,
        seq,
        ack: ack.unwrap_or_default(),
        flags: Flags(flags | if ack.is_some() { Flags::ACK } else { 0 }),
        payload,
        missing: 0,
    }
}

/// What came out of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Out {
    Bytes(Vec<u8>),
    Gap(u64),
    End,
}

/// A flow under test, with everything that came out of it and its stamps.
struct Bench {
    flow: Reassembly,
    budget: Budget,
    out: [Vec<Out>; 2],
    stamps: [Vec<u64>; 2],
    packet: u64,
}

impl Bench {
    fn new(budget: Budget) -> Self {
        Self {
            flow: Reassembly::default(),
            budget,
            out: Default::default(),
            stamps: Default::default(),
            packet: 0,
        }
    }

    fn run(&mut self, call: impl FnOnce(&mut Reassembly, &mut Budget, u64, &mut dyn FnMut(Chunk<'_>))) -> &mut Self {
        self.packet += 1;
        let (out, stamps) = (&mut self.out, &mut self.stamps);
        call(&mut self.flow, &mut self.budget, self.packet, &mut |chunk| {
            stamps[chunk.dir.index()].push(chunk.at.packet);
            out[chunk.dir.index()].push(match chunk.data {
                Data::Bytes(bytes) => {
                    assert!(!bytes.is_empty());
                    Out::Bytes(bytes.to_vec())
                }
                Data::Gap(bytes) => Out::Gap(bytes),
                Data::End => Out::End,
            });
        });
        self
    }

    fn push(&mut self, dir: Direction, seq: u32, ack: Option<u32>, flags: u8, payload: &[u8]) -> &mut Self {
        self.run(|flow, budget, packet, out| flow.push(dir, &segment(packet, seq, ack, flags, payload), budget, out))
    }

    /// A packet of the client, with acknowledgement number 500.
    fn client(&mut self, seq: u32, payload: &[u8]) -> &mut Self {
        self.push(TO_SERVER, seq, Some(500), 0, payload)
    }

    /// An empty packet of the server.
    fn server_acks(&mut self, ack: u32) -> &mut Self {
        self.push(TO_CLIENT, 500, Some(ack), 0, b"")
    }

    fn finish(&mut self) -> &mut Self {
        self.run(|flow, budget, packet, out| {
            flow.finish(
                Stamp {
                    packet,
                    ..Stamp::default()
                },
                budget,
                out,
            );
        })
    }

    /// The client's direction, neighbouring bytes joined, as text: `-5-` is a gap, `.` the end.
    fn text(&self, dir: Direction) -> String {
        let mut text = String::new();
        for out in &self.out[dir.index()] {
            match out {
                Out::Bytes(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
                Out::Gap(bytes) => text.push_str(&format!("-{bytes}-")),
                Out::End => text.push('.'),
            }
        }
        text
    }
}

fn opened() -> Bench {
    let mut bench = Bench::new(AMPLE);
    bench
        .push(TO_SERVER, 99, None, Flags::SYN, b"")
        .push(TO_CLIENT, 499, Some(100), Flags::SYN, b"");
    bench
}

#[test]
fn in_order_bytes_are_lent_and_state_is_small() {
    assert!(size_of::<Reassembly>() <= 160, "{}", size_of::<Reassembly>());
    let (mut flow, mut budget) = (Reassembly::default(), AMPLE);
    let payload = *b"hello";
    for seq in [100, 105, 110] {
        let mut lent = 0;
        flow.push(
            TO_SERVER,
            &segment(1, seq, None, 0, &payload),
            &mut budget,
            &mut |chunk| {
                let Data::Bytes(bytes) = chunk.data else { panic!() };
                assert_eq!(bytes.as_ptr_range(), payload.as_ptr_range());
                lent += 1;
            },
        );
        assert_eq!(lent, 1);
    }
}

#[test]
fn first_copy_wins_and_conflicts_are_counted() {
    let mut bench = opened();
    bench.client(103, b"DEF").client(100, b"abcdefgh").finish();
    assert_eq!(bench.text(TO_SERVER), "abcDEFgh.");
    assert_eq!(
        bench.flow.take_tally(),
        Tally {
            conflicts: 1,
            ..Tally::default()
        }
    );
    let mut bench = opened();
    bench
        .client(102, b"CD")
        .client(106, b"GH")
        .client(101, b"bCDefGHi")
        .client(100, b"a")
        .finish();
    assert_eq!(bench.text(TO_SERVER), "abCDefGHi.");
    assert_eq!(bench.flow.take_tally(), Tally::default());
}

/// One held copy, another over it, and the hole filled at last.
#[test]
fn the_receiver_chooses_between_copies() {
    let given = |overlap, earlier: (u32, &[u8]), later: (u32, &[u8])| {
        let mut bench = Bench {
            budget: Budget { overlap, ..AMPLE },
            ..opened()
        };
        bench.client(earlier.0, earlier.1).client(later.0, later.1);
        bench.client(100, b"__").client(109, b"!").finish();
        assert_eq!(bench.budget.held_bytes, 0);
        (bench.text(TO_SERVER), bench.flow.take_tally().conflicts)
    };
    use Overlap::{Bsd, First, Last, Linux};
    for (overlap, covers, starts_inside, starts_before, starts_there, within) in [
        (Bsd, "__lllllll", "__eeeelll", "__llllleee", "__eeeelll", "__eeeeeee"),
        (First, "__leeeell", "__eeeelll", "__lleeeeee", "__eeeelll", "__eeeeeee"),
        (Last, "__lllllll", "__eelllll", "__llllleee", "__lllllll", "__eellleee"),
        (Linux, "__lllllll", "__eeeelll", "__llllleee", "__lllllll", "__eeeeeee"),
    ] {
        let cut = |text: &str| format!("{}!.", &text[..9]);
        let check = |what: &str, given: (String, u32), text: &str| {
            assert_eq!(given, (cut(&format!("{text}eee")), 1), "{overlap:?}, {what}");
        };
        check("covers", given(overlap, (103, b"eeee"), (102, b"lllllll")), covers);
        check(
            "starts inside",
            given(overlap, (102, b"eeee"), (104, b"lllll")),
            starts_inside,
        );
        check(
            "starts before",
            given(overlap, (104, b"eeeee"), (102, b"lllll")),
            starts_before,
        );
        check(
            "starts there",
            given(overlap, (102, b"eeee"), (102, b"lllllll")),
            starts_there,
        );
        check("within", given(overlap, (102, b"eeeeeee"), (104, b"lll")), within);
    }
}

#[test]
fn held_bytes_keep_their_stamps() {
    let mut bench = opened();
    bench.client(103, b"d").client(101, b"bc").client(100, b"a");
    assert_eq!(bench.text(TO_SERVER), "abcd");
    assert_eq!(bench.stamps[0], [5, 4, 3]);
}

#[test]
fn retransmissions_keep_alives_and_probes_give_nothing_twice() {
    let mut bench = opened();
    bench
        .client(100, b"abc")
        .client(100, b"abc")
        .client(100, b"abcde")
        .client(104, b"")
        .client(104, b"\0");
    bench.client(105, b"f").client(105, b"fg").finish().finish();
    assert_eq!(bench.text(TO_SERVER), "abcdefg.");
    assert_eq!(bench.text(TO_CLIENT), ".");
}

#[test]
fn acknowledged_hole_is_final_after_a_further_segment() {
    let mut bench = opened();
    bench.client(100, b"ab").client(105, b"fg").server_acks(107);
    assert_eq!(bench.text(TO_SERVER), "ab");
    bench.client(107, b"h");
    assert_eq!(bench.text(TO_SERVER), "ab-3-fgh");
}

#[test]
fn acknowledged_hole_is_final_after_three_packets_of_the_flow() {
    let mut bench = opened();
    bench
        .client(100, b"ab")
        .client(105, b"fg")
        .server_acks(107)
        .server_acks(107)
        .server_acks(107);
    assert_eq!(bench.text(TO_SERVER), "ab");
    bench.server_acks(107);
    assert_eq!(bench.text(TO_SERVER), "ab-3-fg");
}

#[test]
fn a_tap_that_lags_may_catch_up() {
    let mut bench = opened();
    bench
        .client(105, b"fg")
        .server_acks(107)
        .server_acks(107)
        .client(100, b"abcde");
    assert_eq!(bench.text(TO_SERVER), "abcdefg");
}

#[test]
fn unacknowledged_hole_waits() {
    let mut bench = opened();
    bench.client(105, b"fg").client(107, b"h");
    for _ in 0..100 {
        bench.server_acks(100);
    }
    assert_eq!(bench.text(TO_SERVER), "");
    bench.client(100, b"abcde");
    assert_eq!(bench.text(TO_SERVER), "abcdefgh");
}

#[test]
fn one_sided_hole_is_final_when_plenty_follows() {
    let mut bench = Bench::new(AMPLE);
    bench.push(TO_SERVER, 99, None, Flags::SYN, b"");
    for step in 0..64 {
        bench.client(200 + step, b"x");
    }
    assert_eq!(bench.text(TO_SERVER), "");
    bench.client(264, b"y");
    assert_eq!(bench.text(TO_SERVER), format!("-100-{}y", "x".repeat(64)));
    assert_eq!(bench.budget.held_bytes, 0);
}

#[test]
fn fin_ends_after_its_position() {
    let mut bench = opened();
    bench.push(TO_SERVER, 103, Some(500), Flags::FIN, b"d");
    assert_eq!(bench.text(TO_SERVER), "");
    bench
        .client(100, b"abc")
        .client(105, b"late")
        .push(TO_SERVER, 103, Some(500), Flags::FIN, b"d");
    assert_eq!(bench.text(TO_SERVER), "abcd.");
    assert!(!bench.flow.has_ended());
    bench.push(TO_CLIENT, 500, Some(105), Flags::FIN, b"");
    assert_eq!(bench.text(TO_CLIENT), ".");
    assert!(bench.flow.has_ended());
}

#[test]
fn acknowledged_fin_makes_the_hole_before_it_final() {
    let mut bench = opened();
    bench
        .client(100, b"ab")
        .push(TO_SERVER, 105, Some(500), Flags::FIN, b"")
        .server_acks(105);
    assert_eq!(bench.text(TO_SERVER), "ab");
    bench.server_acks(106);
    assert_eq!(bench.text(TO_SERVER), "ab-3-.");
}

#[test]
fn reset_ends_both_when_it_can_be_believed() {
    let mut bench = opened();
    bench
        .client(100, b"ab")
        .client(105, b"fg")
        .push(TO_CLIENT, 500 + (8 << 20), Some(107), Flags::RST, b"");
    assert_eq!(
        (bench.text(TO_SERVER).as_str(), bench.flow.take_tally().implausible),
        ("ab", 1)
    );
    bench
        .push(TO_CLIENT, 500, Some(107), Flags::RST, b"why")
        .client(107, b"h")
        .finish();
    assert_eq!(
        (bench.text(TO_SERVER).as_str(), bench.text(TO_CLIENT).as_str()),
        ("ab-3-fg.", ".")
    );
    let mut refused = Bench::new(AMPLE);
    refused
        .push(TO_SERVER, 99, None, Flags::SYN, b"")
        .push(TO_CLIENT, 0, Some(100), Flags::RST, b"");
    assert!(refused.flow.has_ended());
}

#[test]
fn syn_may_carry_data_and_numbers_wrap() {
    let mut bench = Bench::new(AMPLE);
    bench
        .push(TO_SERVER, u32::MAX - 2, None, Flags::SYN, b"ab")
        .client(2, b"ef")
        .client(0, b"cd");
    assert_eq!(bench.text(TO_SERVER), "abcdef");
}

#[test]
fn far_jumps_and_foreign_syns_are_ignored() {
    let mut bench = opened();
    bench
        .client(100, b"ab")
        .client(102 + (1 << 30) + 1, b"zz")
        .push(TO_SERVER, 5000, None, Flags::SYN, b"zz");
    bench.client(102, b"c").finish();
    assert_eq!(
        (bench.text(TO_SERVER).as_str(), bench.flow.take_tally().implausible),
        ("abc.", 2)
    );
}

#[test]
fn bytes_cut_by_the_snap_length_are_a_gap() {
    let mut bench = opened();
    let cut = |seq, payload| Segment {
        missing: 7,
        ..segment(9, seq, Some(500), 0, payload)
    };
    bench.run(|flow, budget, _, out| flow.push(TO_SERVER, &cut(100, b"abc"), budget, out));
    bench.run(|flow, budget, _, out| flow.push(TO_SERVER, &cut(120, b"uvw"), budget, out));
    bench.client(110, b"klmnopqrst").client(130, b"!");
    assert_eq!(bench.text(TO_SERVER), "abc-7-klmnopqrstuvw-7-!");
    assert_eq!(bench.flow.take_tally().gap_bytes, 14);
}

#[test]
fn midway_start_waits_for_what_the_peer_has_not_acknowledged() {
    let mut bench = Bench::new(AMPLE);
    bench.server_acks(100).client(104, b"ef").client(100, b"abcd");
    assert_eq!(bench.text(TO_SERVER), "abcdef");
    let mut bench = Bench::new(AMPLE);
    bench.client(104, b"").client(100, b"abcd").client(104, b"ef");
    assert_eq!(bench.text(TO_SERVER), "abcdef");
}

#[test]
fn hole_before_a_midway_start_is_no_gap() {
    let mut bench = Bench::new(AMPLE);
    bench.server_acks(100).client(104, b"ef").finish();
    assert_eq!(
        (bench.text(TO_SERVER).as_str(), bench.flow.take_tally().gap_bytes),
        ("ef.", 0)
    );
}

#[test]
fn lost_start_after_a_seen_handshake_is_a_gap() {
    let mut bench = Bench::new(AMPLE);
    bench
        .push(TO_SERVER, 99, None, Flags::SYN, b"")
        .push(TO_SERVER, 100, Some(500), 0, b"");
    bench.push(TO_CLIENT, 504, Some(100), 0, b"ef").finish();
    assert_eq!(bench.text(TO_CLIENT), "-4-ef.");
}

#[test]
fn roles_flip_with_held_bytes() {
    let mut bench = opened();
    bench.client(101, b"b");
    bench.flow.flip();
    bench.push(TO_CLIENT, 100, Some(500), 0, b"a").finish();
    assert_eq!(
        (bench.text(TO_SERVER).as_str(), bench.text(TO_CLIENT).as_str()),
        (".", "ab.")
    );
}

#[test]
fn full_budgets_make_holes_final_and_abandon_frees() {
    let small = Budget {
        held_bytes: 0,
        max_bytes: 2000,
        flow_max_bytes: 1050,
        overlap: Overlap::First,
    };
    let mut bench = Bench {
        budget: small,
        ..opened()
    };
    bench.client(101, &[b'x'; 200]).client(401, &[b'y'; 200]);
    assert_eq!(bench.text(TO_SERVER), format!("-1-{}", "x".repeat(200)));
    assert!(bench.budget.held_bytes > 200);
    let mut flow = std::mem::take(&mut bench.flow);
    flow.abandon(&mut bench.budget);
    assert_eq!(bench.budget.held_bytes, 0);
    let full = Budget {
        held_bytes: 2000,
        ..small
    };
    let mut bench = Bench {
        budget: full,
        ..opened()
    };
    bench.client(101, b"x");
    assert_eq!((bench.text(TO_SERVER).as_str(), bench.budget), ("-1-x", full));
}
