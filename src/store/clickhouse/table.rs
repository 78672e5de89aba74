//! What a table of the ClickHouse store is: columns, order, age; and the statements that make it, for one node and for a
//! cluster. The tables themselves are in `tables.rs`.

use std::fmt::Write as _;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// What tells its rows apart.
    pub(super) order: &'static str,
    /// What says on which shard a row lies: all states of one record lie on one.
    pub(super) shard: &'static str,
    /// How long its rows are kept.
    pub(super) age: Age,
    /// The column by which a newer row replaces an older one; empty where none does.
    pub(super) newest: &'static str,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    kind: &'static str,
    /// The cell of a row that only says that a record is gone.
    pub(super) empty: &'static [u8],
    /// Version of sealed rows from which on it is in them.
    pub(super) since: u8,
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Age {
    Always,
    Findings,
    Lookups,
    Messages,
    Records,
}

/// How long rows are kept, in days after they were written: the section `[clickhouse.retention]`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Messages.
    pub messages_days: u32,
    /// Lookups and sessions.
    pub lookups_days: u32,
    /// Findings.
    pub findings_days: u32,
    /// Findings about personal data.
    pub pii_days: u32,
    /// What is known of servers, tools, clients and captures, after it was last seen.
    pub records_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            messages_days: 30,
            lookups_days: 30,
            findings_days: 180,
            pii_days: 30,
            records_days: 400,
        }
    }
}

/// Where the tables are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name of the database.
    pub database: String,
    /// Name of the cluster; `None` for a single node.
    pub cluster: Option<String>,
    /// How long rows are kept.
    pub retention: Retention,
}

/// Stands for the column that says which row is newest where rows are added up.
pub(super) const SUMS: &str = "+";

pub(super) const fn column(name: &'static str, kind: &'static str, empty: &'static [u8]) -> Column {
    Column {
        name,
        kind,
        empty,
        since: 1,
    }
}

pub(super) const fn text(name: &'static str) -> Column {
    column(name, "String CODEC(ZSTD(1))", &[0])
}

/// A column that sealed rows have from this version on.
pub(super) const fn later(since: u8, column: Column) -> Column {
    Column { since, ..column }
}

/// A text of few values.
pub(super) const fn word(name: &'static str) -> Column {
    column(name, "LowCardinality(String)", &[0])
}

pub(super) const fn maybe_text(name: &'static str) -> Column {
    column(name, "Nullable(String) CODEC(ZSTD(1))", &[1])
}

pub(super) const fn maybe_word(name: &'static str) -> Column {
    column(name, "LowCardinality(Nullable(String))", &[1])
}

pub(super) const fn hash(name: &'static str) -> Column {
    column(name, "UInt64 CODEC(ZSTD(1))", &[0; 8])
}

pub(super) const fn sum(name: &'static str) -> Column {
    column(name, "SimpleAggregateFunction(sum, UInt64)", &[0; 8])
}

pub(super) const fn count(name: &'static str) -> Column {
    column(name, "Int64 CODEC(ZSTD(1))", &[0; 8])
}

pub(super) const fn maybe_count(name: &'static str) -> Column {
    column(name, "Nullable(Int64) CODEC(ZSTD(1))", &[1])
}

pub(super) const fn rank(name: &'static str) -> Column {
    column(name, "UInt8", &[0])
}

pub(super) const fn port(name: &'static str) -> Column {
    column(name, "UInt16", &[0; 2])
}

pub(super) const fn fraction(name: &'static str) -> Column {
    column(name, "Float64", &[0; 8])
}

pub(super) const fn yes_or_no(name: &'static str) -> Column {
    column(name, "Bool", &[0])
}

pub(super) const fn time(name: &'static str) -> Column {
    column(name, "DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1))", &[0; 8])
}

pub(super) const fn maybe_time(name: &'static str) -> Column {
    column(name, "Nullable(DateTime64(9, 'UTC')) CODEC(ZSTD(1))", &[1])
}

pub(super) const fn list(name: &'static str, kind: &'static str) -> Column {
    column(name, kind, &[0])
}

/// A table of records.
pub(super) const fn records(name: &'static str, columns: &'static [Column], age: Age) -> Table {
    Table {
        name,
        columns,
        order: "id, sensor, run",
        shard: "cityHash64(id)",
        age,
        newest: "version",
    }
}

/// A table with one row for each run.
pub(super) const fn runs(name: &'static str, columns: &'static [Column], age: Age) -> Table {
    Table {
        order: "sensor, run",
        shard: "cityHash64(sensor, run)",
        ..records(name, columns, age)
    }
}

/// Tokens of batches that a table remembers: sensors, times batches a minute, times minutes of the longest retry.
const TOKENS: u32 = 12_000;

impl Table {
    /// The statements that make it.
    pub(super) fn statements(&self, layout: &Layout) -> Vec<String> {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("    {} {}", column.name, column.kind))
            .collect();
        let (name, database, columns) = (self.name, &layout.database, columns.join(",\n"));
        let (kind, newest) = match self.newest {
            "" => ("MergeTree", ""),
            SUMS => ("AggregatingMergeTree", ""),
            newest => ("ReplacingMergeTree", newest),
        };
        let tail = self.tail(layout);
        let Some(cluster) = &layout.cluster else {
            let made = format!(
                "CREATE TABLE IF NOT EXISTS {name}\n(\n{columns}\n)\nENGINE = {kind}({newest})\n{tail}\nSETTINGS \
                 non_replicated_deduplication_window = {TOKENS}"
            );
            return std::iter::once(made).chain(self.additions(name, "")).collect();
        };
        let on = format!(" ON CLUSTER '{cluster}'");
        let local = format!("{name}_local");
        let path = format!("'/clickhouse/tables/{{shard}}/{database}/{local}', '{{replica}}'");
        let comma = if newest.is_empty() { "" } else { ", " };
        let made = format!(
            "CREATE TABLE IF NOT EXISTS {local}{on}\n(\n{columns}\n)\nENGINE = Replicated{kind}({path}{comma}{newest})\n\
             {tail}\nSETTINGS replicated_deduplication_window = {TOKENS}"
        );
        let spread = format!(
            "CREATE TABLE IF NOT EXISTS {name}{on} AS {local}\nENGINE = Distributed('{cluster}', '{database}', \
             '{local}', {})",
            self.shard
        );
        let added = self.additions(&local, &on).chain(self.additions(name, &on));
        [made, spread].into_iter().chain(added).collect()
    }

    /// Statements that add the columns which earlier schemas lack.
    fn additions(&self, name: &str, on: &str) -> impl Iterator<Item = String> {
        let later = self.columns.iter().filter(|column| column.since > 1);
        later.map(move |column| {
            let (column, kind) = (column.name, column.kind);
            format!("ALTER TABLE {name}{on} ADD COLUMN IF NOT EXISTS {column} {kind}")
        })
    }

    /// Order and age.
    fn tail(&self, layout: &Layout) -> String {
        let mut tail = format!("ORDER BY ({})", self.order);
        let retention = &layout.retention;
        let after = |days: u32| format!("sealed + INTERVAL {days} DAY");
        // Writing to a String cannot fail.
        let _ = match self.age {
            Age::Always => Ok(()),
            Age::Findings => write!(
                tail,
                "\nTTL {}, {} DELETE WHERE kind = 'pii-in-transit'",
                after(retention.findings_days),
                after(retention.pii_days)
            ),
            Age::Lookups => write!(tail, "\nTTL {}", after(retention.lookups_days)),
            Age::Messages => write!(
                tail,
                "\nPARTITION BY toYYYYMMDD(sealed)\nTTL {}",
                after(retention.messages_days)
            ),
            Age::Records => write!(tail, "\nTTL {}", after(retention.records_days)),
        };
        tail
    }

    /// The statement that rows of this version of sealing follow.
    pub(super) fn insert(&self, version: u8) -> String {
        let known = self.columns.iter().filter(|column| column.since <= version);
        let columns: Vec<&str> = known.map(|column| column.name).collect();
        format!("INSERT INTO {} ({}) FORMAT RowBinary", self.name, columns.join(", "))
    }
}
