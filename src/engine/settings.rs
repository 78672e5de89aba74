//! How the engine runs: bounds and switches, checked and resolved.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::flow;
use crate::inventory::admission::InventoryConfig;
use crate::model::past::Past;
use crate::packet::steer::Steering;
use crate::packet::{self, Checksums};
use crate::stream::layer::Env;
use crate::stream::reassembly;
use crate::stream::secrets::{self, Secrets};

/// The section `[engine]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether segments with a wrong checksum are believed.
    pub checksums: Checksums,
    /// Longest message that is put together, in bytes.
    pub message_max_bytes: usize,
    /// Longest HTTP head or TLS handshake message, in bytes.
    pub head_max_bytes: usize,
    /// Most bytes that one compressed body may unpack to.
    pub inflate_max_bytes: usize,
    /// Messages that are kept for the store: the earliest of a replay, live those that wait for it. About 150 bytes each;
    /// what comes on top is counted as shed.
    pub messages_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            checksums: Checksums::default(),
            message_max_bytes: 16 << 20,
            head_max_bytes: 64 << 10,
            inflate_max_bytes: 16 << 20,
            messages_max: 1 << 20,
        }
    }
}

/// What a run is built from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits and protocols.
    pub env: Env,
    /// Bounds of key material, and of what is held for want of it.
    pub tls: secrets::Config,
    /// Key material that all workers share.
    pub secrets: Option<Arc<Secrets>>,
    /// Checksum policy.
    pub checksums: Checksums,
    /// Ports of tunnels and bounds of fragments.
    pub packet: packet::Config,
    /// Bounds of the flow tables.
    pub flow: flow::Config,
    /// Bounds of reassembly.
    pub reassembly: reassembly::Config,
    /// Bounds of the inventory.
    pub inventory: InventoryConfig,
    /// How the flow space is cut.
    pub steering: Steering,
    /// Whether detectors run. Off only to measure the bare path.
    pub inspect: bool,
    /// Whether a bug in a parser is held by a fence around one conversation. Off in tests, which want the panic.
    pub fence: bool,
    /// Whether what a flow showed is handed over at once, so that a live report knows it; a replay hands over in lots.
    pub eager: bool,
    /// Whether what was not seen for `inventory.keep_hours` makes room. Never in a replay: it would make the report
    /// depend on when it was asked for.
    pub forgets: bool,
    /// Client addresses leave as pseudonyms, by the key of [`crate::detect::fingerprint::Fingerprints`].
    pub pseudonyms: bool,
    /// Messages of which a row is kept at one time; 0 where there is nothing to keep them in.
    pub messages_max: usize,
    /// What earlier runs saw.
    pub past: Option<Arc<Past>>,
}

impl Settings {
    /// From the sections of the configuration.
    pub fn new(
        engine: &Config,
        flow: &flow::Config,
        reassembly: &reassembly::Config,
        inventory: &InventoryConfig,
    ) -> Self {
        Self {
            env: Env {
                message_max_bytes: engine.message_max_bytes,
                head_max_bytes: engine.head_max_bytes,
                inflate_max_bytes: engine.inflate_max_bytes,
                keys: None,
                protocols: crate::proto::PROTOCOLS,
            },
            tls: secrets::Config::default(),
            secrets: None,
            checksums: engine.checksums,
            packet: packet::Config::default(),
            flow: *flow,
            reassembly: *reassembly,
            inventory: *inventory,
            steering: Steering::default(),
            inspect: true,
            fence: true,
            eager: false,
            forgets: false,
            messages_max: 0,
            pseudonyms: false,
            past: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(
            &Config::default(),
            &flow::Config::default(),
            &reassembly::Config::default(),
            &InventoryConfig::default(),
        )
    }
}
