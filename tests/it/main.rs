//! The promises of the product, one module each; linked once.
//!
//! Unit tests live beside the code. Here stands what holds of the whole: reports, truth, workers, splits, layers, the
//! command line.

mod abuse;
mod approvals;
mod behaviour;
mod cli;
mod conversations;
mod dns;
mod gaps;
mod golden;
mod h2;
mod h3;
mod history;
mod http;
mod joins;
mod kinds;
mod known;
mod layers;
mod lineage;
mod lookalikes;
mod messages;
mod packed;
mod poison;
mod policies;
mod proxy;
mod purge;
mod quic;
mod raw;
mod reports;
mod run;
mod scenarios;
mod seal;
mod secrecy;
mod signatures;
mod signin;
mod sites;
mod splits;
mod suspects;
mod talk;
mod tls;
mod tls_inside;
mod tls_peer;
mod truth;
mod tunnels;
mod web;
mod websocket;
mod workers;
mod wrap;
