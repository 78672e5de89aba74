//! Header blocks (RFC 9113, section 4.3): from the frames that carry them to heads, and from heads to exchanges.
//!
//! A block in one frame and one chunk is decoded where it lies. Every block is decoded, wanted or not, because the
//! next one may refer to it. One that is longer than the longest head is not, and counts as lost: frames without end
//! cost no memory.

use super::frame::{self, Kind};
use super::streams::Phase;
use super::{Http2, State, take};
use crate::model::errand::Errand;
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::http::body::Plan;
use crate::proto::http::content::{Kind as Content, coding, has_marks, kind};
use crate::proto::http::websocket::{Deflate, Socket};
use crate::stream::layer::Up;

/// A header block whose end has not come.
#[derive(Debug)]
pub(super) struct Block {
    of: Origin,
    /// What came of it so far.
    bytes: Vec<u8>,
    /// Whether some of it was lost, or left out at the bound: it is passed over, and what it inserted is not known.
    pub(super) lost: bool,
}

/// What the frame says that a block begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    stream: u32,
    promised: bool,
    ends_stream: bool,
    at: Stamp,
}

impl Http2 {
    /// Whether a frame may come now: between the frames of a block none but the next of them (section 6.10).
    pub(super) fn continues(&mut self, dir: Direction, head: &frame::Head) -> bool {
        match &self.side(dir).block {
            Some(block) => head.kind == Kind::Continuation && head.stream == block.of.stream,
            None => true,
        }
    }

    /// A frame of a header block begins. `false` when it is broken.
    pub(super) fn block_frame(&mut self, dir: Direction, at: Stamp, head: frame::Head, up: &mut Up<'_>) -> bool {
        let head_max_bytes = self.limits.head_max_bytes;
        let side = self.side(dir);
        let (len, before) = match &side.block {
            Some(block) => (head.len, block.bytes.len()),
            None => (head.len, 0),
        };
        let fits = usize::try_from(len).is_ok_and(|len| before.saturating_add(len) <= head_max_bytes);
        // The rest of a block whose beginning was not captured, or that is lost already.
        let orphan = side.block.is_none() && head.kind == Kind::Continuation;
        let lost = orphan || side.block.as_ref().is_some_and(|block| block.lost);
        if !lost {
            let of = Origin {
                stream: head.stream,
                promised: head.kind == Kind::PushPromise,
                ends_stream: head.ends_stream() && head.kind == Kind::Headers,
                at,
            };
            side.block.get_or_insert(Block {
                of,
                bytes: Vec::new(),
                lost: false,
            });
        }
        if fits && !lost {
            if len > 0 {
                side.state = State::Block(head);
                return true;
            }
            return self.fragment(dir, &head, &[], up);
        }
        if !lost {
            up.shed(1);
            self.tear_block(dir, None, &[], up);
        }
        self.lose_block(dir, &head, at);
        self.skip(dir, head.len);
        true
    }

    /// Some of the block that a frame belongs to is not read.
    pub(super) fn lose_block(&mut self, dir: Direction, head: &frame::Head, at: Stamp) {
        let side = self.side(dir);
        side.decoder.forget();
        let before = side.block.take();
        if !head.ends_headers() {
            let of = before.map_or(
                Origin {
                    stream: head.stream,
                    promised: false,
                    ends_stream: false,
                    at,
                },
                |block| block.of,
            );
            side.block = Some(Block {
                of,
                bytes: Vec::new(),
                lost: true,
            });
        }
    }

    /// Reads on in a frame of a header block. `false` when it is broken.
    pub(super) fn block(
        &mut self,
        dir: Direction,
        head: frame::Head,
        at: Stamp,
        rest: &mut &[u8],
        up: &mut Up<'_>,
    ) -> bool {
        let side = self.side(dir);
        let carried = u32::try_from(side.carry.len()).unwrap_or(u32::MAX);
        let piece = take(rest, head.len.saturating_sub(carried));
        if side.carry.is_empty() && piece.len() as u64 == u64::from(head.len) {
            return self.fragment(dir, &head, piece, up);
        }
        // The bound was looked at when the frame began.
        side.carry.take(at, piece, usize::MAX);
        if (side.carry.len() as u64) < u64::from(head.len) {
            return true;
        }
        let mut carry = std::mem::take(&mut side.carry);
        let in_step = self.fragment(dir, &head, carry.bytes(), up);
        carry.clear();
        self.side(dir).carry = carry;
        in_step
    }

    /// The payload of a frame of a header block is whole. `false` when it is broken.
    fn fragment(&mut self, dir: Direction, head: &frame::Head, payload: &[u8], up: &mut Up<'_>) -> bool {
        let side = self.side(dir);
        side.state = State::Head;
        let (Some(fragment), Some(mut block)) = (head.fragment(payload), side.block.take()) else {
            return false;
        };
        if !head.ends_headers() {
            block.bytes.extend_from_slice(fragment);
            side.block = Some(block);
            return true;
        }
        if block.bytes.is_empty() {
            return self.decode(dir, block.of, fragment, up);
        }
        block.bytes.extend_from_slice(fragment);
        self.decode(dir, block.of, &block.bytes, up)
    }

    /// A block breaks off: what came of it is a head that lacks the rest. `payload` is what came of the last frame.
    pub(super) fn tear_block(&mut self, dir: Direction, head: Option<&frame::Head>, payload: &[u8], up: &mut Up<'_>) {
        let Some(mut block) = self.side(dir).block.take().filter(|block| !block.lost) else {
            return self.side(dir).decoder.forget();
        };
        let fragment = head.and_then(|head| head.fragment(payload));
        block.bytes.extend_from_slice(fragment.unwrap_or_default());
        self.draft.clear();
        self.read(dir, &block.bytes);
        self.draft.tear();
        self.side(dir).decoder.forget();
        self.head(dir, block.of, up);
    }

    /// Decodes a whole block. `false` when it is broken, which ends a connection (section 4.3).
    fn decode(&mut self, dir: Direction, of: Origin, bytes: &[u8], up: &mut Up<'_>) -> bool {
        self.draft.clear();
        let whole = self.read(dir, bytes);
        if whole {
            self.head(dir, of, up);
        }
        whole
    }

    fn read(&mut self, dir: Direction, bytes: &[u8]) -> bool {
        let Self {
            draft,
            limits,
            requests,
            responses,
            ..
        } = self;
        let decoder = match dir {
            Direction::ToServer => &mut requests.decoder,
            Direction::ToClient => &mut responses.decoder,
        };
        let mut add = |field: super::hpack::Field<'_>| draft.add(field, limits.head_max_bytes);
        decoder.decode(bytes, &mut add).is_ok()
    }

    /// Fields have come: a head, or trailers.
    fn head(&mut self, dir: Direction, of: Origin, up: &mut Up<'_>) {
        up.shed(u64::from(self.draft.is_cut()));
        match dir {
            _ if of.promised => {}
            Direction::ToServer => self.request(of, up),
            Direction::ToClient => self.response(of, up),
        }
    }

    fn request(&mut self, of: Origin, up: &mut Up<'_>) {
        let known = self.streams.get(of.stream);
        let asked = known.is_some_and(|exchange| exchange.request.phase != Phase::Before);
        if asked || !(self.draft.is_request() || self.draft.is_partial()) {
            return self.trailers(Direction::ToServer, of, up);
        }
        let weight = self.draft.size();
        self.make_room(of.stream, weight, up);
        let (rpc, partial, limits) = (self.rpc, self.draft.is_partial(), self.limits);
        let (opaque, websocket) = (self.draft.is_connect(), self.draft.is_websocket());
        let Some(exchange) = self.streams.open(of.stream) else {
            return;
        };
        let mut request = exchange.spare_request();
        self.draft.fill_request(of.at, &mut request);
        let errand = Errand::of(&request);
        let marked = rpc || has_marks(&request.headers);
        exchange.candidate |= marked || errand.is_some_and(Errand::wants_answer);
        exchange.opaque = opaque;
        exchange.request.socket = websocket.then(|| Box::new(Socket::new(limits, Deflate::Unknown, false)));
        exchange.request.partial = partial;
        // A client sends no event streams.
        let kind = kind(&request.headers);
        let kind = if opaque || kind == Content::Events {
            Content::Other
        } else {
            kind
        };
        let plan = Plan {
            kind,
            coding: coding(&request.headers),
            candidate: exchange.candidate || errand.is_some_and(Errand::wants_body),
            alone: false,
            torn: false,
            at: of.at,
        };
        exchange.transaction.request = Some(request);
        self.streams.weigh(of.stream, weight);
        self.open(Direction::ToServer, of.stream, plan, of.ends_stream, up);
    }

    fn response(&mut self, of: Origin, up: &mut Up<'_>) {
        // A promised stream was refused when it was promised.
        if of.stream.is_multiple_of(2) {
            return;
        }
        let status = self.draft.status();
        if status.is_some_and(|status| status < 200) && !of.ends_stream {
            return;
        }
        let known = self.streams.get(of.stream);
        // A head without a known status may have been an interim one.
        let answered = known.is_some_and(|exchange| {
            let unsure = exchange
                .transaction
                .response
                .as_ref()
                .is_some_and(|head| head.status == 0);
            exchange.response.phase != Phase::Before && !(unsure && status.is_some())
        });
        if answered || !(status.is_some() || self.draft.is_partial()) {
            return self.trailers(Direction::ToClient, of, up);
        }
        let weight = self.draft.size();
        self.make_room(of.stream, weight, up);
        let (rpc, partial, limits) = (self.rpc, self.draft.is_partial(), self.limits);
        let Some(exchange) = self.streams.open(of.stream) else {
            return;
        };
        let mut response = exchange.spare_response();
        self.draft.fill_response(of.at, &mut response);
        exchange.response.partial = partial;
        if !matches!(response.status, 0 | 200..300) {
            // The wish was not granted: what comes is an answer like any other.
            (exchange.opaque, exchange.request.socket) = (false, None);
        }
        let kind = if exchange.opaque {
            Content::Other
        } else {
            kind(&response.headers)
        };
        let plan = Plan {
            kind,
            coding: coding(&response.headers),
            candidate: exchange.candidate || rpc || has_marks(&response.headers),
            alone: exchange.transaction.request.is_none(),
            torn: false,
            at: of.at,
        };
        exchange.transaction.response = Some(response);
        exchange.open_socket(limits);
        self.streams.weigh(of.stream, weight);
        self.open(Direction::ToClient, of.stream, plan, of.ends_stream, up);
    }

    /// Fields behind a body (section 8.1) are passed over; they end it.
    fn trailers(&mut self, dir: Direction, of: Origin, up: &mut Up<'_>) {
        if of.ends_stream {
            self.finish(dir, of.stream, up);
        }
    }
}
