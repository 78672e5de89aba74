//! What is held of a connection that waits for its secrets, or for the word of its server: chunks in their order, within
//! the bound of a flow and the budget of all.

use crate::model::chunk::{Chunk, Data};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::stream::secrets::Keys;

/// What a piece counts besides its bytes.
const PIECE_BYTES: usize = 64;

/// A chunk that was copied.
pub(super) struct Piece {
    at: Stamp,
    dir: Direction,
    data: Kept,
}

enum Kept {
    Bytes(Vec<u8>),
    End,
    Gap(u64),
}

impl Piece {
    pub(super) fn chunk(&self) -> Chunk<'_> {
        Chunk {
            at: self.at,
            dir: self.dir,
            lane: 0,
            data: match &self.data {
                Kept::Bytes(bytes) => Data::Bytes(bytes),
                Kept::End => Data::End,
                Kept::Gap(bytes) => Data::Gap(*bytes),
            },
        }
    }
}

#[derive(Default)]
pub(super) struct Held {
    pieces: Vec<Piece>,
    bytes: usize,
    /// Bytes of records that wait, which lie where they were put together.
    records: usize,
}

impl Held {
    /// Keeps a chunk; `false` when a bound is reached.
    pub(super) fn push(&mut self, at: Stamp, dir: Direction, data: Data<'_>, keys: &Keys) -> bool {
        let len = match data {
            Data::Bytes(bytes) => bytes.len().saturating_add(PIECE_BYTES),
            Data::End | Data::Gap(_) => PIECE_BYTES,
        };
        if !self.reserve(len, keys) {
            return false;
        }
        self.bytes = self.bytes.saturating_add(len);
        let data = match data {
            Data::Bytes(bytes) => Kept::Bytes(bytes.to_vec()),
            Data::End => Kept::End,
            Data::Gap(bytes) => Kept::Gap(bytes),
        };
        self.pieces.push(Piece { at, dir, data });
        true
    }

    /// Counts a record that waits; `false` when a bound is reached.
    pub(super) fn pin(&mut self, len: usize, keys: &Keys) -> bool {
        let fits = self.reserve(len, keys);
        if fits {
            self.records = self.records.saturating_add(len);
        }
        fits
    }

    /// A record waits no longer.
    pub(super) fn unpin(&mut self, len: usize, keys: &Keys) {
        let len = len.min(self.records);
        self.records = self.records.saturating_sub(len);
        keys.release(len);
    }

    fn reserve(&self, len: usize, keys: &Keys) -> bool {
        let all = self.bytes.saturating_add(self.records).saturating_add(len);
        all <= keys.pending_max_bytes && keys.reserve(len)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All pieces, which count no longer.
    pub(super) fn take(&mut self, keys: &Keys) -> Vec<Piece> {
        keys.release(std::mem::take(&mut self.bytes));
        std::mem::take(&mut self.pieces)
    }

    pub(super) fn clear(&mut self, keys: &Keys) {
        self.unpin(self.records, keys);
        drop(self.take(keys));
    }
}
