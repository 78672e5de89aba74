//! Messages of one flow through the MCP reader, and what it observes through every detector.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shadowtap::detect::panel::{Panel, Ruleset};
use shadowtap::detect::redact;
use shadowtap::detect::{DETECTORS, Findings};
use shadowtap::mcp::Reader;
use shadowtap::model::flow::FlowInfo;
use shadowtap::model::message::{Body, Carrier, Headers, HttpMethod, Message, Request, Response, Transaction};
use shadowtap::model::net::{FiveTuple, Transport};
use shadowtap::model::stamp::Span;
use shadowtap_fuzz::{Decisions, ends, ruleset};

static RULES: LazyLock<Ruleset> = LazyLock::new(ruleset);
static PANEL: LazyLock<Panel> = LazyLock::new(|| Panel::new(DETECTORS, &RULES));

const FIELDS: [&str; 8] = [
    "Accept",
    "Authorization",
    "Content-Type",
    "Host",
    "Mcp-Method",
    "MCP-Protocol-Version",
    "Mcp-Session-Id",
    "Origin",
];

/// Longest header value, in bytes.
const VALUE_MAX_BYTES: usize = 64;

fn headers(decisions: &mut Decisions<'_>) -> Headers {
    let mut headers = Headers::default();
    for _ in 0..decisions.below(6) {
        let name = FIELDS[decisions.below(FIELDS.len())];
        let value = decisions.piece();
        headers.push(name.as_bytes(), &value[..value.len().min(VALUE_MAX_BYTES)]);
    }
    headers
}

fn transaction(decisions: &mut Decisions<'_>, number: u64) -> Transaction {
    let (at, shape) = (decisions.stamp(), decisions.byte());
    let methods = [HttpMethod::Post, HttpMethod::Get, HttpMethod::Delete, HttpMethod::Other];
    Transaction {
        number,
        request: (shape & 1 == 0).then(|| Request {
            at,
            method: methods[decisions.below(methods.len())],
            target: String::from_utf8_lossy(decisions.piece()).into_owned(),
            headers: headers(decisions),
        }),
        response: (shape & 2 == 0).then(|| Response {
            at,
            status: [200, 202, 401, 404][decisions.below(4)],
            headers: headers(decisions),
        }),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let (client, server) = ends();
    let transport = Transport::Tcp;
    let flow = FlowInfo {
        id: 1,
        tuple: FiveTuple {
            transport,
            client,
            server,
        },
        seen: Span::at(decisions.stamp()),
        packets: [1; 2],
        bytes: [1; 2],
        from_start: true,
        encryption: shadowtap::model::server::Encryption::None,
    };
    let mut reader = Reader::default();
    let mut findings = Findings::default();
    for number in 0..4 {
        let carriers = [
            Carrier::HttpBody,
            Carrier::SseEvent { name: "message" },
            Carrier::SseEvent { name: "endpoint" },
            Carrier::Line,
            Carrier::WebSocket,
            Carrier::Framed,
        ];
        let carrier = carriers[decisions.below(carriers.len())];
        let http = matches!(carrier, Carrier::HttpBody | Carrier::SseEvent { .. });
        let transaction = http.then(|| transaction(&mut decisions, number));
        let dir = decisions.direction();
        let shape = decisions.byte() & 7;
        let text = if number == 3 {
            decisions.rest()
        } else {
            decisions.piece()
        };
        let body = match shape {
            0 => Body::Absent,
            1 => Body::Cut { head: text, missing: 9 },
            _ => Body::Whole(text),
        };
        let message = Message {
            at: decisions.stamp(),
            dir,
            carrier,
            transaction: transaction.as_ref(),
            body,
        };
        reader.read(&message, &flow, &mut |observation| {
            PANEL.inspect(&observation, &mut findings)
        });
        if let Ok(text) = std::str::from_utf8(text) {
            std::hint::black_box(redact::replace_hits(text, &RULES.signatures));
        }
    }
});
