//! `shadowtap purge --before DATE [--client ADDR]`: erases from the store, audited.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::audit::who;
use crate::cli::report::moment;
use crate::cli::setup::now;
use crate::config::load::Loaded;
use crate::model::stamp::Timestamp;
use crate::store::default_path;
use crate::store::sqlite::{Deed, Purged, Writer};

/// Erases what was last seen before a moment, of everybody or of one client, so that no copy is left in the store.
///
/// What goes on after that moment stays. A sensor that runs knows it still and writes again what it sees again. What was
/// erased, by whom and why, stands in the audit log, which is never erased.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What was last seen before this moment: 2026-11-20, 2026-11-20T10:00:00Z, 90d, or `now` for everything
    #[arg(long, value_name = "DATE", value_parser = moment)]
    pub before: Timestamp,
    /// Only what concerns this client
    #[arg(long, value_name = "ADDR")]
    pub client: Option<IpAddr>,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    /// Configuration file, which may name the store [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Store [default: as configured, else $SHADOWTAP_STORE, else /var/lib/shadowtap, else the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// No store, or one that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = Loaded::load(args.config.as_deref())?;
    let path = args.store.clone().or_else(|| loaded.store_file());
    let path = path.unwrap_or_else(default_path);
    if !path.exists() {
        bail!("{}: no store here; name one with --store PATH", path.display());
    }
    let mut store = Writer::open(&path, "purge")?;
    let purged = store.purge(args.before, args.client)?;
    let told = told(&purged);
    // The address itself would be kept for ever where it was to be erased.
    let whose = if args.client.is_some() { " of one client" } else { "" };
    store
        .audit(&Deed {
            at: now(),
            who: who(),
            what: "purge".to_owned(),
            about: format!("before {}{whose}: {told}; {}", args.before, args.why),
        })
        .context("it is erased, and the audit log does not know")?;
    println!("erased: {told}");
    Ok(ExitCode::SUCCESS)
}

fn told(purged: &Purged) -> String {
    let counts = [
        (purged.messages, "messages"),
        (purged.usage, "hours of usage"),
        (purged.sessions, "sessions"),
        (purged.lookups, "look-ups"),
        (purged.findings, "findings"),
        (purged.clients, "clients"),
        (purged.servers, "servers"),
    ];
    let words: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}
