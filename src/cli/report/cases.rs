//! Reports of several parts: one session, one server gone bad, two spans of time, a week.

use crate::cli::report::names;
use crate::cli::report::times::range;
use crate::cli::report::{Format, ReportArgs, Subject};
use crate::cli::setup::now;
use crate::model::asset::Assets;
use crate::report::document::Document;
use crate::report::grid::Style;
use crate::report::{change, impact, owners, story, weekly};
use crate::store::{Store, StoreError, Word};

/// Writes such a report.
///
/// # Errors
/// Those of the store, and names that stand for nothing or for several.
pub(super) fn write(
    store: &dyn Store,
    subject: Subject,
    args: &ReportArgs,
    assets: &Assets,
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let document = match (subject, args.names.as_slice()) {
        (Subject::Session, [id]) => {
            let id = names::by_id(store, Word::Sessions, id)?.one("session", id);
            story::story(store, &id.map_err(StoreError::Named)?)?
        }
        (Subject::Impact, [name]) => {
            let id = names::server(store, name)?.one("server", name);
            impact::impact(store, &id.map_err(StoreError::Named)?, args.since)?
        }
        (Subject::Diff, [before, after]) => {
            let read = |text: &String| range(text).map_err(|error| StoreError::Named(format!("{text}: {error}")));
            Some(change::change(store, read(before)?, read(after)?)?)
        }
        (Subject::Weekly, []) => Some(weekly::weekly(store, args.until.unwrap_or_else(now))?),
        (Subject::Session, _) => return Err(usage("report session ID")),
        (Subject::Impact, _) => return Err(usage("report impact SERVER")),
        (Subject::Diff, _) => return Err(usage("report diff 14d..7d 7d..now")),
        (Subject::Weekly, _) => return Err(usage("report weekly [--until DATE]")),
        (Subject::Word(word), _) => return Err(usage(&format!("report {}", word.name()))),
    };
    let Some(document) = document else {
        return Err(StoreError::Named("it was forgotten just now; ask again".to_owned()));
    };
    let document = owners::document(document, assets);
    show(&document, args.format, style, out);
    Ok(())
}

fn usage(line: &str) -> StoreError {
    StoreError::Named(format!("write `shadowtap {line}`"))
}

fn show(document: &Document, format: Format, style: Style, out: &mut Vec<u8>) {
    let written = match format {
        Format::Csv => document.csv(out),
        // Refused before: it is the whole report.
        Format::Html => Ok(()),
        Format::Json => document.json(out),
        Format::Markdown => {
            out.extend_from_slice(document.markdown().as_bytes());
            Ok(())
        }
        Format::Ndjson => document.ndjson(out),
        Format::Table => {
            out.extend_from_slice(document.table(style).as_bytes());
            Ok(())
        }
    };
    debug_assert!(written.is_ok(), "memory takes everything");
}
