//! Forgetting: retention by age, then by size.
//!
//! Age is that of the last evidence. What a sensor knows of servers, tools and clients is its inventory and is not
//! aged; what people did (lookups, sessions) goes first, then findings, the mildest first. Deletes run in slices so
//! that a writer never waits long. Nothing here reads a clock: the caller says what time it is.

use rusqlite::params;

use crate::model::finding::{Kind, Severity};
use crate::model::stamp::Timestamp;
use crate::store::StoreError;
use crate::store::query::rank;
use crate::store::sqlite::{Writer, explain};

/// How long and how much is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Messages, in days.
    pub messages_days: u32,
    /// What messages sum up to by the hour, in days.
    pub usage_days: u32,
    /// Lookups and sessions, in days after they were last seen.
    pub lookups_days: u32,
    /// Findings, in days.
    pub findings_days: u32,
    /// Findings about personal data, in days.
    pub pii_days: u32,
    /// Size of the store, in bytes; beyond it the oldest messages go, then hours of usage, then
    /// lookups, then sessions, then findings from info to critical.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            messages_days: 30,
            usage_days: 180,
            lookups_days: 30,
            findings_days: 180,
            pii_days: 30,
            max_bytes: 1 << 30,
        }
    }
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Messages.
    pub messages: u64,
    /// Rows of usage by the hour.
    pub usage: u64,
    /// Rows of lookups.
    pub lookups: u64,
    /// Rows of sessions.
    pub sessions: u64,
    /// Rows of findings.
    pub findings: u64,
    /// Of all of these, rows that were not yet old, and went for want of room.
    pub early: u64,
    /// Bytes that the store still is beyond its bound, when nothing is left to forget.
    pub excess_bytes: u64,
}

/// Rows that one transaction deletes.
const SLICE_ROWS: u64 = 10_000;

/// How often the file is rewritten at most to bring it below its bound.
const SHRINK_PASSES: u32 = 8;

/// A table of rows that can be spared.
struct Table {
    name: &'static str,
    /// What tells its rows apart.
    key: &'static str,
    /// The older ones go first.
    age: &'static str,
}

impl Table {
    /// With one row per (run, record).
    const fn of_records(name: &'static str) -> Self {
        let (key, age) = ("id, run", "last_seen");
        Self { name, key, age }
    }
}

const FINDINGS: Table = Table::of_records("findings_raw");
const LOOKUPS: Table = Table::of_records("lookups_raw");
const MESSAGES: Table = Table {
    name: "messages_raw",
    key: "time, route, number",
    age: "time",
};
const SESSIONS: Table = Table::of_records("sessions_raw");
const USAGE: Table = Table {
    name: "usage_raw",
    key: "hour, run, site, client, method, target",
    age: "hour",
};

const DAY_NANOS: i64 = 86_400_000_000_000;

impl Writer {
    /// Forgets what is too old at `now`, then what is too much.
    ///
    /// # Errors
    /// When the database says so; what was forgotten until then stays forgotten.
    pub fn prune(&mut self, now: Timestamp, retention: &Retention) -> Result<Pruned, StoreError> {
        let path = self.path().to_owned();
        self.forget(now, retention).map_err(|error| explain(&path, &error))
    }

    fn forget(&mut self, now: Timestamp, retention: &Retention) -> rusqlite::Result<Pruned> {
        let before = |days: u32| now.nanos().saturating_sub(i64::from(days).saturating_mul(DAY_NANOS));
        let (old, pii) = (before(retention.lookups_days), Kind::PiiInTransit.word());
        let aged = |limit: i64| format!("last_seen < {limit}");
        let past = |column: &str, days: u32| format!("{column} < {}", before(days));
        let mut pruned = Pruned {
            messages: self.all(&MESSAGES, &past("time", retention.messages_days))?,
            usage: self.all(&USAGE, &past("hour", retention.usage_days))?,
            lookups: self.all(&LOOKUPS, &aged(old))?,
            sessions: self.all(&SESSIONS, &aged(old))?,
            findings: self.all(&FINDINGS, &aged(before(retention.findings_days)))?,
            ..Pruned::default()
        };
        pruned.findings += self.all(
            &FINDINGS,
            &format!("kind = '{pii}' AND {}", aged(before(retention.pii_days))),
        )?;
        self.sweep()?;
        self.shrink(retention.max_bytes, &mut pruned)?;
        Ok(pruned)
    }

    /// Makes room, cheapest rows first: as many as their average size says, then the file is rewritten and measured.
    ///
    /// Deleting alone frees few pages, because rows lie in the order of hashes and every page keeps some. Rewriting is
    /// slow, so that a tenth of the bound is made free at once.
    fn shrink(&mut self, max_bytes: u64, pruned: &mut Pruned) -> rusqlite::Result<()> {
        let target = max_bytes - max_bytes / 10;
        let mut size = self.size()?;
        let mut passes = if size > max_bytes { SHRINK_PASSES } else { 0 };
        while passes > 0 && size > target {
            passes -= 1;
            let rows = self.rows()?;
            let excess = u128::from(size - target) * u128::from(rows) / u128::from(size.max(1)) + 1;
            if self.cheapest(u64::try_from(excess).unwrap_or(rows), pruned)? == 0 {
                break;
            }
            self.sweep()?;
            self.connection.execute_batch("VACUUM")?;
            size = self.size()?;
        }
        pruned.excess_bytes = size.saturating_sub(max_bytes);
        Ok(())
    }

    /// Deletes so many rows, in the order in which they can be spared.
    fn cheapest(&mut self, rows: u64, pruned: &mut Pruned) -> rusqlite::Result<u64> {
        let mut order: Vec<(&Table, String)> = [&MESSAGES, &USAGE, &LOOKUPS, &SESSIONS]
            .map(|table| (table, "1".to_owned()))
            .into();
        order.extend(Severity::ALL.map(|severity| (&FINDINGS, format!("severity_rank = {}", rank(severity)))));
        let mut left = rows;
        for (table, condition) in order {
            let mut gone = 0;
            while left > 0 {
                let slice = self.slice(table, &condition, left.min(SLICE_ROWS))?;
                if slice == 0 {
                    break;
                }
                (gone, left) = (gone + slice, left - slice);
            }
            match table.name {
                "lookups_raw" => pruned.lookups += gone,
                "messages_raw" => pruned.messages += gone,
                "sessions_raw" => pruned.sessions += gone,
                "usage_raw" => pruned.usage += gone,
                _ => pruned.findings += gone,
            }
        }
        pruned.early += rows - left;
        Ok(rows - left)
    }

    /// Rows that can be spared.
    fn rows(&self) -> rusqlite::Result<u64> {
        let sql = "SELECT (SELECT count(*) FROM lookups_raw) + (SELECT count(*) FROM sessions_raw)
                        + (SELECT count(*) FROM findings_raw) + (SELECT count(*) FROM messages_raw)
                        + (SELECT count(*) FROM usage_raw)";
        self.connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map(i64::unsigned_abs)
    }

    /// Deletes every row that meets a condition.
    fn all(&mut self, table: &Table, condition: &str) -> rusqlite::Result<u64> {
        let mut gone = 0;
        loop {
            let slice = self.slice(table, condition, SLICE_ROWS)?;
            gone += slice;
            if slice < SLICE_ROWS {
                return Ok(gone);
            }
        }
    }

    /// Deletes the oldest rows that meet a condition, at most so many.
    fn slice(&mut self, table: &Table, condition: &str, rows: u64) -> rusqlite::Result<u64> {
        let Table { name, key, age } = table;
        let sql = format!(
            "DELETE FROM {name} WHERE ({key}) IN (SELECT {key} FROM {name} WHERE {condition} ORDER BY {age} LIMIT ?)"
        );
        let gone = self
            .connection
            .execute(&sql, params![i64::try_from(rows).unwrap_or(i64::MAX)])?;
        Ok(gone as u64)
    }

    /// Drops what belonged to rows that are gone, and gives free pages back to the file system.
    pub(super) fn sweep(&mut self) -> rusqlite::Result<()> {
        self.connection.execute_batch(
            "DELETE FROM session_calls_raw WHERE (session_id, run) NOT IN (SELECT id, run FROM sessions_raw);
             DELETE FROM documents_raw WHERE sha256 NOT IN (SELECT sha256 FROM definitions_raw);
             DELETE FROM routes_raw WHERE last_seen < coalesce((SELECT min(time) FROM messages_raw), last_seen + 1);
             DELETE FROM words_raw WHERE last_seen < min(
                coalesce((SELECT min(time) FROM messages_raw), last_seen + 1),
                coalesce((SELECT min(hour) FROM usage_raw), last_seen + 1));",
        )?;
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut steps = vacuum.query([])?;
        // Every step gives back one page; the pragma has no result rows to speak of.
        while steps.next()?.is_some() {}
        Ok(())
    }

    /// Bytes of the store in use.
    fn size(&self) -> rusqlite::Result<u64> {
        let number = |pragma: &str| self.connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let pages = number("PRAGMA page_count")? - number("PRAGMA freelist_count")?;
        Ok(pages.saturating_mul(number("PRAGMA page_size")?).unsigned_abs())
    }
}
