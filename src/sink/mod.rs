//! Events out: to a store, a SIEM, a file.

pub mod runner;

use crate::model::event::Event;

/// Writes one batch somewhere. Queueing, batching, time-outs and retry are the runner's.
pub trait Sink: Send {
    /// For counters and messages.
    fn name(&self) -> &str;

    /// Writes a batch whole or not at all. Records and findings are upserts with stable ids: writing one twice is
    /// harmless.
    ///
    /// # Errors
    /// [`SinkError::Retry`] when the same batch may go in later, [`SinkError::Reject`] when it never will.
    fn write(&mut self, batch: &[Event]) -> Result<(), SinkError>;
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Later, perhaps.
    #[error("{0}")]
    Retry(String),
    /// Never.
    #[error("{0}")]
    Reject(String),
}
