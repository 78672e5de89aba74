//! The bytes of one datagram, as they came: pieces that never overlap, and what became of those that would have.

/// What a fragment did to the pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Some bytes are other ones than those that are there, or the end is another one. What came first stayed.
    Contradiction,
    /// It brought bytes that were not there.
    New,
    /// Some of its bytes were there, the same ones, and it is no copy of a fragment.
    Overlap,
    /// It is a copy.
    Repeat,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    /// Where its bytes lie in `bytes`.
    at: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Sorted; none overlaps another.
    pieces: Vec<Piece>,
    /// In the order in which they came.
    bytes: Vec<u8>,
    /// Where the datagram ends, once the last fragment was seen.
    total: Option<usize>,
}

impl Pieces {
    /// Number of pieces.
    pub(super) const fn len(&self) -> usize {
        self.pieces.len()
    }

    /// What is held, in bytes.
    pub(super) const fn held_bytes(&self) -> usize {
        self.bytes
            .capacity()
            .saturating_add(self.pieces.capacity().saturating_mul(size_of::<Piece>()))
    }

    /// Length of the datagram, as far as it is known.
    pub(super) fn total(&self) -> usize {
        self.total.unwrap_or_default()
    }

    /// Whether no byte is missing.
    pub(super) fn are_whole(&self) -> bool {
        // They never overlap and never reach beyond the end, so that their lengths say it.
        self.total == Some(self.bytes.len())
    }

    /// Drops everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Appends the datagram, which must be whole.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            out.extend_from_slice(self.of(piece));
        }
    }

    /// Whether all of this is there, with the same bytes and the same end.
    pub(super) fn hold(&self, offset: usize, data: &[u8], last: bool) -> bool {
        let end = offset.saturating_add(data.len());
        let ends = self.total == Some(end);
        let mut next = offset;
        for piece in self.touched(offset, end) {
            if piece.start > next || !self.agrees(piece, offset, data) {
                return false;
            }
            next = piece.end;
        }
        next >= end && ends == last
    }

    /// Adds a fragment.
    pub(super) fn insert(&mut self, offset: usize, data: &[u8], last: bool) -> Met {
        let end = offset.saturating_add(data.len());
        let furthest = self.pieces.last().map_or(0, |piece| piece.end);
        let wrong_end = match self.total {
            Some(total) => end > total || (end == total) != last,
            None => last && furthest > end,
        };
        if wrong_end {
            return Met::Contradiction;
        }
        if last {
            self.total = Some(end);
        }
        if self.touched(offset, end).next().is_none() {
            self.fill(offset, end, offset, data);
            return Met::New;
        }
        let (mut next, mut agrees, mut exact) = (offset, true, false);
        let mut holes = Vec::new();
        for piece in self.touched(offset, end) {
            if piece.start > next {
                holes.push((next, piece.start));
            }
            next = piece.end;
            agrees &= self.agrees(piece, offset, data);
            exact |= (piece.start, piece.end) == (offset, end);
        }
        if next < end {
            holes.push((next, end));
        }
        for (start, end) in holes {
            self.fill(start, end, offset, data);
        }
        match (agrees, exact) {
            (false, _) => Met::Contradiction,
            (true, true) => Met::Repeat,
            (true, false) => Met::Overlap,
        }
    }

    /// Takes the part from `start` to `end` out of the fragment at `offset`.
    fn fill(&mut self, start: usize, end: usize, offset: usize, data: &[u8]) {
        let part = data
            .get(start.saturating_sub(offset)..end.saturating_sub(offset))
            .unwrap_or_default();
        let at = self.bytes.len();
        self.bytes.extend_from_slice(part);
        let place = self.pieces.partition_point(|piece| piece.start < start);
        self.pieces.insert(place, Piece { start, end, at });
    }

    /// The pieces that share a byte with this range, in order.
    fn touched(&self, start: usize, end: usize) -> impl Iterator<Item = &Piece> {
        let first = self.pieces.partition_point(|piece| piece.end <= start);
        let rest = self.pieces.get(first..).unwrap_or_default();
        rest.iter().take_while(move |piece| piece.start < end)
    }

    fn of(&self, piece: &Piece) -> &[u8] {
        let len = piece.end.saturating_sub(piece.start);
        self.bytes
            .get(piece.at..)
            .and_then(|rest| rest.get(..len))
            .unwrap_or_default()
    }

    /// Whether a piece and a fragment have the same bytes where they overlap.
    fn agrees(&self, piece: &Piece, offset: usize, data: &[u8]) -> bool {
        let (start, end) = (
            piece.start.max(offset),
            piece.end.min(offset.saturating_add(data.len())),
        );
        let held = self
            .of(piece)
            .get(start.saturating_sub(piece.start)..end.saturating_sub(piece.start));
        held == data.get(start.saturating_sub(offset)..end.saturating_sub(offset))
    }
}
