//! Approvals that the program writes: narrow, once, and without harm to the file.

use crate::cli::{Place, stderr, stdout};
use crate::history::{DAY_NANOS, USUAL, capture, found, replay};
use crate::talk::{self, Ends, PLAIN};

#[test]
fn an_approval_is_written_and_counts() {
    let place = Place::new();
    capture(&place, "a.pcap", &[USUAL], 0);
    let store = ["--store", "s.db"];
    assert_eq!(found(&replay(&place, "a.pcap", &store), "unapproved-server").len(), 1);
    place.file(
        "policy.toml",
        "# ours\n[[approve]] # the old one\nport = 1\n\n[home]\nnetworks = ['10.0.0.0/8'] # all\n",
    );
    let approve =
        |args: &[&str]| place.run(&[&["approve", "--policy", "policy.toml", "--store", "s.db"], args].concat());

    assert_eq!(approve(&["10.9.0.6"]).status.code(), Some(2));
    let proposal = stdout(&approve(&["--learn"]));
    assert!(
        proposal
            .contains("[[approve]]\naddress = \"10.9.0.5\"\nport = 8000\npath = \"/mcp\"\nserver_name = \"ledger\"\n"),
        "{proposal}"
    );

    for told in ["approved 1 servers", "approved 0 servers"] {
        place.file(
            "learned.toml",
            std::fs::read(place.0.path().join("learned.toml")).unwrap_or_default(),
        );
        let learn = [
            "approve",
            "--learn",
            "--write",
            "--policy",
            "learned.toml",
            "--store",
            "s.db",
        ];
        assert_eq!(stdout(&place.run(&learn)), format!("learned.toml: {told}\n"));
    }

    let output = approve(&[
        "ledger",
        "--owner",
        "accounts \"team\"",
        "--reason",
        "books",
        "--expires",
        "2027-01-31",
        "--no-auth",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let policy = std::fs::read_to_string(place.0.path().join("policy.toml")).unwrap();
    for part in [
        "# ours\n[[approve]] # the old one\n",
        "['10.0.0.0/8'] # all\n",
        "expires = 2027-01-31\n",
        "auth = \"none\"\n",
    ] {
        assert!(policy.contains(part), "{part} is missing from\n{policy}");
    }
    let report = replay(&place, "a.pcap", &["--store", "s.db", "--policy", "policy.toml"]);
    assert_eq!(
        report["servers"][0]["approval"],
        "approve #2: accounts \"team\" — books"
    );
    assert!(found(&report, "unapproved-server").is_empty());
    assert!(stdout(&approve(&["ledger"])).contains("is approved already"));
    assert_eq!(approve(&["ledger", "--expires", "soon"]).status.code(), Some(2));
    assert_eq!(approve(&[]).status.code(), Some(2));

    // What would be wrong is not written.
    place.file("wrong.toml", "[[approve]]\nport = 0\n");
    let output = place.run(&["approve", "ledger", "--policy", "wrong.toml", "--store", "s.db"]);
    assert_eq!(output.status.code(), Some(2));
    // An address that means two servers is not guessed.
    let mut frames = talk::packets(
        &USUAL.script().moved(|ends| Ends {
            server: (ends.server.0, 9000),
            ..ends
        }),
        &PLAIN,
    );
    frames.iter_mut().for_each(|(nanos, _)| *nanos += DAY_NANOS);
    place.file("b.pcap", talk::pcap(&frames));
    replay(&place, "b.pcap", &store);
    let output = approve(&["10.9.0.5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("`10.9.0.5` means 2 servers"),
        "{}",
        stderr(&output)
    );
}
