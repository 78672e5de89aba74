//! What carries JSON-RPC without HTTP bodies: WebSocket messages behind a handshake, lines and frames on TCP.
//!
//! Items are messages. One connection is kept open over all iterations, so that the figures are those of steady state.

use std::hint::black_box;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, main as run};
use flate2::{Compress, Compression, FlushCompress};
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::model::stamp::Stamp;
use shadowtap::proto::{framed, http, lines};
use shadowtap::stream::layer::{Env, Layer, Output, Protocol, Step, Up};

/// Messages of one iteration.
const MESSAGES: usize = 100;

fn main() {
    run();
}

fn env() -> Env {
    Env {
        message_max_bytes: 16 << 20,
        head_max_bytes: 64 << 10,
        inflate_max_bytes: 64 << 20,
        keys: None,
        protocols: &[],
    }
}

fn feed(layer: &mut dyn Layer, env: &Env, dir: Direction, bytes: &[u8]) {
    let mut listener = |output: Output<'_>| {
        black_box(&output);
    };
    let chunk = Chunk {
        at: Stamp::default(),
        dir,
        lane: 0,
        data: Data::Bytes(bytes),
    };
    let step = layer.push(chunk, &mut Up::new(env, &mut listener, &mut None));
    assert_eq!(step, Step::Continue);
}

/// Feeds segments to a connection that has begun with `opening`, again and again.
fn bench(
    bencher: Bencher<'_, '_>,
    row: &Protocol,
    opening: &[(Direction, &str)],
    dir: Direction,
    segments: &[Vec<u8>],
) {
    let env = env();
    let mut layer = (row.open)(&env);
    for (dir, text) in opening {
        feed(&mut *layer, &env, *dir, text.as_bytes());
    }
    bencher
        .counter(BytesCount::new(segments.iter().map(Vec::len).sum::<usize>()))
        .counter(ItemsCount::new(MESSAGES))
        .bench_local(|| {
            for segment in segments {
                feed(&mut *layer, &env, dir, segment);
            }
        });
}

const REQUEST: &str = "GET /message HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const GRANTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

fn websocket(bencher: Bencher<'_, '_>, dir: Direction, segments: &[Vec<u8>]) {
    bench(
        bencher,
        &http::HTTP_1,
        &[(ToServer, REQUEST), (ToClient, GRANTED)],
        dir,
        segments,
    );
}

/// A JSON-RPC message of about 300 bytes.
fn message(number: usize) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{number},"result":{{"content":[{{"type":"text","text":"{}"}}],"isError":false}}}}"#,
        "The weather in Lund is fine. ".repeat(8)
    )
}

fn messages() -> impl Iterator<Item = String> {
    (0..MESSAGES).map(message)
}

/// A frame with the last fragment's bit, one mask, and a length of two bytes.
fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = vec![first, 126 | u8::from(masked) << 7, high, low];
    let key = if masked { [0x5a, 0x11, 0xee, 0x07] } else { [0; 4] };
    if masked {
        out.extend(key);
    }
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// From a server: borrowed.
#[divan::bench]
fn websocket_plain(bencher: Bencher<'_, '_>) {
    let segments: Vec<_> = messages().map(|text| frame(0x81, false, text.as_bytes())).collect();
    websocket(bencher, ToClient, &segments);
}

/// From a client: unmasked into one buffer.
#[divan::bench]
fn websocket_masked(bencher: Bencher<'_, '_>) {
    let segments: Vec<_> = messages().map(|text| frame(0x81, true, text.as_bytes())).collect();
    websocket(bencher, ToServer, &segments);
}

/// With a window that is kept.
#[divan::bench]
fn websocket_packed(bencher: Bencher<'_, '_>) {
    let mut compress = Compress::new(Compression::default(), false);
    let pack = |text: String| {
        let mut packed = Vec::with_capacity(4096);
        let done = compress.compress_vec(text.as_bytes(), &mut packed, FlushCompress::Sync);
        assert!(done.is_ok() && packed.len() > 4);
        packed.truncate(packed.len() - 4);
        frame(0xc1, false, &packed)
    };
    let segments: Vec<_> = messages().map(pack).collect();
    websocket(bencher, ToClient, &segments);
}

/// Masked binary messages of 1400 bytes: passed over.
#[divan::bench]
fn websocket_other(bencher: Bencher<'_, '_>) {
    let segments = vec![frame(0x82, true, &[0x89; 1400]); MESSAGES];
    websocket(bencher, ToServer, &segments);
}

/// One message a segment.
#[divan::bench]
fn lines(bencher: Bencher<'_, '_>) {
    let segments: Vec<_> = messages().map(|text| (text + "\n").into_bytes()).collect();
    bench(bencher, &lines::PROTOCOL, &[], ToClient, &segments);
}

/// As many as fit into segments of 1448 bytes: the split ones are joined.
#[divan::bench]
fn lines_in_full_segments(bencher: Bencher<'_, '_>) {
    let text: String = messages().map(|text| text + "\n").collect();
    let segments: Vec<_> = text.as_bytes().chunks(1448).map(<[u8]>::to_vec).collect();
    bench(bencher, &lines::PROTOCOL, &[], ToClient, &segments);
}

/// Lines of a log.
#[divan::bench]
fn lines_of_noise(bencher: Bencher<'_, '_>) {
    let segments = vec![format!("[INFO] {}\n", "all is well ".repeat(24)).into_bytes(); MESSAGES];
    bench(bencher, &lines::PROTOCOL, &[], ToClient, &segments);
}

/// Behind heads.
#[divan::bench]
fn frames(bencher: Bencher<'_, '_>) {
    let write = |text: String| format!("Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes();
    let segments: Vec<_> = messages().map(write).collect();
    bench(bencher, &framed::PROTOCOL, &[], ToClient, &segments);
}
