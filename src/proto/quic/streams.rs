//! The streams of an opened connection, each direction of each put in order and handed on (RFC 9000, sections 2 and 3).
//!
//! Bounded in number and in what they hold ahead of holes. A hole is told as a gap once what would fill it was lost to
//! the capture: the receiver has acknowledged a packet that was never seen, or there is no room to wait any longer.
//! What the network lost is sent again, and waited for. Cost per frame in order: two searches in ordered maps, no copy.

use std::collections::{BTreeMap, BTreeSet};

use super::order::Order;
use crate::model::chunk::{Chunk, Data, Lane as Id};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;

/// Streams that are open at a time, both directions counted.
const LANES_MAX: usize = 1024;
/// Bytes that all streams of a connection hold ahead of holes.
const HELD_MAX_BYTES: usize = 1 << 20;
/// Bits of a stream id that tell who opened it, and whether it goes one way (RFC 9000, section 2.1).
const KIND: Id = 3;
/// The second of them.
const ONE_WAY: Id = 2;
/// Finished streams beyond the first unfinished one that are remembered, by kind of stream and direction.
const FINISHED_MAX: usize = 1024;

/// All streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    lanes: BTreeMap<Key, Lane>,
    finished: BTreeMap<(Id, usize), Finished>,
    /// What the orders of all lanes cost.
    held: usize,
    /// What was given up for lack of room.
    shed: u64,
}

/// Stream id, and index of the direction.
type Key = (Id, usize);

#[derive(Debug, Default)]
struct Lane {
    order: Order,
    /// Length of the whole stream, once known.
    length: Option<u64>,
}

/// Streams of one kind that are over, so that what is repeated does not open them again.
#[derive(Debug, Default)]
struct Finished {
    /// All below, but for those that are open.
    below: Id,
    above: BTreeSet<Id>,
}

/// A piece of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) id: Id,
    pub(super) offset: u64,
    pub(super) data: &'a [u8],
    /// Length of the whole stream, where this piece tells.
    pub(super) length: Option<u64>,
    /// What is missing will never come.
    pub(super) reset: bool,
}

/// Takes what is in order.
pub(super) type Sink<'s> = dyn FnMut(Chunk<'_>) + 's;

impl Streams {
    /// A piece that travels in `dir`.
    pub(super) fn push(&mut self, dir: Direction, at: Stamp, piece: &Piece<'_>, sink: &mut Sink<'_>) {
        let key = (piece.id, dir.index());
        if !self.lanes.contains_key(&key) {
            if self.is_finished(key) {
                return;
            }
            self.make_room(at, sink);
        }
        let Self { lanes, held, shed, .. } = self;
        let lane = lanes.entry(key).or_default();
        lane.length = lane.length.or(piece.length);
        let mut give = |data: Data<'_>| {
            sink(Chunk {
                at,
                dir,
                lane: piece.id,
                data,
            });
        };
        let before = lane.order.cost();
        let room = HELD_MAX_BYTES.saturating_sub(held.saturating_sub(before));
        let Piece { offset, data, .. } = *piece;
        if !lane
            .order
            .push(offset, data, room, &mut |bytes| give(Data::Bytes(bytes)))
        {
            // No room to wait any longer.
            *shed = shed.saturating_add(1);
            lane.order.flush(offset, &mut give);
            lane.order.push(offset, data, 0, &mut |bytes| give(Data::Bytes(bytes)));
        }
        if piece.reset {
            lane.order.flush(piece.length.unwrap_or(0), &mut give);
        }
        *held = held.saturating_sub(before).saturating_add(lane.order.cost());
        self.settle(key, &mut give);
    }

    /// Packets that travelled in `dir` were lost to the capture: what waits for them waits no longer.
    pub(super) fn lose(&mut self, dir: Direction, at: Stamp, sink: &mut Sink<'_>) {
        let torn = |(key, lane): (&Key, &Lane)| (key.1 == dir.index() && lane.order.cost() > 0).then_some(*key);
        let torn: Vec<Key> = self.lanes.iter().filter_map(torn).collect();
        for key in torn {
            let mut give = |data: Data<'_>| {
                sink(Chunk {
                    at,
                    dir,
                    lane: key.0,
                    data,
                });
            };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            self.held = self.held.saturating_sub(lane.order.cost());
            lane.order.flush(0, &mut give);
            self.settle(key, &mut give);
        }
    }

    /// What was given up for lack of room since the last call.
    pub(super) fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }

    /// The end of a stream is told once, behind its last byte.
    fn settle(&mut self, key: Key, give: &mut dyn FnMut(Data<'_>)) {
        let done = |lane: &Lane| lane.length.is_some_and(|length| lane.order.next() >= length);
        if self.lanes.get(&key).is_some_and(done) {
            self.lanes.remove(&key);
            self.finish(key);
            give(Data::End);
        }
    }

    /// The oldest request goes when there are too many streams, and its end is told, behind a gap. Those in one direction
    /// live long, and all others depend on some of them: they go last, the newest first.
    fn make_room(&mut self, at: Stamp, sink: &mut Sink<'_>) {
        if self.lanes.len() < LANES_MAX {
            return;
        }
        let mut keys = self.lanes.keys();
        let key = keys.find(|(id, _)| id & ONE_WAY == 0);
        let Some(key) = key.or_else(|| self.lanes.keys().next_back()).copied() else {
            return;
        };
        let Some(mut lane) = self.lanes.remove(&key) else {
            return;
        };
        self.held = self.held.saturating_sub(lane.order.cost());
        self.shed = self.shed.saturating_add(1);
        self.finish(key);
        let to_server = key.1 == Direction::ToServer.index();
        let mut give = |data: Data<'_>| {
            sink(Chunk {
                at,
                dir: if to_server {
                    Direction::ToServer
                } else {
                    Direction::ToClient
                },
                lane: key.0,
                data,
            });
        };
        lane.order.flush(0, &mut give);
        give(Data::Gap(1));
        give(Data::End);
    }

    fn is_finished(&self, (id, dir): Key) -> bool {
        let kind = self.finished.get(&(id & KIND, dir));
        kind.is_some_and(|kind| id < kind.below || kind.above.contains(&id))
    }

    fn finish(&mut self, (id, dir): Key) {
        let kind = self.finished.entry((id & KIND, dir)).or_default();
        // One that was open for long may lie below already.
        if id >= kind.below {
            kind.above.insert(id);
        }
        if kind.below == 0 {
            kind.below = id & KIND;
        }
        while kind.above.remove(&kind.below) {
            kind.below = kind.below.saturating_add(KIND + 1);
        }
        if kind.above.len() > FINISHED_MAX
            && let Some(oldest) = kind.above.pop_first()
        {
            kind.below = oldest.saturating_add(KIND + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;

    fn push(streams: &mut Streams, id: Id, offset: u64, data: &[u8], length: Option<u64>) -> Vec<String> {
        let mut told = Vec::new();
        let piece = Piece {
            id,
            offset,
            data,
            length,
            reset: false,
        };
        streams.push(Direction::ToClient, Stamp::default(), &piece, &mut |chunk| {
            told.push(match chunk.data {
                Data::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Data::Gap(missing) => format!("gap {missing}"),
                Data::End => "end".to_owned(),
            });
        });
        told
    }

    #[test]
    fn one_that_stays_open_is_read_however_many_have_ended() {
        let mut streams = Streams::default();
        assert_eq!(push(&mut streams, 0, 0, b"a", None), ["a"]);
        let last = 4 * (FINISHED_MAX as u64 * 2);
        for id in (4..=last).step_by(4) {
            assert_eq!(push(&mut streams, id, 0, b"x", Some(1)), ["x", "end"]);
        }
        assert_eq!(push(&mut streams, 0, 1, b"b", None), ["b"]);
        assert_eq!(push(&mut streams, last, 0, b"x", Some(1)), [""; 0], "said again");
        assert_eq!(push(&mut streams, 0, 2, b"c", Some(3)), ["c", "end"]);
        for id in [0, 4, last] {
            assert_eq!(push(&mut streams, id, 0, b"abc", Some(3)), [""; 0], "said again");
        }
        assert_eq!((streams.lanes.len(), streams.take_shed()), (0, 0));
    }
}
