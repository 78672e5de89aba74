//! An event stream without a head: the capture, or the stream after a loss, begins in the middle of a response.
//!
//! Chunk framing is followed from the first size line that is met where an event may begin. Until then, and after a
//! loss, the bytes are read as plain lines: the size lines in between are unknown fields to an event stream.
//! What the client sends is not read; when it begins a new request, the stream is unknown again.

use super::Limits;
use super::body::Said;
use super::h1::chunked::{Chunked, Piece, size_line};
use super::h1::probe::{Looks, request_line, status_line};
use super::sse::Sse;
use crate::model::chunk::{Chunk, Data};
use crate::model::message::{Carrier, Message};
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::stream::layer::{Layer, Prefix, Probe, Protocol, Step, Up};

/// Row of the protocol table, for streams that are joined midway.
pub const PROTOCOL: Protocol = Protocol {
    name: "event stream",
    transport: Transport::Tcp,
    probe,
    open: |env| {
        Box::new(EventStream {
            sse: Sse::new(Limits::of(env).message_max_bytes),
            chunked: None,
        })
    },
};

/// Fields that an event or a chunk begins with.
const FIELDS: [&[u8]; 7] = [b"data: ", b"data:{", b"data:[", b"event:", b"id:", b": ", b":\r\n"];

fn probe(prefix: &Prefix<'_>) -> Probe {
    if prefix.from_start {
        return Probe::No;
    }
    let mut short = prefix.is_silent();
    for dir in [Direction::ToClient, Direction::ToServer] {
        match prefix.bytes.get(dir.index()).map(|bytes| looks(bytes)) {
            Some(Looks::Like) => return Probe::Yes { server: Some(dir) },
            Some(Looks::Short) => short = true,
            _ => {}
        }
    }
    if short { Probe::More } else { Probe::No }
}

/// Whether bytes begin an event, with or without a chunk's size line before it.
pub(super) fn looks(bytes: &[u8]) -> Looks {
    if bytes.is_empty() {
        return Looks::Unlike;
    }
    let field = match size_line(bytes) {
        None => return Looks::Short,
        Some(None) => bytes,
        Some(Some(data)) => bytes.get(data..).unwrap_or_default(),
    };
    if FIELDS.iter().any(|known| field.starts_with(known)) {
        Looks::Like
    } else if FIELDS.iter().any(|known| known.starts_with(field)) {
        Looks::Short
    } else {
        Looks::Unlike
    }
}

struct EventStream {
    sse: Sse,
    /// `None` while no size line was met.
    chunked: Option<Chunked>,
}

impl Layer for EventStream {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        match (chunk.dir, chunk.data) {
            (Direction::ToServer, Data::Bytes(bytes)) if request_line(bytes) == Looks::Like => {
                self.sse.end(&mut |said| say(said, up));
                Step::Anew
            }
            (Direction::ToServer, _) => Step::Continue,
            (Direction::ToClient, Data::Bytes(bytes)) => self.bytes(chunk.at, bytes, up),
            (Direction::ToClient, Data::Gap(missing)) => {
                self.sse.gap(&mut |said| say(said, up));
                if let Some(chunked) = &mut self.chunked {
                    if !chunked.gap(missing) {
                        self.chunked = None;
                    } else if chunked.between_chunks() {
                        // As servers write them, a new chunk is a new event.
                        self.sse.reset();
                    }
                }
                Step::Continue
            }
            (Direction::ToClient, Data::End) => {
                self.sse.end(&mut |said| say(said, up));
                Step::Continue
            }
        }
    }
}

impl EventStream {
    fn bytes(&mut self, at: Stamp, bytes: &[u8], up: &mut Up<'_>) -> Step {
        if self.chunked.is_none() && self.sse.between_events() {
            if status_line(bytes) == Looks::Like {
                return Step::Anew;
            }
            if matches!(size_line(bytes), Some(Some(_))) {
                self.chunked = Some(Chunked::new());
            }
        }
        let mut say = |said: Said<'_>| say(said, up);
        let Some(chunked) = &mut self.chunked else {
            self.sse.push(at, bytes, &mut say);
            return Step::Continue;
        };
        let mut rest = bytes;
        loop {
            match chunked.next(&mut rest) {
                Piece::Data(data) => self.sse.push(at, data, &mut say),
                Piece::More => return Step::Continue,
                Piece::End | Piece::Malformed => {
                    self.sse.end(&mut say);
                    return Step::Desync;
                }
            }
        }
    }
}

fn say(said: Said<'_>, up: &mut Up<'_>) {
    let carrier = Carrier::SseEvent {
        name: said.event.unwrap_or("message"),
    };
    up.message(Message {
        at: said.at,
        dir: Direction::ToClient,
        carrier,
        transaction: None,
        body: said.body,
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;
    use crate::model::message::Body;
    use crate::proto::http::h1::talk::{Told, env, listen};
    use crate::stream::Stream;
    use crate::stream::layer::{Env, Output};

    fn ask(to_client: &str, from_start: bool) -> Probe {
        probe(&Prefix {
            bytes: [b"", to_client.as_bytes()],
            from_start,
            ports: [40000, 80],
        })
    }

    fn told(pieces: &[&str]) -> (Vec<String>, Step) {
        let mut layer = (PROTOCOL.open)(&env());
        let chunks = pieces
            .iter()
            .map(|piece| (Direction::ToClient, Data::Bytes(piece.as_bytes())))
            .collect::<Vec<_>>();
        let (told, step) = listen(&mut *layer, &chunks);
        (
            told.into_iter()
                .map(|Told { carrier, body, .. }| format!("{carrier} {body}"))
                .collect(),
            step,
        )
    }

    #[test]
    fn probes_midway_only() {
        let yes = Probe::Yes {
            server: Some(Direction::ToClient),
        };
        for (text, expect) in [
            ("data: {\"jsonrpc\"", yes),
            ("event: message\r\ndata", yes),
            ("1f\r\nid: 5\r\n", yes),
            (": ping - 2026\r\n\r\n", yes),
            (":1000\r\n", Probe::No),
            (":irc.test 001 x", Probe::No),
            ("da", Probe::More),
            ("5a\r\nev", Probe::More),
            ("5a\r\n{\"x\":1}", Probe::No),
            ("HTTP/1.1 200 OK", Probe::No),
        ] {
            assert_eq!(ask(text, false), expect, "{text:?}");
            assert_eq!(ask(text, true), Probe::No, "{text:?}");
        }
    }

    #[test]
    fn plain_and_chunked_and_joined_late() {
        let expect = vec!["message whole {1}".to_owned(), "x whole {2}".to_owned()];
        for pieces in [
            &["data: {1}\n\n", "event: x\ndata: {2}\n\n"][..],
            &["b\r\ndata: {1}\n\n\r\n", "15\r\nevent: x\nda", "ta: {2}\n\n\r\n"],
            &["data: {1}\n\n\r\n", "15\r\nevent: x\ndata: {2}\n\n\r\n"],
            &["data: {1}\n\n\r\n15\r\nevent: x\ndata: {2}\n\n\r\n"],
        ] {
            assert_eq!(told(pieces), (expect.clone(), Step::Continue), "{pieces:?}");
        }
        assert_eq!(
            told(&["b\r\ndata: {1}\n\n\r\n0\r\n\r\nHTTP/1.1 200 OK"]).1,
            Step::Desync
        );
        assert_eq!(told(&["data: {1}\n\n", "HTTP/1.1 200 OK\r\n"]).1, Step::Anew);
    }

    #[test]
    fn what_follows_a_stream_is_read_from_its_first_byte() {
        use Direction::{ToClient, ToServer};
        let env = Env {
            protocols: crate::proto::PROTOCOLS,
            ..env()
        };
        let mut stream = Stream::outer(Transport::Tcp, false, [40_000, 80]);
        let mut told = Vec::new();
        for (dir, text) in [
            (ToClient, "data: {1}\n\n"),
            (
                ToServer,
                "POST /a HTTP/1.1\r\nContent-Length: 13\r\n\r\n{\"jsonrpc\":2}",
            ),
            (ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"jsonrpc\":3}"),
        ] {
            let chunk = Chunk {
                at: Stamp::default(),
                dir,
                lane: 0,
                data: Data::Bytes(text.as_bytes()),
            };
            let step = stream.push(chunk, &env, &mut |output| {
                if let Output::Message(message) = output
                    && let Body::Whole(body) = message.body
                {
                    let number = message.transaction.map(|transaction| transaction.number);
                    told.push((number, String::from_utf8_lossy(body).into_owned()));
                }
            });
            assert_eq!(step, Step::Continue);
        }
        let expect = [
            (None, "{1}"),
            (Some(0), "{\"jsonrpc\":2}"),
            (Some(0), "{\"jsonrpc\":3}"),
        ];
        assert_eq!(told, expect.map(|(number, text)| (number, text.to_owned())));
    }

    #[test]
    fn goes_on_behind_a_gap() {
        let mut layer = (PROTOCOL.open)(&env());
        let to_client = |data| (Direction::ToClient, data);
        let (told, step) = listen(
            &mut *layer,
            &[
                to_client(Data::Bytes(b"b\r\ndata: {1")),
                to_client(Data::Gap(20)),
                to_client(Data::Bytes(b"half}\n\n\r\n")),
                to_client(Data::Bytes(b"b\r\ndata: {3}\n\n\r\n")),
            ],
        );
        assert_eq!(step, Step::Continue);
        assert_eq!(
            told.iter().map(|told| told.body.as_str()).collect::<Vec<_>>(),
            ["cut 0 {1", "whole {3}"]
        );
    }
}
