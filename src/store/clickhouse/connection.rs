//! One client of one server: statements, rows in, rows out; and what its errors mean to an operator.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use clickhouse::{Client, Compression};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::sink::secret::Secret;
use crate::store::Value;
use crate::store::clickhouse::config::{PASSWORD_VARIABLE, Server};
use crate::store::clickhouse::migrate::database;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection that is not used is kept: shorter than any server does.
const IDLE: Duration = Duration::from_secs(1);
/// Characters of a server's message that are told.
const MESSAGE_MAX_CHARS: usize = 240;

/// See the module.
pub(super) struct Connection {
    runtime: Runtime,
    client: Client,
    /// Without a database, to make one.
    bare: Client,
    patience: Duration,
    pub(super) server: Server,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It could not be reached, or did not answer.
    Away(String),
    /// It answered with an error: its number, and its words.
    Refused(u32, String),
}

impl Connection {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub(super) fn new(server: Server) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        let mut pool = legacy::Client::builder(TokioExecutor::new());
        pool.pool_idle_timeout(IDLE);
        let client = match &server.tls {
            None => Client::with_http_client(pool.build(connector)),
            Some(tls) => {
                connector.enforce_http(false);
                let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config((**tls).clone());
                Client::with_http_client(pool.build(builder.https_only().enable_http1().wrap_connector(connector)))
            }
        };
        let bare = client
            .with_url(&server.address.url)
            .with_user(&server.user)
            .with_password(server.password.as_ref().map_or("", Secret::reveal))
            .with_compression(Compression::Lz4)
            .with_validation(false);
        Ok(Self {
            runtime,
            client: bare.clone().with_database(&server.layout.database),
            bare,
            patience: Duration::from_millis(server.timeout_ms),
            server,
        })
    }

    /// Runs a statement.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.wait(self.client.query_raw(sql).execute())
    }

    /// Makes the database.
    pub(super) fn make_database(&self) -> Result<(), Failure> {
        let sql = database(&self.server.layout);
        self.wait(self.bare.query_raw(&sql).execute())
    }

    /// One text, of a statement that needs no database.
    pub(super) fn version(&self) -> Result<String, Failure> {
        let text = self.rows(self.bare.query_raw("SELECT version()"), "TabSeparated")?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Rows as JSON arrays, one a line. Each `?` of the statement is a parameter.
    pub(super) fn ask(&self, sql: &str, parameters: &[&Value]) -> Result<Vec<u8>, Failure> {
        let query = parameters
            .iter()
            .fold(self.client.query(sql), |query, value| match value {
                Value::Bool(bit) => query.bind(*bit),
                Value::Int(number) => query.bind(*number),
                Value::Real(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.as_str()),
                Value::Time(time) => query.bind(time.nanos()),
                // No condition compares with a whole list or map.
                Value::List(_) | Value::Map(_) | Value::Null => query.bind(Option::<i64>::None),
            });
        // A profile of the server may say otherwise.
        let query = query
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("join_use_nulls", "0")
            .with_setting("distributed_product_mode", "global");
        self.rows(query, "JSONCompactEachRow")
    }

    fn rows(&self, query: clickhouse::query::Query, format: &str) -> Result<Vec<u8>, Failure> {
        let all = async { query.fetch_bytes(format)?.collect().await };
        self.wait(all).map(|bytes| bytes.to_vec())
    }

    /// Inserts rows under a token: rows that came under it before are not stored again.
    pub(super) fn insert(&self, sql: &str, token: &str, rows: &[&[u8]]) -> Result<(), Failure> {
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(self.patience), Some(self.patience))
            .with_setting("insert_deduplication_token", token)
            .with_setting("insert_deduplicate", "1")
            // Else what is acknowledged may be in memory, or on the way to another node.
            .with_setting("async_insert", "0")
            .with_setting("wait_end_of_query", "1");
        if self.server.layout.cluster.is_some() {
            insert = insert.with_setting("insert_distributed_sync", "1");
        }
        let all = async {
            for rows in rows {
                insert.send(rows.to_vec().into()).await?;
            }
            insert.end().await
        };
        self.wait(all)
    }

    fn wait<T>(&self, what: impl Future<Output = clickhouse::error::Result<T>>) -> Result<T, Failure> {
        let waited = self.runtime.block_on(async { timeout(self.patience, what).await });
        match waited {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => Err(Failure::Away(format!("no answer within {} s", self.patience.as_secs()))),
        }
    }

    /// A failure in one line, with its cure where there is one.
    pub(super) fn explain(&self, failure: &Failure) -> String {
        let url = &self.server.address.url;
        match failure {
            Failure::Away(what) => format!("{url}: {what}"),
            Failure::Refused(code, words) => {
                let cure = match code {
                    192..=194 | 516 => {
                        format!("; set clickhouse.user, and clickhouse.password_file or {PASSWORD_VARIABLE}")
                    }
                    497 => {
                        "; grant it to the user, or have an administrator apply `shadowtap schema --print`".to_owned()
                    }
                    _ => String::new(),
                };
                format!("{url}: {words}{cure}")
            }
        }
    }
}

impl Failure {
    fn of(error: &clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        match error {
            Error::BadResponse(words) => {
                let code = words
                    .strip_prefix("Code: ")
                    .and_then(|rest| rest.split('.').next()?.parse().ok());
                let words = words.split_once("DB::Exception: ").map_or(&**words, |(_, words)| words);
                Self::Refused(code.unwrap_or(0), one_line(words))
            }
            Error::TimedOut => Self::Away("no answer in time".to_owned()),
            _ => {
                // The innermost cause is what an operator can do something about.
                let mut cause: &dyn std::error::Error = error;
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                let outer = error.source().map(ToString::to_string);
                let inner = cause.to_string();
                Self::Away(one_line(&match outer {
                    Some(outer) if outer != inner => format!("{outer}: {inner}"),
                    _ => inner,
                }))
            }
        }
    }
}

/// A message without what would break a line, and without its tail.
fn one_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    let text = text.trim();
    match text.char_indices().nth(MESSAGE_MAX_CHARS) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}
