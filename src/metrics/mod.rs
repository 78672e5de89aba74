//! How a sensor is: numbers for Prometheus (`/metrics`) and two answers for whoever watches over it (`/healthz`,
//! `/readyz`).
//!
//! The edge of the sensor posts its state once a second on the [`Board`]; a thread of its own shows it. No packet waits
//! for either. Nothing that traffic chose is shown: no name, no address.

mod server;
mod text;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use server::serve;

pub use crate::model::counters::{InterfaceState, Load};
use crate::model::server::{Capture, View};
use crate::sink::runner::Tally;

/// The section `[metrics]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where numbers and health are asked for over HTTP, as `127.0.0.1:9470`. Nobody is asked who he is: other addresses
    /// than loopback are for networks of the operator's own. Without it nobody may ask.
    pub listen: Option<SocketAddr>,
}

/// What was found, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Servers that the policy approves, and others.
    pub servers: [u64; 2],
    /// Clients.
    pub clients: u64,
    /// Sessions.
    pub sessions: u64,
    /// Findings by the words of kind and severity.
    pub findings: BTreeMap<(&'static str, &'static str), u64>,
}

impl Found {
    /// Of a view.
    pub fn of(view: &View) -> Self {
        let mut found = Self {
            clients: view.clients.len() as u64,
            sessions: view.sessions.len() as u64,
            ..Self::default()
        };
        for server in &view.servers {
            let [approved, others] = &mut found.servers;
            *(if server.approval.is_some() { approved } else { others }) += 1;
        }
        for reported in &view.findings {
            let finding = &reported.finding;
            let words = (finding.key.kind.word(), finding.severity.word());
            *found.findings.entry(words).or_insert(0) += 1;
        }
        found
    }
}

/// Numbers at one moment. What was found is of the last round.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Packets, bytes, losses, blind spots.
    pub capture: Capture,
    /// Interfaces in the order given.
    pub interfaces: Vec<InterfaceState>,
    /// What is held, and the bounds of it.
    pub load: Load,
    /// See above.
    pub bounds: Load,
    /// What was found.
    pub found: Found,
    /// Sinks.
    pub sinks: Vec<Tally>,
    /// Resident memory in bytes, where the system tells.
    pub resident_bytes: Option<u64>,
    /// When the sensor began, in seconds since 1970.
    pub began: i64,
}

/// Whether the sensor is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it is not alive: to be started anew.
    pub sick: Vec<String>,
    /// Why it is not ready: something around it does not work.
    pub unready: Vec<String>,
}

/// What is shown.
#[derive(Debug, Default)]
struct Shown {
    metrics: String,
    health: Health,
}

#[expect(
    clippy::disallowed_types,
    reason = "taken once a second, and by who asks; never by a packet"
)]
type Slot = std::sync::Mutex<Arc<Shown>>;

/// Where the state is posted.
#[derive(Debug, Default)]
pub struct Board(Slot);

impl Board {
    /// Shows another state from now on.
    pub fn post(&self, state: &State, health: Health) {
        let shown = Arc::new(Shown {
            metrics: text::write(state, &health),
            health,
        });
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = shown;
    }

    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
