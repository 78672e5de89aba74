//! One source that tries MCP in many places is told; a client with a wrong configuration is not. And what people decide
//! about findings.

use serde_json::Value;

use crate::cli::{Place, stderr, stdout};
use crate::conversations::{INITIALIZE, here, streamable};
use crate::http::{connection, empty, post};
use crate::run;
use crate::talk::{self, Ends, PLAIN, Script, ends};

/// A client that asks at each of these places, and is refused.
fn refused(places: impl Iterator<Item = (String, u16, String)>) -> Script {
    let tries = places.zip(41_000..).map(|((host, port, path), from)| {
        let place = ends(("10.9.0.77", from), (&host, port));
        connection(place, &[(&post(&path, "", INITIALIZE), &empty("404 Not Found", ""))])
    });
    tries.fold(Script::default(), Script::chain)
}

fn sweeps(script: &Script) -> Vec<Value> {
    let report = run::frames(&talk::packets(script, &PLAIN));
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["rule"] == "mcp-sweep")
        .cloned()
        .collect()
}

#[test]
fn a_sweep_is_told_once() {
    let hosts = |count: u8| refused((1..=count).map(|host| (format!("10.9.1.{host}"), 8000, "/mcp".to_owned())));
    let told = sweeps(&hosts(30));
    assert_eq!(told.len(), 1, "{told:#?}");
    let finding = &told[0];
    assert_eq!(
        (
            &finding["kind"],
            &finding["severity"],
            &finding["client"],
            &finding["count"]
        ),
        (
            &"behaviour-anomaly".into(),
            &"low".into(),
            &"10.9.0.77".into(),
            &30.into()
        )
    );
    assert_eq!(
        finding["title"],
        "10.9.0.77 tried MCP in 30 places of 30 hosts; 0 answered"
    );
    assert!(sweeps(&hosts(9)).is_empty());
    let paths = [
        "/mcp", "/sse", "/message", "/", "/api/mcp", "/v1/mcp", "/mcp/", "/rpc", "/ws", "/mcp/v1", "/x",
    ];
    let one_host = refused(
        paths
            .iter()
            .map(|path| ("10.9.1.1".to_owned(), 8000, (*path).to_owned())),
    );
    assert_eq!(sweeps(&one_host).len(), 1, "paths count as well");
}

#[test]
fn who_gets_answers_does_not_sweep() {
    let used = (1..=30_u8).map(|host| {
        let place = ends(
            ("10.9.0.77", 41_000 + u16::from(host)),
            (&format!("10.9.1.{host}"), 8000),
        );
        streamable(here()).moved(|_: Ends| place)
    });
    let script = used.fold(Script::default(), Script::chain);
    assert!(sweeps(&script).is_empty());
    let wrong = (0..40).map(|nth| ("10.9.1.1".to_owned(), 8000, ["/mcp", "/sse", "/"][nth % 3].to_owned()));
    assert!(
        sweeps(&refused(wrong)).is_empty(),
        "one host, three paths, again and again"
    );
}

#[test]
fn decisions_are_kept_and_shown() {
    let place = Place::new();
    place.file("a.pcap", talk::pcap(&talk::packets(&streamable(here()), &PLAIN)));
    let replay = || place.run(&["replay", "a.pcap", "--store", "s.db", "--format", "json"]);
    let report: Value = serde_json::from_slice(&replay().stdout).unwrap();
    let id = report["findings"][0]["id"].as_str().unwrap();
    let decide = |args: &[&str]| place.run(&[&["findings"], args, &["--store", "s.db"]].concat());
    let state = || {
        let rows = place.run(&["report", "findings", "--store", "s.db", "--format", "json"]);
        let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
        let row = rows["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == id)
            .unwrap()
            .clone();
        (row["state"].as_str().unwrap().to_owned(), row["state_why"].clone())
    };
    assert_eq!(state(), ("open".to_owned(), Value::Null));
    let output = decide(&["ack", id, "--why", "asked the team"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "1 findings are acknowledged\n")
    );
    assert_eq!(state(), ("acknowledged".to_owned(), "asked the team".into()));
    let open = place.run(&[
        "report", "findings", "--state", "open", "--store", "s.db", "--format", "csv",
    ]);
    assert!(
        open.status.success() && !stdout(&open).contains(id),
        "{}",
        stdout(&open)
    );
    decide(&["close", id, "--why", "moved"]);
    replay();
    assert_eq!(state().0, "closed", "the same capture again is no new sight");
    decide(&["mute", id, "--why", "lab", "--until", "2000-01-01"]);
    assert_eq!(state().0, "open");
    for wrong in [
        &["ack", "none", "--why", "x"][..],
        &["ack", id],
        &["ack", id, "--why", " "],
        &["drop", id, "--why", "x"],
    ] {
        assert_eq!(decide(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert!(stderr(&decide(&["ack", "none", "--why", "x"])).contains("no finding none"));
}
