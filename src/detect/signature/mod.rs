//! Signatures: what is known of names, credentials, personal data and poisoned wording, as data.
//!
//! The files are compiled in, so that the program works without any; more are read from directories. Compiled once,
//! immutable, shared by all shards. This folder finds; it makes no findings and keeps nothing of what it reads.

pub mod compile;
pub mod file;
pub mod import;
pub mod known_bad;
pub(crate) mod launchers;
pub mod listing;
pub mod names;
pub mod poison;
pub mod resolvers;
pub mod secrets;

mod anchors;
mod checks;
mod examples;
mod national;
mod numbers;
mod people;
mod plain;
mod reads;
mod twice;
mod version;

pub use compile::Signatures;
pub use plain::Plain;
pub use twice::Twice;

#[cfg(test)]
pub(crate) use examples::generate;
