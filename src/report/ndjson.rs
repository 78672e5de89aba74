//! A report as one JSON object per line, for tools that read streams: `"type"` says what a line is, its other fields
//! are those of the report object.

use std::io;
use std::net::IpAddr;

use serde::Serialize;

use crate::model::server::{Lookup, View};
use crate::model::stamp::Timestamp;
use crate::report::display;
use crate::report::object::{CaptureObject, ClientObject, FindingObject, ServerObject, Text};

/// Writes the capture first, then servers, clients, lookups and findings, each in the order of the view.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut impl io::Write, view: &View) -> io::Result<()> {
    display::json_line(out, &Line::Capture(CaptureObject::of(&view.capture)))?;
    view.servers
        .iter()
        .try_for_each(|server| display::json_line(out, &Line::Server(ServerObject::of(server))))?;
    view.clients
        .iter()
        .try_for_each(|client| display::json_line(out, &Line::Client(ClientObject::of(client))))?;
    view.lookups
        .iter()
        .try_for_each(|lookup| display::json_line(out, &Line::Lookup(LookupLine::of(lookup))))?;
    view.findings
        .iter()
        .try_for_each(|found| display::json_line(out, &Line::Finding(FindingObject::of(found))))
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Capture(CaptureObject<'a>),
    Server(ServerObject<'a>),
    Client(ClientObject<'a>),
    Lookup(LookupLine<'a>),
    Finding(FindingObject<'a>),
}

/// A lookup; its own `type`, the DNS record type, cannot stand beside the line's and is `record_type` here.
#[derive(Serialize)]
struct LookupLine<'a> {
    name: &'a str,
    record_type: Option<&'a str>,
    signature: &'a str,
    category: &'static str,
    via: &'static str,
    client: Text<IpAddr>,
    count: u64,
    first_seen: Text<Timestamp>,
    last_seen: Text<Timestamp>,
}

impl<'a> LookupLine<'a> {
    fn of(lookup: &'a Lookup) -> Self {
        Self {
            name: &lookup.name,
            record_type: lookup.kind.as_deref(),
            signature: &lookup.signature,
            category: lookup.category,
            via: lookup.via,
            client: Text(lookup.client),
            count: lookup.count,
            first_seen: Text(lookup.seen.first.time),
            last_seen: Text(lookup.seen.last.time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::fixture;

    #[test]
    fn every_line_is_an_object_that_says_what_it_is() {
        let mut out = Vec::new();
        write(&mut out, &fixture::view()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let kinds: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["type"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        let count = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
        assert_eq!(
            ["capture", "server", "client", "lookup", "finding"].map(count),
            [1, 2, 3, 2, 3]
        );
        assert!(text.lines().all(|line| line.matches("\"type\":").count() == 1));
    }
}
