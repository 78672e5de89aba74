//! The audit log of the store: what people did, and who they are.

use std::path::Path;

use crate::cli::setup::{now, store_path};
use crate::config::load::Loaded;
use crate::store::sqlite::{Deed, Writer};

/// Notes what was done in the store that a command used, if it is there. What cannot be noted is told: it is done already.
pub(super) fn note(store: Option<&Path>, loaded: &Loaded, what: &str, about: String) {
    let Some(path) = store_path(store, loaded).filter(|path| path.exists()) else {
        return;
    };
    let deed = Deed {
        at: now(),
        who: who(),
        what: what.to_owned(),
        about,
    };
    if let Err(error) = Writer::open(&path, "audit").and_then(|mut store| store.audit(&deed)) {
        eprintln!("shadowtap: it is done, and the audit log does not know: {error}");
    }
}

/// The user at the keyboard: behind `sudo`, who called it.
pub(super) fn who() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    names
        .filter_map(|name| std::env::var(name).ok())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
