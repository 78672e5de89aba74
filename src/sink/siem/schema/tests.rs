//! A sample of every kind of finding, kept as text; every sample fits its schema; every mapping leads somewhere.
//!
//! `UPDATE=1 cargo test --lib sink::siem::schema` rewrites the samples; the review reads the difference.

use std::collections::BTreeMap;

use super::*;
use crate::model::event::Event;
use crate::model::finding::{Sample, Severity};
use crate::model::net::Direction;
use crate::model::server::{Encryption, Server};
use crate::model::tls::Ja4;
use crate::sink::siem::Shape;
use crate::sink::siem::format::syslog::Head;
use crate::sink::siem::format::{Format, line};
use crate::sink::siem::gate::{Filter, Gate};
use crate::sink::siem::notice::{Notice, Sensor, What};
use crate::store::fixture;

/// What the sample of each kind says; see its first line.
const ROWS: &str = include_str!("samples.tsv");

fn sensor() -> Sensor {
    Sensor {
        name: "edge-1".into(),
        version: "0.1.0".into(),
    }
}

fn server() -> Server {
    let mut server = fixture::server("5f0c9a7be31d2468", "10.0.0.5:8000");
    server.hostname = Some("mcp.example.test".into());
    server.tools = vec![fixture::tool("ledger_sum", 9)];
    server
}

/// Encrypted, and over IPv6.
fn remote() -> Server {
    let mut server = fixture::server("b7d1e0a2c3f45968", "[fd88::4]:443");
    server.hostname = Some("mcp.weather.example".into());
    server.encryption = Encryption::Tls;
    server
}

/// What a gate lets through of a small network in which everything goes wrong, and of its next day.
fn notices() -> Vec<Notice> {
    let mut view = fixture::view();
    let server = server();
    view.servers = vec![server.clone(), remote()];
    for client in view.clients.iter_mut().filter(|client| client.addr.is_ipv6()) {
        client.ja4 = Ja4::from_ascii(*b"t13d1516h2_8daaf6152771_b186095e22b6");
    }
    view.lookups.truncate(1);
    let rows = ROWS.lines().skip(1).enumerate();
    view.findings = rows.map(|(nth, row)| finding(nth, row, &server)).collect();
    let filter = Filter {
        events: What::ALL.iter().map(|(what, _)| *what).collect(),
        kinds: Vec::new(),
        severity: Severity::Info,
    };
    let mut gate = Gate::new(filter.clone(), "edge-1".into());
    let mut notices = gate.pass(&fixture::events(&view));
    let mut changed = server.clone();
    changed.tools = vec![fixture::tool("ledger_sum", 10)];
    notices.extend(gate.pass(&[Event::Server(Box::new(changed))]));
    view.capture.counters.lost.kernel_drops = 7;
    notices.extend(gate.pass(&[Event::Capture(Box::new(view.capture.clone()))]));
    let day = fixture::at(86_400, 1).time;
    let mut early = Gate::new(filter, "edge-1".into()).with_baseline(Some(day));
    view.findings.truncate(1);
    early.pass(&fixture::events(&view));
    view.capture.seen = Some((fixture::at(0, 1).time, day));
    let next = early.pass(&[Event::Capture(Box::new(view.capture))]);
    notices.extend(next.into_iter().filter(|notice| notice.what == What::Digest));
    notices
}

fn finding(nth: usize, row: &str, server: &Server) -> crate::model::server::Reported {
    let cells: Vec<&str> = row.split('\t').collect();
    let [kind, severity, rule, title, rest @ ..] = &cells[..] else {
        panic!("{row}");
    };
    let cell = |nth: usize| Some(rest[nth].to_owned()).filter(|cell| !cell.is_empty());
    let (kind, severity) = (Kind::parse(kind).unwrap(), Severity::parse(severity).unwrap());
    let about = (!matches!(kind, Kind::RegistryLookup | Kind::SensorHealth)).then_some(server);
    let far = remote();
    let about = about.map(|server| if kind == Kind::RemoteEndpoint { &far } else { server });
    let mut reported = fixture::finding(&format!("{nth:016x}"), kind, severity, about);
    let finding = &mut reported.finding;
    if kind == Kind::RemoteEndpoint {
        let client: std::net::IpAddr = "fd88::9".parse().unwrap();
        finding.key.client = Some(client);
        finding.evidence.flow = finding.evidence.flow.map(|mut flow| {
            flow.client.addr = client;
            flow
        });
    }
    finding.key.rule = (*rule).into();
    finding.title = (*title).to_owned();
    finding.key.tool = cell(0);
    let ways = [Direction::ToServer, Direction::ToClient].into_iter();
    finding.key.direction = cell(1).and_then(|word| ways.clone().find(|way| way.word() == word));
    finding.key.place = cell(2);
    finding.evidence.sample = cell(3).map(Sample::redacted);
    finding.references = cell(4).into_iter().collect();
    finding.detail = cell(5).map(|name| ("name".to_owned(), name)).into_iter().collect();
    reported
}

fn written(shape: &Shape) -> String {
    notices()
        .iter()
        .map(|notice| shape.write(notice, &sensor()) + "\n")
        .collect()
}

fn samples() -> String {
    written(&Shape::Plain(Format::Json, 65_536))
}

#[test]
fn the_samples_are_those_that_were_reviewed() {
    let head = Head {
        facility: 13,
        enterprise: 32_473,
    };
    let plain = |format| Shape::Plain(format, 65_536);
    for (file, shape) in [
        ("src/sink/siem/schema/samples.ndjson", plain(Format::Json)),
        ("tests/samples/events.ecs.ndjson", plain(Format::Ecs)),
        ("tests/samples/events.ocsf.ndjson", plain(Format::Ocsf)),
        ("tests/samples/events.cef", plain(Format::Cef)),
        ("tests/samples/events.leef", plain(Format::Leef)),
        (
            "tests/samples/events.syslog",
            Shape::Syslog(head.clone(), Format::Rfc5424, 8_192),
        ),
    ] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let now = written(&shape);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, now).unwrap();
        } else {
            assert!(
                std::fs::read_to_string(path).unwrap() == now,
                "{file}: events read otherwise"
            );
        }
    }
}

/// What is wrong with a value by a schema: the words that our schemas use, and no others.
fn faults(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let fields = schema.as_object().unwrap();
    let is = |name: &str| match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("{other}"),
    };
    for (word, rule) in fields {
        let holds = match &**word {
            "type" => match rule {
                Value::String(name) => is(name),
                names => names.as_array().unwrap().iter().any(|name| is(name.as_str().unwrap())),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "maxItems" => value
                .as_array()
                .is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            "required" => {
                let names = rule.as_array().unwrap();
                names.iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "items" => {
                value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .for_each(|item| faults(rule, item, &format!("{at}[]"), found));
                true
            }
            "properties" => {
                for (name, inner) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        faults(inner, value, &format!("{at}.{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" if *rule == Value::Bool(false) => {
                let known = fields["properties"].as_object().unwrap();
                value
                    .as_object()
                    .is_none_or(|value| value.keys().all(|name| known.contains_key(name)))
            }
            "additionalProperties" => {
                value.as_object().into_iter().flatten().for_each(|(name, inner)| {
                    faults(rule, inner, &format!("{at}.{name}"), found);
                });
                true
            }
            "description" | "title" | "$schema" | "format" | "pattern" => true,
            other => panic!("{other}: the test does not know this word"),
        };
        if !holds {
            found.push(format!("{at}: {word}: {value}"));
        }
    }
}

#[test]
fn every_event_fits_its_schema_and_has_no_field_that_is_not_in_it() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut kinds = Vec::new();
    for text in samples().lines() {
        let event: Value = serde_json::from_str(text).unwrap();
        let word = event["event"].as_str().unwrap();
        let mut schema = of(word).unwrap();
        schema["additionalProperties"] = json!(false);
        let mut found = Vec::new();
        faults(&schema, &event, word, &mut found);
        assert!(found.is_empty(), "{found:#?} in {text}");
        *seen.entry(word.to_owned()).or_insert(0) += 1;
        kinds.extend(event["kind"].as_str().map(str::to_owned));
    }
    let words: Vec<&str> = What::ALL.iter().map(|(_, word)| *word).collect();
    assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>(), words);
    kinds.sort();
    assert_eq!(kinds, Kind::ALL.map(|(_, word)| word));
    // The checker is one: what is wrong is found.
    let mut found = Vec::new();
    faults(
        &of("finding").unwrap(),
        &json!({"event": "server", "count": -1, "kind": "x"}),
        "x",
        &mut found,
    );
    assert_eq!(found.len(), 4, "{found:#?}");
}

/// Every field that the table names in a format is there in some sample.
#[test]
fn the_mapping_is_what_the_formats_do() {
    let written = |format| written(&Shape::Plain(format, 65_536));
    let (ecs, ocsf) = (written(Format::Ecs), written(Format::Ocsf));
    let (cef, leef) = (written(Format::Cef), written(Format::Leef));
    for row in mapping::FIELDS {
        for (cell, text) in [(row[1], &ecs), (row[2], &ocsf), (row[3], &cef), (row[4], &leef)] {
            for name in cell
                .split([',', ';'])
                .map(|part| part.trim().split(' ').next().unwrap())
            {
                let last = name
                    .trim_matches(['[', ']', '.'])
                    .rsplit('.')
                    .next()
                    .unwrap()
                    .trim_end_matches("[]");
                let told = last == "–" || last == "*" || text.contains(last) || text == &leef && name == "event";
                assert!(
                    told || ["signature", "name", "1", "3", "5", "8", "10"].contains(&name),
                    "{row:?}: {name}"
                );
            }
        }
    }
    assert_eq!(mapping::table().lines().count(), mapping::FIELDS.len() + 2);
    assert!(line(&all()).contains("tool-change"));
}
