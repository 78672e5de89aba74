//! HTTP/3 (RFC 9114) for a passive reader: the frames of QUIC's streams, and their field sections.
//!
//! Requests, responses and bodies mean what they mean in HTTP/2, whose reader knows how to join, bound and tell them.
//! So what comes here is put into HTTP/2's framing and handed on: a stream keeps its number, a decoded field section
//! becomes a block of plain fields, data is passed on as it lies, with nine bytes in front. A section that needs
//! insertions of the encoder stream which have not come makes its stream wait, bounded; then what it needs is unknown.
//!
//! A gap inside the data of a stream leaves it in step; behind any other the rest of the stream is passed over. Control
//! streams are read for one setting. Server push, WebTransport and datagrams are passed over.

mod carried;
mod fixed;
mod qpack;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests;

use std::collections::BTreeMap;

use self::carried::{
    DATA_FRAME, END_HEADERS, END_STREAM, FRAME_HEAD_BYTES, FRAME_MAX_BYTES, HEADERS_FRAME, UNKNOWN_FIELD, frame_head,
    number, write,
};
use self::qpack::Decoder;
use super::Limits;
use super::h2::Http2;
use crate::model::chunk::{Chunk, Data, Lane as Id};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::quic::bytes::Bytes;
use crate::stream::layer::{Env, Layer, Step, Up};

/// Streams that are followed at a time, both directions counted; servers allow about a hundred requests.
const LANES_MAX: usize = 1024;
/// Bytes that one stream holds while its field section waits.
const WAITING_MAX_BYTES: usize = 64 * 1024;
/// Streams that may wait at a time.
const WAITING_MAX: usize = 64;
/// Longest head of a frame: two variable-length integers.
const HEAD_MAX_BYTES: usize = 16;
/// Longest SETTINGS frame that is read, in bytes.
const SETTINGS_MAX_BYTES: u64 = 4096;

/// Frame types (section 7.2).
const DATA: u64 = 0x00;
const HEADERS: u64 = 0x01;
const SETTINGS: u64 = 0x04;
/// What opens a WebTransport stream looks like a frame without a length (draft-ietf-webtrans-http3, section 4.2).
const WEBTRANSPORT: u64 = 0x41;
/// Kinds of streams in one direction (section 6.2; RFC 9204, section 4.2).
const CONTROL: u64 = 0x00;
const ENCODER: u64 = 0x02;
/// Setting of RFC 9204, section 5.
const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;

/// One connection. Lanes are QUIC's stream ids.
pub(in crate::proto) struct Http3 {
    limits: Limits,
    inner: Http2,
    lanes: BTreeMap<(Id, usize), Lane>,
    /// Tables of the field sections, by the direction in which these travel.
    decoders: [Decoder; 2],
    /// Packets of that direction were lost to the capture: insertions may be among what was in them.
    lossy: [bool; 2],
    waiting: usize,
    /// Scratch.
    frame: Vec<u8>,
}

/// One direction of one stream.
struct Lane {
    state: State,
    carry: Vec<u8>,
    /// Its field section waits in `carry`; so many bytes of that, then what came behind it.
    waits: Option<usize>,
    /// A field section was handed on.
    headed: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of a body.
    Data(u64),
    Encoder,
    /// A field section of so many bytes.
    Fields(u64),
    /// At or in the head of a frame.
    Head {
        control: bool,
    },
    /// Not of interest.
    Ignored,
    Settings(u64),
    /// So many bytes of a frame of no interest.
    Skip {
        left: u64,
        control: bool,
    },
    /// In front of the kind of a stream in one direction.
    Kind,
}

impl Layer for Http3 {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let key = (chunk.lane, chunk.dir.index());
        if !self.lanes.contains_key(&key) {
            self.make_room(up);
            self.lanes.insert(key, Lane::new(chunk.lane));
        }
        let Some(mut lane) = self.lanes.remove(&key) else {
            return Step::Continue;
        };
        match chunk.data {
            Data::Bytes(bytes) => self.bytes(&mut lane, &chunk, bytes, up),
            Data::Gap(missing) => self.gap(&mut lane, &chunk, missing, up),
            Data::End => self.end(&mut lane, &chunk, up),
        }
        if !lane.ended || lane.waits.is_some() {
            self.lanes.insert(key, lane);
        }
        if self.waiting > 0 {
            self.wake(chunk.at, up);
        }
        Step::Continue
    }
}

impl Lane {
    fn new(id: Id) -> Self {
        let one_way = id & 2 != 0;
        Self {
            state: if one_way {
                State::Kind
            } else {
                State::Head { control: false }
            },
            carry: Vec::new(),
            waits: None,
            headed: false,
            ended: false,
        }
    }
}

impl Http3 {
    /// A connection from its start.
    pub(in crate::proto) fn new(env: &Env) -> Self {
        let limits = Limits::of(env);
        Self {
            limits,
            inner: Http2::carried(limits),
            lanes: BTreeMap::new(),
            decoders: Default::default(),
            lossy: [false; 2],
            waiting: 0,
            frame: Vec::new(),
        }
    }

    /// Packets that travelled in `dir` will never be seen: what waits for insertions waits no longer.
    pub(in crate::proto) fn lose(&mut self, dir: Direction, at: Stamp, up: &mut Up<'_>) {
        if let Some(lossy) = self.lossy.get_mut(dir.index()) {
            *lossy = true;
        }
        let waits = |((_, index), lane): (&(Id, usize), &Lane)| *index == dir.index() && lane.waits.is_some();
        if self.lanes.iter().any(waits) {
            self.decoder(dir).forget();
            self.wake(at, up);
        }
    }

    /// The connection is over, or lost.
    pub(in crate::proto) fn close(&mut self, at: Stamp, up: &mut Up<'_>) {
        for dir in [Direction::ToServer, Direction::ToClient] {
            self.lose(dir, at, up);
            let chunk = Chunk {
                at,
                dir,
                lane: 0,
                data: Data::End,
            };
            self.inner.push(chunk, up);
        }
    }

    /// The oldest stream goes when there are too many.
    fn make_room(&mut self, up: &mut Up<'_>) {
        if self.lanes.len() >= LANES_MAX
            && let Some((_, lane)) = self.lanes.pop_first()
        {
            self.waiting = self.waiting.saturating_sub(usize::from(lane.waits.is_some()));
            up.shed(1);
        }
    }

    fn decoder(&mut self, dir: Direction) -> &mut Decoder {
        let [to_server, to_client] = &mut self.decoders;
        match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    fn bytes(&mut self, lane: &mut Lane, chunk: &Chunk<'_>, bytes: &[u8], up: &mut Up<'_>) {
        if lane.waits.is_some() {
            lane.carry.extend_from_slice(bytes);
            if lane.carry.len() > WAITING_MAX_BYTES {
                up.shed(1);
                self.go_on(lane, chunk, up);
            }
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() && lane.waits.is_none() {
            rest = self.step(lane, chunk, rest, up);
        }
        if lane.waits.is_some() {
            lane.carry.extend_from_slice(rest);
        }
    }

    /// Reads on by one state, and gives what is left.
    fn step<'r>(&mut self, lane: &mut Lane, chunk: &Chunk<'_>, rest: &'r [u8], up: &mut Up<'_>) -> &'r [u8] {
        match lane.state {
            State::Data(left) => {
                let (piece, behind) = split(rest, left);
                self.data(chunk, piece.len() as u64, Some(piece), up);
                lane.state = match left.saturating_sub(piece.len() as u64) {
                    0 => State::Head { control: false },
                    left => State::Data(left),
                };
                behind
            }
            State::Encoder => {
                let max_bytes = self.limits.head_max_bytes;
                self.decoder(chunk.dir).instruct(rest, max_bytes);
                &[]
            }
            State::Fields(length) | State::Settings(length) => {
                let (piece, behind) = split(rest, length.saturating_sub(lane.carry.len() as u64));
                lane.carry.extend_from_slice(piece);
                if lane.carry.len() as u64 >= length {
                    self.collected(lane, chunk, up);
                }
                behind
            }
            State::Head { control } => self.head(lane, control, rest),
            State::Ignored => &[],
            State::Skip { left, control } => {
                let (piece, behind) = split(rest, left);
                lane.state = match left.saturating_sub(piece.len() as u64) {
                    0 => State::Head { control },
                    left => State::Skip { left, control },
                };
                behind
            }
            State::Kind => {
                let (kind, behind) = integers::<1>(&mut lane.carry, rest);
                if let Some([kind]) = kind {
                    lane.state = match kind {
                        CONTROL => State::Head { control: true },
                        ENCODER => State::Encoder,
                        _ => State::Ignored,
                    };
                }
                behind
            }
        }
    }

    fn head<'r>(&mut self, lane: &mut Lane, control: bool, rest: &'r [u8]) -> &'r [u8] {
        let (head, behind) = integers::<2>(&mut lane.carry, rest);
        let Some([kind, length]) = head else { return behind };
        let fits = usize::try_from(length).is_ok_and(|length| length <= self.limits.head_max_bytes);
        lane.state = match kind {
            WEBTRANSPORT if !control => State::Ignored,
            DATA if !control && length > 0 => State::Data(length),
            HEADERS if !control && length > 0 && fits => State::Fields(length),
            SETTINGS if control && (1..=SETTINGS_MAX_BYTES).contains(&length) => State::Settings(length),
            _ if length == 0 => State::Head { control },
            _ => State::Skip { left: length, control },
        };
        behind
    }

    /// A frame that is read as a whole has come.
    fn collected(&mut self, lane: &mut Lane, chunk: &Chunk<'_>, up: &mut Up<'_>) {
        if let State::Settings(_) = lane.state {
            let mut settings = Bytes(&lane.carry);
            while let (Some(id), Some(value)) = (settings.varint(), settings.varint()) {
                if id == QPACK_MAX_TABLE_CAPACITY {
                    // Whoever says so decodes what the other end sends.
                    self.decoder(chunk.dir.flip()).allow(value);
                }
            }
            lane.carry.clear();
            lane.state = State::Head { control: true };
            return;
        }
        let lossy = self.lossy.get(chunk.dir.index()).is_some_and(|lossy| *lossy);
        let needs = self.decoder(chunk.dir).needs(&lane.carry);
        if needs && lossy {
            self.decoder(chunk.dir).forget();
        } else if needs && self.waiting < WAITING_MAX {
            self.waiting = self.waiting.saturating_add(1);
            lane.waits = Some(lane.carry.len());
            return;
        }
        let section = std::mem::take(&mut lane.carry);
        self.fields(chunk, &section, up);
        lane.headed = true;
        lane.state = State::Head { control: false };
    }

    /// A stream that waited goes on.
    fn go_on(&mut self, lane: &mut Lane, chunk: &Chunk<'_>, up: &mut Up<'_>) {
        let Some(length) = lane.waits.take() else { return };
        self.waiting = self.waiting.saturating_sub(1);
        let carry = std::mem::take(&mut lane.carry);
        let (section, behind) = carry.split_at_checked(length).unwrap_or((&carry, &[]));
        self.fields(chunk, section, up);
        lane.headed = true;
        lane.state = State::Head { control: false };
        self.bytes(lane, chunk, behind, up);
        if lane.ended && lane.waits.is_none() {
            self.finish(chunk, up);
        }
    }

    /// Streams whose insertions have come go on.
    fn wake(&mut self, at: Stamp, up: &mut Up<'_>) {
        let ready = |(key, lane): (&(Id, usize), &Lane)| {
            let section = lane.carry.get(..lane.waits?)?;
            let decoder = self.decoders.get(key.1)?;
            (!decoder.needs(section)).then_some(*key)
        };
        let ready: Vec<(Id, usize)> = self.lanes.iter().filter_map(ready).collect();
        for key in ready {
            let Some(mut lane) = self.lanes.remove(&key) else {
                continue;
            };
            let dir = if key.1 == Direction::ToServer.index() {
                Direction::ToServer
            } else {
                Direction::ToClient
            };
            let chunk = Chunk {
                at,
                dir,
                lane: key.0,
                data: Data::End,
            };
            self.go_on(&mut lane, &chunk, up);
            if !lane.ended || lane.waits.is_some() {
                self.lanes.insert(key, lane);
            }
        }
    }

    fn gap(&mut self, lane: &mut Lane, chunk: &Chunk<'_>, missing: u64, up: &mut Up<'_>) {
        if lane.waits.is_some() {
            self.go_on(lane, chunk, up);
        }
        match lane.state {
            State::Data(left) if missing <= left => {
                self.data(chunk, missing, None, up);
                lane.state = match left.saturating_sub(missing) {
                    0 => State::Head { control: false },
                    left => State::Data(left),
                };
                return;
            }
            State::Skip { left, control } if missing < left => {
                let left = left.saturating_sub(missing);
                lane.state = State::Skip { left, control };
                return;
            }
            State::Data(left) => self.data(chunk, left, None, up),
            State::Encoder | State::Kind => self.decoder(chunk.dir).forget(),
            // There was a head, and nobody knows what it said.
            State::Fields(_) | State::Head { control: false } if !lane.headed => self.fields(chunk, &[], up),
            // There may have been more of a body.
            State::Fields(_) | State::Head { control: false } => self.data(chunk, 1, None, up),
            State::Head { .. } | State::Ignored | State::Settings(_) | State::Skip { .. } => {}
        }
        // Where the next frame begins is not known.
        lane.carry.clear();
        lane.state = State::Ignored;
    }

    fn end(&mut self, lane: &mut Lane, chunk: &Chunk<'_>, up: &mut Up<'_>) {
        lane.ended = true;
        if lane.waits.is_none() {
            self.finish(chunk, up);
        }
    }

    /// A field section, as a block of HTTP/2.
    fn fields(&mut self, chunk: &Chunk<'_>, section: &[u8], up: &mut Up<'_>) {
        let Some(stream) = number(chunk.lane) else { return };
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame.extend([0; FRAME_HEAD_BYTES]);
        let whole = self
            .decoder(chunk.dir)
            .decode(section, &mut |field| write(&field, &mut frame));
        if whole.is_err() {
            // Something is missing.
            frame.push(UNKNOWN_FIELD);
        }
        let length = frame.len().saturating_sub(FRAME_HEAD_BYTES) as u64;
        if let Some(head) = frame.first_chunk_mut() {
            *head = frame_head(length, HEADERS_FRAME, END_HEADERS, stream);
        }
        self.pass(chunk, Data::Bytes(&frame), up);
        self.frame = frame;
    }

    /// Bytes of a body, or their absence.
    fn data(&mut self, chunk: &Chunk<'_>, length: u64, piece: Option<&[u8]>, up: &mut Up<'_>) {
        let Some(stream) = number(chunk.lane) else { return };
        // How much is missing is the peer's word, up to 2^62 bytes of one packet. Any gap cuts the body.
        let most = if piece.is_some() { u64::MAX } else { FRAME_MAX_BYTES };
        let length = length.min(most);
        let mut left = length;
        while left > 0 {
            let now = left.min(FRAME_MAX_BYTES);
            self.pass(chunk, Data::Bytes(&frame_head(now, DATA_FRAME, 0, stream)), up);
            let start = usize::try_from(length.saturating_sub(left)).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(now).unwrap_or(usize::MAX));
            match piece.and_then(|piece| piece.get(start..end)) {
                Some(bytes) => self.pass(chunk, Data::Bytes(bytes), up),
                None => self.pass(chunk, Data::Gap(now), up),
            }
            left = left.saturating_sub(now);
        }
    }

    /// One direction of a stream is complete.
    fn finish(&mut self, chunk: &Chunk<'_>, up: &mut Up<'_>) {
        if let Some(stream) = number(chunk.lane) {
            self.pass(chunk, Data::Bytes(&frame_head(0, DATA_FRAME, END_STREAM, stream)), up);
        }
    }

    fn pass(&mut self, chunk: &Chunk<'_>, data: Data<'_>, up: &mut Up<'_>) {
        // It cannot lose step: what it reads was written here.
        self.inner.push(
            Chunk {
                lane: 0,
                data,
                ..*chunk
            },
            up,
        );
    }
}

/// At most so many bytes, and those behind them.
fn split(bytes: &[u8], max: u64) -> (&[u8], &[u8]) {
    let max = usize::try_from(max).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at_checked(max).unwrap_or((bytes, &[]))
}

/// So many variable-length integers from what was carried over and what has come, and what is left of that. Without
/// them all has been carried over.
fn integers<'r, const N: usize>(carry: &mut Vec<u8>, rest: &'r [u8]) -> (Option<[u64; N]>, &'r [u8]) {
    let read = |bytes: &[u8]| -> Option<([u64; N], usize)> {
        let mut cursor = Bytes(bytes);
        let mut out = [0; N];
        for place in &mut out {
            *place = cursor.varint()?;
        }
        Some((out, bytes.len().saturating_sub(cursor.0.len())))
    };
    if carry.is_empty()
        && let Some((found, length)) = read(rest)
    {
        return (Some(found), rest.get(length..).unwrap_or_default());
    }
    let before = carry.len();
    let (more, behind) = split(rest, HEAD_MAX_BYTES.saturating_sub(before) as u64);
    carry.extend_from_slice(more);
    let Some((found, length)) = read(carry) else {
        return (None, behind);
    };
    carry.clear();
    let taken = length.saturating_sub(before);
    (Some(found), rest.get(taken..).unwrap_or_default())
}
