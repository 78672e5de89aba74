//! The writing half of the embedded store: events become rows, one transaction per batch.
//!
//! A record's row is keyed by (run, id) and replaced whole, so that a batch written twice changes nothing and a record
//! that grew replaces its earlier state, and keeps the earliest moment: a sensor forgets what its store still knows. What is written is what arrives: redaction is done long before.

mod capture;
mod messages;

use std::fs::{DirBuilder, OpenOptions};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, named_params, params};

use crate::model::event::Event;
use crate::model::mcp::McpTransport;
use crate::model::net::Direction;
use crate::model::server::{Client, Lookup, Reported, Server, Session};
use crate::model::stamp::Span;
use crate::sink::{Sink, SinkError};
use crate::store::memory::{definitions, hex, hundredths};
use crate::store::query::{address_key, rank};
use crate::store::sqlite::write::messages::Messages;
use crate::store::sqlite::{BUSY_TIMEOUT_MS, CHECKPOINT_PAGES, Found, explain, failed, foreign, migrate, schema_of};
use crate::store::{StoreError, client_id, lookup_id};

/// Tables with one row per (run, record).
const RUN_TABLES: [&str; 12] = [
    "server_sets_raw",
    "server_methods_raw",
    "definitions_raw",
    "tools_raw",
    "servers_raw",
    "client_servers_raw",
    "clients_raw",
    "session_calls_raw",
    "sessions_raw",
    "lookups_raw",
    "findings_raw",
    "runs_raw",
];

/// Writes one run into a store.
#[derive(Debug)]
pub struct Writer {
    pub(super) connection: Connection,
    path: PathBuf,
    run: String,
    /// Rows of an earlier replay of the same run are dropped with the first batch of this one.
    replaces: bool,
    /// Whether the run's own row is there.
    begun: bool,
}

impl Writer {
    /// Opens a store, made when missing (mode 0600, new directories 0700), brought to the present schema, and written
    /// under `run`: the same text for the same capture, so that a replay counts once however often it is repeated.
    ///
    /// # Errors
    /// When it is damaged, of another program, of a newer schema, or may not be written.
    pub fn open(path: &Path, run: &str) -> Result<Self, StoreError> {
        create(path).map_err(|error| failed(path, error.to_string()))?;
        let sql = |error: rusqlite::Error| explain(path, &error);
        let mut connection = Connection::open(path).map_err(sql)?;
        connection
            .busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))
            .map_err(sql)?;
        match schema_of(&connection).map_err(sql)? {
            // Works only before the first table is made.
            Found::Nothing => connection
                .pragma_update(None, "auto_vacuum", "INCREMENTAL")
                .map_err(sql)?,
            // Refused before a byte of it is changed.
            Found::Foreign => return Err(foreign(path)),
            Found::Ours(_) => {}
        }
        Self::tune(&connection).map_err(sql)?;
        migrate(&mut connection, path)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            run: run.to_owned(),
            replaces: false,
            begun: false,
        })
    }

    /// Has the first batch drop what an earlier replay of this run wrote: findings that today's rules no longer make
    /// must not stay. A live sensor that reopens its own run does not want this.
    #[must_use]
    pub fn replacing(mut self) -> Self {
        self.replaces = true;
        self
    }

    fn tune(connection: &Connection) -> rusqlite::Result<()> {
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.query_row(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"), [], |_| {
            Ok(())
        })?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(())
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn put(&mut self, batch: &[Event]) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if self.replaces {
            messages::replace(&transaction, &self.run)?;
            for table in RUN_TABLES {
                transaction.execute(&format!("DELETE FROM {table} WHERE run = ?"), [&self.run])?;
            }
        }
        if !self.begun {
            transaction.execute(
                "INSERT INTO runs_raw (run, seq) VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM runs_raw))
                 ON CONFLICT (run) DO UPDATE SET seq = excluded.seq",
                [&self.run],
            )?;
        }
        let rows = Rows {
            sql: &transaction,
            run: &self.run,
        };
        let mut said = Vec::new();
        for event in batch {
            match event {
                Event::Capture(capture) => rows.capture(capture)?,
                Event::Client(client) => rows.client(client)?,
                Event::Finding(reported) => rows.finding(reported)?,
                Event::Gone(record) => rows.withdraw(record)?,
                Event::Lookup(lookup) => rows.lookup(lookup)?,
                Event::Message(message) => said.push(&**message),
                Event::Server(server) => rows.server(server)?,
                Event::Session(session) => rows.session(session)?,
            }
        }
        Messages::write(&transaction, &self.run, &said)?;
        transaction.commit()?;
        (self.replaces, self.begun) = (false, true);
        Ok(())
    }
}

impl Sink for Writer {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn write(&mut self, batch: &[Event]) -> Result<(), SinkError> {
        self.put(batch).map_err(|error| {
            let message = explain(&self.path, &error).to_string();
            match error.sqlite_error_code() {
                Some(
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::OutOfMemory,
                ) => SinkError::Retry(message),
                _ => SinkError::Reject(message),
            }
        })
    }
}

/// One batch on its way into the tables.
pub(super) struct Rows<'a> {
    pub(super) sql: &'a Transaction<'a>,
    pub(super) run: &'a str,
}

impl Rows<'_> {
    fn client(&self, client: &Client) -> rusqlite::Result<()> {
        let address = client.addr.to_string();
        let id = client_id(client.addr, client.name.as_deref(), client.version.as_deref());
        let (first, last) = times(client.seen);
        self.run(
            "INSERT OR REPLACE INTO clients_raw (id, run, client, client_name, client_version, user_agent, address_key,
                first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
                min(?8, coalesce((SELECT first_seen FROM clients_raw WHERE id = ?1 AND run = ?2), ?8)), ?9)",
            params![
                id,
                self.run,
                address,
                client.name,
                client.version,
                client.user_agent,
                address_key(client.addr),
                first,
                last
            ],
        )?;
        for server in &client.servers {
            let rank = format!("{}:{:05}", address_key(server.addr), server.port);
            self.run(
                "INSERT OR IGNORE INTO client_servers_raw (client_id, rank, server, run) VALUES (?1, ?2, ?3, ?4)",
                params![id, rank, server.to_string(), self.run],
            )?;
        }
        Ok(())
    }

    fn finding(&self, reported: &Reported) -> rusqlite::Result<()> {
        let finding = &reported.finding;
        let (key, evidence, at) = (&finding.key, &finding.evidence, reported.first());
        let (first, last) = times(finding.seen);
        self.run_named(
            "INSERT OR REPLACE INTO findings_raw (id, run, severity, severity_rank, kind, server, client, tool, title,
                count, confidence, rule, server_id, session, direction, place, sample, first_seen, last_seen,
                community_id, packet_source, packet_number, refs, detail)
             VALUES (:id, :run, :severity, :severity_rank, :kind, :server, :client, :tool, :title, :count, :confidence,
                :rule, :server_id, :session, :direction, :place, :sample,
                min(:first_seen, coalesce((SELECT first_seen FROM findings_raw WHERE id = :id AND run = :run), :first_seen)),
                :last_seen, :community_id, :packet_source, :packet_number, :refs, :detail)",
            named_params! {
                ":id": reported.id,
                ":run": self.run,
                ":severity": finding.severity.word(),
                ":severity_rank": rank(finding.severity),
                ":kind": key.kind.word(),
                ":server": key.site.as_ref().map(|site| site.endpoint.to_string()),
                ":client": key.client.map(|client| client.to_string()),
                ":tool": key.tool,
                ":title": finding.title,
                ":count": int(finding.count),
                ":confidence": hundredths(finding.confidence),
                ":rule": &*key.rule,
                ":server_id": reported.server_id,
                ":session": evidence.session.map(|session| format!("{session:016x}")),
                ":direction": key.direction.map(Direction::word),
                ":place": key.place,
                ":sample": evidence.sample.as_ref().map(crate::model::finding::Sample::as_str),
                ":first_seen": first,
                ":last_seen": last,
                ":community_id": evidence.flow.map(|flow| flow.community_id()),
                ":packet_source": (at.packet > 0).then_some(at.source),
                ":packet_number": (at.packet > 0).then(|| int(at.packet)),
                ":refs": json(&finding.references),
                ":detail": json(&finding.detail),
            },
        )
    }

    fn lookup(&self, lookup: &Lookup) -> rusqlite::Result<()> {
        let client = lookup.client.to_string();
        let id = lookup_id(lookup);
        let (first, last) = times(lookup.seen);
        self.run(
            "INSERT OR REPLACE INTO lookups_raw (id, run, name, type, signature, category, via, client, address_key,
                count, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
                min(?11, coalesce((SELECT first_seen FROM lookups_raw WHERE id = ?1 AND run = ?2), ?11)), ?12)",
            params![
                id,
                self.run,
                lookup.name,
                lookup.kind,
                &*lookup.signature,
                lookup.category,
                lookup.via,
                client,
                address_key(lookup.client),
                int(lookup.count),
                first,
                last,
            ],
        )
    }

    fn server(&self, server: &Server) -> rusqlite::Result<()> {
        let (first, last) = times(server.seen);
        let counts = &server.messages;
        self.run_named(
            "INSERT OR REPLACE INTO servers_raw (id, run, server, address, port, hostname, path, address_key,
                encryption, decrypted, evidence_rank, confidence, server_name, server_version, instructions_sha256,
                resources, prompts, auth_rank, scope, approval, first_seen, last_seen, sessions, requests, responses,
                errors, notifications)
             VALUES (:id, :run, :server, :address, :port, :hostname, :path, :address_key, :encryption, :decrypted,
                :evidence_rank, :confidence, :server_name, :server_version, :instructions_sha256, :resources, :prompts,
                :auth_rank, :scope, :approval,
                min(:first_seen, coalesce((SELECT first_seen FROM servers_raw WHERE id = :id AND run = :run), :first_seen)),
                :last_seen, :sessions, :requests, :responses, :errors,
                :notifications)",
            named_params! {
                ":id": server.id,
                ":run": self.run,
                ":server": server.endpoint.to_string(),
                ":address": server.endpoint.addr.to_string(),
                ":port": server.endpoint.port,
                ":hostname": server.hostname.as_deref(),
                ":path": server.path.as_deref(),
                ":address_key": address_key(server.endpoint.addr),
                ":encryption": server.encryption.word(),
                ":decrypted": server.decrypted,
                ":evidence_rank": server.evidence as i64,
                ":confidence": hundredths(server.confidence),
                ":server_name": server.server_name,
                ":server_version": server.server_version,
                ":instructions_sha256": server.instructions_sha256.as_ref().map(|digest| hex(digest)),
                ":resources": int(server.resources),
                ":prompts": int(server.prompts),
                ":auth_rank": server.auth.map(|auth| auth as i64),
                ":scope": server.scope.word(),
                ":approval": server.approval,
                ":first_seen": first,
                ":last_seen": last,
                ":sessions": int(server.sessions),
                ":requests": int(counts.requests),
                ":responses": int(counts.responses),
                ":errors": int(counts.errors),
                ":notifications": int(counts.notifications),
            },
        )?;
        for (_, site) in &server.sites {
            messages::site(self.sql, site, &server.id)?;
        }
        for (method, count) in &counts.by_method {
            self.run(
                "INSERT OR REPLACE INTO server_methods_raw (server_id, method, run, count) VALUES (?1, ?2, ?3, ?4)",
                params![server.id, method, self.run, int(*count)],
            )?;
        }
        self.server_sets(server)?;
        self.tools(server)
    }

    fn server_sets(&self, server: &Server) -> rusqlite::Result<()> {
        let transport = |transport: &McpTransport| {
            (
                "transport",
                (*transport as i64).to_string(),
                transport.word().to_owned(),
            )
        };
        let client = |addr: &IpAddr| ("client", address_key(*addr), addr.to_string());
        let revisions = server
            .protocol_versions
            .iter()
            .map(|revision| revision.as_str().to_owned());
        let members = server
            .transports
            .iter()
            .map(transport)
            .chain(server.clients.iter().map(client));
        for (kind, rank, value) in members.chain(revisions.map(|revision| ("revision", revision.clone(), revision))) {
            self.run(
                "INSERT OR IGNORE INTO server_sets_raw (server_id, kind, rank, value, run) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![server.id, kind, rank, value, self.run],
            )?;
        }
        Ok(())
    }

    fn tools(&self, server: &Server) -> rusqlite::Result<()> {
        for tool in &server.tools {
            let described = tool.description_sha256.as_ref().map(|digest| hex(digest));
            self.run(
                "INSERT OR REPLACE INTO tools_raw (server_id, tool, run, sha256, description_sha256, gone, last_seen)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    server.id,
                    tool.name,
                    self.run,
                    hex(&tool.sha256),
                    described,
                    tool.gone,
                    tool.seen.last.time.nanos()
                ],
            )?;
            for definition in definitions(tool) {
                let sha256 = hex(&definition.sha256);
                let (first, last) = times(definition.seen);
                self.run(
                    "INSERT OR REPLACE INTO definitions_raw (server_id, tool, sha256, run, first_seen, last_seen)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![server.id, tool.name, sha256, self.run, first, last],
                )?;
                self.run(
                    "INSERT OR IGNORE INTO documents_raw (sha256, definition) VALUES (?1, ?2)",
                    params![sha256, &*definition.definition],
                )?;
            }
        }
        Ok(())
    }

    fn session(&self, session: &Session) -> rusqlite::Result<()> {
        let (first, last) = times(session.seen);
        self.run(
            "INSERT OR REPLACE INTO sessions_raw (id, run, server_id, server, address_key, port, client, client_name,
                protocol_version, transport, messages, first_seen, last_seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                session.id,
                self.run,
                session.server_id,
                session.server.to_string(),
                address_key(session.server.addr),
                session.server.port,
                session.client.map(|client| client.to_string()),
                session.client_name,
                session
                    .protocol_version
                    .as_ref()
                    .map(crate::model::mcp::Revision::as_str),
                session.transport.word(),
                int(session.messages),
                first,
                last,
            ],
        )?;
        for (tool, count) in &session.calls {
            self.run(
                "INSERT OR REPLACE INTO session_calls_raw (session_id, tool, run, count) VALUES (?1, ?2, ?3, ?4)",
                params![session.id, tool, self.run, int(*count)],
            )?;
        }
        Ok(())
    }

    fn run(&self, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.sql.prepare_cached(sql)?.execute(parameters).map(|_| ())
    }

    fn run_named(&self, sql: &str, parameters: &[(&str, &dyn rusqlite::ToSql)]) -> rusqlite::Result<()> {
        self.sql.prepare_cached(sql)?.execute(parameters).map(|_| ())
    }
}

/// Makes the file before SQLite does, which would leave it readable to everyone; the log beside it takes its mode.
fn create(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(|_| ())
}

const fn times(seen: Span) -> (i64, i64) {
    (seen.first.time.nanos(), seen.last.time.nanos())
}

/// Counts beyond what SQLite can hold stay at the bound.
fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Texts, lists and maps of texts always have a JSON form.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
