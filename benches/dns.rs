//! The DNS layers alone: messages in a second, through the layer and out as facts.
//!
//! One flow is kept open over all iterations. Ids count up, so that no message is taken for a repeat.

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{Bencher, main as run};
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::model::stamp::Stamp;
use shadowtap::proto::dns;
use shadowtap::stream::layer::{Env, Output, Protocol, Step, Up};

/// Messages in a round.
const MESSAGES: u16 = 10_000;

fn main() {
    run();
}

fn name(text: &str) -> Vec<u8> {
    let labels = text
        .split('.')
        .flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A message whose id is left to the caller.
fn message(flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let [questions, answers, authorities, additional] = counts;
    let words = [0, flags, questions, answers, authorities, additional];
    words
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .chain(body.iter().copied())
        .collect()
}

fn question(kind: u8) -> Vec<u8> {
    [&name("registry.example.test")[..], &[0, kind, 0, 1]].concat()
}

/// A record whose owner is the question's name.
fn record(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8][..], data].concat()
}

/// As stub resolvers send it: with an EDNS option.
fn query() -> Vec<u8> {
    message(
        0x0120,
        [1, 0, 0, 1],
        &[&question(1)[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat(),
    )
}

fn one_address() -> Vec<u8> {
    message(0x8180, [1, 1, 0, 0], &[question(1), record(1, &[10, 0, 0, 5])].concat())
}

/// Two aliases and four addresses, as content networks answer; `signed` when a signature stands behind them.
fn aliased(signed: bool) -> Vec<u8> {
    let mut body = question(1);
    let first = body.len() as u8 + 12 + 12;
    body.extend(record(5, &name("registry.example.test.edge.example.net")));
    let second = body.len() as u8 + 12 + 12;
    let edge = name("e1234.a.edge.example.net");
    body.extend([0xc0, first, 0, 5, 0, 1, 0, 0, 0, 60, 0, edge.len() as u8]);
    body.extend(edge);
    for host in 1..=4 {
        body.extend([0xc0, second, 0, 1, 0, 1, 0, 0, 0, 20, 0, 4, 203, 0, 113, host]);
    }
    if signed {
        body.extend([0xc0, second, 0, 46, 0, 1, 0, 0, 0, 20, 0, 100]);
        body.extend([7; 100]);
    }
    message(0x8180, [1, 6 + u16::from(signed), 0, 0], &body)
}

fn service() -> Vec<u8> {
    let params = [
        &[0, 1, 0, 6][..],
        b"\x02h2\x02h3",
        &[0, 4, 0, 4, 10, 0, 0, 5],
        &[0, 5, 0, 4],
        b"key.",
    ]
    .concat();
    message(
        0x8180,
        [1, 1, 0, 0],
        &[question(65), record(65, &[&[0, 1, 0][..], &params].concat())].concat(),
    )
}

/// Feeds the same message again and again, each time with another id, and holds it to the facts that it tells.
fn bench(bencher: Bencher<'_, '_>, row: &Protocol, dir: Direction, message: &[u8], facts: usize) {
    let env = Env {
        message_max_bytes: 16 << 20,
        head_max_bytes: 64 << 10,
        inflate_max_bytes: 64 << 20,
        keys: None,
        protocols: &[],
    };
    let mut layer = (row.open)(&env);
    let mut above = None;
    let framed = row.name == "dns-tcp";
    let mut bytes = if framed {
        (message.len() as u16).to_be_bytes().to_vec()
    } else {
        Vec::new()
    };
    let id = bytes.len();
    bytes.extend(message);
    bencher.counter(ItemsCount::new(MESSAGES)).bench_local(|| {
        let mut told = 0;
        let mut listener = |output: Output<'_>| {
            black_box(&output);
            told += 1;
        };
        for number in 1..=MESSAGES {
            bytes[id..id + 2].copy_from_slice(&number.to_be_bytes());
            let chunk = Chunk {
                at: Stamp::default(),
                dir,
                lane: 0,
                data: Data::Bytes(&bytes),
            };
            let step = layer.push(chunk, &mut Up::new(&env, &mut listener, &mut above));
            assert_eq!(step, Step::Continue);
        }
        assert_eq!(told, facts * usize::from(MESSAGES));
    });
}

#[divan::bench]
fn udp_query(bencher: Bencher<'_, '_>) {
    bench(bencher, &dns::PROTOCOL, ToServer, &query(), 1);
}

#[divan::bench]
fn udp_answer(bencher: Bencher<'_, '_>) {
    bench(bencher, &dns::PROTOCOL, ToClient, &one_address(), 2);
}

#[divan::bench]
fn udp_answer_behind_aliases(bencher: Bencher<'_, '_>) {
    bench(bencher, &dns::PROTOCOL, ToClient, &aliased(false), 5);
}

#[divan::bench]
fn udp_answer_behind_aliases_signed(bencher: Bencher<'_, '_>) {
    bench(bencher, &dns::PROTOCOL, ToClient, &aliased(true), 5);
}

#[divan::bench]
fn udp_service_binding(bencher: Bencher<'_, '_>) {
    bench(bencher, &dns::PROTOCOL, ToClient, &service(), 2);
}

#[divan::bench]
fn tcp_answer(bencher: Bencher<'_, '_>) {
    bench(bencher, &dns::tcp::PROTOCOL, ToClient, &one_address(), 2);
}
