//! What several commands need before they start: configuration, policy, signatures, store.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::config::ClientNames;
use crate::config::load::{Loaded, Rulebook};
use crate::detect::fingerprint::Fingerprints;
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::engine::settings::Settings;
use crate::model::counters::Blind;
use crate::model::defect::Defect;
use crate::model::event::Event;
use crate::model::message_seen::MessageRow;
use crate::model::past::Past;
use crate::model::server::View;
use crate::model::stamp::Timestamp;
use crate::sink::Sink as _;
use crate::sink::settings::Setting;
use crate::store::sqlite::{Reader, Writer};
use crate::store::{Store, StoreError, clickhouse, default_path};

/// Exit code of wrong usage or configuration.
pub const WRONG: u8 = 2;

/// Records of one batch into the store.
const BATCH_EVENTS: usize = 5_000;

/// Where configuration and policy are.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Rules {
    /// Configuration file [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Policy file: home networks and approvals [default: as configured, else policy.toml beside the configuration]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Lock file of tool definitions [default: as the policy says, else shadowtap.lock beside the policy]
    #[arg(long, value_name = "FILE")]
    pub pins: Option<PathBuf>,
    /// The lock file that is named need not be there yet.
    #[arg(skip)]
    pub new_pins: bool,
}

impl Rules {
    /// Policy and pins as they are given, configured or found.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn rulebook(&self, loaded: &Loaded) -> Result<Rulebook, Vec<Defect>> {
        loaded.rulebook(self.policy.as_deref(), self.pins.as_deref(), self.new_pins)
    }
}

/// Loads everything that an operator wrote. Mistakes go to standard error, one a line; then there is nothing to run
/// with.
pub fn load(rules: &Rules) -> Option<(Loaded, Ruleset)> {
    match in_force(rules) {
        Ok(loaded) => Some(loaded),
        Err(defects) => {
            for defect in defects {
                eprintln!("{defect}");
            }
            None
        }
    }
}

fn in_force(rules: &Rules) -> Result<(Loaded, Ruleset), Vec<Defect>> {
    let loaded = Loaded::load(rules.config.as_deref()).map_err(|defect| vec![defect])?;
    let policy = rules.rulebook(&loaded)?.policy;
    let key = loaded.privacy_key().map_err(|defect| vec![defect])?;
    let dirs = loaded.signature_dirs();
    let signatures = if dirs.is_empty() {
        Signatures::builtin()
    } else {
        Signatures::load(&dirs)?
    };
    Ok((
        loaded,
        Ruleset {
            signatures: Arc::new(signatures),
            policy: Arc::new(policy),
            fingerprints: key.as_deref().map_or_else(Fingerprints::random, Fingerprints::keyed),
        },
    ))
}

/// Engine settings of a configuration.
pub fn settings(loaded: &Loaded) -> Settings {
    let config = &loaded.config;
    Settings {
        packet: config.packet.clone(),
        tls: config.tls.clone(),
        messages_max: config.engine.messages_max,
        pseudonyms: config.privacy.clients == ClientNames::Keyed,
        ..Settings::new(&config.engine, &config.flow, &config.reassembly, &config.inventory)
    }
}

/// What key material opened and what it did not, in one line; `None` when there was none, or no encrypted flow.
pub fn key_material(blind: &Blind) -> Option<String> {
    let (missing, wrong) = (blind.flows_without_secrets, blind.flows_with_wrong_secrets);
    if blind.decrypted_flows + missing + wrong + blind.evicted_secrets == 0 {
        return None;
    }
    let mut line = format!("key material opened {} encrypted flows", blind.decrypted_flows);
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            // Writing to a String cannot fail.
            let _ = write!(line, "; {count} {what}");
        }
    };
    add(missing, "have no secrets in it");
    add(wrong, "do not fit theirs");
    add(
        blind.evicted_secrets,
        "connections were too many to remember: raise tls.max_connections",
    );
    Some(line)
}

/// The store: as given, else as configured, else the default place; `none` is none.
pub fn store_path(given: Option<&Path>, loaded: &Loaded) -> Option<PathBuf> {
    match given {
        Some(path) if path == Path::new("none") => None,
        Some(path) => Some(path.to_owned()),
        None => Some(loaded.store_file().unwrap_or_else(default_path)),
    }
}

/// A store to ask: a file, `http(s)://HOST:PORT` of a ClickHouse server, or `clickhouse` for the configured one.
pub enum Asked {
    /// The embedded store.
    File(PathBuf),
    /// A server.
    Server(Box<clickhouse::Server>),
}

impl Asked {
    /// Takes what was given apart.
    ///
    /// # Errors
    /// What is wrong with it, or with the section `[clickhouse]`.
    pub fn of(given: &Path, loaded: &Loaded) -> Result<Self, Defect> {
        let text = given.to_str().unwrap_or_default();
        let told = |(what, cure)| Defect {
            file: PathBuf::from("--store"),
            line: None,
            what,
            cure,
        };
        let server = match text {
            "clickhouse" => loaded.clickhouse()?.ok_or_else(|| {
                let cure = "set clickhouse.url in the configuration, or give http(s)://HOST:PORT".to_owned();
                told(("no ClickHouse server is configured".to_owned(), cure))
            })?,
            _ if text.starts_with("http://") || text.starts_with("https://") => {
                loaded.clickhouse_at(clickhouse::Address::parse(text).map_err(told)?)?
            }
            _ => return Ok(Self::File(given.to_owned())),
        };
        Ok(Self::Server(Box::new(server)))
    }

    /// Opens it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Self::File(path) => Box::new(Reader::open(&path)?),
            Self::Server(server) => Box::new(clickhouse::Reader::open(*server)?),
        })
    }
}

/// What earlier runs saw, where there is a store that knows. One that cannot be read tells nothing of the past, and is
/// told.
pub fn past(path: Option<&Path>) -> Option<Arc<Past>> {
    let path = path.filter(|path| path.exists())?;
    match Reader::open(path).and_then(|reader| reader.past()) {
        Ok(past) => Some(Arc::new(past)),
        // A new store, or one that is about to be brought up to date.
        Err(StoreError::Missing { .. } | StoreError::Failed { .. }) => None,
        Err(error) => {
            eprintln!("shadowtap: what earlier runs saw is not known: {error}");
            None
        }
    }
}

/// Writes a whole view as one run, and the messages that were taken out of it.
///
/// # Errors
/// When the store cannot be opened or written.
pub fn write(path: &Path, run: &str, view: &View, messages: Vec<MessageRow>) -> anyhow::Result<()> {
    let mut store = Writer::open(path, run)?.replacing();
    for batch in events(view).chunks(BATCH_EVENTS) {
        store.write(batch).with_context(|| path.display().to_string())?;
    }
    let mut messages = messages.into_iter().map(|row| Event::Message(Box::new(row)));
    loop {
        let batch: Vec<Event> = messages.by_ref().take(BATCH_EVENTS).collect();
        if batch.is_empty() {
            return Ok(());
        }
        store.write(&batch).with_context(|| path.display().to_string())?;
    }
}

/// Every record of a view; its messages are none.
pub fn events(view: &View) -> Vec<Event> {
    let mut events = vec![Event::Capture(Box::new(view.capture.clone()))];
    events.extend(
        view.servers
            .iter()
            .map(|server| Event::Server(Box::new(server.clone()))),
    );
    events.extend(
        view.clients
            .iter()
            .map(|client| Event::Client(Box::new(client.clone()))),
    );
    events.extend(
        view.sessions
            .iter()
            .map(|session| Event::Session(Box::new(session.clone()))),
    );
    events.extend(
        view.lookups
            .iter()
            .map(|lookup| Event::Lookup(Box::new(lookup.clone()))),
    );
    events.extend(
        view.findings
            .iter()
            .map(|finding| Event::Finding(Box::new(finding.clone()))),
    );
    events
}

/// The clock on the wall: runs, retention and what people decide are of it, and packets never.
#[expect(clippy::disallowed_methods, reason = "the command line may ask a clock")]
pub fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

/// The sinks of this sensor that are far away. Mistakes go to standard error, one a line; then there is nothing to run with.
pub fn sinks(loaded: &Loaded) -> Option<Vec<Setting>> {
    match loaded.sinks(&hostname()) {
        Ok(mut sinks) => {
            sinks.retain(Setting::is_ours);
            Some(sinks)
        }
        Err(defects) => {
            for defect in defects {
                eprintln!("{defect}");
            }
            None
        }
    }
}

/// Name of this machine: what tells the runs of several sensors apart.
pub fn hostname() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
