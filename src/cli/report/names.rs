//! Ids by their first digits: nobody types sixteen.

use crate::store::{Filter, Question, Store, StoreError, Value, Word};

/// Digits that an id must at least be given with.
const DIGITS_MIN: usize = 3;

/// Candidates that a message names.
const NAMED_MAX: usize = 5;

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Found {
    /// One record, by its id.
    One(String),
    /// None.
    Nothing,
    /// Several: some of them, for a message.
    Several(Vec<String>),
}

impl Found {
    /// The id, or the message that there is none or are several.
    pub(in crate::cli) fn one(self, what: &str, name: &str) -> Result<String, String> {
        match self {
            Self::One(id) => Ok(id),
            Self::Nothing => Err(format!(
                "no {what} {name}; `shadowtap report {what}s --format csv` shows ids"
            )),
            Self::Several(some) => Err(format!(
                "{name} is more than one {what}: {}; give more of its id",
                some.join(", ")
            )),
        }
    }
}

/// A session or a finding by its id or the first digits of it.
///
/// # Errors
/// Those of the store.
pub(in crate::cli) fn by_id(store: &dyn Store, word: Word, id: &str) -> Result<Found, StoreError> {
    let filter = Filter {
        id: Some(id.to_ascii_lowercase()),
        limit: Some(NAMED_MAX as u64 + 1),
        ..Filter::default()
    };
    if id.len() < DIGITS_MIN {
        return Ok(Found::Nothing);
    }
    found(store, word, filter)
}

/// A server by anything that names it: id, the first digits of it, `address:port`, address, host name, own name.
///
/// # Errors
/// Those of the store.
pub(in crate::cli) fn server(store: &dyn Store, name: &str) -> Result<Found, StoreError> {
    let filter = Filter {
        server: Some(name.to_owned()),
        limit: Some(NAMED_MAX as u64 + 1),
        ..Filter::default()
    };
    match found(store, Word::Servers, filter)? {
        Found::Nothing => by_id(store, Word::Servers, name),
        found => Ok(found),
    }
}

fn found(store: &dyn Store, word: Word, filter: Filter) -> Result<Found, StoreError> {
    let rows = store.ask(&Question { word, filter })?;
    let at = |name: &str| rows.columns.iter().position(|column| column.name == name);
    let (id, server) = (at("id"), at("server"));
    let text = |row: &[Value], at: Option<usize>| {
        let cell = at.and_then(|at| row.get(at)).and_then(Value::as_text);
        cell.unwrap_or_default().to_owned()
    };
    let mut ids: Vec<String> = rows.rows.iter().map(|row| text(row, id)).collect();
    Ok(match ids.len() {
        0 => Found::Nothing,
        1 => Found::One(ids.remove(0)),
        _ => {
            let shown = rows.rows.iter().take(NAMED_MAX);
            Found::Several(
                shown
                    .map(|row| format!("{} ({})", text(row, id), text(row, server)))
                    .collect(),
            )
        }
    })
}
