//! The schema on a server: which one is there, and what leads to the present one.
//!
//! Every statement may run twice, and two sensors at once: tables are made where they are missing, views are replaced.

use crate::store::clickhouse::connection::{Connection, Failure};
use crate::store::clickhouse::table::Layout;
use crate::store::clickhouse::tables::all;

/// The schema that this program reads and writes.
pub(super) const SCHEMA: u32 = 2;

/// The oldest server that knows everything that the schema needs: year and month.
const OLDEST_SERVER: (u32, u32) = (24, 3);

const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;

/// Whether an error says that the tables are not there.
pub(super) const fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(UNKNOWN_TABLE | UNKNOWN_DATABASE, _))
}

/// The statement that makes the database.
pub fn database(layout: &Layout) -> String {
    let on = layout
        .cluster
        .as_ref()
        .map(|cluster| format!(" ON CLUSTER '{cluster}'"));
    format!(
        "CREATE DATABASE IF NOT EXISTS `{}`{}",
        layout.database,
        on.unwrap_or_default()
    )
}

/// Every statement that makes the present schema, in order, without the database itself.
pub fn statements(layout: &Layout) -> Vec<String> {
    let mut statements: Vec<String> = all().flat_map(|table| table.statements(layout)).collect();
    let on = layout
        .cluster
        .as_ref()
        .map(|cluster| format!(" ON CLUSTER '{cluster}'"));
    let (on, local) = (on.as_deref().unwrap_or(""), if on.is_some() { "_local" } else { "" });
    for view in include_str!("views.sql").split(";\n") {
        let code: Vec<&str> = view.lines().filter(|line| !line.starts_with("--")).collect();
        let code = code.join("\n");
        // What feeds a table hangs on each node's own part of it.
        let code = match code.contains("{on}") {
            true => code.replace("{on}", on).replace("{local}", local),
            false => code.replacen(" AS\n", &format!("{on} AS\n"), 1),
        };
        statements.extend(Some(code.trim().to_owned()).filter(|code| !code.is_empty()));
    }
    statements.push(format!("INSERT INTO migrations_raw (version) VALUES ({SCHEMA})"));
    statements
}

/// Why a server cannot be used, in one line.
type Unfit = String;

impl Connection {
    /// Sees that server and schema are such as are needed; makes them where that is allowed.
    pub(super) fn prepare(&self) -> Result<(), Unfit> {
        let explain = |failure: Failure| self.explain(&failure);
        let url = &self.server.address.url;
        let version = self.version().map_err(explain)?;
        if parse(&version).is_none_or(|found| found < OLDEST_SERVER) {
            let (year, month) = OLDEST_SERVER;
            return Err(format!(
                "{url}: ClickHouse {} is too old; {year}.{month} is the oldest that works",
                version
            ));
        }
        let found = self.schema().map_err(explain)?;
        let migrates = self.server.migrate;
        match found {
            Some(SCHEMA) => Ok(()),
            Some(found) if found > SCHEMA => Err(format!(
                "{url}: schema {found} is newer than this shadowtap knows ({SCHEMA}); use the newer shadowtap that made it"
            )),
            found if !migrates => Err(format!(
                "{url}: schema {} is there, and {SCHEMA} is needed; have `shadowtap schema --print` applied, or set \
                 clickhouse.migrate = true",
                found.unwrap_or(0)
            )),
            _ => self.migrate().map_err(explain),
        }
    }

    /// The schema that is there; `None` without any.
    pub(super) fn schema(&self) -> Result<Option<u32>, Failure> {
        match self.ask("SELECT max(version) FROM migrations_raw", &[]) {
            Ok(answer) => {
                let number: Option<[u32; 1]> = serde_json::from_slice(&answer).ok();
                Ok(number.map(|[version]| version).filter(|version| *version > 0))
            }
            Err(failure) if is_missing(&failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn migrate(&self) -> Result<(), Failure> {
        // Who may not make one may still use one that is there.
        let made = self.make_database();
        for statement in statements(&self.server.layout) {
            self.execute(&statement)
                .map_err(|failure| match (&made, is_missing(&failure)) {
                    (Err(why), true) => why.clone(),
                    _ => failure,
                })?;
        }
        Ok(())
    }
}

/// Year and month of a version.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, fit) in [
            ("24.3.1.2", true),
            ("26.9.2.1", true),
            ("24.10.1", true),
            ("24.2.9", false),
            ("18.16.1", false),
        ] {
            assert_eq!(
                parse(version).is_some_and(|found| found >= OLDEST_SERVER),
                fit,
                "{version}"
            );
        }
        assert_eq!(parse("x"), None);
    }

    #[test]
    fn a_cluster_has_local_tables_below_distributed_ones() {
        let layout = |cluster: Option<&str>| Layout {
            database: "shadowtap".to_owned(),
            cluster: cluster.map(str::to_owned),
            retention: Default::default(),
        };
        let (one, many) = (statements(&layout(None)), statements(&layout(Some("fleet"))));
        assert!(
            one.iter()
                .all(|statement| !statement.contains("CLUSTER") && !statement.contains("Distributed"))
        );
        let made: Vec<&String> = many
            .iter()
            .filter(|statement| statement.starts_with("CREATE"))
            .collect();
        assert!(made.iter().all(|statement| statement.contains(" ON CLUSTER 'fleet'")));
        let tables = one
            .iter()
            .filter(|statement| statement.starts_with("CREATE TABLE"))
            .count();
        let replicated = made
            .iter()
            .filter(|statement| statement.contains("ENGINE = Replicated"))
            .count();
        let distributed = made
            .iter()
            .filter(|statement| statement.contains("Distributed('fleet', 'shadowtap', '"))
            .count();
        assert_eq!((replicated, distributed), (tables, tables));
    }
}
