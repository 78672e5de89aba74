//! `shadowtap schema`: what others build on, printed: the events that sinks get, and what becomes of them in other formats.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::sink::siem::schema;

/// Prints the schemas of what leaves this program.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// JSON Schema of every event that sinks get, by the word of the event
    #[arg(long)]
    pub events: bool,
    /// What becomes of an event's fields in ECS, OCSF, CEF and LEEF, as a table
    #[arg(long)]
    pub mapping: bool,
    /// One event of each kind of finding and of each other event, a line each
    #[arg(long)]
    pub samples: bool,
}

/// Runs the command.
///
/// # Errors
/// Output that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = if args.events {
        format!("{:#}\n", schema::all())
    } else if args.mapping {
        schema::mapping::table()
    } else {
        schema::SAMPLES.to_owned()
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
