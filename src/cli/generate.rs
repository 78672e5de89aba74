//! `shadowtap generate`: manual pages and completions from the command line as it is, for packages.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::Shell;

/// Writes manual pages or shell completions into a folder.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    /// What to write
    #[arg(value_enum)]
    what: What,
    /// Folder; it is made when it is not there
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// For bash, fish and zsh
    Completions,
    /// One page for each command
    Man,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    let folder = || args.folder.display().to_string();
    fs::create_dir_all(&args.folder).with_context(folder)?;
    match args.what {
        What::Completions => {
            for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
                clap_complete::generate_to(shell, &mut command, "shadowtap", &args.folder).with_context(folder)?;
            }
        }
        What::Man => clap_mangen::generate_to(command, &args.folder).with_context(folder)?,
    }
    Ok(ExitCode::SUCCESS)
}
