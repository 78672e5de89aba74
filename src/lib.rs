//! shadowtap: the passive network monitor that finds every Model Context Protocol server.
//!
//! # The map
//!
//! ```text
//!  wire / file                                                                            operator
//!      │                                                                                      ▲
//!   source ─► packet ─► flow ─► stream ─► message ─► observation ─► finding ─► inventory ─► sink / store ─► report
//!   pcap      peel      table   reassembly  proto        mcp         detect     join         sqlite          table, json,
//!   pcapng    defrag    roles   identify    http, tls,   reader      panel      view                         csv, ndjson
//!   live      steer             layers      quic, dns
//! ```
//!
//! Data flows one way, and a module imports only from what stands left of it. The nouns live in [`model`], one file
//! per noun, in the order of the flow; the verbs live in the other modules. Whoever reads [`model`] from top to bottom
//! knows the product.
//!
//! # Three sentences to remember
//!
//! 1. A packet becomes a chunk, a chunk a message, a message an observation, all of them borrowed; a
//!    [`Finding`](model::finding::Finding) is the first thing that owns its data, and it can only hold redacted samples.
//! 2. A stream is identified once, then read by one layer, and the bytes that a layer uncovers are again a stream; a
//!    layer that loses step makes its stream unknown again, so no parser has resynchronisation code of its own.
//! 3. The inventory is a join: the order in which workers report never matters, and any number of them gives the same
//!    report, byte for byte.
//!
//! # Five traits
//!
//! | trait | its one job | takes | gives |
//! | --- | --- | --- | --- |
//! | [`Source`](source::Source) | the next raw packet | – | [`RawPacket`](model::packet::RawPacket) |
//! | [`Layer`](stream::layer::Layer) | one protocol on one stream | [`Chunk`](model::chunk::Chunk) | messages, facts, an inner stream |
//! | [`Detector`](detect::Detector) | one family of findings | an [`Observation`](model::observation::Observation), or a [`Server`](model::server::Server) | [`Finding`](model::finding::Finding) |
//! | [`Sink`](sink::Sink) | write one batch somewhere | [`Event`](model::event::Event)s | done, try again, or refused |
//! | [`Store`](store::Store) | answer one question | [`Question`](store::Question) | [`Rows`](store::Rows) |
//!
//! To add a protocol, write a layer and name its row in [`proto::PROTOCOLS`]; to add a finding, write a detector and
//! name its row in [`detect::DETECTORS`]. Nothing else changes.
//!
//! # Rules
//!
//! - It only listens: it never sends a packet on a monitored network, and never keeps a credential that it finds.
//! - Input never panics and never allocates without a bound. Every bound has a name, a unit and a counter of what it cost.
//! - Time is packet time. From [`packet`] to [`inventory`] there is no clock, no thread, no file and no socket.
//! - The in-order path copies nothing and takes no lock; it allocates per flow or per message, never per packet.
//! - Names, versions, counts, hashes and places are kept; texts of messages are not.
//!
//! # Modules, in the order of the flow
//!
//! - [`model`]: The nouns, in the order of the flow: data without I/O, clock or lock.
//! - [`source`]: Where packets come from: capture files, standard input, live interfaces.
//! - [`packet`]: A raw packet becomes a segment or a datagram, borrowed: tunnels opened, fragments put together; and the
//!   hash that steers it to a worker.
//! - [`flow`]: The flow table: who talks to whom, who of the two is the server, and what makes room when it is full.
//! - [`stream`]: Bytes in order, and the tower of layers that reads them: reassembly, identification, layers.
//! - [`proto`]: One protocol a file or folder, and the table that names them: HTTP/1, 2 and 3, event streams, WebSocket,
//!   raw JSON-RPC, TLS and QUIC up to their hellos and what logged secrets open of them, DNS.
//! - [`mcp`]: Messages become observations: who speaks MCP, what is asked and answered, and what each message proves.
//! - [`policy`]: What the organisation wants: home networks and approvals, and the verdict on a server.
//! - [`detect`]: Observations and records become findings: detectors, signatures, and the one door to a redacted
//!   sample.
//! - [`inventory`]: What is known so far: merges that commute, bounds, and the sorted view that everything is reported
//!   from.
//! - [`host`]: Sockets and processes of the own machine, through a process of its own.
//! - [`sink`]: Events out, in batches, with back-off and counted loss.
//! - [`store`]: Events in, answers out: the embedded store, and the same words over a view in memory.
//! - [`report`]: Answers for people and programs; every text from traffic passes `report::display` before it is shown.
//! - [`log`]: What a sensor tells its operator.
//! - [`metrics`]: How a sensor is: numbers for Prometheus, and whether it is alive and ready.
//! - [`confine`]: What a live sensor gives up before it looks into packets: rights, files, ports, system calls.
//! - [`web`]: The web page and its JSON API, read-only over a store.
//! - [`config`]: The configuration file: every key has a default, every mistake has file, line and cure.
//! - [`engine`]: The wiring: workers, threads, and the fence around each conversation.
//! - [`cli`]: The command line: one file per command.

// Blank lines keep the order of the flow: rustfmt would sort what stands together.

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

pub mod host;

pub mod sink;

pub mod store;

pub mod report;

pub mod log;

pub mod metrics;

pub mod confine;

pub mod web;

pub mod config;

pub mod engine;

pub mod cli;
