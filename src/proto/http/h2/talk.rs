//! Test support: frames, heads without compression, and a layer that is driven with them.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::PROTOCOL;
use super::frame::PREFACE;
use crate::model::chunk::Data;
use crate::model::net::Direction::{self, ToClient, ToServer};
use crate::proto::http::h1::talk::{env, line, listen};
use crate::stream::layer::Step;

/// Settings of a server: at most 100 streams.
pub(super) const SETTINGS: &[u8] = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64";
/// Their acknowledgement.
pub(super) const ACK: &[u8] = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// Literal fields, none of which is inserted.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            match text.len() {
                short @ ..127 => out.push(short as u8),
                long @ 127..255 => out.extend([127, (long - 127) as u8]),
                long => out.extend([127, ((long - 127) % 128) as u8 | 128, ((long - 127) / 128) as u8]),
            }
            out.extend(text.bytes());
        }
    }
    out
}

pub(super) fn head_frame(stream: u32, ends: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, 4 | u8::from(ends), stream, &block(fields))
}

pub(super) fn data_frame(stream: u32, ends: bool, data: &[u8]) -> Vec<u8> {
    frame(0, u8::from(ends), stream, data)
}

/// A request for `/n` with a JSON body.
pub(super) fn post(stream: u32, body: &str) -> Vec<u8> {
    let path = format!("/{stream}");
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", &*path),
        (":authority", "h"),
        ("content-type", "application/json"),
    ];
    [
        head_frame(stream, false, &fields),
        data_frame(stream, true, body.as_bytes()),
    ]
    .concat()
}

/// An answer with a JSON body.
pub(super) fn json(stream: u32, body: &str) -> Vec<u8> {
    let fields = [(":status", "200"), ("content-type", "application/json")];
    [
        head_frame(stream, false, &fields),
        data_frame(stream, true, body.as_bytes()),
    ]
    .concat()
}

/// What comes before the first request: preface and settings of both sides.
pub(super) fn opening() -> Vec<(Direction, Vec<u8>)> {
    vec![
        (
            ToServer,
            [PREFACE, &frame(4, 0, 0, b""), &frame(8, 0, 0, &[0, 1, 0, 0])].concat(),
        ),
        (ToClient, [SETTINGS, ACK].concat()),
        (ToServer, ACK.to_vec()),
    ]
}

/// What a connection tells, one line a message.
pub(super) fn run(chunks: &[(Direction, Data<'_>)]) -> (Vec<String>, Step) {
    let (told, step) = listen(&mut *(PROTOCOL.open)(&env()), chunks);
    (told.iter().map(line).collect(), step)
}

/// As [`run`], behind the opening, for bytes alone.
pub(super) fn told(talk: &[(Direction, Vec<u8>)]) -> Vec<String> {
    let all = [opening(), talk.to_vec()].concat();
    let chunks: Vec<_> = all.iter().map(|(dir, bytes)| (*dir, Data::Bytes(bytes))).collect();
    let (told, step) = run(&chunks);
    assert_eq!(step, Step::Continue);
    told
}
