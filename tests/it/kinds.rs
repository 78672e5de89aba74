//! What is told of every capture, in one table that a person reads: `tests/findings.tsv`.
//!
//! `UPDATE=1 cargo test --test it` rewrites it after the reports in `tests/golden/`; the review reads the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::run;

/// Kinds that every server without approval, encryption and credentials earns.
const USUAL: [&str; 4] = [
    "unapproved-server",
    "exposed-bind",
    "unauthenticated-server",
    "cleartext-mcp",
];

/// Captures whose label expects no more than [`USUAL`], and what may be high in them all the same, with its reason.
const HIGH_BUT: &[(&str, &str, &str)] = &[];

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Name, label and report of each capture.
fn cases() -> Vec<(String, Value, Value)> {
    let names = run::captures().into_iter().map(|capture| run::stem(&capture));
    names
        .map(|name| {
            let label = read(&run::folder("tests/truth").join(format!("{name}.json")));
            let report = read(&run::folder("tests/golden").join(format!("{name}.json")));
            (name, label, report)
        })
        .collect()
}

#[test]
fn the_table_is_what_was_reviewed() {
    let mut table = String::from("capture\texpected\ttold\n");
    for (name, label, report) in cases() {
        let expected: BTreeSet<&str> = label["expect_findings"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|want| texts(&want["kinds"]))
            .collect();
        let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for finding in report["findings"].as_array().unwrap() {
            let text = |key: &str| finding[key].as_str().unwrap();
            *told.entry((text("kind"), text("severity"))).or_insert(0) += 1;
        }
        let expected: Vec<&str> = expected.into_iter().collect();
        let told: Vec<String> = told
            .into_iter()
            .map(|((kind, severity), count)| format!("{kind} {severity} x{count}"))
            .collect();
        writeln!(table, "{name}\t{}\t{}", expected.join(", "), told.join(", ")).unwrap();
    }
    let path = run::folder("tests/findings.tsv");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, table).unwrap();
    } else {
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        let differ: Vec<&str> = table
            .lines()
            .filter(|line| !known.lines().any(|row| row == *line))
            .collect();
        assert!(known == table, "tests/findings.tsv tells otherwise: {differ:#?}");
    }
}

#[test]
fn usual_captures_raise_no_alarm() {
    let mut usual = 0;
    for (name, label, report) in cases() {
        let mut expected = label["expect_findings"].as_array().into_iter().flatten();
        if expected.any(|want| texts(&want["kinds"]).any(|kind| !USUAL.contains(&kind))) {
            continue;
        }
        usual += 1;
        for finding in report["findings"].as_array().unwrap() {
            let kind = finding["kind"].as_str().unwrap();
            let excused = HIGH_BUT
                .iter()
                .any(|(capture, what, _)| *capture == name && *what == kind);
            let loud = ["high", "critical"]
                .iter()
                .any(|severity| finding["severity"] == *severity);
            assert!(!loud || excused, "{name}: {finding:#}");
        }
    }
    assert!(usual > 50, "only {usual} captures: labels are not read");
}
