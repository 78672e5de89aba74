//! The report of a replay for a person at three in the morning: what was captured, what was found, worst first, and at
//! the end what could not be seen, so that "none found" can be believed or doubted.
//!
//! A pure function of a view: no terminal is asked, no clock, no file. What is shown here is a choice; the report object
//! has everything.

mod difference;
mod host;
mod servers;
mod withheld;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::model::finding::Severity;
use crate::model::server::{Client, Lookup, Reported, Server, View};
use crate::model::stamp::Timestamp;
use crate::report::display::terminal;
use crate::report::grid::{self, BOLD, Cell, GOOD, WARN, bytes, count, cut, grid, thousands, wrap};
pub use crate::report::grid::{DEFAULT_WIDTH, Style};

/// Clients of encrypted DNS that are named.
const MAX_DNS_CLIENTS: usize = 3;
/// Findings and lookups that are shown; the rest is counted, and every other format has it.
const MAX_ROWS: usize = 200;

const INDENT: usize = 2;

/// The whole report.
pub fn render(view: &View, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, view, style);
    summary(&mut out, view, style);
    servers::write(&mut out, view, style);
    findings(&mut out, view, style);
    lookups(&mut out, view, style);
    clients(&mut out, view, style);
    withheld::write(&mut out, view);
    blind(&mut out, view, style);
    out
}

fn head(out: &mut String, view: &View, style: Style) {
    let capture = &view.capture;
    let counters = &capture.counters;
    let sources: Vec<String> = capture
        .sources
        .iter()
        .map(|source| terminal(source).into_owned())
        .collect();
    let sources = if sources.is_empty() {
        "no source".to_owned()
    } else {
        sources.join(", ")
    };
    let _ = writeln!(out, "{}", style.paint(BOLD, &cut(&sources, style.columns())));
    let volume = format!(
        "{}, {}, {}",
        count(counters.packets, "packet", "packets"),
        bytes(counters.bytes),
        count(counters.flows, "flow", "flows")
    );
    let when = match capture.seen {
        Some((first, last)) => format!(
            "{} to {} UTC ({}): ",
            moment(first),
            moment(last),
            span(last.since(first))
        ),
        None => String::new(),
    };
    let _ = writeln!(out, "{}", cut(&format!("{when}{volume}"), style.columns()));
}

fn summary(out: &mut String, view: &View, style: Style) {
    // A suspicion is counted apart: it is no server that anybody has seen speak.
    let (suspected, read): (Vec<&Server>, Vec<&Server>) =
        view.servers.iter().partition(|server| server.inferred.is_some());
    let unapproved = read.iter().filter(|server| server.approval.is_none()).count() as u64;
    let servers = count(read.len() as u64, "MCP server", "MCP servers");
    let _ = match unapproved {
        _ if read.is_empty() => write!(out, "\n{}", style.paint(BOLD, "no MCP server found")),
        0 => write!(
            out,
            "\n{}, {}",
            style.paint(BOLD, &servers),
            style.paint(GOOD, "all approved")
        ),
        some => {
            let mark = format!("{} UNAPPROVED", thousands(some));
            write!(out, "\n{}, {}", style.paint(BOLD, &servers), style.paint(WARN, &mark))
        }
    };
    if !suspected.is_empty() {
        let _ = write!(out, ", {} suspected", thousands(suspected.len() as u64));
    }
    let _ = write!(out, "; {}", count(view.clients.len() as u64, "client", "clients"));
    if view.findings.is_empty() {
        out.push_str("; no findings\n");
        return;
    }
    let of = |severity| {
        view.findings
            .iter()
            .filter(|found| found.finding.severity == severity)
            .count() as u64
    };
    let by_severity = Severity::ALL.into_iter().rev().filter(|severity| of(*severity) > 0);
    let by_severity: Vec<String> = by_severity
        .map(|severity| {
            style.paint(
                grid::severity(severity),
                &format!("{} {}", thousands(of(severity)), severity.word()),
            )
        })
        .collect();
    let findings = count(view.findings.len() as u64, "finding", "findings");
    let _ = writeln!(out, "; {findings}: {}", by_severity.join(", "));
}

fn title(out: &mut String, text: &str, style: Style) {
    let _ = writeln!(out, "\n{}", style.paint(BOLD, text));
}

fn findings(out: &mut String, view: &View, style: Style) {
    if view.findings.is_empty() {
        return;
    }
    title(out, "Findings", style);
    for found in view.findings.iter().take(MAX_ROWS) {
        finding(out, found, style);
    }
    more(out, view.findings.len());
}

/// What, who and how often on the first line; what it says and where on the lines below.
fn finding(out: &mut String, found: &Reported, style: Style) {
    let (finding, key) = (&found.finding, &found.finding.key);
    let server = key.site.as_ref().map(|site| site.endpoint.to_string());
    let client = key.client.map(|client| client.to_string());
    let who = match (client, server) {
        (Some(client), Some(server)) => format!("{client} -> {server}"),
        (client, server) => client.or(server).unwrap_or_default(),
    };
    let often = if finding.count > 1 {
        format!("  {} times", thousands(finding.count))
    } else {
        String::new()
    };
    let first = moment(finding.seen.first.time);
    let what = format!("{:<22}  {who}  {first}{often}", key.kind.word());
    let severity = style.paint(
        grid::severity(finding.severity),
        &format!("{:<8}", finding.severity.word()),
    );
    let _ = writeln!(
        out,
        "{:INDENT$}{severity}  {}",
        "",
        cut(&what, style.columns() - INDENT - 10)
    );
    let mut says = vec![terminal(&finding.title).into_owned()];
    // A title mostly says these itself.
    let untold = |part: &&str| !finding.title.contains(*part);
    let (tool, place) = (key.tool.as_deref().filter(untold), key.place.as_deref().filter(untold));
    says.extend(tool.map(|tool| format!("tool {}", terminal(tool))));
    says.extend(place.map(|place| format!("at {}", terminal(place))));
    says.extend(
        finding
            .evidence
            .sample
            .as_ref()
            .map(|sample| format!("sample {}", terminal(sample.as_str()))),
    );
    let packet = found.first().packet;
    if packet > 0 {
        says.push(format!("packet {}", thousands(packet)));
    }
    out.push_str(&wrap(&says, INDENT + 10, style));
    difference::write(out, finding, INDENT + 10, style);
}

fn lookups(out: &mut String, view: &View, style: Style) {
    if view.lookups.is_empty() {
        return;
    }
    title(out, "Lookups and connections by known names", style);
    let row = |lookup: &Lookup| {
        let kind = lookup
            .kind
            .as_deref()
            .map(|kind| format!(" {}", terminal(kind)))
            .unwrap_or_default();
        vec![
            Cell::soft(terminal(&lookup.name)),
            Cell::new(lookup.category),
            Cell::new(format!("{}{kind}", lookup.via)),
            Cell::new(lookup.client.to_string()),
            Cell::number(thousands(lookup.count)),
            Cell::new(moment(lookup.seen.first.time)),
        ]
    };
    let rows: Vec<_> = view.lookups.iter().take(MAX_ROWS).map(row).collect();
    out.push_str(&grid(
        &["name", "category", "via", "client", "count", "first seen"],
        &rows,
        INDENT,
        style,
    ));
    more(out, view.lookups.len());
}

fn clients(out: &mut String, view: &View, style: Style) {
    if view.clients.is_empty() {
        return;
    }
    title(out, "Clients", style);
    let row = |client: &Client| {
        let version = client.version.as_deref().unwrap_or_default();
        let name = format!("{} {version}", client.name.as_deref().unwrap_or_default());
        let servers: Vec<String> = client.servers.iter().map(ToString::to_string).collect();
        vec![
            Cell::new(client.addr.to_string()),
            Cell::soft(terminal(name.trim())),
            Cell::soft(terminal(client.user_agent.as_deref().unwrap_or_default())),
            Cell::soft(servers.join(", ")),
            Cell::new(moment(client.seen.last.time)),
        ]
    };
    let rows: Vec<_> = view.clients.iter().take(MAX_ROWS).map(row).collect();
    out.push_str(&grid(
        &["address", "client", "user agent", "servers", "last seen"],
        &rows,
        INDENT,
        style,
    ));
    more(out, view.clients.len());
}

fn more(out: &mut String, all: usize) {
    if let Some(left) = all.checked_sub(MAX_ROWS).filter(|left| *left > 0) {
        let _ = writeln!(
            out,
            "{:INDENT$}… and {} more; --format json has all",
            "",
            thousands(left as u64)
        );
    }
}

/// Those who asked most by encrypted DNS.
fn dns_clients(clients: &BTreeMap<IpAddr, u64>) -> String {
    let mut most: Vec<(&IpAddr, &u64)> = clients.iter().collect();
    most.sort_by_key(|(client, flows)| (Reverse(**flows), **client));
    let mut out = String::new();
    for (client, flows) in most.iter().take(MAX_DNS_CLIENTS) {
        let before = if out.is_empty() { ", by " } else { ", " };
        let _ = write!(out, "{before}{client} ({})", thousands(**flows));
    }
    if let Some(left) = most.len().checked_sub(MAX_DNS_CLIENTS).filter(|left| *left > 0) {
        let _ = write!(out, " and {} more", thousands(left as u64));
    }
    out
}

fn blind(out: &mut String, view: &View, style: Style) {
    let counters = &view.capture.counters;
    let (lost, blind) = (&counters.lost, &counters.blind);
    title(out, "What could not be seen", style);
    let share = |part: u64, whole: u64| {
        if whole == 0 {
            String::new()
        } else {
            format!(" ({:.0} %)", part as f64 * 100.0 / whole as f64)
        }
    };
    let encrypted = format!(
        "{}, {}",
        share(blind.encrypted_flows, counters.flows),
        bytes(blind.encrypted_bytes)
    );
    let one_sided = share(blind.one_sided_flows, counters.flows);
    let truncated = share(lost.truncated_packets, counters.packets);
    let undecodable = share(lost.undecodable_packets, counters.packets);
    let none = String::new;
    let lines = [
        (blind.encrypted_flows, "encrypted flows", encrypted),
        (
            blind.flows_without_secrets,
            "encrypted flows that the key material says nothing of",
            none(),
        ),
        (
            blind.flows_with_wrong_secrets,
            "encrypted flows whose secrets do not fit",
            none(),
        ),
        (
            blind.evicted_secrets,
            "connections whose secrets were forgotten at a bound",
            none(),
        ),
        (blind.one_sided_flows, "flows seen in one direction only", one_sided),
        (blind.ech_hellos, "TLS hellos with a hidden server name", none()),
        (
            blind.encrypted_dns_flows,
            "flows of encrypted DNS",
            dns_clients(&view.capture.encrypted_dns),
        ),
        (lost.kernel_drops, "packets dropped by the kernel", none()),
        (lost.queue_drops, "packets dropped before a busy worker", none()),
        (lost.truncated_packets, "packets cut by the snap length", truncated),
        (
            lost.undecodable_packets,
            "packets that could not be decoded",
            undecodable,
        ),
        (
            lost.orphan_fragments,
            "IP fragments without the rest of their datagrams",
            none(),
        ),
        (lost.evicted_fragments, "IP fragments dropped at a memory bound", none()),
        (
            lost.conflicting_fragments,
            "IP fragments that contradict others",
            none(),
        ),
        (lost.gap_bytes, "stream bytes sent but not captured", none()),
        (lost.evicted_flows, "flows dropped at a memory bound", none()),
        (lost.shed_events, "events dropped at a bound", none()),
        (
            lost.forgotten_names,
            "DNS answers and unnamed flows dropped at a bound",
            none(),
        ),
        (
            lost.damaged_files,
            "damaged files: what follows the damage is missing",
            none(),
        ),
    ];
    let mut any = false;
    for (number, what, rest) in lines.into_iter().filter(|(number, ..)| *number > 0) {
        any = true;
        let _ = writeln!(
            out,
            "{:INDENT$}{}",
            "",
            cut(
                &format!("{what}: {}{rest}", thousands(number)),
                style.columns() - INDENT
            )
        );
    }
    for line in view.host.iter().flat_map(host::blind) {
        any = true;
        let _ = writeln!(out, "{:INDENT$}{}", "", cut(&line, style.columns() - INDENT));
    }
    if !any {
        let nothing = if counters.packets == 0 {
            "there were no packets to look at"
        } else {
            "nothing: every flow was readable, whole and in both directions"
        };
        let _ = writeln!(out, "{:INDENT$}{nothing}", "");
    }
}

/// To the second, for people.
pub(crate) fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    text.split('.').next().unwrap_or(&text).replace('T', " ")
}

/// A length of time in the two units that a person would say.
fn span(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0 => format!("{} ms", nanos / 1_000_000),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::model::suspect::{Grade, Inferred, Shape};
    use crate::store::fixture;
    use unicode_width::UnicodeWidthStr as _;

    const STYLE: Style = Style {
        width: 100,
        color: false,
    };

    #[test]
    fn worst_stands_first_and_blind_spots_stand_last() {
        let text = render(&fixture::view(), STYLE);
        let place = |part: &str| {
            text.find(part)
                .unwrap_or_else(|| panic!("{part:?} is missing from\n{text}"))
        };
        let order = [
            "a.pcap",
            "2026-11-20 10:00:00 to 2026-11-20 10:00:20 UTC (20 s): 100 packets, 123 kB, 7 flows",
            "2 MCP servers, 1 UNAPPROVED; 3 clients; 3 findings: 1 high, 1 medium, 1 info",
            "UNAPPROVED  10.0.0.5:8000  mcp.example.test/mcp  \"weather\" 1.2.0  high",
            "tools: get_forecast (changed), sun\\u{202e}rise\\n (gone)",
            "approved    [fd88::4]:443",
            "Findings\n  high      secret-in-transit       10.0.0.9 -> 10.0.0.5:8000  2026-11-20 10:00:03  2 times\n",
            "an AWS access key inside a tool call, tool get_forecast, at params.arguments.token,\n            sample AKIA…, packet 4",
            "unapproved-server",
            "registry-lookup",
            "smithery.ai",
            "claude-code 2.0",
            "What could not be seen",
            "encrypted flows: 3 (43 %), 99.0 kB",
            "stream bytes sent but not captured: 42",
        ];
        assert!(order.map(place).is_sorted(), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_suspicion_is_no_server() {
        let mut view = fixture::view();
        let remote = &mut view.servers[1];
        remote.approval = None;
        remote.inferred = Some(Inferred {
            grade: Grade::Resembles,
            shape: Shape::default(),
            rhythm: crate::model::visit::Rhythm::default(),
        });
        let text = render(&view, STYLE);
        assert!(
            text.contains("1 MCP server, 1 UNAPPROVED, 1 suspected; 3 clients"),
            "{text}"
        );
        assert!(text.contains("suspected   [fd88::4]:443"), "{text}");
        assert!(text.contains("the host name reads like an MCP server's"), "{text}");
        view.servers.remove(0);
        let text = render(&view, STYLE);
        assert!(text.contains("no MCP server found, 1 suspected;"), "{text}");
    }

    #[test]
    fn clients_of_encrypted_dns_stand_in_the_order_of_their_flows() {
        let client = |host: u8| IpAddr::from([10, 0, 0, host]);
        let clients = |flows: &[u64]| (1..).map(client).zip(flows.iter().copied()).collect();
        assert_eq!(dns_clients(&clients(&[])), "");
        assert_eq!(dns_clients(&clients(&[1, 2])), ", by 10.0.0.2 (2), 10.0.0.1 (1)");
        assert_eq!(
            dns_clients(&clients(&[5, 1, 1, 1, 7])),
            ", by 10.0.0.5 (7), 10.0.0.1 (5), 10.0.0.2 (1) and 2 more"
        );
    }

    #[test]
    fn nothing_reads_well() {
        let text = render(&View::default(), STYLE);
        assert_eq!(
            text,
            "no source\n0 packets, 0 B, 0 flows\n\nno MCP server found; 0 clients; no findings\n\n\
             What could not be seen\n  there were no packets to look at\n"
        );
    }

    proptest! {
        #[test]
        fn no_text_steers_or_overflows(view in fixture::views(), width in 40_usize..130) {
            let text = render(&view, Style { width, color: false });
            prop_assert!(!text.chars().any(|char| char != '\n' && char.is_control()));
            let hidden = ['\u{202e}', '\u{e0041}'];
            prop_assert!(!text.contains(hidden));
            // The summary may wrap on a narrow terminal; nothing else does.
            for line in text.lines().filter(|line| !line.contains(" clients; ") && !line.contains(" client; ")) {
                prop_assert!(line.width() <= width, "{line:?} in {width}");
            }
            let painted = render(&view, Style { width, color: true });
            prop_assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text);
        }
    }
}
