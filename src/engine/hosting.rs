//! Joins what the host shows to the servers that packets show: bind and process; and what no packet shows at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::detect::hosted;
use crate::detect::signature::Signatures;
use crate::host::{Program, Snapshot};
use crate::model::net::Endpoint;
use crate::model::process::{Bind, HostView, Hosted, Process, Unpinned};
use crate::model::server::View;
use crate::model::stamp::Timestamp;

/// Servers whose process is remembered when it is gone, and packages.
const REMEMBERED_MAX: usize = 4_096;
const MINUTE_NANOS: u64 = 60_000_000_000;

/// What was seen of servers of this machine, also of those that have ended: their packets are still reported.
#[derive(Clone, Debug, Default)]
pub struct Hosting {
    servers: BTreeMap<Endpoint, Hosted>,
    /// By ecosystem and name.
    unpinned: BTreeMap<(String, String), Unpinned>,
}

impl Hosting {
    /// Adds what a look showed to a view.
    pub(super) fn join(&mut self, view: &mut View, snapshot: &Snapshot, now: Timestamp, signatures: &Signatures) {
        let process = |program: &Program| process(program, signatures);
        for server in &mut view.servers {
            let at = SocketAddr::new(server.endpoint.addr, server.endpoint.port);
            let found = snapshot.find(at).map(|(listener, program)| Hosted {
                bind: Bind::of(listener.at.ip()),
                process: program.map(process),
            });
            if let Some(found) = found {
                self.remember(server.endpoint, found);
            }
            server.hosted = self.servers.get(&server.endpoint).cloned().map(Box::new);
        }
        let mut host = HostView {
            unknown_owners: snapshot
                .spaces
                .iter()
                .flat_map(|space| &space.listeners)
                .filter(|listener| listener.pid.is_none())
                .count() as u64,
            ..HostView::default()
        };
        for program in &snapshot.programs {
            let seen = hosted::Seen {
                arguments: &program.arguments,
                piped: program.piped,
                listens: snapshot.listens(program.pid),
            };
            hosted::note(&mut host, now, seen, || process(program));
        }
        host.stdio.sort();
        for unpinned in std::mem::take(&mut host.unpinned) {
            self.remember_package(unpinned);
        }
        host.unpinned = self.unpinned.values().cloned().collect();
        view.host = Some(host);
    }

    /// A look that finds the socket and not its owner takes nothing away.
    fn remember(&mut self, at: Endpoint, found: Hosted) {
        if found.process.is_none() && self.servers.get(&at).is_some_and(|known| known.bind == found.bind) {
            return;
        }
        if self.servers.len() >= REMEMBERED_MAX && !self.servers.contains_key(&at) {
            self.servers.pop_first();
        }
        self.servers.insert(at, found);
    }

    /// A package is told once, with the first of the chain of processes that starts it.
    fn remember_package(&mut self, unpinned: Unpinned) {
        let key = (unpinned.ecosystem.clone(), unpinned.package.clone());
        let full = self.unpinned.len() >= REMEMBERED_MAX;
        match self.unpinned.get_mut(&key) {
            // A record that changed with every look would be written with every look.
            Some(known) if unpinned.seen.last.time.since(known.seen.last.time) >= MINUTE_NANOS => {
                known.seen.join(unpinned.seen);
            }
            Some(_) => {}
            None if full => {}
            None => {
                self.unpinned.insert(key, unpinned);
            }
        }
    }
}

fn process(program: &Program, signatures: &Signatures) -> Process {
    Process {
        pid: program.pid,
        exe: program.exe.clone(),
        user: program.user.clone(),
        command: hosted::command(&program.arguments, signatures),
        unit: program.unit.clone(),
    }
}
