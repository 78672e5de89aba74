//! A question as conditions on the columns of one view: `SELECT columns FROM view WHERE filter ORDER BY key LIMIT n`.
//!
//! The same conditions are tested row by row in memory, so that a database can be compared with it. This file does not
//! run anything and knows no table.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::model::finding::Severity;
use crate::model::net::Endpoint;
use crate::store::schema::{Column, Filters, Schema, Type};
use crate::store::{Filter, Question, Rows, StoreError, Value, Word};

/// A question that has been checked against the schema of its word.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Schema of the word.
    pub(crate) schema: &'static Schema,
    conditions: Vec<Condition>,
    limit: Option<u64>,
}

/// What the databases write differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Lists and moments have types of their own.
    ClickHouse,
    /// Lists are JSON, moments are nanoseconds.
    Sqlite,
}

impl Dialect {
    /// A column as it is read.
    fn cell(self, column: &Column) -> String {
        match (self, column.kind) {
            (Self::ClickHouse, Type::Time) => format!("toUnixTimestamp64Nano(\"{}\")", column.name),
            _ => format!("\"{}\"", column.name),
        }
    }

    const fn placeholder(self, value: &Value) -> &'static str {
        match (self, value) {
            (Self::ClickHouse, Value::Time(_)) => "fromUnixTimestamp64Nano(?, 'UTC')",
            _ => "?",
        }
    }

    /// Whether a list has an element.
    fn holds(self, name: &str) -> String {
        match self {
            Self::ClickHouse => format!("has(\"{name}\", ?)"),
            Self::Sqlite => format!("EXISTS (SELECT 1 FROM json_each(\"{name}\") WHERE value = ?)"),
        }
    }

    /// Function that finds a text within another, from 1.
    const fn position(self) -> &'static str {
        match self {
            Self::ClickHouse => "position",
            Self::Sqlite => "instr",
        }
    }

    /// Absent values come first.
    const fn nulls(self) -> &'static str {
        match self {
            Self::ClickHouse => " NULLS FIRST",
            Self::Sqlite => "",
        }
    }
}

/// Holds when any of the columns passes.
#[derive(Debug)]
struct Condition {
    columns: &'static [&'static str],
    test: Test,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// Not after.
    AtLeast,
    /// No greater.
    AtMost,
    /// Before.
    Below,
    /// A text that begins so.
    Begins,
    /// Equal to the cell, or an element of it.
    Is,
}

impl Plan {
    /// Checks a question.
    pub(crate) fn new(question: &Question) -> Result<Self, StoreError> {
        let schema = Schema::of(question.word);
        let (filter, filters) = (&question.filter, &schema.filters);
        let mut plan = Self {
            schema,
            conditions: Vec::new(),
            limit: filter.limit,
        };
        if let Some(since) = filter.since {
            plan.must(std::slice::from_ref(&filters.since), Test::AtLeast, Value::Time(since));
        }
        if let Some(until) = filter.until {
            plan.must(std::slice::from_ref(&filters.until), Test::Below, Value::Time(until));
        }
        for (name, given, columns) in selections(filter, filters) {
            let Some((test, value)) = given else { continue };
            if columns.is_empty() {
                return Err(StoreError::Filter {
                    word: question.word,
                    filter: name,
                    applies: applies(name),
                });
            }
            plan.must(columns, test, value);
        }
        Ok(plan)
    }

    fn must(&mut self, columns: &'static [&'static str], test: Test, value: Value) {
        self.conditions.push(Condition { columns, test, value });
    }

    /// The SELECT, and its parameters in order.
    pub(crate) fn sql(&self, dialect: Dialect) -> (String, Vec<&Value>) {
        let cells: Vec<String> = self.schema.columns.iter().map(|column| dialect.cell(column)).collect();
        let mut sql = format!("SELECT {} FROM {}", cells.join(", "), self.schema.word.name());
        let mut parameters = Vec::new();
        for (nth, condition) in self.conditions.iter().enumerate() {
            sql.push_str(if nth == 0 { " WHERE (" } else { " AND (" });
            for (nth, name) in condition.columns.iter().enumerate() {
                sql.push_str(if nth == 0 { "" } else { " OR " });
                let value = dialect.placeholder(&condition.value);
                let list = self.column(name).is_some_and(|column| column.kind == Type::List);
                let _ = match condition.test {
                    Test::AtLeast => write!(sql, "\"{name}\" >= {value}"),
                    Test::AtMost => write!(sql, "\"{name}\" <= {value}"),
                    Test::Begins => write!(sql, "{}(\"{name}\", {value}) = 1", dialect.position()),
                    Test::Below => write!(sql, "\"{name}\" < {value}"),
                    Test::Is if list => sql.write_str(&dialect.holds(name)),
                    Test::Is => write!(sql, "\"{name}\" = {value}"),
                };
                parameters.push(&condition.value);
            }
            sql.push(')');
        }
        for (nth, name) in self.schema.order.iter().enumerate() {
            let (name, descending) = match name.strip_prefix('-') {
                Some(name) => (name, " DESC"),
                None => (*name, ""),
            };
            let _ = write!(
                sql,
                "{}\"{name}\"{descending}{}",
                if nth == 0 { " ORDER BY " } else { ", " },
                dialect.nulls()
            );
        }
        if let Some(limit) = self.limit {
            let _ = write!(sql, " LIMIT {}", i64::try_from(limit).unwrap_or(i64::MAX));
        }
        (sql, parameters)
    }

    /// Filters, orders and cuts rows that hold every column and key.
    pub(crate) fn select(&self, mut rows: Vec<Vec<Value>>) -> Rows {
        rows.retain(|row| self.conditions.iter().all(|condition| self.holds(condition, row)));
        let place = |name: &&str| {
            let plain = name.trim_start_matches('-');
            self.schema.index(plain).map(|at| (at, plain.len() < name.len()))
        };
        let order: Vec<(usize, bool)> = self.schema.order.iter().filter_map(place).collect();
        rows.sort_by(|a, b| {
            order
                .iter()
                .map(|(at, descending)| match compare(&a[*at], &b[*at]) {
                    order if *descending => order.reverse(),
                    order => order,
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        rows.truncate(
            self.limit
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(usize::MAX),
        );
        for row in &mut rows {
            row.truncate(self.schema.columns.len());
        }
        Rows {
            columns: self.schema.columns,
            rows,
        }
    }

    fn holds(&self, condition: &Condition, row: &[Value]) -> bool {
        condition
            .columns
            .iter()
            .filter_map(|name| self.schema.index(name))
            .any(|at| match (&row[at], condition.test) {
                (Value::Null, _) => false,
                (cell, Test::AtLeast) => compare(cell, &condition.value).is_ge(),
                (cell, Test::AtMost) => compare(cell, &condition.value).is_le(),
                (cell, Test::Below) => compare(cell, &condition.value).is_lt(),
                (Value::Text(text), Test::Begins) => {
                    condition.value.as_text().is_some_and(|begin| text.starts_with(begin))
                }
                (_, Test::Begins) => false,
                (Value::List(list), Test::Is) => list.iter().any(|item| condition.value.as_text() == Some(item)),
                (cell, Test::Is) => *cell == condition.value,
            })
    }

    fn column(&self, name: &str) -> Option<&'static Column> {
        self.schema.all().find(|column| column.name == name)
    }
}

type Selection = (&'static str, Option<(Test, Value)>, &'static [&'static str]);

/// The filters that do not apply to every word: option name, what was asked, columns to compare.
fn selections(filter: &Filter, filters: &'static Filters) -> [Selection; 9] {
    let is = |text: String| (Test::Is, Value::Text(text));
    let rank = |severity| (Test::AtMost, Value::Int(rank(severity)));
    [
        ("severity", filter.severity.map(rank), filters.severity.as_slice()),
        (
            "kind",
            filter.kind.map(|kind| is(kind.word().to_owned())),
            filters.kind.as_slice(),
        ),
        (
            "server",
            filter.server.as_deref().map(|name| is(canonical(name))),
            filters.server,
        ),
        (
            "client",
            filter.client.as_deref().map(|name| is(canonical(name))),
            filters.client,
        ),
        (
            "id",
            filter.id.clone().map(|begin| (Test::Begins, Value::Text(begin))),
            filters.id.as_slice(),
        ),
        ("session", filter.session.clone().map(is), filters.session.as_slice()),
        ("tool", filter.tool.clone().map(is), filters.tool.as_slice()),
        (
            "unapproved",
            filter.unapproved.then_some((Test::Is, Value::Bool(true))),
            filters.unapproved.as_slice(),
        ),
        (
            "state",
            filter.state.map(|state| is(state.word().to_owned())),
            filters.state.as_slice(),
        ),
    ]
}

/// Words that know a filter, for a message.
fn applies(name: &str) -> String {
    let none = Filter::default();
    let knows = |word: &Word| {
        selections(&none, &Schema::of(*word).filters)
            .iter()
            .any(|(known, _, columns)| *known == name && !columns.is_empty())
    };
    let words: Vec<_> = Word::ALL.into_iter().filter(knows).map(Word::name).collect();
    words.join(", ")
}

/// Severity in an order that puts the worst first.
pub(crate) const fn rank(severity: Severity) -> i64 {
    Severity::Critical as i64 - severity as i64
}

/// An address in an order that sorts as `IpAddr` does: IPv4 first, then by bytes.
pub(crate) fn address_key(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => format!("4:{:08x}", addr.to_bits()),
        IpAddr::V6(addr) => format!("6:{:032x}", addr.to_bits()),
    }
}

/// Addresses as the store writes them, however they were typed; anything else unchanged.
fn canonical(name: &str) -> String {
    if let Ok(addr) = name.parse::<IpAddr>() {
        return addr.to_string();
    }
    name.parse::<SocketAddr>().map_or_else(
        |_| name.to_owned(),
        |addr| Endpoint::new(addr.ip(), addr.port()).to_string(),
    )
}

/// The order of SQLite within one column: null first, then numbers, texts by bytes; lists as their JSON text.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        // The cells of one column have one type.
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_sort_as_addresses() {
        let ascending = ["9.0.0.0", "10.0.0.2", "10.0.0.10", "::1", "::ffff:1.2.3.4", "fd00::1"];
        let keys: Vec<_> = ascending
            .iter()
            .map(|addr| address_key(addr.parse().unwrap()))
            .collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn a_filter_that_says_nothing_about_a_word_is_an_error() {
        let filter = Filter {
            severity: Some(Severity::High),
            ..Filter::default()
        };
        let error = Plan::new(&Question {
            word: Word::Lookups,
            filter,
        })
        .unwrap_err()
        .to_string();
        assert_eq!(
            error,
            "--severity does not apply to `report lookups`; it applies to findings, servers, timeline"
        );
    }

    #[test]
    fn addresses_are_found_however_they_are_typed() {
        assert_eq!(canonical("FD88:0::4"), "fd88::4");
        assert_eq!(canonical("[fd88:0:0::4]:80"), "[fd88::4]:80");
        assert_eq!(canonical("mcp.example.test"), "mcp.example.test");
    }
}
