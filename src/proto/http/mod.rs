//! HTTP: what its framings have in common, and the rows of the protocol table.
//!
//! Heads become a `Transaction`; bodies become messages when they may be JSON-RPC, and are passed over otherwise.
//! Nothing here logs: header values and targets can hold secrets.

mod body;
mod content;
mod event_stream;
mod h1;
mod inflate;
mod sse;
mod websocket;

pub(super) use content::{JSONRPC, Peek, peek};
pub use event_stream::PROTOCOL as EVENT_STREAM;
pub use h1::PROTOCOL as HTTP_1;
pub use websocket::PROTOCOL as WEBSOCKET;

use crate::stream::layer::Env;

/// The limits of [`Env`] that HTTP looks at, copied when a layer opens.
#[derive(Clone, Copy, Debug)]
struct Limits {
    message_max_bytes: usize,
    head_max_bytes: usize,
    inflate_max_bytes: usize,
}

impl Limits {
    fn of(env: &Env) -> Self {
        Self {
            message_max_bytes: env.message_max_bytes,
            head_max_bytes: env.head_max_bytes,
            inflate_max_bytes: env.inflate_max_bytes,
        }
    }
}
