//! `shadowtap pin [SERVER]`: a lock file of servers and tools, from what was observed.
//!
//! Replaces the entries of the servers that it pins and leaves all others as they are. Judges nothing: whoever pins has
//! looked.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::observed::{Observed, Place};
use crate::cli::setup::{self, Rules};
use crate::cli::{atomic, audit};
use crate::config::load::Rulebook;
use crate::policy::pins::{PinnedServer, PinnedTool};

/// Writes a lock file of servers and tools as they were observed: whatever differs later is a finding.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this server: address, address:port, hostname, name or id
    pub server: Option<String>,
    /// Pin what these captures show instead of what the store knows; may be given several times
    #[arg(long, value_name = "FILE")]
    pub capture: Vec<String>,
    /// Store to read [default: as configured, else $SHADOWTAP_STORE, else /var/lib/shadowtap, else the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: Rules,
}

/// Runs the command.
///
/// # Errors
/// Nothing to pin, a store or capture that cannot be read, or a lock file that is wrong or cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // A lock file that is broken is written anew only by hand: what it pinned must not be lost in silence.
    let rules = Rules {
        new_pins: true,
        ..args.rules.clone()
    };
    let Some((loaded, ruleset)) = setup::load(&rules) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    let Ok(Rulebook { policy, pins_file, .. }) = rules.rulebook(&loaded) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    let place = Place::open(&args.capture, args.store.as_deref(), &loaded, ruleset)?;
    let mut servers = place.servers(args.server.as_deref())?;
    servers.retain(|server| server.read && !server.tools.is_empty());
    if servers.is_empty() {
        match &args.server {
            Some(name) => bail!("no tools of a server `{name}` were seen; `shadowtap report servers` lists all"),
            None => bail!("no tools of any server were seen"),
        }
    }
    let mut pins = policy.pins().clone();
    let count = servers.len();
    let tools: usize = servers.iter().map(|server| server.tools.len()).sum();
    for server in servers {
        pins.pin(pinned(server)?);
    }
    atomic::replace(&pins_file, &pins.render()).with_context(|| pins_file.display().to_string())?;
    let told = format!("{}: pinned {count} servers with {tools} tools", pins_file.display());
    audit::note(args.store.as_deref(), &loaded, "pin", told.clone());
    println!("{told}");
    Ok(ExitCode::SUCCESS)
}

fn pinned(server: Observed) -> anyhow::Result<PinnedServer> {
    let address = server
        .address
        .parse()
        .context("the store holds an address that is none")?;
    let tools = server.tools.iter();
    Ok(PinnedServer {
        address,
        port: server.port,
        tools: tools
            .map(|tool| PinnedTool::of(&tool.name, &tool.sha256, &tool.definition))
            .collect(),
        hostname: server.hostname,
        path: server.path,
        server_name: server.name,
        server_version: server.version,
        instructions_sha256: server.instructions_sha256,
    })
}
