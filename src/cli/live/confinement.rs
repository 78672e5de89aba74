//! What a live sensor needs once its interfaces are open, as files, ports and rights: everything else it gives up.
//!
//! Folders stand for the files in them: whoever changes a file puts a new one in its place, and SQLite and key logs make
//! files beside the one that is named.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::far::Far;
use crate::cli::live::Args;
use crate::cli::serve;
use crate::config::load::Loaded;
use crate::confine::{Confined, Plan};
use crate::store::sqlite;

/// Gives up everything that this run does not need, and says what is in force; `None` when it is to keep its rights. To be
/// called while there is one thread.
///
/// # Errors
/// When a folder of ours cannot be made, or the system refuses.
pub(super) fn enter(
    args: &Args,
    loaded: &Loaded,
    store: Option<&Path>,
    far: &Far<'_>,
) -> anyhow::Result<Option<Confined>> {
    let run = &loaded.config.run;
    if args.no_confine || !run.confine {
        return Ok(None);
    }
    let mut plan = plan(args, loaded, store);
    far.plan(&mut plan);
    plan.prepare()?;
    if let Some(folder) = plan.write.first() {
        // The folders for temporary files that are usual are not ours to write in any more.
        sqlite::keep_temporary_files_in(folder).context("cannot set the folder of temporary files")?;
    }
    Ok(Some(plan.apply()?))
}

fn plan(args: &Args, loaded: &Loaded, store: Option<&Path>) -> Plan {
    let rulebook = args.rules.rulebook(loaded).unwrap_or_default();
    let pins = Some(rulebook.pins_file).filter(|file| file.exists());
    let files = [
        loaded.file.clone(),
        rulebook.policy_file,
        pins,
        loaded.privacy_key_file(),
    ];
    let mut read: Vec<PathBuf> = files.into_iter().flatten().map(|file| around(&file)).collect();
    read.extend(loaded.keylogs(&args.keylog).iter().map(|log| around(log)));
    read.extend(loaded.signature_dirs());
    // Tokens of the web page are read again when they change.
    read.extend(
        loaded
            .config
            .web
            .tokens
            .as_deref()
            .map(|tokens| around(&loaded.beside(tokens))),
    );
    if let Some(store) = store.filter(|_| args.web.or(loaded.config.web.listen).is_some()) {
        read.push(around(&serve::tokens_path(None, loaded, store)));
    }
    let run = &loaded.config.run;
    Plan {
        user: run.user.clone(),
        capture: run.reopen,
        read,
        write: store.into_iter().map(folder).collect(),
        ..Plan::default()
    }
}

/// The folder that a file is in.
fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The folder that a file is in, or the file alone where that would be all files there are.
fn around(file: &Path) -> PathBuf {
    let folder = folder(file);
    let all = folder.canonicalize().is_ok_and(|folder| folder == Path::new("/"));
    if all { file.to_owned() } else { folder }
}
