//! The whole replay, from file to report, on one core: what a deployment asks for first.
//!
//! The capture is generated: mostly TLS bulk, some plain HTTP with JSON, a little MCP, the flows interleaved.
//! `SHADOWTAP_BENCH_CAPTURE` names a capture to be measured instead. With one worker everything runs in this thread, so
//! CPU time is that of the thread (`/proc/thread-self/schedstat`); the best of several runs counts, start-up included.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use etherparse::PacketBuilder;
use shadowtap::detect::panel::Ruleset;
use shadowtap::detect::signature::Signatures;
use shadowtap::engine::Shared;
use shadowtap::engine::replay::{Input, replay};
use shadowtap::engine::settings::Settings;
use shadowtap::flow::role::sender_is_client;
use shadowtap::flow::{self, Table};
use shadowtap::inventory::admission::SLICES;
use shadowtap::mcp::Reader;
use shadowtap::model::net::{FiveTuple, Transport};
use shadowtap::model::packet::{Flags, Packet};
use shadowtap::packet::{Decoder, steer};
use shadowtap::policy::Policy;
use shadowtap::source::{Pull, open_file};
use shadowtap::stream::Stream;
use shadowtap::stream::layer::Output;
use shadowtap::stream::reassembly::Reassembly;

/// As in the binary: allocation is a part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: u32 = 7;
const SEGMENT_BYTES: usize = 1_448;
/// Flows of each kind, and packets that one flow sends before the next has its turn.
const TLS_FLOWS: u32 = 32;
const WEB_FLOWS: u32 = 64;
const MCP_FLOWS: u32 = 64;
const BURST_PACKETS: usize = 12;
/// Bytes of one download behind TLS.
const BULK_BYTES: usize = 1 << 20;
/// Microseconds between two packets.
const STEP_US: u32 = 10;

fn main() {
    let (path, _file) = match std::env::var("SHADOWTAP_BENCH_CAPTURE") {
        Ok(path) => (path, None),
        Err(_) => {
            let file = generate();
            (file.path().to_string_lossy().into_owned(), Some(file))
        }
    };
    let rules = Ruleset {
        signatures: Arc::new(Signatures::builtin()),
        policy: Arc::new(Policy::default()),
        fingerprints: shadowtap::detect::fingerprint::Fingerprints::random(),
    };
    measure("bare path", &|| bare(&path));
    for (name, inspect) in [("without detectors", false), ("with detectors", true)] {
        let settings = Settings {
            inspect,
            ..Settings::default()
        };
        measure(name, &|| run(&path, &settings, &rules));
    }
}

/// Prints the best of several runs.
fn measure(name: &str, once: &dyn Fn() -> Run) {
    let Some(best) = (0..RUNS).map(|_| once()).min_by_key(|run| run.nanos) else {
        return;
    };
    let seconds = best.nanos as f64 / 1e9;
    println!(
        "{name:18} {:8.2} M packets/s  {:6.2} Gbit/s  {:6.0} ns/packet   ({} packets, {} bytes, {} servers, {} findings)",
        best.packets as f64 / seconds / 1e6,
        best.bytes as f64 * 8.0 / seconds / 1e9,
        best.nanos as f64 / best.packets as f64,
        best.packets,
        best.bytes,
        best.servers,
        best.findings,
    );
}

/// The bare path: file, decode, flow, in order, HTTP, envelope; no inventory, no detectors. What everything else is
/// built on.
fn bare(path: &str) -> Run {
    let settings = Settings::default();
    let before = cpu_nanos();
    let mut source = open_file(path, 0).expect("a capture");
    let mut slices: Vec<_> = (0..SLICES).map(|_| Table::new(&settings.flow, SLICES)).collect();
    let mut budget = settings.reassembly.budget(1);
    let mut decoder = Decoder::new(&settings.packet, settings.checksums);
    let (mut packets, mut bytes, mut messages) = (0, 0, 0);
    while let Pull::Packet(raw) = source.pull() {
        (packets, bytes) = (packets + 1, bytes + u64::from(raw.wire_len));
        let Ok(Packet::Tcp(segment)) = decoder.decode(&raw).map(|decoded| decoded.packet) else {
            continue;
        };
        let (key, from_low) = steer::key(segment.src, segment.dst, Transport::Tcp);
        let slice = &mut slices[usize::from(settings.steering.slice(&key))];
        let open = || {
            let client = sender_is_client(Transport::Tcp, segment.src, segment.dst, segment.flags);
            let (one, two) = if client {
                (segment.src, segment.dst)
            } else {
                (segment.dst, segment.src)
            };
            let tuple = FiveTuple {
                transport: Transport::Tcp,
                client: one,
                server: two,
            };
            let start = segment.flags.has(Flags::SYN);
            let stream = Stream::outer(Transport::Tcp, start, [one.port, two.port]);
            let state = Box::new((Reassembly::default(), stream, Reader::default()));
            flow::Flow::new(tuple, client == from_low, start, segment.at, state)
        };
        let replaces = |flow: &flow::Flow<Box<(Reassembly, Stream, Reader)>>| {
            flow.handshake.reuses(flow.direction(from_low), &segment)
        };
        let entry = slice.touch(key, segment.at, replaces, open, &mut |_, _| {});
        let flow = entry.flow;
        let dir = flow.direction(from_low);
        flow.handshake.note(dir, &segment);
        flow.info.count(segment.at, dir, segment.payload.len() as u64);
        let (reassembly, stream, reader) = &mut *flow.state;
        let info = &flow.info;
        reassembly.push(dir, &segment, &mut budget, &mut |chunk| {
            stream.push(chunk, &settings.env, &mut |output| {
                if let Output::Message(message) = output {
                    reader.read(&message, info, &mut |_| messages += 1);
                }
            });
        });
    }
    std::hint::black_box(messages);
    Run {
        nanos: cpu_nanos() - before,
        packets,
        bytes,
        servers: 0,
        findings: 0,
    }
}

struct Run {
    nanos: u64,
    packets: u64,
    bytes: u64,
    servers: usize,
    findings: usize,
}

fn run(path: &str, settings: &Settings, rules: &Ruleset) -> Run {
    let input = Input {
        files: vec![path.to_owned()],
        ..Input::default()
    };
    let before = cpu_nanos();
    let shared = Arc::new(Shared::new(settings.clone(), rules.clone()));
    let view = replay(&shared, &input, 1, &mut |_, _| {}).expect("a capture").view;
    let nanos = cpu_nanos() - before;
    Run {
        nanos,
        packets: view.capture.counters.packets,
        bytes: view.capture.counters.bytes,
        servers: view.servers.len(),
        findings: view.findings.len(),
    }
}

/// CPU time of this thread, in nanoseconds.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = text.split_whitespace().next();
    first.and_then(|nanos| nanos.parse().ok()).expect("nanoseconds first")
}

fn generate() -> tempfile::NamedTempFile {
    let mut flows: Vec<Flow> = Vec::new();
    flows.extend((0..TLS_FLOWS).map(|n| tls(Flow::new(n, 1, 443), n)));
    flows.extend((0..WEB_FLOWS).map(|n| web(Flow::new(n, 2, 80), n)));
    flows.extend((0..MCP_FLOWS).map(|n| mcp(Flow::new(n, 3, 8_000), n)));
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        out.extend(word.to_le_bytes());
    }
    let mut now = 0_u32;
    let mut turns: Vec<_> = flows.iter().map(|flow| flow.frames.chunks(BURST_PACKETS)).collect();
    while !turns.is_empty() {
        turns.retain_mut(|turn| {
            let Some(burst) = turn.next() else { return false };
            for frame in burst {
                let len = frame.len() as u32;
                for word in [1_795_168_800 + now / 1_000_000, now % 1_000_000, len, len] {
                    out.extend(word.to_le_bytes());
                }
                out.extend(frame);
                now += STEP_US;
            }
            true
        });
    }
    file.write_all(&out).expect("room for a temporary file");
    file
}

/// A TCP connection and the frames that it sends.
struct Flow {
    ends: [(Ipv4Addr, u16); 2],
    seqs: [u32; 2],
    frames: Vec<Vec<u8>>,
}

impl Flow {
    /// A connection of client `n` to the server of its kind, opened.
    fn new(n: u32, kind: u8, port: u16) -> Self {
        let client = Ipv4Addr::from(0x0a01_0000 + u32::from(kind) * 0x100_0000 + n);
        let server = Ipv4Addr::new(10, 200, kind, (n % 8) as u8 + 1);
        let mut flow = Self {
            ends: [(client, 40_000 + n as u16), (server, port)],
            seqs: [n.wrapping_mul(0x9e37_79b9), n.wrapping_mul(0x85eb_ca6b)],
            frames: Vec::new(),
        };
        flow.frame(0, &[], true);
        flow.frame(1, &[], true);
        flow.frame(0, &[], false);
        flow
    }

    fn frame(&mut self, side: usize, payload: &[u8], syn: bool) {
        let ((src, src_port), (dst, dst_port)) = (self.ends[side], self.ends[1 - side]);
        let mut tcp = PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4(src.octets(), dst.octets(), 64)
            .tcp(src_port, dst_port, self.seqs[side], 65_535);
        if syn {
            tcp = tcp.syn();
        }
        // The very first segment acknowledges nothing.
        if !syn || side == 1 {
            tcp = tcp.ack(self.seqs[1 - side]);
        }
        let mut frame = Vec::new();
        tcp.write(&mut frame, payload).expect("a segment");
        self.frames.push(frame);
        self.seqs[side] = self.seqs[side].wrapping_add(payload.len() as u32 + u32::from(syn));
    }

    /// Sends bytes; the other side acknowledges every second segment.
    fn send(&mut self, side: usize, bytes: &[u8]) {
        for (index, segment) in bytes.chunks(SEGMENT_BYTES).enumerate() {
            self.frame(side, segment, false);
            if index % 2 == 1 {
                self.frame(1 - side, &[], false);
            }
        }
    }

    fn ask(&mut self, head: &str, body: &str) {
        self.send(
            0,
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        );
    }

    fn answer(&mut self, fields: &str, body: &str) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        let text = format!("{head}{fields}Content-Length: {}\r\n\r\n{body}", body.len());
        self.send(1, text.as_bytes());
    }
}

/// TLS 1.2 as RFC 5246 frames it: hellos in clear, then records that nobody can read.
fn tls(mut flow: Flow, n: u32) -> Flow {
    let name = format!("download{n}.example.test");
    let len = name.len() as u16;
    let mut sni = Vec::from((len + 3).to_be_bytes());
    sni.push(0);
    sni.extend(len.to_be_bytes());
    sni.extend(name.as_bytes());
    let mut extensions = vec![0, 0];
    extensions.extend((sni.len() as u16).to_be_bytes());
    extensions.extend(sni);
    let client_hello = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0xc0, 0x2f, 1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        &extensions,
    ]
    .concat();
    let server_hello = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let handshake = |kind: u8, body: &[u8]| record(22, &[&[kind, 0, 0, body.len() as u8][..], body].concat());
    flow.send(0, &handshake(1, &client_hello));
    flow.send(1, &handshake(2, &server_hello));
    for side in [0, 1] {
        flow.send(side, &[record(20, &[1]), record(22, &[0x5a; 40])].concat());
    }
    flow.send(0, &record(23, &[0x5a; 300]));
    flow.send(1, &record(23, &[0xa5; 16_000]).repeat(BULK_BYTES / 16_000));
    flow
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

/// Keep-alive requests with JSON answers that are no JSON-RPC.
fn web(mut flow: Flow, n: u32) -> Flow {
    let head = "POST /api/items HTTP/1.1\r\nHost: shop.example.test\r\nUser-Agent: client/1.0\r\nAccept: */*\r\n\
        Content-Type: application/json\r\n";
    for turn in 0..8 {
        flow.ask(head, &format!(r#"{{"page":{turn},"customer":{n}}}"#));
        let items = r#"{"name":"item","price":12.5,"tags":["a","b"]},"#.repeat(40 + 60 * turn);
        flow.answer("", &format!(r#"{{"items":[{items}0]}}"#));
    }
    flow
}

/// A session of Streamable HTTP (revision 2025-06-18): handshake, listing, calls with texts of some kilobytes.
fn mcp(mut flow: Flow, n: u32) -> Flow {
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: notes.example.test:8000\r\nAccept: application/json, text/event-stream\r\n\
        Content-Type: application/json\r\nMcp-Session-Id: 5f1c{n:08x}\r\nMCP-Protocol-Version: 2025-06-18\r\n"
    );
    let session = format!("Mcp-Session-Id: 5f1c{n:08x}\r\n");
    let result = |id: usize, result: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    flow.ask(
        &head,
        r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"desk","version":"1.0"}}}"#,
    );
    let about =
        r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"notes","version":"2.1"}}"#;
    flow.answer(&session, &result(0, about));
    flow.ask(&head, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#);
    let tools: Vec<String> = (0..12)
        .map(|tool| {
            let text = "Reads notes of a team and gives them back in the order of their last change. ".repeat(3);
            format!(
                r#"{{"name":"read_{tool}","description":"{text}","inputSchema":{{"type":"object","properties":{{"team":{{"type":"string"}}}}}}}}"#
            )
        })
        .collect();
    flow.answer(&session, &result(1, &format!(r#"{{"tools":[{}]}}"#, tools.join(","))));
    for id in 2..12 {
        flow.ask(
            &head,
            &format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"read_{}","arguments":{{"team":"orchard"}}}}}}"#,
                id % 12
            ),
        );
        let text =
            r"The harvest of the north field was weighed on Monday; 312 crates left for the market.\n".repeat(70);
        flow.answer(
            &session,
            &result(id, &format!(r#"{{"content":[{{"type":"text","text":"{text}"}}]}}"#)),
        );
    }
    flow
}
