//! TLS alone: what a connection costs from its first byte to the bypass, fingerprint included.
//!
//! The hellos are those that Python 3.11 and Node 20 send; items are connections.

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{Bencher, main as run};
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::model::net::Transport;
use shadowtap::model::stamp::Stamp;
use shadowtap::proto::PROTOCOLS;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Output, Step};

const PYTHON: &[u8] = include_bytes!("../src/proto/tls/tests/python-3.11.hello");
const NODE: &[u8] = include_bytes!("../src/proto/tls/tests/node-20.hello");

/// A ServerHello of TLS 1.3, and what is encrypted behind it.
fn answer() -> Vec<u8> {
    let hello = [
        &[2, 0, 0, 46, 3, 3][..],
        &[5; 32],
        &[0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4],
    ]
    .concat();
    [&[22, 3, 3, 0, 50][..], &hello, &[23, 3, 3, 4, 0], &[7; 1024]].concat()
}

fn main() {
    run();
}

/// Identifies and reads the same connection again and again; the last chunk ends it.
fn bench(bencher: Bencher<'_, '_>, talk: &[(Direction, Data<'_>)]) {
    let env = Env {
        message_max_bytes: 16 << 20,
        head_max_bytes: 64 << 10,
        inflate_max_bytes: 64 << 20,
        keys: None,
        protocols: PROTOCOLS,
    };
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let mut stream = Stream::outer(Transport::Tcp, true, [40_000, 443]);
        let mut listener = |output: Output<'_>| {
            black_box(&output);
        };
        let mut step = Step::Continue;
        for (dir, data) in talk {
            let chunk = Chunk {
                at: Stamp::default(),
                dir: *dir,
                lane: 0,
                data: *data,
            };
            step = stream.push(chunk, &env, &mut listener);
        }
        assert_ne!(step, Step::Continue);
    });
}

#[divan::bench]
fn hello_of_python(bencher: Bencher<'_, '_>) {
    bench(bencher, &[(ToServer, Data::Bytes(PYTHON)), (ToServer, Data::End)]);
}

#[divan::bench]
fn hello_of_node(bencher: Bencher<'_, '_>) {
    bench(bencher, &[(ToServer, Data::Bytes(NODE)), (ToServer, Data::End)]);
}

#[divan::bench]
fn hello_in_three_segments(bencher: Bencher<'_, '_>) {
    let (one, rest) = PYTHON.split_at(150);
    let (two, three) = rest.split_at(150);
    let turns = [one, two, three].map(|bytes| (ToServer, Data::Bytes(bytes)));
    bench(bencher, &[&turns[..], &[(ToServer, Data::End)]].concat());
}

#[divan::bench]
fn hello_and_answer(bencher: Bencher<'_, '_>) {
    let answer = answer();
    bench(
        bencher,
        &[(ToServer, Data::Bytes(PYTHON)), (ToClient, Data::Bytes(&answer))],
    );
}
