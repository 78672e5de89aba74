//! Packets are made by etherparse's builder, wrapped, cut and mutated here. Etherparse's transport headers (fast path)
//! and our own (cold path) are each other's oracle.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::model::packet::{Datagram, Flags, Segment};

const LINKS: [LinkType; 7] = [
    LinkType::Ethernet,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Loop,
    LinkType::Null,
    LinkType::RawIp,
    LinkType::Unsupported(147),
];

fn raw(link: LinkType, data: &[u8]) -> RawPacket<'_> {
    RawPacket {
        at: Stamp::default(),
        link,
        data,
        wire_len: u32::try_from(data.len()).unwrap(),
    }
}

fn tcp_frame(v6: bool, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let ip = if v6 {
        link.ipv6([1; 16], [2; 16], 64)
    } else {
        link.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    };
    let mut frame = Vec::new();
    let tcp = ip
        .tcp(4711, 80, 0x8000_0001, 500)
        .ack(77)
        .psh()
        .options_raw(&[1; 12])
        .unwrap();
    tcp.write(&mut frame, payload).unwrap();
    frame
}

fn udp_frame(v6: bool, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let ip = if v6 {
        link.ipv6([1; 16], [2; 16], 64)
    } else {
        link.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    };
    let mut frame = Vec::new();
    ip.udp(4711, 53).write(&mut frame, payload).unwrap();
    frame
}

/// Fresh, without fragments; leaked, because what it gives borrows it.
fn decoder(policy: Checksums) -> &'static mut Decoder {
    Box::leak(Box::new(Decoder::new(&Config::default(), policy)))
}

fn decode<'a>(raw: &RawPacket<'a>, policy: Checksums) -> Result<Packet<'a>, Undecodable> {
    decoder(policy).decode(raw).map(|decoded| decoded.packet)
}

/// The cold path alone.
fn decode_cold<'a>(raw: &RawPacket<'a>) -> Result<Packet<'a>, Undecodable> {
    let cut = (raw.wire_len as usize).saturating_sub(raw.data.len());
    let mut path = Path {
        layers: 0,
        outer: Outer::default(),
        fast: false,
    };
    let start = link::first(raw.link, raw.data, cut)?;
    match decoder(Checksums::Ignore).uncover(raw.at, start, &mut path)? {
        Unwrapped::Packet(packet) => Ok(packet),
        Unwrapped::Fragment(_) => Ok(Packet::Fragment),
    }
}

fn segment<'a>(raw: &RawPacket<'a>) -> Segment<'a> {
    match decode(raw, Checksums::Ignore) {
        Ok(Packet::Tcp(segment)) => segment,
        other => panic!("{other:?}"),
    }
}

fn datagram<'a>(raw: &RawPacket<'a>) -> Datagram<'a> {
    match decode(raw, Checksums::Ignore) {
        Ok(Packet::Udp(datagram)) => datagram,
        other => panic!("{other:?}"),
    }
}

fn failure(link: LinkType, data: &[u8]) -> Undecodable {
    decode(&raw(link, data), Checksums::Ignore).unwrap_err()
}

#[test]
fn reads_every_field() {
    let frame = tcp_frame(false, b"hello");
    let seen = segment(&raw(LinkType::Ethernet, &frame));
    assert_eq!(seen.src.to_string(), "10.0.0.1:4711");
    assert_eq!(seen.dst.to_string(), "10.0.0.2:80");
    assert_eq!(
        (seen.seq, seen.ack, seen.flags.0),
        (0x8000_0001, 77, Flags::PSH | Flags::ACK)
    );
    assert_eq!((seen.payload, seen.missing), (b"hello".as_slice(), 0));
    assert!(
        decode_common(&raw(LinkType::Ethernet, &frame)).is_some(),
        "the fast path takes it"
    );
}

/// Every link type, every tag and every kind of envelope around one IP packet shows the same segment.
#[test]
fn every_envelope() {
    for v6 in [false, true] {
        let frame = tcp_frame(v6, b"hello");
        let ether_type = frame[12..14].to_vec();
        let ip = &frame[14..];
        let family = if v6 { 30_u32 } else { 2 };
        let with = |head: &[&[u8]]| [head.concat(), ip.to_vec()].concat();
        for (link, data) in [
            (LinkType::Ethernet, with(&[&[0; 12], &[0x81, 0, 0, 5], &ether_type])),
            (
                LinkType::Ethernet,
                with(&[&[0; 12], &[0x88, 0xa8, 0, 5], &[0x81, 0, 0, 9], &ether_type]),
            ),
            (
                LinkType::Ethernet,
                with(&[&[0; 12], &[0, 90], &[0xaa, 0xaa, 3, 0, 0, 0], &ether_type]),
            ),
            (LinkType::LinuxSll, with(&[&[0, 0, 0, 1, 0, 6], &[0; 8], &ether_type])),
            (
                LinkType::LinuxSll,
                with(&[&[0, 0, 0, 1, 0, 6], &[0; 8], &[0x81, 0, 0, 5], &ether_type]),
            ),
            (LinkType::LinuxSll2, with(&[&ether_type, &[0; 18]])),
            (LinkType::Null, with(&[&family.to_le_bytes()])),
            (LinkType::Null, with(&[&family.to_be_bytes()])),
            (LinkType::Loop, with(&[&family.to_be_bytes()])),
            (LinkType::RawIp, ip.to_vec()),
        ] {
            let (seen, plain) = (segment(&raw(link, &data)), segment(&raw(LinkType::Ethernet, &frame)));
            assert_eq!(format!("{seen:?}"), format!("{plain:?}"), "{link:?}");
        }
    }
}

#[test]
fn ipv6_extension_headers() {
    let frame = tcp_frame(true, b"hello");
    let hop_by_hop_then = |next: u8, extra: &[u8]| {
        let mut data = frame.clone();
        let len = u16::from_be_bytes([data[18], data[19]]) + 8 + u16::try_from(extra.len()).unwrap();
        data[18..20].copy_from_slice(&len.to_be_bytes());
        data[20] = 0;
        data.splice(54..54, [&[next, 0, 1, 4, 0, 0, 0, 0], extra].concat());
        data
    };
    let whole = hop_by_hop_then(6, &[]);
    assert_eq!(segment(&raw(LinkType::Ethernet, &whole)).payload, b"hello");
    let cut = RawPacket {
        data: &whole[..whole.len() - 2],
        ..raw(LinkType::Ethernet, &whole)
    };
    assert_eq!((segment(&cut).payload, segment(&cut).missing), (b"hel".as_slice(), 2));
    let atomic = hop_by_hop_then(44, &[6, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(segment(&raw(LinkType::Ethernet, &atomic)).payload, b"hello");
    let fragment = hop_by_hop_then(44, &[6, 0, 0, 8, 1, 2, 3, 4]);
    assert!(matches!(
        decode(&raw(LinkType::Ethernet, &fragment), Checksums::Ignore),
        Ok(Packet::Fragment)
    ));
    assert_eq!(failure(LinkType::Ethernet, &whole[..58]), Undecodable::Truncated);
}

#[test]
fn padding_is_no_payload() {
    for mut frame in [
        tcp_frame(false, b""),
        tcp_frame(true, b""),
        udp_frame(false, b""),
        udp_frame(true, b""),
    ] {
        frame.extend_from_slice(&[0xff; 20]);
        match decode(&raw(LinkType::Ethernet, &frame), Checksums::Ignore) {
            Ok(Packet::Tcp(Segment { payload, missing, .. }) | Packet::Udp(Datagram { payload, missing, .. })) => {
                assert_eq!((payload.len(), missing), (0, 0));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_the_snap_length_cut_is_told() {
    for v6 in [false, true] {
        let frame = tcp_frame(v6, &[7; 1000]);
        let headers = frame.len() - 1000;
        for kept in [
            headers - 12,
            headers - 1,
            headers,
            headers + 1,
            headers + 999,
            headers + 1000,
        ] {
            let cut = RawPacket {
                data: &frame[..kept],
                ..raw(LinkType::Ethernet, &frame)
            };
            let (seen, captured) = (segment(&cut), kept.saturating_sub(headers));
            assert_eq!(
                (seen.payload.len(), seen.missing as usize),
                (captured, 1000 - captured),
                "{kept}"
            );
            assert_eq!(seen.seq, 0x8000_0001);
        }
        let too_short = RawPacket {
            data: &frame[..headers - 13],
            ..raw(LinkType::Ethernet, &frame)
        };
        assert_eq!(
            decode(&too_short, Checksums::Ignore).unwrap_err(),
            Undecodable::Truncated
        );
    }
    let frame = udp_frame(false, &[7; 1000]);
    let cut = RawPacket {
        data: &frame[..142],
        ..raw(LinkType::Ethernet, &frame)
    };
    assert_eq!((datagram(&cut).payload.len(), datagram(&cut).missing), (100, 900));
}

/// A host that segments in its card captures packets of 64 KiB and more, whose length field holds nothing.
#[test]
fn length_zero_means_to_the_end() {
    let mut frame = tcp_frame(false, &[7; 300]);
    frame[16..18].fill(0);
    let whole = segment(&raw(LinkType::Ethernet, &frame));
    assert_eq!((whole.payload.len(), whole.missing), (300, 0));
    let cut = RawPacket {
        wire_len: 100_066,
        ..raw(LinkType::Ethernet, &frame)
    };
    assert_eq!((segment(&cut).payload.len(), segment(&cut).missing), (300, 99_700));
    let mut frame = tcp_frame(true, &[7; 300]);
    frame[18..20].fill(0);
    assert_eq!(segment(&raw(LinkType::Ethernet, &frame)).payload.len(), 300);
}

#[test]
fn what_is_neither_tcp_nor_udp() {
    let mut icmp = Vec::new();
    let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    ip.icmpv4_echo_request(1, 2).write(&mut icmp, b"ping").unwrap();
    let arp = [[0; 12].as_slice(), &[8, 6], &[0; 28]].concat();
    let spanning_tree = [[0; 12].as_slice(), &[0, 38, 0x42, 0x42, 3], &[0; 35]].concat();
    for data in [icmp, arp, spanning_tree] {
        assert!(matches!(
            decode(&raw(LinkType::Ethernet, &data), Checksums::Ignore),
            Ok(Packet::Other)
        ));
    }
}

#[test]
fn says_why_it_gave_nothing() {
    let frame = tcp_frame(false, b"hello");
    let changed = |at: usize, value: u8| {
        let mut frame = frame.clone();
        frame[at] = value;
        frame
    };
    // The first fragment ends where no other can begin.
    assert_eq!(
        failure(LinkType::Ethernet, &changed(20, 0x20)),
        Undecodable::Malformed("fragment")
    );
    assert_eq!(
        failure(LinkType::Ethernet, &changed(14, 0x55)),
        Undecodable::Malformed("IP version")
    );
    assert_eq!(
        failure(LinkType::Ethernet, &changed(14, 0x44)),
        Undecodable::Malformed("IPv4 header")
    );
    assert_eq!(
        failure(LinkType::Ethernet, &changed(17, 19)),
        Undecodable::Malformed("IPv4 total length")
    );
    assert_eq!(
        failure(LinkType::Ethernet, &changed(46, 0x40)),
        Undecodable::Malformed("TCP data offset")
    );
    assert_eq!(failure(LinkType::Ethernet, &frame[..13]), Undecodable::Truncated);
    assert_eq!(failure(LinkType::Unsupported(105), &frame), Undecodable::LinkType(105));
    let tags = [[0; 12].as_slice(), &[0x81, 0, 0, 1].repeat(9), &[8, 0]].concat();
    assert_eq!(failure(LinkType::Ethernet, &tags), Undecodable::Malformed("VLAN tags"));
}

#[test]
fn checksums_on_request() {
    for frame in [
        tcp_frame(false, b"hello"),
        tcp_frame(true, b"hello"),
        udp_frame(false, b"odd"),
        udp_frame(true, b""),
    ] {
        let verify = |data: &[u8]| decode(&raw(LinkType::Ethernet, data), Checksums::Verify).map(drop);
        assert!(verify(&frame).is_ok(), "{frame:?}");
        let mut wrong = frame.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&wrong).unwrap_err(), Undecodable::Checksum);
        assert!(decode(&raw(LinkType::Ethernet, &wrong), Checksums::Ignore).is_ok());
        // Of a packet that was cut nobody knows.
        assert!(!matches!(verify(&wrong[..wrong.len() - 1]), Err(Undecodable::Checksum)));
    }
    let mut header = tcp_frame(false, b"hello");
    header[22] ^= 1;
    assert_eq!(
        decode(&raw(LinkType::Ethernet, &header), Checksums::Verify).unwrap_err(),
        Undecodable::Checksum
    );
    let mut none = udp_frame(false, b"hello");
    none[40..42].fill(0);
    assert!(
        decode(&raw(LinkType::Ethernet, &none), Checksums::Verify).is_ok(),
        "no checksum is no wrong checksum"
    );
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    (
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..40),
        0..30_usize,
    )
        .prop_map(|(tcp, v6, payload, padding)| {
            let mut frame = if tcp {
                tcp_frame(v6, &payload)
            } else {
                udp_frame(v6, &payload)
            };
            frame.resize(frame.len() + padding, 0);
            frame
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_paths_agree(
        frame in frame(),
        changes in prop::collection::vec((0..80_usize, any::<u8>()), 0..4),
        cut in prop::option::of(0..120_usize),
    ) {
        let well_formed = changes.is_empty() && cut.is_none();
        let (mut frame, wire_len) = (frame.clone(), u32::try_from(frame.len()).unwrap());
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) { *byte = value; }
        }
        frame.truncate(cut.unwrap_or(usize::MAX));
        let packet = RawPacket { wire_len, ..raw(LinkType::Ethernet, &frame) };
        let (fast, any) = (decode_common(&packet), decode_cold(&packet));
        prop_assert!(fast.is_some() || !well_formed);
        if let Some(fast) = fast {
            prop_assert_eq!(format!("{:?}", Ok::<_, Undecodable>(fast)), format!("{any:?}"));
        }
    }

    /// No bytes panic, and what comes out lies within what went in.
    #[test]
    fn any_bytes(
        frame in frame(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((0..80_usize, any::<u8>()), 0..8),
        skip in 0..20_usize,
        wire_len: u32,
    ) {
        let mut frame = frame.get(skip..).unwrap_or_default().to_vec();
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) { *byte = value; }
        }
        for data in [&frame, &noise] {
            for (link, policy) in LINKS.iter().flat_map(|link| [(*link, Checksums::Ignore), (*link, Checksums::Verify)]) {
                let packet = RawPacket { wire_len, ..raw(link, data) };
                if let Ok(Packet::Tcp(Segment { payload, missing, .. }) | Packet::Udp(Datagram { payload, missing, .. }))
                    = decode(&packet, policy)
                {
                    prop_assert!(payload.len() + 8 <= data.len());
                    prop_assert!(missing as usize <= (wire_len as usize).max(65_535));
                }
            }
        }
    }
}
