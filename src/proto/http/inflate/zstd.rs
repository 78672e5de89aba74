//! Zstandard (RFC 8878): frame after frame, skippable ones passed over, checksums verified by the library.
//!
//! Memory: the decoder, about 160 KiB, and the window that a frame asks for, at most 8 MiB: what RFC 9659 allows in HTTP.
//! A frame that asks for more is refused.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::Step;

/// Largest window, as a power of two (RFC 9659, section 3).
const WINDOW_LOG_MAX: u32 = 23;

pub(super) struct Zstd {
    raw: Decoder<'static>,
    state: State,
    /// Output may still be held inside the decoder.
    full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Behind a frame: another one may follow.
    Between,
    /// What follows the last frame is no frame, and passed over.
    Ended,
    /// Before the first frame, or in one that has given nothing; the flag tells whether there was one before.
    Fresh { later: bool },
    /// In a frame that has given something.
    Frame,
}

impl Zstd {
    /// `None` when the library has no memory.
    pub(super) fn new() -> Option<Self> {
        let mut raw = Decoder::new().ok()?;
        raw.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).ok()?;
        Some(Self {
            raw,
            state: State::Fresh { later: false },
            full: false,
        })
    }

    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.state, State::Between | State::Ended | State::Fresh { later: true })
    }

    pub(super) fn step(&mut self, input: &mut &[u8], output: &mut [u8]) -> Step {
        loop {
            if self.state == State::Ended {
                *input = &[];
            }
            if input.is_empty() && !self.full {
                return Step::More;
            }
            let (mut source, mut sink) = (InBuffer::around(input), OutBuffer::around(&mut *output));
            let hint = self.raw.run(&mut source, &mut sink);
            let (used, given) = (source.pos(), sink.pos());
            let later = matches!(self.state, State::Between | State::Fresh { later: true });
            let Ok(hint) = hint else {
                if !later {
                    return Step::Damaged;
                }
                (self.state, self.full) = (State::Ended, false);
                continue;
            };
            self.full = given == output.len();
            if used == 0 && given == 0 && !input.is_empty() {
                return Step::Damaged;
            }
            *input = input.get(used..).unwrap_or_default();
            self.state = match self.state {
                _ if hint == 0 => State::Between,
                State::Between | State::Fresh { .. } if given == 0 => State::Fresh { later },
                _ => State::Frame,
            };
            if given > 0 {
                return Step::Gave(given);
            }
        }
    }
}
