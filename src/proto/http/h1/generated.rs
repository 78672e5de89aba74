//! Conversations out of random choices, with what must be told of them by rules of their own: in any split, with gaps,
//! and turned into nonsense.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::PROTOCOL;
use super::talk::{env, listen, run};
use crate::model::chunk::Data;
use crate::model::net::Direction::{self, ToClient, ToServer};
use crate::stream::layer::Step;

const RPC: &str = r#"{"jsonrpc":"2.0","id":1}"#;

/// A stretch of bytes in one direction.
type Unit = (Direction, Vec<u8>);

/// A conversation out of choices, and what must be told of it, by rules of its own.
#[derive(Default)]
struct Script {
    units: Vec<Unit>,
    expect: Vec<String>,
    /// Every body and event that was sent.
    sent: String,
    /// Whether the connection has shown JSON-RPC.
    rpc: bool,
}

/// Choices for one transaction: one byte each.
type Choices = [u8; 12];

/// A body and whether it is `(JSON-RPC, JSON, events)`.
fn content(choice: u8, number: usize, fill: usize) -> (&'static str, String) {
    let fill = "z".repeat(fill);
    match choice % 5 {
        0 => (
            "application/json",
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"x\":\"{fill}\"}}"),
        ),
        1 => (
            "application/json; charset=utf-8",
            format!("{{\"name\":{number},\"x\":\"{fill}\"}}"),
        ),
        2 => ("text/html", format!("<p>{number} jsonrpc {fill}</p>")),
        3 => (
            "text/event-stream",
            format!(": hi\n\nevent: e{number}\r\ndata: {{\"n\":{number}}}\r\n\r\ndata: {fill}\ndata: 2\n\n"),
        ),
        _ => ("text/plain", format!(" [{{\"id\":{number}}}]{fill}")),
    }
}

fn framed(kind: &str, text: &[u8], choice: u8, zip: bool) -> (String, Vec<u8>) {
    let mut head = format!("Content-Type: {kind}\r\n");
    let mut text = text.to_vec();
    if zip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).unwrap();
        text = encoder.finish().unwrap();
        head += "Content-Encoding: gzip\r\n";
    }
    if choice.is_multiple_of(3) {
        return (format!("{head}content-length: {}\r\n", text.len()), text);
    }
    head += "Transfer-Encoding: chunked\r\n";
    let mut body = Vec::new();
    for piece in text.chunks(usize::from(choice) + 1) {
        write!(
            body,
            "{:x}{}\r\n",
            piece.len(),
            if choice.is_multiple_of(2) { "" } else { ";x=y" }
        )
        .unwrap();
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(if choice.is_multiple_of(2) {
        b"0\r\n\r\n"
    } else {
        b"0\r\nX-Sum: 1\r\n\r\n"
    });
    (head, body)
}

impl Script {
    fn request(&mut self, number: usize, choices: Choices) -> Asked {
        // A method that nobody registered is only believed with its whole line, so it cannot be the first one split.
        let method = usize::from(choices[0] % if number == 0 { 4 } else { 5 });
        let name = ["Post", "Get", "Head", "Delete", "Other"][method];
        let method = ["POST", "GET", "HEAD", "DELETE", "FOO"][method];
        let (kind, text) = content(choices[1], number, usize::from(choices[2]));
        let has_body = method == "POST" || choices[3].is_multiple_of(4);
        let zip = choices[3] % 3 == 1;
        let marked = choices[4].is_multiple_of(3);
        let (mut fields, body) = if has_body {
            framed(kind, text.as_bytes(), choices[5], zip)
        } else {
            (String::new(), vec![])
        };
        if marked {
            fields += "Mcp-Session-Id: s\r\n";
        }
        let head = format!("{method} /{number} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
        self.sent += &format!("<{text}>");
        let text = (has_body && !kind.contains("event")).then_some((kind, text));
        Asked {
            heads: format!("{name} /{number}"),
            head,
            body,
            text,
            zip,
            marked,
            is_head: method == "HEAD",
            candidate: false,
        }
    }

    /// What a body gives, and whether it makes the connection one that has shown JSON-RPC.
    fn body(&mut self, text: Option<&(&str, String)>, zip: bool, candidate: bool) -> String {
        let Some((kind, text)) = text else {
            return "absent".into();
        };
        if kind.contains("html") || (zip && !candidate) {
            return "absent".into();
        }
        let rpc = text.contains("jsonrpc");
        self.rpc |= rpc;
        if rpc || candidate {
            format!("whole {text}")
        } else {
            "absent".into()
        }
    }

    fn request_head(&mut self, asked: &mut Asked) {
        asked.candidate = self.rpc || asked.marked;
        self.units.push((ToServer, asked.head.clone()));
    }

    fn request_body(&mut self, asked: &mut Asked, status: u16) {
        self.units.push((ToServer, asked.body.clone()));
        let before = self.rpc;
        let body = self.body(asked.text.as_ref(), asked.zip, asked.candidate);
        asked.candidate |= self.rpc && !before;
        self.expect.push(format!("> {} {status} | http | {body}", asked.heads));
    }

    fn response(&mut self, number: usize, asked: &Asked, choices: Choices, last: bool) -> u16 {
        let status = [200, 200, 202, 404, 204, 304][usize::from(choices[6] % 6)];
        let (kind, text) = content(choices[7], number + 100, usize::from(choices[8]));
        let fill = "z".repeat(usize::from(choices[8]));
        self.sent += &format!("<{text}><{{\"n\":{}}}><{fill}\n2>", number + 100);
        let zip = choices[9] % 3 == 1;
        let candidate = self.rpc || asked.candidate;
        let (mut fields, mut body) = framed(kind, text.as_bytes(), choices[10], zip);
        let mut end = false;
        if last && choices[11].is_multiple_of(2) && !zip {
            (fields, body, end) = (format!("Content-Type: {kind}\r\n"), text.clone().into_bytes(), true);
        }
        let mut unit = String::new();
        if choices[11].is_multiple_of(3) {
            unit += "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        }
        unit += &format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
        let mut unit = unit.into_bytes();
        let heads = format!("< {} {status}", asked.heads);
        if asked.is_head || matches!(status, 204 | 304) {
            self.expect.push(format!("{heads} | http | absent"));
        } else {
            unit.extend_from_slice(&body);
            if kind.contains("event") {
                let number = number + 100;
                self.expect.push(format!("{heads} | http | absent"));
                self.expect
                    .push(format!("{heads} | e{number} | whole {{\"n\":{number}}}"));
                self.expect.push(format!("{heads} | message | whole {fill}\n2"));
            } else {
                let body = self.body(Some(&(kind, text)), zip, candidate);
                self.expect.push(format!("{heads} | http | {body}"));
            }
        }
        self.units.push((ToClient, unit));
        if end {
            self.units.push((ToClient, vec![]));
        }
        status
    }

    /// Requests may be sent before earlier ones are answered, and answered before they are complete.
    fn of(all: &[Choices]) -> Self {
        let mut script = Self::default();
        let mut waiting: Vec<(usize, Asked)> = Vec::new();
        for (number, choices) in all.iter().enumerate() {
            let last = number + 1 == all.len();
            let mut asked = script.request(number, *choices);
            script.request_head(&mut asked);
            let early = waiting.is_empty() && !asked.body.is_empty() && choices[11] % 5 == 1;
            if early {
                let status = script.response(number, &asked, *choices, last);
                script.request_body(&mut asked, status);
                continue;
            }
            script.request_body(&mut asked, 0);
            waiting.push((number, asked));
            if last || choices[11] % 4 != 2 {
                let count = waiting.len();
                for (at, (number, asked)) in waiting.drain(..).enumerate() {
                    script.response(number, &asked, all[number], last && at + 1 == count);
                }
            }
        }
        script
    }

    /// Neighbouring stretches of one direction in one piece; an empty stretch is the end of its direction.
    fn chunks(&self) -> Vec<Unit> {
        let mut runs: Vec<Unit> = Vec::new();
        for (dir, bytes) in &self.units {
            match runs.last_mut() {
                Some((last, run)) if last == dir && !(*dir == ToClient && bytes.is_empty()) => {
                    run.extend_from_slice(bytes);
                }
                _ => runs.push((*dir, bytes.clone())),
            }
        }
        runs.retain(|(dir, run)| *dir == ToClient || !run.is_empty());
        runs
    }
}

struct Asked {
    heads: String,
    head: Vec<u8>,
    body: Vec<u8>,
    text: Option<(&'static str, String)>,
    zip: bool,
    marked: bool,
    is_head: bool,
    candidate: bool,
}

/// As packets: each stretch cut at the places that `cuts` choose.
fn packets<'a>(units: &'a [Unit], cuts: &[usize]) -> Vec<(Direction, Data<'a>)> {
    let mut packets = Vec::new();
    let mut cuts = cuts.iter().cycle();
    for (dir, bytes) in units {
        if bytes.is_empty() {
            packets.push((*dir, Data::End));
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let take = cuts.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
            packets.push((*dir, Data::Bytes(&rest[..take])));
            rest = &rest[take..];
        }
    }
    packets
}

/// Replaces `len` bytes of one direction from `from` on by a gap.
fn with_gap<'a>(
    packets: &[(Direction, Data<'a>)],
    dir: Direction,
    from: usize,
    len: usize,
) -> Vec<(Direction, Data<'a>)> {
    let (mut damaged, mut at, mut missing) = (Vec::new(), 0, 0u64);
    for (way, data) in packets {
        let Data::Bytes(bytes) = data else {
            if *way == dir && missing > 0 {
                damaged.push((dir, Data::Gap(std::mem::take(&mut missing))));
            }
            damaged.push((*way, *data));
            continue;
        };
        if *way != dir {
            damaged.push((*way, *data));
            continue;
        }
        let begin = from.saturating_sub(at).min(bytes.len());
        let end = (from + len).saturating_sub(at).min(bytes.len());
        at += bytes.len();
        if begin > 0 {
            damaged.push((dir, Data::Bytes(&bytes[..begin])));
        }
        missing += (end - begin) as u64;
        if end < bytes.len() {
            if missing > 0 {
                damaged.push((dir, Data::Gap(missing)));
                missing = 0;
            }
            damaged.push((dir, Data::Bytes(&bytes[end..])));
        }
    }
    damaged
}

/// Goes on with a new layer where one lost step, as a stream does.
fn resumed(mut packets: &[(Direction, Data<'_>)]) -> Vec<String> {
    let mut all = Vec::new();
    while !packets.is_empty() {
        let mut layer = (PROTOCOL.open)(&env());
        let mut step = Step::Continue;
        while let (Step::Continue, [packet, rest @ ..]) = (step, packets) {
            let (told, now) = listen(&mut *layer, &[*packet]);
            all.extend(told.iter().map(|told| format!("{} {}", told.carrier, told.body)));
            (step, packets) = (now, rest);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_tells_the_same(
        choices in prop::collection::vec(any::<Choices>(), 1..6),
        cuts in prop::collection::vec(1usize..300, 1..20),
    ) {
        let script = Script::of(&choices);
        let units = script.chunks();
        for cuts in [&[usize::MAX][..], &[1], &cuts] {
            let (told, step) = run(&packets(&units, cuts));
            prop_assert_eq!(step, Step::Continue);
            prop_assert_eq!(&told, &script.expect);
        }
    }

    #[test]
    fn a_gap_never_makes_up_a_message(
        choices in prop::collection::vec(any::<Choices>(), 1..5),
        cuts in prop::collection::vec(1usize..300, 1..20),
        to_server: bool,
        from in 0usize..3000,
        len in 1usize..400,
    ) {
        let script = Script::of(&choices);
        let units = script.chunks();
        let dir = if to_server { ToServer } else { ToClient };
        for told in resumed(&with_gap(&packets(&units, &cuts), dir, from, len)) {
            let (carrier, body) = told.split_once(' ').unwrap();
            // Joined midway, the second line of an event may pass for its first.
            let whole = body.strip_prefix("whole ").unwrap_or_default();
            let whole = if carrier == "http" { format!("<{whole}>") } else { whole.to_owned() };
            prop_assert!(!body.starts_with("whole ") || script.sent.contains(&whole), "{}", body);
        }
    }

    #[test]
    fn what_follows_a_gap_is_found_again(choices: Choices, dir: bool, from in 0usize..2000, len in 1usize..300) {
        let mut choices = choices;
        choices[11] |= 1; // No body until close: nothing follows one.
        let script = Script::of(&[choices]);
        let mut units = script.chunks();
        let dir = if dir { ToServer } else { ToClient };
        let size: usize = units.iter().filter(|(way, _)| *way == dir).map(|(_, bytes)| bytes.len()).sum();
        let (from, len) = (from.min(size - 1), len.min(size - from.min(size - 1)));
        let post = format!("POST /z HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{RPC}", RPC.len());
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{RPC}", RPC.len());
        // Twice: the first may be used up to notice that step was lost.
        for _ in 0..2 {
            units.push((ToServer, post.clone().into_bytes()));
            units.push((ToClient, answer.clone().into_bytes()));
        }
        let packets = with_gap(&packets(&units, &[usize::MAX]), dir, from, len);
        let told = resumed(&packets);
        let expect = format!("http whole {RPC}");
        prop_assert!(told.iter().rev().take(2).filter(|told| **told == expect).count() == 2, "{:?}", told);
    }

    #[test]
    fn nonsense_does_not_panic(
        choices in prop::collection::vec(any::<Choices>(), 1..4),
        flips in prop::collection::vec((0usize..4000, any::<u8>()), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..64),
        cuts in prop::collection::vec(1usize..300, 1..20),
    ) {
        let mut units = Script::of(&choices).chunks();
        units.push((ToServer, noise.clone()));
        units.push((ToClient, noise));
        for (at, byte) in flips {
            let count = units.len();
            let bytes = &mut units[at % count].1;
            let len = bytes.len();
            if let Some(place) = bytes.get_mut(at % len.max(1)) {
                *place = byte;
            }
        }
        resumed(&packets(&units, &cuts));
    }
}
