//! Erasing on demand: what is older than a moment, of everybody or of one client.
//!
//! Freed space is overwritten (`secure_delete`), the file is written anew, and the write-ahead log is folded in and cut to
//! nothing, so that no copy is left in the store's files. A record that goes on after the moment stays. Findings that name the client in their text
//! go, too. Decisions and the audit log stay: they are about what people did.

use std::net::IpAddr;

use rusqlite::{Transaction, params};

use crate::model::stamp::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::{Writer, explain};

/// What was erased, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages.
    pub messages: u64,
    /// Hours of usage.
    pub usage: u64,
    /// Sessions.
    pub sessions: u64,
    /// Lookups.
    pub lookups: u64,
    /// Findings.
    pub findings: u64,
    /// Clients.
    pub clients: u64,
    /// Servers; never of one client.
    pub servers: u64,
}

impl Writer {
    /// Erases what was last seen before a moment.
    ///
    /// # Errors
    /// When the database says so; then nothing was erased, or its log could not be cut while somebody reads it.
    pub fn purge(&mut self, before: Timestamp, client: Option<IpAddr>) -> Result<Purged, StoreError> {
        let path = self.path().to_owned();
        self.erase(before.nanos(), client.map(|client| client.to_string()))
            .map_err(|error| explain(&path, &error))
    }

    fn erase(&mut self, before: i64, client: Option<String>) -> rusqlite::Result<Purged> {
        self.connection.pragma_update(None, "secure_delete", "ON")?;
        let transaction = self.connection.transaction()?;
        let erase = Erase {
            sql: &transaction,
            before,
        };
        let purged = match &client {
            Some(client) => erase.of_client(client)?,
            None => erase.of_everybody()?,
        };
        transaction.commit()?;
        self.sweep()?;
        // A row that was replaced before left its text in the free part of its page.
        self.connection.execute_batch("VACUUM")?;
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(purged)
    }
}

struct Erase<'a> {
    sql: &'a Transaction<'a>,
    before: i64,
}

impl Erase<'_> {
    fn of_everybody(&self) -> rusqlite::Result<Purged> {
        let purged = Purged {
            messages: self.delete("messages_raw WHERE time < ?1")?,
            usage: self.delete("usage_raw WHERE hour < ?1")?,
            sessions: self.delete("sessions_raw WHERE last_seen < ?1")?,
            lookups: self.delete("lookups_raw WHERE last_seen < ?1")?,
            findings: self.delete("findings_raw WHERE last_seen < ?1")?,
            clients: self.delete("clients_raw WHERE last_seen < ?1")?,
            servers: self.delete("servers_raw WHERE last_seen < ?1")?,
        };
        for table in ["server_sets_raw", "server_methods_raw", "tools_raw", "definitions_raw"] {
            self.sql.execute(
                &format!("DELETE FROM {table} WHERE (server_id, run) NOT IN (SELECT id, run FROM servers_raw)"),
                [],
            )?;
        }
        self.orphans()?;
        self.delete("runs_raw WHERE last_seen < ?1")?;
        Ok(purged)
    }

    fn of_client(&self, client: &str) -> rusqlite::Result<Purged> {
        let delete = |from: &str| -> rusqlite::Result<u64> {
            let sql = format!("DELETE FROM {from}");
            self.sql
                .execute(&sql, params![self.before, client])
                .map(|rows| rows as u64)
        };
        let purged = Purged {
            messages: delete(
                "messages_raw WHERE time < ?1 AND route IN (SELECT id FROM routes_raw WHERE client = ?2)",
            )?,
            usage: delete("usage_raw WHERE hour < ?1 AND client = (SELECT id FROM words_raw WHERE word = ?2)")?,
            sessions: delete("sessions_raw WHERE last_seen < ?1 AND client = ?2")?,
            lookups: delete("lookups_raw WHERE last_seen < ?1 AND client = ?2")?,
            findings: self.findings_that_name(client)?,
            clients: delete("clients_raw WHERE last_seen < ?1 AND client = ?2")?,
            servers: 0,
        };
        delete(
            "routes_raw WHERE client = ?2 AND last_seen < ?1
                AND NOT EXISTS (SELECT 1 FROM messages_raw WHERE route = routes_raw.id AND time >= ?1)",
        )?;
        delete(
            "words_raw WHERE word = ?2 AND last_seen < ?1
                AND NOT EXISTS (SELECT 1 FROM usage_raw WHERE client = words_raw.id)",
        )?;
        // Who is not among the clients any more is not among those of a server.
        delete(
            "server_sets_raw WHERE kind = 'client' AND value = ?2 AND ?1 > 0
                AND NOT EXISTS (SELECT 1 FROM clients_raw WHERE client = ?2)",
        )?;
        self.orphans()?;
        Ok(purged)
    }

    /// Findings of a client, and those whose text names it.
    fn findings_that_name(&self, client: &str) -> rusqlite::Result<u64> {
        let mut found = self.sql.prepare(
            "SELECT id, run, client, title, detail FROM findings_raw
             WHERE last_seen < ?1 AND (client = ?2 OR instr(title, ?2) > 0 OR instr(detail, ?2) > 0)",
        )?;
        let rows = found.query_map(params![self.before, client], |row| {
            let texts: [Option<String>; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, texts))
        })?;
        let mut gone = 0;
        for row in rows {
            let (id, run, texts) = row?;
            if texts.iter().flatten().any(|text| names(text, client)) {
                gone += self
                    .sql
                    .execute("DELETE FROM findings_raw WHERE id = ?1 AND run = ?2", [id, run])?;
            }
        }
        Ok(gone as u64)
    }

    /// What belonged to rows that are gone.
    fn orphans(&self) -> rusqlite::Result<()> {
        self.sql.execute_batch(
            "DELETE FROM client_servers_raw WHERE (client_id, run) NOT IN (SELECT id, run FROM clients_raw);",
        )
    }

    fn delete(&self, from: &str) -> rusqlite::Result<u64> {
        let rows = self.sql.execute(&format!("DELETE FROM {from}"), [self.before])?;
        Ok(rows as u64)
    }
}

/// Whether a text names an address: `10.0.0.1` is not in `10.0.0.12`.
fn names(text: &str, address: &str) -> bool {
    let part = |char: char| char.is_ascii_hexdigit() || matches!(char, '.' | ':');
    text.match_indices(address).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + address.len()..].chars();
        let next = after.next();
        // A full stop ends a sentence, and a colon begins a port.
        let goes_on = next.is_some_and(|char| char.is_ascii_hexdigit())
            || (next == Some('.') && after.next().is_some_and(|char| char.is_ascii_digit()));
        !before.is_some_and(part) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::sink::Sink as _;
    use crate::store::fixture;
    use crate::store::sqlite::{Reader, beside};
    use crate::store::{Question, Store as _, Word};

    /// No file of the store holds any of the texts.
    fn holds(path: &std::path::Path, text: &str) -> bool {
        [path.to_owned(), beside(path, "-wal")].iter().any(|file| {
            let bytes = std::fs::read(file).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    }

    fn filled(path: &std::path::Path) -> Writer {
        let mut view = fixture::view();
        view.findings[0].finding.title = "10.0.0.9: a secret".to_owned();
        view.findings[1].finding.key.client = None;
        view.findings[1].finding.title = "seen of 10.0.0.99".to_owned();
        let mut writer = Writer::open(path, "run").unwrap();
        writer.write(&fixture::events(&view)).unwrap();
        writer
    }

    #[test]
    fn nothing_of_a_client_is_left_in_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = filled(&path);
        assert!(holds(&path, "10.0.0.9"));
        let early = Timestamp::from_nanos(fixture::START - 1);
        assert_eq!(
            writer.purge(early, Some([10, 0, 0, 9].into())).unwrap(),
            Purged::default()
        );
        let late = Timestamp::from_nanos(fixture::START + 1_000_000_000_000_000);
        let purged = writer.purge(late, Some([10, 0, 0, 9].into())).unwrap();
        let rows = |word| {
            Reader::open(&path)
                .unwrap()
                .ask(&Question::all(word))
                .unwrap()
                .rows
                .len()
        };
        assert_eq!(
            (purged.messages, purged.clients, purged.sessions, purged.lookups),
            (10, 2, 1, 2)
        );
        assert_eq!(
            (rows(Word::Messages), rows(Word::Usage), rows(Word::Clients)),
            (0, 0, 1)
        );
        // One finding names somebody else, whose address begins alike.
        assert_eq!((purged.findings, rows(Word::Findings)), (2, 1));
        let text = std::fs::read(&path).unwrap();
        let left = text.windows(8).enumerate().filter(|(_, window)| *window == b"10.0.0.9");
        let next = |at: usize| text.get(at + 8).copied();
        let strays: Vec<_> = left.filter(|(at, _)| next(*at) != Some(b'9')).collect();
        assert!(strays.is_empty(), "{} copies are left", strays.len());
    }

    #[test]
    fn what_is_older_goes_and_what_goes_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = filled(&path);
        let rows = |word| {
            Reader::open(&path)
                .unwrap()
                .ask(&Question::all(word))
                .unwrap()
                .rows
                .len()
        };
        assert_eq!(rows(Word::Servers), 2);
        // Messages of the first hour are gone; records were seen for a while longer.
        let purged = writer.purge(fixture::at(5, 0).time, None).unwrap();
        assert_eq!((purged.messages, rows(Word::Messages)), (6, 4));
        assert_eq!((purged.servers, rows(Word::Servers)), (0, 2));
        let purged = writer.purge(fixture::at(1_000_000, 0).time, None).unwrap();
        assert_eq!(purged.servers, 2);
        for word in Word::ALL {
            assert_eq!(rows(word), 0, "{word:?}");
        }
        assert!(!holds(&path, "10.0.0.9") && !holds(&path, "get_forecast"));
    }

    #[test]
    fn an_address_is_named_whole_or_not_at_all() {
        for (text, expect) in [
            ("10.0.0.1", true),
            ("to 10.0.0.1:80", true),
            ("by 10.0.0.1. Then", true),
            ("10.0.0.12", false),
            ("110.0.0.1", false),
            ("10.0.0.1.5", false),
            ("", false),
        ] {
            assert_eq!(names(text, "10.0.0.1"), expect, "{text:?}");
        }
    }
}
