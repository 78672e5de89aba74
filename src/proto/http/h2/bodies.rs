//! Bodies within a connection: the data of each stream, from its head to its end.
//!
//! Bodies interleave, so each stream has readers of its own; what all of them hold is bounded together. Cost: a search
//! for the stream per slice of a body that is read; the others are passed over by the frame.

use super::frame;
use super::streams::{Exchange, Half, Phase};
use super::{Http2, State, take};
use crate::model::message::{Body, Carrier, Transaction};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::http::body::{Plan, Said};
use crate::proto::http::content::{Coding, Kind};
use crate::proto::http::h1::probe::Looks;
use crate::proto::http::websocket::Socket;
use crate::proto::http::{event_stream, tell, tell_as};
use crate::stream::layer::Up;

/// What all bodies of a connection may hold together, in longest messages.
const MESSAGES_MAX: usize = 2;

/// What is left of a DATA frame (RFC 9113, section 6.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    pub(super) stream: u32,
    /// Bytes of data; with those of the padding until its length is known.
    pub(super) left: u32,
    pub(super) padding: u32,
    pub(super) ends_stream: bool,
}

impl Http2 {
    /// A head is complete: its body begins, unless it has none.
    pub(super) fn open(&mut self, dir: Direction, id: u32, plan: Plan, ends: bool, up: &mut Up<'_>) {
        let Some(exchange) = self.streams.get(id) else { return };
        let opaque = exchange.opaque;
        if ends || opaque || plan.kind == Kind::Events {
            // Streams and tunnels stay open for hours: who answered, and how, is known now.
            tell(absent(plan.at), dir, Some(&exchange.transaction), up);
        }
        let half = exchange.half(dir);
        if !ends {
            if !opaque {
                half.reader.open(plan);
            }
            half.phase = Phase::Body;
            return;
        }
        half.phase = Phase::Done;
        self.retire(id);
    }

    /// A DATA frame begins.
    pub(super) fn data_frame(&mut self, dir: Direction, at: Stamp, head: frame::Head, up: &mut Up<'_>) {
        if self.side(dir).lossy && !head.stream.is_multiple_of(2) {
            self.assume_head(dir, head.stream, at, up);
        }
        let exchange = self.streams.get(head.stream);
        if !exchange.is_some_and(|exchange| exchange.half(dir).reads()) {
            self.skip(dir, head.len);
            if head.ends_stream() {
                self.finish(dir, head.stream, up);
            }
            return;
        }
        let payload = Payload {
            stream: head.stream,
            left: head.len,
            padding: 0,
            ends_stream: head.ends_stream(),
        };
        if head.len == 0 {
            self.end_payload(dir, payload, up);
        } else {
            let padded = head.is_padded();
            self.side(dir).state = if padded {
                State::Padding(payload)
            } else {
                State::Data(payload)
            };
        }
    }

    /// Data of a stream whose head was lost: it may be JSON, or events, which prove themselves.
    fn assume_head(&mut self, dir: Direction, id: u32, at: Stamp, up: &mut Up<'_>) {
        let known = self.streams.get(id);
        if known.is_some_and(|exchange| exchange.half(dir).phase != Phase::Before) {
            return;
        }
        self.make_room(id, 0, up);
        let rpc = self.rpc;
        let Some(exchange) = self.streams.open(id) else { return };
        let plan = Plan {
            kind: if exchange.opaque { Kind::Other } else { Kind::MaybeJson },
            coding: Coding::IDENTITY,
            candidate: !exchange.opaque && (exchange.candidate || rpc),
            alone: exchange.transaction.request.is_none(),
            torn: true,
            at,
        };
        let limits = self.limits;
        let socket = exchange.request.socket.as_ref();
        let socket = socket.map(|_| Box::new(Socket::midway(limits)));
        let half = exchange.half(dir);
        half.partial = true;
        half.socket = socket;
        half.reader.open(plan);
        half.phase = Phase::Body;
    }

    /// The length of the padding. `false` when it is more than the frame has room for.
    pub(super) fn padding(&mut self, dir: Direction, payload: Payload, rest: &mut &[u8], up: &mut Up<'_>) -> bool {
        let padding = take(rest, 1).first().map_or(0, |byte| u32::from(*byte));
        let left = payload.left.checked_sub(1).and_then(|left| left.checked_sub(padding));
        let Some(left) = left else { return false };
        let payload = Payload {
            left,
            padding,
            ..payload
        };
        if left == 0 {
            self.end_payload(dir, payload, up);
        } else {
            self.side(dir).state = State::Data(payload);
        }
        true
    }

    /// Reads on in the data of a frame.
    pub(super) fn data(&mut self, dir: Direction, payload: Payload, at: Stamp, rest: &mut &[u8], up: &mut Up<'_>) {
        let piece = take(rest, payload.left);
        let left = payload
            .left
            .saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        let payload = Payload { left, ..payload };
        let body_left = payload.ends_stream.then_some(u64::from(left));
        self.feed(dir, payload.stream, at, piece, body_left, up);
        if left == 0 {
            self.end_payload(dir, payload, up);
        } else {
            self.side(dir).state = State::Data(payload);
        }
    }

    /// All data of a frame has come or is lost.
    pub(super) fn end_payload(&mut self, dir: Direction, payload: Payload, up: &mut Up<'_>) {
        if payload.ends_stream {
            self.finish(dir, payload.stream, up);
        }
        self.skip(dir, payload.padding);
    }

    /// Data of a stream, with the number of bytes behind it when that is known.
    fn feed(&mut self, dir: Direction, id: u32, at: Stamp, piece: &[u8], left: Option<u64>, up: &mut Up<'_>) {
        let Some((half, transaction)) = self.streams.get(id).map(|exchange| exchange.split(dir)) else {
            return;
        };
        if !half.reads() {
            return;
        }
        if let Some(socket) = &mut half.socket {
            socket.push(at, piece, &mut |said| {
                tell_as(Carrier::WebSocket, said, dir, Some(transaction), up);
            });
            up.shed(socket.take_shed());
        } else {
            let unknown = half.partial && dir == Direction::ToClient && half.reader.is_fresh();
            if unknown && event_stream::looks(piece) == Looks::Like && half.reader.turn_to_events() {
                tell(absent(at), dir, Some(transaction), up);
            }
            half.reader
                .push(at, piece, left, &mut |said| tell(said, dir, Some(transaction), up));
        }
        self.settle(dir, id, up);
        while self.held > self.limits.message_max_bytes.saturating_mul(MESSAGES_MAX) {
            let Some(heaviest) = self.streams.heaviest() else { break };
            let before = self.held;
            up.shed(1);
            self.cut(Direction::ToServer, heaviest, up);
            self.cut(Direction::ToClient, heaviest, up);
            debug_assert!(self.held < before, "what is cut gives its memory back");
            if self.held >= before {
                break;
            }
        }
    }

    /// Takes over what a reader has learned, and what it holds. A body that showed JSON-RPC makes its answer, and all
    /// that follows, worth collecting.
    fn settle(&mut self, dir: Direction, id: u32, up: &mut Up<'_>) {
        let Some(exchange) = self.streams.get(id) else { return };
        let half = exchange.half(dir);
        let (before, rpc) = (half.held, half.reader.is_rpc());
        let socket = half.socket.as_ref().map_or(0, |socket| socket.held_bytes());
        half.held = half.reader.held_bytes().saturating_add(socket);
        let held = half.held;
        up.shed(half.reader.take_shed());
        exchange.candidate |= rpc;
        self.rpc |= rpc;
        self.held = self.held.saturating_sub(before).saturating_add(held);
    }

    /// One direction of a stream has ended.
    pub(super) fn finish(&mut self, dir: Direction, id: u32, up: &mut Up<'_>) {
        let Some(exchange) = self.streams.get(id) else { return };
        let (half, transaction) = exchange.split(dir);
        if half.phase == Phase::Body {
            half.reader.finish(&mut |said| tell(said, dir, Some(transaction), up));
        }
        end_socket(half, dir, transaction, up);
        half.phase = Phase::Done;
        self.settle(dir, id, up);
        self.retire(id);
    }

    /// A body breaks off: tells what there is of it. What still comes of it is passed over.
    pub(super) fn cut(&mut self, dir: Direction, id: u32, up: &mut Up<'_>) {
        let Some(exchange) = self.streams.get(id) else { return };
        let (half, transaction) = exchange.split(dir);
        if half.phase == Phase::Body {
            half.reader.cut(0, &mut |said| tell(said, dir, Some(transaction), up));
        }
        end_socket(half, dir, transaction, up);
        self.settle(dir, id, up);
    }

    /// So many bytes of a body were not captured, at most; and so many of it will not be read, 0 when unknown.
    pub(super) fn tear_body(&mut self, dir: Direction, id: u32, lost: u64, missing: u64, up: &mut Up<'_>) {
        let Some(exchange) = self.streams.get(id) else { return };
        let (half, transaction) = exchange.split(dir);
        if let Some(socket) = &mut half.socket {
            socket.gap(lost, &mut |said| {
                tell_as(Carrier::WebSocket, said, dir, Some(transaction), up);
            });
        } else if half.reads() {
            half.reader
                .gap(missing, &mut |said| tell(said, dir, Some(transaction), up));
        }
        self.settle(dir, id, up);
    }

    /// A stream is over, both ways (RFC 9113, section 6.4).
    pub(super) fn close(&mut self, id: u32, up: &mut Up<'_>) {
        self.cut(Direction::ToServer, id, up);
        self.cut(Direction::ToClient, id, up);
        self.forget(id);
    }

    /// Makes room for a head of so many bytes.
    pub(super) fn make_room(&mut self, id: u32, weight: usize, up: &mut Up<'_>) {
        while let Some(id) = self.streams.surplus(id, weight) {
            let reads = |exchange: &mut Exchange| exchange.request.reads() || exchange.response.reads();
            up.shed(u64::from(self.streams.get(id).is_some_and(reads)));
            self.close(id, up);
        }
    }

    /// Forgets a stream that has had its answer: one whose request was lost, too.
    fn retire(&mut self, id: u32) {
        let over = self
            .streams
            .get(id)
            .is_some_and(|exchange| exchange.response.phase == Phase::Done && exchange.request.phase != Phase::Body);
        if over {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: u32) {
        self.held = self.held.saturating_sub(self.streams.remove(id));
    }
}

/// A WebSocket ends with its stream.
fn end_socket(half: &mut Half, dir: Direction, transaction: &Transaction, up: &mut Up<'_>) {
    if let Some(mut socket) = half.socket.take() {
        socket.end(&mut |said| tell_as(Carrier::WebSocket, said, dir, Some(transaction), up));
    }
}

fn absent(at: Stamp) -> Said<'static> {
    Said {
        at,
        event: None,
        body: Body::Absent,
    }
}
