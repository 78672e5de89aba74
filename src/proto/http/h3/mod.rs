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
mod lane;
mod qpack;
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests;

use std::collections::BTreeMap;

use self::carried::{
    DATA_FRAME, END_HEADERS, END_STREAM, FRAME_HEAD_BYTES, FRAME_MAX_BYTES, HEADERS_FRAME, UNKNOWN_FIELD, frame_head,
    number, write,
};
use self::lane::{Lane, ONE_WAY, State, integers, split};
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
/// Bytes that all streams of a connection hold of their field sections, waiting or not whole.
const HELD_MAX_BYTES: usize = 1 << 20;
/// Packets of the connection that a field section waits for insertions that may have been lost to the capture.
const WAITING_MAX_PACKETS: u64 = 32;
/// Streams that may wait at a time.
const WAITING_MAX: usize = 64;
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
    /// Bytes in what all lanes carry.
    held: usize,
    /// How many were read.
    packets: u64,
    /// Scratch.
    frame: Vec<u8>,
}

impl Layer for Http3 {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let key = (chunk.lane, chunk.dir.index());
        if !self.lanes.contains_key(&key) {
            self.make_room(chunk.at, up);
        }
        let mut lane = self.take(key).unwrap_or_else(|| Lane::new(chunk.lane));
        match chunk.data {
            Data::Bytes(bytes) => self.bytes(&mut lane, &chunk, bytes, up),
            Data::Gap(missing) => self.gap(&mut lane, &chunk, missing, up),
            Data::End => self.end(&mut lane, &chunk, up),
        }
        if self.held.saturating_add(lane.carry.len()) > HELD_MAX_BYTES {
            up.shed(1);
            self.gap(&mut lane, &chunk, u64::MAX, up);
        }
        self.keep(key, lane);
        if self.waiting > 0 {
            self.wake(chunk.at, up);
        }
        Step::Continue
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
            held: 0,
            packets: 0,
            frame: Vec::new(),
        }
    }

    /// Packets that travelled in `dir` will never be seen. Insertions may be among what was in them: from now on what
    /// waits for some does not wait long.
    pub(in crate::proto) fn lose(&mut self, dir: Direction) {
        if let Some(lossy) = self.lossy.get_mut(dir.index()) {
            *lossy = true;
        }
    }

    /// A packet of the connection was read.
    pub(in crate::proto) fn packet(&mut self, at: Stamp, up: &mut Up<'_>) {
        self.packets = self.packets.saturating_add(1);
        if self.waiting == 0 || self.lossy == [false; 2] {
            return;
        }
        for dir in [Direction::ToServer, Direction::ToClient] {
            let lossy = self.lossy.get(dir.index()).is_some_and(|lossy| *lossy);
            let due = |((_, index), lane): (&(Id, usize), &Lane)| {
                let age = self.packets.saturating_sub(lane.since);
                *index == dir.index() && lane.waits.is_some() && age >= WAITING_MAX_PACKETS
            };
            if lossy && self.lanes.iter().any(due) {
                self.decoder(dir).forget();
                self.wake(at, up);
            }
        }
    }

    /// The connection is over, or lost.
    pub(in crate::proto) fn close(&mut self, at: Stamp, up: &mut Up<'_>) {
        for dir in [Direction::ToServer, Direction::ToClient] {
            self.decoder(dir).forget();
            self.wake(at, up);
            let chunk = Chunk {
                at,
                dir,
                lane: 0,
                data: Data::End,
            };
            self.inner.push(chunk, up);
        }
    }

    /// The oldest request goes when there are too many streams. Those in one direction live long, and all others depend
    /// on some of them: they go last, the newest first.
    fn make_room(&mut self, at: Stamp, up: &mut Up<'_>) {
        if self.lanes.len() < LANES_MAX {
            return;
        }
        let mut keys = self.lanes.keys();
        let key = keys.find(|(id, _)| id & ONE_WAY == 0);
        let Some(key) = key.or_else(|| self.lanes.keys().next_back()).copied() else {
            return;
        };
        let Some(mut lane) = self.take(key) else { return };
        up.shed(1);
        let chunk = ending(at, key);
        self.gap(&mut lane, &chunk, u64::MAX, up);
        if !lane.ended {
            self.finish(&chunk, up);
        }
    }

    fn take(&mut self, key: (Id, usize)) -> Option<Lane> {
        let lane = self.lanes.remove(&key)?;
        self.held = self.held.saturating_sub(lane.carry.len());
        Some(lane)
    }

    /// Puts a lane back unless it is done.
    fn keep(&mut self, key: (Id, usize), lane: Lane) {
        if !lane.ended || lane.waits.is_some() {
            self.held = self.held.saturating_add(lane.carry.len());
            self.lanes.insert(key, lane);
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
            State::Head { control } => self.head(lane, control, (chunk, rest), up),
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

    fn head<'r>(
        &mut self,
        lane: &mut Lane,
        control: bool,
        (chunk, rest): (&Chunk<'_>, &'r [u8]),
        up: &mut Up<'_>,
    ) -> &'r [u8] {
        let (head, behind) = integers::<2>(&mut lane.carry, rest);
        let Some([kind, length]) = head else { return behind };
        let fits = usize::try_from(length).is_ok_and(|length| length <= self.limits.head_max_bytes);
        if kind == HEADERS && !control && !fits {
            up.shed(1);
            if !std::mem::replace(&mut lane.headed, true) {
                // The body behind it may still tell what it is.
                self.fields(chunk, &[], up);
            }
        }
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
        if self.waiting < WAITING_MAX && self.decoder(chunk.dir).needs(&lane.carry) {
            self.waiting = self.waiting.saturating_add(1);
            lane.since = self.packets;
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
            let Some(mut lane) = self.take(key) else { continue };
            self.go_on(&mut lane, &ending(at, key), up);
            self.keep(key, lane);
        }
    }

    fn gap(&mut self, lane: &mut Lane, chunk: &Chunk<'_>, missing: u64, up: &mut Up<'_>) {
        // What stands behind the section that waits may be another one.
        while lane.waits.is_some() {
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
        lane.carry = Vec::new();
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

/// The end of a lane.
fn ending(at: Stamp, (lane, dir): (Id, usize)) -> Chunk<'static> {
    let to_server = dir == Direction::ToServer.index();
    Chunk {
        at,
        dir: if to_server {
            Direction::ToServer
        } else {
            Direction::ToClient
        },
        lane,
        data: Data::End,
    }
}
