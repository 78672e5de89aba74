//! The outbox of one sink: rows that were sealed and are not yet delivered, on disk and within bounds.
//!
//! One SQLite file per sink. WAL with `synchronous=NORMAL` survives a killed process whole, and a power cut up to the
//! last transactions. Several processes may put rows into one file (a replay while a sensor runs); the one that holds the
//! lock beside it delivers them all. Without a file it lies in memory, and a restart loses it.
//!
//! When it is full, the oldest rows of the cheapest class go first, never those of the batch at hand, and are counted.
//! Nothing here knows a network or makes a pause: `runner/spooled.rs` does.

mod open;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::PathBuf;

pub use open::{Damaged, OutboxError};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::model::stamp::Timestamp;
use crate::sink::remote::{Batch, Class, Part};

/// The section `[spool]` of the configuration: outboxes of sinks that are far away.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the outboxes; `none` keeps them in memory.
    pub dir: Option<PathBuf>,
    /// Bytes that wait for one sink; beyond, the oldest of the cheapest kind go.
    pub max_bytes: u64,
    /// How long anything waits for a sink, in hours.
    pub max_age_hours: u32,
    /// Bytes of what a sink refused, kept for people.
    pub dead_max_bytes: u64,
    /// Rows of one batch.
    pub batch_max_rows: u64,
    /// Bytes of one batch, as encoded.
    pub batch_max_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: None,
            max_bytes: 1 << 30,
            max_age_hours: 24,
            dead_max_bytes: 64 << 20,
            batch_max_rows: 50_000,
            batch_max_bytes: 8 << 20,
        }
    }
}

/// What lies in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest was put in.
    pub oldest: Option<Timestamp>,
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    connection: Connection,
    config: Config,
    stock: Stock,
    /// Held by the process that delivers; `None` where there is no file, and where another process does.
    lock: Option<File>,
    /// Whether this process delivers.
    delivers: bool,
    /// Calls until what other processes put in is counted anew.
    recount: u32,
}

const HOUR_NANOS: i64 = 3_600_000_000_000;

/// How often the stock is read from the file instead of being kept: other processes put rows in, too.
const RECOUNT_CALLS: u32 = 64;

impl Outbox {
    /// Bytes, rows, age of what lies here.
    pub const fn stock(&self) -> Stock {
        self.stock
    }

    /// Puts parts in, all or none, and makes room first where they would be too much. Gives the rows that had to go.
    ///
    /// # Errors
    /// What the database says: a full disk, above all.
    pub fn put(&mut self, parts: &[(Class, Part)], now: Timestamp) -> rusqlite::Result<u64> {
        let bytes = parts.iter().map(|(_, part)| part.bytes.len() as u64).sum::<u64>();
        let evicted = self.make_room(bytes, now)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (class, part) in parts {
            transaction
                .prepare_cached("INSERT INTO parts (class, at, rows, size, bytes) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    rank(*class),
                    now.nanos(),
                    int(part.rows),
                    int(part.bytes.len() as u64),
                    part.bytes
                ])?;
        }
        transaction.commit()?;
        self.stock.bytes += bytes;
        self.stock.rows += parts.iter().map(|(_, part)| part.rows).sum::<u64>();
        self.stock.oldest = self.stock.oldest.or(Some(now));
        Ok(evicted)
    }

    /// Drops what is too old, and the oldest of the cheapest class until so many bytes fit.
    fn make_room(&mut self, bytes: u64, now: Timestamp) -> rusqlite::Result<u64> {
        self.recount = self.recount.saturating_sub(1);
        if self.recount == 0 {
            self.count()?;
        }
        let age = i64::from(self.config.max_age_hours).saturating_mul(HOUR_NANOS);
        let too_old = now.plus_nanos(age.saturating_neg());
        let mut evicted = 0;
        if self.stock.oldest.is_some_and(|oldest| oldest < too_old) {
            let old = format!("at < {}", too_old.nanos());
            evicted += self.evict(&old, u64::MAX)?;
            self.count()?;
        }
        let target = self.config.max_bytes.saturating_sub(bytes);
        for class in Class::ALL {
            if self.stock.bytes > target {
                let excess = self.stock.bytes - target;
                evicted += self.evict(&format!("class = {}", rank(class)), excess)?;
            }
        }
        Ok(evicted)
    }

    /// Drops the oldest parts that meet a condition and are in no batch, until so many bytes are free. Gives their rows.
    fn evict(&mut self, condition: &str, bytes: u64) -> rusqlite::Result<u64> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut rows, mut freed) = (0_u64, 0_u64);
        {
            let mut oldest = transaction.prepare(&format!(
                "SELECT seq, rows, size FROM parts WHERE batch IS NULL AND {condition} ORDER BY seq"
            ))?;
            let mut delete = transaction.prepare_cached("DELETE FROM parts WHERE seq = ?")?;
            let mut found = oldest.query([])?;
            while freed < bytes
                && let Some(part) = found.next()?
            {
                rows += count(part.get(1)?);
                freed += count(part.get(2)?);
                delete.execute([part.get::<_, i64>(0)?])?;
            }
        }
        transaction.commit()?;
        self.stock.bytes = self.stock.bytes.saturating_sub(freed);
        self.stock.rows = self.stock.rows.saturating_sub(rows);
        Ok(rows)
    }

    /// The batch at hand: one that was begun, else a new one of the dearest class whose oldest row has waited for
    /// `wait_ms` of its class, or which is full. `None` where nothing is due, or another process delivers.
    ///
    /// # Errors
    /// What the database says.
    pub fn next(
        &mut self,
        boot: &str,
        now: Timestamp,
        wait_ms: impl Fn(Class) -> u64,
    ) -> rusqlite::Result<Option<(i64, Batch)>> {
        if !self.take_lock() {
            return Ok(None);
        }
        let begun = self.connection.query_row(
            "SELECT id, token, sealed, class FROM batches ORDER BY id LIMIT 1",
            [],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    Timestamp::from_nanos(row.get(2)?),
                    row.get(3)?,
                ))
            },
        );
        let begun: Option<(i64, String, Timestamp, i64)> = begun.optional()?;
        if let Some((id, token, sealed, class)) = begun {
            let batch = Batch {
                token,
                sealed,
                class: class_of(class),
                parts: self.parts(id)?,
            };
            return Ok(Some((id, batch)));
        }
        for class in Class::ALL.into_iter().rev() {
            if let Some(last) = self.due(class, now, wait_ms(class))? {
                return self.begin(class, last, boot, now).map(Some);
            }
        }
        Ok(None)
    }

    /// The last part of the next batch of a class, where one is due.
    fn due(&self, class: Class, now: Timestamp, wait_ms: u64) -> rusqlite::Result<Option<i64>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, at, rows, size FROM parts WHERE batch IS NULL AND class = ? ORDER BY seq")?;
        let mut found = statement.query([rank(class)])?;
        let (mut last, mut rows, mut bytes, mut ripe) = (None, 0, 0, false);
        let wait_nanos = wait_ms.saturating_mul(1_000_000);
        while let Some(part) = found.next()? {
            // A clock that was set back makes nobody wait.
            let at = Timestamp::from_nanos(part.get(1)?);
            ripe |= last.is_none() && (at > now || now.since(at) >= wait_nanos);
            rows += count(part.get(2)?);
            bytes += count(part.get(3)?);
            let full = rows > self.config.batch_max_rows || bytes > self.config.batch_max_bytes;
            if full && last.is_some() {
                return Ok(last);
            }
            last = Some(part.get(0)?);
        }
        Ok(last.filter(|_| ripe))
    }

    fn begin(&mut self, class: Class, last: i64, boot: &str, now: Timestamp) -> rusqlite::Result<(i64, Batch)> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "INSERT INTO batches (token, sealed, class) VALUES ('', ?1, ?2)",
            params![now.nanos(), rank(class)],
        )?;
        let id = transaction.last_insert_rowid();
        let token = format!("{boot}-{id}");
        transaction.execute("UPDATE batches SET token = ?1 WHERE id = ?2", params![token, id])?;
        transaction.execute(
            "UPDATE parts SET batch = ?1 WHERE batch IS NULL AND class = ?2 AND seq <= ?3",
            params![id, rank(class), last],
        )?;
        transaction.commit()?;
        let batch = Batch {
            token,
            sealed: now,
            class,
            parts: self.parts(id)?,
        };
        Ok((id, batch))
    }

    fn parts(&self, batch: i64) -> rusqlite::Result<Vec<Part>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT rows, bytes FROM parts WHERE batch = ? ORDER BY seq")?;
        let part = |row: &rusqlite::Row<'_>| {
            Ok(Part {
                rows: count(row.get(0)?),
                bytes: row.get(1)?,
            })
        };
        statement.query_map([batch], part)?.collect()
    }

    /// Forgets a batch that was delivered.
    ///
    /// # Errors
    /// What the database says; then the batch comes again, under the same token.
    pub fn done(&mut self, id: i64) -> rusqlite::Result<()> {
        self.end(id, None)
    }

    /// Puts a batch that will never be taken aside, and drops the oldest of those when they are too many.
    ///
    /// # Errors
    /// What the database says; then the batch comes again.
    pub fn bury(&mut self, id: i64, why: &str) -> rusqlite::Result<()> {
        self.end(id, Some(why))
    }

    fn end(&mut self, id: i64, why: Option<&str>) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(why) = why {
            transaction.execute(
                "INSERT INTO dead (seq, token, class, at, why, rows, size, bytes)
                 SELECT p.seq, b.token, p.class, p.at, ?2, p.rows, p.size, p.bytes
                 FROM parts AS p JOIN batches AS b ON b.id = p.batch WHERE b.id = ?1",
                params![id, why],
            )?;
            transaction.execute(
                "DELETE FROM dead WHERE seq IN (SELECT seq FROM
                    (SELECT seq, sum(size) OVER (ORDER BY seq DESC) AS bytes FROM dead) WHERE bytes > ?)",
                [int(self.config.dead_max_bytes)],
            )?;
        }
        transaction.execute("DELETE FROM parts WHERE batch = ?", [id])?;
        transaction.execute("DELETE FROM batches WHERE id = ?", [id])?;
        transaction.commit()?;
        self.count()?;
        if self.stock.rows == 0 {
            self.shrink()?;
        }
        Ok(())
    }

    /// Gives free pages back to the file system.
    fn shrink(&self) -> rusqlite::Result<()> {
        let mut vacuum = self.connection.prepare_cached("PRAGMA incremental_vacuum")?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() {}
        Ok(())
    }

    fn count(&mut self) -> rusqlite::Result<()> {
        self.recount = RECOUNT_CALLS;
        self.stock = self.connection.query_row(
            "SELECT coalesce(sum(rows), 0), coalesce(sum(size), 0), min(at) FROM parts",
            [],
            |row| {
                Ok(Stock {
                    rows: count(row.get(0)?),
                    bytes: count(row.get(1)?),
                    oldest: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_nanos),
                })
            },
        )?;
        Ok(())
    }

    /// Has it find no more room on its disk.
    #[cfg(test)]
    pub(in crate::sink) fn fill_disk(&self) {
        let pages = self
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0));
        let bound = format!("PRAGMA max_page_count = {}", pages.unwrap());
        self.connection.query_row(&bound, [], |_| Ok(())).unwrap();
    }

    /// Whether a restart finds it again.
    pub const fn is_durable(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether this process delivers what lies here.
    pub const fn delivers(&self) -> bool {
        self.delivers
    }

    /// Whether this process delivers; tries to be it as long as it is not.
    fn take_lock(&mut self) -> bool {
        self.delivers = self.delivers || self.lock.as_ref().is_some_and(|lock| lock.try_lock().is_ok());
        self.delivers
    }
}

const fn rank(class: Class) -> i64 {
    class as i64
}

fn class_of(rank: i64) -> Class {
    let known = Class::ALL.into_iter().find(|class| self::rank(*class) == rank);
    known.unwrap_or(Class::Finding)
}

fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(int: i64) -> u64 {
    u64::try_from(int).unwrap_or(0)
}
