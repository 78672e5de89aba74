//! Protocols, one per file or folder. Sans-IO: chunks in, messages and facts out.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

pub mod http;
