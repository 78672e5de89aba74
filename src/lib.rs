//! shadowtap: the passive network monitor that finds every Model Context Protocol server.

pub mod model;

pub mod source;

pub mod packet;

pub mod flow;

pub mod stream;

pub mod proto;

pub mod mcp;

pub mod policy;

pub mod detect;

pub mod inventory;

pub mod sink;

pub mod store;

pub mod report;

pub mod config;

pub mod engine;

pub mod cli;
