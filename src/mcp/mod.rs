//! Messages → observations: who speaks MCP, what is asked and answered, and what each message proves.
//!
//! A [`Reader`] sees one flow and does not know how a message arrived. It knows two eras: the handshake revisions
//! (`initialize`, sessions, a GET stream, or the old HTTP+SSE pair of connections) and the stateless one of 2026-07-28
//! (`_meta` in every request, headers that mirror the body). A response whose request is on another connection is
//! recognised by its shape. Rules of certainty: a top-level JSON-RPC 2.0 object that is a whole body, event or message,
//! and then one of the proofs in `proof.rs`; a document that quotes MCP proves nothing.
//!
//! What it deliberately does not do: decide what is a finding, keep bodies, look at arguments.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

mod around;
pub mod calls;
pub mod difference;
pub mod escape;
pub mod jsonrpc;
mod legacy;
pub mod lenient;
pub mod method;
mod mirror;
mod names;
mod plain;
mod proof;
mod reader;
pub mod scan;
pub mod shape;
pub mod site;
pub mod tools;
pub mod walk;

pub use reader::Reader;
