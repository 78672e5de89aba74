//! QUIC: what a connection costs up to its bypass, from the first datagram to the fingerprint of its client.
//!
//! Each connection is new, as each is on the wire: recognised, keys derived, opened, put together, told.

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{Bencher, main as run};
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::flow::Why;
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::model::net::Transport;
use shadowtap::model::stamp::Stamp;
use shadowtap::proto::PROTOCOLS;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Output, Step};

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/seal.rs"]
mod seal;

use seal::{By, Head, V1, crypto, initial};

const ORIGIN: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
const SERVER_ID: &[u8] = b"\xf0\x67\xa5\x50\x2a\x42\x62\xb5";

fn main() {
    run();
}

fn env() -> Env {
    Env {
        message_max_bytes: 16 << 20,
        head_max_bytes: 64 << 10,
        inflate_max_bytes: 64 << 20,
        keys: None,
        protocols: PROTOCOLS,
    }
}

fn head<'a>(destination: &'a [u8], source: &'a [u8]) -> Head<'a> {
    Head {
        version: V1,
        destination,
        source,
        token: b"",
    }
}

/// Datagrams of one connection, its hello in so many bytes.
fn datagrams(hello_bytes: usize) -> Vec<(Direction, Vec<u8>)> {
    let hello = seal::hello("mcp.example.test", hello_bytes);
    let mut out = Vec::new();
    for (number, (at, piece)) in (0..).zip((0..).step_by(1_100).zip(hello.chunks(1_100))) {
        let mut frames = crypto(at, piece);
        frames.resize(frames.len().max(1_200), 0);
        out.push((
            ToServer,
            initial(&head(ORIGIN, b""), ORIGIN, By::Client, number, &frames),
        ));
    }
    let frames = [&[2, 0, 0, 0, 0][..], &crypto(0, &seal::answer())].concat();
    out.push((ToClient, initial(&head(b"", SERVER_ID), ORIGIN, By::Server, 0, &frames)));
    out
}

fn push(stream: &mut Stream, env: &Env, (dir, bytes): &(Direction, Vec<u8>)) -> Step {
    let chunk = Chunk {
        at: Stamp::default(),
        dir: *dir,
        lane: 0,
        data: Data::Bytes(bytes),
    };
    stream.push(chunk, env, &mut |output: Output<'_>| {
        black_box(&output);
    })
}

/// A classic hello, and one with a post-quantum key share.
#[divan::bench(args = [512, 1_800])]
fn connection(bencher: Bencher<'_, '_>, hello_bytes: usize) {
    let (env, datagrams) = (env(), datagrams(hello_bytes));
    bencher.counter(ItemsCount::new(datagrams.len())).bench_local(|| {
        let mut stream = Stream::outer(Transport::Udp, true, [40_000, 443]);
        let mut step = Step::Continue;
        for datagram in &datagrams {
            step = push(&mut stream, &env, datagram);
        }
        assert_eq!(step, Step::Bypass(Why::Opaque));
    });
}

/// Datagrams that no protocol knows.
#[divan::bench]
fn unknown_datagram(bencher: Bencher<'_, '_>) {
    let env = env();
    let datagram = (ToServer, [&[0x17, 0x20][..], &[0x5a; 1_200]].concat());
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let mut stream = Stream::outer(Transport::Udp, true, [40_000, 4_500]);
        push(&mut stream, &env, &datagram)
    });
}
