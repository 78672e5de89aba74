//! Records of one direction, put together in a buffer in which they can be opened in place.
//!
//! Every byte is copied once, into the buffer that is used for one record after the other. Where bytes were lost the
//! buffer becomes a window, in which the next record is looked for.

use super::protect::Header;
use crate::model::stamp::Stamp;
use crate::proto::tls::frame::{RECORD_HEADER_LEN, record_length};
use crate::stream::carry;

/// Most bytes behind a loss in which a record is looked for: room for three of the longest.
pub(super) const WINDOW_MAX_BYTES: usize = 64 << 10;

/// Sequence numbers that are tried for one record behind a loss.
const REACH_MAX: u64 = 32;

/// Least bytes of a protected record with content, header and tag included.
pub(super) const RECORD_MIN_BYTES: u64 = 22;

/// What came of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A record is whole. The same again until [`Assembly::done`].
    Whole,
    /// All was taken, and more is needed.
    More,
    /// The rest of a record that was lost in part has gone by: its type, and how many bytes it had.
    Lost(u8, u64),
    /// A loss went over the end of a record: whoever has keys is to look through the window.
    Window,
    /// What stands here is no record.
    Wrong,
}

#[derive(Default)]
pub(super) struct Assembly {
    bytes: Vec<u8>,
    at: Stamp,
    state: State,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Record,
    /// So many bytes are left of a record that had so many in all.
    Passing { kind: u8, left: usize, all: u64 },
    /// So many bytes were lost in front of the window.
    Window { lost: u64 },
}

impl Assembly {
    /// Takes what it needs of the input. `at` is the packet that carries it.
    pub(super) fn take(&mut self, at: Stamp, input: &mut &[u8]) -> Taken {
        match self.state {
            State::Record => self.record(at, input),
            State::Passing { kind, left, all } => {
                let left = skip(left, input);
                if left > 0 {
                    self.state = State::Passing { kind, left, all };
                    return Taken::More;
                }
                self.state = State::Record;
                Taken::Lost(kind, all)
            }
            State::Window { .. } if input.is_empty() => Taken::More,
            State::Window { .. } => {
                if self.bytes.is_empty() {
                    self.at = at;
                }
                if self.bytes.len().saturating_add(input.len()) > WINDOW_MAX_BYTES {
                    return Taken::Wrong;
                }
                self.bytes.extend_from_slice(input);
                *input = &[];
                Taken::Window
            }
        }
    }

    fn record(&mut self, at: Stamp, input: &mut &[u8]) -> Taken {
        if self.bytes.is_empty() {
            self.at = at;
        }
        self.fill(RECORD_HEADER_LEN, input);
        let Some(header) = self.bytes.first_chunk() else {
            return Taken::More;
        };
        let Some(length) = record_length(*header) else {
            return Taken::Wrong;
        };
        let total = RECORD_HEADER_LEN.saturating_add(length);
        self.fill(total, input);
        if self.bytes.len() < total {
            Taken::More
        } else {
            Taken::Whole
        }
    }

    fn fill(&mut self, total: usize, input: &mut &[u8]) {
        let missing = total.saturating_sub(self.bytes.len());
        let (now, later) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.bytes.extend_from_slice(now);
        *input = later;
    }

    /// Packet that carried the first byte of the record, or of the window.
    pub(super) const fn at(&self) -> Stamp {
        self.at
    }

    /// The record that is whole: its header, and its body to be opened in place.
    pub(super) fn whole(&mut self) -> Option<(Header, &mut [u8])> {
        let (header, body) = self.bytes.split_first_chunk_mut::<RECORD_HEADER_LEN>()?;
        Some((*header, body))
    }

    /// Body of the record that is whole.
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(RECORD_HEADER_LEN..).unwrap_or_default()
    }

    /// Bytes of the record so far, its header included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The record was read: on to the next one.
    pub(super) fn done(&mut self) {
        carry::release(&mut self.bytes);
    }

    /// So many bytes were sent and not captured. Gives the record that was lost, when nothing is left of it.
    pub(super) fn gap(&mut self, lost: u64) -> Option<Taken> {
        let before = match self.state {
            State::Record => {
                let known = self.bytes.len();
                let total = self.bytes.first_chunk().and_then(|header| record_length(*header));
                let total = total.map(|length| RECORD_HEADER_LEN.saturating_add(length));
                let kind = self.bytes.first().copied().unwrap_or_default();
                self.bytes.clear();
                if let Some(total) = total
                    && let Some(left) = (total.saturating_sub(known) as u64).checked_sub(lost)
                {
                    return self.pass(kind, left, total as u64);
                }
                known as u64
            }
            State::Passing { kind, left, all } => match (left as u64).checked_sub(lost) {
                Some(left) => return self.pass(kind, left, all),
                None => all.saturating_sub(left as u64),
            },
            // What stands in front of the new hole is of no use without a record in it.
            State::Window { lost: before } => before.saturating_add(self.bytes.len() as u64),
        };
        self.bytes.clear();
        let lost = before.saturating_add(lost);
        self.state = State::Window { lost };
        None
    }

    fn pass(&mut self, kind: u8, left: u64, all: u64) -> Option<Taken> {
        if left == 0 {
            self.state = State::Record;
            return Some(Taken::Lost(kind, all));
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        self.state = State::Passing { kind, left, all };
        None
    }

    /// What stands behind a loss, as far as it came.
    pub(super) fn window(&self) -> &[u8] {
        &self.bytes
    }

    /// Sequence numbers that a record so far into the window may be ahead by, and one.
    pub(super) fn reach(&self, start: usize) -> u64 {
        let State::Window { lost } = self.state else { return 1 };
        let records = lost.saturating_add(start as u64) / RECORD_MIN_BYTES;
        records.saturating_add(2).min(REACH_MAX)
    }

    /// Puts the record, opened, in the place where it stands in the window.
    pub(super) fn replace(&mut self, start: usize, record: &[u8]) {
        let place = self.bytes.get_mut(start..).unwrap_or_default();
        place.iter_mut().zip(record).for_each(|(byte, opened)| *byte = *opened);
    }

    /// A record was found so far into the window: it is the present record now. Gives the bytes from the end of the last
    /// record to its start, and what stands behind it.
    pub(super) fn found(&mut self, start: usize, len: usize) -> (u64, Vec<u8>) {
        let lost = match self.state {
            State::Window { lost } => lost,
            State::Record | State::Passing { .. } => 0,
        };
        self.state = State::Record;
        self.bytes.drain(..start.min(self.bytes.len()));
        let rest = self.bytes.split_off(len.min(self.bytes.len()));
        (lost.saturating_add(start as u64), rest)
    }
}

fn skip(left: usize, input: &mut &[u8]) -> usize {
    let (now, later) = input.split_at_checked(left).unwrap_or((input, &[]));
    *input = later;
    left.saturating_sub(now.len())
}
