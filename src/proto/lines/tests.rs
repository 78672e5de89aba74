//! Streams of values written out, and an oracle that splits lines.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use proptest::prelude::*;

use super::{Lines, PROTOCOL, Side};
use crate::model::chunk::{Chunk, Data};
use crate::model::message::{Body, Carrier};
use crate::model::net::Direction::{self, ToClient, ToServer};
use crate::model::stamp::Stamp;
use crate::proto::rpc::Told;
use crate::stream::layer::{Env, Layer, Output, Prefix, Probe, Step, Up};

const MAX_BYTES: usize = 100;

/// Nothing in it is looked at once the layer is open.
fn env() -> Env {
    Env {
        message_max_bytes: MAX_BYTES,
        head_max_bytes: 0,
        inflate_max_bytes: 0,
        keys: None,
        protocols: &[],
    }
}

fn read(midway: bool, chunks: &[(Direction, Data<'_>)]) -> (Vec<String>, Step) {
    let env = env();
    let mut layer = Lines {
        told: Told::new(Carrier::Line, MAX_BYTES),
        sides: [Side::default(), Side::default()],
    };
    if midway {
        layer.midway();
    }
    let (mut told, mut above, mut step) = (Vec::new(), None, Step::Continue);
    for (number, (dir, data)) in (1..).zip(chunks) {
        let mut listener = |output: Output<'_>| {
            if let Output::Message(message) = output {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                told.push(match message.body {
                    Body::Whole(bytes) => format!("{}@{}", text(bytes), message.at.packet),
                    Body::Cut { head, missing } => format!("{} cut {missing}", head.len()),
                    Body::Absent => "absent".to_owned(),
                });
            }
        };
        let at = Stamp {
            packet: number,
            ..Stamp::default()
        };
        let chunk = Chunk {
            at,
            dir: *dir,
            lane: 0,
            data: *data,
        };
        step = layer.push(chunk, &mut Up::new(&env, &mut listener, &mut above));
        if step != Step::Continue {
            break;
        }
    }
    (told, step)
}

fn check(pieces: &[&str], expect: &[&str]) {
    let chunks: Vec<_> = pieces
        .iter()
        .map(|piece| match piece.strip_prefix("GAP ") {
            Some(bytes) => (ToServer, Data::Gap(bytes.parse().unwrap())),
            None => (ToServer, Data::Bytes(piece.as_bytes())),
        })
        .collect();
    let (told, step) = read(false, &chunks);
    assert_eq!(
        (told, step),
        (expect.iter().map(ToString::to_string).collect(), Step::Continue),
        "{pieces:?}"
    );
}

#[test]
fn values_of_any_shape() {
    check(&["{\"a\":1}\n{\"b\"", ":2}\r\n"], &["{\"a\":1}@1", "{\"b\":2}@1"]);
    check(&["\u{feff}[{}]", "{\"a\":\n[1]}"], &["[{}]@1", "{\"a\":\n[1]}@2"]);
    check(
        &["log\n{\"a\":1} tail\n{}", "more {}\n{}"],
        &["{\"a\":1}@1", "{}@1", "{}@2"],
    );
    check(&["{\"a\": \"x\n{\"b\":1}\n"], &["{\"b\":1}@1"]);
    check(&["{\"a\": [1,\n", "2\n{\"b\":1}\n"], &["{\"b\":1}@2"]);
    check(&["[2026-11-28] {\n{}"], &["{}@1"]);
}

#[test]
fn bounds_and_gaps() {
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
    check(&[&long, "\n{}"], &["100 cut 8", "{}@2"]);
    check(&[&long[..50], &long[50..], "{}"], &["100 cut 8", "{}@3"]);
    check(&[&long[..105], &long[105..], "{}"], &["100 cut 0", "{}@3"]);
    check(&["{\"a\":", "GAP 9", "1}\n{}"], &["5 cut 0", "{}@3"]);
    check(&["{}\n", "GAP 9", "{\"jsonrpc\":1}"], &["{}@1", "{\"jsonrpc\":1}@3"]);
    check(&["{}\n", "GAP 9", "{\"text\":1}\n{}"], &["{}@1", "{}@3"]);
}

/// A body of HTTP whose head was not captured looks like a line, and what follows it does not.
#[test]
fn joined_midway() {
    let bytes = |dir, text: &'static str| (dir, Data::Bytes(text.as_bytes()));
    let talk = [
        bytes(ToClient, "{\"id\":1}\n"),
        bytes(ToServer, "{\"id\":2}\n"),
        bytes(ToClient, "{\"id\":2}\n{\"id\":3}"),
    ];
    let (told, step) = read(true, &talk);
    assert_eq!(told, ["{\"id\":1}@1", "{\"id\":2}@2", "{\"id\":2}@3", "{\"id\":3}@3"]);
    assert_eq!(step, Step::Continue);
    for other in [
        bytes(ToClient, "\nHTTP/1.1 200 OK\r\n"),
        (ToServer, Data::Gap(1)),
        bytes(ToServer, "{\""),
    ] {
        let (told, step) = read(true, &[talk[0], other, bytes(ToServer, "POST /mcp HTTP/1.1\r\n")]);
        assert_eq!((told.len(), step), (0, Step::Desync), "{other:?}");
    }
    assert_eq!(read(true, &[talk[0], (ToClient, Data::End)]), (vec![], Step::Continue));
    // One to each side, and no more: lines, where both have ended.
    let both = [talk[0], talk[1], (ToClient, Data::End)];
    assert_eq!(read(true, &both).0, ["{\"id\":1}@1", "{\"id\":2}@2"]);
    let open = [talk[0], bytes(ToServer, "{\"id\":2}"), (ToServer, Data::End)];
    assert_eq!(read(true, &open).0, [""; 0]);
}

#[test]
fn a_long_first_message_joined_midway() {
    let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(MAX_BYTES));
    for pieces in [&[&long[..], "{}"][..], &[&long[..50], &long[50..], "{}"]] {
        let chunks: Vec<_> = pieces
            .iter()
            .map(|text| (ToServer, Data::Bytes(text.as_bytes())))
            .collect();
        assert_eq!(
            read(true, &chunks).0,
            [format!("{MAX_BYTES} cut 8"), format!("{{}}@{}", pieces.len())]
        );
    }
}

#[test]
fn probes() {
    let ask = |to_server: &str, to_client: &str, from_start| {
        (PROTOCOL.probe)(&Prefix {
            bytes: [to_server.as_bytes(), to_client.as_bytes()],
            from_start,
            ports: [40_000, 9000],
        })
    };
    let yes = |server| Probe::Yes { server };
    let initialize = r#"{"method":"initialize","params":{},"jsonrpc":"2.0","id":0}"#;
    for start in [true, false] {
        assert_eq!(ask(initialize, "", start), yes(Some(ToClient)));
        assert_eq!(ask("", initialize, start), yes(Some(ToServer)));
        assert_eq!(ask("", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, start), yes(None));
        assert_eq!(
            ask(r#"{"id":1,"method":"mining.subscribe","params":[]}"#, "", start),
            Probe::No
        );
        assert_eq!(ask("GET / HTTP/1.1\r\n", "", start), Probe::No);
        assert_eq!(ask("{\"me", "", start), Probe::More);
    }
    assert_eq!(ask("", "220 mail.test ESMTP\r\n", true), Probe::More);
    assert_eq!(ask("EHLO a\r\n", "220 mail.test ESMTP\r\n", true), Probe::No);
    assert_eq!(ask("", "220 mail.test ESMTP\r\n", false), Probe::No);
    assert_eq!(ask("", "\u{0}\u{1}binary", true), Probe::No);
    assert_eq!(ask(initialize, "ready\n", true), yes(Some(ToClient)));
    assert_eq!(ask("", &format!("ready\n{initialize}"), true), yes(Some(ToServer)));
}

proptest! {
    /// The oracle reads lines: what is JSON is told, in order, however the bytes are cut.
    #[test]
    fn lines_in_any_pieces(
        lines in prop::collection::vec(prop_oneof![
            r#"\{"a":"[a-z{}\[\], ]{0,20}"\}"#.prop_map(|text| (text, true)),
            r#"\[\{"a":[0-9]{1,9}\}\]"#.prop_map(|text| (text, true)),
            "[a-z0-9: ]{0,20}".prop_map(|text| (text, false)),
            r"\[[A-Z]{4}\] [a-z \{\}]{0,9}".prop_map(|text| (text, false)),
        ], 1..12),
        sizes in prop::collection::vec(1_usize..40, 1..20),
        windows: bool,
    ) {
        let end = if windows { "\r\n" } else { "\n" };
        let wire: String = lines.iter().flat_map(|(line, _)| [line.as_str(), end]).collect();
        let expect: Vec<_> = lines.iter().filter(|(_, json)| *json).map(|(line, _)| line.clone()).collect();
        let (mut rest, mut chunks) = (wire.as_bytes(), Vec::new());
        for size in sizes.iter().cycle() {
            let (head, tail) = rest.split_at((*size).min(rest.len()));
            chunks.push((ToServer, Data::Bytes(head)));
            rest = tail;
            if rest.is_empty() { break; }
        }
        let (told, step) = read(false, &chunks);
        let told: Vec<_> = told.iter().map(|line| line.rsplit_once('@').unwrap().0.to_owned()).collect();
        prop_assert_eq!((told, step), (expect, Step::Continue));
    }
}
