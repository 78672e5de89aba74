//! Bytes in order, and the tower of layers that reads them.

pub mod carry;
pub mod layer;

use crate::model::chunk::Chunk;
use crate::stream::layer::{Env, Output, Step};

/// One stream: unknown until a protocol recognises it, then read by one layer.
pub struct Stream {}

impl Stream {
    /// A stream that a layer uncovered.
    pub fn inner() -> Self {
        Self {}
    }

    /// Feeds one chunk.
    pub fn push(&mut self, _chunk: Chunk<'_>, _env: &Env, _listener: &mut dyn FnMut(Output<'_>)) -> Step {
        Step::Continue
    }
}
