//! Events out: to a store, a SIEM, a file.
//!
//! A [`Sink`] writes where nothing stands between: the embedded store. A [`Remote`](remote::Remote) is far away and may
//! be gone for a day. The [`Hub`](hub::Hub) feeds any number of both, each through a [`Runner`](runner::Runner) with its
//! own queue and threads: a slow one hurts itself alone.

pub mod config;
pub mod elastic;
pub mod file;
pub mod http;
pub mod hub;
mod ledger;
pub mod outbox;
pub mod remote;
pub mod runner;
pub mod secret;
pub mod settings;
pub mod siem;
pub mod splunk;
pub mod syslog;
pub mod tls;
pub mod webhook;

use crate::model::event::Event;

/// Writes one batch somewhere near. Queueing, batching, time-outs and retry are the runner's.
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
    /// Later, perhaps, or once an operator has mended something: a wrong password is one of these.
    #[error("{0}")]
    Retry(String),
    /// Never, because of what is in it.
    #[error("{0}")]
    Reject(String),
}
