//! Conversations out of random choices, with what must be told of them by rules of their own: interleaved at will, in any
//! split, with losses, and turned into nonsense.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use proptest::prelude::*;

use super::talk::{data_frame, frame, head_frame, opening, run};
use crate::model::chunk::Data;
use crate::model::net::Direction::{self, ToClient, ToServer};
use crate::stream::layer::Step;

/// Choices for one stream: one byte each.
type Choices = [u8; 8];

/// A stream: the frames of each direction, and what must be told of them.
struct Stream {
    requests: Vec<Vec<u8>>,
    responses: Vec<Vec<u8>>,
    expect: [String; 2],
}

/// What is sent, and whether all of it is JSON-RPC.
fn content(choice: u8, id: u32, fill: u8) -> (&'static str, String, bool) {
    let fill = "z".repeat(usize::from(fill));
    match choice % 3 {
        0 => (
            "application/json",
            format!(r#"{{"jsonrpc":"2.0","id":{id},"x":"{fill}"}}"#),
            true,
        ),
        1 => ("text/html", format!("<p>{id} {fill}"), false),
        _ => (
            "application/json",
            format!(r#"{{"jsonrpc":"2.0","result":"{id}{fill}"}}"#),
            true,
        ),
    }
}

fn frames(id: u32, fields: &[(&str, &str)], text: &str, choices: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let block = super::talk::block(fields);
    match choices[0] % 3 {
        0 => out.push(head_frame(id, text.is_empty(), fields)),
        1 => {
            let (first, rest) = block.split_at(usize::from(choices[1]) % block.len());
            // No other frame may come between these.
            out.push([frame(1, u8::from(text.is_empty()), id, first), frame(9, 4, id, rest)].concat());
        }
        _ => {
            let padded = [&[4][..], &block, &[0; 4]].concat();
            out.push(frame(1, 0xc | u8::from(text.is_empty()), id, &padded));
        }
    }
    let size = usize::from(choices[1]) + 1;
    let pieces = text.as_bytes().chunks(size).count();
    let extra = choices[2].is_multiple_of(2);
    for (at, piece) in text.as_bytes().chunks(size).enumerate() {
        let last = at + 1 == pieces && !extra;
        if choices[2].is_multiple_of(3) {
            out.push(frame(0, 8 | u8::from(last), id, &[&[3][..], piece, &[0; 3]].concat()));
        } else {
            out.push(data_frame(id, last, piece));
        }
    }
    if extra && !text.is_empty() {
        out.push(if choices[2].is_multiple_of(4) {
            head_frame(id, true, &[("x-trailer", "1")])
        } else {
            data_frame(id, true, b"")
        });
    }
    out
}

impl Stream {
    fn new(id: u32, choices: Choices) -> Self {
        let path = format!("/{id}");
        let (kind, text, rpc) = content(choices[0], id, choices[1]);
        let fields = [(":method", "POST"), (":path", &*path), ("content-type", kind)];
        let requests = frames(id, &fields, &text, &choices[2..]);
        let body = |text: &str, rpc| if rpc { format!("whole {text}") } else { "absent".into() };
        let asked = format!("> Post /{id} ? | http | {}", body(&text, rpc));
        let (kind, text, rpc) = content(choices[5], id, choices[6]);
        let fields = [(":status", "200"), ("content-type", kind)];
        let responses = frames(id, &fields, &text, &choices[4..]);
        let answered = format!("< Post /{id} ? | http | {}", body(&text, rpc));
        Self {
            requests,
            responses,
            expect: [asked, answered],
        }
    }
}

/// The frames of all streams in a random order that keeps that of each direction of each stream.
fn interleaved(streams: &[Stream], mut luck: impl FnMut() -> usize) -> Vec<(Direction, Vec<u8>)> {
    let mut at = vec![[0_usize; 2]; streams.len()];
    let mut out = Vec::new();
    // Streams are opened in the order of their numbers.
    let mut opened = 0;
    loop {
        let mut ways = Vec::new();
        for (index, stream) in streams.iter().enumerate() {
            if at[index][0] < stream.requests.len() && index <= opened {
                ways.push((index, 0));
            }
            if at[index][1] < stream.responses.len() && at[index][0] > 0 {
                ways.push((index, 1));
            }
        }
        let Some((index, way)) = ways.get(luck() % ways.len().max(1)).copied() else {
            return out;
        };
        let stream = &streams[index];
        let (dir, frames) = [(ToServer, &stream.requests), (ToClient, &stream.responses)][way];
        out.push((dir, frames[at[index][way]].clone()));
        at[index][way] += 1;
        opened = opened.max(index + usize::from(way == 0));
    }
}

/// Joins what goes the same way, then cuts it anew.
fn split(talk: &[(Direction, Vec<u8>)], mut size: impl FnMut() -> usize) -> Vec<(Direction, Vec<u8>)> {
    let mut joined: Vec<(Direction, Vec<u8>)> = Vec::new();
    for (dir, bytes) in talk {
        match joined.last_mut() {
            Some((last, all)) if last == dir => all.extend(bytes),
            _ => joined.push((*dir, bytes.clone())),
        }
    }
    let mut out = Vec::new();
    for (dir, bytes) in joined {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((1 + size()).min(rest.len()));
            out.push((dir, piece.to_vec()));
            rest = behind;
        }
    }
    out
}

fn luck(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 8) as usize
    }
}

/// What is told, without the status: a response may overtake the end of its request.
fn lines(talk: &[(Direction, Vec<u8>)]) -> (Vec<String>, Step) {
    let chunks: Vec<_> = talk.iter().map(|(dir, bytes)| (*dir, Data::Bytes(bytes))).collect();
    let (told, step) = run(&chunks);
    let plain = |line: String| line.replace(" 200 |", " ? |").replace(" 0 |", " ? |");
    (told.into_iter().map(plain).collect(), step)
}

fn streams(choices: &[Choices]) -> Vec<Stream> {
    (0..)
        .zip(choices)
        .map(|(at, choices)| Stream::new(2 * at + 1, *choices))
        .collect()
}

proptest! {
    #[test]
    fn all_is_told_in_any_order_and_split(
        choices in proptest::collection::vec(any::<Choices>(), 1..12),
        seed in any::<u64>(),
        size in 1..400_usize,
    ) {
        let streams = streams(&choices);
        let talk = [opening(), interleaved(&streams, luck(seed))].concat();
        let whole = lines(&talk);
        let mut sorted = whole.0.clone();
        sorted.sort();
        let mut expect: Vec<String> = streams.iter().flat_map(|stream| stream.expect.clone()).collect();
        expect.sort();
        prop_assert_eq!(sorted, expect);
        prop_assert_eq!(whole.1, Step::Continue);
        let mut luck = luck(seed);
        prop_assert_eq!(lines(&split(&talk, || luck() % size)), whole);
    }

    /// Whatever is lost, what is told whole was sent, and nothing panics.
    #[test]
    fn losses_tell_nothing_wrong(
        choices in proptest::collection::vec(any::<Choices>(), 1..12),
        seed in any::<u64>(),
    ) {
        let streams = streams(&choices);
        let sent: Vec<String> = streams.iter().flat_map(|stream| stream.expect.clone()).collect();
        let mut luck = luck(seed);
        let talk = split(&interleaved(&streams, &mut luck), &mut luck);
        let mut small = self::luck(seed);
        let talk = split(&[opening(), talk].concat(), || small() % 300);
        let chunks: Vec<_> = talk
            .iter()
            .map(|(dir, bytes)| {
                let lost = luck().is_multiple_of(12);
                (*dir, if lost { Data::Gap(bytes.len() as u64) } else { Data::Bytes(bytes) })
            })
            .collect();
        for line in run(&chunks).0 {
            let Some((_, whole)) = line.split_once("| whole ") else { continue };
            prop_assert!(sent.iter().any(|sent| sent.ends_with(whole)), "{line}");
        }
    }

    #[test]
    fn nonsense_never_panics(
        choices in proptest::collection::vec(any::<Choices>(), 1..6),
        seed in any::<u64>(),
        places in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..20),
    ) {
        let mut talk = [opening(), interleaved(&streams(&choices), luck(seed))].concat();
        for (place, byte) in places {
            let turn = place % talk.len();
            let bytes = &mut talk[turn].1;
            let at = place / 7 % bytes.len();
            bytes[at] = byte;
        }
        lines(&talk);
    }
}
