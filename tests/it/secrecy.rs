//! No secret that was on the wire is in anything that leaves: reports in every format, the store, standard error.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shadowtap::model::packet::Packet;
use shadowtap::packet::{Checksums, Config, Decoder};
use shadowtap::source::{Pull, open_file};

use crate::cli::Place;
use crate::run;

/// What each direction of each connection of a capture sent, as text; also with JSON's escapes undone, twice.
fn texts(capture: &str) -> Vec<String> {
    let mut source = open_file(run::folder(capture).to_str().unwrap(), 0).unwrap();
    let mut streams: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    let mut decoder = Decoder::new(&Config::default(), Checksums::Ignore);
    loop {
        match source.pull() {
            Pull::Packet(raw) => {
                if let Ok(Packet::Tcp(segment)) = decoder.decode(&raw).map(|decoded| decoded.packet) {
                    streams
                        .entry((segment.src, segment.dst))
                        .or_default()
                        .extend(segment.payload);
                }
            }
            Pull::End => break,
            other => panic!("{other:?}"),
        }
    }
    let unescaped = |text: &str| text.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\");
    let plain: Vec<String> = streams
        .values()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    let once: Vec<String> = plain.iter().map(|text| unescaped(text)).collect();
    let twice: Vec<String> = once.iter().map(|text| unescaped(text)).collect();
    [plain, once, twice].concat()
}

fn hex_of(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// The planted value that a label knows by length and hash only.
fn planted(label: &Value, texts: &[String]) -> Option<String> {
    let masked = label["masked"].as_str()?;
    let length: usize = masked.rsplit_once('(')?.1.split(' ').next()?.parse().ok()?;
    let head: String = masked.chars().take_while(|c| *c != '…').collect();
    let hash = label["sha256"].as_str()?;
    texts.iter().find_map(|text| {
        let starts = text.match_indices(&head).map(|(at, _)| at);
        let values = starts.filter_map(|at| text.get(at..at + length));
        values
            .into_iter()
            .find(|value| hex_of(value) == hash)
            .map(str::to_owned)
    })
}

/// Pieces of a value that must not be seen: all of it, and of a long one every run of so many characters.
fn pieces(value: &str) -> Vec<String> {
    const RUN: usize = 16;
    let chars: Vec<char> = value.chars().collect();
    if chars.len() < 2 * RUN {
        return vec![value.to_owned()];
    }
    chars.windows(RUN).map(|run| run.iter().collect()).collect()
}

/// Everything that leaves for a capture, by name.
fn artefacts(capture: &str) -> Vec<(String, Vec<u8>)> {
    let place = Place::new();
    let path = run::folder(capture);
    let mut found = Vec::new();
    for format in ["table", "json", "ndjson", "csv"] {
        let output = place.run(&["replay", path.to_str().unwrap(), "--store", "s.db", "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        found.push((format!("replay, {format}"), output.stdout));
        found.push((format!("replay, {format}, standard error"), output.stderr));
        for word in [
            "servers", "clients", "tools", "findings", "lookups", "sessions", "timeline", "drift", "captures",
        ] {
            let output = place.run(&["report", word, "--store", "s.db", "--format", format]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            found.push((format!("report {word}, {format}"), output.stdout));
        }
    }
    for entry in std::fs::read_dir(place.0.path()).unwrap() {
        let path = entry.unwrap().path();
        found.push((path.display().to_string(), std::fs::read(path).unwrap()));
    }
    found
}

fn assert_absent(secrets: &[String], artefacts: &[(String, Vec<u8>)]) {
    for (name, bytes) in artefacts {
        let text = String::from_utf8_lossy(bytes);
        for secret in secrets {
            let escaped = secret.replace('\n', "\\n");
            for piece in pieces(secret).into_iter().chain(pieces(&escaped)) {
                assert!(!text.contains(&piece), "{name} holds {piece:?}");
            }
        }
    }
}

#[test]
fn no_planted_secret_leaves() {
    let label: Value =
        serde_json::from_slice(&std::fs::read(run::folder("tests/truth/secrets_in_transit.json")).unwrap()).unwrap();
    let capture = "pcaps/secrets_in_transit.pcap";
    let texts = texts(capture);
    let labels: Vec<&Value> = label["expect_findings"].as_array().unwrap().iter().collect();
    let secrets: Vec<String> = labels
        .iter()
        .map(|label| planted(label, &texts).unwrap_or_else(|| panic!("not in the capture: {label}")))
        .collect();
    assert!(secrets.len() > 14);
    let artefacts = artefacts(capture);
    // What is looked through is not empty, and does show the findings.
    let shown = artefacts
        .iter()
        .filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains("sec-slack-token"));
    assert!(shown.count() > 4, "the artefacts show no finding");
    assert_absent(&secrets, &artefacts);
}

#[test]
fn no_session_id_leaves() {
    for (capture, mark) in [
        ("pcaps/py_streamable_stateful.pcap", "mcp-session-id: "),
        ("pcaps/fastmcp_legacy_sse.pcap", "session_id="),
        ("pcaps/everything_sse.pcap", "sessionId="),
    ] {
        let mut ids: Vec<String> = texts(capture)
            .iter()
            .flat_map(|text| {
                text.split(mark)
                    .skip(1)
                    .map(|rest| {
                        rest.chars()
                            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                            .collect()
                    })
                    .collect::<Vec<String>>()
            })
            .collect();
        ids.sort();
        ids.dedup();
        assert!(
            !ids.is_empty() && ids.iter().all(|id| id.len() >= 20),
            "{capture}: {ids:?}"
        );
        assert_absent(&ids, &artefacts(capture));
    }
}
