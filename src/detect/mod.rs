//! Observations and records → findings.

mod about;
pub mod authorization;
pub mod behaviour;
pub mod connectors;
pub mod disguise;
mod domains;
pub mod drift;
pub mod elicitation;
pub mod equivocation;
pub mod exposure;
pub mod fingerprint;
pub mod hosted;
pub mod known;
pub mod lineage;
pub mod lookups;
pub mod markers;
mod packages;
pub mod panel;
pub mod poison;
pub mod policy;
pub mod presence;
pub mod rebinding;
pub mod redact;
pub mod redirects;
pub mod secrets;
pub mod sessions;
pub mod shadowing;
pub mod signature;
pub mod suspects;
pub mod suspicion;
pub mod tokens;
pub mod tunnels;
pub mod violations;

use crate::model::finding::Finding;
use crate::model::observation::Observation;
use crate::model::server::{Lookup, Server, View};
use crate::model::suspect::Suspect;
use crate::model::trace::Trace;

/// One family of findings.
///
/// `inspect` sees one moment of one flow and has no memory; it may see raw text, because that text is borrowed and
/// cannot outlive the call. `review` sees the joined records; anything that needs two flows is `review`, and that one
/// rule keeps the result independent of the number of workers.
pub trait Detector: Send + Sync {
    /// Facts that `inspect` wants to see.
    fn wants(&self) -> FactMask {
        FactMask::NONE
    }

    /// One moment of one flow.
    fn inspect(&self, _seen: &Observation<'_>, _out: &mut Findings) {}

    /// One joined server, with everything else that is known.
    fn review(&self, _server: &Server, _all: &View, _out: &mut Findings) {}

    /// All that is known at once: for facts that are about no single server.
    fn review_all(&self, _all: &View, _out: &mut Findings) {}
}

/// A set of [`crate::model::observation::Fact`] variants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FactMask(pub u8);

impl FactMask {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `Fact::Dns`.
    pub const DNS: Self = Self(1);
    /// `Fact::Http`.
    pub const HTTP: Self = Self(2);
    /// `Fact::Mcp`.
    pub const MCP: Self = Self(4);
    /// `Fact::Tls`.
    pub const TLS: Self = Self(8);
    /// `Fact::Violation`.
    pub const VIOLATION: Self = Self(16);
    /// `Fact::TlsAnswer`.
    pub const TLS_ANSWER: Self = Self(32);
    /// `Fact::Credential`.
    pub const CREDENTIAL: Self = Self(64);
    /// `Fact::Around`.
    pub const AROUND: Self = Self(128);

    /// Either set.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have a fact in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What detectors say. A shard reuses one.
#[derive(Debug, Default)]
pub struct Findings {
    /// Findings, in the order made.
    pub findings: Vec<Finding>,
    /// Names that a signature knows.
    pub lookups: Vec<Lookup>,
    /// Endpoints that a name makes suspicious.
    pub suspects: Vec<Suspect>,
    /// What only means something together with other flows; of `inspect` alone.
    pub traces: Vec<Trace>,
}

/// Every detector, in the order in which they run.
pub const DETECTORS: &[panel::Row] = &[
    panel::Row {
        name: "secrets",
        build: secrets::SecretScan::build,
    },
    panel::Row {
        name: "lineage",
        build: lineage::Lineage::build,
    },
    panel::Row {
        name: "poison",
        build: poison::PoisonScan::build,
    },
    panel::Row {
        name: "lookups",
        build: lookups::Lookups::build,
    },
    panel::Row {
        name: "suspects",
        build: suspects::Suspects::build,
    },
    panel::Row {
        name: "violations",
        build: violations::Violations::build,
    },
    panel::Row {
        name: "disguise",
        build: disguise::Disguise::build,
    },
    panel::Row {
        name: "elicitation",
        build: elicitation::Elicitation::build,
    },
    panel::Row {
        name: "sessions",
        build: sessions::Sessions::build,
    },
    panel::Row {
        name: "tokens",
        build: tokens::Tokens::build,
    },
    panel::Row {
        name: "tunnels",
        build: tunnels::Tunnels::build,
    },
    panel::Row {
        name: "known",
        build: known::Known::build,
    },
    panel::Row {
        name: "markers",
        build: markers::Markers::build,
    },
    panel::Row {
        name: "rebinding",
        build: rebinding::Rebinding::build,
    },
    panel::Row {
        name: "authorization",
        build: authorization::Authorization::build,
    },
    panel::Row {
        name: "connectors",
        build: connectors::Connectors::build,
    },
    panel::Row {
        name: "redirects",
        build: redirects::Redirects::build,
    },
    panel::Row {
        name: "presence",
        build: presence::Presence::build,
    },
    panel::Row {
        name: "policy",
        build: policy::Obedience::build,
    },
    panel::Row {
        name: "hosted",
        build: hosted::HostScan::build,
    },
    panel::Row {
        name: "exposure",
        build: exposure::Exposure::build,
    },
    panel::Row {
        name: "shadowing",
        build: shadowing::Shadowing::build,
    },
    panel::Row {
        name: "drift",
        build: drift::Drift::build,
    },
    panel::Row {
        name: "equivocation",
        build: equivocation::Equivocation::build,
    },
    panel::Row {
        name: "behaviour",
        build: behaviour::Behaviour::build,
    },
];
