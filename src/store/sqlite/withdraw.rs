//! Taking back: what was written of a record of this run that turned out to be part of another.

use crate::model::event::Record;
use crate::store::client_id;
use crate::store::sqlite::write::Rows;

/// The tables that hold a record, each with its key column.
type Tables = &'static [(&'static str, &'static str)];

const CLIENT: Tables = &[("clients_raw", "id"), ("client_servers_raw", "client_id")];
const FINDING: Tables = &[("findings_raw", "id")];
const SERVER: Tables = &[
    ("servers_raw", "id"),
    ("server_sets_raw", "server_id"),
    ("server_methods_raw", "server_id"),
    ("tools_raw", "server_id"),
    ("definitions_raw", "server_id"),
];

impl Rows<'_> {
    /// Takes a record of this run back. Other runs keep theirs.
    pub(super) fn withdraw(&self, record: &Record) -> rusqlite::Result<()> {
        let (tables, id) = match record {
            Record::Client { addr, name, version } => (CLIENT, client_id(*addr, name.as_deref(), version.as_deref())),
            Record::Finding(id) => (FINDING, id.clone()),
            Record::Server(id) => (SERVER, id.clone()),
        };
        for (table, key) in tables {
            let sql = format!("DELETE FROM {table} WHERE {key} = ? AND run = ?");
            self.sql.prepare_cached(&sql)?.execute([&id, self.run])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::event::Event;
    use crate::sink::Sink as _;
    use crate::store::fixture;
    use crate::store::memory::Memory;
    use crate::store::sqlite::{Reader, Writer};
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
        let gone: Vec<Event> = fixture::events(&both)
            .iter()
            .filter_map(Record::of)
            .filter(|record| !kept.contains(record))
            .map(Event::Gone)
            .collect();
        assert_eq!(gone.len(), 3);
        let mut writer = Writer::open(&path, "run").unwrap();
        writer.write(&fixture::events(&both)).unwrap();
        writer.write(&gone).unwrap();
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
        writer.write(&gone).unwrap();
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
