//! HTTP: what its framings have in common, and the rows of the protocol table.
//!
//! Heads become a `Transaction`; bodies become messages when they may be JSON-RPC, and are passed over otherwise.
//! Nothing here logs: header values and targets can hold secrets.

mod body;
mod content;
mod event_stream;
mod h1;
mod h2;
mod h3;
mod huffman;
mod inflate;
mod sse;
mod websocket;

pub(super) use content::{JSONRPC, Peek, peek};
pub use event_stream::PROTOCOL as EVENT_STREAM;
pub use h1::PROTOCOL as HTTP_1;
pub use h2::PROTOCOL as HTTP_2;
pub(super) use h3::Http3;
pub use websocket::PROTOCOL as WEBSOCKET;

use self::body::Said;
use crate::model::message::{Carrier, Message, Transaction};
use crate::model::net::Direction;
use crate::stream::layer::{Env, Up};

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

/// Tells what a body gave, with the heads around it.
fn tell(said: Said<'_>, dir: Direction, transaction: Option<&Transaction>, up: &mut Up<'_>) {
    let carrier = said.event.map_or(Carrier::HttpBody, |name| Carrier::SseEvent { name });
    tell_as(carrier, said, dir, transaction, up);
}

/// Tells what something else than a body gave.
fn tell_as(carrier: Carrier<'_>, said: Said<'_>, dir: Direction, transaction: Option<&Transaction>, up: &mut Up<'_>) {
    up.message(Message {
        at: said.at,
        dir,
        carrier,
        transaction,
        body: said.body,
    });
}
