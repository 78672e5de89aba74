//! What was observed of servers, out of a store or of captures: what `approve` and `pin` write from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::setup;
use crate::config::load::Loaded;
use crate::detect::panel::Ruleset;
use crate::engine::Shared;
use crate::engine::replay::{Input, replay};
use crate::model::server::View;
use crate::model::stamp::Timestamp;
use crate::store::memory::Memory;
use crate::store::{Filter, Question, Rows, Store, StoreError, Value, Word, default_path};

/// A server that was seen.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) hostname: Option<String>,
    pub(super) path: Option<String>,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) instructions_sha256: Option<String>,
    /// MCP was read.
    pub(super) read: bool,
    pub(super) scope: String,
    pub(super) approval: Option<String>,
    pub(super) clients: Vec<String>,
    pub(super) requests: i64,
    pub(super) seen: Option<(Timestamp, Timestamp)>,
    pub(super) tools: Vec<ToolObserved>,
}

/// A tool that its newest listing holds.
#[derive(Clone, Debug)]
pub(super) struct ToolObserved {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) definition: String,
}

impl Observed {
    /// Where it is and what it calls itself, for people.
    pub(super) fn shown(&self) -> String {
        let host = match self.address.contains(':') {
            true => format!("[{}]", self.address),
            false => self.address.clone(),
        };
        let mut text = format!("{host}:{}", self.port);
        for part in [&self.hostname, &self.path, &self.name].into_iter().flatten() {
            text.push(' ');
            text.push_str(part);
        }
        text
    }
}

/// Where to look.
pub(super) enum Place {
    Store(Box<dyn Store>),
    /// Boxed: a view is large.
    Captures(Box<View>),
}

impl Place {
    /// The captures, if any are named, else the store.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn open(
        files: &[String],
        store: Option<&Path>,
        loaded: &Loaded,
        ruleset: Ruleset,
    ) -> anyhow::Result<Self> {
        if files.is_empty() {
            let path = store
                .map(PathBuf::from)
                .or_else(|| loaded.store_file())
                .unwrap_or_else(default_path);
            return Ok(Self::Store(setup::Asked::of(&path, loaded)?.open()?));
        }
        let shared = Arc::new(Shared::new(setup::settings(loaded), ruleset));
        let input = Input {
            files: files.to_owned(),
            ..Input::default()
        };
        Ok(Self::Captures(Box::new(
            replay(&shared, &input, 1, &mut |_, _| {})?.view,
        )))
    }

    /// The rows of a question.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn ask(&self, word: Word, server: Option<&str>) -> Result<Rows, StoreError> {
        let filter = Filter {
            server: server.map(str::to_owned),
            ..Filter::default()
        };
        let question = Question { word, filter };
        match self {
            Self::Store(reader) => reader.ask(&question),
            Self::Captures(view) => Memory::new(view).ask(&question),
        }
    }

    /// Servers that a word names (id, address, `address:port`, host name or own name), or all, with their tools.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn servers(&self, named: Option<&str>) -> Result<Vec<Observed>, StoreError> {
        let (servers, tools) = (self.ask(Word::Servers, named)?, self.ask(Word::Tools, named)?);
        Ok(servers
            .rows
            .iter()
            .map(|row| observed(&Row(&servers, row), &tools))
            .collect())
    }
}

/// One row of an answer by the names of its columns.
pub(super) struct Row<'r>(pub(super) &'r Rows, pub(super) &'r [Value]);

impl Row<'_> {
    pub(super) fn get(&self, name: &str) -> &Value {
        let at = self.0.columns.iter().position(|column| column.name == name);
        at.and_then(|at| self.1.get(at)).unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).as_text().map(str::to_owned)
    }

    fn number(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Int(number) => *number,
            _ => 0,
        }
    }
}

fn observed(row: &Row<'_>, tools: &Rows) -> Observed {
    let id = row.text("id").unwrap_or_default();
    let seen = match (row.get("first_seen"), row.get("last_seen")) {
        (Value::Time(first), Value::Time(last)) => Some((*first, *last)),
        _ => None,
    };
    let clients = match row.get("clients") {
        Value::List(clients) => clients.clone(),
        _ => Vec::new(),
    };
    let tools = tools.rows.iter().map(|row| Row(tools, row));
    let tools = tools
        .filter(|tool| tool.text("server_id").as_deref() == Some(&id) && *tool.get("gone") != Value::Bool(true))
        .map(|tool| ToolObserved {
            name: tool.text("tool").unwrap_or_default(),
            sha256: tool.text("sha256").unwrap_or_default(),
            definition: tool.text("definition").unwrap_or_default(),
        })
        .collect();
    Observed {
        address: row.text("address").unwrap_or_default(),
        port: u16::try_from(row.number("port")).unwrap_or(0),
        hostname: row.text("hostname"),
        path: row.text("path"),
        name: row.text("server_name"),
        version: row.text("server_version"),
        instructions_sha256: row.text("instructions_sha256"),
        read: row.get("evidence").as_text() == Some("message"),
        scope: row.text("scope").unwrap_or_default(),
        approval: row.text("approval"),
        clients,
        requests: row.number("requests"),
        seen,
        tools,
        id,
    }
}
