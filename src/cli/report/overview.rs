//! The overview: how much is known, which servers nobody approved, the worst findings.

use crate::model::asset::Assets;
use crate::report::grid::Style;
use crate::report::{owners, rows};
use crate::store::{Filter, Question, Rows, State, Store, StoreError, Value, Word};

/// Findings that are shown.
const FINDINGS: u64 = 10;

/// How much is known, unapproved servers, worst findings: in the time that was asked for.
pub(super) fn write(
    out: &mut Vec<u8>,
    store: &dyn Store,
    filter: &Filter,
    assets: &Assets,
    style: Style,
) -> Result<(), StoreError> {
    let span = Filter {
        since: filter.since,
        until: filter.until,
        ..Filter::default()
    };
    let ask = |word, filter: Filter| store.ask(&Question { word, filter });
    let mut counts = Vec::new();
    for word in [
        Word::Servers,
        Word::Clients,
        Word::Tools,
        Word::Findings,
        Word::Lookups,
        Word::Sessions,
        Word::Drift,
    ] {
        counts.push(format!("{}: {}", word.name(), ask(word, span.clone())?.rows.len()));
    }
    let servers = ask(
        Word::Servers,
        Filter {
            unapproved: true,
            ..filter_for_servers(filter)
        },
    )?;
    let limit = Some(filter.limit.unwrap_or(FINDINGS));
    let findings = ask(
        Word::Findings,
        Filter {
            limit,
            // What somebody has settled or muted is not what there is to do.
            state: filter.state.or(Some(State::Open)),
            ..filter.clone()
        },
    )?;
    let captures = ask(Word::Captures, span)?;
    let (servers, findings) = (owners::rows(servers, assets), owners::rows(findings, assets));
    let mut text = format!("{}\n{}\n", counts.join(", "), seen(&captures));
    text.push_str(&format!("\nUnapproved servers\n{}", rows::table(&servers, style)));
    text.push_str(&format!("\nWorst findings\n{}", rows::table(&findings, style)));
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The part of a filter that servers know.
fn filter_for_servers(filter: &Filter) -> Filter {
    Filter {
        kind: None,
        session: None,
        tool: None,
        state: None,
        limit: None,
        ..filter.clone()
    }
}

/// What the store rests on, and what its sensors could not see.
fn seen(captures: &Rows) -> String {
    let sum = |name: &str| {
        let at = captures.columns.iter().position(|column| column.name == name);
        let numbers = captures.rows.iter().filter_map(|row| row.get(at?));
        numbers
            .map(|value| if let Value::Int(number) = value { *number } else { 0 })
            .fold(0_i64, i64::saturating_add)
    };
    format!(
        "captures: {}, packets: {}, flows: {}; not seen: {} encrypted flows, {} one-sided flows, {} packets dropped, {} events shed",
        captures.rows.len(),
        sum("packets"),
        sum("flows"),
        sum("encrypted_flows"),
        sum("one_sided_flows"),
        sum("kernel_drops").saturating_add(sum("queue_drops")),
        sum("shed_events"),
    )
}
