//! Opens an outbox, or begins a new one where the file is damaged: what was not delivered must not stop a sensor.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::model::stamp::Timestamp;
use crate::sink::outbox::{Config, Outbox, Stock};

/// Marks the file as an outbox (`PRAGMA application_id`): "ShTo".
const APPLICATION_ID: i64 = 0x5368_546f;
/// The schema that this program reads and writes.
const SCHEMA: i64 = 1;
/// How long one process waits for another's transaction, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5_000;
/// Pages after which the log is folded into the file: 4 MiB of 4 KiB pages.
const CHECKPOINT_PAGES: i64 = 1_024;

/// Why an outbox cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}; see that this user may write there, or name another folder as spool.dir", path.display())]
pub struct OutboxError {
    path: PathBuf,
    what: String,
}

/// A damaged file, which was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Where it lies now.
    pub path: PathBuf,
}

impl Outbox {
    /// Opens `NAME.db` in a folder, made when missing (mode 0600, new folders 0700). A file that is damaged, or of
    /// another program, is put aside, and a new one is begun.
    ///
    /// # Errors
    /// When the folder or the file may not be written.
    pub fn open(
        folder: &Path,
        name: &str,
        config: Config,
        now: Timestamp,
    ) -> Result<(Self, Option<Damaged>), OutboxError> {
        let path = folder.join(format!("{name}.db"));
        let failed = |what: String| OutboxError {
            path: path.clone(),
            what,
        };
        let file = |path: &Path| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600).open(path)
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| file(&path))
            .map_err(|error| failed(error.to_string()))?;
        let lock = file(&folder.join(format!("{name}.lock"))).map_err(|error| failed(error.to_string()))?;
        let open = || Connection::open(&path).and_then(|connection| Self::prepare(connection, config.clone()));
        let (opened, damaged) = match open() {
            Err(error) if is_damage(&error) => {
                let aside = folder.join(format!("{name}.damaged-{}.db", now.nanos() / 1_000_000_000));
                put_aside(&path, &aside).map_err(|error| failed(error.to_string()))?;
                file(&path).map_err(|error| failed(error.to_string()))?;
                (open(), Some(Damaged { path: aside }))
            }
            opened => (opened, None),
        };
        let mut outbox = opened.map_err(|error| failed(error.to_string()))?;
        outbox.lock = Some(lock);
        Ok((outbox, damaged))
    }

    /// An outbox that a restart loses.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn in_memory(config: Config) -> Result<Self, OutboxError> {
        let opened = Connection::open_in_memory().and_then(|connection| Self::prepare(connection, config));
        let mut outbox = opened.map_err(|error| OutboxError {
            path: PathBuf::from(":memory:"),
            what: error.to_string(),
        })?;
        outbox.delivers = true;
        Ok(outbox)
    }

    fn prepare(mut connection: Connection, config: Config) -> rusqlite::Result<Self> {
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        let number = |connection: &Connection, sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        // Works only before the first table is made.
        if number(&connection, "SELECT count(*) FROM sqlite_schema")? == 0 {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.query_row(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"), [], |_| {
            Ok(())
        })?;
        // Two processes may begin at once: what is there is looked at under the lock.
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if number(&transaction, "SELECT count(*) FROM sqlite_schema")? == 0 {
            transaction.execute_batch(include_str!("outbox.sql"))?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        let known = number(&transaction, "PRAGMA application_id")? == APPLICATION_ID
            && number(&transaction, "PRAGMA user_version")? == SCHEMA;
        transaction.commit()?;
        if !known {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
                Some("no outbox of this version".to_owned()),
            ));
        }
        let mut outbox = Self {
            connection,
            config,
            stock: Stock::default(),
            lock: None,
            delivers: false,
            recount: 0,
        };
        outbox.count()?;
        Ok(outbox)
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Moves a database and what SQLite keeps beside it.
fn put_aside(path: &Path, aside: &Path) -> std::io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let beside = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        match std::fs::rename(beside(path), beside(aside)) {
            Err(error) if ending.is_empty() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
