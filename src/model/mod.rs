//! The nouns of the product, in the order of the flow: data only, no I/O, no clock, no locks.
//!
//! Whoever reads this folder from top to bottom knows what the product talks about. Everything up to and including
//! [`observation`] borrows from the packet; a [`finding::Finding`] is the first thing that owns its data, and it can
//! only hold redacted samples.

pub mod asset;
pub mod chunk;
pub mod conduct;
pub mod counters;
pub mod defect;
pub mod dns;
pub mod errand;
pub mod event;
pub mod finding;
pub mod flow;
pub mod mcp;
pub mod message;
pub mod message_seen;
pub mod net;
pub mod observation;
pub mod packet;
pub mod past;
pub mod plain;
pub mod process;
pub mod server;
pub mod stamp;
pub mod suspect;
pub mod tls;
pub mod trace;
pub mod visit;
