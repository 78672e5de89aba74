//! What a packet costs before anybody looks into it: reading a capture file, decoding, and finding its slice.
//!
//! One iteration reads the whole file from the page cache; divan's items are packets. `SHADOWTAP_BENCH_CAPTURE` names a
//! capture to be measured instead of the generated one.

use std::io::Write as _;
use std::sync::LazyLock;

use divan::counter::ItemsCount;
use etherparse::PacketBuilder;
use shadowtap::model::net::Transport;
use shadowtap::model::packet::{LinkType, Packet, RawPacket};
use shadowtap::model::stamp::Stamp;
use shadowtap::packet::steer::{Steering, key};
use shadowtap::packet::{Checksums, decode};
use shadowtap::source::{Pull, merge, open_file};

const PACKETS: u32 = 200_000;

/// Keeps the generated file for as long as the benches run.
struct Capture {
    path: String,
    packets: u64,
    _file: Option<tempfile::NamedTempFile>,
}

static CAPTURE: LazyLock<Capture> = LazyLock::new(|| {
    let (path, file) = match std::env::var("SHADOWTAP_BENCH_CAPTURE") {
        Ok(path) => (path, None),
        Err(_) => {
            let file = generate();
            (file.path().to_string_lossy().into_owned(), Some(file))
        }
    };
    Capture {
        packets: walk(&[&path], |_| 0),
        path,
        _file: file,
    }
});

/// Segments of 0 to 1460 bytes of payload between a thousand clients and one server.
fn generate() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for n in 0..PACKETS {
        let frame = segment(n);
        let len = frame.len() as u32;
        for word in [1_795_168_800 + n / 1_000_000, n % 1_000_000, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    file.write_all(&bytes).expect("room for a temporary file");
    file
}

fn segment(n: u32) -> Vec<u8> {
    let client = 0x0a00_0000 + n % 1_000;
    let payload = vec![n as u8; (n.wrapping_mul(0x9e37_79b9) >> 16) as usize % 1_461];
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4(client.to_be_bytes(), [10, 1, 0, 1], 64)
        .tcp(40_000, 443, n, 65_535)
        .write(&mut frame, &payload)
        .expect("a segment");
    frame
}

/// Pulls to the end; gives the number of packets.
fn walk(paths: &[&str], work: impl Fn(&RawPacket<'_>) -> u64) -> u64 {
    let open = |(index, path): (usize, &&str)| open_file(path, index as u16).expect("a capture");
    let mut source = merge(paths.iter().enumerate().map(open).collect());
    let (mut packets, mut sum) = (0, 0_u64);
    loop {
        match source.pull() {
            Pull::Packet(packet) => {
                packets += 1;
                sum = sum.wrapping_add(work(&packet));
            }
            Pull::Failed(error) => panic!("{error}"),
            Pull::Idle | Pull::Secrets(_) => {}
            Pull::End => break,
        }
    }
    divan::black_box(sum);
    packets
}

fn steer(packet: &RawPacket<'_>) -> u64 {
    let (src, dst, transport, len) = match decode(packet, Checksums::Ignore) {
        Ok(Packet::Tcp(segment)) => (segment.src, segment.dst, Transport::Tcp, segment.payload.len()),
        Ok(Packet::Udp(datagram)) => (datagram.src, datagram.dst, Transport::Udp, datagram.payload.len()),
        Ok(Packet::Other) | Err(_) => return 0,
    };
    Steering::default()
        .hash(&key(src, dst, transport).0)
        .wrapping_add(len as u64)
}

#[divan::bench]
fn read(bencher: divan::Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(CAPTURE.packets))
        .bench(|| walk(&[&CAPTURE.path], |packet| packet.data.len() as u64));
}

#[divan::bench]
fn read_decode_steer(bencher: divan::Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(CAPTURE.packets))
        .bench(|| walk(&[&CAPTURE.path], steer));
}

/// The same file twice, so that every packet is held once.
#[divan::bench]
fn merge_two(bencher: divan::Bencher<'_, '_>) {
    let two = [CAPTURE.path.as_str(), CAPTURE.path.as_str()];
    bencher
        .counter(ItemsCount::new(CAPTURE.packets * 2))
        .bench(|| walk(&two, |packet| packet.data.len() as u64));
}

/// One packet in the cache: the decoder alone.
#[divan::bench]
fn decode_and_steer_cached(bencher: divan::Bencher<'_, '_>) {
    let frame = segment(7);
    let wire_len = frame.len() as u32;
    let packet = RawPacket {
        at: Stamp::default(),
        link: LinkType::Ethernet,
        data: &frame,
        wire_len,
    };
    bencher.bench(|| steer(divan::black_box(&packet)));
}

fn main() {
    divan::main();
}
