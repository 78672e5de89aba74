//! `shadowtap report [WORD]`: asks a store and shows the answer.
//!
//! Reads only, also while a sensor writes. Without a word it gives an overview: how much is known, which servers nobody
//! approved, and the worst findings. It does not render: `report/` does.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::setup;
use crate::cli::setup::Asked;
use crate::config::load::Loaded;
use crate::model::finding::{Kind, Severity};
use crate::model::stamp::Timestamp;
use crate::report::grid::{DEFAULT_WIDTH, Style};
use crate::report::{html, rows};
use crate::store::when;
use crate::store::{Filter, Question, Rows, State, Store, StoreError, Value, Word, default_path};

/// Asks the store: servers, clients, tools, findings, lookups, sessions, timeline or drift.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// What to show: servers, clients, tools, findings, lookups, sessions, timeline, drift or captures; without it, an
    /// overview
    #[arg(value_parser = word)]
    pub word: Option<Word>,
    /// Only what was last seen at this time or later: 2026-11-20, 2026-11-20T10:00:00Z, or 30m, 24h, 7d, 2w ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only what was first seen before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Only this severity and worse: info, low, medium, high or critical
    #[arg(long, value_parser = severity)]
    pub severity: Option<Severity>,
    /// Only findings of this kind
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
    /// Only what concerns this server: address, address:port, hostname, name or id
    #[arg(long)]
    pub server: Option<String>,
    /// Only what concerns this client address
    #[arg(long, value_name = "ADDR")]
    pub client: Option<String>,
    /// Only what concerns servers that no approval covers
    #[arg(long)]
    pub unapproved: bool,
    /// Only findings in this state: open, acknowledged, closed or muted
    #[arg(long, value_parser = state)]
    pub state: Option<State>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Configuration file, which may name the store [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The store to ask: a file, http(s)://HOST:PORT of a ClickHouse server, or `clickhouse` for the configured one [default: as configured, else $SHADOWTAP_STORE, else /var/lib/shadowtap, else the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// One JSON object
    Json,
    /// One JSON object per row
    Ndjson,
    /// RFC 4180
    Csv,
    /// One file with charts, to be sent or printed
    Html,
}

/// Exit codes of the contract.
const DONE: u8 = 0;
const WRONG_USAGE: u8 = 2;
const UNREADABLE: u8 = 3;

/// Findings of the overview.
const OVERVIEW_FINDINGS: u64 = 10;

/// Runs the command and gives its exit code. What is wrong is told on standard error, with its cure.
///
/// # Errors
/// When standard output cannot be written, other than by a reader that has seen enough.
pub fn run(args: &ReportArgs) -> anyhow::Result<u8> {
    let asked = Loaded::load(args.config.as_deref()).and_then(|loaded| {
        let path = args.store.clone().or_else(|| loaded.store_file());
        Asked::of(&path.unwrap_or_else(default_path), &loaded)
    });
    let asked = match asked {
        Ok(asked) => asked,
        Err(defect) => {
            let _ = writeln!(io::stderr(), "{defect}");
            return Ok(WRONG_USAGE);
        }
    };
    if args.format == Format::Html && !is_whole(args) {
        let _ = writeln!(
            io::stderr(),
            "shadowtap: --format html is the whole report: only --since, --until and --store apply to it"
        );
        return Ok(WRONG_USAGE);
    }
    let mut text = Vec::new();
    if let Err(error) = asked
        .open()
        .and_then(|store| answer(&*store, args, terminal_style(), &mut text))
    {
        let _ = writeln!(io::stderr(), "shadowtap: {error}");
        return Ok(if matches!(error, StoreError::Filter { .. }) {
            WRONG_USAGE
        } else {
            UNREADABLE
        });
    }
    match io::stdout().lock().write_all(&text).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(DONE),
    }
}

/// Whether nothing is asked for but the time.
fn is_whole(args: &ReportArgs) -> bool {
    let only = Filter {
        since: args.since,
        until: args.until,
        ..Filter::default()
    };
    args.word.is_none() && filter(args) == only
}

fn filter(args: &ReportArgs) -> Filter {
    Filter {
        since: args.since,
        until: args.until,
        severity: args.severity,
        kind: args.kind,
        server: args.server.clone(),
        client: args.client.clone(),
        unapproved: args.unapproved,
        state: args.state,
        limit: args.limit,
    }
}

/// Writes the answer to what was asked.
///
/// # Errors
/// Those of the store.
pub fn answer(store: &dyn Store, args: &ReportArgs, style: Style, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let filter = filter(args);
    match args.word {
        _ if args.format == Format::Html => {
            out.extend_from_slice(html::file::render(store, args.since, args.until)?.as_bytes());
        }
        Some(word) => show(out, word, &store.ask(&Question { word, filter })?, args.format, style),
        None if args.format == Format::Table => overview(out, store, &filter, style)?,
        // For a program the overview is what there is to do something about.
        None => show(
            out,
            Word::Findings,
            &store.ask(&Question {
                word: Word::Findings,
                filter,
            })?,
            args.format,
            style,
        ),
    }
    Ok(())
}

fn show(out: &mut Vec<u8>, word: Word, answer: &Rows, format: Format, style: Style) {
    let written = match format {
        Format::Csv => rows::csv(out, answer),
        Format::Html => Ok(()),
        Format::Json => rows::json(out, word, answer),
        Format::Ndjson => rows::ndjson(out, answer),
        Format::Table => out.write_all(rows::table(answer, style).as_bytes()),
    };
    debug_assert!(written.is_ok(), "memory takes everything");
}

/// How much is known, unapproved servers, worst findings: in the time that was asked for.
fn overview(out: &mut Vec<u8>, store: &dyn Store, filter: &Filter, style: Style) -> Result<(), StoreError> {
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
    let limit = Some(filter.limit.unwrap_or(OVERVIEW_FINDINGS));
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

/// Width and colour of standard output; `NO_COLOR` and `CLICOLOR` are heeded.
pub fn terminal_style() -> Style {
    let stdout = io::stdout();
    let columns = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    Style {
        width: columns.unwrap_or(DEFAULT_WIDTH),
        color: stdout.is_terminal() && anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
    }
}

fn word(text: &str) -> Result<Word, String> {
    Word::parse(text).ok_or_else(|| one_of(Word::ALL.map(Word::name)))
}

pub(crate) fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| one_of(Severity::ALL.map(Severity::word)))
}

fn state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| one_of(State::ALL.map(State::word)))
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| one_of(Kind::ALL.map(|(_, word)| word)))
}

fn one_of<const N: usize>(words: [&str; N]) -> String {
    format!("must be one of {}", words.join(", "))
}

/// A time argument, relative to the clock.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    when::moment(text, setup::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;

    use crate::sink::Sink as _;
    use crate::store::fixture;
    use crate::store::memory::Memory;
    use crate::store::sqlite::Writer;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReportArgs,
    }

    fn args(line: &str) -> ReportArgs {
        Line::try_parse_from(["report"].into_iter().chain(line.split_whitespace()))
            .unwrap()
            .args
    }

    fn shown(line: &str) -> String {
        let view = fixture::view();
        let mut out = Vec::new();
        answer(
            &Memory::new(&view),
            &args(line),
            Style {
                width: 120,
                color: false,
            },
            &mut out,
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn words_filters_and_formats() {
        assert!(shown("servers --unapproved").contains("10.0.0.5:8000"));
        assert!(!shown("servers --unapproved").contains("fd88::4"));
        assert_eq!(shown("findings --severity medium --format csv").lines().count(), 3);
        assert_eq!(shown("lookups --format ndjson --limit 1").lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&shown("tools --server weather --format json")).unwrap();
        assert_eq!(
            (json["word"].as_str(), json["rows"].as_array().map(Vec::len)),
            (Some("tools"), Some(2))
        );
        assert_eq!(shown("findings --kind token-in-url"), "nothing found\n");
    }

    #[test]
    fn an_overview_says_what_matters() {
        let text = shown("");
        for part in [
            "servers: 2, clients: 3, tools: 2, findings: 3, lookups: 2, sessions: 1, drift: 2",
            "captures: 1, packets: 100, flows: 7; not seen: 3 encrypted flows",
            "UNAPPROVED  10.0.0.5:8000",
            "secret-in-transit",
        ] {
            assert!(text.contains(part), "{part:?} is missing from\n{text}");
        }
    }

    #[test]
    fn wrong_words_are_named() {
        for line in [
            "nonsense",
            "findings --severity awful",
            "findings --kind nonsense",
            "findings --since soon",
        ] {
            let error = Line::try_parse_from(["report"].into_iter().chain(line.split_whitespace()))
                .err()
                .unwrap();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn exit_codes_are_the_contract_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let code = |line: &str| {
            run(&ReportArgs {
                store: Some(path.clone()),
                ..args(line)
            })
            .unwrap()
        };
        assert_eq!(code("servers"), UNREADABLE);
        Writer::open(&path, "run")
            .unwrap()
            .write(&fixture::events(&fixture::view()))
            .unwrap();
        assert_eq!(code("servers --format csv"), DONE);
        assert_eq!(code("lookups --severity high"), WRONG_USAGE);
    }
}
