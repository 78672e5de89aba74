//! Batches go to the server: the delivering half of the sink.
//!
//! One insert for each table, under the batch's token and the table's name: what was stored before an acknowledgement was
//! lost is not stored again. Before the first one it is seen that server and schema are such as are needed; a server that
//! is not gets nothing, and everything waits.

use std::collections::BTreeMap;

use crate::sink::SinkError;
use crate::sink::remote::{Batch, Deliver};
use crate::store::clickhouse::connection::{Connection, Failure};
use crate::store::clickhouse::encode;
use crate::store::clickhouse::migrate::is_missing;
use crate::store::clickhouse::tables::WRITTEN;

/// Errors that say that rows can never go in: what is in them cannot be read.
const UNREADABLE: [u32; 10] = [6, 26, 27, 33, 38, 41, 53, 69, 72, 131];

/// See the module.
#[derive(Debug)]
pub(super) struct Courier {
    connection: Connection,
    /// Server and schema were seen to be fit.
    fit: bool,
}

impl Courier {
    pub(super) const fn new(connection: Connection) -> Self {
        Self { connection, fit: false }
    }

    fn insert(&self, batch: &Batch) -> Result<(), Failure> {
        // Rows of an earlier version of this program lack columns, and go by themselves.
        let mut tables: BTreeMap<(usize, u8), Vec<&[u8]>> = BTreeMap::new();
        for part in &batch.parts {
            for rows in encode::open(&part.bytes).into_iter().flatten() {
                tables.entry((rows.table, rows.version)).or_default().push(rows.bytes);
            }
        }
        // Which start of a run counts comes last: until then the one before does.
        let (begun, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(|((table, _), _)| *table == 0);
        for ((table, version), rows) in others.into_iter().chain(begun) {
            let Some(table) = WRITTEN.get(table) else { continue };
            let token = format!("{}-{}-{version}", batch.token, table.name);
            self.connection.insert(&table.insert(version), &token, &rows)?;
        }
        Ok(())
    }
}

impl Deliver for Courier {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if batch.parts.iter().any(|part| encode::open(&part.bytes).is_none()) {
            return Err(SinkError::Reject("rows of a version that is not known here".to_owned()));
        }
        if !self.fit {
            self.connection.prepare().map_err(SinkError::Retry)?;
            self.fit = true;
        }
        self.insert(batch).map_err(|failure| {
            // Somebody may have dropped the tables, or put another server in its place.
            self.fit &= !is_missing(&failure) && !matches!(failure, Failure::Away(_));
            let words = self.connection.explain(&failure);
            match failure {
                Failure::Refused(code, _) if UNREADABLE.contains(&code) => SinkError::Reject(words),
                _ => SinkError::Retry(words),
            }
        })
    }
}
