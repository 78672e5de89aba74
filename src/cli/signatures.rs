//! `shadowtap signatures`: lists rules, checks them, runs them over a text or a capture, takes rules of other programs.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::setup::{self, Rules};
use crate::detect::signature::{Signatures, import};
use crate::engine::Shared;
use crate::engine::replay::{Input, replay};
use crate::model::finding::Kind;
use crate::report::display;

/// Input that cannot be read.
const UNREADABLE: u8 = 3;
/// Longest text that `test` reads.
const TEXT_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// First bytes of captures, packed or not: pcap in both byte orders and resolutions, pcapng, gzip, zstd.
const CAPTURES: [&[u8]; 7] = [
    &[0xa1, 0xb2, 0xc3, 0xd4],
    &[0xd4, 0xc3, 0xb2, 0xa1],
    &[0xa1, 0xb2, 0x3c, 0x4d],
    &[0x4d, 0x3c, 0xb2, 0xa1],
    &[0x0a, 0x0d, 0x0d, 0x0a],
    &[0x1f, 0x8b],
    &[0x28, 0xb5, 0x2f, 0xfd],
];

/// Lists, checks and tries signatures, and takes rules of other programs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    rules: Rules,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Lists every rule in force: id, kind, severity, confidence, where it stands, what it finds
    List,
    /// Compiles every rule, runs its examples, and warns of slow ones
    Check,
    /// Runs the rules over a text or a capture; shows rules and places, never a value
    Test {
        /// A text, or a capture as `replay` reads it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Prints the rules of another program as a signature file
    Import {
        /// Form of the file
        #[arg(value_enum, value_name = "FORM")]
        form: Form,
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Forms that `import` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// TOML of gitleaks.
    Gitleaks,
}

/// Runs the command.
///
/// # Errors
/// When the output cannot be written, or a capture cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Import { form, file } => take(*form, file),
        Action::Test { file } => test(&args.rules, file),
        Action::List => with_signatures(&args.rules, list),
        Action::Check => with_signatures(&args.rules, check),
    }
}

fn with_signatures(rules: &Rules, what: fn(&Signatures) -> io::Result<u8>) -> anyhow::Result<ExitCode> {
    match setup::load(rules) {
        Some((_, ruleset)) => Ok(ExitCode::from(what(&ruleset.signatures)?)),
        None => Ok(ExitCode::from(setup::WRONG)),
    }
}

fn list(signatures: &Signatures) -> io::Result<u8> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for rule in signatures.listed() {
        let severity = rule.severity.map_or("-", |severity| severity.word());
        let confidence = rule
            .confidence
            .map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"));
        writeln!(
            out,
            "{:<32} {:<9} {severity:<9} {confidence:<5} {}:{}  {}",
            rule.id,
            rule.table,
            rule.file.display(),
            rule.line,
            rule.title
        )?;
    }
    out.flush()?;
    Ok(0)
}

fn check(signatures: &Signatures) -> io::Result<u8> {
    let defects = signatures.check();
    for defect in &defects {
        writeln!(io::stderr(), "{defect}")?;
    }
    for warning in signatures.warnings() {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    if !defects.is_empty() {
        return Ok(setup::WRONG);
    }
    writeln!(
        io::stdout(),
        "{} rules, as their examples say",
        signatures.listed().len()
    )?;
    Ok(0)
}

fn test(rules: &Rules, file: &Path) -> anyhow::Result<ExitCode> {
    let Some((loaded, ruleset)) = setup::load(rules) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).and_then(|open| open.take(TEXT_MAX_BYTES).read_to_end(&mut bytes));
    if let Err(error) = opened {
        eprintln!("shadowtap: {}: {error}", file.display());
        return Ok(ExitCode::from(UNREADABLE));
    }
    let lines = if CAPTURES.iter().any(|start| bytes.starts_with(start)) {
        let shared = Arc::new(Shared::new(setup::settings(&loaded), ruleset));
        in_capture(&shared, file)?
    } else {
        in_text(&ruleset.signatures, file, &String::from_utf8_lossy(&bytes))
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in &lines {
        writeln!(out, "{}", display::terminal(line))?;
    }
    out.flush().context("cannot write what was found")?;
    Ok(ExitCode::SUCCESS)
}

fn in_text(signatures: &Signatures, file: &Path, text: &str) -> Vec<String> {
    let found = signatures.matches_in(text);
    found
        .iter()
        .map(|found| {
            let sample = found
                .sample
                .as_ref()
                .map_or_else(String::new, |sample| format!(" ({sample})"));
            format!(
                "{}:{}:{}: {}: {}{sample}",
                file.display(),
                found.line,
                found.column,
                found.rule,
                found.title
            )
        })
        .collect()
}

/// Findings that rest on a rule.
fn in_capture(shared: &Arc<Shared>, file: &Path) -> anyhow::Result<Vec<String>> {
    let input = Input {
        files: vec![file.display().to_string()],
        ..Input::default()
    };
    let view = replay(shared, &input, 1, &mut |_, _| {})?.view;
    let of_rules = |kind: Kind| {
        matches!(
            kind,
            Kind::InjectionInResult
                | Kind::KnownMalicious
                | Kind::KnownVulnerable
                | Kind::PiiInTransit
                | Kind::RegistryLookup
                | Kind::RemoteEndpoint
                | Kind::SecretInTransit
                | Kind::TokenInUrl
                | Kind::ToolPoisoning
                | Kind::TunnelExposure
        )
    };
    let findings = view.findings.iter().map(|reported| &reported.finding);
    Ok(findings
        .filter(|finding| of_rules(finding.key.kind))
        .map(|finding| {
            let packet = finding.seen.first.packet;
            let place = finding.key.place.as_deref().unwrap_or("-");
            format!(
                "{}: packet {packet}: {}: {} at {place}, {} times",
                file.display(),
                finding.key.rule,
                finding.title,
                finding.count
            )
        })
        .collect())
}

fn take(form: Form, file: &Path) -> anyhow::Result<ExitCode> {
    let Form::Gitleaks = form;
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("shadowtap: {}: {error}", file.display());
            return Ok(ExitCode::from(UNREADABLE));
        }
    };
    let imported = match import::gitleaks(file, &text) {
        Ok(imported) => imported,
        Err(defect) => {
            eprintln!("{defect}");
            return Ok(ExitCode::from(setup::WRONG));
        }
    };
    for (id, why) in &imported.left_out {
        eprintln!("shadowtap: {id} is left out: {why}");
    }
    io::stdout().write_all(imported.text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
