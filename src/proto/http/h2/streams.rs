//! The streams of a connection that are not finished (RFC 9113, section 5), each one an exchange.
//!
//! Bounded in number and in the bytes of their heads: a peer may open streams as fast as it likes, and in a capture of
//! one direction none is ever answered. What goes first is the oldest that shows no mark of MCP. Found by a search from
//! the newest; memory of finished ones is used again.

use crate::model::message::{Headers, HttpMethod, Request, Response, Transaction};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::http::Limits;
use crate::proto::http::body::Reader;
use crate::proto::http::websocket::{Socket, is_mcp, settled};

/// Most streams that are followed at a time; servers rarely allow more.
pub(super) const STREAMS_MAX: usize = 256;
/// What the heads of all streams may weigh, in the longest heads that are read.
const HEADS_MAX: usize = 4;
/// Most exchanges whose memory is kept for reuse.
const SPARE_MAX: usize = 4;

/// A stream.
pub(super) struct Exchange {
    pub(super) id: u32,
    pub(super) transaction: Transaction,
    /// Whether its bodies are worth collecting, compressed or not.
    pub(super) candidate: bool,
    /// Whether it carries another protocol.
    pub(super) opaque: bool,
    pub(super) request: Half,
    pub(super) response: Half,
    /// Bytes of its heads.
    weight: usize,
    /// Memory for the next use.
    spare: (Option<Request>, Option<Response>),
}

/// One direction of a stream.
pub(super) struct Half {
    pub(super) phase: Phase,
    pub(super) reader: Reader,
    /// What reads it instead, when it is a WebSocket.
    pub(super) socket: Option<Box<Socket>>,
    /// Whether fields of its head are not known, so that its first bytes have to tell what it is.
    pub(super) partial: bool,
    /// Bytes that the reader holds, as last counted.
    pub(super) held: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Before,
    Body,
    Done,
}

impl Half {
    fn new(limits: Limits) -> Self {
        Self {
            phase: Phase::Before,
            reader: Reader::new(limits),
            socket: None,
            partial: false,
            held: 0,
        }
    }

    fn clear(&mut self) {
        (self.phase, self.partial, self.held, self.socket) = (Phase::Before, false, 0, None);
    }

    /// Whether bytes of its body are of use.
    pub(super) fn reads(&self) -> bool {
        self.phase == Phase::Body && (self.socket.is_some() || !self.reader.is_over())
    }
}

impl Exchange {
    fn new(limits: Limits) -> Self {
        Self {
            id: 0,
            transaction: Transaction::default(),
            candidate: false,
            opaque: false,
            request: Half::new(limits),
            response: Half::new(limits),
            weight: 0,
            spare: (None, None),
        }
    }

    /// What goes one way.
    pub(super) fn half(&mut self, dir: Direction) -> &mut Half {
        self.split(dir).0
    }

    /// As [`Self::half`], with the heads.
    pub(super) fn split(&mut self, dir: Direction) -> (&mut Half, &Transaction) {
        let half = match dir {
            Direction::ToServer => &mut self.request,
            Direction::ToClient => &mut self.response,
        };
        (half, &self.transaction)
    }

    /// The answer has come: settles what the messages of a WebSocket are packed with, when it is one (RFC 8441, section
    /// 5).
    pub(super) fn open_socket(&mut self, limits: Limits) {
        let Some(socket) = &mut self.request.socket else { return };
        // Of a head that is not known whole, the field may be what is missing.
        let response = self.transaction.response.as_ref().filter(|_| !self.response.partial);
        let candidate = is_mcp(&self.transaction);
        socket.settle(settled(response, Direction::ToServer), candidate);
        let socket = Socket::new(limits, settled(response, Direction::ToClient), candidate);
        self.response.socket = Some(Box::new(socket));
    }

    /// Memory for its request head.
    pub(super) fn spare_request(&mut self) -> Request {
        self.spare.0.take().unwrap_or_else(|| Request {
            at: Stamp::default(),
            method: HttpMethod::Other,
            target: String::new(),
            headers: Headers::default(),
        })
    }

    /// Memory for its response head.
    pub(super) fn spare_response(&mut self) -> Response {
        self.spare.1.take().unwrap_or_else(|| Response {
            at: Stamp::default(),
            status: 0,
            headers: Headers::default(),
        })
    }
}

/// All streams of a connection.
pub(super) struct Streams {
    limits: Limits,
    /// Numbers of `open`, side by side for the search.
    ids: Vec<u32>,
    /// In the order in which they were opened.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept for reuse")]
    open: Vec<Box<Exchange>>,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept for reuse")]
    idle: Vec<Box<Exchange>>,
    weight: usize,
    /// Exchanges on this connection before the first stream.
    base: u64,
}

impl Streams {
    pub(super) fn new(limits: Limits, base: u64) -> Self {
        Self {
            limits,
            ids: Vec::new(),
            open: Vec::new(),
            idle: Vec::new(),
            weight: 0,
            base,
        }
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Exchange> {
        let index = self.index(id)?;
        self.open.get_mut(index).map(Box::as_mut)
    }

    fn index(&self, id: u32) -> Option<usize> {
        self.ids.iter().rposition(|open| *open == id)
    }

    /// The streams, the oldest first.
    pub(super) fn iter(&mut self) -> impl Iterator<Item = &mut Exchange> {
        self.open.iter_mut().map(Box::as_mut)
    }

    /// Whether none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The stream that has to go before a head of so many bytes, on a stream that may be another one, has room.
    pub(super) fn surplus(&self, id: u32, weight: usize) -> Option<u32> {
        let heads_max = self.limits.head_max_bytes.saturating_mul(HEADS_MAX);
        let full = self.open.len() >= STREAMS_MAX && !self.ids.contains(&id);
        if !full && self.weight.saturating_add(weight) <= heads_max {
            return None;
        }
        let plain = self.open.iter().find(|exchange| !exchange.candidate);
        plain.or_else(|| self.open.first()).map(|exchange| exchange.id)
    }

    /// The stream whose bodies hold the most memory.
    pub(super) fn heaviest(&self) -> Option<u32> {
        let streams = self.open.iter().map(Box::as_ref);
        let held = |exchange: &&Exchange| exchange.request.held.max(exchange.response.held);
        streams.max_by_key(held).map(|exchange| exchange.id)
    }

    /// The stream of that number, opened if need be.
    pub(super) fn open(&mut self, id: u32) -> Option<&mut Exchange> {
        if self.get(id).is_none() {
            let mut exchange = self.idle.pop().unwrap_or_else(|| Box::new(Exchange::new(self.limits)));
            exchange.id = id;
            exchange.transaction.number = self.base.saturating_add(u64::from(id >> 1));
            self.open.push(exchange);
            self.ids.push(id);
        }
        self.get(id)
    }

    /// Heads of a stream weigh so many bytes more.
    pub(super) fn weigh(&mut self, id: u32, weight: usize) {
        if let Some(exchange) = self.get(id) {
            exchange.weight = exchange.weight.saturating_add(weight);
            self.weight = self.weight.saturating_add(weight);
        }
    }

    /// Forgets a stream, and tells how many bytes it held.
    pub(super) fn remove(&mut self, id: u32) -> usize {
        let Some(index) = self.index(id) else {
            return 0;
        };
        let mut exchange = self.open.remove(index);
        self.ids.remove(index);
        self.weight = self.weight.saturating_sub(exchange.weight);
        let held = exchange.request.held.saturating_add(exchange.response.held);
        if self.idle.len() < SPARE_MAX {
            exchange.spare = (
                exchange.transaction.request.take(),
                exchange.transaction.response.take(),
            );
            (exchange.candidate, exchange.opaque, exchange.weight) = (false, false, 0);
            exchange.request.clear();
            exchange.response.clear();
            self.idle.push(exchange);
        }
        held
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;
    use crate::proto::http::h1::talk::env;

    #[test]
    fn the_oldest_without_a_mark_goes_first() {
        let mut streams = Streams::new(Limits::of(&env()), 7);
        let ids: Vec<u32> = (0..STREAMS_MAX).map(|at| 2 * at as u32 + 1).collect();
        for id in &ids {
            assert_eq!(streams.surplus(1000, 0), None);
            streams.open(*id).unwrap().candidate = *id != 5;
        }
        assert_eq!(streams.get(9).unwrap().transaction.number, 7 + 4);
        assert_eq!(streams.surplus(1000, 0), Some(5));
        streams.remove(5);
        assert_eq!(streams.surplus(1000, 0), None);
        streams.open(9999).unwrap().candidate = true;
        assert_eq!(streams.surplus(1000, 0), Some(1));
    }

    #[test]
    fn heads_are_bounded_in_bytes() {
        let limits = Limits::of(&env());
        let mut streams = Streams::new(limits, 0);
        for id in [1, 3, 5, 7] {
            assert_eq!(streams.surplus(9, limits.head_max_bytes), None);
            streams.open(id);
            streams.weigh(id, limits.head_max_bytes);
        }
        assert_eq!(streams.surplus(9, 1), Some(1));
        streams.remove(3);
        assert_eq!(streams.surplus(9, 1), None);
    }

    #[test]
    fn memory_is_used_again_and_nothing_of_its_content() {
        let mut streams = Streams::new(Limits::of(&env()), 0);
        let exchange = streams.open(1).unwrap();
        exchange.candidate = true;
        exchange.request.phase = Phase::Done;
        exchange.response.held = 10;
        exchange.transaction.request = Some(exchange.spare_request());
        assert_eq!(streams.remove(1), 10);
        let exchange = streams.open(3).unwrap();
        assert!(!exchange.candidate && exchange.request.phase == Phase::Before && exchange.response.held == 0);
        assert!(exchange.transaction.request.is_none() && exchange.spare.0.is_some());
    }
}
