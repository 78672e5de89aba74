//! shadowtap: the passive network monitor that finds every Model Context Protocol server.

pub mod model;

pub mod source;

pub mod stream;

pub mod detect;

pub mod sink;

pub mod store;

pub mod report;

pub mod cli;
