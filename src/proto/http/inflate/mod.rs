//! Content codings (RFC 9110, section 8.4.1): gzip, deflate, Brotli and Zstandard, also several on one body, decoded as far
//! as the bytes have come, so that an event stream flushed per event gives each event at once.
//!
//! A chain of stages, the last coding applied first. What a label says is held against the first byte, and what comes out
//! may be packed again without a label. Output is bounded for each stage; memory is that of at most [`STACK_MAX`] decoders,
//! each named in its file, and is only taken when the first byte of a body of interest has come. Nothing is kept for the
//! next body: a decoder costs a microsecond to make, and a connection that idles holds none.

mod brotli;
mod coding;
mod deflate;
#[cfg(test)]
mod tests;
mod zstd;

use std::ops::Range;

pub(crate) use self::coding::{Coding, coding};

use self::brotli::Brotli;
use self::coding::{Name, STACK_MAX};
use self::deflate::Deflate;
use self::zstd::Zstd;

/// Output that one step of one stage gives at most, in bytes.
const STEP_BYTES: usize = 16 * 1024;
/// An event stream may go on for hours: each input byte allows so many output bytes more.
const STREAM_RATIO: u64 = 32;
/// Largest window of any coding, in bytes: Brotli's.
const WINDOW_MAX_BYTES: u64 = 16 << 20;

/// A decoder of one body.
pub(super) struct Inflate {
    /// The last coding that was applied comes first.
    stages: Vec<Stage>,
    /// Output that each stage may give so far, in bytes.
    allowed: u64,
    ratio: u64,
}

/// One coding being undone.
struct Stage {
    label: Name,
    /// Made when the first byte has come.
    decoder: Option<Decoder>,
    output: Vec<u8>,
    /// The part of `output` that the next stage has not read.
    unread: Range<usize>,
    /// Output so far.
    given: u64,
}

enum Decoder {
    Brotli(Brotli),
    Deflate(Box<Deflate>),
    /// The label was wrong.
    Plain,
    Zstd(Zstd),
}

/// What one step of one stage did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// This is not the coding that it should be.
    Damaged,
    /// So many bytes of output, more than none.
    Gave(usize),
    /// All input was used, and nothing is left to give.
    More,
}

/// One step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inflated<'a> {
    /// The bytes are damaged: no more will come.
    Failed,
    /// The input is used up.
    More,
    /// The bytes give more than allowed: no more will come.
    Over,
    /// Output; never empty.
    Output(&'a [u8]),
}

impl Inflate {
    /// For a body in `coding`. `None` when one of its codings is not read. `stream` allows output in proportion to the
    /// input.
    pub(super) fn new(coding: Coding, max_bytes: usize, stream: bool) -> Option<Self> {
        Some(Self {
            stages: coding.undone()?.map(Stage::new).collect(),
            allowed: max_bytes as u64,
            ratio: if stream { STREAM_RATIO } else { 0 },
        })
    }

    /// What the decoders take of memory, about, in bytes: windows grow with what was written to them.
    pub(super) fn held_bytes(&self) -> usize {
        self.stages
            .iter()
            .fold(0, |sum, stage| sum.saturating_add(stage.held_bytes()))
    }

    /// Whether the body ended where its codings say that it ends.
    pub(super) fn is_complete(&self) -> bool {
        self.stages.iter().all(Stage::is_complete)
    }

    /// Decodes on, and takes from the front of `input` what it used.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Inflated<'_> {
        let mut at = self.stages.len().saturating_sub(1);
        loop {
            let Some((below, [stage, above @ ..])) = self.stages.split_at_mut_checked(at) else {
                return Inflated::Failed;
            };
            let step = match below.last_mut() {
                Some(source) => source.feed(stage),
                None => {
                    let before = input.len();
                    let step = stage.step(input);
                    let used = before.saturating_sub(input.len()) as u64;
                    self.allowed = self.allowed.saturating_add(used.saturating_mul(self.ratio));
                    step
                }
            };
            match step {
                Step::Damaged => return Inflated::Failed,
                Step::More if at == 0 => return Inflated::More,
                Step::More => at = at.saturating_sub(1),
                Step::Gave(len) => {
                    let packed = stage.give(len);
                    if stage.given > self.allowed {
                        return Inflated::Over;
                    }
                    let last = above.is_empty();
                    if let (true, Some(name)) = (last, packed) {
                        if self.stages.len() >= STACK_MAX {
                            return Inflated::Over;
                        }
                        self.stages.push(Stage::new(name));
                    } else if last {
                        break;
                    }
                    at = at.saturating_add(1);
                }
            }
        }
        Inflated::Output(self.stages.last().map_or(&[], Stage::unread))
    }
}

impl Stage {
    fn new(label: Name) -> Self {
        Self {
            label,
            decoder: None,
            output: Vec::new(),
            unread: 0..0,
            given: 0,
        }
    }

    fn held_bytes(&self) -> usize {
        let decoder = match &self.decoder {
            None | Some(Decoder::Plain) => 0,
            Some(Decoder::Deflate(_)) => 48 << 10,
            Some(Decoder::Brotli(_) | Decoder::Zstd(_)) => self.given.min(WINDOW_MAX_BYTES).saturating_add(160 << 10),
        };
        usize::try_from(decoder)
            .unwrap_or(usize::MAX)
            .saturating_add(self.output.len())
    }

    fn is_complete(&self) -> bool {
        match &self.decoder {
            None => false,
            Some(Decoder::Brotli(brotli)) => brotli.is_complete(),
            Some(Decoder::Deflate(deflate)) => deflate.is_complete(),
            Some(Decoder::Plain) => true,
            Some(Decoder::Zstd(zstd)) => zstd.is_complete(),
        }
    }

    fn unread(&self) -> &[u8] {
        self.output.get(self.unread.clone()).unwrap_or_default()
    }

    /// Lets the next stage read what this one gave.
    fn feed(&mut self, next: &mut Self) -> Step {
        let mut rest = self.output.get(self.unread.clone()).unwrap_or_default();
        let step = next.step(&mut rest);
        self.unread.start = self.unread.end.saturating_sub(rest.len());
        step
    }

    /// Notes output, and tells what else it is packed with, when it is the first and that can be told.
    fn give(&mut self, len: usize) -> Option<Name> {
        let first = self.output.first().filter(|_| self.given == 0);
        let packed = first.and_then(|first| Name::found(*first));
        self.unread = 0..len;
        self.given = self.given.saturating_add(len as u64);
        packed
    }

    fn step(&mut self, input: &mut &[u8]) -> Step {
        if self.decoder.is_none() {
            let Some(first) = input.first() else { return Step::More };
            self.decoder = Decoder::new(self.label.corrected(*first), *first);
            self.output.resize(STEP_BYTES, 0);
        }
        let output = &mut self.output[..];
        match &mut self.decoder {
            None => Step::Damaged,
            Some(Decoder::Brotli(brotli)) => brotli.step(input, output),
            Some(Decoder::Deflate(deflate)) => deflate.step(input, output),
            Some(Decoder::Plain) => copy(input, output),
            Some(Decoder::Zstd(zstd)) => zstd.step(input, output),
        }
    }
}

impl Decoder {
    fn new(name: Option<Name>, first: u8) -> Option<Self> {
        Some(match name {
            None => Self::Plain,
            Some(Name::Brotli) => Self::Brotli(Brotli::new()),
            Some(Name::Deflate) => Self::Deflate(Box::new(Deflate::zlib_or_raw(first))),
            Some(Name::Gzip) => Self::Deflate(Box::new(Deflate::gzip())),
            Some(Name::Other) => return None,
            Some(Name::Zstd) => Self::Zstd(Zstd::new()?),
        })
    }
}

fn copy(input: &mut &[u8], output: &mut [u8]) -> Step {
    let len = input.len().min(output.len());
    let (now, later) = input.split_at(len);
    if let Some(room) = output.get_mut(..len) {
        room.copy_from_slice(now);
    }
    *input = later;
    if len == 0 { Step::More } else { Step::Gave(len) }
}
