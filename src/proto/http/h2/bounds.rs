//! Floods and bombs: each meets a bound, and what the bound costs is counted.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::streams::STREAMS_MAX;
use super::talk::{SETTINGS, block, data_frame, frame, head_frame, opening, post};
use crate::model::chunk::{Chunk, Data};
use crate::model::net::Direction::{self, ToClient as S, ToServer as C};
use crate::model::stamp::Stamp;
use crate::proto::http::h1::talk::env;
use crate::stream::layer::{Output, Step, Up};

const RPC: &str = r#"{"jsonrpc":"2.0","id":1}"#;

/// What a listener hears of a bound, besides messages.
fn shed(talk: &[(Direction, Vec<u8>)]) -> (usize, u64) {
    let (env, mut above, mut layer) = (env(), None, (super::PROTOCOL.open)(&env()));
    let (mut messages, mut shed) = (0, 0);
    for (dir, bytes) in [opening(), talk.to_vec()].concat() {
        let mut listener = |output: Output<'_>| match output {
            Output::Shed(count) => shed += count,
            Output::Message(_) => messages += 1,
            _ => {}
        };
        let chunk = Chunk {
            at: Stamp::default(),
            dir,
            lane: 0,
            data: Data::Bytes(&bytes),
        };
        let step = layer.push(chunk, &mut Up::new(&env, &mut listener, &mut above));
        assert_eq!(step, Step::Continue);
    }
    (messages, shed)
}

#[test]
fn floods_meet_a_bound() {
    let odd = |at: usize| 2 * at as u32 + 1;
    let get = |id| head_frame(id, true, &[(":method", "GET"), (":path", "/")]);
    let reset = |id| [get(id), frame(3, 0, id, &[0, 0, 0, 8])].concat();
    let rapid: Vec<_> = (0..5000).map(|at| (C, reset(odd(at)))).collect();
    assert_eq!(shed(&rapid), (5000, 0), "what is reset costs nothing");
    let open: Vec<_> = (0..STREAMS_MAX + 50)
        .map(|at| (C, head_frame(odd(at), false, &[(":method", "POST"), (":path", "/")])))
        .collect();
    assert_eq!(shed(&open), (50, 50), "a stream that is cut is told and counted");
    let mut pings: Vec<_> = (0..5000).map(|_| (C, frame(6, 0, 0, &[0; 8]))).collect();
    pings.extend((0..5000).map(|_| (C, SETTINGS.to_vec())));
    assert_eq!(shed(&pings), (0, 0));

    // A block without end, and one whose few bytes name a long entry again and again.
    let mut endless = vec![(C, frame(1, 0, 1, &block(&[(":method", "GET"), (":path", "/")])))];
    endless.extend((0..100).map(|_| (C, frame(9, 0, 1, &block(&[("a", &"b".repeat(1000))])))));
    endless.push((C, frame(9, 4, 1, b"")));
    endless.push((C, get(3)));
    let (messages, count) = shed(&endless);
    assert_eq!(
        (messages, count),
        (1, 2),
        "the head that was torn is cut at its bound, and its stream waits for data"
    );
    let entry = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 4000]].concat();
    let bomb = [b"\x82\x84", &entry[..], &[0xbe; 10_000]].concat();
    assert_eq!(shed(&[(C, frame(1, 5, 1, &bomb)), (C, get(3))]), (2, 1));
}

#[test]
fn bodies_are_bounded_together() {
    let mut talk: Vec<(Direction, Vec<u8>)> = Vec::new();
    let start = format!("{{\"jsonrpc\":\"2.0\",\"x\":\"{}", "y".repeat(40_000));
    for id in [1, 3, 5, 7, 9] {
        talk.push((C, post(id, RPC)));
        talk.push((
            S,
            head_frame(id, false, &[(":status", "200"), ("content-type", "application/json")]),
        ));
        talk.push((S, data_frame(id, false, start.as_bytes())));
    }
    // Room for three and a bit of these beside each other: 128 KiB.
    assert_eq!(shed(&talk), (5 + 2, 2));
}
