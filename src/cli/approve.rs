//! `shadowtap approve SERVER`, `shadowtap approve --learn`: approvals from what was observed.
//!
//! An approval covers what was seen and nothing beside it: address or host name, port, path and own name. The policy file
//! keeps its comments and its order; what would make it wrong is not written.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::cli::observed::{Observed, Place, Row};
use crate::cli::setup::{self, Rules};
use crate::cli::{atomic, audit};
use crate::config::load::{Loaded, read};
use crate::model::finding::Severity;
use crate::policy::Policy;
use crate::report::display::terminal;
use crate::store::Word;

/// Kinds of findings that an approval answers: they keep no server from being proposed.
const ANSWERED: [&str; 6] = [
    "cleartext-mcp",
    "exposed-bind",
    "registry-lookup",
    "remote-endpoint",
    "unapproved-server",
    "unauthenticated-server",
];

/// Servers that are named when a word means several.
const NAMED_MAX: usize = 10;

/// Writes an approval for a server that was observed, or proposes approvals for all.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Server: address, address:port, hostname, name or id
    #[arg(required_unless_present = "learn")]
    pub server: Option<String>,
    /// Propose approvals for every server that was seen, but for those with findings that an approval does not answer;
    /// prints them, and writes them only with --write
    #[arg(long, conflicts_with = "server")]
    pub learn: bool,
    /// With --learn: write the proposal into the policy file
    #[arg(long, requires = "learn")]
    pub write: bool,
    /// Who answers for it
    #[arg(long, value_name = "TEXT")]
    pub owner: Option<String>,
    /// Why it may be there
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Last day on which it counts: 2027-01-31
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub expires: Option<toml_edit::Datetime>,
    /// It may be reached by other machines
    #[arg(long)]
    pub expose: bool,
    /// It needs no credentials
    #[arg(long)]
    pub no_auth: bool,
    /// It may speak in clear
    #[arg(long)]
    pub cleartext: bool,
    /// Store to read [default: as configured, else $SHADOWTAP_STORE, else /var/lib/shadowtap, else the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: Rules,
}

fn date(text: &str) -> Result<toml_edit::Datetime, String> {
    let parsed = text.parse::<toml_edit::Datetime>().ok();
    parsed
        .filter(|when| when.date.is_some() && when.time.is_none())
        .ok_or_else(|| "write a date, such as 2027-01-31".to_owned())
}

/// Runs the command.
///
/// # Errors
/// No such server, or several, or a store or policy that cannot be read or written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some((loaded, ruleset)) = setup::load(&args.rules) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    let place = Place::open(&[], args.store.as_deref(), &loaded, ruleset)?;
    match &args.server {
        Some(name) => one(args, &place, &loaded, name),
        None => learn(args, &place, &loaded),
    }
}

fn one(args: &Args, place: &Place, loaded: &Loaded, name: &str) -> anyhow::Result<ExitCode> {
    let servers = place.servers(Some(name))?;
    let [server] = servers.as_slice() else {
        if servers.is_empty() {
            bail!("no server `{name}` was seen; `shadowtap report servers` lists all");
        }
        let named: Vec<String> = servers
            .iter()
            .take(NAMED_MAX)
            .map(|server| format!("  {} {}", server.id, terminal(&server.shown())))
            .collect();
        bail!(
            "`{name}` means {} servers; approve one of them by its id:\n{}",
            servers.len(),
            named.join("\n")
        );
    };
    if let Some(rule) = &server.approval {
        println!("{} is approved already: {rule}", terminal(&server.shown()));
        return Ok(ExitCode::SUCCESS);
    }
    let file = policy_file(args, loaded)?;
    if append(&file, [approval(args, server)])? == 0 {
        println!("{}: {} is in it already", file.display(), terminal(&server.shown()));
    } else {
        let told = format!("{}: approved {}", file.display(), terminal(&server.shown()));
        audit::note(args.store.as_deref(), loaded, "approve", told.clone());
        println!("{told}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A proposal for all that nothing speaks against.
fn learn(args: &Args, place: &Place, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let findings = place.ask(Word::Findings, None)?;
    let against = |id: &str| {
        let rows = findings.rows.iter().map(|row| Row(&findings, row));
        let mut kinds: Vec<String> = rows
            .filter(|row| row.text("server_id").as_deref() == Some(id))
            .filter(|row| row.text("severity").and_then(|word| Severity::parse(&word)) >= Some(Severity::Medium))
            .filter_map(|row| row.text("kind"))
            .filter(|kind| !ANSWERED.contains(&kind.as_str()))
            .collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    let mut proposed = Vec::new();
    let mut left_out = String::new();
    for server in place
        .servers(None)?
        .iter()
        .filter(|server| server.approval.is_none() && server.read)
    {
        let kinds = against(&server.id);
        if kinds.is_empty() {
            proposed.push(approval(args, server));
        } else {
            // Writing to a String cannot fail.
            let _ = writeln!(
                left_out,
                "# left out: {}: {}",
                terminal(&server.shown()),
                kinds.join(", ")
            );
        }
    }
    if args.write {
        let file = policy_file(args, loaded)?;
        let count = append(&file, proposed)?;
        let told = format!("{}: approved {count} servers", file.display());
        audit::note(args.store.as_deref(), loaded, "approve", told.clone());
        println!("{told}");
        eprint!("{left_out}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut document = DocumentMut::new();
    extend(&mut document, proposed)?;
    print!("{document}{left_out}");
    Ok(ExitCode::SUCCESS)
}

/// The narrowest approval that covers a server when it is seen again. A public one is known by its host name, since its
/// address changes; one of one's own by its address.
fn approval(args: &Args, server: &Observed) -> Table {
    let mut table = Table::new();
    let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(value);
    match &server.hostname {
        Some(hostname) if server.scope == "public" || !server.read => table["hostname"] = value(hostname.as_str()),
        _ => table["address"] = value(server.address.as_str()),
    }
    table["port"] = value(i64::from(server.port));
    if server.read {
        let known = [("path", text(&server.path)), ("server_name", text(&server.name))];
        for (key, known) in known {
            if let Some(known) = known {
                table[key] = known;
            }
        }
    }
    for (key, given) in [("owner", text(&args.owner)), ("reason", text(&args.reason))] {
        if let Some(given) = given {
            table[key] = given;
        }
    }
    if let Some(expires) = args.expires {
        table["expires"] = value(expires);
    }
    for (key, allowed) in [("expose", args.expose), ("cleartext", args.cleartext)] {
        if allowed {
            table[key] = value(true);
        }
    }
    if args.no_auth {
        table["auth"] = value("none");
    }
    let mut told = format!("{} clients, {} requests", server.clients.len(), server.requests);
    if let Some((first, last)) = server.seen {
        let _ = write!(told, ", {first} to {last}");
    }
    table.decor_mut().set_prefix(format!("\n# seen: {told}\n"));
    table
}

/// The policy file to write to.
fn policy_file(args: &Args, loaded: &Loaded) -> anyhow::Result<PathBuf> {
    loaded
        .policy_to_write(args.rules.policy.as_deref())
        .context("there is no policy file to write to; name one with --policy FILE")
}

/// Appends approvals to a policy file, which is made when it is missing, and gives how many it lacked.
fn append(file: &Path, approvals: impl IntoIterator<Item = Table>) -> anyhow::Result<usize> {
    let text = match file.exists() {
        true => read(file)?,
        false => String::new(),
    };
    let mut document: DocumentMut = text.parse().with_context(|| file.display().to_string())?;
    let added = extend(&mut document, approvals)?;
    if added == 0 {
        return Ok(0);
    }
    let text = document.to_string();
    // What is written must be what can be read.
    if let Err(defects) = Policy::parse(file, &text) {
        let told: Vec<String> = defects.iter().map(ToString::to_string).collect();
        bail!(
            "nothing was written, since the policy would be wrong:\n{}",
            told.join("\n")
        );
    }
    atomic::replace(file, &text).with_context(|| file.display().to_string())?;
    Ok(added)
}

/// Adds approvals that are not there yet.
fn extend(document: &mut DocumentMut, approvals: impl IntoIterator<Item = Table>) -> anyhow::Result<usize> {
    let known = document
        .entry("approve")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(list) = known.as_array_of_tables_mut() else {
        bail!("`approve` is written as a list; write each as a section of its own, [[approve]]");
    };
    let mut added = 0;
    for table in approvals {
        if list.iter().all(|known| !is_same(known, &table)) {
            list.push(table);
            added += 1;
        }
    }
    Ok(added)
}

/// Whether two approvals cover the same and for the same time: one that has run out may be followed by another.
fn is_same(one: &Table, other: &Table) -> bool {
    let keys = [
        "address",
        "port",
        "hostname",
        "path",
        "server_name",
        "expires",
        "auth",
        "expose",
        "cleartext",
    ];
    let said = |table: &Table, key: &str| table.get(key).map(|item| item.to_string().trim().to_owned());
    keys.iter().all(|key| said(one, key) == said(other, key))
}
