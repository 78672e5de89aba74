//! What a host tells about a server of its own: what its socket is bound to, and whose it is.

use std::net::IpAddr;

use crate::model::net::Scope;
use crate::model::stamp::Span;

/// What a listening socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bind {
    /// One address that other machines may reach.
    Address,
    /// This machine alone.
    Loopback,
    /// Every address of the machine.
    Wildcard,
}

impl Bind {
    /// Of a socket's local address.
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_unspecified() {
            Self::Wildcard
        } else if Scope::of(addr) == Scope::Loopback {
            Self::Loopback
        } else {
            Self::Address
        }
    }

    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Loopback => "loopback",
            Self::Wildcard => "wildcard",
        }
    }
}

/// A process, as far as it could be looked at; its command line without secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Program file.
    pub exe: Option<String>,
    /// Name of its user, or the number where it has none.
    pub user: String,
    /// Command line, cut and redacted.
    pub command: String,
    /// Container or service that it belongs to.
    pub unit: Option<String>,
}

/// A server of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// What its socket is bound to.
    pub bind: Bind,
    /// Whose the socket is.
    pub process: Option<Process>,
}

/// A package of an MCP server that a command line starts in whatever version there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpinned {
    /// `npm`, `pypi` or `oci`.
    pub ecosystem: String,
    /// Name, without a version.
    pub package: String,
    /// Who starts it; the first of a chain of processes.
    pub process: Process,
    /// First and last look that saw it, by the clock on the wall.
    pub seen: Span,
}

/// What a host shows beside packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostView {
    /// Programs that look like MCP servers over stdio, ascending.
    pub stdio: Vec<Process>,
    /// Packages of MCP servers without a version, ascending.
    pub unpinned: Vec<Unpinned>,
    /// Sockets whose process could not be looked at.
    pub unknown_owners: u64,
}
