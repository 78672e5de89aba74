//! From HTTP to another protocol on the same connection: `Upgrade` (RFC 9110, section 7.8) and `CONNECT` (section
//! 9.3.6). What follows is a stream of its own; which one is for the stream above to find out.
//!
//! The answer decides for the server's direction. The client's decides for itself: a client that no longer sends HTTP
//! was granted its wish, whether or not the answer was captured.

use super::probe::{Looks, request_line};
use super::transactions::Slot;
use super::{Http1, Side, State};
use crate::model::chunk::{Chunk, Data};
use crate::model::net::Direction;
use crate::stream::layer::Up;

impl Http1 {
    /// The first bytes behind a request for another protocol.
    pub(super) fn choose(&mut self, bytes: &[u8]) {
        self.requests.state = match request_line(bytes) {
            Looks::Unlike => State::Tunnel,
            // A server may ignore the wish, and a client goes on then.
            Looks::Like | Looks::Short => State::Head,
        };
    }

    /// The wish was granted: what follows in both directions is another stream.
    pub(super) fn uncover(&mut self, up: &mut Up<'_>) {
        self.cut(Direction::ToServer, 0, up);
        let carry = &mut self.requests.carry;
        if !carry.is_empty() {
            let data = Data::Bytes(carry.bytes());
            up.stream(Chunk {
                at: carry.at(),
                dir: Direction::ToServer,
                lane: 0,
                data,
            });
            carry.clear();
        }
        tunnel(&mut self.requests);
        tunnel(&mut self.responses);
    }

    /// The wish was not granted: what the client goes on with is HTTP.
    pub(super) fn refuse(&mut self, slot: Slot) {
        let side = &mut self.requests;
        match side.state {
            State::Choice if side.slot == slot => side.state = State::Head,
            State::Tunnel if side.slot == slot => side.state = State::Seek,
            _ => {}
        }
    }
}

fn tunnel(side: &mut Side) {
    if !matches!(side.state, State::Ended) {
        side.state = State::Tunnel;
    }
}
