//! The HTTP/1 layer alone: what a transaction, a skipped byte, an event and a joined body cost.
//!
//! Each input is cut into segments of 1,448 bytes, as a path with an MTU of 1500 gives them. One connection is kept
//! open over all iterations, so that the figures are those of steady state.

mod connection;

use std::io::Write as _;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, main as run};
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::proto::http::HTTP_1;

use crate::connection::Connection;

const REQUEST: &str = "POST /api/items HTTP/1.1\r\nHost: shop.example.test\r\nUser-Agent: client/1.0\r\nAccept: */*\r\n\
    Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";

fn main() {
    run();
}

/// Feeds the segments of a conversation to one connection, again and again.
fn bench(bencher: Bencher<'_, '_>, items: usize, talk: &[(Direction, Vec<u8>)]) {
    let bytes = talk.iter().map(|(_, text)| text.len()).sum();
    bench_counted(bencher, items, bytes, talk);
}

fn bench_counted(bencher: Bencher<'_, '_>, items: usize, bytes: usize, talk: &[(Direction, Vec<u8>)]) {
    let mut connection = Connection::new(&HTTP_1);
    bencher
        .counter(BytesCount::new(bytes))
        .counter(ItemsCount::new(items))
        .bench_local(|| talk.iter().for_each(|(dir, text)| connection.feed(*dir, text)));
}

fn response(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nServer: bench\r\nConnection: keep-alive\r\n{fields}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn sized(kind: &str, body: &[u8]) -> Vec<u8> {
    response(
        &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()),
        body,
    )
}

fn json(first: &str, bytes: usize) -> Vec<u8> {
    let text = r#"{"name":"item","price":12.5,"tags":["a","b"]},"#.repeat(bytes / 46);
    format!(r#"{{"{first}":[{}0]}}"#, text).into_bytes()
}

/// Two heads and a small body that is not of interest.
#[divan::bench]
fn transaction(bencher: Bencher<'_, '_>) {
    bench(
        bencher,
        1,
        &[
            (ToServer, REQUEST.into()),
            (ToClient, sized("text/html", b"<p>hello</p>")),
        ],
    );
}

/// A download of 1 MiB with a length.
#[divan::bench]
fn skip_length(bencher: Bencher<'_, '_>) {
    bench(
        bencher,
        1,
        &[
            (ToServer, REQUEST.into()),
            (ToClient, sized("video/mp4", &vec![7; 1 << 20])),
        ],
    );
}

/// A download of 1 MiB in chunks of 16 KiB.
#[divan::bench]
fn skip_chunked(bencher: Bencher<'_, '_>) {
    let chunk = [b"4000\r\n", &[7; 16 << 10][..], b"\r\n"].concat();
    let body = [chunk.repeat(64), b"0\r\n\r\n".to_vec()].concat();
    let fields = "Content-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n";
    bench(
        bencher,
        1,
        &[(ToServer, REQUEST.into()), (ToClient, response(fields, &body))],
    );
}

/// JSON of 45 KB that is no JSON-RPC: searched, not kept.
#[divan::bench]
fn json_other(bencher: Bencher<'_, '_>) {
    bench(
        bencher,
        1,
        &[
            (ToServer, REQUEST.into()),
            (ToClient, sized("application/json", &json("items", 45_000))),
        ],
    );
}

/// JSON-RPC of 900 KB in one coding; the figure in bytes is that of what comes out.
#[divan::bench(args = ["gzip", "deflate", "br", "zstd", "gzip, br"])]
fn packed(bencher: Bencher<'_, '_>, coding: &str) {
    let plain = json("result", 900_000);
    packed_bodies(bencher, coding, &plain);
}

/// JSON-RPC of 400 bytes in one coding: mostly what a decoder costs to make.
#[divan::bench(args = ["gzip", "deflate", "br", "zstd"])]
fn packed_small(bencher: Bencher<'_, '_>, coding: &str) {
    packed_bodies(bencher, coding, &json("result", 400));
}

fn packed_bodies(bencher: Bencher<'_, '_>, coding: &str, plain: &[u8]) {
    let mut body = plain.to_vec();
    for one in coding.split(", ") {
        body = pack(one, &body);
    }
    let fields = format!(
        "Content-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n",
        body.len()
    );
    let marked = REQUEST.replace("Content-Length", "Mcp-Session-Id: 1\r\nContent-Length");
    let talk = [(ToServer, marked.into_bytes()), (ToClient, response(&fields, &body))];
    bench_counted(bencher, 1, plain.len(), &talk);
}

fn pack(coding: &str, body: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    let mut out = Vec::new();
    match coding {
        "br" => brotli::CompressorWriter::new(&mut out, 4096, 5, 22).write_all(body),
        "deflate" => flate2::write::ZlibEncoder::new(&mut out, level).write_all(body),
        "gzip" => flate2::write::GzEncoder::new(&mut out, level).write_all(body),
        _ => zstd::stream::copy_encode(body, &mut out, 3),
    }
    .expect("packs");
    out
}

/// JSON-RPC of 45 KB over many segments: joined in one buffer.
#[divan::bench]
fn json_rpc_joined(bencher: Bencher<'_, '_>) {
    bench(
        bencher,
        1,
        &[
            (ToServer, REQUEST.into()),
            (ToClient, sized("application/json", &json("result", 45_000))),
        ],
    );
}

/// 100 events of 300 bytes, each in a chunk and a segment of its own: borrowed.
#[divan::bench]
fn events_chunked(bencher: Bencher<'_, '_>) {
    let event = format!(
        "event: message\r\ndata: {{\"jsonrpc\":\"2.0\",\"x\":\"{}\"}}\r\n\r\n",
        "y".repeat(250)
    );
    let chunk = format!("{:x}\r\n{event}\r\n", event.len()).into_bytes();
    let head = response("Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n", b"");
    let mut talk = vec![(ToServer, REQUEST.into()), (ToClient, head)];
    talk.extend(std::iter::repeat_n((ToClient, chunk), 100));
    talk.push((ToClient, b"0\r\n\r\n".to_vec()));
    bench(bencher, 100, &talk);
}

/// One event of 64 KB over many segments: joined.
#[divan::bench]
fn event_joined(bencher: Bencher<'_, '_>) {
    let body = format!("data: {{\"jsonrpc\":\"2.0\",\"x\":\"{}\"}}\n\n", "y".repeat(64_000));
    bench(
        bencher,
        1,
        &[
            (ToServer, REQUEST.into()),
            (ToClient, sized("text/event-stream", body.as_bytes())),
        ],
    );
}
