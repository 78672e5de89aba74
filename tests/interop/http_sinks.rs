//! Splunk, Elasticsearch and webhooks as their sinks see them: the grammar of what is sent, and every way in which a receiver
//! may not take it.

use std::path::{Path, PathBuf};

use ring::hmac;
use serde_json::{Value, json};
use shadowtap::model::stamp::Timestamp;
use shadowtap::sink::SinkError;
use shadowtap::sink::config::Config;
use shadowtap::sink::remote::{Batch, Class, Deliver, Part};
use shadowtap::sink::settings::{Context, resolve};
use shadowtap::sink::siem::notice::{Sensor, What};
use shadowtap::sink::siem::parcel::{Parcel, pack};
use toml::Spanned;

use crate::collector::{Answer, Collector, Request};

#[derive(serde::Deserialize)]
struct Written {
    sinks: Vec<Spanned<Config>>,
}

/// The delivering half of a `[[sinks]]`, with a file `secret` beside it.
pub(crate) fn sink(text: &str) -> Box<dyn Deliver> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret-token").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!("[[sinks]]\n{text}");
    let written: Written = toml::from_str(&text).unwrap();
    let beside = |path: &Path| -> PathBuf { folder.path().join(path) };
    let sensor = Sensor {
        name: "edge-1".into(),
        version: "1.2.3".into(),
    };
    let context = Context {
        file: Path::new("c.toml"),
        text: &text,
        beside: &beside,
        sensor: &sensor,
    };
    let mut settings = resolve(&written.sinks, &context).unwrap_or_else(|defects| panic!("{defects:?}"));
    settings.remove(0).remote(None, None, None).deliver
}

/// A batch of findings with these bodies; their ids are `e0`, `e1`, …
pub(crate) fn batch(token: &str, bodies: &[&str]) -> Batch {
    let parcel = |(nth, body): (usize, &&str)| Parcel {
        event_id: format!("e{nth}"),
        what: What::Finding,
        millis: 1_795_168_800_123,
        body: (*body).to_owned(),
    };
    let parcels: Vec<Parcel> = bodies.iter().enumerate().map(parcel).collect();
    Batch {
        token: token.to_owned(),
        sealed: Timestamp::from_nanos(0),
        class: Class::Finding,
        parts: vec![Part {
            rows: parcels.len() as u64,
            bytes: pack(&parcels),
        }],
    }
}

fn ok(body: &str) -> Answer {
    (200, String::new(), body.to_owned())
}

fn later(result: Result<(), SinkError>) -> String {
    match result {
        Err(SinkError::Retry(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn never(result: Result<(), SinkError>) -> String {
    match result {
        Err(SinkError::Reject(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// JSON objects one after the other.
fn objects(body: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(body)
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn splunk_is_sent_what_its_collector_reads() {
    let collector = Collector::start(0, |_, _| ok(r#"{"text":"Success","code":0}"#));
    let mut sink = sink(&format!(
        "type = 'splunk'\nurl = 'http://127.0.0.1:{}'\ntoken_file = 'secret'\nindex = 'mcp'",
        collector.port
    ));
    sink.deliver(&batch("t1", &[r#"{"a":1}"#, r#"{"b":"é"}"#])).unwrap();
    let seen = collector.seen();
    assert_eq!(seen[0].path, "/services/collector/event");
    assert_eq!(seen[0].headers["authorization"], "Splunk s3cret-token");
    assert_eq!(seen[0].headers["content-encoding"], "gzip");
    let event = |body: Value| {
        json!({"time": 1_795_168_800.123, "host": "edge-1", "source": "shadowtap",
               "sourcetype": "shadowtap:finding", "index": "mcp", "event": body})
    };
    assert_eq!(
        objects(&seen[0].body),
        [event(json!({"a": 1})), event(json!({"b": "é"}))]
    );
}

#[test]
fn splunk_is_asked_until_events_are_indexed() {
    let collector = Collector::start(0, |nth, request: &Request| match (&*request.path, nth) {
        ("/services/collector/event", _) => ok(r#"{"text":"Success","code":0,"ackId":7}"#),
        (_, 1) => ok(r#"{"acks":{"7":false}}"#),
        _ => ok(r#"{"acks":{"7":true}}"#),
    });
    let mut sink = sink(&format!(
        "type = 'splunk'\nurl = 'http://127.0.0.1:{}'\ntoken_file = 'secret'\nacknowledge = true",
        collector.port
    ));
    sink.deliver(&batch("t1", &["{}"])).unwrap();
    let seen = collector.seen();
    let channel = &seen[0].headers["x-splunk-request-channel"];
    assert_eq!(channel.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].path, format!("/services/collector/ack?channel={channel}"));
    assert_eq!(seen[2].body, r#"{"acks":[7]}"#);
}

/// 503, 429, a wrong token and a hung receiver are for later; what can never go in is refused.
#[test]
fn what_a_status_means() {
    let statuses = [503, 429, 401, 403, 404, 302, 400, 413, 200];
    let collector = Collector::start(0, move |nth, _| {
        let head = "location: http://127.0.0.1:1/elsewhere\r\n".to_owned();
        (statuses[nth.min(8)], head, "no".to_owned())
    });
    let mut sink = sink(&format!(
        "type = 'splunk'\nurl = 'http://127.0.0.1:{}'\ntoken_file = 'secret'\ngzip = false",
        collector.port
    ));
    let batch = batch("t1", &["{}"]);
    for status in ["503", "429", "401", "403", "404", "302"] {
        let why = later(sink.deliver(&batch));
        assert!(why.contains(status) && !why.contains("s3cret"), "{why}");
    }
    for status in ["400", "413"] {
        assert!(never(sink.deliver(&batch)).contains(status));
    }
    sink.deliver(&batch).unwrap();
    let bodies: Vec<String> = collector.seen().into_iter().map(|request| request.body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "every try sends the same");
}

#[test]
fn a_receiver_that_is_gone_or_hangs_is_for_later() {
    let port = crate::tools::free_port();
    let mut gone = sink(&format!("type = 'webhook'\nurl = 'http://127.0.0.1:{port}/x'"));
    assert!(later(gone.deliver(&batch("t", &["{}"]))).starts_with(&format!("http://127.0.0.1:{port}: ")));
    // It takes the connection, and never says a word.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut hung = sink(&format!(
        "type = 'webhook'\nurl = 'http://127.0.0.1:{port}/x'\ntimeout_ms = 200"
    ));
    let why = later(hung.deliver(&batch("t", &["{}"])));
    assert!(why.contains("timeout"), "{why}");
}

#[test]
fn bulk_sends_again_what_is_left_and_nothing_else() {
    let item = |status: u16| {
        let error = json!({"type": "kind_of_error", "reason": "why"});
        json!({"create": {"status": status, "error": error}})
    };
    let answers = [
        json!({"errors": true, "items": [item(201), item(429), item(409), item(503)]}),
        json!({"errors": false, "items": [item(201), item(201)]}),
        json!({"errors": true, "items": [item(400), item(201)]}),
    ];
    let collector = Collector::start(0, move |nth, _| ok(&answers[nth].to_string()));
    let mut sink = sink(&format!(
        "type = 'elasticsearch'\nurl = 'http://127.0.0.1:{}/'",
        collector.port
    ));
    let four = batch("t1", &[r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    let why = later(sink.deliver(&four));
    assert!(why.ends_with("429 kind_of_error: why"), "{why}");
    sink.deliver(&four).unwrap();
    let why = never(sink.deliver(&batch("t2", &["{}", "{}"])));
    assert!(
        why.ends_with("1 of 2 events were refused, and the others are in: 400 kind_of_error: why"),
        "{why}"
    );

    let seen = collector.seen();
    assert_eq!(
        (&*seen[0].path, &*seen[0].headers["content-type"]),
        ("/_bulk", "application/x-ndjson")
    );
    let action = |nth| json!({"create": {"_index": "logs-shadowtap.finding-default", "_id": format!("e{nth}")}});
    let pairs = |numbers: &[u64]| -> Vec<Value> {
        numbers
            .iter()
            .flat_map(|nth| [action(*nth), json!({"n": nth})])
            .collect()
    };
    assert_eq!(objects(&seen[0].body), pairs(&[0, 1, 2, 3]));
    assert_eq!(objects(&seen[1].body), pairs(&[1, 3]));
    assert!(seen.iter().all(|request| request.body.ends_with('\n')));
}

#[test]
fn an_answer_that_is_none_of_bulk_is_told() {
    let collector = Collector::start(0, |_, _| ok("<html>"));
    let mut sink = sink(&format!(
        "type = 'opensearch'\nurl = 'http://127.0.0.1:{}'",
        collector.port
    ));
    let why = later(sink.deliver(&batch("t", &["{}"])));
    assert!(why.ends_with("is this Elasticsearch?"), "{why}");
}

#[test]
fn a_webhook_is_signed_and_follows_no_redirect() {
    let elsewhere = Collector::start(0, |_, _| ok(""));
    let target = elsewhere.port;
    let collector = Collector::start(0, move |nth, _| match nth {
        0 => (307, format!("location: http://127.0.0.1:{target}/\r\n"), String::new()),
        _ => (204, String::new(), String::new()),
    });
    let mut sink = sink(&format!(
        "type = 'webhook'\nurl = 'http://127.0.0.1:{}/hook'\nsigning_key_file = 'secret'",
        collector.port
    ));
    let two = batch("t1", &[r#"{"n":0}"#, r#"{"n":1}"#]);
    assert!(later(sink.deliver(&two)).contains("a redirect, which is not followed"));
    sink.deliver(&two).unwrap();
    assert_eq!(elsewhere.seen().len(), 0);
    for request in collector.seen() {
        assert_eq!((&*request.path, &*request.body), ("/hook", r#"[{"n":0},{"n":1}]"#));
        assert_eq!(request.headers["x-shadowtap-batch"], "t1");
        let signed = format!("{}.{}", request.headers["x-shadowtap-timestamp"], request.body);
        let tag = request.headers["x-shadowtap-signature"]
            .strip_prefix("sha256=")
            .unwrap()
            .to_owned();
        let bytes: Vec<u8> = (0..tag.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap())
            .collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s3cret-token");
        hmac::verify(&key, signed.as_bytes(), &bytes).unwrap();
    }
}

/// A chat tool gets an event at a time; after one that failed only the rest comes again.
#[test]
fn a_chat_tool_gets_each_event_once() {
    let collector = Collector::start(0, |nth, _| {
        (if nth == 1 { 500 } else { 200 }, String::new(), "ok".to_owned())
    });
    let mut sink = sink(&format!(
        "type = 'webhook'\nurl = 'http://127.0.0.1:{}/x'\ntemplate = 'slack'",
        collector.port
    ));
    let three = batch("t1", &["a", "b", "c"]);
    later(sink.deliver(&three));
    sink.deliver(&three).unwrap();
    let bodies: Vec<String> = collector.seen().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, ["a", "b", "b", "c"]);
}
