//! What a packet costs in memory: none, in the usual case. An own binary, because it counts every allocation.
//!
//! Counted are an in-order packet of a known flow whose bytes are of no interest, and a packet of a bypassed flow. Also
//! held here: what hostile traffic makes a flow keep is bounded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use shadowtap::detect::panel::Ruleset;
use shadowtap::detect::signature::Signatures;
use shadowtap::engine::settings::Settings;
use shadowtap::engine::{Shard, Shared};
use shadowtap::model::packet::{LinkType, RawPacket};
use shadowtap::model::stamp::{Stamp, Timestamp};
use shadowtap::policy::Policy;

#[path = "it/talk.rs"]
#[allow(dead_code, reason = "the other binary uses the rest")]
mod talk;

use talk::{Act, Ends, PLAIN, Script, Wire, ends};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn note(bytes: i64) {
    HELD.with(|held| held.set(held.get() + bytes));
    if bytes > 0 {
        COUNT.with(|count| count.set(count.get() + 1));
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; it hands everything on to the system's"
)]
// SAFETY: every call goes to the system allocator with the arguments that came in.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        HELD.with(|held| held.set(held.get() + size as i64 - layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() -> u64 {
    COUNT.with(Cell::get)
}

fn held() -> i64 {
    HELD.with(Cell::get)
}

fn shard() -> Shard {
    let rules = Ruleset {
        signatures: Arc::new(Signatures::builtin()),
        policy: Arc::new(Policy::default()),
        fingerprints: shadowtap::detect::fingerprint::Fingerprints::random(),
    };
    let settings = Settings {
        fence: false,
        ..Settings::default()
    };
    Shard::new(&Arc::new(Shared::new(settings, rules)), 0, 1)
}

fn feed(shard: &mut Shard, frames: &[(i64, Vec<u8>)]) {
    for (packet, (nanos, data)) in (1..).zip(frames) {
        shard.packet(&RawPacket {
            at: Stamp {
                time: Timestamp::from_nanos(*nanos),
                source: 0,
                packet,
            },
            link: LinkType::Ethernet,
            data,
            wire_len: u32::try_from(data.len()).unwrap(),
        });
    }
}

fn here() -> Ends {
    ends(("10.9.0.20", 41_000), ("10.9.0.5", 8000))
}

/// Packets of a script, cut in two behind the packets that warm up.
fn halves(script: &Script, warm: usize) -> [Vec<(i64, Vec<u8>)>; 2] {
    let mut frames = talk::packets(script, &PLAIN);
    let rest = frames.split_off(warm);
    assert!(rest.len() > 100, "too little is measured");
    [frames, rest]
}

const REQUEST: &str = "GET /film HTTP/1.1\r\nHost: films.example\r\n\r\n";

#[test]
fn a_packet_of_an_uninteresting_body_allocates_nothing() {
    // One byte short: its end is another transaction's memory.
    let film = vec![0x47; 1_000_000];
    let script = Script::default()
        .then(here(), Act::Open)
        .up(here(), REQUEST)
        .down(
            here(),
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: {}\r\n\r\n",
                film.len() + 1
            ),
        )
        .down(here(), film);
    let [warm, rest] = halves(&script, 20);
    let mut shard = shard();
    feed(&mut shard, &warm);
    let before = count();
    feed(&mut shard, &rest);
    assert_eq!(count() - before, 0, "allocations in {} packets", rest.len());
}

/// A frame within VXLAN within ERSPAN, as a mirror of a virtual network comes.
fn mirrored(frame: &[u8]) -> Vec<u8> {
    let within = |protocol: u8, header: &[u8], frame: &[u8]| {
        let len = u16::try_from(20 + header.len() + frame.len()).unwrap().to_be_bytes();
        let ip = [
            0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
        ];
        [&[2; 12], &[8, 0][..], &ip, header, frame].concat()
    };
    let len = u16::try_from(16 + frame.len()).unwrap().to_be_bytes();
    let vxlan = [0xc0, 0, 0x12, 0xb5, len[0], len[1], 0, 0, 8, 0, 0, 0, 0, 0, 31, 0];
    let erspan = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0, 7, 0, 0, 0, 1];
    within(47, &erspan, &within(17, &vxlan, frame))
}

#[test]
fn a_bypassed_packet_allocates_nothing() {
    // Of no protocol that is known.
    let script = Script::default()
        .then(here(), Act::Open)
        .up(here(), b"\x00\x01\x02 nothing that anyone knows")
        .down(here(), vec![0xee; 1_000_000]);
    let plain = halves(&script, 20);
    let wrap = |frames: &Vec<(i64, Vec<u8>)>| frames.iter().map(|(at, frame)| (*at, mirrored(frame))).collect();
    let wrapped = [wrap(&plain[0]), wrap(&plain[1])];
    for [warm, rest] in [plain, wrapped] {
        let mut shard = shard();
        feed(&mut shard, &warm);
        let before = count();
        feed(&mut shard, &rest);
        assert_eq!(count() - before, 0, "allocations in {} packets", rest.len());
        let counters = shard.counters();
        assert_eq!(counters.bypassed.iter().sum::<u64>(), 1, "the flow is not bypassed");
    }
}

/// A connection in steady state: heads and small bodies of no interest reuse what the first ones needed.
#[test]
fn a_page_after_another_allocates_nothing() {
    let mut script = Script::default().then(here(), Act::Open);
    for _ in 0..100 {
        script = script.up(here(), REQUEST).down(
            here(),
            "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\nabc",
        );
    }
    let [warm, rest] = halves(&script, 40);
    let mut shard = shard();
    feed(&mut shard, &warm);
    let before = count();
    feed(&mut shard, &rest);
    assert_eq!(count() - before, 0, "allocations in {} packets", rest.len());
}

/// Whatever one flow sends, it keeps no more than its bounds.
#[test]
fn a_flow_keeps_no_more_than_its_bounds() {
    // A buffer doubles until it holds the longest message.
    let bound = 2 * Settings::default().env.message_max_bytes as i64 + (1 << 20);
    let endless = |text: &str, times: usize| text.repeat(times).into_bytes();
    let post = "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 4000000000\r\n\r\n";
    let cases: [(&str, Vec<u8>); 5] = [
        (
            "a head without end",
            [
                b"GET / HTTP/1.1\r\n".to_vec(),
                endless("X-A: bbbbbbbbbbb\r\n", 2_000_000),
            ]
            .concat(),
        ),
        (
            "a body without end",
            [post.as_bytes().to_vec(), endless("{\"jsonrpc\":\"2.0\",", 2_000_000)].concat(),
        ),
        ("requests without answers", endless(REQUEST, 500_000)),
        (
            "a batch without end",
            [post.as_bytes().to_vec(), endless("[", 30_000_000)].concat(),
        ),
        (
            "small chunks without end",
            [
                b"POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                endless("1\r\n{\r\n", 5_000_000),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in cases {
        let wire = Wire { mss: 30_000, ..PLAIN };
        let mut shard = shard();
        let script = Script::default().then(here(), Act::Open).up(here(), bytes);
        let frames = talk::packets(&script, &wire);
        let before = held();
        let mut most = 0;
        for frame in &frames {
            feed(&mut shard, std::slice::from_ref(frame));
            most = most.max(held() - before);
        }
        assert!(most < bound, "{name}: {most} bytes held");
    }
}

/// Bytes far ahead of a hole are held within the bound of reassembly.
#[test]
fn a_hole_holds_no_more_than_its_bound() {
    let hole = Act::UnseenDown(vec![0; 100]);
    let script = Script::default()
        .then(here(), Act::Open)
        .up(here(), REQUEST)
        .then(here(), hole)
        .down(here(), vec![0x20; 8_000_000]);
    let wire = Wire {
        side: talk::Side::ToClient,
        ..PLAIN
    };
    let mut shard = shard();
    let frames = talk::packets(&script, &wire);
    let before = held();
    let mut most = 0;
    for frame in &frames {
        feed(&mut shard, std::slice::from_ref(frame));
        most = most.max(held() - before);
    }
    assert!(most < 4 << 20, "{most} bytes held");
}
