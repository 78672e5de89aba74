//! `shadowtap signatures`, through the binary.

use crate::cli::{Place, stderr, stdout};
use crate::conversations::{CALL, FOUND, INITIALIZE, WELCOME, here};
use crate::http::{connection, json, post};
use crate::talk::{self, PLAIN};

const OWN: &str = r#"schema = 1
[meta]
name = "own"
version = "1"
[[secret]]
id = "own-key"
title = "Key of our own"
anchors = ["corp_"]
pattern = '\bcorp_[a-z0-9]{20}\b'
severity = "high"
confidence = 0.9
"#;

/// A place with rules of its own.
fn place(own: &str) -> Place {
    let place = Place::new();
    std::fs::create_dir(place.0.path().join("signatures.d")).unwrap();
    place.file("signatures.d/own.toml", own);
    place.file("shadowtap.toml", "[signatures]\ndirs = ['signatures.d']\n");
    place
}

fn key() -> String {
    ["corp", "_q8ztr2vlw0xy7bn4kd93"].concat()
}

#[test]
fn rules_are_listed_and_checked() {
    let place = place(OWN);
    let listed = stdout(&place.run(&["signatures", "list"]));
    for id in ["own-key", "sec-github-classic", "pii-iban", "ep-"] {
        assert!(listed.contains(id), "{id}");
    }
    let output = place.run(&["signatures", "check"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(stdout(&output).contains(" rules, as their examples say"));
}

#[test]
fn a_wrong_rule_is_told_with_its_line() {
    for (change, told) in [
        ("pattern = '('", "signatures.d/own.toml:5: rule own-key:"),
        ("colour = 1", "signatures.d/own.toml:12: unknown key `colour`"),
        ("pattern = 'x*'", "matches the empty text"),
        ("anchors = []", "anchors must be given"),
        (
            "[[secret.test]]\ngenerate = 'x'\nmatch = true",
            "does not match its example",
        ),
    ] {
        let key = change.split(' ').next().unwrap();
        let mut lines: Vec<&str> = OWN.lines().filter(|line| !line.starts_with(key)).collect();
        lines.push(change);
        let output = place(&lines.join("\n")).run(&["signatures", "check"]);
        assert_eq!(output.status.code(), Some(2), "{change}");
        assert!(stderr(&output).contains(told), "{change}: {}", stderr(&output));
    }
}

#[test]
fn a_slow_rule_is_warned_of() {
    let slow = OWN.replace("corp_", "es").replace(r"\b", "");
    let output = place(&slow).run(&["signatures", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("own-key is slow"), "{}", stderr(&output));
}

#[test]
fn rules_run_over_a_text() {
    let place = place(OWN);
    place.file("a.txt", format!("first line\nkey: {}\n", key()));
    let output = place.run(&["signatures", "test", "a.txt"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "a.txt:2:6: own-key: Key of our own (corp_…3)\n");
    let missing = place.run(&["signatures", "test", "b.txt"]);
    assert_eq!(missing.status.code(), Some(3));
}

#[test]
fn rules_run_over_a_capture() {
    let place = place(OWN);
    let ask = CALL.replace("Dune", &key());
    let script = connection(
        here(),
        &[
            (&post("/mcp", "", INITIALIZE), &json("200 OK", "", WELCOME)),
            (&post("/mcp", "", &ask), &json("200 OK", "", FOUND)),
        ],
    );
    place.file("a.pcap", talk::pcap(&talk::packets(&script, &PLAIN)));
    let output = place.run(&["signatures", "test", "a.pcap"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found = stdout(&output);
    let end = "own-key: Key of our own in params.arguments.title at params.arguments.title, 1 times\n";
    assert!(found.starts_with("a.pcap: packet ") && found.ends_with(end), "{found}");
    assert!(!found.contains(&key()));
}

#[test]
fn a_later_rule_replaces_and_switches_off() {
    let token = ["glpat", "-Zx81mQpT0aLw93KdYeRb"].concat();
    let head = "schema = 1\n[meta]\nname = \"own\"\nversion = \"1\"\n[[secret]]\nid = \"sec-gitlab-pat\"\n";
    for (rest, told) in [
        ("enabled = false\n", ""),
        (
            "title = \"Ours\"\nanchors = [\"glpat-\"]\npattern = 'glpat-[A-Za-z0-9]{20}'\nseverity = \"low\"\n",
            "a.txt:1:1: sec-gitlab-pat: Ours (glpat-…)\n",
        ),
    ] {
        let place = place(&format!("{head}{rest}"));
        place.file("a.txt", &token);
        let output = place.run(&["signatures", "test", "a.txt"]);
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(0), told),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn rules_of_gitleaks_are_taken_over() {
    let place = Place::new();
    let theirs = "[[rules]]\nid = 'corp'\nregex = '''\\bcorp_[a-z0-9]{20}\\b'''\nkeywords = ['corp_']\n\
                  [[rules]]\nid = 'none'\nregex = 'x'\n";
    place.file("theirs.toml", theirs);
    let output = place.run(&["signatures", "import", "gitleaks", "theirs.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("none is left out"), "{}", stderr(&output));
    let own = self::place(&stdout(&output));
    own.file("a.txt", key());
    let found = stdout(&own.run(&["signatures", "test", "a.txt"]));
    assert!(found.starts_with("a.txt:1:1: corp: corp"), "{found}");
}
