//! `shadowtap interfaces`: lists capture interfaces and whether this user may capture on them.

use std::process::ExitCode;

use crate::source::interfaces;

/// Lists capture interfaces and whether you may capture on them.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints one line per interface.
///
/// # Errors
/// When the interfaces cannot be listed.
pub fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    for interface in interfaces::list()? {
        println!("{interface}");
    }
    Ok(ExitCode::SUCCESS)
}
