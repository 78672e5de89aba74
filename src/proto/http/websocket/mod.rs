//! WebSocket messages (RFC 6455) of one direction, out of whatever carries them: HTTP/1 behind a 101, a stream of HTTP/2
//! (RFC 8441), a connection that is joined midway.
//!
//! A message that comes whole and unmasked is borrowed, a masked one is unmasked into one recycled buffer, one in several
//! pieces is joined. Messages that do not begin like JSON are passed over by length; compressed ones are decoded as far
//! as the window needs it. A gap in a payload costs its message. A gap anywhere else, and whatever is no frame, makes the
//! direction look for a frame that begins a segment: the handshake, and with it whose messages these are, stays known.
//! Endpoints check more than this reader does, who speaks masked for one.

mod extension;
mod frame;
mod midway;
mod unpack;

#[cfg(test)]
mod tests;

pub(super) use self::extension::{Deflate, is_mcp, is_upgrade, settled};
pub use self::midway::PROTOCOL;

use self::frame::{Frame, HEAD_MAX_BYTES, Kind, Parsed, parse, unmask};
use self::unpack::{TAIL, UNPACK_BYTES, Unpack, Unpacked};
use super::Limits;
use super::body::{Plan, Reader, Said, Say};
use super::content::{self, Coding, JSONRPC, Peek, peek};
use crate::model::message::Body;
use crate::model::stamp::Stamp;
use crate::stream::carry::{Carry, release};

/// Bytes of a masked message that are looked at before it is unmasked.
const PEEK_BYTES: usize = 16;
/// Bytes of a frame that are unmasked to tell whether it holds JSON-RPC, where no handshake says that it is a frame.
const LOOK_MAX_BYTES: usize = 4096;

/// A reader of one direction.
pub(super) struct Socket {
    limits: Limits,
    deflate: Deflate,
    state: State,
    /// A head that a segment did not hold whole.
    head: Carry,
    /// How the message is read that has begun.
    message: Option<Reading>,
    reader: Reader,
    unpack: Option<Box<Unpack>>,
    scratch: Vec<u8>,
    /// Packet that carried the first byte of the message.
    began: Stamp,
    /// JSON is collected whatever its first key is: MCP was agreed on, or JSON-RPC was met.
    candidate: bool,
    /// Messages were sent that were not read.
    midway: bool,
    /// Messages that were given up at the bound of their output and not yet asked for.
    shed: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing more comes.
    Ended,
    Head,
    Payload(Frame),
    /// Passing over bytes until a frame begins a segment.
    Seek,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Packed {
        fresh: bool,
    },
    Plain,
    /// Passed over by length.
    Skipped,
}

impl Socket {
    /// For a direction that begins with its first frame.
    pub(super) fn new(limits: Limits, deflate: Deflate, candidate: bool) -> Self {
        Self {
            limits,
            deflate,
            state: State::Head,
            head: Carry::default(),
            message: None,
            reader: Reader::new(limits),
            unpack: None,
            scratch: Vec::new(),
            began: Stamp::default(),
            candidate,
            midway: false,
            shed: 0,
        }
    }

    /// For a direction that is joined anywhere.
    pub(super) fn midway(limits: Limits) -> Self {
        Self {
            state: State::Seek,
            midway: true,
            ..Self::new(limits, Deflate::Unknown, false)
        }
    }

    /// The handshake's answer has come, after this direction began.
    pub(super) fn settle(&mut self, deflate: Deflate, candidate: bool) {
        self.deflate = deflate;
        self.candidate |= candidate;
    }

    /// How many messages were given up since the last call, because they unpack to more than is allowed.
    pub(super) fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }

    /// The next bytes of the direction.
    pub(super) fn push(&mut self, at: Stamp, bytes: &[u8], say: &mut Say<'_>) {
        let mut say = messages(say);
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.state {
                State::Ended => return,
                State::Head => self.head(at, &mut rest, &mut say),
                State::Payload(frame) => self.payload(frame, &mut rest, &mut say),
                State::Seek => {
                    if !(is_json_rpc(rest) || (self.deflate != Deflate::Never && is_one_packed(rest))) {
                        return;
                    }
                    self.state = State::Head;
                }
            }
        }
    }

    /// So many bytes were not captured.
    pub(super) fn gap(&mut self, missing: u64, say: &mut Say<'_>) {
        let say = &mut messages(say);
        let State::Payload(frame) = &mut self.state else {
            return match self.state {
                State::Ended | State::Seek => {}
                State::Head | State::Payload(_) => self.lose_step(say),
            };
        };
        let Some(left) = frame.left.checked_sub(missing) else {
            return self.lose_step(say);
        };
        frame.left = left;
        if !frame.is_data() {
            return self.pass(say);
        }
        let unread = if frame.last { missing.saturating_add(left) } else { 0 };
        match self.message {
            Some(Reading::Packed { .. }) => self.break_off(0, say),
            Some(Reading::Plain) => self.break_off(unread, say),
            Some(Reading::Skipped) | None => {}
        }
        self.pass(say);
    }

    /// Bytes of the message at hand that are kept, and what unpacking it takes.
    pub(super) fn held_bytes(&self) -> usize {
        let unpack = if self.unpack.is_some() { UNPACK_BYTES } else { 0 };
        self.reader.held_bytes().saturating_add(unpack)
    }

    /// The direction has ended.
    pub(super) fn end(&mut self, say: &mut Say<'_>) {
        let missing = match self.state {
            State::Payload(frame) if frame.last => frame.left,
            _ => 0,
        };
        self.break_off(missing, &mut messages(say));
        self.state = State::Ended;
    }

    fn head(&mut self, at: Stamp, rest: &mut &[u8], say: &mut Say<'_>) {
        let before = self.head.len();
        let parsed = if before == 0 {
            parse(rest)
        } else {
            self.head.take(at, rest, HEAD_MAX_BYTES);
            parse(self.head.bytes())
        };
        let began = if before == 0 { at } else { self.head.at() };
        let (frame, len) = match parsed {
            Parsed::Head(frame, len) => (frame, len),
            Parsed::Malformed => return self.lose_step(say),
            Parsed::Partial => {
                if before == 0 {
                    self.head.take(at, rest, HEAD_MAX_BYTES);
                }
                *rest = &[];
                return;
            }
        };
        self.head.clear();
        *rest = rest.get(len.saturating_sub(before)..).unwrap_or_default();
        if !self.begin(began, frame) {
            return self.lose_step(say);
        }
        self.state = State::Payload(frame);
        self.pass(say);
    }

    /// A frame begins. `false` when none can begin here.
    fn begin(&mut self, at: Stamp, frame: Frame) -> bool {
        match (frame.kind, self.message) {
            (Kind::Close | Kind::Sign, _) | (Kind::Continuation, Some(_)) => return true,
            (Kind::Continuation, None) | (Kind::Message, Some(_)) => return false,
            (Kind::Message, None) => {}
        }
        let fresh = self.deflate == (Deflate::Messages { fresh: true });
        let reading = match (frame.packed, self.deflate) {
            (false, _) => Reading::Plain,
            (true, Deflate::Foreign) => Reading::Skipped,
            (true, Deflate::Never) => return false,
            (true, Deflate::Messages { .. } | Deflate::Unknown) => Reading::Packed { fresh },
        };
        if let Reading::Packed { fresh } = reading {
            let (max_bytes, midway) = (self.limits.inflate_max_bytes, self.midway);
            self.unpack
                .get_or_insert_with(|| Box::new(Unpack::new(max_bytes, midway)))
                .begin(fresh);
        }
        (self.message, self.began) = (Some(reading), at);
        self.reader.open(Plan {
            kind: content::Kind::Json,
            coding: Coding::IDENTITY,
            candidate: self.candidate,
            alone: false,
            torn: false,
            at,
        });
        true
    }

    fn payload(&mut self, mut frame: Frame, rest: &mut &[u8], say: &mut Say<'_>) {
        let take = usize::try_from(frame.left).map_or(rest.len(), |left| left.min(rest.len()));
        let (piece, behind) = rest.split_at(take);
        *rest = behind;
        frame.left = frame.left.saturating_sub(piece.len() as u64);
        if frame.is_data() {
            self.data(piece, &mut frame, say);
        }
        self.state = State::Payload(frame);
        self.pass(say);
    }

    /// Payload of a message.
    fn data(&mut self, piece: &[u8], frame: &mut Frame, say: &mut Say<'_>) {
        let (Some(reading @ (Reading::Packed { .. } | Reading::Plain)), false) = (self.message, piece.is_empty())
        else {
            return;
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let plain = match &mut frame.mask {
            None => piece,
            Some(mask) => {
                if reading == Reading::Plain && self.reader.is_fresh() {
                    unmask(
                        piece.get(..PEEK_BYTES).unwrap_or(piece),
                        &mut mask.clone(),
                        &mut scratch,
                    );
                    if peek(&scratch) == Peek::NotJson {
                        self.message = Some(Reading::Skipped);
                    }
                    scratch.clear();
                }
                if self.message == Some(reading) {
                    unmask(piece, mask, &mut scratch);
                }
                &scratch
            }
        };
        match self.message {
            Some(Reading::Packed { .. }) => self.unpack(plain, say),
            Some(Reading::Plain) => self
                .reader
                .push(self.began, plain, frame.last.then_some(frame.left), say),
            Some(Reading::Skipped) | None => {}
        }
        release(&mut scratch);
        self.scratch = scratch;
        // A window that is kept needs every message, whatever it says.
        if self.reader.is_over() && matches!(reading, Reading::Plain | Reading::Packed { fresh: true }) {
            self.message = Some(Reading::Skipped);
        }
    }

    fn unpack(&mut self, mut packed: &[u8], say: &mut Say<'_>) {
        let Some(unpack) = &mut self.unpack else { return };
        loop {
            match unpack.next(&mut packed) {
                Unpacked::Output(text) => self.reader.push(self.began, text, None, say),
                Unpacked::Hole(text) => {
                    if !text.is_empty() {
                        self.reader.push(self.began, text, None, say);
                    }
                    self.reader.cut(0, say);
                }
                Unpacked::More => return,
                found @ (Unpacked::Failed | Unpacked::Over) => {
                    self.shed = self.shed.saturating_add(u64::from(found == Unpacked::Over));
                    self.reader.cut(0, say);
                    self.message = Some(Reading::Skipped);
                    return;
                }
            }
        }
    }

    /// Leaves a frame whose payload has come.
    fn pass(&mut self, say: &mut Say<'_>) {
        let State::Payload(frame) = self.state else { return };
        if frame.left > 0 {
            return;
        }
        self.state = match frame.kind {
            Kind::Close => State::Ended,
            _ => State::Head,
        };
        if !frame.is_data() || !frame.last {
            return;
        }
        if let Some(Reading::Packed { .. }) = self.message {
            self.unpack(&TAIL, say);
        }
        if matches!(self.message.take(), Some(Reading::Packed { .. } | Reading::Plain)) {
            self.reader.finish(say);
        }
        self.candidate |= self.reader.is_rpc();
    }

    /// The message that is read breaks off: tells what there is of it, and passes over the rest.
    fn break_off(&mut self, missing: u64, say: &mut Say<'_>) {
        let packed = matches!(self.message, Some(Reading::Packed { .. }));
        if packed && let Some(unpack) = &mut self.unpack {
            unpack.lose();
        }
        if packed || self.message == Some(Reading::Plain) {
            self.reader.cut(missing, say);
            self.message = Some(Reading::Skipped);
        }
    }

    #[cold]
    fn lose_step(&mut self, say: &mut Say<'_>) {
        self.break_off(0, say);
        // Messages may lie in what is missing.
        if let Some(unpack) = &mut self.unpack {
            unpack.lose();
        }
        self.midway = true;
        self.message = None;
        self.head.clear();
        self.state = State::Seek;
    }
}

/// What is not of interest is no message.
fn messages(say: &mut Say<'_>) -> impl FnMut(Said<'_>) {
    |said| {
        if said.body != Body::Absent {
            say(said);
        }
    }
}

/// Whether bytes begin with the frame of a message that says in clear that it is JSON-RPC.
fn is_json_rpc(bytes: &[u8]) -> bool {
    let Parsed::Head(frame, len) = parse(bytes) else {
        return false;
    };
    if frame.kind != Kind::Message || frame.packed {
        return false;
    }
    let payload = bytes.get(len..).unwrap_or_default();
    let end = usize::try_from(frame.left).map_or(payload.len(), |left| left.min(payload.len()));
    let payload = payload.get(..end).unwrap_or_default();
    let mut plain = Vec::new();
    let text = match frame.mask {
        None => payload,
        Some(mut mask) => {
            unmask(payload.get(..LOOK_MAX_BYTES).unwrap_or(payload), &mut mask, &mut plain);
            &plain
        }
    };
    match peek(text) {
        Peek::Rpc => true,
        Peek::Json | Peek::Maybe => JSONRPC.find(text).is_some(),
        Peek::NotJson | Peek::Short => false,
    }
}

/// Whether bytes are exactly one compressed message in one frame.
fn is_one_packed(bytes: &[u8]) -> bool {
    match parse(bytes) {
        Parsed::Head(frame, len) => {
            frame.packed
                && frame.last
                && frame.left > 0
                && (len as u64).checked_add(frame.left) == Some(bytes.len() as u64)
        }
        _ => false,
    }
}
