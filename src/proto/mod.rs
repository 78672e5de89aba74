//! One protocol per file or folder: sans-IO readers of one stream each.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

pub mod dns;
pub mod tls;

use crate::stream::layer::Protocol;

/// Every protocol, in probing order.
pub const PROTOCOLS: &[Protocol] = &[tls::PROTOCOL, dns::PROTOCOL];
