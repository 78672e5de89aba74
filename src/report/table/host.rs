//! What the own machine shows: whose a server is, and the programs that talk over pipes.

use std::fmt::Write as _;

use crate::model::process::{Bind, HostView, Hosted, Process};
use crate::report::display::terminal;

/// Programs that are named.
const MAX_STDIO: usize = 8;

/// What a server's socket is bound to, and its process.
pub(super) fn facts(hosted: &Hosted) -> Vec<String> {
    let bind = match hosted.bind {
        Bind::Address => "bound to one address",
        Bind::Loopback => "bound to loopback",
        Bind::Wildcard => "BOUND TO EVERY ADDRESS",
    };
    let process = hosted
        .process
        .as_ref()
        .map_or_else(|| "process unknown".to_owned(), process);
    vec![bind.to_owned(), process]
}

fn process(process: &Process) -> String {
    let mut line = format!("pid {} of {}", process.pid, terminal(&process.user));
    if let Some(unit) = &process.unit {
        let _ = write!(line, " in {}", terminal(unit));
    }
    let _ = write!(line, ": {}", terminal(&process.command));
    line
}

/// Lines for what could not be seen.
pub(super) fn blind(host: &HostView) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if !host.stdio.is_empty() {
        lines.push(format!(
            "programs that look like MCP servers over stdio: {}",
            host.stdio.len()
        ));
        lines.extend(host.stdio.iter().take(MAX_STDIO).map(|it| format!("  {}", process(it))));
    }
    if host.unknown_owners > 0 {
        let rights = "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH show them";
        lines.push(format!(
            "sockets whose process may not be looked at: {} ({rights})",
            host.unknown_owners
        ));
    }
    lines
}
