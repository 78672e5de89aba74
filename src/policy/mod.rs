//! What the organisation wants: its home networks, the servers it approves, who may use which tools, what is to be reached
//! through a gateway, and what it wants to be told.
//!
//! A [`Policy`] is made from the text of a policy file by [`Policy::parse`] (`file.rs`) and never changes. Judging is a
//! pure function of a record and of packet time, so that the same capture gives the same verdict at any time of day.
//! Opens no file (`config` does) and makes no finding of its own: what a verdict means is the detectors' business.

mod approval;
pub mod assets;
mod criteria;
mod file;
mod gateway;
mod network;
pub mod pins;
mod quiet;
mod usage;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

pub use approval::{Verdict, tools_sha256};
pub use usage::{Hints, Usage, is_writing};

use crate::model::finding::Finding;
use crate::model::server::{Server, View};
use crate::model::stamp::Timestamp;
use crate::policy::approval::Approval;
use crate::policy::criteria::list;
use crate::policy::gateway::{Backend, Gateway};
use crate::policy::network::contains;
use crate::policy::pins::Pins;
use crate::policy::quiet::Quiet;
use crate::policy::usage::Allow;

/// The section `[policy]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Policy file; a relative path starts at the configuration's folder. Without it, `policy.toml` in that folder.
    pub path: Option<PathBuf>,
}

/// Everything that a policy file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    home: Vec<IpNet>,
    groups: Vec<Group>,
    approvals: Vec<Approval>,
    allows: Vec<Allow>,
    gateways: Vec<Gateway>,
    backends: Vec<Backend>,
    quiet: Quiet,
    /// As written: relative to the folder of the policy file.
    pins_file: Option<PathBuf>,
    pins: Pins,
}

/// One `[[group]]`: clients by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: Arc<str>,
    clients: Vec<IpNet>,
}

impl Default for Policy {
    /// What is in force without a policy file: the private networks are home, and nothing is approved.
    fn default() -> Self {
        Self {
            home: network::private(),
            groups: Vec::new(),
            approvals: Vec::new(),
            allows: Vec::new(),
            gateways: Vec::new(),
            backends: Vec::new(),
            quiet: Quiet::default(),
            pins_file: None,
            pins: Pins::default(),
        }
    }
}

impl Policy {
    /// Judges a server at a moment of packet time (the view's last stamp).
    pub fn judge(&self, server: &Server, now: Timestamp) -> Verdict {
        approval::judge(&self.approvals, server, now)
    }

    /// Whether an approval in force names this host, so that `client` may look it up and connect to it. What a name
    /// alone cannot show (port, path, tools) is not asked for.
    pub fn covers_name(&self, name: &str, client: IpAddr, now: Timestamp) -> bool {
        let name = name.to_ascii_lowercase();
        self.approvals.iter().any(|approval| {
            approval.counts_at(now) && approval.servers.covers_name(&name) && approval.clients.holds(client)
        })
    }

    /// Whether an address lies in the home networks.
    pub fn is_home(&self, addr: IpAddr) -> bool {
        contains(&self.home, addr)
    }

    /// Names of the groups that a client is in, in the order of the file.
    pub fn groups_of(&self, client: IpAddr) -> Vec<Arc<str>> {
        let held = self.groups.iter().filter(|group| contains(&group.clients, client));
        held.map(|group| Arc::clone(&group.name)).collect()
    }

    /// Whether any `[[allow]]` says who may call what.
    pub const fn restricts_tools(&self) -> bool {
        !self.allows.is_empty()
    }

    /// Whether a client may call a tool of a server.
    pub fn may_call(&self, server: &Server, client: IpAddr, now: Timestamp, tool: (&str, Hints)) -> Usage {
        usage::may_call(&self.allows, (server, client, now), tool)
    }

    /// Whether a server may offer a tool at all: some section that names the server allows it to someone, or none names
    /// the server.
    pub fn may_offer(&self, server: &Server, now: Timestamp, tool: (&str, Hints)) -> Usage {
        usage::may_offer(&self.allows, server, now, tool)
    }

    /// The `[[gateway]]` that a client goes around by reaching this server from its own address; `None` where it may.
    pub fn bypasses(&self, server: &Server, client: IpAddr) -> Option<&str> {
        let mut guards = self.gateways.iter().filter(|gateway| gateway.guards(server)).peekable();
        let first = guards.peek().map(|gateway| &*gateway.rule)?;
        (!guards.any(|gateway| gateway.passes(server, client))).then_some(first)
    }

    /// Whether the policy declares a host (a name, or an address) as a backend of a server: one that it may call with
    /// the token that it was given.
    pub fn is_backend(&self, server: &Server, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        self.backends.iter().any(|backend| backend.holds(server, host))
    }

    /// Sections that have run out at a moment, and when they did.
    pub fn expired(&self, now: Timestamp) -> Vec<(Arc<str>, Timestamp)> {
        let approvals = self.approvals.iter().map(|approval| (&approval.rule, approval.until));
        let allows = self.allows.iter().map(|allow| (&allow.rule, allow.until));
        let quiet = self.quiet.terms();
        let all = approvals.chain(allows).chain(quiet);
        all.filter_map(|(rule, until)| Some((Arc::clone(rule), until.filter(|until| *until <= now)?)))
            .collect()
    }

    /// The lock file that the policy names, as written.
    pub fn pins_file(&self) -> Option<&Path> {
        self.pins_file.as_deref()
    }

    /// What is pinned.
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The same policy with these pins.
    #[must_use]
    pub fn with_pins(self, pins: Pins) -> Self {
        Self { pins, ..self }
    }

    /// Takes out of a view what is only about ignored clients. Before detectors review it.
    pub fn ignore(&self, view: &mut View) {
        self.quiet.ignore(view);
    }

    /// Severities and suppression, once every finding is there. The caller puts the rest in order.
    pub fn settle(&self, view: &mut View) {
        self.quiet.settle(view);
    }

    /// Takes findings beyond the bound of alike ones out of a view that is in order, and gives one that stands for each
    /// lot.
    pub fn fold(&self, view: &mut View) -> Vec<Finding> {
        self.quiet.fold(view)
    }
}

/// What is in force, one line each.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "home: {}", list(&self.home))?;
        for group in &self.groups {
            write!(f, "\ngroup {}: {}", group.name, list(&group.clients))?;
        }
        if self.approvals.is_empty() {
            write!(f, "\nnothing is approved")?;
        }
        self.approvals
            .iter()
            .try_for_each(|approval| write!(f, "\n{approval}"))?;
        self.allows.iter().try_for_each(|allow| write!(f, "\n{allow}"))?;
        self.gateways.iter().try_for_each(|gateway| write!(f, "\n{gateway}"))?;
        self.backends.iter().try_for_each(|backend| write!(f, "\n{backend}"))?;
        write!(f, "{}", self.quiet)?;
        match self.pins.count() {
            (0, _) => Ok(()),
            (servers, tools) => write!(f, "\npinned: {servers} servers, {tools} tools"),
        }
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
