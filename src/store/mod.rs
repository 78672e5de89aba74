//! Events in, answers out: one vocabulary for memory, SQLite and, in production, ClickHouse.
//!
//! A [`Question`] is a word of the report and a filter; the answer is [`Rows`] in the columns that [`schema`] names.
//! [`memory`] answers over a snapshot of the inventory and is the oracle of the databases: the same events give the
//! same rows in the same order everywhere. What this folder does not do: render. `report/` turns rows into text.

pub mod clickhouse;
pub mod memory;
pub mod query;
pub mod record;
pub mod schema;
pub mod sqlite;
pub mod when;

#[cfg(test)]
pub(crate) mod fixture;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::model::finding::{Kind, Severity};
use crate::model::server::Lookup;
use crate::model::stamp::Timestamp;
use crate::store::schema::Column;

/// Answers one question.
pub trait Store {
    /// The rows of one report word, filtered, in the word's own order.
    ///
    /// # Errors
    /// [`StoreError`], whose message says what to do.
    fn ask(&self, question: &Question) -> Result<Rows, StoreError>;
}

/// What is asked: a word and a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which view.
    pub word: Word,
    /// Which of its rows.
    pub filter: Filter,
}

impl Question {
    /// Everything that a word tells.
    pub fn all(word: Word) -> Self {
        Self {
            word,
            filter: Filter::default(),
        }
    }
}

/// The words of the report: each is one SQL view of the same name. In alphabetical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// What was captured, and what could not be seen.
    Captures,
    /// Who uses MCP servers.
    Clients,
    /// Tool definitions that changed.
    Drift,
    /// Findings.
    Findings,
    /// Names that a signature knows.
    Lookups,
    /// Messages, the latest first.
    Messages,
    /// MCP servers.
    Servers,
    /// MCP sessions.
    Sessions,
    /// Findings, first appearances and changes in the order of time.
    Timeline,
    /// Tools by server.
    Tools,
    /// Who asked which server for what, by the hour.
    Usage,
}

impl Word {
    /// Every word.
    pub const ALL: [Self; 11] = [
        Self::Captures,
        Self::Clients,
        Self::Drift,
        Self::Findings,
        Self::Lookups,
        Self::Messages,
        Self::Servers,
        Self::Sessions,
        Self::Timeline,
        Self::Tools,
        Self::Usage,
    ];

    /// As written on the command line, in SQL and in URLs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Captures => "captures",
            Self::Clients => "clients",
            Self::Drift => "drift",
            Self::Findings => "findings",
            Self::Lookups => "lookups",
            Self::Messages => "messages",
            Self::Servers => "servers",
            Self::Sessions => "sessions",
            Self::Timeline => "timeline",
            Self::Tools => "tools",
            Self::Usage => "usage",
        }
    }

    /// From its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.name() == name)
    }
}

/// Which rows. What is `None` or `false` does not filter; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Last seen then or later.
    pub since: Option<Timestamp>,
    /// First seen earlier than that.
    pub until: Option<Timestamp>,
    /// This severity or worse; of a server, its worst finding.
    pub severity: Option<Severity>,
    /// Kind of finding.
    pub kind: Option<Kind>,
    /// Id, `address:port`, address, hostname or name of a server.
    pub server: Option<String>,
    /// Address of a client.
    pub client: Option<String>,
    /// Id of a server, a session or a finding, or the digits that it begins with.
    pub id: Option<String>,
    /// Id of a session.
    pub session: Option<String>,
    /// Name of a tool, prompt or resource.
    pub tool: Option<String>,
    /// Only what concerns servers without approval.
    pub unapproved: bool,
    /// Only findings in this state.
    pub state: Option<State>,
    /// At most so many rows.
    pub limit: Option<u64>,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Somebody knows of it.
    Acknowledged,
    /// It is settled, until it is seen again.
    Closed,
    /// It is of no interest, also when it is seen again.
    Muted,
    /// Nobody decided anything, or it counts no longer.
    Open,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Acknowledged, Self::Closed, Self::Muted, Self::Open];

    /// The word that the store keeps.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Muted => "muted",
            Self::Open => "open",
        }
    }

    /// From its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// What the cells of a row are.
    pub columns: &'static [Column],
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not known, or not applicable.
    Null,
    /// Text, possibly from traffic: shown through `report/display.rs` alone.
    Text(String),
    /// A number; counts beyond `i64::MAX` stay there.
    Int(i64),
    /// A fraction.
    Real(f64),
    /// Yes or no.
    Bool(bool),
    /// A moment.
    Time(Timestamp),
    /// Texts in an order that means something.
    List(Vec<String>),
    /// Texts or numbers by name.
    Map(BTreeMap<String, Self>),
}

impl Value {
    /// A text, or [`Value::Null`].
    pub fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    /// A count.
    pub fn count(count: u64) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Why a question has no answer. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a store, or a damaged one.
    #[error("{}: {what}; move the file away and a new store is begun: capture goes on without it", path.display())]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Anything else that the database or the file system says.
    #[error("{}: {what}; {cure}", path.display())]
    Failed {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        cure: &'static str,
    },
    /// A filter that says nothing about a word.
    #[error("--{filter} does not apply to `report {}`; it applies to {applies}", word.name())]
    Filter {
        /// Word that was asked.
        word: Word,
        /// Filter, by the name of its option.
        filter: &'static str,
        /// Words that know it.
        applies: String,
    },
    /// No store yet.
    #[error("{}: no store here yet; run `shadowtap replay FILE` or `shadowtap live` first, or name one with --store PATH", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A name on the command line that stands for nothing, or for several.
    #[error("{0}")]
    Named(String),
    /// Written by a later shadowtap.
    #[error(
        "{}: schema {found} is newer than this shadowtap knows ({known}); use the newer shadowtap that wrote it, or name another store with --store PATH",
        path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest that is known.
        known: i64,
    },
}

/// Key of a client in a database.
fn client_id(addr: IpAddr, name: Option<&str>, version: Option<&str>) -> String {
    json(&(addr, name, version))
}

/// Key of a lookup in a database.
fn lookup_id(lookup: &Lookup) -> String {
    json(&(
        &lookup.name,
        &lookup.kind,
        &*lookup.signature,
        lookup.via,
        lookup.client,
    ))
}

/// Texts, lists and maps of texts always have a JSON form.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Where the store is unless `--store` names one: `$SHADOWTAP_STORE`; else below `/var/lib/shadowtap` when that
/// directory is there and may be written; else below `$XDG_STATE_HOME` or `~/.local/state`.
pub fn default_path() -> PathBuf {
    resolve_path(
        |name| std::env::var_os(name).map(PathBuf::from),
        Path::new("/var/lib/shadowtap"),
    )
}

fn resolve_path(variable: impl Fn(&str) -> Option<PathBuf>, system: &Path) -> PathBuf {
    const FILE: &str = "shadowtap.db";
    let set = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
    if let Some(path) = set("SHADOWTAP_STORE") {
        return path;
    }
    if is_writable(system) {
        return system.join(FILE);
    }
    // The base directory specification has relative values ignored.
    let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_default().join("shadowtap").join(FILE)
}

/// Whether a file may be made in a directory. Permission bits do not tell (owner, group, access lists, read-only
/// mounts), so it is tried.
fn is_writable(directory: &Path) -> bool {
    let trial = directory.join(format!(".shadowtap-{}", std::process::id()));
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&trial)
        .is_ok();
    // A trial that stays behind is empty and is tried again by nobody.
    let _ = made && std::fs::remove_file(&trial).is_ok();
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_path_follows_the_surroundings() {
        let writable = tempfile::tempdir().unwrap();
        let absent = Path::new("/nonexistent/shadowtap");
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| PathBuf::from(value))
            }
        };
        let cases: [(_, &Path, PathBuf); 6] = [
            (
                env(&[("SHADOWTAP_STORE", "/x/y.db"), ("HOME", "/home/u")]),
                writable.path(),
                "/x/y.db".into(),
            ),
            (
                env(&[("HOME", "/home/u")]),
                writable.path(),
                writable.path().join("shadowtap.db"),
            ),
            (
                env(&[("HOME", "/home/u")]),
                absent,
                "/home/u/.local/state/shadowtap/shadowtap.db".into(),
            ),
            (
                env(&[("HOME", "/home/u"), ("XDG_STATE_HOME", "/s")]),
                absent,
                "/s/shadowtap/shadowtap.db".into(),
            ),
            (
                env(&[("HOME", "/h"), ("XDG_STATE_HOME", "rel")]),
                absent,
                "/h/.local/state/shadowtap/shadowtap.db".into(),
            ),
            (
                env(&[("SHADOWTAP_STORE", ""), ("XDG_STATE_HOME", "/s")]),
                absent,
                "/s/shadowtap/shadowtap.db".into(),
            ),
        ];
        for (variables, system, expect) in cases {
            assert_eq!(resolve_path(variables, system), expect);
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in Word::ALL {
            assert_eq!(Word::parse(word.name()), Some(word));
        }
    }
}
