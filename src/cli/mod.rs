//! The command line: one file per command of the contract.

pub mod approve;
mod atomic;
mod audit;
pub mod check;
mod far;
pub mod findings;
mod generate;
mod host_watch;
pub mod interfaces;
pub mod live;
mod observed;
pub mod pin;
pub mod purge;
pub mod replay;
pub mod report;
pub mod schema;
pub mod serve;
pub mod setup;
pub mod signatures;
mod sinks;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::source::SourceError;

/// shadowtap: finds every MCP server on the wire, above all the ones nobody approved.
///
/// It only listens: it never sends a packet on a monitored network, and never keeps a secret that it finds.
#[derive(Debug, Parser)]
#[command(name = "shadowtap", version, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  shadowtap replay office.pcapng                 who runs MCP here, and what is wrong with it
  shadowtap replay a.pcap b.pcap.zst --format json --fail-on high
  shadowtap live -i eth0                         the same from a SPAN port, kept in the store
  shadowtap report servers --unapproved --since 7d
  shadowtap serve                                the same as a web page: http://127.0.0.1:8470/

Exit codes: 0 done; 1 with --fail-on, such a finding was made; 2 wrong usage or configuration;
3 input unreadable; 4 finished, but data was lost.";

#[derive(Debug, Subcommand)]
enum Command {
    Approve(approve::Args),
    Check(check::Args),
    Findings(findings::Args),
    Generate(generate::Args),
    HostWatch(host_watch::Args),
    Interfaces(interfaces::Args),
    Live(live::Args),
    Pin(pin::Args),
    Purge(purge::Args),
    Replay(replay::Args),
    Report(report::ReportArgs),
    Schema(schema::Args),
    Serve(serve::Args),
    Signatures(signatures::Args),
}

/// Runs the command line. Errors go to standard error, each with its cure.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match &cli.command {
        Command::Approve(args) => approve::run(args),
        Command::Check(args) => check::run(args),
        Command::Findings(args) => findings::run(args),
        Command::Generate(args) => generate::run(args, Cli::command()),
        Command::HostWatch(args) => host_watch::run(args),
        Command::Interfaces(args) => interfaces::run(args),
        Command::Live(args) => live::run(args),
        Command::Pin(args) => pin::run(args),
        Command::Purge(args) => purge::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Report(args) => report::run(args).map(ExitCode::from),
        Command::Schema(args) => schema::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Signatures(args) => signatures::run(args),
    };
    result.unwrap_or_else(|error| {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::BrokenPipe
        {
            // Whoever read the output has seen enough.
            return ExitCode::SUCCESS;
        }
        eprintln!("shadowtap: {error:#}");
        ExitCode::from(exit_code(&error))
    })
}

/// Exit code of an error: 3 for input that cannot be read, else 2, also for a wrong filter.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<SourceError>() {
        None | Some(SourceError::Filter { .. }) => 2,
        Some(SourceError::Damaged { .. } | SourceError::Unreadable { .. }) => 3,
    }
}
