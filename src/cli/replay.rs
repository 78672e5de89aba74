//! `shadowtap replay`: capture files in, the shadow-MCP report out.

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};

use crate::cli::far::Far;
use crate::cli::report::{moment, severity, terminal_style};
use crate::cli::setup::{self, Rules};
use crate::cli::sinks::Sinks;
use crate::config::load::Loaded;
use crate::engine::replay::{Input, Replayed, replay};
use crate::engine::{Shared, keylog};
use crate::model::event::Event;
use crate::model::finding::Severity;
use crate::model::message_seen::MessageRow;
use crate::model::server::View;
use crate::model::stamp::Timestamp;
use crate::report::{csv, html, ndjson, object, table};
use crate::sink::hub::Hub;
use crate::sink::runner::Pressure;
use crate::sink::settings::Setting;
use crate::source::SourceError;
use crate::store::memory::Memory;
use crate::stream::secrets::Secrets;

/// Finished, but data was lost.
pub(super) const LOST: u8 = 4;
/// How long sinks that are far away may take; what they did not take by then waits in the spool.
const SEND_GRACE: Duration = Duration::from_secs(30);
/// A finding of `--fail-on` or above was made.
const FAILED: u8 = 1;

/// Replays capture files and prints the shadow-MCP report.
///
/// Reads pcap and pcapng, also packed with gzip or zstd, merges several files by time, stores what it found, and prints
/// the report on standard output.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Capture files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Form of the report
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Threads: a number, or `auto`
    #[arg(long, default_value = "auto", value_name = "N", value_parser = workers)]
    pub workers: Workers,
    /// Only packets that match this BPF expression (pcap-filter(7))
    #[arg(long, value_name = "EXPR")]
    pub bpf: Option<String>,
    /// Key log file (NSS format) of your own connections, to read what is encrypted; may be given several times
    #[arg(long, value_name = "FILE")]
    pub keylog: Vec<PathBuf>,
    /// Store that keeps what was found, or `none`
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: Rules,
    /// Only packets from this moment on: RFC 3339, a date, or a span before now such as 24h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only packets before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Exit with 1 when a finding of this severity or above was made
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    pub fail_on: Option<Severity>,
}

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For programs: one line per record, comma-separated.
    Csv,
    /// For people: one file with charts, to be sent or printed.
    Html,
    /// For programs: one object.
    Json,
    /// For programs: one object a line.
    Ndjson,
    /// For people.
    Table,
}

/// Number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// As many as pay.
    Auto,
    /// So many.
    Exactly(NonZeroUsize),
}

fn workers(text: &str) -> Result<Workers, String> {
    match text {
        "auto" => Ok(Workers::Auto),
        number => number
            .parse()
            .map(Workers::Exactly)
            .map_err(|_| "expected a number from 1, or `auto`".to_owned()),
    }
}

impl Workers {
    /// A second thread reads everything once more: it pays when a packet costs more to handle than to read, which is
    /// known only afterwards. One is never slower than the traffic that needs no look.
    fn count(self) -> usize {
        match self {
            Self::Auto => 1,
            Self::Exactly(count) => count.get(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong configuration, a file that cannot be read, or output that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some((loaded, ruleset)) = setup::load(&args.rules) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    let Some(mut sinks) = setup::sinks(&loaded) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    // Standard output is the report's.
    sinks.retain(|sink| sink.replay && !sink.stdout);
    let mut settings = setup::settings(&loaded);
    let store_path = setup::store_path(args.store.as_deref(), &loaded);
    settings.past = setup::past(store_path.as_deref());
    settings.secrets = known_secrets(&loaded.keylogs(&args.keylog), &loaded)?;
    if store_path.is_none() && loaded.config.clickhouse.url.is_none() {
        settings.messages_max = 0;
    }
    let shared = Arc::new(Shared::new(settings, ruleset));
    let input = Input {
        files: args.files.clone(),
        filter: args.bpf.clone(),
        since: args.since,
        until: args.until,
    };
    let bar = progress_bar();
    let result = replay(&shared, &input, args.workers.count(), &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let Replayed { mut view, damage } = result?;
    for damage in &damage {
        eprintln!("shadowtap: {damage}");
    }
    if let Some(line) = setup::key_material(&view.capture.counters.blind) {
        eprintln!("shadowtap: {line}");
    }
    let run = run_of(&view, args);
    let messages = std::mem::take(&mut view.messages);
    let sent = send(&loaded, sinks, &run, &view, &messages);
    let stored = store_path.is_none_or(|path| store(&path, &run, &view, messages));
    print(&view, args.format).context("cannot write the report")?;
    Ok(ExitCode::from(exit_code(&view, args.fail_on, stored && sent)))
}

/// Everything that key logs hold; `None` without one.
fn known_secrets(keylogs: &[PathBuf], loaded: &Loaded) -> Result<Option<Arc<Secrets>>, SourceError> {
    let secrets = Secrets::new(loaded.config.tls.max_connections, false);
    for path in keylogs {
        if keylog::load(path, &secrets)? == 0 {
            eprintln!(
                "shadowtap: {}: no line of it is a secret of TLS or QUIC",
                path.display()
            );
        }
    }
    Ok((!keylogs.is_empty()).then(|| Arc::new(secrets)))
}

fn exit_code(view: &View, fail_on: Option<Severity>, stored: bool) -> u8 {
    let worst = view.findings.iter().map(|reported| reported.finding.severity).max();
    match () {
        () if fail_on.is_some_and(|limit| worst >= Some(limit)) => FAILED,
        () if view.capture.counters.lost.matters() || !stored => LOST,
        () => 0,
    }
}

/// Writes what was found; `false` when it could not be kept, which never keeps the report from being printed.
fn store(path: &Path, run: &str, view: &View, messages: Vec<MessageRow>) -> bool {
    match setup::write(path, run, view, messages) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("shadowtap: nothing was stored: {error:#}; `--store none` replays without a store");
            false
        }
    }
}

/// Sends what was found to the sinks that are far away; `false` when it is neither there nor kept for later, which never
/// keeps the report from being printed.
fn send(loaded: &Loaded, sinks: Vec<Setting>, run: &str, view: &View, messages: &[MessageRow]) -> bool {
    let mut hub = Hub::default();
    let started = Far::load(loaded).map_err(anyhow::Error::from);
    let started = started.map(|far| far.with_sinks(sinks, None, None));
    match started.and_then(|far| far.start(&mut hub, run, Pressure::Wait)) {
        Ok(()) => {
            let said = |row: &MessageRow| hub.send(&Event::Message(Box::new(row.clone())));
            messages.iter().for_each(said);
            Sinks::new(hub).close(view, SEND_GRACE)
        }
        Err(error) => {
            eprintln!("shadowtap: nothing was sent: {error:#}");
            false
        }
    }
}

/// The same capture is the same run, so that a replay counts once however often it is repeated.
fn run_of(view: &View, args: &Args) -> String {
    let capture = &view.capture;
    let identity = format!(
        "{:?} {} {} {:?} {:?} {:?}",
        capture.seen, capture.counters.packets, capture.counters.bytes, args.bpf, args.since, args.until
    );
    let digest = Sha256::digest(identity.as_bytes());
    digest
        .iter()
        .take(8)
        .fold("replay-".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub(super) fn print(view: &View, format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Csv => csv::write(&mut out, view)?,
        Format::Html => html::file::write(&mut out, &Memory::new(view))?,
        Format::Json => object::write(&mut out, view)?,
        Format::Ndjson => ndjson::write(&mut out, view)?,
        Format::Table => out.write_all(table::render(view, terminal_style()).as_bytes())?,
    }
    out.flush()
}

/// On a terminal only, and only when it takes long enough to be asked about.
fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {binary_bytes_per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
