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
use shadowtap::packet::{Checksums, Config, Decoder};
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
fn walk(paths: &[&str], mut work: impl FnMut(&RawPacket<'_>) -> u64) -> u64 {
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
            Pull::Idle | Pull::Passed | Pull::Secrets(_) => {}
            Pull::End => break,
        }
    }
    divan::black_box(sum);
    packets
}

fn decoder() -> Decoder {
    Decoder::new(&Config::default(), Checksums::Ignore)
}

fn steer(decoder: &mut Decoder, packet: &RawPacket<'_>) -> u64 {
    let (src, dst, transport, len) = match decoder.decode(packet).map(|decoded| decoded.packet) {
        Ok(Packet::Tcp(segment)) => (segment.src, segment.dst, Transport::Tcp, segment.payload.len()),
        Ok(Packet::Udp(datagram)) => (datagram.src, datagram.dst, Transport::Udp, datagram.payload.len()),
        Ok(Packet::Encrypted(_) | Packet::Fragment | Packet::Other) | Err(_) => return 0,
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
    bencher.counter(ItemsCount::new(CAPTURE.packets)).bench(|| {
        let mut decoder = decoder();
        walk(&[&CAPTURE.path], |packet| steer(&mut decoder, packet))
    });
}

/// The same file twice, so that every packet is held once.
#[divan::bench]
fn merge_two(bencher: divan::Bencher<'_, '_>) {
    let two = [CAPTURE.path.as_str(), CAPTURE.path.as_str()];
    bencher
        .counter(ItemsCount::new(CAPTURE.packets * 2))
        .bench(|| walk(&two, |packet| packet.data.len() as u64));
}

/// What a packet is wrapped in: headers in front of the frame, from the outer Ethernet header on.
const WRAPPED: [&str; 6] = ["bare", "vlan", "mpls", "vxlan", "erspan", "vxlan_in_fragments"];

/// The frame within IPv4 of this protocol.
fn within(protocol: u8, header: &[u8], frame: &[u8]) -> Vec<u8> {
    let len = (20 + header.len() + frame.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend(len.to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    [&[2; 12], &[8, 0][..], &ip, header, frame].concat()
}

fn wrapped(kind: &str) -> Vec<u8> {
    let frame = segment(7);
    match kind {
        "bare" => frame,
        "vlan" => [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat(),
        "mpls" => [&frame[..12], &[0x88, 0x47, 0, 6, 0x41, 64], &frame[14..]].concat(),
        "erspan" => {
            let header = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0, 7, 0, 0, 0, 1];
            within(47, &header, &frame)
        }
        _ => {
            let [high, low] = ((16 + frame.len()) as u16).to_be_bytes();
            let header = [0xc0, 0, 0x12, 0xb5, high, low, 0, 0, 8, 0, 0, 0, 0, 0, 31, 0];
            within(17, &header, &frame)
        }
    }
}

fn packet(data: &[u8]) -> RawPacket<'_> {
    RawPacket {
        at: Stamp::default(),
        link: LinkType::Ethernet,
        data,
        wire_len: data.len() as u32,
    }
}

/// One packet in the cache: the decoder alone. In fragments: both of them.
#[divan::bench(args = WRAPPED)]
fn decode_and_steer_cached(bencher: divan::Bencher<'_, '_>, kind: &str) {
    let frame = wrapped(kind);
    let mut decoder = decoder();
    if kind != "vxlan_in_fragments" {
        bencher.bench_local(|| steer(&mut decoder, divan::black_box(&packet(&frame))));
        return;
    }
    let cut = 34 + (frame.len() - 34) / 16 * 8;
    let piece = |data: &[u8], place: usize| {
        let mut piece = [&frame[..34], data].concat();
        piece[16..18].copy_from_slice(&((20 + data.len()) as u16).to_be_bytes());
        piece[20..22].copy_from_slice(&(place as u16).to_be_bytes());
        piece
    };
    let mut pieces = [piece(&frame[34..cut], 0x2000), piece(&frame[cut..], (cut - 34) / 8)];
    let mut id = 0_u16;
    bencher.bench_local(|| {
        id = id.wrapping_add(1);
        let mut sum = 0;
        for piece in &mut pieces {
            piece[18..20].copy_from_slice(&id.to_be_bytes());
            sum += steer(&mut decoder, divan::black_box(&packet(piece)));
        }
        sum
    });
}

fn main() {
    divan::main();
}
