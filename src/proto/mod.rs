//! One protocol per file or folder: sans-IO readers of one stream each.
//!
//! To add one, write its layer, its probe and its row, and name the row in [`PROTOCOLS`].

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

pub mod dns;
pub mod framed;
pub mod http;
pub mod lines;
pub mod proxy;
pub mod quic;
mod rpc;
pub mod tls;

use crate::stream::layer::Protocol;

/// Every protocol, in probing order: the first that says yes reads the stream.
pub const PROTOCOLS: &[Protocol] = &[
    tls::PROTOCOL,
    tls::dtls::PROTOCOL,
    proxy::PREFACE,
    proxy::SOCKS,
    http::HTTP_1,
    http::HTTP_2,
    dns::PROTOCOL,
    quic::PROTOCOL,
    dns::tcp::PROTOCOL,
    lines::PROTOCOL,
    framed::PROTOCOL,
    http::EVENT_STREAM,
    http::WEBSOCKET,
];
