//! A report as one flat CSV: a line per server, client, lookup and finding, for a spreadsheet.
//!
//! `type` says what a line is; cells that do not apply are empty. What has no place in a flat line (tools, methods,
//! details) is in the JSON formats.

use std::io;

use crate::model::server::{Client, Lookup, Reported, Server, View};
use crate::model::stamp::Span;
use crate::report::display;

const COLUMNS: [&str; 20] = [
    "type",
    "id",
    "severity",
    "kind",
    "approved",
    "server",
    "hostname",
    "path",
    "client",
    "name",
    "version",
    "transport",
    "auth",
    "tool",
    "title",
    "where",
    "sample",
    "count",
    "first_seen",
    "last_seen",
];

/// Writes RFC 4180 with a head line.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut impl io::Write, view: &View) -> io::Result<()> {
    write!(out, "{}\r\n", COLUMNS.join(","))?;
    view.servers.iter().try_for_each(|it| line(out, server(it)))?;
    view.clients.iter().try_for_each(|it| line(out, client(it)))?;
    view.lookups.iter().try_for_each(|it| line(out, lookup(it)))?;
    view.findings.iter().try_for_each(|it| line(out, finding(it)))
}

/// Cells by the name of their column.
type Cells = Vec<(&'static str, String)>;

fn server(server: &Server) -> Cells {
    let messages = &server.messages;
    let all = messages
        .requests
        .saturating_add(messages.responses)
        .saturating_add(messages.notifications);
    let mut cells = vec![
        ("type", "server".to_owned()),
        ("id", server.id.clone()),
        (
            "approved",
            match (&server.approval, &server.inferred) {
                (Some(_), _) => "yes",
                (None, Some(_)) => "suspected",
                (None, None) => "no",
            }
            .to_owned(),
        ),
        ("server", server.endpoint.to_string()),
        ("count", all.to_string()),
    ];
    cells.extend(
        server
            .hostname
            .as_deref()
            .map(|hostname| ("hostname", hostname.to_owned())),
    );
    cells.extend(server.path.as_deref().map(|path| ("path", path.to_owned())));
    cells.extend(server.server_name.clone().map(|name| ("name", name)));
    cells.extend(server.server_version.clone().map(|version| ("version", version)));
    cells.extend(
        server
            .transports
            .first()
            .map(|transport| ("transport", transport.word().to_owned())),
    );
    cells.extend(server.auth.map(|auth| ("auth", auth.word().to_owned())));
    cells.extend(seen(server.seen));
    cells
}

fn client(client: &Client) -> Cells {
    let servers: Vec<String> = client.servers.iter().map(ToString::to_string).collect();
    let mut cells = vec![
        ("type", "client".to_owned()),
        ("client", client.addr.to_string()),
        ("server", servers.join("; ")),
    ];
    cells.extend(client.name.clone().map(|name| ("name", name)));
    cells.extend(client.version.clone().map(|version| ("version", version)));
    cells.extend(seen(client.seen));
    cells
}

fn lookup(lookup: &Lookup) -> Cells {
    let mut cells = vec![
        ("type", "lookup".to_owned()),
        ("id", lookup.signature.to_string()),
        ("kind", lookup.category.to_owned()),
        ("client", lookup.client.to_string()),
        ("name", lookup.name.clone()),
        ("transport", lookup.via.to_owned()),
        ("count", lookup.count.to_string()),
    ];
    cells.extend(seen(lookup.seen));
    cells
}

fn finding(reported: &Reported) -> Cells {
    let (finding, key) = (&reported.finding, &reported.finding.key);
    let mut cells = vec![
        ("type", "finding".to_owned()),
        ("id", reported.id.clone()),
        ("severity", finding.severity.word().to_owned()),
        ("kind", key.kind.word().to_owned()),
        ("title", finding.title.clone()),
        ("count", finding.count.to_string()),
    ];
    if let Some(site) = &key.site {
        cells.push(("server", site.endpoint.to_string()));
        cells.extend(
            site.hostname
                .as_deref()
                .map(|hostname| ("hostname", hostname.to_owned())),
        );
        cells.extend(site.path.as_deref().map(|path| ("path", path.to_owned())));
    }
    cells.extend(key.client.map(|client| ("client", client.to_string())));
    cells.extend(finding.detail.get("name").map(|name| ("name", name.clone())));
    cells.extend(key.tool.clone().map(|tool| ("tool", tool)));
    cells.extend(key.place.clone().map(|place| ("where", place)));
    cells.extend(
        finding
            .evidence
            .sample
            .as_ref()
            .map(|sample| ("sample", sample.as_str().to_owned())),
    );
    cells.extend(seen(finding.seen));
    cells
}

fn seen(seen: Span) -> [(&'static str, String); 2] {
    [
        ("first_seen", seen.first.time.to_string()),
        ("last_seen", seen.last.time.to_string()),
    ]
}

fn line(out: &mut impl io::Write, cells: Cells) -> io::Result<()> {
    debug_assert!(
        cells.iter().all(|(name, _)| COLUMNS.contains(name)),
        "a cell of no column"
    );
    for (nth, column) in COLUMNS.into_iter().enumerate() {
        let text = cells
            .iter()
            .find(|(name, _)| *name == column)
            .map_or("", |(_, text)| text);
        write!(out, "{}{}", if nth == 0 { "" } else { "," }, display::csv(text))?;
    }
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::report::rows::tests::read_csv;
    use crate::store::fixture;

    proptest! {
        #[test]
        fn every_record_is_one_line(view in fixture::views()) {
            let mut out = Vec::new();
            write(&mut out, &view).unwrap();
            let lines = read_csv(&String::from_utf8(out).unwrap());
            let records = view.servers.len() + view.clients.len() + view.lookups.len() + view.findings.len();
            prop_assert_eq!(lines.len(), records + 1);
            prop_assert!(lines.iter().all(|line| line.len() == COLUMNS.len()));
        }
    }
}
