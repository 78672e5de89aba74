//! ClickHouse: where many sensors keep what they found, and the same questions are answered.
//!
//! A sensor's records are encoded once, as rows (`encode.rs`), wait in the outbox, and are inserted with a token for each
//! batch (`deliver.rs`), so that a batch whose acknowledgement was lost is not stored twice. A question is one SELECT on the
//! view of the same name (`views.sql`), as with the embedded store. Tables are in `tables.rs`, what leads to them is in
//! `migrate.rs`. Everything goes over HTTP; the client library runs within the thread that calls.

mod config;
mod connection;
mod deliver;
mod encode;
mod migrate;
mod rowbinary;
mod table;
mod tables;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use config::{Address, Config, PASSWORD_VARIABLE, Server, USER_VARIABLE, Wrong};
pub use migrate::{database, statements};
pub use table::{Layout, Retention};

use crate::model::stamp::Timestamp;
use crate::sink::remote::{Origin, Remote};
use crate::store::clickhouse::connection::{Connection, Failure};
use crate::store::clickhouse::deliver::Courier;
use crate::store::clickhouse::encode::Encoder;
use crate::store::query::{Dialect, Plan};
use crate::store::schema::{Column, Type};
use crate::store::{Question, Rows, Store, StoreError, Value};

/// The sink that delivers to a server. `clock` tells the time on the wall.
///
/// # Errors
/// When the system gives no runtime.
pub fn remote(server: Server, origin: &Origin, clock: fn() -> Timestamp) -> std::io::Result<Remote> {
    Ok(Remote {
        name: "clickhouse".into(),
        seal: Box::new(Encoder::new(origin.clone(), clock)),
        deliver: Box::new(Courier::new(Connection::new(server)?)),
    })
}

/// Asks a server.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// A server that is there, with the present schema.
    ///
    /// # Errors
    /// When it is away, refuses, or has another schema.
    pub fn open(server: Server) -> Result<Self, StoreError> {
        let path = PathBuf::from(&server.address.url);
        let failed = |what: String, cure| StoreError::Failed {
            path: path.clone(),
            what,
            cure,
        };
        let connection = Connection::new(server).map_err(|error| failed(error.to_string(), "try again, or restart"))?;
        let reader = Self { connection };
        match reader.connection.schema().map_err(|failure| reader.failed(&failure))? {
            Some(migrate::SCHEMA) => Ok(reader),
            Some(found) if found > migrate::SCHEMA => Err(StoreError::Newer {
                path,
                found: found.into(),
                known: migrate::SCHEMA.into(),
            }),
            Some(_) => Err(failed(
                "the store is of an older schema".to_owned(),
                "start a sensor of this version, which brings it up to date, or apply `shadowtap schema --print`",
            )),
            None => Err(StoreError::Missing { path }),
        }
    }

    fn failed(&self, failure: &Failure) -> StoreError {
        let cure = match failure {
            Failure::Away(_) => "see that it runs and can be reached, or name another store with --store",
            Failure::Refused(..) => "see [clickhouse] in the configuration",
        };
        let url = &self.connection.server.address.url;
        let what = self.connection.explain(failure);
        StoreError::Failed {
            path: PathBuf::from(url),
            what: what.strip_prefix(&format!("{url}: ")).unwrap_or(&what).to_owned(),
            cure,
        }
    }
}

impl Store for Reader {
    fn ask(&self, question: &Question) -> Result<Rows, StoreError> {
        let plan = Plan::new(question)?;
        let (sql, parameters) = plan.sql(Dialect::ClickHouse);
        let answer = self
            .connection
            .ask(&sql, &parameters)
            .map_err(|failure| self.failed(&failure))?;
        let columns = plan.schema.columns;
        let rows = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let rows = rows.map(|line| row(columns, line)).collect::<Result<_, _>>();
        let rows = rows.map_err(|error| self.failed(&Failure::Away(format!("its answer cannot be read: {error}"))))?;
        Ok(Rows { columns, rows })
    }
}

fn row(columns: &[Column], line: &[u8]) -> Result<Vec<Value>, serde_json::Error> {
    let cells: Vec<serde_json::Value> = serde_json::from_slice(line)?;
    Ok(columns
        .iter()
        .zip(cells)
        .map(|(column, found)| cell(column, found))
        .collect())
}

/// A cell as its column's type reads it; what does not fit is null.
fn cell(column: &Column, found: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let value = match (column.kind, found) {
        (Type::Boolean, Json::Bool(bit)) => Some(Value::Bool(bit)),
        (Type::Boolean, Json::Number(bit)) => bit.as_i64().map(|bit| Value::Bool(bit != 0)),
        (Type::Integer, Json::Number(number)) => number.as_i64().map(Value::Int),
        (Type::List, found @ Json::Array(_)) => serde_json::from_value(found).ok().map(Value::List),
        (Type::Map, Json::Object(found)) => Some(Value::Map(found.into_iter().map(named).collect::<BTreeMap<_, _>>())),
        (Type::Real, Json::Number(number)) => number.as_f64().map(Value::Real),
        (Type::Text, Json::String(text)) => Some(Value::Text(text)),
        (Type::Time, Json::Number(nanos)) => nanos.as_i64().map(|nanos| Value::Time(Timestamp::from_nanos(nanos))),
        _ => None,
    };
    value.unwrap_or(Value::Null)
}

fn named((name, found): (String, serde_json::Value)) -> (String, Value) {
    let value = match found {
        serde_json::Value::Number(number) => number.as_i64().map_or(Value::Null, Value::Int),
        serde_json::Value::String(text) => Value::Text(text),
        _ => Value::Null,
    };
    (name, value)
}
