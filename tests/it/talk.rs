//! A scripted conversation becomes packets: Ethernet, IPv4 or IPv6, TCP. Then the network is unkind to them.
//!
//! Scripts are data ([`Script`]); how they are cut into segments and what happens on the way is a [`Wire`].

use std::net::IpAddr;

/// One end of a connection.
pub(crate) type End = (IpAddr, u16);

/// What happens on which connection, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) acts: Vec<(Ends, Act)>,
}

/// Client and server of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ends {
    pub(crate) client: End,
    pub(crate) server: End,
}

/// Something that one side does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The three packets of a handshake.
    Open,
    /// The client sends.
    Up(Vec<u8>),
    /// The server sends.
    Down(Vec<u8>),
    /// The client sends the second half of the one, then of the other, then the first half of the other: equally long,
    /// and the receiver may choose.
    Forked(Vec<u8>, Vec<u8>),
    /// FIN of both.
    Close,
    /// RST by the server.
    Reset,
    /// Sequence numbers go on, nothing is captured: bytes that the client sent.
    UnseenUp(Vec<u8>),
    /// The same of the server.
    UnseenDown(Vec<u8>),
}

pub(crate) fn ends(client: (&str, u16), server: (&str, u16)) -> Ends {
    Ends {
        client: (client.0.parse().unwrap(), client.1),
        server: (server.0.parse().unwrap(), server.1),
    }
}

impl Script {
    pub(crate) fn then(mut self, ends: Ends, act: Act) -> Self {
        self.acts.push((ends, act));
        self
    }

    pub(crate) fn up(self, ends: Ends, bytes: impl AsRef<[u8]>) -> Self {
        self.then(ends, Act::Up(bytes.as_ref().to_vec()))
    }

    pub(crate) fn down(self, ends: Ends, bytes: impl AsRef<[u8]>) -> Self {
        self.then(ends, Act::Down(bytes.as_ref().to_vec()))
    }

    /// Both scripts, one after the other.
    pub(crate) fn chain(mut self, other: Self) -> Self {
        self.acts.extend(other.acts);
        self
    }

    /// The same between other ends.
    pub(crate) fn moved(&self, place: impl Fn(Ends) -> Ends) -> Self {
        let acts = self
            .acts
            .iter()
            .map(|(ends, act)| (place(*ends), act.clone()))
            .collect();
        Self { acts }
    }
}

/// How a script becomes packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// Most payload bytes of a segment; 0: of random size, at most 1460.
    pub(crate) mss: usize,
    /// 802.1Q tags, outermost first.
    pub(crate) tags: &'static [u16],
    pub(crate) unkind: Unkind,
    /// Which side is captured.
    pub(crate) side: Side,
    pub(crate) seed: u64,
}

/// What the network does to packets, without losing any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unkind {
    Not,
    /// Every packet twice, as a mirror port of both directions gives it.
    Mirrored,
    /// Segments of one act arrive in another order.
    Reordered,
    /// Every third segment is seen late: lost once, sent again at the end of its act.
    Lossy,
    /// Every segment is sent again, merged with the one before it.
    Resent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    ToClient,
    ToServer,
}

pub(crate) const PLAIN: Wire = Wire {
    mss: 1460,
    tags: &[],
    unkind: Unkind::Not,
    side: Side::Both,
    seed: 1,
};

/// Every way to be unkind that loses nothing.
pub(crate) const UNKIND: &[(&str, Wire)] = &[
    ("tiny segments", Wire { mss: 1, ..PLAIN }),
    ("small segments", Wire { mss: 88, ..PLAIN }),
    (
        "random segments",
        Wire {
            mss: 0,
            seed: 7,
            ..PLAIN
        },
    ),
    ("offloaded", Wire { mss: 60_000, ..PLAIN }),
    ("VLAN", Wire { tags: &[100], ..PLAIN }),
    (
        "QinQ",
        Wire {
            tags: &[7, 100],
            mss: 300,
            ..PLAIN
        },
    ),
    (
        "mirrored",
        Wire {
            unkind: Unkind::Mirrored,
            ..PLAIN
        },
    ),
    (
        "reordered",
        Wire {
            unkind: Unkind::Reordered,
            mss: 0,
            seed: 3,
            ..PLAIN
        },
    ),
    (
        "reordered, tiny",
        Wire {
            unkind: Unkind::Reordered,
            mss: 20,
            seed: 5,
            ..PLAIN
        },
    ),
    (
        "lossy",
        Wire {
            unkind: Unkind::Lossy,
            mss: 90,
            ..PLAIN
        },
    ),
    (
        "resent",
        Wire {
            unkind: Unkind::Resent,
            mss: 150,
            seed: 11,
            ..PLAIN
        },
    ),
    (
        "resent, random",
        Wire {
            unkind: Unkind::Resent,
            mss: 0,
            seed: 12,
            ..PLAIN
        },
    ),
];

/// Nanoseconds between two packets.
const STEP: i64 = 100_000;
/// 2026-11-20T10:00:00Z.
const START: i64 = 1_795_168_800_000_000_000;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Next sequence numbers of a connection, by direction.
#[derive(Clone, Copy)]
struct Numbers {
    up: u32,
    down: u32,
}

struct Segment {
    seq: u32,
    payload: Vec<u8>,
}

/// The packets of a script.
pub(crate) fn packets(script: &Script, wire: &Wire) -> Vec<(i64, Vec<u8>)> {
    let mut cast = Cast {
        wire: *wire,
        random: Random(wire.seed),
        open: std::collections::BTreeMap::new(),
        opened: 0,
        frames: Vec::new(),
    };
    for (ends, act) in &script.acts {
        cast.play(*ends, act);
    }
    cast.frames
}

/// A pcap file with times in nanoseconds.
pub(crate) fn pcap(frames: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        out.extend(word.to_le_bytes());
    }
    for (nanos, data) in frames {
        let len = u32::try_from(data.len()).unwrap();
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        for word in [u32::try_from(seconds).unwrap(), u32::try_from(rest).unwrap(), len, len] {
            out.extend(word.to_le_bytes());
        }
        out.extend(data);
    }
    out
}

struct Cast {
    wire: Wire,
    random: Random,
    open: std::collections::BTreeMap<Ends, Numbers>,
    opened: u32,
    frames: Vec<(i64, Vec<u8>)>,
}

impl Cast {
    fn play(&mut self, ends: Ends, act: &Act) {
        match act {
            Act::Open => {
                // Near the wrap-around of sequence numbers, and different for each connection.
                self.opened += 1;
                let first = 0xffff_ff00_u32.wrapping_sub(self.opened.wrapping_mul(97));
                let numbers = Numbers {
                    up: first,
                    down: first ^ 0x40,
                };
                self.send(ends, true, SYN, numbers.up, 0, &[]);
                self.send(ends, false, SYN | ACK, numbers.down, numbers.up.wrapping_add(1), &[]);
                let numbers = Numbers {
                    up: numbers.up.wrapping_add(1),
                    down: numbers.down.wrapping_add(1),
                };
                self.send(ends, true, ACK, numbers.up, numbers.down, &[]);
                self.open.insert(ends, numbers);
            }
            Act::Up(bytes) => self.data(ends, true, bytes),
            Act::Down(bytes) => self.data(ends, false, bytes),
            Act::Forked(one, other) => {
                assert_eq!(one.len(), other.len());
                let Numbers { up, down } = *self.numbers(ends);
                let middle = one.len() / 2;
                let second = up.wrapping_add(u32::try_from(middle).unwrap());
                self.send(ends, true, PSH | ACK, second, down, &one[middle..]);
                self.send(ends, true, PSH | ACK, second, down, &other[middle..]);
                self.send(ends, true, PSH | ACK, up, down, &other[..middle]);
                self.numbers(ends).up = up.wrapping_add(u32::try_from(one.len()).unwrap());
            }
            Act::UnseenUp(bytes) => {
                let numbers = self.numbers(ends);
                numbers.up = numbers.up.wrapping_add(u32::try_from(bytes.len()).unwrap());
            }
            Act::UnseenDown(bytes) => {
                let numbers = self.numbers(ends);
                numbers.down = numbers.down.wrapping_add(u32::try_from(bytes.len()).unwrap());
            }
            Act::Close => {
                let Numbers { up, down } = *self.numbers(ends);
                self.send(ends, true, FIN | ACK, up, down, &[]);
                self.send(ends, false, FIN | ACK, down, up.wrapping_add(1), &[]);
                self.send(ends, true, ACK, up.wrapping_add(1), down.wrapping_add(1), &[]);
            }
            Act::Reset => {
                let Numbers { up, down } = *self.numbers(ends);
                self.send(ends, false, RST | ACK, down, up, &[]);
            }
        }
    }

    fn numbers(&mut self, ends: Ends) -> &mut Numbers {
        self.open.entry(ends).or_insert(Numbers { up: 1000, down: 5000 })
    }

    fn data(&mut self, ends: Ends, up: bool, bytes: &[u8]) {
        let numbers = *self.numbers(ends);
        let (first, ack) = if up {
            (numbers.up, numbers.down)
        } else {
            (numbers.down, numbers.up)
        };
        let mut segments = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let size = match self.wire.mss {
                0 => 1 + self.random.below(1460),
                mss => mss,
            };
            let end = (at + size).min(bytes.len());
            segments.push(Segment {
                seq: first.wrapping_add(u32::try_from(at).unwrap()),
                payload: bytes[at..end].to_vec(),
            });
            at = end;
        }
        self.disturb(&mut segments);
        for Segment { seq, payload } in &segments {
            self.send(ends, up, PSH | ACK, *seq, ack, payload);
        }
        let next = first.wrapping_add(u32::try_from(bytes.len()).unwrap());
        let numbers = self.numbers(ends);
        *(if up { &mut numbers.up } else { &mut numbers.down }) = next;
        self.send(ends, !up, ACK, ack, next, &[]);
    }

    fn disturb(&mut self, segments: &mut Vec<Segment>) {
        match self.wire.unkind {
            Unkind::Not | Unkind::Mirrored => {}
            Unkind::Reordered => {
                for at in (1..segments.len()).rev() {
                    segments.swap(at, self.random.below(at + 1));
                }
            }
            Unkind::Lossy => {
                let mut at = 0;
                let (late, rest): (Vec<_>, Vec<_>) = segments.drain(..).partition(|_| {
                    at += 1;
                    at % 3 == 1
                });
                segments.extend(rest.into_iter().chain(late));
            }
            Unkind::Resent => {
                let mut all: Vec<Segment> = Vec::new();
                for segment in segments.drain(..) {
                    let again = all.iter().rev().find(|before| {
                        before.seq.wrapping_add(u32::try_from(before.payload.len()).unwrap()) == segment.seq
                    });
                    let merged = again.map(|before| Segment {
                        seq: before.seq,
                        payload: [&before.payload[..], &segment.payload[..]].concat(),
                    });
                    all.push(segment);
                    all.extend(merged);
                }
                *segments = all;
            }
        }
    }

    fn send(&mut self, ends: Ends, up: bool, flags: u8, seq: u32, ack: u32, payload: &[u8]) {
        let captured = match self.wire.side {
            Side::Both => true,
            Side::ToServer => up,
            Side::ToClient => !up,
        };
        if !captured {
            return;
        }
        let (src, dst) = if up {
            (ends.client, ends.server)
        } else {
            (ends.server, ends.client)
        };
        let frame = frame(self.wire.tags, src, dst, flags, seq, ack, payload);
        let copies = if self.wire.unkind == Unkind::Mirrored { 2 } else { 1 };
        for _ in 0..copies {
            let at = START + STEP * i64::try_from(self.frames.len()).unwrap();
            self.frames.push((at, frame.clone()));
        }
    }
}

fn frame(tags: &[u16], src: End, dst: End, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        out.extend([0x81, 0x00]);
        out.extend(tag.to_be_bytes());
    }
    let tcp_len = u16::try_from(20 + payload.len()).unwrap();
    match (src.0, dst.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend([0x08, 0x00, 0x45, 0]);
            out.extend((tcp_len + 20).to_be_bytes());
            out.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
            out.extend(from.octets());
            out.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            out.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            out.extend(tcp_len.to_be_bytes());
            out.extend([6, 64]);
            out.extend(from.octets());
            out.extend(to.octets());
        }
        _ => panic!("one flow has addresses of one family"),
    }
    out.extend(src.1.to_be_bytes());
    out.extend(dst.1.to_be_bytes());
    out.extend(seq.to_be_bytes());
    out.extend(ack.to_be_bytes());
    out.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend(payload);
    out
}

/// A small generator of its own, so that a failure names one seed (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound
    }
}
