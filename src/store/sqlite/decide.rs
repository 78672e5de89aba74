//! What people decide about findings: added, never changed.

use rusqlite::params;

use crate::model::stamp::Timestamp;
use crate::store::sqlite::{Writer, explain};
use crate::store::{State, StoreError};

/// A decision about one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub state: State,
    /// Why.
    pub why: String,
    /// Who decided.
    pub who: String,
    /// When, by the clock on the wall.
    pub at: Timestamp,
    /// The first moment at which it counts no longer.
    pub until: Option<Timestamp>,
}

impl Writer {
    /// Adds a decision about a finding; `false` where the store knows no such finding.
    ///
    /// # Errors
    /// When the database says so.
    pub fn decide(&mut self, finding: &str, decision: &Decision) -> Result<bool, StoreError> {
        let path = self.path().to_owned();
        let insert = || {
            self.connection.execute(
                "INSERT INTO decisions_raw (finding, state, why, who, at, until)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM findings_raw WHERE id = ?1)",
                params![
                    finding,
                    decision.state.word(),
                    decision.why,
                    decision.who,
                    decision.at.nanos(),
                    decision.until.map(Timestamp::nanos),
                ],
            )
        };
        insert().map(|added| added > 0).map_err(|error| explain(&path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::sink::Sink as _;
    use crate::store::fixture;
    use crate::store::sqlite::Reader;
    use crate::store::{Question, Store as _, Value, Word};

    #[test]
    fn the_newest_decision_counts_and_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = Writer::open(&path, "run").unwrap();
        writer.write(&fixture::events(&fixture::view())).unwrap();
        let state = || {
            let rows = Reader::open(&path)
                .unwrap()
                .ask(&Question::all(Word::Findings))
                .unwrap();
            let at = |name: &str| rows.columns.iter().position(|column| column.name == name).unwrap();
            let row = rows
                .rows
                .iter()
                .find(|row| row[at("id")] == Value::Text("f1".to_owned()))
                .unwrap();
            row[at("state")].as_text().unwrap().to_owned()
        };
        let far = Timestamp::from_parts(9_000_000_000, 0);
        let decision = |state, at, until| Decision {
            state,
            why: "known".to_owned(),
            who: "me".to_owned(),
            at,
            until,
        };
        assert_eq!(state(), "open");
        for (decided, at, until, shown) in [
            (State::Acknowledged, far, None, "acknowledged"),
            (State::Muted, far, Some(far), "muted"),
            (State::Muted, far, Some(Timestamp::from_nanos(1)), "open"),
            (State::Closed, far, None, "closed"),
            // It was seen after it was closed.
            (State::Closed, Timestamp::from_nanos(1), None, "open"),
            (State::Muted, Timestamp::from_nanos(1), None, "muted"),
            (State::Open, far, None, "open"),
        ] {
            assert!(writer.decide("f1", &decision(decided, at, until)).unwrap());
            assert_eq!(state(), shown, "{decided:?} {until:?}");
        }
        assert!(!writer.decide("none", &decision(State::Closed, far, None)).unwrap());
        let kept: i64 = writer
            .connection
            .query_row("SELECT count(*) FROM decisions_raw", [], |row| row.get(0))
            .unwrap();
        assert_eq!(kept, 7);
    }
}
