//! Gaps and ends: what is left to read when bytes are missing.
//!
//! Inside a frame the end of the gap is known to lie in it: the body is cut, or the block is, and the next frame is
//! read. A gap that leaves its frame may hold anything: every open body of the direction lacks something, and the next
//! frame has to be found.

use super::bodies::Payload;
use super::streams::{Exchange, Phase};
use super::{Http2, State};
use crate::model::net::Direction;
use crate::stream::layer::Up;

impl Http2 {
    /// So many bytes were not captured.
    pub(super) fn gap(&mut self, dir: Direction, missing: u64, up: &mut Up<'_>) {
        // Bytes behind the gap that belong to the same frame.
        let behind = |left: u32| {
            let left = u64::from(left).checked_sub(missing);
            left.and_then(|left| u32::try_from(left).ok())
        };
        match self.side(dir).state {
            State::Ended => {}
            State::Block(head) => {
                let carry = std::mem::take(&mut self.side(dir).carry);
                let carried = u32::try_from(carry.len()).unwrap_or(u32::MAX);
                let (ends, at) = (head.ends_headers(), carry.at());
                self.tear_block(dir, Some(&head), carry.bytes(), up);
                match behind(head.len.saturating_sub(carried)) {
                    Some(left) => {
                        if !ends {
                            self.lose_block(dir, &head, at);
                        }
                        self.side(dir).lossy = true;
                        self.skip(dir, left);
                    }
                    None => self.lose_step(dir, up),
                }
            }
            State::Data(payload) => match behind(payload.left.saturating_add(payload.padding)) {
                Some(left) => self.tear_payload(dir, payload, left, up),
                None => {
                    self.tear_payload(dir, payload, 0, up);
                    self.lose_step(dir, up);
                }
            },
            State::Head => self.lose_step(dir, up),
            State::Padding(payload) => {
                let left = behind(payload.left);
                // Data and padding cannot be told apart any more.
                self.tear_body(dir, payload.stream, u64::MAX, 0, up);
                let none = Payload { left: 0, ..payload };
                self.end_payload(dir, none, up);
                match left {
                    Some(left) => self.skip(dir, left),
                    None => self.lose_step(dir, up),
                }
            }
            State::Seek => self.side(dir).carry.clear(),
            State::Skip(left) => match behind(left) {
                Some(left) => self.skip(dir, left),
                None => self.lose_step(dir, up),
            },
        }
    }

    /// A gap in the data of a frame: so many bytes of the frame come behind it.
    fn tear_payload(&mut self, dir: Direction, payload: Payload, behind: u32, up: &mut Up<'_>) {
        let missing = if payload.ends_stream {
            u64::from(payload.left)
        } else {
            0
        };
        let left = behind.saturating_sub(payload.padding);
        let lost = u64::from(payload.left.saturating_sub(left));
        self.tear_body(dir, payload.stream, lost, missing, up);
        let payload = Payload {
            left,
            padding: behind.saturating_sub(left),
            ..payload
        };
        if left > 0 {
            self.side(dir).state = State::Data(payload);
            return;
        }
        // The next frame begins a new event, as servers write them.
        if let Some(exchange) = self.streams.get(payload.stream) {
            exchange.half(dir).reader.resume();
        }
        self.end_payload(dir, payload, up);
    }

    /// Where the next frame begins is not known, nor what was in the gap.
    fn lose_step(&mut self, dir: Direction, up: &mut Up<'_>) {
        if self.side(dir).block.is_some() {
            self.tear_block(dir, None, &[], up);
        }
        let side = self.side(dir);
        side.decoder.forget();
        side.carry.clear();
        side.block = None;
        side.lossy = true;
        side.state = State::Seek;
        for id in self.open_bodies(dir) {
            self.tear_body(dir, id, u64::MAX, 0, up);
            if let Some(exchange) = self.streams.get(id) {
                exchange.half(dir).reader.resume();
            }
        }
    }

    /// The direction has ended, and with it every body.
    pub(super) fn end(&mut self, dir: Direction, up: &mut Up<'_>) {
        if self.side(dir).block.is_some() {
            let carry = std::mem::take(&mut self.side(dir).carry);
            let head = match self.side(dir).state {
                State::Block(head) => Some(head),
                _ => None,
            };
            self.tear_block(dir, head.as_ref(), carry.bytes(), up);
        }
        self.cut_all(dir, up);
        let side = self.side(dir);
        side.carry.clear();
        side.state = State::Ended;
    }

    /// Every body of a direction breaks off.
    pub(super) fn cut_all(&mut self, dir: Direction, up: &mut Up<'_>) {
        for id in self.open_bodies(dir) {
            self.cut(dir, id, up);
            if let Some(exchange) = self.streams.get(id) {
                exchange.half(dir).phase = Phase::Done;
            }
        }
    }

    fn open_bodies(&mut self, dir: Direction) -> Vec<u32> {
        let open = |exchange: &mut Exchange| exchange.half(dir).phase == Phase::Body;
        let open = self
            .streams
            .iter()
            .filter_map(|exchange| open(exchange).then_some(exchange.id));
        open.collect()
    }
}
