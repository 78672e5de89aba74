//! Heads whose end was not captured: a snap length cuts nearly every one.
//!
//! What there is of the head is evidence, and so is a body that begins a segment behind it. The first size line of a
//! chunked body brings the direction back into step; failing that, the next head does. Nothing found this way counts as
//! whole, since its beginning may be missing.

use memchr::memrchr;

use super::bodies::tell;
use super::chunked::{Chunked, size_line};
use super::framing::Framing;
use super::probe::{Looks, request_line, status_line};
use super::{Http1, State, Stop};
use crate::model::message::Body;
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::http::body::{Plan, Said};
use crate::proto::http::content::{Coding, Kind, Peek, peek};
use crate::proto::http::event_stream;
use crate::stream::layer::Up;

impl Http1 {
    /// A gap in a head: goes on with its whole lines, if there is any. `false` when there is none.
    pub(super) fn tear(&mut self, dir: Direction, up: &mut Up<'_>) -> bool {
        let carry = &mut self.side(dir).carry;
        let Some(end) = memrchr(b'\n', carry.bytes()) else {
            return false;
        };
        let (at, lines) = (carry.at(), carry.bytes().get(..end).unwrap_or_default());
        let head = [lines, b"\n\r\n"].concat();
        carry.clear();
        let mut rest = &head[..];
        let stop = match dir {
            Direction::ToServer => self.request_head(at, &mut rest, true, up),
            Direction::ToClient => self.response_head(at, &mut rest, true, up),
        };
        stop.is_none() && matches!(self.side(dir).state, State::Body(_))
    }

    /// Behind lost answers, bytes that may be the body of one whose head was lost: goes on with it when they are.
    pub(super) fn adopt(&mut self, at: Stamp, bytes: &[u8]) -> bool {
        let kind = match (event_stream::looks(bytes), peek(bytes)) {
            (Looks::Like, _) => Kind::Events,
            (_, Peek::Rpc | Peek::Maybe) => Kind::Json,
            _ => return false,
        };
        let Some(slot) = self.transactions.adopt() else {
            return false;
        };
        let exchange = self.transactions.get(slot);
        let candidate = self.rpc || exchange.is_some_and(|exchange| exchange.candidate);
        let side = &mut self.responses;
        side.slot = slot;
        side.reader.open(Plan {
            kind,
            coding: Coding::IDENTITY,
            candidate,
            alone: true,
            torn: true,
            at,
        });
        side.state = State::Body(Framing::Torn);
        true
    }

    /// Bytes somewhere behind a torn head.
    pub(super) fn torn_body(&mut self, dir: Direction, at: Stamp, rest: &mut &[u8], up: &mut Up<'_>) -> Option<Stop> {
        let (next, side) = match dir {
            Direction::ToServer => (request_line(rest), &mut self.requests),
            Direction::ToClient => (status_line(rest), &mut self.responses),
        };
        if next == Looks::Like {
            self.cut(dir, 0, up);
            return None;
        }
        let exchange = self.transactions.get(side.slot);
        let mut say = |said: Said<'_>| tell(said, dir, exchange, up);
        let chunk = size_line(rest).flatten().and_then(|data| rest.get(data..));
        // An empty line behind the digits says that they were the end of a length field.
        let json = match chunk {
            Some(data) => matches!(data.first(), Some(b'{' | b'[')),
            None => matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[')),
        };
        let events = dir == Direction::ToClient && event_stream::looks(rest) == Looks::Like;
        let fresh = side.reader.is_fresh();
        if chunk.is_some() && ((fresh && json) || (events && (fresh || side.reader.resumes()))) {
            side.reader.resume();
            if events && side.reader.turn_to_events() {
                say(Said {
                    at,
                    event: None,
                    body: Body::Absent,
                });
            }
            side.state = State::Body(Framing::Chunked(Chunked::new()));
            return None;
        }
        if json || !fresh || (events && side.reader.resumes()) {
            side.reader.push(at, rest, None, &mut say);
            self.learn(dir);
        }
        *rest = &[];
        None
    }

    /// A new request says that the answers to all before it are over; one with a torn head does not show its end, and
    /// others may lie in the gap.
    pub(super) fn lose_torn_answer(&mut self, up: &mut Up<'_>) {
        if let State::Body(Framing::Torn) = self.responses.state {
            self.cut(Direction::ToClient, 0, up);
            self.transactions.give_up();
        }
    }
}
