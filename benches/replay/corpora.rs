//! Five corpora, each the same in every run: what a mirror port carries, part by part, and mixed.

use std::io;
use std::path::{Path, PathBuf};

use etherparse::PacketBuilder;
use shadowtap::source::{Pull, open_file};

use crate::capture::{Capture, shift};

/// Size of each corpus but the small flows, in bytes.
const CORPUS_BYTES: u64 = 500 << 20;
/// Five-tuples of the small flows.
const SMALL_FLOWS: u32 = 1_000_000;
/// Small flows that are under way at once.
const WAVE: u32 = 4_096;
const TLS_FLOWS: u32 = 200;
/// Microseconds between two packets.
const STEP_US: u64 = 2;
const SEGMENT_BYTES: usize = 1_448;
/// Bytes of one record that carries data.
const RECORD_BYTES: usize = 16_000;
/// Shares of the mix by bytes, in percent: TLS, HTTP with JSON, MCP, small flows.
const MIX: [u64; 4] = [80, 15, 3, 2];

/// A corpus on disk.
pub(crate) struct Corpus {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    /// Rate with one worker, as a share of libpcap's bare loop, that it is held to.
    pub(crate) target: f64,
}

/// Makes what is not there yet, in `folder`, from the bundled captures in `bulk`.
pub(crate) fn corpora(folder: &Path, bulk: &Path) -> io::Result<Vec<Corpus>> {
    std::fs::create_dir_all(folder)?;
    let makers: [(&str, f64, Maker); 5] = [
        ("mcp-http", 0.25, &|out| {
            repeat(out, &frames(&bulk.join("mcp-http.pcap.zst"))?, CORPUS_BYTES)
        }),
        ("http-json", 0.35, &|out| {
            repeat(out, &frames(&bulk.join("http-json.pcap.zst"))?, CORPUS_BYTES)
        }),
        ("bulk-tls", 1.2, &|out| {
            interleave(out, &mut [(&mut Tls::new(), CORPUS_BYTES)])
        }),
        ("small-flows", 0.27, &|out| {
            interleave(out, &mut [(&mut Small::new(), u64::MAX)])
        }),
        ("mix", 0.9, &|out| {
            let mcp = frames(&bulk.join("mcp-http.pcap.zst"))?;
            let json = frames(&bulk.join("http-json.pcap.zst"))?;
            let [tls, web, agents, small] = MIX.map(|share| CORPUS_BYTES / 100 * share);
            interleave(
                out,
                &mut [
                    (&mut Tls::new(), tls),
                    (&mut Again::new(&json), web),
                    (&mut Again::new(&mcp), agents),
                    (&mut Small::new(), small),
                ],
            )
        }),
    ];
    makers
        .into_iter()
        .map(|(name, target, make)| {
            let path = folder.join(format!("{name}.pcap"));
            if !path.exists() {
                let part = folder.join(format!("{name}.part"));
                let mut out = Capture::create(&part)?;
                make(&mut out)?;
                println!("{name}: {} packets, {} bytes", out.packets, out.bytes);
                out.finish()?;
                std::fs::rename(part, &path)?;
            }
            Ok(Corpus { name, path, target })
        })
        .collect()
}

type Maker<'a> = &'a dyn Fn(&mut Capture) -> io::Result<()>;

/// Frames without an end, or until there are no more.
trait Frames {
    fn next(&mut self, frame: &mut Vec<u8>) -> bool;
}

/// Mixes several kinds by bytes: whoever is most behind its share goes next.
fn interleave(out: &mut Capture, kinds: &mut [(&mut dyn Frames, u64)]) -> io::Result<()> {
    let mut sent = vec![0_u64; kinds.len()];
    let mut open = vec![true; kinds.len()];
    let mut frame = Vec::new();
    loop {
        let behind = (0..kinds.len())
            .filter(|&kind| open[kind] && sent[kind] < kinds[kind].1)
            .min_by_key(|&kind| u128::from(sent[kind]) * 1_000_000 / u128::from(kinds[kind].1));
        let Some(kind) = behind else { return Ok(()) };
        if !kinds[kind].0.next(&mut frame) {
            open[kind] = false;
            continue;
        }
        out.push(out.packets * STEP_US, &frame)?;
        sent[kind] += frame.len() as u64;
    }
}

/// A real capture over and over, between new machines each time, with its own times.
fn repeat(out: &mut Capture, frames: &[(u64, Vec<u8>)], bytes: u64) -> io::Result<()> {
    let span = frames.last().map_or(0, |(after_us, _)| *after_us) + 1_000_000;
    for round in 0_u8..=u8::MAX {
        for (after_us, frame) in frames {
            if out.bytes >= bytes {
                return Ok(());
            }
            let mut frame = frame.clone();
            shift(&mut frame, round);
            out.push(u64::from(round) * span + after_us, &frame)?;
        }
    }
    Ok(())
}

/// Packets of a capture file with their time since its first.
fn frames(path: &Path) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let mut source = open_file(&path.to_string_lossy(), 0).map_err(io::Error::other)?;
    let (mut first, mut all) = (None, Vec::new());
    loop {
        match source.pull() {
            Pull::Packet(packet) => {
                let first = *first.get_or_insert(packet.at.time);
                all.push((packet.at.time.since(first) / 1_000, packet.data.to_vec()));
            }
            Pull::Idle | Pull::Passed | Pull::Secrets(_) => {}
            Pull::Failed(error) => return Err(io::Error::other(error)),
            Pull::End => return Ok(all),
        }
    }
}

/// [`repeat`] as a part of a mix.
struct Again<'a> {
    frames: &'a [(u64, Vec<u8>)],
    at: usize,
    round: u8,
}

impl<'a> Again<'a> {
    fn new(frames: &'a [(u64, Vec<u8>)]) -> Self {
        Self {
            frames,
            at: 0,
            round: 0,
        }
    }
}

impl Frames for Again<'_> {
    fn next(&mut self, frame: &mut Vec<u8>) -> bool {
        if self.at == self.frames.len() {
            (self.at, self.round) = (0, self.round.wrapping_add(1));
        }
        frame.clone_from(&self.frames[self.at].1);
        shift(frame, self.round);
        self.at += 1;
        true
    }
}

/// Downloads behind TLS, all at once: hellos, then records that nobody can read.
struct Tls {
    flows: Vec<Talk>,
    turn: usize,
    record: Vec<u8>,
    at: Vec<usize>,
}

impl Tls {
    fn new() -> Self {
        let flows: Vec<Talk> = (0..TLS_FLOWS)
            .map(|n| {
                let mut talk = Talk::open([0x0a03_0000 + n, 0x0ac8_0301 + n % 8], [40_000 + n as u16, 443]);
                hello(&mut talk, n);
                talk
            })
            .collect();
        Self {
            at: vec![0; flows.len()],
            flows,
            turn: 0,
            record: [
                &[23, 3, 3][..],
                &(RECORD_BYTES as u16).to_be_bytes(),
                &[0xa5; RECORD_BYTES],
            ]
            .concat(),
        }
    }
}

impl Frames for Tls {
    fn next(&mut self, frame: &mut Vec<u8>) -> bool {
        self.turn = (self.turn + 1) % self.flows.len();
        let (talk, at) = (&mut self.flows[self.turn], &mut self.at[self.turn]);
        if talk.frames.is_empty() {
            let end = (*at + SEGMENT_BYTES).min(self.record.len());
            talk.segment(1, &self.record[*at..end], Flag::None);
            *at = if end == self.record.len() { 0 } else { end };
            if talk.seqs[1] % 2 == 0 {
                talk.segment(0, &[], Flag::None);
            }
        }
        *frame = talk.frames.remove(0);
        true
    }
}

/// A million short conversations: DNS, unanswered SYNs, one small HTTP exchange, a TLS handshake cut short.
struct Small {
    next: u32,
    wave: Vec<std::vec::IntoIter<Vec<u8>>>,
    turn: usize,
}

impl Small {
    fn new() -> Self {
        Self {
            next: 0,
            wave: Vec::new(),
            turn: 0,
        }
    }

    fn refill(&mut self) {
        let end = (self.next + WAVE).min(SMALL_FLOWS);
        self.wave = (self.next..end).map(|n| small(n).into_iter()).collect();
        self.next = end;
    }
}

impl Frames for Small {
    fn next(&mut self, frame: &mut Vec<u8>) -> bool {
        loop {
            if self.turn >= self.wave.len() {
                self.turn = 0;
                self.wave.retain(|talk| !talk.as_slice().is_empty());
                if self.wave.is_empty() {
                    self.refill();
                }
                if self.wave.is_empty() {
                    return false;
                }
            }
            self.turn += 1;
            if let Some(next) = self.wave[self.turn - 1].next() {
                *frame = next;
                return true;
            }
        }
    }
}

/// The frames of small flow `n`.
fn small(n: u32) -> Vec<Vec<u8>> {
    let client = 0x0a40_0000 + n / 8;
    let port = 20_000 + (n % 8) as u16 * 5_000 + (n.wrapping_mul(0x9e37_79b9) >> 20) as u16;
    let server = |kind: u32| 0x0ad0_0000 + (kind << 8) + n % 200 + 1;
    match n % 20 {
        0..9 => lookup(client, port, server(1), n),
        9..13 => {
            let mut talk = Talk::new([client, server(2)], [port, 8_080]);
            for _ in 0..=n % 3 {
                talk.segment(0, &[], Flag::Syn);
                talk.seqs[0] = talk.seqs[0].wrapping_sub(1);
            }
            talk.frames
        }
        13..17 => {
            let mut talk = Talk::open([client, server(3)], [port, 80]);
            talk.segment(
                0,
                format!(
                    "GET /p/{n} HTTP/1.1\r\nHost: w{}.example.test\r\nUser-Agent: a/1\r\n\r\n",
                    n % 97
                )
                .as_bytes(),
                Flag::None,
            );
            let body = "<p>short</p>".repeat((n % 60) as usize);
            talk.segment(
                1,
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .as_bytes(),
                Flag::None,
            );
            talk.close();
            talk.frames
        }
        _ => {
            let mut talk = Talk::open([client, server(4)], [port, 443]);
            hello(&mut talk, n);
            talk.close();
            talk.frames
        }
    }
}

/// A DNS question and its answer.
fn lookup(client: u32, port: u16, server: u32, n: u32) -> Vec<Vec<u8>> {
    let mut message = vec![(n >> 8) as u8, n as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [format!("host{n}"), "example".to_owned(), "test".to_owned()] {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    let frame = |from: (u32, u16), to: (u32, u16), payload: &[u8]| {
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4(from.0.to_be_bytes(), to.0.to_be_bytes(), 64)
            .udp(from.1, to.1);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).expect("a datagram");
        frame
    };
    let question = frame((client, port), (server, 53), &message);
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 1;
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 7]);
    vec![question, frame((server, 53), (client, port), &message)]
}

/// Both hellos, and the first protected records of TLS 1.2 (RFC 5246).
fn hello(talk: &mut Talk, n: u32) {
    let name = format!("download{n}.example.test");
    let len = name.len() as u16;
    let sni = [&(len + 3).to_be_bytes()[..], &[0], &len.to_be_bytes(), name.as_bytes()].concat();
    let extensions = [&[0, 0][..], &(sni.len() as u16).to_be_bytes(), &sni].concat();
    let client_hello = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0xc0, 0x2f, 1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let server_hello = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat();
    let handshake = |kind: u8, body: &[u8]| record(22, &[&[kind, 0, 0, body.len() as u8][..], body].concat());
    talk.segment(0, &handshake(1, &client_hello), Flag::None);
    talk.segment(1, &handshake(2, &server_hello), Flag::None);
    for side in [0, 1] {
        talk.segment(side, &[record(20, &[1]), record(22, &[0x5a; 40])].concat(), Flag::None);
    }
    talk.segment(0, &record(23, &[0x5a; 300]), Flag::None);
    talk.segment(1, &record(23, &[0x5a; 700]), Flag::None);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Fin,
    None,
    Syn,
}

/// A TCP connection and the frames that it sends.
struct Talk {
    ends: [(u32, u16); 2],
    seqs: [u32; 2],
    frames: Vec<Vec<u8>>,
}

impl Talk {
    fn new(addresses: [u32; 2], ports: [u16; 2]) -> Self {
        Self {
            ends: [(addresses[0], ports[0]), (addresses[1], ports[1])],
            seqs: [
                addresses[0].wrapping_mul(0x9e37_79b9),
                addresses[1].wrapping_mul(0x85eb_ca6b),
            ],
            frames: Vec::new(),
        }
    }

    /// With its handshake.
    fn open(addresses: [u32; 2], ports: [u16; 2]) -> Self {
        let mut talk = Self::new(addresses, ports);
        talk.segment(0, &[], Flag::Syn);
        talk.segment(1, &[], Flag::Syn);
        talk.segment(0, &[], Flag::None);
        talk
    }

    fn close(&mut self) {
        self.segment(0, &[], Flag::Fin);
        self.segment(1, &[], Flag::Fin);
        self.segment(0, &[], Flag::None);
    }

    fn segment(&mut self, side: usize, payload: &[u8], flag: Flag) {
        let ((src, src_port), (dst, dst_port)) = (self.ends[side], self.ends[1 - side]);
        let mut tcp = PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4(src.to_be_bytes(), dst.to_be_bytes(), 64)
            .tcp(src_port, dst_port, self.seqs[side], 65_535);
        match flag {
            Flag::Fin => tcp = tcp.fin(),
            Flag::None => {}
            Flag::Syn => tcp = tcp.syn(),
        }
        // The very first segment acknowledges nothing.
        if flag != Flag::Syn || side == 1 {
            tcp = tcp.ack(self.seqs[1 - side]);
        }
        let mut frame = Vec::new();
        tcp.write(&mut frame, payload).expect("a segment");
        self.frames.push(frame);
        let step = payload.len() as u32 + u32::from(flag != Flag::None);
        self.seqs[side] = self.seqs[side].wrapping_add(step);
    }
}
