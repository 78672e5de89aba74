//! What the own machine shows beside packets: processes of servers, and what no packet shows.

use serde::Serialize;

use crate::model::process::{HostView, Process};

/// `process` of a server.
#[derive(Debug, Serialize)]
pub(crate) struct ProcessObject<'a> {
    pid: u32,
    exe: Option<&'a str>,
    user: &'a str,
    command: &'a str,
    unit: Option<&'a str>,
}

impl<'a> ProcessObject<'a> {
    pub(crate) fn of(process: &'a Process) -> Self {
        Self {
            pid: process.pid,
            exe: process.exe.as_deref(),
            user: &process.user,
            command: &process.command,
            unit: process.unit.as_deref(),
        }
    }
}

/// Only in host mode.
#[derive(Debug, Serialize)]
pub(crate) struct HostObject<'a> {
    /// Programs that look like MCP servers over stdio: a blind spot.
    stdio_servers: Vec<ProcessObject<'a>>,
    /// Sockets whose process this user may not look at.
    unknown_owners: u64,
}

impl<'a> HostObject<'a> {
    pub(crate) fn of(host: &'a HostView) -> Self {
        Self {
            stdio_servers: host.stdio.iter().map(ProcessObject::of).collect(),
            unknown_owners: host.unknown_owners,
        }
    }
}
