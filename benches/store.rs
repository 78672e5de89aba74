//! The embedded store: what a message costs to keep, and how long a report takes over a million of them.
//!
//! `cargo bench --bench store`. CPU is that of the thread that writes; a report is the median of three.
#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use shadowtap::model::event::Event;
use shadowtap::model::finding::SiteKey;
use shadowtap::model::mcp::RpcKind;
use shadowtap::model::message_seen::{MessageRow, MessageSeen, Route};
use shadowtap::model::net::{Direction, Endpoint, FiveTuple, Transport};
use shadowtap::model::stamp::{Stamp, Timestamp};
use shadowtap::sink::Sink as _;
use shadowtap::store::sqlite::{Reader, Writer};
use shadowtap::store::{Filter, Question, Store as _, Word};

const MESSAGES: usize = 1_000_000;
const BATCH: usize = 1_000;
/// A flow has so many messages.
const PER_FLOW: usize = 20;
const START: i64 = 1_795_168_800;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.db");
    let mut writer = Writer::open(&path, "bench").expect("a store");
    let begun = Instant::now();
    for batch in 0..MESSAGES / BATCH {
        let events: Vec<Event> = (batch * BATCH..(batch + 1) * BATCH).map(message).collect();
        writer.write(&events).expect("written");
    }
    let spent = begun.elapsed();
    let size = std::fs::metadata(&path).map_or(0, |found| found.len());
    println!(
        "{MESSAGES} messages: {:.2} us each, {} bytes each",
        spent.as_secs_f64() * 1e6 / MESSAGES as f64,
        size as usize / MESSAGES
    );
    let reader = Reader::open(&path).expect("a store");
    let hour = Filter {
        since: Some(Timestamp::from_parts(START + 3_600, 0)),
        until: Some(Timestamp::from_parts(START + 7_200, 0)),
        ..Filter::default()
    };
    let few = |filter: Filter| Filter {
        limit: Some(100),
        ..filter
    };
    for (name, word, filter) in [
        ("messages, the latest 100", Word::Messages, few(Filter::default())),
        ("messages of an hour, 100", Word::Messages, few(hour.clone())),
        (
            "messages of one client, 100",
            Word::Messages,
            few(Filter {
                client: Some("10.1.0.7".to_owned()),
                ..Filter::default()
            }),
        ),
        ("usage", Word::Usage, Filter::default()),
        ("usage of an hour", Word::Usage, hour),
        ("sessions", Word::Sessions, Filter::default()),
    ] {
        let mut times: Vec<f64> = (0..3)
            .map(|_| {
                let begun = Instant::now();
                let filter = filter.clone();
                reader.ask(&Question { word, filter }).expect("an answer");
                begun.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name}: {:.1} ms", times[1]);
    }
}

/// Message `nth`: 500 clients, 100 servers, 20 tools, 30 messages a second.
fn message(nth: usize) -> Event {
    let flow = nth / PER_FLOW;
    let (client, server) = (flow % 500, flow % 100);
    let byte = |number: usize| u8::try_from(number % 256).unwrap_or(0);
    let client = Endpoint::new(IpAddr::from([10, 1, byte(client / 250), byte(client % 250)]), 40_000);
    let server = Endpoint::new(IpAddr::from([10, 2, 0, byte(server)]), 8_000);
    let site = SiteKey {
        endpoint: server,
        hostname: None,
        path: Some("/mcp".into()),
    };
    let answer = nth % 2 == 1;
    let id: Arc<str> = format!("{:016x}", flow % 100).into();
    Event::Message(Box::new(MessageRow {
        server_id: Arc::clone(&id),
        site: id,
        server,
        session: Some(flow as u64),
        seen: MessageSeen {
            at: Stamp {
                time: Timestamp::from_parts(START + (nth / 30) as i64, (nth % 30) as i64 * 1_000_000),
                source: 0,
                packet: nth as u64,
            },
            number: u32::try_from(nth % PER_FLOW).unwrap_or(0),
            route: Arc::new(Route {
                flow_id: flow as u64,
                flow: FiveTuple {
                    transport: Transport::Tcp,
                    client,
                    server,
                },
                client: client.addr,
                site,
            }),
            session: None,
            dir: if answer {
                Direction::ToClient
            } else {
                Direction::ToServer
            },
            kind: if answer { RpcKind::Success } else { RpcKind::Request },
            failed: false,
            method: Some("tools/call".into()),
            target: Some(format!("tool_{}", nth % 20).into()),
            rpc_id: Some((nth / 2) as u64),
            revision: None,
            http_status: answer.then_some(200),
            error_code: None,
            bytes: 400,
            latency_us: answer.then_some(1_500),
        },
    }))
}
