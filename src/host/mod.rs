//! Host mode: the listening sockets of the own machine, and the processes behind them. Read-only, through /proc.
//!
//! A process of its own looks (`watch.rs`), and a sensor hears what it saw: to look into other processes takes rights that
//! whoever parses packets must not have, and Landlock would bar it. It follows network namespaces: a container's sockets
//! are those of its own addresses. What came and went between two looks is not seen.

mod hear;
mod proc;
mod sockets;
mod watch;

use std::net::{IpAddr, SocketAddr};

pub use hear::Host;
pub use watch::watch;

use serde::{Deserialize, Serialize};

/// The section `[host]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the own machine is looked at, too.
    pub enabled: bool,
    /// How often, in milliseconds, at least 200.
    pub interval_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            interval_ms: 2_000,
        }
    }
}

/// What was seen at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Snapshot {
    /// Network namespaces, that of the sensor first.
    pub spaces: Vec<Space>,
    /// Processes by number.
    pub programs: Vec<Program>,
    /// Sockets that were seen before and are gone, the latest first: their packets may be looked into only now.
    pub gone: Vec<Gone>,
    /// Processes and sockets beyond the bounds.
    pub left_out: u64,
}

/// A socket that is gone, with what it was part of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Gone {
    /// It was in the namespace of the sensor.
    pub own: bool,
    /// Its namespace, with this socket alone.
    pub space: Space,
    /// Whose it was.
    pub program: Option<Program>,
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Space {
    /// Addresses of its own, loopback among them.
    pub addresses: Vec<IpAddr>,
    /// Sockets that listen.
    pub listeners: Vec<Listener>,
}

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Listener {
    /// What it is bound to.
    pub at: SocketAddr,
    /// Process that has it open, the first of several; `None` when none could be seen.
    pub pid: Option<u32>,
}

/// A process. Its command line is as it stands: it must be redacted before it is shown or kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Program {
    /// Its number.
    pub pid: u32,
    /// Program file, where it may be seen.
    pub exe: Option<String>,
    /// Name of its user, or the number.
    pub user: String,
    /// Command line by argument.
    pub arguments: Vec<String>,
    /// Container or service.
    pub unit: Option<String>,
    /// Its standard input is a pipe or a socket: another program talks to it.
    pub piped: bool,
}

impl Space {
    /// The socket that answers at an address of this namespace, the most exact one first.
    fn listener(&self, at: SocketAddr) -> Option<&Listener> {
        let own = at.ip().is_loopback() || self.addresses.contains(&at.ip());
        let fits = |listener: &&Listener| {
            let bound = listener.at.ip();
            let any = bound.is_unspecified() && (bound.is_ipv6() || at.ip().is_ipv4());
            listener.at.port() == at.port() && (bound == at.ip() || (any && own))
        };
        let found = self.listeners.iter().filter(fits);
        found.min_by_key(|listener| listener.at.ip().is_unspecified())
    }
}

impl Snapshot {
    /// The socket that answers at an address, the most exact one first, with its process; else the last one that did. Of
    /// loopback addresses only the sensor's own are known.
    pub fn find(&self, at: SocketAddr) -> Option<(&Listener, Option<&Program>)> {
        let loopback = at.ip().is_loopback();
        let spaces = self.spaces.iter().enumerate();
        let found = spaces
            .filter(|(nth, _)| *nth == 0 || !loopback)
            .find_map(|(_, space)| space.listener(at));
        if let Some(listener) = found {
            return Some((listener, listener.pid.and_then(|pid| self.program(pid))));
        }
        let gone = self.gone.iter().filter(|gone| gone.own || !loopback);
        gone.into_iter()
            .find_map(|gone| Some((gone.space.listener(at)?, gone.program.as_ref())))
    }

    /// The process with a number.
    pub fn program(&self, pid: u32) -> Option<&Program> {
        let at = self.programs.binary_search_by_key(&pid, |program| program.pid).ok()?;
        self.programs.get(at)
    }

    /// Whether a process has a socket that listens.
    pub fn listens(&self, pid: u32) -> bool {
        let mut listeners = self.spaces.iter().flat_map(|space| &space.listeners);
        listeners.any(|listener| listener.pid == Some(pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_that_fits_best_in_its_own_namespace() {
        let space = |addresses: &[&str], listeners: &[(&str, u32)]| Space {
            addresses: addresses.iter().map(|addr| addr.parse().unwrap()).collect(),
            listeners: listeners
                .iter()
                .map(|(at, pid)| Listener {
                    at: at.parse().unwrap(),
                    pid: Some(*pid),
                })
                .collect(),
        };
        let snapshot = Snapshot {
            spaces: vec![
                space(
                    &["127.0.0.1", "10.0.0.5", "fd00::5"],
                    &[
                        ("0.0.0.0:80", 1),
                        ("10.0.0.5:80", 2),
                        ("127.0.0.1:81", 3),
                        ("[::]:82", 4),
                    ],
                ),
                space(&["127.0.0.1", "172.17.0.2"], &[("0.0.0.0:80", 5), ("127.0.0.1:90", 6)]),
            ],
            ..Snapshot::default()
        };
        let at = |text: &str| snapshot.find(text.parse().unwrap()).and_then(|(found, _)| found.pid);
        assert_eq!(at("10.0.0.5:80"), Some(2));
        assert_eq!(at("127.0.0.1:80"), Some(1));
        assert_eq!(at("172.17.0.2:80"), Some(5));
        assert_eq!(at("10.0.0.6:80"), None);
        assert_eq!((at("127.0.0.1:81"), at("10.0.0.5:81")), (Some(3), None));
        assert_eq!(
            (at("10.0.0.5:82"), at("[fd00::5]:82"), at("[fd00::5]:80")),
            (Some(4), Some(4), None)
        );
        assert_eq!(at("127.0.0.1:90"), None, "another namespace's loopback");
        assert!(snapshot.listens(5) && !snapshot.listens(9));
    }
}
