//! Servers that nobody could look into: what a name, a fingerprint and the rhythm of encrypted records say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::net::Endpoint;
use crate::model::server::{Encryption, ServerEvidence};
use crate::model::stamp::{Span, Timestamp};
use crate::model::tls::Ja4;
use crate::model::visit::{Rhythm, VISITS_MAX, Visit};

/// How much a suspicion is worth: fixed steps, so that the same evidence always weighs the same. Never a certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// A host that is known to serve MCP, and that mostly serves other things.
    Shared,
    /// A host whose name reads like that of an MCP server.
    Resembles,
    /// Such a host, used by a program, whose answers trickle or are taken up again as event streams are.
    Behaves,
    /// A service that tells by DNS that it speaks MCP; nobody need have used it.
    Announced,
    /// A host whose name reads like that of an MCP server, to which a program keeps an event stream open beside its
    /// requests.
    Converses,
    /// A host that is known to serve MCP and nothing else.
    Listed,
}

impl Grade {
    /// 0 to 1.
    pub const fn confidence(self) -> f32 {
        match self {
            Self::Shared => 0.2,
            Self::Resembles => 0.3,
            Self::Announced | Self::Behaves => 0.5,
            Self::Converses => 0.7,
            Self::Listed => 0.9,
        }
    }

    /// Why, for people.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Shared => "a known host of MCP among other things",
            Self::Resembles => "the host name reads like an MCP server's",
            Self::Behaves => {
                "the host name reads like an MCP server's, a program asks, and an event stream trickles or is taken up again"
            }
            Self::Converses => {
                "the host name reads like an MCP server's, and a program keeps an event stream open beside its requests"
            }
            Self::Announced => "it announces itself as MCP by DNS",
            Self::Listed => "a known host of MCP alone",
        }
    }
}

/// An endpoint to which a name led clients, encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Where to.
    pub endpoint: Endpoint,
    /// The name, lower case.
    pub name: Arc<str>,
    /// What the name alone is worth.
    pub grade: Grade,
    /// What showed the name; the stronger.
    pub evidence: ServerEvidence,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// First and last connection.
    pub seen: Span,
    /// Who was led, with the fingerprint of the earliest hello.
    pub clients: BTreeMap<IpAddr, Visitor>,
    /// How the flows went, as far as they were watched.
    pub shape: Shape,
}

/// A client that a name led to a suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// First and last connection.
    pub seen: Span,
    /// Connections.
    pub flows: u64,
    /// Fingerprint of its earliest hello.
    pub ja4: Option<Ja4>,
    /// A hello was none of a browser's.
    pub program: bool,
    /// A hello offered a protocol with several exchanges at the same time on one connection.
    pub lanes: bool,
    /// Its connections that were watched and whose hello was none of a browser's, the earliest [`VISITS_MAX`].
    pub visits: BTreeSet<Visit>,
}

impl Suspect {
    /// A name of this grade led a client to an endpoint, once.
    pub fn new(name: &str, endpoint: Endpoint, encryption: Encryption, grade: Grade, visit: (IpAddr, Visitor)) -> Self {
        Self {
            endpoint,
            name: Arc::from(name),
            grade,
            evidence: ServerEvidence::Sni,
            encryption,
            seen: visit.1.seen,
            clients: BTreeMap::from([visit]),
            shape: Shape::default(),
        }
    }

    /// Forgets clients that were not seen since, and tells whether any is left.
    pub fn forget(&mut self, before: Timestamp) -> bool {
        self.clients.retain(|_, visitor| visitor.seen.last.time >= before);
        for visitor in self.clients.values_mut() {
            visitor.visits.retain(|visit| visit.ended >= before);
        }
        self.seen.last.time >= before
    }

    /// Joins another record of the same endpoint and name. The order does not matter.
    pub fn join(&mut self, other: Self) {
        self.grade = self.grade.max(other.grade);
        self.evidence = self.evidence.min(other.evidence);
        self.encryption = self.encryption.max(other.encryption);
        self.seen.join(other.seen);
        self.shape.join(&other.shape);
        for (client, led) in other.clients {
            match self.clients.entry(client) {
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(led);
                }
                std::collections::btree_map::Entry::Occupied(mut slot) => slot.get_mut().join(led),
            }
        }
    }
}

impl Visitor {
    fn join(&mut self, other: Self) {
        if (other.seen.first, other.ja4) < (self.seen.first, self.ja4) {
            self.ja4 = other.ja4;
        }
        self.seen.join(other.seen);
        self.flows = self.flows.saturating_add(other.flows);
        self.program |= other.program;
        self.lanes |= other.lanes;
        self.visits.extend(other.visits);
        // Of what is left out the shape still counts the flows.
        while self.visits.len() > VISITS_MAX {
            self.visits.pop_last();
        }
    }
}

/// What a server in a report was inferred from, when nobody could look into its traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// Why, and how much that is worth.
    pub grade: Grade,
    /// How its flows went, as far as they were watched.
    pub shape: Shape,
    /// How those of programs followed each other.
    pub rhythm: Rhythm,
}

/// Upper bounds of the classes of [`Shape::sizes`], in bytes; the last class is open.
pub const SIZE_BOUNDS: [usize; 5] = [64, 256, 1_024, 4_096, 16_384];
/// Upper bounds of the classes of [`Shape::gaps`], in milliseconds; the last class is open.
pub const GAP_BOUNDS_MS: [u64; 6] = [1, 10, 100, 1_000, 10_000, 60_000];

/// How encrypted flows went: a histogram of their first records, without anything of what is in them. What a classifier
/// could be calibrated with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Flows that were watched.
    pub flows: u64,
    /// Records by direction and size; on QUIC datagrams.
    pub sizes: [[u64; SIZE_BOUNDS.len() + 1]; 2],
    /// Records by direction and time since the record before them, whoever sent that.
    pub gaps: [[u64; GAP_BOUNDS_MS.len() + 1]; 2],
    /// Flows in which the server went on sending little, a second and more apart, without being asked.
    pub trickles: u64,
}

impl Shape {
    /// Whether nothing was watched.
    pub const fn is_empty(&self) -> bool {
        self.flows == 0
    }

    /// Adds what was seen of other flows.
    pub fn join(&mut self, other: &Self) {
        let add = |mine: &mut [u64], its: &[u64]| {
            for (sum, value) in mine.iter_mut().zip(its) {
                *sum = sum.saturating_add(*value);
            }
        };
        add(self.sizes.as_flattened_mut(), other.sizes.as_flattened());
        add(self.gaps.as_flattened_mut(), other.gaps.as_flattened());
        self.flows = self.flows.saturating_add(other.flows);
        self.trickles = self.trickles.saturating_add(other.trickles);
    }
}
