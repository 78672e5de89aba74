//! Brotli (RFC 7932).
//!
//! Memory: the decoder, about 5 KiB, its tables, at most a few hundred KiB, and a window that grows with the output up
//! to 16 MiB, the largest that the format has. Windows beyond that belong to an extension and are refused.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::Step;

pub(super) struct Brotli {
    state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        let [one, two, three] = [StandardAlloc::default(); 3];
        Self {
            state: Box::new(BrotliState::new_strict(one, two, three)),
            ended: false,
        }
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.ended
    }

    pub(super) fn step(&mut self, input: &mut &[u8], output: &mut [u8]) -> Step {
        if self.ended {
            *input = &[];
            return Step::More;
        }
        let (mut rest, mut used) = (input.len(), 0);
        let (mut room, mut given, mut total) = (output.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut rest,
            &mut used,
            input,
            &mut room,
            &mut given,
            output,
            &mut total,
            &mut self.state,
        );
        *input = input.get(used..).unwrap_or_default();
        self.ended = matches!(result, BrotliResult::ResultSuccess);
        match result {
            _ if given > 0 => Step::Gave(given),
            BrotliResult::ResultSuccess => {
                *input = &[];
                Step::More
            }
            BrotliResult::NeedsMoreInput if input.is_empty() => Step::More,
            // Neither used nor given: it would stand still.
            _ => Step::Damaged,
        }
    }
}
