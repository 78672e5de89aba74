//! The HTTP/2 layer alone: what a request with its answer, a skipped byte, an event and a joined body cost.
//!
//! Heads are such as clients send behind the first: most fields by their place in the tables, a few as literals, with
//! Huffman's code. Each input is cut into segments of 1,448 bytes. One connection is kept open over all iterations, so
//! that the figures are those of steady state.

mod connection;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, main as run};
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::proto::http::HTTP_2;

use crate::connection::Connection;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests of one iteration, so that the numbers of streams, which only grow, need not be written anew.
const REQUESTS: u32 = 200;

fn main() {
    run();
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal that is inserted, with a name of the static table and text as it is.
fn literal(name: u8, value: &str) -> Vec<u8> {
    [&[0x40 | name, u8::try_from(value.len()).unwrap()][..], value.as_bytes()].concat()
}

/// The first head in each direction: it fills the tables.
fn first_heads() -> [Vec<u8>; 2] {
    let request = [
        literal(1, "shop.example.test"),
        literal(4, "/api/items"),
        literal(58, "client/1.0"),
        literal(19, "*/*"),
        literal(31, "application/json"),
    ];
    let answer = [
        literal(54, "bench"),
        literal(31, "text/html"),
        literal(33, "Fri, 20 Nov 2026 10:00:00 GMT"),
    ];
    [
        [vec![0x83, 0x86], request.concat()].concat(),
        [vec![0x88], answer.concat()].concat(),
    ]
}

/// A later request: all by index, but for a literal in Huffman's code, which is not inserted.
fn request_block() -> Vec<u8> {
    let literal = [
        &[0x0f, 0x0d, 0x8c][..],
        b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
    ]
    .concat();
    [&[0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe, 0x90][..], &literal].concat()
}

/// Feeds the segments of a conversation to one connection, again and again.
fn bench(bencher: Bencher<'_, '_>, items: usize, talk: &[(Direction, Vec<u8>)]) {
    let bytes: usize = talk.iter().map(|(_, text)| text.len()).sum();
    let mut connection = Connection::new(&HTTP_2);
    let [request, answer] = first_heads();
    connection.feed(
        ToServer,
        &[PREFACE, &frame(4, 0, 0, b""), &frame(1, 5, 1, &request)].concat(),
    );
    connection.feed(ToClient, &[frame(4, 0, 0, b""), frame(1, 5, 1, &answer)].concat());
    bencher
        .counter(BytesCount::new(bytes))
        .counter(ItemsCount::new(items))
        .bench_local(|| talk.iter().for_each(|(dir, text)| connection.feed(*dir, text)));
}

fn one(body: &[u8], kind: &str) -> Vec<(Direction, Vec<u8>)> {
    let kind = [&[0x0f, 0x10, u8::try_from(kind.len()).unwrap()][..], kind.as_bytes()].concat();
    let mut answer = frame(1, 4, 3, &[&[0x88, 0xc0, 0xbe][..], &kind].concat());
    body.chunks(16 << 10)
        .for_each(|piece| answer.extend(frame(0, 0, 3, piece)));
    answer.extend(frame(0, 1, 3, b""));
    vec![(ToServer, frame(1, 5, 3, &request_block())), (ToClient, answer)]
}

fn json(first: &str, bytes: usize) -> Vec<u8> {
    let text = r#"{"name":"item","price":12.5,"tags":["a","b"]},"#.repeat(bytes / 46);
    format!(r#"{{"{first}":[{text}0]}}"#).into_bytes()
}

/// Two heads and a small body that is not of interest; each request in a segment of its own.
#[divan::bench]
fn transaction(bencher: Bencher<'_, '_>) {
    let mut talk = Vec::new();
    for id in (0..REQUESTS).map(|at| 2 * at + 3) {
        talk.push((ToServer, frame(1, 5, id, &request_block())));
        let answer = [
            frame(1, 4, id, &[0x88, 0xc0, 0xbf, 0xbe]),
            frame(0, 1, id, b"<p>hello</p>"),
        ];
        talk.push((ToClient, answer.concat()));
    }
    bench(bencher, REQUESTS as usize, &talk);
}

/// The same with JSON-RPC in both bodies.
#[divan::bench]
fn transaction_json_rpc(bencher: Bencher<'_, '_>) {
    let text = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"forecast"}}"#;
    let mut talk = Vec::new();
    for id in (0..REQUESTS).map(|at| 2 * at + 3) {
        talk.push((
            ToServer,
            [frame(1, 4, id, &request_block()), frame(0, 1, id, text)].concat(),
        ));
        let kind = [&[0x88, 0xc0, 0x0f, 0x10, 16][..], b"application/json"].concat();
        talk.push((ToClient, [frame(1, 4, id, &kind), frame(0, 1, id, text)].concat()));
    }
    bench(bencher, REQUESTS as usize, &talk);
}

/// A download of 1 MiB.
#[divan::bench]
fn skip(bencher: Bencher<'_, '_>) {
    bench(bencher, 1, &one(&vec![7; 1 << 20], "video/mp4"));
}

/// JSON-RPC of 45 KB over many segments: joined in one buffer.
#[divan::bench]
fn json_rpc_joined(bencher: Bencher<'_, '_>) {
    bench(bencher, 1, &one(&json("result", 45_000), "application/json"));
}

/// 100 events of 300 bytes, each in a frame and a segment of its own: borrowed.
#[divan::bench]
fn events(bencher: Bencher<'_, '_>) {
    let event = format!(
        "event: message\r\ndata: {{\"jsonrpc\":\"2.0\",\"x\":\"{}\"}}\r\n\r\n",
        "y".repeat(250)
    );
    let mut talk = one(b"", "text/event-stream");
    let answer = &mut talk[1].1;
    let end = answer.split_off(answer.len() - 9);
    talk.extend(std::iter::repeat_n((ToClient, frame(0, 0, 3, event.as_bytes())), 100));
    talk.push((ToClient, end));
    bench(bencher, 100, &talk);
}
