//! Bodies within a connection: from the end of a head to the end of its message, whatever ends it.
//!
//! The framing says which bytes belong to the body, the reader says what they are, the exchange says whose they are.
//! Cost: per slice, and per chunk of a chunked body; skipped bytes are not touched.

use super::chunked::Piece;
use super::framing::Framing;
use super::probe::{Looks, status_line};
use super::transactions::{Exchange, Slot};
use super::{Http1, State, Stop};
use crate::model::chunk::Chunk;
use crate::model::message::{Body, Carrier};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::http;
use crate::proto::http::body::{Plan, Said};
use crate::proto::http::content::Kind;
use crate::stream::layer::Up;

impl Http1 {
    /// A head is complete: its body begins, unless it has none.
    pub(super) fn open(&mut self, dir: Direction, framing: Framing, plan: Plan, up: &mut Up<'_>) {
        let slot = self.side(dir).slot;
        let exchange = self.transactions.get(slot);
        if matches!(framing, Framing::None) {
            tell(
                Said {
                    at: plan.at,
                    event: None,
                    body: Body::Absent,
                },
                dir,
                exchange,
                up,
            );
            return self.close(dir);
        }
        if plan.kind == Kind::Events {
            // Streams stay open for hours: who answered, and how, is known now.
            tell(
                Said {
                    at: plan.at,
                    event: None,
                    body: Body::Absent,
                },
                dir,
                exchange,
                up,
            );
        }
        let side = self.side(dir);
        side.reader.open(plan);
        side.state = State::Body(framing);
    }

    pub(super) fn body(
        &mut self,
        dir: Direction,
        mut framing: Framing,
        at: Stamp,
        rest: &mut &[u8],
        up: &mut Up<'_>,
    ) -> Option<Stop> {
        if let Framing::Torn = framing {
            return self.torn_body(dir, at, rest, up);
        }
        let side = match dir {
            Direction::ToServer => &mut self.requests,
            Direction::ToClient => &mut self.responses,
        };
        // The answer to a HEAD that was not captured has a length and no body.
        if side.slot == Slot::Orphan && side.reader.is_fresh() && status_line(rest) == Looks::Like {
            self.cut(dir, 0, up);
            return None;
        }
        let exchange = self.transactions.get(side.slot);
        let mut say = |said: Said<'_>| tell(said, dir, exchange, up);
        let ended = match &mut framing {
            Framing::None | Framing::Torn => true,
            Framing::UntilClose => {
                side.reader.push(at, std::mem::take(rest), None, &mut say);
                false
            }
            Framing::Length(left) => {
                let take = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                let (piece, behind) = rest.split_at(take);
                *rest = behind;
                *left = left.saturating_sub(piece.len() as u64);
                side.reader.push(at, piece, Some(*left), &mut say);
                *left == 0
            }
            Framing::Chunked(chunked) => loop {
                match chunked.next(rest) {
                    Piece::Data(data) => {
                        let left = chunked.ends_with(rest).then_some(0);
                        side.reader.push(at, data, left, &mut say);
                    }
                    Piece::More => break false,
                    Piece::End => break true,
                    Piece::Malformed => return Some(Stop::Lost),
                }
            },
        };
        side.state = State::Body(framing);
        if ended {
            side.reader.finish(&mut say);
        }
        let shed = side.reader.take_shed();
        up.shed(shed);
        self.learn(dir);
        if ended {
            self.close(dir);
        }
        None
    }

    /// A body that showed JSON-RPC makes its answer, and all that follows, worth collecting.
    pub(super) fn learn(&mut self, dir: Direction) {
        let side = self.side(dir);
        if !side.reader.is_rpc() {
            return;
        }
        let slot = side.slot;
        self.rpc = true;
        if let Some(exchange) = self.transactions.get_mut(slot) {
            exchange.candidate = true;
        }
    }

    /// A message has ended; the next one may begin.
    pub(super) fn close(&mut self, dir: Direction) {
        let side = self.side(dir);
        side.state = State::Head;
        let slot = side.slot;
        match dir {
            Direction::ToServer if self.http2.is_some() => self.hand_over(),
            Direction::ToServer => self.transactions.end_request(slot),
            Direction::ToClient => self.transactions.end_response(slot),
        }
    }

    /// A body breaks off: tells what there is of it.
    pub(super) fn cut(&mut self, dir: Direction, missing: u64, up: &mut Up<'_>) {
        let side = match dir {
            Direction::ToServer => &mut self.requests,
            Direction::ToClient => &mut self.responses,
        };
        if let State::Body(_) = side.state {
            let exchange = self.transactions.get(side.slot);
            side.reader.cut(missing, &mut |said| tell(said, dir, exchange, up));
            self.close(dir);
        }
    }

    pub(super) fn gap(&mut self, chunk: Chunk<'_>, missing: u64, up: &mut Up<'_>) -> bool {
        let dir = chunk.dir;
        if dir == Direction::ToClient && self.asks_for_socket() {
            self.presume_socket();
            return true;
        }
        match self.side(dir).state {
            State::Body(framing) => self.gap_in_body(dir, framing, missing, up),
            State::Choice => false,
            State::Ended => true,
            State::Head => self.tear(dir, up) || self.miss(dir),
            State::Seek => (dir == Direction::ToServer || !self.transactions.waits()) || self.miss(dir),
            State::Socket => {
                self.socket(dir, up, |socket, say| socket.gap(missing, say));
                true
            }
            State::Tunnel => self.tunnel(chunk, up),
        }
    }

    /// Bytes of a body are missing, and perhaps of what follows it.
    fn gap_in_body(&mut self, dir: Direction, mut framing: Framing, missing: u64, up: &mut Up<'_>) -> bool {
        let side = match dir {
            Direction::ToServer => &mut self.requests,
            Direction::ToClient => &mut self.responses,
        };
        let mut unread = 0;
        let (mut ended, mut inside) = (false, true);
        match &mut framing {
            Framing::Length(left) => {
                unread = *left;
                *left = left.saturating_sub(missing);
                (ended, inside) = (*left == 0, unread >= missing);
            }
            // What follows shows itself as a torn message's body does: by a size line, or by the next head.
            Framing::Chunked(chunked) => {
                if !chunked.gap(missing) {
                    framing = Framing::Torn;
                }
            }
            Framing::None | Framing::Torn | Framing::UntilClose => {}
        }
        side.state = State::Body(framing);
        let exchange = self.transactions.get(side.slot);
        let mut say = |said: Said<'_>| tell(said, dir, exchange, up);
        side.reader.gap(unread, &mut say);
        if matches!(framing, Framing::Chunked(chunked) if chunked.between_chunks()) {
            side.reader.resume();
        }
        if ended {
            side.reader.finish(&mut say);
            self.close(dir);
        }
        inside || self.miss(dir)
    }

    /// Whole messages may be missing. As long as the other direction is in step, this is HTTP still, and the next head
    /// shows itself. `false` when nobody vouches for that, or when nobody could say which request the next answer is to.
    fn miss(&mut self, dir: Direction) -> bool {
        let vouched = match self.side(dir.flip()).state {
            State::Body(framing) => !matches!(framing, Framing::Torn),
            State::Head => true,
            State::Choice | State::Ended | State::Seek | State::Socket | State::Tunnel => false,
        };
        if !vouched || self.transactions.pipelined() {
            return false;
        }
        if dir == Direction::ToClient {
            self.transactions.miss();
        }
        let side = self.side(dir);
        side.carry.clear();
        side.state = State::Seek;
        true
    }

    pub(super) fn end(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> bool {
        let dir = chunk.dir;
        let mut in_step = true;
        match self.side(dir).state {
            State::Body(Framing::UntilClose) => {
                let side = match dir {
                    Direction::ToServer => &mut self.requests,
                    Direction::ToClient => &mut self.responses,
                };
                let exchange = self.transactions.get(side.slot);
                side.reader.finish(&mut |said| tell(said, dir, exchange, up));
                self.close(dir);
            }
            State::Body(Framing::Length(left)) => self.cut(dir, left, up),
            State::Body(_) => self.cut(dir, 0, up),
            State::Socket => {
                self.socket(dir, up, |socket, say| socket.end(say));
            }
            State::Tunnel => in_step = self.tunnel(chunk, up),
            State::Choice | State::Ended | State::Head | State::Seek => {}
        }
        let side = self.side(dir);
        side.carry.clear();
        side.state = State::Ended;
        in_step
    }
}

pub(super) fn tell(said: Said<'_>, dir: Direction, exchange: Option<&Exchange>, up: &mut Up<'_>) {
    http::tell(said, dir, exchange.map(|exchange| &exchange.transaction), up);
}

pub(super) fn tell_as(
    carrier: Carrier<'_>,
    said: Said<'_>,
    dir: Direction,
    exchange: Option<&Exchange>,
    up: &mut Up<'_>,
) {
    http::tell_as(carrier, said, dir, exchange.map(|exchange| &exchange.transaction), up);
}
