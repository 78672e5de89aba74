//! `shadowtap schema`: what others build on, printed: the events that sinks get, what becomes of them in other formats, and
//! the tables of ClickHouse.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::load::Loaded;
use crate::sink::siem::schema;
use crate::store::clickhouse;

/// Prints the schemas of what leaves this program.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// With --print: name of the cluster [default: as configured, else a single node]
    #[arg(long, value_name = "NAME", requires = "print")]
    pub cluster: Option<String>,
    /// Configuration file [default: shadowtap.toml, else /etc/shadowtap/shadowtap.toml]
    #[arg(long, value_name = "FILE", requires = "print")]
    pub config: Option<PathBuf>,
}

/// What to print.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// JSON Schema of every event that sinks get, by the word of the event
    #[arg(long)]
    events: bool,
    /// What becomes of an event's fields in ECS, OCSF, CEF and LEEF, as a table
    #[arg(long)]
    mapping: bool,
    /// One event of each kind of finding and of each other event, a line each
    #[arg(long)]
    samples: bool,
    /// Statements that make the tables and views of ClickHouse, for an administrator to apply
    #[arg(long)]
    print: bool,
}

/// Runs the command.
///
/// # Errors
/// A configuration that is wrong, or output that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = if args.what.print {
        tables(args)?
    } else if args.what.events {
        format!("{:#}\n", schema::all())
    } else if args.what.mapping {
        schema::mapping::table()
    } else {
        schema::SAMPLES.to_owned()
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The statements, each with its semicolon.
fn tables(args: &Args) -> anyhow::Result<String> {
    let mut config = Loaded::load(args.config.as_deref())?.config.clickhouse;
    config.cluster = args.cluster.clone().or(config.cluster);
    config
        .check_names()
        .map_err(|(key, what, cure)| anyhow::anyhow!("{key}: {what}; {cure}"))?;
    let layout = config.layout();
    let statements = clickhouse::statements(&layout).join(";\n\n");
    Ok(format!(
        "{};\n\nUSE `{}`;\n\n{statements};\n",
        clickhouse::database(&layout),
        layout.database
    ))
}
