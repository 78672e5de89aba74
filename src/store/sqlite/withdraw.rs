//! Taking back: records of a run that turned out to be part of another.
//!
//! A live sensor writes what it knows every few seconds. Two addresses that looked like two servers may become one, and
//! a client without a name gets one: the row that was written for the lesser must go, or it would be counted twice.
//! Sessions and lookups keep their keys and are never taken back.

use crate::model::event::Event;
use crate::store::StoreError;
use crate::store::sqlite::write::client_id;
use crate::store::sqlite::{Writer, explain};

/// A record by its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// A client, by address, name and version.
    Client(String),
    /// A finding, by id.
    Finding(String),
    /// A server, by id.
    Server(String),
}

impl Record {
    /// The record of an event, if it is one that may be taken back.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Client(client) => Some(Self::Client(client_id(client))),
            Event::Finding(reported) => Some(Self::Finding(reported.id.clone())),
            Event::Server(server) => Some(Self::Server(server.id.clone())),
            Event::Capture(_) | Event::Lookup(_) | Event::Session(_) => None,
        }
    }

    /// The tables that hold it, each with its key column.
    const fn tables(&self) -> (&'static [(&'static str, &'static str)], &String) {
        match self {
            Self::Client(id) => (&[("clients_raw", "id"), ("client_servers_raw", "client_id")], id),
            Self::Finding(id) => (&[("findings_raw", "id")], id),
            Self::Server(id) => (
                &[
                    ("servers_raw", "id"),
                    ("server_sets_raw", "server_id"),
                    ("server_methods_raw", "server_id"),
                    ("tools_raw", "server_id"),
                    ("definitions_raw", "server_id"),
                ],
                id,
            ),
        }
    }
}

impl Writer {
    /// Takes records of this run back, all or none. Other runs keep theirs.
    ///
    /// # Errors
    /// When the database says so.
    pub fn withdraw<'a>(&mut self, gone: impl IntoIterator<Item = &'a Record>) -> Result<(), StoreError> {
        let (path, run) = (self.path().to_owned(), self.run().to_owned());
        let delete = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction()?;
            for record in gone {
                let (tables, id) = record.tables();
                for (table, key) in tables {
                    let sql = format!("DELETE FROM {table} WHERE {key} = ? AND run = ?");
                    transaction.prepare_cached(&sql)?.execute([id, &run])?;
                }
            }
            transaction.commit()
        };
        delete().map_err(|error| explain(&path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::sink::Sink as _;
    use crate::store::fixture;
    use crate::store::memory::Memory;
    use crate::store::sqlite::Reader;
    use crate::store::{Filter, Question, Rows, Store, Word};

    fn ask(store: &dyn Store, word: Word) -> Rows {
        let filter = Filter::default();
        store.ask(&Question { word, filter }).unwrap()
    }

    /// What is left is what would be there if the others had never been written; another run keeps its own.
    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let whole = fixture::view();
        let mut less = whole.clone();
        less.servers.remove(0);
        less.clients.remove(1);
        less.findings.retain(|found| found.id != "f3");
        less.sessions.clear();
        let mut both = whole.clone();
        both.sessions.clear();
        let kept: Vec<Record> = fixture::events(&less).iter().filter_map(Record::of).collect();
        let gone: Vec<Record> = fixture::events(&both)
            .iter()
            .filter_map(Record::of)
            .filter(|record| !kept.contains(record))
            .collect();
        assert_eq!(gone.len(), 3);
        let mut writer = Writer::open(&path, "run").unwrap();
        writer.write(&fixture::events(&both)).unwrap();
        writer.withdraw(&gone).unwrap();
        let reader = Reader::open(&path).unwrap();
        for word in [Word::Clients, Word::Drift, Word::Findings, Word::Servers, Word::Tools] {
            assert_eq!(
                ask(&reader, word).rows,
                ask(&Memory::new(&less), word).rows,
                "{}",
                word.name()
            );
        }
        Writer::open(&path, "other")
            .unwrap()
            .write(&fixture::events(&both))
            .unwrap();
        writer.withdraw(&gone).unwrap();
        assert_eq!(
            ask(&reader, Word::Tools).rows.len(),
            ask(&Memory::new(&both), Word::Tools).rows.len()
        );
    }

    /// A sensor forgets, and sees again; its store knows since when.
    #[test]
    fn the_earliest_moment_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let before = fixture::view();
        let mut after = before.clone();
        let later = fixture::span(100, 200);
        after.servers.iter_mut().for_each(|server| server.seen = later);
        after.clients.iter_mut().for_each(|client| client.seen = later);
        after.lookups.iter_mut().for_each(|lookup| lookup.seen = later);
        after.findings.iter_mut().for_each(|found| found.finding.seen = later);
        let mut writer = Writer::open(&path, "run").unwrap();
        let reader = |word| ask(&Reader::open(&path).unwrap(), word);
        let firsts = |rows: &Rows| {
            let at = |name: &str| rows.columns.iter().position(|column| column.name == name).unwrap();
            let (first, last) = (at("first_seen"), at("last_seen"));
            let mut spans: Vec<_> = rows
                .rows
                .iter()
                .map(|row| (format!("{:?}", row[first]), format!("{:?}", row[last])))
                .collect();
            spans.sort();
            spans
        };
        for word in [Word::Clients, Word::Findings, Word::Lookups, Word::Servers] {
            writer.write(&fixture::events(&before)).unwrap();
            let early = firsts(&reader(word));
            writer.write(&fixture::events(&after)).unwrap();
            let late = firsts(&reader(word));
            assert_eq!(early.len(), late.len());
            for (early, late) in early.iter().zip(&late) {
                assert!(
                    early.0 == late.0 && early.1 < late.1,
                    "{}: {early:?} {late:?}",
                    word.name()
                );
            }
        }
    }
}
