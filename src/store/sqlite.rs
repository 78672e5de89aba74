//! The embedded store: one SQLite file in WAL mode, written by one sensor while any number of readers ask.
//!
//! [`Reader`] answers questions by one SELECT on the view of the same name (`sqlite.sql`); [`Writer`] is a sink that
//! upserts records. WAL with `synchronous=NORMAL` survives a killed process whole and a power cut up to the last
//! transactions, never with a damaged file. This file opens, migrates and reads; `sqlite/write.rs` writes,
//! `sqlite/prune.rs` forgets, `sqlite/withdraw.rs` takes back, `sqlite/past.rs` reads what earlier runs saw, and
//! `sqlite/decide.rs` keeps what people decide.

mod audit;
mod decide;
mod past;
mod prune;
mod purge;
mod withdraw;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, params_from_iter};

pub use audit::Deed;
pub use decide::Decision;
pub use prune::{Pruned, Retention};
pub use purge::Purged;
pub use write::Writer;

use crate::model::stamp::Timestamp;
use crate::store::query::{Dialect, Plan};
use crate::store::schema::{Column, Type};
use crate::store::{Question, Rows, Store, StoreError, Value};

/// Statements that lead from schema n to schema n + 1. Only ever appended to.
const MIGRATIONS: [&str; 5] = [
    include_str!("sqlite.sql"),
    include_str!("sqlite/decisions.sql"),
    include_str!("sqlite/findings.sql"),
    include_str!("sqlite/messages.sql"),
    include_str!("sqlite/audit.sql"),
];

/// The schema that this program reads and writes.
const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Marks the file as ours (`PRAGMA application_id`): "ShTp".
const APPLICATION_ID: i64 = 0x5368_5470;

/// How long a reader or writer waits for another's lock, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Pages after which the log is folded into the file: 16 MiB of 4 KiB pages.
const CHECKPOINT_PAGES: i64 = 4_096;

/// Has SQLite put its temporary files into this folder, for the whole process. To be called while no other thread has a
/// store open, since SQLite keeps the folder's name in a variable without a lock.
///
/// # Errors
/// When the folder may not be written.
pub fn keep_temporary_files_in(folder: &Path) -> Result<(), StoreError> {
    let sql = |error| explain(folder, &error);
    let connection = Connection::open_in_memory().map_err(sql)?;
    let name = folder.to_string_lossy();
    connection
        .pragma_update(None, "temp_store_directory", &*name)
        .map_err(sql)
}

/// Reads a store, also while a sensor writes it.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens a store that is there.
    ///
    /// # Errors
    /// When it is missing, damaged, of another program, or of a newer schema.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match std::fs::metadata(path) {
            Ok(found) if found.len() == 0 => return Err(StoreError::Missing { path: path.to_owned() }),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path: path.to_owned() });
            }
            Err(error) => return Err(failed(path, error.to_string())),
        }
        let connection = Self::connect(path).map_err(|error| explain(path, &error))?;
        match schema_of(&connection).map_err(|error| explain(path, &error))? {
            Found::Ours(SCHEMA) => Ok(Self {
                connection,
                path: path.to_owned(),
            }),
            Found::Ours(found) if found > SCHEMA => Err(newer(path, found)),
            Found::Ours(_) => Err(StoreError::Failed {
                path: path.to_owned(),
                what: "the store is of an older schema".to_owned(),
                cure: "run `shadowtap replay` or `shadowtap live` once with this version, which brings it up to date",
            }),
            Found::Nothing => Err(StoreError::Missing { path: path.to_owned() }),
            Found::Foreign => Err(foreign(path)),
        }
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
        match schema_of(&connection) {
            // A reader who may not make the shared-memory file beside a store in WAL mode cannot open it. When no log
            // lies beside it, nobody writes and the file is whole by itself.
            Err(error) if needs_log(&error) && !beside(path, "-wal").exists() => {
                let flags = flags | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(format!("file:{}?immutable=1", escape_uri(path)), flags)
            }
            _ => Ok(connection),
        }
    }
}

impl Store for Reader {
    fn ask(&self, question: &Question) -> Result<Rows, StoreError> {
        ask(&self.connection, &self.path, question)
    }
}

impl Store for Writer {
    fn ask(&self, question: &Question) -> Result<Rows, StoreError> {
        ask(self.connection(), self.path(), question)
    }
}

fn ask(connection: &Connection, path: &Path, question: &Question) -> Result<Rows, StoreError> {
    let plan = Plan::new(question)?;
    let (sql, parameters) = plan.sql(Dialect::Sqlite);
    let columns = plan.schema.columns;
    let read = || -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(parameters))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            let cells = columns
                .iter()
                .enumerate()
                .map(|(at, column)| Ok(cell(column, row.get_ref(at)?)));
            out.push(cells.collect::<rusqlite::Result<_>>()?);
        }
        Ok(out)
    };
    let rows = read().map_err(|error| explain(path, &error))?;
    Ok(Rows { columns, rows })
}

/// A cell as its column's type reads it; what does not fit is null, since a question about a thousand rows must not
/// fail for one that somebody edited by hand.
fn cell(column: &Column, raw: ValueRef<'_>) -> Value {
    let text = || raw.as_str().ok();
    let value = match column.kind {
        Type::Boolean => raw.as_i64().ok().map(|bit| Value::Bool(bit != 0)),
        Type::Integer => raw.as_i64().ok().map(Value::Int),
        Type::List => text().and_then(|text| serde_json::from_str(text).ok()).map(Value::List),
        Type::Map => text().and_then(|text| serde_json::from_str(text).ok()).map(map),
        Type::Real => raw.as_f64().ok().map(Value::Real),
        Type::Text => text().map(|text| Value::Text(text.to_owned())),
        Type::Time => raw.as_i64().ok().map(|nanos| Value::Time(Timestamp::from_nanos(nanos))),
    };
    value.unwrap_or(Value::Null)
}

fn map(read: BTreeMap<String, serde_json::Value>) -> Value {
    let value = |value: serde_json::Value| match value {
        serde_json::Value::Number(number) => number.as_i64().map_or(Value::Null, Value::Int),
        serde_json::Value::String(text) => Value::Text(text),
        _ => Value::Null,
    };
    Value::Map(read.into_iter().map(|(name, found)| (name, value(found))).collect())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self {
            Self::Bool(bit) => rusqlite::types::Value::Integer((*bit).into()),
            Self::Int(number) => rusqlite::types::Value::Integer(*number),
            Self::Real(number) => rusqlite::types::Value::Real(*number),
            Self::Text(text) => return Ok(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))),
            Self::Time(time) => rusqlite::types::Value::Integer(time.nanos()),
            // No condition compares with a whole list or map.
            Self::List(_) | Self::Map(_) | Self::Null => rusqlite::types::Value::Null,
        }))
    }
}

/// What a file holds.
enum Found {
    /// Nothing at all.
    Nothing,
    /// A database of another program.
    Foreign,
    /// A store of this schema.
    Ours(i64),
}

fn schema_of(connection: &Connection) -> rusqlite::Result<Found> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let (application, schema) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    Ok(match (application, tables) {
        (APPLICATION_ID, _) => Found::Ours(schema),
        (0, 0) => Found::Nothing,
        _ => Found::Foreign,
    })
}

/// Brings a store to the present schema. Two programs may try at once: the schema is read again under the lock.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| explain(path, &error);
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(sql)?;
    let present = match schema_of(&transaction).map_err(sql)? {
        Found::Nothing => 0,
        Found::Ours(found) if found > SCHEMA => return Err(newer(path, found)),
        Found::Ours(found) => found,
        Found::Foreign => return Err(foreign(path)),
    };
    for step in MIGRATIONS.iter().skip(usize::try_from(present).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(sql)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(sql)?;
    transaction.pragma_update(None, "user_version", SCHEMA).map_err(sql)?;
    transaction.commit().map_err(sql)
}

/// Whether an error is SQLite's way to say that it may not make the files beside the database.
fn needs_log(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// The error as its cure: damage, locks and the rest are told apart.
fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Corrupt {
            path,
            what: "not a shadowtap store".to_owned(),
        },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt {
            path,
            what: "the store is damaged".to_owned(),
        },
        Some(ErrorCode::DiskFull) => StoreError::Failed {
            path,
            what: error.to_string(),
            cure: "make room on that disk",
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Failed {
            path,
            what: "another program holds the store".to_owned(),
            cure: "wait for it to finish, or name another store with --store PATH",
        },
        _ => failed(&path, error.to_string()),
    }
}

fn failed(path: &Path, what: String) -> StoreError {
    let cure = "see that this user may read and write it, or name another store with --store PATH";
    StoreError::Failed {
        path: path.to_owned(),
        what,
        cure,
    }
}

fn foreign(path: &Path) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        what: "a database of another program, not a shadowtap store".to_owned(),
    }
}

fn newer(path: &Path, found: i64) -> StoreError {
    StoreError::Newer {
        path: path.to_owned(),
        found,
        known: SCHEMA,
    }
}

/// A file that SQLite keeps beside the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// A path inside a `file:` URI (RFC 3986): everything but letters, digits and `-._~/` in percent form.
fn escape_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(String::new(), |mut text, byte| {
            match byte {
                b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(*byte)),
                byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
                byte => {
                    let _ = write!(text, "%{byte:02X}");
                }
            }
            text
        })
}

#[cfg(test)]
mod tests;
