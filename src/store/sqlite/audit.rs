//! What was done to the store and around it: added, never changed.

use rusqlite::params;

use crate::model::stamp::Timestamp;
use crate::store::StoreError;
use crate::store::sqlite::{Reader, Writer, explain};

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When, by the clock on the wall.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What: a word.
    pub what: String,
    /// Of what, and why.
    pub about: String,
}

impl Writer {
    /// Adds to the audit log.
    ///
    /// # Errors
    /// When the database says so.
    pub fn audit(&mut self, deed: &Deed) -> Result<(), StoreError> {
        let path = self.path().to_owned();
        let added = self.connection.execute(
            "INSERT INTO audit_raw (at, who, what, about) VALUES (?1, ?2, ?3, ?4)",
            params![deed.at.nanos(), deed.who, deed.what, deed.about],
        );
        added.map(|_| ()).map_err(|error| explain(&path, &error))
    }
}

impl Reader {
    /// The audit log, the oldest first.
    ///
    /// # Errors
    /// When the database says so.
    pub fn audit(&self) -> Result<Vec<Deed>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Deed>> {
            let mut rows = self
                .connection
                .prepare("SELECT at, who, what, about FROM audit_raw ORDER BY seq")?;
            let deeds = rows.query_map([], |row| {
                Ok(Deed {
                    at: Timestamp::from_nanos(row.get(0)?),
                    who: row.get(1)?,
                    what: row.get(2)?,
                    about: row.get(3)?,
                })
            })?;
            deeds.collect()
        };
        read().map_err(|error| explain(&self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_only_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = Writer::open(&path, "run").unwrap();
        let deed = |nanos| Deed {
            at: Timestamp::from_nanos(nanos),
            who: "me".to_owned(),
            what: "purge".to_owned(),
            about: "10.0.0.9: asked to".to_owned(),
        };
        writer.audit(&deed(1)).unwrap();
        writer.audit(&deed(2)).unwrap();
        for sql in ["DELETE FROM audit_raw", "UPDATE audit_raw SET who = 'nobody'"] {
            let error = writer.connection.execute(sql, []).unwrap_err().to_string();
            assert!(error.contains("only added to"), "{error}");
        }
        assert_eq!(Reader::open(&path).unwrap().audit().unwrap(), [deed(1), deed(2)]);
    }
}
