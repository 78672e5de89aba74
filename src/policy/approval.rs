//! `[[approve]]`: which servers are approved, for how long, and for what.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::server::{Server, Tool};
use crate::model::stamp::Timestamp;
use crate::policy::criteria::{Clients, Servers, given};

/// What the policy says about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one approval in force covers it; what any of them allows is allowed.
    Approved {
        /// The first that does: `approve #2: platform team — weather for the chat bot`.
        rule: Arc<str>,
        /// It may be reached by other machines (`expose = true`).
        expose: bool,
        /// It needs no credentials (`auth = "none"`).
        unauthenticated_ok: bool,
        /// It may speak in clear (`cleartext = true`).
        cleartext_ok: bool,
    },
    /// Only approvals that have run out cover it.
    Expired {
        /// The one that ran out last.
        rule: Arc<str>,
        /// The first moment at which it counted no longer.
        when: Timestamp,
    },
    /// No approval covers it.
    Unapproved,
}

/// One `[[approve]]`: all criteria that are given must match, and at least one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Approval {
    pub(super) rule: Arc<str>,
    pub(super) servers: Servers,
    pub(super) tools_sha256: Option<[u8; 32]>,
    pub(super) clients: Clients,
    /// The first moment at which it counts no longer.
    pub(super) until: Option<Timestamp>,
    pub(super) expose: bool,
    pub(super) unauthenticated_ok: bool,
    pub(super) cleartext_ok: bool,
}

impl Approval {
    pub(super) fn covers(&self, server: &Server) -> bool {
        // A server whose clients are unknown is not one that only these clients use.
        let used_by_these =
            || !server.clients.is_empty() && server.clients.iter().all(|client| self.clients.holds(*client));
        self.servers.matches(server)
            && given(&self.tools_sha256, |hash| tools_sha256(&server.tools) == Some(*hash))
            && (self.clients.is_any() || used_by_these())
    }

    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Judges a server by the approvals at a moment of packet time.
pub(super) fn judge(approvals: &[Approval], server: &Server, now: Timestamp) -> Verdict {
    let covering: Vec<&Approval> = approvals.iter().filter(|approval| approval.covers(server)).collect();
    let in_force = || covering.iter().filter(|approval| approval.counts_at(now));
    if let Some(first) = in_force().next() {
        return Verdict::Approved {
            rule: Arc::clone(&first.rule),
            expose: in_force().any(|approval| approval.expose),
            unauthenticated_ok: in_force().any(|approval| approval.unauthenticated_ok),
            cleartext_ok: in_force().any(|approval| approval.cleartext_ok),
        };
    }
    covering
        .iter()
        .filter_map(|approval| Some((approval, approval.until?)))
        .max_by_key(|(_, until)| *until)
        .map_or(Verdict::Unapproved, |(latest, when)| Verdict::Expired {
            rule: Arc::clone(&latest.rule),
            when,
        })
}

/// SHA-256 over the raw SHA-256 hashes (32 bytes each, ascending, without repeats) of the tools that the newest listing
/// holds. Neither the order of the listing nor a tool that is gone changes it. `None` without tools: an empty list says
/// nothing about a server.
pub fn tools_sha256(tools: &[Tool]) -> Option<[u8; 32]> {
    let mut hashes: Vec<&[u8; 32]> = tools
        .iter()
        .filter(|tool| !tool.gone)
        .map(|tool| &tool.sha256)
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return None;
    }
    let mut sum = Sha256::new();
    hashes.iter().for_each(|hash| sum.update(hash));
    Some(sum.finalize().into())
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.servers.words();
        words.extend(
            self.tools_sha256
                .map(|hash| format!("tools_sha256 {}", super::hex(&hash))),
        );
        words.extend(self.clients.words());
        words.extend(self.until.map(|until| format!("until {until}")));
        words.extend(self.expose.then(|| "may be exposed".to_owned()));
        words.extend(self.unauthenticated_ok.then(|| "without credentials".to_owned()));
        words.extend(self.cleartext_ok.then(|| "in clear".to_owned()));
        write!(f, "{} [{}]", self.rule, words.join("; "))
    }
}
