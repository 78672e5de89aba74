//! Captures are written here byte by byte, packed, cut and damaged, and read back through [`open_file`].

use std::io::Write as _;

use proptest::prelude::*;

use super::super::{open_file, open_file_filtered};
use super::*;
use crate::model::packet::LinkType;

/// Time in nanoseconds, number, link type, data, wire length: all of a packet.
type Seen = (i64, u64, LinkType, Vec<u8>, u32);

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn drain(mut source: Box<dyn Source>) -> (Vec<Seen>, Option<SourceError>) {
    let mut seen = Vec::new();
    loop {
        match source.pull() {
            Pull::Packet(packet) => {
                assert_eq!(packet.at.source, 3);
                let data = packet.data.to_vec();
                seen.push((
                    packet.at.time.nanos(),
                    packet.at.packet,
                    packet.link,
                    data,
                    packet.wire_len,
                ));
            }
            Pull::Failed(error) => {
                assert!(matches!(source.pull(), Pull::End));
                return (seen, Some(error));
            }
            Pull::End => {
                assert!(matches!(source.pull(), Pull::End));
                return (seen, None);
            }
            Pull::Secrets(_) => {}
            Pull::Idle | Pull::Passed => panic!("a file is never idle"),
        }
    }
}

fn read(bytes: &[u8]) -> (Vec<Seen>, Option<SourceError>) {
    let file = written(bytes);
    drain(open_file(file.path().to_str().unwrap(), 3).unwrap())
}

fn refused(bytes: &[u8]) -> String {
    let file = written(bytes);
    let error = open_file(file.path().to_str().unwrap(), 3).map(|_| ()).unwrap_err();
    assert!(matches!(error, SourceError::Unreadable { .. }));
    error.to_string()
}

#[derive(Clone, Copy, Debug)]
struct Writer {
    big: bool,
}

impl Writer {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn pcap(self, magic: u32, link: u32, packets: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let version = [self.u16(2), self.u16(4)].concat();
        let tail = [0, 0, 262_144, link].map(|word| self.u32(word)).concat();
        let mut file = [self.u32(magic).to_vec(), version, tail].concat();
        for (seconds, ticks, data) in packets {
            let len = u32::try_from(data.len()).unwrap();
            file.extend([*seconds, *ticks, len, len + 5].map(|word| self.u32(word)).concat());
            file.extend(if magic == 0xa1b2_cd34 { &[9; 8][..] } else { &[] });
            file.extend_from_slice(data);
        }
        file
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = self.u32(u32::try_from(body.len() + 12).unwrap());
        [self.u32(kind).as_slice(), &len, &body, &len].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [self.u32(0x1a2b_3c4d).as_slice(), &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, snap_len: u32, options: &[u8]) -> Vec<u8> {
        self.block(
            1,
            &[self.u16(link).as_slice(), &[0; 2], &self.u32(snap_len), options].concat(),
        )
    }

    fn enhanced(self, interface: u32, ticks: u64, data: &[u8]) -> Vec<u8> {
        let len = u32::try_from(data.len()).unwrap();
        let head = [interface, (ticks >> 32) as u32, ticks as u32, len, len + 5]
            .map(|word| self.u32(word))
            .concat();
        self.block(6, &[&head, data].concat())
    }
}

const WRITERS: [Writer; 2] = [Writer { big: true }, Writer { big: false }];

#[test]
fn every_kind_of_pcap() {
    for writer in WRITERS {
        for (magic, nanos) in [
            (0xa1b2_c3d4, 1_999_999_000),
            (0xa1b2_3c4d, 1_000_999_999),
            (0xa1b2_cd34, 1_999_999_000),
        ] {
            let file = writer.pcap(magic, 0x5400_0071, &[(1, 999_999, b"one"), (u32::MAX, 0, b"")]);
            let (seen, error) = read(&file);
            assert!(error.is_none(), "{error:?}");
            let first = (nanos, 1, LinkType::LinuxSll, b"one".to_vec(), 8);
            assert_eq!(
                seen,
                [first, (4_294_967_295_000_000_000, 2, LinkType::LinuxSll, Vec::new(), 5)]
            );
        }
    }
}

/// Two sections of either byte order; three interfaces; every packet block; blocks of no interest, large and small.
fn pcapng() -> (Vec<u8>, Vec<Seen>) {
    let [big, little] = WRITERS;
    let tsresol = |writer: Writer, exponent: u8| [&writer.u16(9)[..], &writer.u16(1), &[exponent, 0, 0, 0]].concat();
    let obsolete = [
        little.u16(1).to_vec(),
        little.u16(7).to_vec(),
        [0, 2048 + 512, 3, 3].map(|word| little.u32(word)).concat(),
        b"old".to_vec(),
    ];
    let file = [
        big.section(),
        big.interface(1, 0, &[]),
        big.enhanced(0, 1_795_168_800_000_001, b"a"),
        big.block(4, b"names"),
        big.block(10, &[1; 9_000_000]),
        big.block(9, b"MESSAGE=journal"),
        little.section(),
        little.interface(276, 4, &[]),
        little.interface(101, 0, &tsresol(little, 0x8a)),
        little.interface(0, 0, &tsresol(little, 9)),
        little.enhanced(2, 77, b"nanos"),
        little.block(3, &[&little.u32(9)[..], b"cut!"].concat()),
        little.block(3, &[&little.u32(2)[..], b"ok"].concat()),
        little.block(2, &obsolete.concat()),
        little.block(0xbad, b"custom"),
        little.enhanced(1, 1024, b"end"),
    ];
    let seen = vec![
        (1_795_168_800_000_001_000, 1, LinkType::Ethernet, b"a".to_vec(), 6),
        (77, 3, LinkType::Null, b"nanos".to_vec(), 10),
        (77, 4, LinkType::LinuxSll2, b"cut!".to_vec(), 9),
        (77, 5, LinkType::LinuxSll2, b"ok".to_vec(), 2),
        (2_500_000_000, 6, LinkType::RawIp, b"old".to_vec(), 3),
        (1_000_000_000, 8, LinkType::RawIp, b"end".to_vec(), 8),
    ];
    (file.concat(), seen)
}

#[test]
fn every_kind_of_block() {
    let (file, expected) = pcapng();
    let (seen, error) = read(&file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(seen, expected);
}

/// What is given, in order: packets by their data, key logs by their text.
fn order(mut source: Box<dyn Source>) -> Vec<String> {
    let mut order = Vec::new();
    loop {
        order.push(match source.pull() {
            Pull::Packet(packet) => String::from_utf8_lossy(packet.data).into_owned(),
            Pull::Secrets(log) => format!("secrets {}", String::from_utf8_lossy(log.0)),
            Pull::Idle | Pull::Passed | Pull::Failed(_) => "neither".to_owned(),
            Pull::End => return order,
        });
    }
}

fn with_secrets(writer: Writer, at: u64, kind: u32, len: u32) -> tempfile::NamedTempFile {
    let secrets = [&writer.u32(kind)[..], &writer.u32(len), b"log!\n"].concat();
    let file = [
        writer.section(),
        writer.interface(1, 0, &[]),
        writer.enhanced(0, at, b"a"),
        writer.block(10, &secrets),
        writer.enhanced(0, at + 2, b"b"),
    ];
    written(&file.concat())
}

#[test]
fn key_logs_are_given_where_they_stand() {
    for writer in WRITERS {
        for (kind, len, given) in [
            (0x544c_534b, 5, Some("secrets log!\n")),
            (0x544c_534b, 3, Some("secrets log")),
            // The padding of a block that claims too much is junk behind a line.
            (0x544c_534b, u32::MAX, Some("secrets log!\n\0\0\0")),
            (0x5747_4b4c, 5, None),
        ] {
            let file = with_secrets(writer, 1, kind, len);
            let expected: Vec<&str> = ["a"].into_iter().chain(given).chain(["b"]).collect();
            assert_eq!(order(open_file(file.path().to_str().unwrap(), 0).unwrap()), expected);
        }
        let files = [1, 2].map(|at| with_secrets(writer, at, 0x544c_534b, 5));
        let opened = files
            .iter()
            .map(|file| open_file(file.path().to_str().unwrap(), 0).unwrap());
        let merged = order(crate::source::merge(opened.collect()));
        assert_eq!(merged, ["a", "secrets log!\n", "a", "secrets log!\n", "b", "b"]);
    }
}

fn packed(bytes: &[u8]) -> [Vec<u8>; 3] {
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let (front, back) = bytes.split_at(bytes.len() / 2);
    let frames = [
        &[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7],
        zstd::encode_all(front, 3).unwrap().as_slice(),
    ]
    .concat();
    [
        gzip(bytes),
        [gzip(front), gzip(back)].concat(),
        [frames, zstd::encode_all(back, 3).unwrap()].concat(),
    ]
}

#[test]
fn packed_files_by_their_magic() {
    let (file, expected) = pcapng();
    for packed in packed(&file) {
        let (seen, error) = read(&packed);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(seen, expected);
        let (_, error) = read(&packed[..packed.len() - 9]);
        assert!(matches!(error, Some(SourceError::Damaged { .. })), "{error:?}");
    }
}

/// Wherever a file is cut, every packet before is given, and a cut within a record is told with its place.
#[test]
fn cut_at_every_byte() {
    let data = [b"first".as_slice(), b"second", b"", b"fourth"];
    let writer = WRITERS[1];
    let pcap = writer.pcap(0xa1b2_c3d4, 1, &data.map(|data| (1, 1, data)));
    let mut pcapng = [writer.section(), writer.interface(1, 0, &[])].concat();
    let pcapng_start = pcapng.len();
    data.iter().for_each(|data| pcapng.extend(writer.enhanced(0, 1, data)));
    let padded = |data: &&[u8]| 32 + data.len().next_multiple_of(4);
    for (file, start, lens) in [
        (&pcap, 24, data.map(|data| 16 + data.len())),
        (&pcapng, pcapng_start, data.each_ref().map(padded)),
    ] {
        for end in start..=file.len() {
            let (mut whole, mut at) = (0, start);
            while let Some(len) = lens.get(whole).filter(|len| at + **len <= end) {
                (whole, at) = (whole + 1, at + len);
            }
            let (seen, error) = read(&file[..end]);
            assert_eq!(seen.len(), whole);
            match error {
                None => assert_eq!(at, end),
                Some(SourceError::Damaged { packets, offset, .. }) => {
                    assert!(at < end);
                    assert_eq!((packets, offset), (whole as u64, at as u64));
                }
                Some(other) => panic!("{other}"),
            }
        }
        for end in 4..start {
            let (seen, error) = read(&file[..end]);
            assert!(seen.is_empty());
            // Between two blocks nothing is missing.
            let between = file.len() == pcapng.len() && end == 28;
            assert_eq!(error.is_none(), between, "{end}: {error:?}");
        }
    }
}

#[test]
fn a_damaged_compressed_file_gives_what_is_before() {
    let noise = (0..2_000_u32)
        .map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes().repeat(16))
        .collect::<Vec<_>>();
    let packets = noise.iter().map(|data| (1, 1, data.as_slice())).collect::<Vec<_>>();
    let file = WRITERS[1].pcap(0xa1b2_c3d4, 1, &packets);
    let (all, _) = read(&file);
    for packed in packed(&file) {
        let (seen, error) = read(&packed[..packed.len() * 3 / 4]);
        assert!(matches!(error, Some(SourceError::Damaged { .. })), "{error:?}");
        assert!(
            seen.len() + 1 >= all.len() / 2 && seen[..] == all[..seen.len()],
            "{} packets",
            seen.len()
        );
    }
}

#[test]
fn nothing_happened() {
    for file in [Vec::new(), WRITERS[0].pcap(0xa1b2_c3d4, 1, &[]), WRITERS[1].section()] {
        let (seen, error) = read(&file);
        assert!(seen.is_empty() && error.is_none(), "{error:?}");
    }
}

#[test]
fn what_is_no_capture() {
    assert!(refused(b"GET / HTTP/1.1").contains("it starts with 47 45 54 20"));
    assert!(refused(b"x").contains("is no pcap or pcapng capture"));
    assert!(refused(b"\xfd7zXZ\0rest").contains("unpack it with `xz -d`"));
    assert!(refused(&packed(b"not a capture")[0]).contains("is no pcap or pcapng capture"));
    assert!(refused(&[0x1f, 0x8b, 9, 9, 9, 9]).contains("unpack it"));
    let missing = open_file("/no/such/file.pcap", 0).map(|_| ()).unwrap_err().to_string();
    assert!(missing.starts_with("/no/such/file.pcap: cannot be opened") && missing.ends_with("check the path"));
    let folder = tempfile::tempdir().unwrap();
    let error = open_file(folder.path().to_str().unwrap(), 0).map(|_| ()).unwrap_err();
    assert!(matches!(error, SourceError::Unreadable { .. }), "{error}");
}

#[test]
fn a_record_larger_than_the_block() {
    let large = vec![7; 1_000_000];
    let (seen, error) = read(&WRITERS[0].pcap(0xa1b2_c3d4, 1, &[(1, 0, b"a"), (2, 0, &large), (3, 0, b"b")]));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(
        seen.iter().map(|seen| seen.3.len()).collect::<Vec<_>>(),
        [1, 1_000_000, 1]
    );
    let mut claims = WRITERS[0].pcap(0xa1b2_c3d4, 1, &[(1, 0, b"a"), (2, 0, b"b")]);
    claims[24 + 17 + 8] = 0x7f;
    let (seen, error) = read(&claims);
    assert_eq!(seen.len(), 1);
    assert!(
        matches!(
            error,
            Some(SourceError::Damaged {
                packets: 1,
                offset: 41,
                ..
            })
        ),
        "{error:?}"
    );
}

#[test]
fn filtered_packets_keep_their_numbers() {
    let udp = |port: u16| {
        let mut bytes = Vec::new();
        let ip = etherparse::PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 9], 64);
        ip.udp(4711, port).write(&mut bytes, b"x").unwrap();
        bytes
    };
    let packets = [53, 80, 53, 53].map(udp);
    let file = written(&WRITERS[0].pcap(0xa1b2_c3d4, 1, &packets.each_ref().map(|data| (1, 0, data.as_slice()))));
    let path = file.path().to_str().unwrap();
    let numbers = |expression: &str| {
        let (seen, error) = drain(open_file_filtered(path, 3, expression).unwrap());
        assert!(error.is_none());
        seen.iter().map(|seen| seen.1).collect::<Vec<_>>()
    };
    assert_eq!(numbers("port 53"), [1, 3, 4]);
    assert_eq!(numbers("port 80"), [2]);
    assert!(numbers("tcp").is_empty());
    let file = written(&WRITERS[0].pcap(0xa1b2_c3d4, 101, &[(1, 0, &packets[0][14..])]));
    let path = file.path().to_str().unwrap();
    let (seen, error) = drain(open_file_filtered(path, 3, "ether broadcast").unwrap());
    assert!(
        seen.is_empty() && matches!(error, Some(SourceError::Filter { .. })),
        "raw IP has no addresses of Ethernet"
    );
    let (seen, error) = drain(open_file_filtered(path, 3, "port 53").unwrap());
    assert!(seen.len() == 1 && error.is_none(), "{error:?}");
    assert!(matches!(
        open_file_filtered(path, 3, "port of call"),
        Err(SourceError::Filter { .. })
    ));
}

#[test]
fn progress_ends_at_the_size_on_disk() {
    let (plain, _) = pcapng();
    for file in [plain.clone(), packed(&plain)[2].clone()] {
        let on_disk = written(&file);
        let mut source = open_file(on_disk.path().to_str().unwrap(), 3).unwrap();
        while !matches!(source.pull(), Pull::End) {}
        assert_eq!(source.progress(), Some((file.len() as u64, file.len() as u64)));
    }
}

proptest! {
    /// No bytes panic, and a changed byte costs nothing before it.
    #[test]
    fn any_damage(changes in prop::collection::vec((0..400_usize, any::<u8>()), 1..4), cut in 0..500_usize, ng: bool) {
        let writer = WRITERS[1];
        let mut file = if ng {
            let body = (0..6).map(|n| writer.enhanced(0, n, &[n as u8; 30]));
            [writer.section(), writer.interface(1, 0, &[])].into_iter().chain(body).collect::<Vec<_>>().concat()
        } else {
            writer.pcap(0xa1b2_c3d4, 1, &[(1, 1, &[1; 30]), (1, 2, &[2; 30]), (1, 3, &[3; 30]), (1, 4, &[4; 30])])
        };
        let (undamaged, _) = read(&file);
        let (start, step) = if ng { (48, 64) } else { (24, 46) };
        file.truncate(cut);
        let mut first = file.len();
        for (at, value) in changes {
            if let Some(byte) = file.get_mut(at) { *byte = value; first = first.min(at); }
        }
        let untouched = (first.saturating_sub(start) / step).min(undamaged.len());
        let on_disk = written(&file);
        if let Ok(source) = open_file(on_disk.path().to_str().unwrap(), 3) {
            let (seen, _) = drain(source);
            prop_assert!(seen.len() >= untouched && seen[..untouched] == undamaged[..untouched]);
        }
    }
}
