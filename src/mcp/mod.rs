//! Messages → observations.

pub mod walk;
