//! From HTTP to another protocol on the same connection: `Upgrade` (RFC 9110, section 7.8) and `CONNECT` (section
//! 9.3.6). What follows is a stream of its own; which one is for the stream above to find out.
//!
//! What a client sends before the answer is kept, bounded by the size of a head.

use super::probe::{Looks, request_line};
use super::transactions::Slot;
use super::{Http1, Side, State, Stop};
use crate::model::chunk::{Chunk, Data};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::stream::layer::Up;

impl Http1 {
    /// Keeps what a client sends before its request for another protocol is answered.
    pub(super) fn hold(&mut self, at: Stamp, rest: &mut &[u8], up: &mut Up<'_>) -> Option<Stop> {
        let side = &mut self.requests;
        if side.carry.is_empty() && request_line(rest) != Looks::Unlike {
            // It goes on in HTTP and does not wait: a server may ignore the wish (RFC 9110, section 7.8).
            side.state = State::Head;
            return None;
        }
        let kept = side.carry.take(at, rest, self.limits.head_max_bytes);
        *rest = rest.get(kept..).unwrap_or_default();
        if !rest.is_empty() {
            self.release(up);
            side_tunnel(&mut self.requests);
        }
        None
    }

    /// The protocol changes: what follows in both directions is another stream.
    pub(super) fn uncover(&mut self, up: &mut Up<'_>) -> Option<Stop> {
        self.cut(Direction::ToServer, 0, up);
        self.release(up);
        side_tunnel(&mut self.requests);
        side_tunnel(&mut self.responses);
        None
    }

    /// The wish for another protocol was not granted: what was kept is HTTP.
    pub(super) fn refuse(&mut self, slot: Slot, up: &mut Up<'_>) -> Option<Stop> {
        if !matches!(self.requests.state, State::Held) || self.requests.slot != slot {
            return None;
        }
        self.requests.state = State::Head;
        let held = std::mem::take(&mut self.requests.carry);
        (!self.bytes(Direction::ToServer, held.at(), held.bytes(), up)).then_some(Stop::Lost)
    }

    /// Hands on what was kept.
    pub(super) fn release(&mut self, up: &mut Up<'_>) {
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
    }
}

fn side_tunnel(side: &mut Side) {
    side.carry.clear();
    if !matches!(side.state, State::Ended) {
        side.state = State::Tunnel;
    }
}
