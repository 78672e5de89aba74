//! HTTP/2 (RFC 9113) for a passive reader of both directions, of one, or of what loss has left of them.
//!
//! Each direction is a state machine over frames; the streams join the two. Bodies are read out of the chunk they came
//! in; those of no interest are passed over by the length of their frames, untouched. A gap inside a frame leaves the
//! direction in step, any other makes it look for the next frame at the start of a chunk; both forget what header
//! compression knew, so that later heads lack what they only refer to, and say so. Settings, priorities, windows and
//! pings are passed over and cost nothing; promised streams are refused, their heads decoded for the tables' sake.
//! It judges nothing, and is as lenient as the most lenient peer: only what ends every connection is out of step.

mod blocks;
mod bodies;
mod frame;
mod head;
pub(super) mod hpack;
mod loss;
mod probe;
mod streams;
mod table;

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod conversations;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod talk;

use self::blocks::Block;
use self::bodies::Payload;
use self::frame::{HEAD_BYTES, Kind, PREFACE};
use self::head::Draft;
use self::hpack::Decoder;
use self::probe::{RESUME, looks};
use self::streams::{Phase, Streams};
use super::Limits;
use super::h1::probe::Looks;
use crate::model::chunk::{Chunk, Data};
use crate::model::message::Request;
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::stream::carry::Carry;
use crate::stream::layer::{Layer, Protocol, Step, Up};

/// Row of the protocol table.
pub const PROTOCOL: Protocol = Protocol {
    name: "HTTP/2",
    transport: Transport::Tcp,
    probe: probe::probe,
    open: |env| Box::new(Http2::new(Limits::of(env), State::Seek, 0)),
};

/// Bytes within which a frame that is cut by the end of a chunk has to show itself.
const SEEK_MAX_BYTES: usize = 512;

/// Both directions of a connection.
pub(super) struct Http2 {
    limits: Limits,
    requests: Side,
    responses: Side,
    streams: Streams,
    draft: Draft,
    /// Whether this connection has carried JSON-RPC in a body.
    rpc: bool,
    /// Whether its preface was met: another one begins another connection.
    begun: bool,
    /// Whether stream 1 was asked for in HTTP/1.
    upgraded: bool,
    /// Bytes that all bodies hold.
    held: usize,
}

/// One direction.
struct Side {
    state: State,
    carry: Carry,
    decoder: Decoder,
    /// Between the frames of one header block.
    block: Option<Block>,
    /// Whether heads may have been missed.
    lossy: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Collecting a frame of a header block.
    Block(frame::Head),
    Data(Payload),
    /// Nothing more comes.
    Ended,
    /// At or in a frame head.
    Head,
    /// In front of the length of the padding.
    Padding(Payload),
    /// Looking for the start of a frame.
    Seek,
    /// So many bytes are of no interest.
    Skip(u32),
}

impl Side {
    fn new(state: State) -> Self {
        Self {
            state,
            carry: Carry::default(),
            decoder: Decoder::new(),
            block: None,
            lossy: matches!(state, State::Seek),
        }
    }
}

impl Layer for Http2 {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let in_step = match chunk.data {
            Data::Bytes(bytes) => self.bytes(chunk.dir, chunk.at, bytes, up),
            Data::Gap(missing) => {
                self.gap(chunk.dir, missing, up);
                true
            }
            Data::End => {
                self.end(chunk.dir, up);
                true
            }
        };
        if in_step {
            return Step::Continue;
        }
        self.cut_all(Direction::ToServer, up);
        self.cut_all(Direction::ToClient, up);
        Step::Desync
    }
}

impl Http2 {
    fn new(limits: Limits, state: State, base: u64) -> Self {
        Self {
            limits,
            requests: Side::new(state),
            responses: Side::new(state),
            streams: Streams::new(limits, base),
            draft: Draft::default(),
            rpc: false,
            begun: false,
            upgraded: false,
            held: 0,
        }
    }

    /// What another framing was written as.
    pub(super) fn carried(limits: Limits) -> Self {
        Self::new(limits, State::Head, 0)
    }

    /// The connection that an HTTP/1 one was upgraded to (RFC 7540, section 3.2), after so many exchanges.
    pub(super) fn upgraded(limits: Limits, base: u64) -> Self {
        Self {
            upgraded: true,
            ..Self::new(limits, State::Head, base)
        }
    }

    /// The request that asked for the upgrade: its answer comes on stream 1.
    pub(super) fn adopt(&mut self, request: Request, candidate: bool, rpc: bool) {
        self.rpc |= rpc;
        let Some(exchange) = self.streams.open(1) else { return };
        if exchange.transaction.request.is_none() {
            exchange.transaction.request = Some(request);
            exchange.candidate |= candidate;
            exchange.request.phase = Phase::Done;
        }
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
            let in_step = match self.side(dir).state {
                State::Ended => return true,
                State::Block(head) => self.block(dir, head, at, &mut rest, up),
                State::Data(payload) => {
                    self.data(dir, payload, at, &mut rest, up);
                    true
                }
                State::Head => match take_head(&mut self.side(dir).carry, at, &mut rest) {
                    Some((at, head)) => self.frame(dir, at, head, up),
                    None => return true,
                },
                State::Padding(payload) => self.padding(dir, payload, &mut rest, up),
                State::Seek => return self.seek(dir, at, rest, up),
                State::Skip(left) => {
                    let taken = take(&mut rest, left).len();
                    self.skip(dir, left.saturating_sub(u32::try_from(taken).unwrap_or(left)));
                    true
                }
            };
            if !in_step {
                return false;
            }
        }
        true
    }

    /// So many bytes of the frame at hand are of no interest.
    fn skip(&mut self, dir: Direction, left: u32) {
        self.side(dir).state = if left == 0 { State::Head } else { State::Skip(left) };
    }

    /// A frame begins. `false` when no peer would go on.
    fn frame(&mut self, dir: Direction, at: Stamp, bytes: [u8; HEAD_BYTES], up: &mut Up<'_>) -> bool {
        if dir == Direction::ToServer && PREFACE.starts_with(&bytes) {
            let in_step = self.begin(up);
            let left = PREFACE.len().saturating_sub(HEAD_BYTES);
            self.skip(dir, u32::try_from(left).unwrap_or(0));
            return in_step;
        }
        let head = frame::Head::parse(&bytes);
        if !head.is_possible() || !self.continues(dir, &head) {
            return false;
        }
        match head.kind {
            Kind::Continuation | Kind::Headers | Kind::PushPromise => self.block_frame(dir, at, head, up),
            Kind::Data => {
                self.data_frame(dir, at, head, up);
                true
            }
            Kind::RstStream => {
                self.skip(dir, head.len);
                self.close(head.stream, up);
                true
            }
            Kind::GoAway | Kind::Ping | Kind::Priority | Kind::Settings | Kind::Unknown | Kind::WindowUpdate => {
                self.skip(dir, head.len);
                true
            }
        }
    }

    /// A new connection. What the server sent before the preface of the first one belongs to it. `false` when that is
    /// out of step.
    fn begin(&mut self, up: &mut Up<'_>) -> bool {
        let again = std::mem::replace(&mut self.begun, true);
        if again || !(self.streams.is_empty() || self.upgraded) {
            self.cut_all(Direction::ToServer, up);
            self.cut_all(Direction::ToClient, up);
            *self = Self::new(self.limits, State::Head, 0);
            self.begun = true;
            return true;
        }
        self.requests.decoder = Decoder::new();
        if !self.upgraded {
            self.responses.decoder = Decoder::new();
        }
        self.requests.lossy = false;
        self.responses.lossy = false;
        if let State::Seek = self.responses.state {
            self.responses.state = State::Head;
            let held = std::mem::take(&mut self.responses.carry);
            return self.bytes(Direction::ToClient, held.at(), held.bytes(), up);
        }
        true
    }

    /// Joined midway, or after a loss: a chunk that begins with a frame brings the direction back into step.
    fn seek(&mut self, dir: Direction, at: Stamp, rest: &[u8], up: &mut Up<'_>) -> bool {
        let side = self.side(dir);
        if !side.carry.is_empty() {
            let taken = side.carry.take(at, rest, SEEK_MAX_BYTES);
            match looks(side.carry.bytes(), RESUME) {
                Looks::Like => {
                    let held = std::mem::take(&mut side.carry);
                    side.state = State::Head;
                    let in_step = self.bytes(dir, held.at(), held.bytes(), up);
                    return in_step && self.bytes(dir, at, rest.get(taken..).unwrap_or_default(), up);
                }
                Looks::Short if taken == rest.len() => return true,
                Looks::Short | Looks::Unlike => side.carry.clear(),
            }
        }
        match looks(rest, RESUME) {
            Looks::Like => {
                self.side(dir).state = State::Head;
                self.bytes(dir, at, rest, up)
            }
            Looks::Short => {
                let carry = &mut self.side(dir).carry;
                if carry.take(at, rest, SEEK_MAX_BYTES) < rest.len() {
                    carry.clear();
                }
                true
            }
            Looks::Unlike => true,
        }
    }
}

/// Reads a frame head from the front of `rest`, or from what was carried over and `rest`, with its first packet.
fn take_head(carry: &mut Carry, at: Stamp, rest: &mut &[u8]) -> Option<(Stamp, [u8; HEAD_BYTES])> {
    if let (true, Some((head, behind))) = (carry.is_empty(), rest.split_first_chunk()) {
        *rest = behind;
        return Some((at, *head));
    }
    let taken = carry.take(at, rest, HEAD_BYTES);
    *rest = rest.get(taken..).unwrap_or_default();
    let head = (carry.at(), *carry.bytes().first_chunk()?);
    carry.clear();
    Some(head)
}

/// At most so many bytes from the front of `rest`.
fn take<'r>(rest: &mut &'r [u8], max: u32) -> &'r [u8] {
    let max = usize::try_from(max).map_or(rest.len(), |max| max.min(rest.len()));
    let (piece, behind) = rest.split_at(max);
    *rest = behind;
    piece
}
