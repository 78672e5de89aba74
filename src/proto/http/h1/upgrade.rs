//! From HTTP to another protocol on the same connection: `Upgrade` (RFC 9110, section 7.8) and `CONNECT` (section
//! 9.3.6). What follows is a stream of its own; which one is for the stream above to find out. The messages of a
//! WebSocket are told here instead: they belong to the exchange that opened it.
//!
//! The answer decides for the server's direction. The client's decides for itself: a client that no longer sends HTTP
//! was granted its wish, whether or not the answer was captured.

use super::bodies::{tell, tell_as};
use super::probe::{Looks, request_line};
use super::transactions::Slot;
use super::{Http1, Side, State};
use crate::model::chunk::{Chunk, Data};
use crate::model::message::{Body, Carrier};
use crate::model::net::Direction::{self, ToClient, ToServer};
use crate::model::stamp::Stamp;
use crate::proto::http::body::{Said, Say};
use crate::proto::http::websocket::{Deflate, Socket, is_mcp, is_upgrade, settled};
use crate::proto::proxy;
use crate::stream::layer::Up;

impl Http1 {
    /// The first bytes behind a request for another protocol.
    pub(super) fn choose(&mut self, at: Stamp, bytes: &[u8], up: &mut Up<'_>) {
        self.requests.state = match request_line(bytes) {
            Looks::Unlike if self.is_socket(self.requests.slot) => {
                self.requests.socket = Some(Box::new(Socket::new(self.limits, Deflate::Unknown, false)));
                State::Socket
            }
            Looks::Unlike => {
                self.tell_relay(at, up);
                State::Tunnel
            }
            // A server may ignore the wish, and a client goes on then.
            Looks::Like | Looks::Short => {
                if let State::Socket = self.responses.state {
                    (self.responses.state, self.responses.socket) = (State::Seek, None);
                }
                State::Head
            }
        };
    }

    /// Behind `CONNECT` the stream goes to another host than this one: told once, before its first byte.
    fn tell_relay(&mut self, at: Stamp, up: &mut Up<'_>) {
        if let Some(host) = self.relay.take() {
            proxy::tell(at, None, Some(&host), up);
        }
    }

    /// The wish was granted: what follows in both directions is another stream.
    pub(super) fn uncover(&mut self, at: Stamp, up: &mut Up<'_>) {
        self.tell_relay(at, up);
        self.cut(ToServer, 0, up);
        let mut carry = std::mem::take(&mut self.requests.carry);
        if !carry.is_empty() {
            let early = Chunk {
                at: carry.at(),
                dir: ToServer,
                lane: 0,
                data: Data::Bytes(carry.bytes()),
            };
            // Out of step this early, the next byte will be, too.
            let _ = self.tunnel(early, up);
            carry.clear();
        }
        tunnel(&mut self.requests);
        tunnel(&mut self.responses);
    }

    /// Whether an exchange is the handshake of a WebSocket, as far as it was read.
    pub(super) fn is_socket(&self, slot: Slot) -> bool {
        self.transactions.get(slot).is_some_and(|exchange| {
            let transaction = &exchange.transaction;
            let request = transaction.request.as_ref().map(|request| &request.headers);
            let response = transaction.response.as_ref().map(|response| &response.headers);
            [request, response].into_iter().flatten().any(is_upgrade)
        })
    }

    /// Whether the client asked for a WebSocket, goes on as if it had been granted or not at all, and has no answer.
    pub(super) fn asks_for_socket(&self) -> bool {
        matches!(self.responses.state, State::Head | State::Seek)
            && matches!(self.requests.state, State::Choice | State::Socket)
            && self.is_socket(self.requests.slot)
    }

    /// The answer was not captured: the client shows whether its wish was granted, and frames whether they are some.
    pub(super) fn presume_socket(&mut self) {
        let side = &mut self.responses;
        side.carry.clear();
        side.slot = self.requests.slot;
        side.socket = Some(Box::new(Socket::midway(self.limits)));
        side.state = State::Socket;
    }

    /// The answer that opens a WebSocket has come. Its exchange stays open as long as the connection.
    pub(super) fn open_sockets(&mut self, at: Stamp, up: &mut Up<'_>) {
        self.cut(ToServer, 0, up);
        let slot = self.responses.slot;
        let exchange = self.transactions.get(slot);
        let head = Said {
            at,
            event: None,
            body: Body::Absent,
        };
        tell(head, ToClient, exchange, up);
        let response = exchange.and_then(|exchange| exchange.transaction.response.as_ref());
        let candidate = exchange.is_some_and(|exchange| is_mcp(&exchange.transaction));
        for (side, dir) in [(&mut self.requests, ToServer), (&mut self.responses, ToClient)] {
            let deflate = settled(response, dir);
            match &mut side.socket {
                Some(socket) => socket.settle(deflate, candidate),
                None => side.socket = Some(Box::new(Socket::new(self.limits, deflate, candidate))),
            }
            side.slot = slot;
            if !matches!(side.state, State::Ended) {
                side.state = State::Socket;
            }
        }
        let early = std::mem::take(&mut self.requests.carry);
        if !early.is_empty() {
            self.socket(ToServer, up, |socket, say| socket.push(early.at(), early.bytes(), say));
        }
    }

    /// Does something to the WebSocket of a direction, and tells what that gives.
    pub(super) fn socket(&mut self, dir: Direction, up: &mut Up<'_>, act: impl FnOnce(&mut Socket, &mut Say<'_>)) {
        let side = match dir {
            ToServer => &mut self.requests,
            ToClient => &mut self.responses,
        };
        let exchange = self.transactions.get(side.slot);
        if let Some(socket) = &mut side.socket {
            act(socket, &mut |said| tell_as(Carrier::WebSocket, said, dir, exchange, up));
            up.shed(socket.take_shed());
        }
    }

    /// The wish was not granted: what the client goes on with is HTTP.
    pub(super) fn refuse(&mut self, slot: Slot) {
        self.relay = None;
        let side = &mut self.requests;
        match side.state {
            State::Choice if side.slot == slot => side.state = State::Head,
            State::Socket | State::Tunnel if side.slot == slot => {
                side.state = State::Seek;
                side.socket = None;
            }
            _ => {}
        }
    }
}

pub(super) fn tunnel(side: &mut Side) {
    if !matches!(side.state, State::Ended) {
        side.state = State::Tunnel;
    }
}
