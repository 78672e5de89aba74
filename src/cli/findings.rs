//! `shadowtap findings ack|close|mute|reopen ID`: the life of a finding, audited in the store.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;

use crate::cli::audit::who;
use crate::cli::report::{moment, names};
use crate::cli::setup::now;
use crate::config::load::Loaded;
use crate::model::stamp::Timestamp;
use crate::store::sqlite::{Decision, Deed, Writer};
use crate::store::{State, Word, default_path};

/// Decides what becomes of findings. Decisions are added to the store and never changed.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What becomes of them: ack (known), close (settled, until seen again), mute (of no interest), reopen
    #[arg(value_enum)]
    pub verb: Verb,
    /// Ids, as `report findings --format csv` shows them; their first digits will do
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Until when it counts: 2027-01-31, 2027-01-31T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Configuration file, which may name the store [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Store [default: as configured, else $SHADOWTAP_STORE, else /var/lib/shadowtap, else the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
}

/// What becomes of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verb {
    /// Somebody knows of it.
    Ack,
    /// It is settled, until it is seen again.
    Close,
    /// It is of no interest, also when it is seen again.
    Mute,
    /// What was decided before counts no longer.
    Reopen,
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Close => "close",
            Self::Mute => "mute",
            Self::Reopen => "reopen",
        }
    }

    const fn state(self) -> State {
        match self {
            Self::Ack => State::Acknowledged,
            Self::Close => State::Closed,
            Self::Mute => State::Muted,
            Self::Reopen => State::Open,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// No such finding, no reason, or a store that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.why.trim().is_empty() {
        bail!("--why is empty; whoever reads this in a year has to know");
    }
    let loaded = Loaded::load(args.config.as_deref())?;
    let path = args
        .store
        .clone()
        .or_else(|| loaded.store_file())
        .unwrap_or_else(default_path);
    if !path.exists() {
        bail!("{}: no store here; name one with --store PATH", path.display());
    }
    let mut store = Writer::open(&path, "findings")?;
    let decision = Decision {
        state: args.verb.state(),
        why: args.why.clone(),
        who: who(),
        at: now(),
        until: args.until,
    };
    let mut wrong = Vec::new();
    for name in &args.ids {
        match names::by_id(&store, Word::Findings, name)?.one("finding", name) {
            Ok(id) => {
                store.decide(&id, &decision)?;
                store.audit(&Deed {
                    at: decision.at,
                    who: decision.who.clone(),
                    what: args.verb.word().to_owned(),
                    about: format!("finding {id}: {}", decision.why),
                })?;
            }
            Err(message) => wrong.push(message),
        }
    }
    println!(
        "{} findings are {}",
        args.ids.len() - wrong.len(),
        decision.state.word()
    );
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\nshadowtap: "));
    }
    Ok(ExitCode::SUCCESS)
}
