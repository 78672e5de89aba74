//! HTTP/1.x (RFC 9112) for a passive reader of both directions, of one, or of what loss has left of them.
//!
//! Each direction is a state machine of its own; the queue of transactions joins them. In order nothing is copied but
//! heads and bodies that lie in several slices; what is not of interest is passed over by length. A gap inside a body
//! is passed over too, a gap anywhere else loses step. It judges nothing: what is odd stands in the heads.

mod bodies;
pub(super) mod chunked;
mod framing;
mod head;
mod http2;
pub(super) mod probe;
mod torn;
mod transactions;
mod upgrade;

#[cfg(test)]
mod conversations;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod losses;
#[cfg(test)]
pub(super) mod talk;

use self::framing::Framing;
use self::head::{Head, Parsed};
use self::probe::{Looks, request_line, status_line, without_line_ends};
use self::transactions::{Slot, Transactions};
use super::Limits;
use super::body::{Plan, Reader};
use super::content::{Kind, coding, has_marks, kind};
use super::h2::Http2;
use super::websocket::Socket;
use crate::model::chunk::{Chunk, Data};
use crate::model::errand::Errand;
use crate::model::message::{Field, HttpMethod};
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::proto::proxy;
use crate::stream::carry::Carry;
use crate::stream::layer::{Layer, Protocol, Step, Up};

/// Row of the protocol table.
pub const PROTOCOL: Protocol = Protocol {
    name: "HTTP/1",
    transport: Transport::Tcp,
    probe: probe::probe,
    open: |env| Box::new(Http1::new(Limits::of(env))),
};

/// Both directions of a connection.
struct Http1 {
    limits: Limits,
    requests: Side,
    responses: Side,
    transactions: Transactions,
    /// Whether this connection has carried JSON-RPC in a body.
    rpc: bool,
    /// What the connection was upgraded to, when that is known here: its first answer belongs to a request of ours.
    http2: Option<Box<Http2>>,
    /// Where the `CONNECT` at hand leads, until that is told.
    relay: Option<String>,
}

/// One direction.
struct Side {
    state: State,
    slot: Slot,
    carry: Carry,
    reader: Reader,
    socket: Option<Box<Socket>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Body(Framing),
    /// Behind a request for another protocol: what comes next may be HTTP or that protocol.
    Choice,
    /// Nothing more comes, or nothing that can be read.
    Ended,
    Head,
    /// Joined midway: passing over a message whose head was not captured.
    Seek,
    /// The bytes are frames of a WebSocket.
    Socket,
    /// The bytes belong to the stream above.
    Tunnel,
}

/// Why reading a direction stopped.
enum Stop {
    /// Out of step.
    Lost,
    /// All was read.
    More,
}

impl Side {
    fn new(limits: Limits) -> Self {
        Self {
            state: State::Seek,
            slot: Slot::Orphan,
            carry: Carry::default(),
            reader: Reader::new(limits),
            socket: None,
        }
    }
}

impl Layer for Http1 {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let in_step = match chunk.data {
            Data::Bytes(bytes) => self.bytes(chunk.dir, chunk.at, bytes, up),
            Data::Gap(missing) => self.gap(chunk, missing, up),
            Data::End => self.end(chunk, up),
        };
        if in_step {
            // What is in the tunnel may be of no interest; the answer that opened it still is.
            return if self.is_left() { up.step() } else { Step::Continue };
        }
        self.cut(Direction::ToServer, 0, up);
        self.cut(Direction::ToClient, 0, up);
        Step::Desync
    }
}

impl Http1 {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            requests: Side::new(limits),
            responses: Side::new(limits),
            transactions: Transactions::default(),
            rpc: false,
            http2: None,
            relay: None,
        }
    }

    /// Whether neither direction has HTTP to come.
    const fn is_left(&self) -> bool {
        matches!(self.requests.state, State::Tunnel | State::Ended)
            && matches!(self.responses.state, State::Tunnel | State::Ended)
    }

    fn side(&mut self, dir: Direction) -> &mut Side {
        match dir {
            Direction::ToServer => &mut self.requests,
            Direction::ToClient => &mut self.responses,
        }
    }

    /// Reads on in one direction. `false` when out of step.
    fn bytes(&mut self, dir: Direction, at: Stamp, bytes: &[u8], up: &mut Up<'_>) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let stop = match self.side(dir).state {
                State::Ended => return true,
                State::Socket => {
                    self.socket(dir, up, |socket, say| socket.push(at, rest, say));
                    return true;
                }
                State::Tunnel => {
                    let chunk = Chunk {
                        at,
                        dir,
                        lane: 0,
                        data: Data::Bytes(rest),
                    };
                    return self.tunnel(chunk, up);
                }
                State::Seek => self.seek(dir, at, rest),
                State::Choice => {
                    self.choose(at, rest, up);
                    None
                }
                State::Body(framing) => self.body(dir, framing, at, &mut rest, up),
                State::Head => match dir {
                    Direction::ToServer => self.request_head(at, &mut rest, false, up),
                    Direction::ToClient => self.response_head(at, &mut rest, false, up),
                },
            };
            match stop {
                None => {}
                Some(Stop::More) => return true,
                Some(Stop::Lost) => return false,
            }
        }
        true
    }

    fn seek(&mut self, dir: Direction, at: Stamp, bytes: &[u8]) -> Option<Stop> {
        let looks = match dir {
            Direction::ToServer => request_line(bytes),
            Direction::ToClient => status_line(bytes),
        };
        if looks == Looks::Unlike {
            let adopted = dir == Direction::ToClient && self.adopt(at, bytes);
            return (!adopted).then_some(Stop::More);
        }
        self.side(dir).state = State::Head;
        None
    }

    /// Reads a request head; a `torn` one lacks its end.
    fn request_head(&mut self, at: Stamp, rest: &mut &[u8], torn: bool, up: &mut Up<'_>) -> Option<Stop> {
        let mut request = self.transactions.spare_request();
        let (at, weight) = match take_head(
            &mut self.requests.carry,
            self.limits.head_max_bytes,
            at,
            rest,
            &mut request,
        ) {
            Ok(head) => head,
            Err(stop) => {
                self.transactions.keep_request(request);
                return Some(stop);
            }
        };
        request.at = at;
        let framing = if torn {
            Some(Framing::Torn)
        } else {
            framing::of_request(&request)
        };
        let Some(framing) = framing else {
            return Some(Stop::Lost);
        };
        self.lose_torn_answer(up);
        let headers = &request.headers;
        let changes = request.method == HttpMethod::Connect || headers.has(Field::Upgrade);
        if request.method == HttpMethod::Connect {
            self.relay = proxy::host(request.target.as_bytes());
        }
        let candidate = self.rpc || has_marks(headers);
        let errand = Errand::of(&request);
        let wanted = candidate || errand.is_some_and(Errand::wants_body);
        let answer_wanted = candidate || errand.is_some_and(Errand::wants_answer);
        // A client sends no event streams.
        let kind = Some(kind(headers))
            .filter(|kind| *kind != Kind::Events)
            .unwrap_or(Kind::Other);
        let plan = Plan {
            kind,
            coding: coding(headers),
            candidate: wanted,
            alone: false,
            torn,
            at,
        };
        self.requests.slot = self
            .transactions
            .ask(request, answer_wanted, weight, self.limits.head_max_bytes);
        self.open(Direction::ToServer, framing, plan, up);
        if changes && matches!(framing, Framing::None) {
            self.requests.state = State::Choice;
        }
        None
    }

    /// Reads a response head; a `torn` one lacks its end.
    fn response_head(&mut self, at: Stamp, rest: &mut &[u8], torn: bool, up: &mut Up<'_>) -> Option<Stop> {
        let mut response = self.transactions.spare_response();
        let (at, _) = match take_head(
            &mut self.responses.carry,
            self.limits.head_max_bytes,
            at,
            rest,
            &mut response,
        ) {
            Ok(head) => head,
            Err(stop) => {
                self.transactions.keep_response(response);
                return Some(stop);
            }
        };
        response.at = at;
        let status = response.status;
        if matches!(status, 100 | 102..200) {
            self.transactions.keep_response(response);
            return None;
        }
        if status == 101 && !torn && http2::is_http2(&response.headers) {
            self.transactions.keep_response(response);
            self.turn_to_http2(at, up);
            return None;
        }
        self.transactions.align();
        let method = self.transactions.next_method();
        let tunnel = status == 101 || (method == Some(HttpMethod::Connect) && matches!(status, 200..300));
        let framing = match (tunnel, torn) {
            (true, true) => None,
            (true, false) => Some(Framing::None),
            (false, true) => Some(Framing::Torn),
            (false, false) => framing::of_response(&response, method),
        };
        let Some(framing) = framing else {
            return Some(Stop::Lost);
        };
        let (kind, coding) = (kind(&response.headers), coding(&response.headers));
        let marked = self.rpc || has_marks(&response.headers);
        let slot = self.transactions.answer(response);
        let alone = slot == Slot::Orphan;
        let candidate = marked || self.transactions.get(slot).is_some_and(|exchange| exchange.candidate);
        self.responses.slot = slot;
        if tunnel && self.is_socket(slot) {
            self.open_sockets(at, up);
            return None;
        }
        self.open(
            Direction::ToClient,
            framing,
            Plan {
                kind,
                coding,
                candidate,
                alone,
                torn,
                at,
            },
            up,
        );
        if tunnel {
            self.uncover(at, up);
        } else {
            self.refuse(slot);
        }
        None
    }
}

/// Reads a head from the front of `rest`, or from what was carried over and `rest`: its first packet and its length.
fn take_head<H: Head>(
    carry: &mut Carry,
    max_bytes: usize,
    at: Stamp,
    rest: &mut &[u8],
    head: &mut H,
) -> Result<(Stamp, usize), Stop> {
    if carry.is_empty() {
        *rest = without_line_ends(rest);
        match head::read(head, rest) {
            Parsed::Complete(len) if len <= max_bytes => {
                *rest = rest.get(len..).unwrap_or_default();
                return Ok((at, len));
            }
            Parsed::Partial if carry.take(at, rest, max_bytes) == rest.len() => return Err(Stop::More),
            Parsed::Complete(_) | Parsed::Malformed | Parsed::Partial => return Err(Stop::Lost),
        }
    }
    let before = carry.len();
    let taken = carry.take(at, rest, max_bytes);
    // The empty line may have begun two bytes before what has just come.
    let Some(len) = head::end(carry.bytes(), before.saturating_sub(2)) else {
        return Err(if taken == rest.len() { Stop::More } else { Stop::Lost });
    };
    let at = carry.at();
    let parsed = head::read(head, carry.bytes().get(..len).unwrap_or_default());
    carry.clear();
    *rest = rest.get(len.saturating_sub(before)..).unwrap_or_default();
    match parsed {
        Parsed::Complete(_) => Ok((at, len)),
        Parsed::Malformed | Parsed::Partial => Err(Stop::Lost),
    }
}
