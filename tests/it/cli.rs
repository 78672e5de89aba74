//! The command line through the binary: help, exit codes, errors with their cure, formats, the store.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::conversations::{here, streamable};
use crate::run;
use crate::talk::{self, PLAIN};

/// An empty place to work in, so that nothing of the machine is read or written.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shadowtap"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn run_with_input(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The report of a replay that must end with this code.
    fn report(&self, code: i32, args: &[&str]) -> Value {
        let output = self.run(&[&["replay", "--store", "none", "--format", "json"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A small session of one server.
fn capture() -> Vec<u8> {
    talk::pcap(&talk::packets(&streamable(here()), &PLAIN))
}

fn count(report: &Value, list: &str) -> usize {
    report[list].as_array().unwrap().len()
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let place = Place::new();
    for args in [&["--help"][..], &["-h"], &["help"]] {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        for part in [
            "replay office.pcapng",
            "--fail-on high",
            "Exit codes:",
            "report servers --unapproved",
        ] {
            assert!(text.contains(part), "{part} is missing from\n{text}");
        }
    }
    for command in [
        "approve",
        "check",
        "findings",
        "interfaces",
        "pin",
        "replay",
        "report",
        "serve",
    ] {
        let output = place.run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
    }
    assert!(stdout(&place.run(&["--version"])).starts_with("shadowtap "));
}

#[test]
fn wrong_usage_is_2() {
    let place = Place::new();
    place.file("a.pcap", capture());
    for args in [
        &[][..],
        &["nonsense"],
        &["replay"],
        &["replay", "a.pcap", "--format", "nonsense"],
        &["replay", "a.pcap", "--workers", "0"],
        &["replay", "a.pcap", "--fail-on", "awful"],
        &["replay", "a.pcap", "--since", "soon"],
        &["replay", "a.pcap", "--store", "none", "--bpf", "tcp prot 80"],
        &["report", "nonsense"],
        &["report", "findings", "--kind", "nonsense"],
    ] {
        let output = place.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn mistakes_in_files_are_2_and_name_file_line_and_cure() {
    let place = Place::new();
    place.file("a.pcap", capture());
    place.file("bad.toml", "[engine]\nmessage_max_bytes = \"many\"\n");
    place.file("unknown.toml", "[flow]\nmax_flow = 1\n");
    place.file(
        "policy-bad.toml",
        "[[approve]]\nowner = \"me\"\nport = 99999\nreason = \"r\"\n",
    );
    for (args, line) in [
        (&["--config", "bad.toml"], "bad.toml:2: "),
        (&["--config", "unknown.toml"], "unknown.toml:2: "),
        (&["--policy", "policy-bad.toml"], "policy-bad.toml:3: "),
    ] {
        for command in [&["replay", "a.pcap", "--store", "none"][..], &["check"]] {
            let output = place.run(&[command, args].concat());
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{command:?} {args:?}: {text}");
            assert!(text.starts_with(line), "{command:?} {args:?}: {text}");
            assert!(text.contains("; "), "{command:?} {args:?} names no cure: {text}");
        }
    }
    let output = place.run(&["replay", "a.pcap", "--config", "missing.toml", "--store", "none"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("missing.toml"));
}

#[test]
fn input_that_cannot_be_read_is_3() {
    let place = Place::new();
    place.file("a.pcap", capture());
    place.file("text.pcap", "no capture at all, but long enough to be one");
    for file in ["missing.pcap", "text.pcap", "."] {
        for files in [&[file][..], &["a.pcap", file]] {
            let output = place.run(&[&["replay", "--store", "none"], files].concat());
            assert_eq!(output.status.code(), Some(3), "{files:?}: {}", stderr(&output));
            assert!(stderr(&output).contains(file), "{files:?}: {}", stderr(&output));
            assert!(output.stdout.is_empty(), "{files:?}");
        }
    }
    let output = place.run(&["report", "servers", "--store", "missing.db"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("missing.db"));
}

#[test]
fn a_finding_of_that_severity_is_1() {
    let place = Place::new();
    place.file("a.pcap", capture());
    for (limit, code) in [("info", 1), ("medium", 1), ("critical", 0)] {
        let report = place.report(code, &["a.pcap", "--fail-on", limit]);
        assert_eq!(count(&report, "servers"), 1);
    }
    let mut cut = capture();
    cut.truncate(cut.len() - 5);
    place.file("cut.pcap", cut);
    place.report(1, &["cut.pcap", "--fail-on", "low"]);
}

#[test]
fn a_cut_file_is_4_and_is_named() {
    let place = Place::new();
    let whole = capture();
    let full = {
        place.file("whole.pcap", &whole);
        place.report(0, &["whole.pcap"])
    };
    let mut cut = whole.clone();
    cut.truncate(whole.len() - 5);
    place.file("cut.pcap", cut);
    for files in [&["cut.pcap"][..], &["whole.pcap", "cut.pcap"]] {
        let output = place.run(&[&["replay", "--store", "none", "--format", "json"], files].concat());
        assert_eq!(output.status.code(), Some(4));
        assert!(
            stderr(&output).contains("cut.pcap: damaged after packet"),
            "{}",
            stderr(&output)
        );
        assert!(!stderr(&output).contains("whole.pcap"), "{}", stderr(&output));
        // Everything before the damage is there.
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["servers"][0]["tools"], full["servers"][0]["tools"]);
    }
}

#[test]
fn an_empty_file_is_an_empty_report() {
    let place = Place::new();
    place.file("nothing.pcap", "");
    place.file("header.pcap", &capture()[..24]);
    for file in ["nothing.pcap", "header.pcap"] {
        let report = place.report(0, &[file]);
        for list in ["servers", "clients", "lookups", "findings"] {
            assert_eq!(count(&report, list), 0, "{file}: {list}");
        }
        assert_eq!(
            (&report["capture"]["first"], &report["capture"]["packets"]),
            (&Value::Null, &0.into())
        );
    }
}

#[test]
fn a_packed_file_and_standard_input_are_the_same_capture() {
    let place = Place::new();
    let bytes = capture();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&bytes).unwrap();
    place.file("a.pcap", &bytes);
    // Known by content, whatever the name says.
    place.file("b.pcap", gzip.finish().unwrap());
    place.file("c.pcap", zstd::encode_all(&bytes[..], 3).unwrap());
    let without_name = |mut report: Value| {
        report["capture"]["sources"] = Value::Null;
        report
    };
    let expect = without_name(place.report(0, &["a.pcap"]));
    assert_eq!(count(&expect, "servers"), 1);
    for file in ["b.pcap", "c.pcap"] {
        assert_eq!(without_name(place.report(0, &[file])), expect, "{file}");
    }
    let output = place.run_with_input(&["replay", "-", "--store", "none", "--format", "json"], &bytes);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(without_name(serde_json::from_slice(&output.stdout).unwrap()), expect);
}

#[test]
fn several_files_are_one_capture_in_order_of_time() {
    let place = Place::new();
    let frames = talk::packets(&streamable(here()), &PLAIN);
    place.file("whole.pcap", talk::pcap(&frames));
    // The session is in neither file alone: every second packet is in the other.
    let part = |rest: usize| -> Vec<(i64, Vec<u8>)> {
        let packets = frames.iter().enumerate().filter(|(at, _)| at % 2 == rest);
        packets.map(|(_, frame)| frame.clone()).collect()
    };
    place.file("odd.pcap", talk::pcap(&part(1)));
    place.file("even.pcap", talk::pcap(&part(0)));
    let whole = place.report(0, &["whole.pcap"]);
    for files in [["odd.pcap", "even.pcap"], ["even.pcap", "odd.pcap"]] {
        let merged = place.report(0, &files);
        assert_eq!(merged["servers"], whole["servers"], "{files:?}");
        assert_eq!(merged["capture"]["packets"], whole["capture"]["packets"]);
    }
}

#[test]
fn a_filter_and_a_span_take_packets_away() {
    let place = Place::new();
    place.file("a.pcap", capture());
    let packets = |args: &[&str]| {
        let report = place.report(0, &[&["a.pcap"], args].concat());
        report["capture"]["packets"].as_u64().unwrap()
    };
    let all = packets(&[]);
    assert!(all > 10);
    assert_eq!(packets(&["--bpf", "tcp port 8000"]), all);
    assert_eq!(packets(&["--bpf", "udp"]), 0);
    let (before, after) = (
        ["--until", "2026-11-20T10:00:00.0005Z"],
        ["--since", "2026-11-20T10:00:00.0005Z"],
    );
    assert_eq!((packets(&before), packets(&after)), (5, all - 5));
}

#[test]
fn every_format_can_be_read() {
    let place = Place::new();
    place.file("a.pcap", capture());
    let shown = |format: &str| {
        let output = place.run(&["replay", "a.pcap", "--store", "none", "--format", format]);
        assert_eq!(output.status.code(), Some(0));
        stdout(&output)
    };
    assert!(shown("table").contains("10.9.0.5:8000"));
    assert_eq!(shown("json").lines().count(), 1);
    let ndjson = shown("ndjson");
    assert!(ndjson.lines().count() > 3);
    for line in ndjson.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    let csv = shown("csv");
    assert!(csv.lines().count() > 3 && csv.contains("unapproved-server"), "{csv}");
}

/// Rows of a word, as the store tells them.
fn rows(place: &Place, store: &Path, word: &str) -> Vec<Value> {
    let output = place.run(&["report", word, "--store", store.to_str().unwrap(), "--format", "ndjson"]);
    assert_eq!(output.status.code(), Some(0), "{word}: {}", stderr(&output));
    stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_store_answers_and_a_second_replay_doubles_nothing() {
    let place = Place::new();
    place.file("a.pcap", capture());
    let store = place.0.path().join("s.db");
    let replay = ["replay", "a.pcap", "--store", "s.db", "--format", "json"];
    let first = place.run(&replay);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let words = [
        "servers", "clients", "tools", "findings", "sessions", "lookups", "timeline", "drift", "captures",
    ];
    let answers: Vec<Vec<Value>> = words.iter().map(|word| rows(&place, &store, word)).collect();
    let report: Value = serde_json::from_slice(&first.stdout).unwrap();
    for (word, rows) in words.iter().zip(&answers) {
        match *word {
            "lookups" | "drift" => assert!(rows.is_empty(), "{word}: {rows:?}"),
            "servers" | "clients" | "findings" => assert_eq!(rows.len(), count(&report, word), "{word}"),
            _ => assert!(!rows.is_empty(), "{word}"),
        }
    }
    let again = place.run(&replay);
    assert_eq!(first.stdout, again.stdout);
    for (word, before) in words.iter().zip(&answers) {
        assert_eq!(*before, rows(&place, &store, word), "{word} after a second replay");
    }
}

#[test]
fn a_store_answers_in_every_format() {
    let place = Place::new();
    let capture = run::folder("pcaps/dns_registries_udp.pcap");
    let output = place.run(&[
        "replay",
        capture.to_str().unwrap(),
        "--store",
        "s.db",
        "--format",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for word in ["servers", "clients", "tools", "findings", "lookups", "sessions"] {
        let shown = |format: &str| {
            let output = place.run(&["report", word, "--store", "s.db", "--format", format]);
            assert_eq!(output.status.code(), Some(0), "{word}, {format}: {}", stderr(&output));
            stdout(&output)
        };
        let json: Value = serde_json::from_str(&shown("json")).unwrap();
        let rows = count(&json, "rows");
        assert_eq!(rows > 0, matches!(word, "findings" | "lookups"), "{word}");
        assert_eq!(shown("ndjson").lines().count(), rows, "{word}");
        assert_eq!(shown("csv").lines().count(), rows + 1, "{word}");
        assert!(!shown("table").is_empty());
    }
    let output = place.run(&["report", "--store", "s.db"]);
    assert!(stdout(&output).contains("findings: "), "{}", stdout(&output));
}

#[test]
fn nothing_is_stored_unless_it_may_be() {
    let place = Place::new();
    place.file("a.pcap", capture());
    place.report(0, &["a.pcap"]);
    let left: Vec<_> = std::fs::read_dir(place.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["a.pcap"]);
    // A store that cannot be written loses what was found, and says so; the report is printed all the same.
    let output = place.run(&[
        "replay",
        "a.pcap",
        "--store",
        "no/such/folder/a.pcap/s.db",
        "--format",
        "json",
    ]);
    let file_as_folder = place.run(&["replay", "a.pcap", "--store", "a.pcap", "--format", "json"]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", stderr(&output));
    assert_eq!(file_as_folder.status.code(), Some(4), "{}", stderr(&file_as_folder));
    assert!(serde_json::from_slice::<Value>(&file_as_folder.stdout).is_ok());
    assert_eq!(std::fs::read(place.0.path().join("a.pcap")).unwrap(), capture());
}
