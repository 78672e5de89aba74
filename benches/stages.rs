//! What a message costs: read by the MCP reader, and shown to every detector.
//!
//! Messages of one flow, again and again, so that the figures are those of steady state. A result comes with the small
//! request that it answers.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box, main as run};
use shadowtap::detect::panel::{Panel, Ruleset};
use shadowtap::detect::signature::Signatures;
use shadowtap::detect::{DETECTORS, Findings};
use shadowtap::mcp::Reader;
use shadowtap::model::flow::FlowInfo;
use shadowtap::model::message::{Body, Carrier, Message};
use shadowtap::model::net::{Direction, Endpoint, FiveTuple, Transport};
use shadowtap::model::observation::Observation;
use shadowtap::model::stamp::{Span, Stamp};
use shadowtap::policy::Policy;

static PANEL: LazyLock<Panel> = LazyLock::new(|| {
    let rules = Ruleset {
        signatures: Arc::new(Signatures::builtin()),
        policy: Arc::new(Policy::default()),
        fingerprints: shadowtap::detect::fingerprint::Fingerprints::random(),
    };
    Panel::new(DETECTORS, &rules)
});

fn main() {
    LazyLock::force(&PANEL);
    run();
}

/// Name, direction and text of the measured messages.
const KINDS: [&str; 5] = [
    "call_300B",
    "listing_4kB",
    "result_6kB",
    "result_100kB",
    "other_json_3kB",
];

fn text(kind: &str) -> (Direction, String) {
    let prose = |repeat: usize| {
        r"The harvest of the north field was weighed on Monday; 312 crates left for the market.\n".repeat(repeat)
    };
    match kind {
        "call_300B" => (
            Direction::ToServer,
            format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"add_note","arguments":{{"text":"{}"}}}}}}"#,
                prose(2)
            ),
        ),
        "listing_4kB" => {
            let tools: Vec<String> = (0..12)
                .map(|tool| {
                    format!(
                        r#"{{"name":"read_{tool}","description":"{}","inputSchema":{{"type":"object","properties":{{"team":{{"type":"string"}}}}}}}}"#,
                        prose(3)
                    )
                })
                .collect();
            (
                Direction::ToClient,
                format!(
                    r#"{{"jsonrpc":"2.0","id":7,"result":{{"tools":[{}]}}}}"#,
                    tools.join(",")
                ),
            )
        }
        "result_6kB" | "result_100kB" => (
            Direction::ToClient,
            format!(
                r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#,
                prose(if kind == "result_6kB" { 70 } else { 1_150 })
            ),
        ),
        _ => (
            Direction::ToClient,
            format!(
                r#"{{"items":[{}0]}}"#,
                r#"{"name":"item","price":12.5,"tags":["a","b"]},"#.repeat(65)
            ),
        ),
    }
}

fn flow() -> FlowInfo {
    let end = |host, port| Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port);
    FlowInfo {
        id: 1,
        tuple: FiveTuple {
            transport: Transport::Tcp,
            client: end(9, 40_000),
            server: end(5, 8_000),
        },
        seen: Span::at(Stamp::default()),
        packets: [1; 2],
        bytes: [1; 2],
        from_start: true,
        encryption: shadowtap::model::server::Encryption::None,
    }
}

/// The request that a result answers: without it a result says little about who speaks.
fn request(kind: &str) -> Option<&'static str> {
    match kind {
        "listing_4kB" => Some(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#),
        "result_6kB" | "result_100kB" => {
            Some(r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add_note","arguments":{}}}"#)
        }
        _ => None,
    }
}

fn bench(bencher: Bencher<'_, '_>, kind: &str, mut take: impl FnMut(&Observation<'_>)) {
    let (dir, text) = text(kind);
    let flow = flow();
    let mut reader = Reader::default();
    let wrap = |dir, text| Message {
        at: Stamp::default(),
        dir,
        carrier: Carrier::Line,
        transaction: None,
        body: Body::Whole(str::as_bytes(text)),
    };
    let request = request(kind).map(|text| wrap(Direction::ToServer, text));
    let message = wrap(dir, &text);
    bencher
        .counter(ItemsCount::new(1_usize))
        .counter(BytesCount::new(text.len()))
        .bench_local(|| {
            if let Some(request) = &request {
                reader.read(black_box(request), &flow, &mut |observation| take(&observation));
            }
            reader.read(black_box(&message), &flow, &mut |observation| take(&observation));
        });
}

#[divan::bench(args = KINDS)]
fn reader(bencher: Bencher<'_, '_>, kind: &str) {
    bench(bencher, kind, |observation| {
        black_box(observation);
    });
}

#[divan::bench(args = KINDS)]
fn reader_and_detectors(bencher: Bencher<'_, '_>, kind: &str) {
    let mut findings = Findings::default();
    bench(bencher, kind, |observation| {
        PANEL.inspect(observation, &mut findings);
        findings.findings.clear();
        findings.lookups.clear();
    });
}
