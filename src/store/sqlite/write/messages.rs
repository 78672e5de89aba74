//! Messages on their way into the tables, a batch at a time.
//!
//! A batch first learns the numbers of the words and routes that it needs, each once, and notes that they are in use;
//! then a message is one insert of numbers. Nothing is remembered between batches, so that retention may take away
//! what no message uses. A message that is there already counts nowhere again.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::model::mcp::RpcKind;
use crate::model::message_seen::{MessageRow, MessageSeen};
use crate::model::net::Direction;
use crate::model::stamp::Timestamp;

/// Numbers by what they stand for.
type Numbers<K> = HashMap<K, i64, RandomState>;

/// One batch of messages.
pub(super) struct Messages<'a> {
    sql: &'a Transaction<'a>,
    run: i64,
    words: Numbers<&'a str>,
    sites: Numbers<&'a str>,
    routes: Numbers<(u64, &'a str, IpAddr)>,
    clients: Numbers<IpAddr>,
    usage: HashMap<Use, Sum, RandomState>,
    /// Latest of the batch: what it uses is used until then.
    last: Timestamp,
}

/// Stands for no word where a key may not be null.
const NONE: i64 = 0;

/// What is summed up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Use {
    hour: i64,
    site: i64,
    client: i64,
    method: i64,
    target: i64,
}

/// Its sums.
#[derive(Default)]
struct Sum {
    messages: i64,
    requests: i64,
    failed: i64,
    bytes: i64,
    answers: i64,
    latency_us: i64,
    latency_max_us: i64,
}

impl<'a> Messages<'a> {
    /// Writes a batch.
    pub(super) fn write(sql: &'a Transaction<'a>, run: &str, rows: &'a [&'a MessageRow]) -> rusqlite::Result<()> {
        let Some(last) = rows.iter().map(|row| row.seen.at.time).max() else {
            return Ok(());
        };
        let mut batch = Self {
            sql,
            run: run_number(sql, run)?,
            words: Numbers::default(),
            sites: Numbers::default(),
            routes: Numbers::default(),
            clients: Numbers::default(),
            usage: HashMap::default(),
            last,
        };
        let mut insert = sql.prepare_cached(
            "INSERT OR IGNORE INTO messages_raw (time, route, number, what, method, target, session, rpc_id, revision,
                http_status, error_code, bytes, latency_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        for row in rows {
            let seen = &row.seen;
            let (site, route) = batch.route(row)?;
            let method = batch.word(seen.method.as_deref())?;
            let target = batch.word(seen.target.as_deref())?;
            let revision = batch.word(seen.revision.as_ref().map(crate::model::mcp::Revision::as_str))?;
            let added = insert.execute(params![
                seen.at.time.nanos(),
                route,
                seen.number,
                what(seen),
                method,
                target,
                row.session.map(u64::cast_signed),
                seen.rpc_id.map(u64::cast_signed),
                revision,
                seen.http_status,
                seen.error_code,
                seen.bytes,
                seen.latency_us,
            ])?;
            if added > 0 {
                batch.count(seen, site, method, target)?;
            }
        }
        batch.sum_up()
    }

    /// The numbers of the site and of the route of a message.
    fn route(&mut self, row: &'a MessageRow) -> rusqlite::Result<(i64, i64)> {
        let (route, last) = (&row.seen.route, self.last.nanos());
        let site = match self.sites.get(&*row.site) {
            Some(site) => *site,
            None => {
                let site = site(self.sql, &row.site, &row.server_id)?;
                self.sites.insert(&row.site, site);
                site
            }
        };
        let key = (route.flow_id, &*row.site, route.client);
        if let Some(known) = self.routes.get(&key) {
            return Ok((site, *known));
        }
        let (flow, client) = (route.flow_id.cast_signed(), route.client.to_string());
        let known: Option<i64> = self
            .sql
            .prepare_cached(
                "UPDATE routes_raw SET last_seen = max(last_seen, ?5)
                 WHERE run = ?1 AND flow = ?2 AND site = ?3 AND client = ?4 RETURNING id",
            )?
            .query_row(params![self.run, flow, site, client, last], |row| row.get(0))
            .optional()?;
        let number = match known {
            Some(known) => known,
            None => self
                .sql
                .prepare_cached(
                    "INSERT INTO routes_raw (run, flow, site, client, client_port, server, community_id, last_seen)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .insert(params![
                    self.run,
                    flow,
                    site,
                    client,
                    route.flow.client.port,
                    row.server.to_string(),
                    route.flow.community_id(),
                    last
                ])?,
        };
        self.routes.insert(key, number);
        Ok((site, number))
    }

    /// The number of a text.
    fn word(&mut self, text: Option<&'a str>) -> rusqlite::Result<Option<i64>> {
        let Some(text) = text else { return Ok(None) };
        if let Some(known) = self.words.get(text) {
            return Ok(Some(*known));
        }
        let number = word(self.sql, text, self.last)?;
        self.words.insert(text, number);
        Ok(Some(number))
    }

    /// Adds a message that was not there before to its hour.
    fn count(
        &mut self,
        seen: &MessageSeen,
        site: i64,
        method: Option<i64>,
        target: Option<i64>,
    ) -> rusqlite::Result<()> {
        let client = match self.clients.get(&seen.route.client) {
            Some(known) => *known,
            None => {
                let client = word(self.sql, &seen.route.client.to_string(), self.last)?;
                self.clients.insert(seen.route.client, client);
                client
            }
        };
        let used = Use {
            hour: seen.at.time.hour().nanos(),
            site,
            client,
            method: method.unwrap_or(NONE),
            target: target.unwrap_or(NONE),
        };
        let sum = self.usage.entry(used).or_default();
        sum.messages += 1;
        sum.requests += i64::from(seen.kind == RpcKind::Request);
        sum.failed += i64::from(seen.failed);
        sum.bytes += i64::from(seen.bytes);
        if let Some(latency_us) = seen.latency_us {
            sum.answers += 1;
            sum.latency_us += i64::from(latency_us);
            sum.latency_max_us = sum.latency_max_us.max(i64::from(latency_us));
        }
        Ok(())
    }

    /// Adds the batch to the hours.
    fn sum_up(self) -> rusqlite::Result<()> {
        let mut add = self.sql.prepare_cached(
            "INSERT INTO usage_raw (hour, run, site, client, method, target, messages, requests, failed, bytes, answers,
                latency_us, latency_max_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT DO UPDATE SET messages = messages + ?7, requests = requests + ?8, failed = failed + ?9,
                bytes = bytes + ?10, answers = answers + ?11, latency_us = latency_us + ?12,
                latency_max_us = max(latency_max_us, ?13)",
        )?;
        for (used, sum) in self.usage {
            add.execute(params![
                used.hour,
                self.run,
                used.site,
                used.client,
                used.method,
                used.target,
                sum.messages,
                sum.requests,
                sum.failed,
                sum.bytes,
                sum.answers,
                sum.latency_us,
                sum.latency_max_us,
            ])?;
        }
        Ok(())
    }
}

/// Forgets the messages of a run: an earlier replay of the same capture wrote them.
pub(super) fn replace(sql: &Transaction<'_>, run: &str) -> rusqlite::Result<()> {
    // The capture says within which time to look: without it every message of every run would be looked at.
    sql.execute(
        "DELETE FROM messages_raw
         WHERE time BETWEEN (SELECT first_seen FROM runs_raw WHERE run = ?1) AND (SELECT last_seen FROM runs_raw WHERE run = ?1)
            AND route IN (SELECT id FROM routes_raw WHERE run = (SELECT id FROM run_numbers_raw WHERE run = ?1))",
        [run],
    )?;
    for table in ["usage_raw", "routes_raw"] {
        let sql_text = format!("DELETE FROM {table} WHERE run = (SELECT id FROM run_numbers_raw WHERE run = ?1)");
        sql.execute(&sql_text, [run])?;
    }
    Ok(())
}

/// Notes which server a site belongs to now.
pub(super) fn site(sql: &Transaction<'_>, site: &str, server_id: &str) -> rusqlite::Result<i64> {
    sql.prepare_cached(
        "INSERT INTO sites_raw (site, server_id) VALUES (?1, ?2)
         ON CONFLICT (site) DO UPDATE SET server_id = excluded.server_id RETURNING id",
    )?
    .query_row(params![site, server_id], |row| row.get(0))
}

/// The number of a text, made when it is new, and in use until `last`.
fn word(sql: &Transaction<'_>, text: &str, last: Timestamp) -> rusqlite::Result<i64> {
    sql.prepare_cached(
        "INSERT INTO words_raw (word, last_seen) VALUES (?1, ?2)
         ON CONFLICT (word) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen) RETURNING id",
    )?
    .query_row(params![text, last.nanos()], |row| row.get(0))
}

fn run_number(sql: &Transaction<'_>, run: &str) -> rusqlite::Result<i64> {
    sql.execute("INSERT OR IGNORE INTO run_numbers_raw (run) VALUES (?1)", [run])?;
    sql.query_row("SELECT id FROM run_numbers_raw WHERE run = ?1", [run], |row| row.get(0))
}

/// Kind, direction and outcome as one number: see `messages.sql`.
fn what(seen: &MessageSeen) -> i64 {
    let kind = match seen.kind {
        RpcKind::Request => 0,
        RpcKind::Notification => 1,
        RpcKind::Success => 2,
        RpcKind::Error => 3,
    };
    kind + 4 * i64::from(seen.dir == Direction::ToClient) + 8 * i64::from(seen.failed)
}
