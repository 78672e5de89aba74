//! `shadowtap host-watch`: what `live --host` starts beside itself to look at processes and sockets of this machine. It sees
//! no packet, reads /proc and writes what it saw to its standard output.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crate::confine::Plan;
use crate::host;

/// Looks at processes and sockets of this machine, for `live --host`.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// Between two looks
    #[arg(long, value_name = "MILLISECONDS")]
    interval_ms: u64,
    /// User to become
    #[arg(long)]
    user: Option<String>,
    /// Keep all rights
    #[arg(long)]
    no_confine: bool,
}

/// Runs the command until nobody reads what it writes.
///
/// # Errors
/// When rights cannot be given up.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.no_confine {
        let plan = Plan {
            user: args.user.clone(),
            processes: true,
            ..Plan::default()
        };
        plan.apply()?;
    }
    // The sensor has ended.
    let _ = host::watch(&mut io::stdout().lock(), Duration::from_millis(args.interval_ms));
    Ok(ExitCode::SUCCESS)
}
