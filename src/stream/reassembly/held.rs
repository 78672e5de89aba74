//! What arrived ahead of a hole: copied, sorted, without overlap.
//!
//! Positions are 64-bit and never wrap, so that a plain ordered map does. Pieces and maps are charged a fixed cost
//! beside their bytes, so that a flood of one-byte segments is bounded like any other.

use std::collections::BTreeMap;

use super::overlap::{Extent, Overlap};
use crate::model::stamp::Stamp;

/// Charged for each held piece beside its bytes: its share of the map and of the allocator, in bytes.
const PIECE_COST_BYTES: usize = 64;
/// Charged for a direction that holds anything: the map and its first node, in bytes.
const MAP_COST_BYTES: usize = 640;

/// A run of bytes at a position: captured bytes, then bytes that the snap length cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    pub(super) pos: u64,
    /// The segment that it is a part of.
    pub(super) origin: Extent,
    pub(super) at: Stamp,
    pub(super) data: &'a [u8],
    pub(super) missing: u64,
}

impl<'a> Run<'a> {
    /// Position behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.pos
            .saturating_add(self.data.len() as u64)
            .saturating_add(self.missing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.missing == 0
    }

    /// The part at and behind `pos`.
    pub(super) fn from(self, pos: u64) -> Self {
        let skip = pos.saturating_sub(self.pos);
        let cut = skip.saturating_sub(self.data.len() as u64);
        let data = usize::try_from(skip)
            .ok()
            .and_then(|skip| self.data.get(skip..))
            .unwrap_or_default();
        Self {
            pos: self.pos.max(pos),
            data,
            missing: self.missing.saturating_sub(cut),
            ..self
        }
    }

    /// The part before `pos`.
    pub(super) fn until(self, pos: u64) -> Self {
        let keep = pos.saturating_sub(self.pos);
        let data = usize::try_from(keep)
            .ok()
            .and_then(|keep| self.data.get(..keep))
            .unwrap_or(self.data);
        Self {
            data,
            missing: self.missing.min(keep.saturating_sub(data.len() as u64)),
            ..self
        }
    }

    fn cost(&self) -> usize {
        self.data.len().saturating_add(PIECE_COST_BYTES)
    }
}

/// The held pieces of one direction. Never empty while it exists.
#[derive(Debug, Default)]
pub(super) struct Held {
    pieces: BTreeMap<u64, Piece>,
    cost: usize,
}

/// An owned [`Run`]; its position is its key.
#[derive(Debug)]
pub(super) struct Piece {
    origin: Extent,
    at: Stamp,
    data: Box<[u8]>,
    missing: u64,
}

impl Piece {
    pub(super) fn run(&self, pos: u64) -> Run<'_> {
        Run {
            pos,
            origin: self.origin,
            at: self.at,
            data: &self.data,
            missing: self.missing,
        }
    }
}

impl Held {
    /// Charged against the budget, in bytes.
    pub(super) fn cost(&self) -> usize {
        if self.pieces.is_empty() {
            0
        } else {
            self.cost.saturating_add(MAP_COST_BYTES)
        }
    }

    /// What holding the parts would cost in addition, in bytes.
    pub(super) fn cost_of(&self, parts: &[Run<'_>]) -> usize {
        let map = if self.pieces.is_empty() { MAP_COST_BYTES } else { 0 };
        parts.iter().fold(map, |sum, part| sum.saturating_add(part.cost()))
    }

    /// Number of pieces.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Position of the first piece.
    pub(super) fn first(&self) -> Option<u64> {
        self.pieces.first_key_value().map(|(pos, _)| *pos)
    }

    /// Stamp of the first piece.
    pub(super) fn first_at(&self) -> Option<Stamp> {
        self.pieces.first_key_value().map(|(_, piece)| piece.at)
    }

    /// Position behind the last piece.
    pub(super) fn end(&self) -> Option<u64> {
        self.pieces.last_key_value().map(|(pos, piece)| piece.run(*pos).end())
    }

    /// The parts of `run` that no piece covers.
    pub(super) fn uncovered<'a>(&self, run: Run<'a>) -> Vec<Run<'a>> {
        let mut parts = Vec::new();
        let mut rest = run;
        if let Some((pos, piece)) = self.pieces.range(..=run.pos).next_back() {
            rest = rest.from(piece.run(*pos).end());
        }
        while !rest.is_empty() {
            let Some((pos, piece)) = self.pieces.range(rest.pos..).next() else {
                parts.push(rest);
                break;
            };
            let part = rest.until(*pos);
            if !part.is_empty() {
                parts.push(part);
            }
            rest = rest.from(piece.run(*pos).end());
        }
        parts
    }

    /// How many pieces hold other bytes than `run` where both have some. Those that `overlap` lets lose there give way:
    /// their other parts stay.
    pub(super) fn contradict(&mut self, run: &Run<'_>, overlap: Overlap) -> u32 {
        let before = self.pieces.range(..run.pos).next_back();
        let differing: Vec<u64> = before
            .into_iter()
            .chain(self.pieces.range(run.pos..run.end()))
            .filter(|(pos, piece)| {
                let mine = piece.run(**pos).from(run.pos);
                let theirs = run.from(**pos);
                mine.pos == theirs.pos && mine.data.iter().zip(theirs.data).any(|(mine, theirs)| mine != theirs)
            })
            .map(|(pos, _)| *pos)
            .collect();
        for pos in &differing {
            self.give_way(*pos, run, overlap);
        }
        u32::try_from(differing.len()).unwrap_or(u32::MAX)
    }

    /// Cuts what `run` has captured out of the piece at `pos`, if it wins there.
    fn give_way(&mut self, pos: u64, run: &Run<'_>, overlap: Overlap) {
        let Some(piece) = self.pieces.get(&pos) else { return };
        let old = piece.run(pos);
        if !overlap.later_wins(run.origin, old.origin) {
            return;
        }
        let Some(piece) = self.pieces.remove(&pos) else { return };
        let old = piece.run(pos);
        self.cost = self.cost.saturating_sub(old.cost());
        let captured = run.pos.saturating_add(run.data.len() as u64);
        let left = [old.until(run.pos.max(pos)), old.from(captured)];
        let left: Vec<Run<'_>> = left.into_iter().filter(|part| !part.is_empty()).collect();
        self.hold(&left);
    }

    /// Copies parts that [`Held::uncovered`] gave.
    pub(super) fn hold(&mut self, parts: &[Run<'_>]) {
        for part in parts {
            self.cost = self.cost.saturating_add(part.cost());
            self.pieces.insert(
                part.pos,
                Piece {
                    origin: part.origin,
                    at: part.at,
                    data: part.data.into(),
                    missing: part.missing,
                },
            );
        }
    }

    /// Takes the first piece out.
    pub(super) fn pop(&mut self) -> Option<(u64, Piece)> {
        let (pos, piece) = self.pieces.pop_first()?;
        self.cost = self.cost.saturating_sub(piece.run(pos).cost());
        Some((pos, piece))
    }
}
