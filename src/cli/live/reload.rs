//! SIGHUP: what can change while a sensor runs is taken on whole or not at all; what cannot is named by its key.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::live::Args;
use crate::cli::live::sensor::Sensor;
use crate::cli::setup;
use crate::config::load::Loaded;
use crate::engine::keylog;
use crate::log;
use crate::stream::secrets::Secrets;

/// Keys that a reload takes on; a key that begins with one of them, too.
const TAKEN_ON: [&str; 2] = ["policy.", "signatures."];
/// Key logs may be added.
const KEYLOG: &str = "tls.keylog";

/// What was taken on so far.
pub(super) struct Reload<'a> {
    args: &'a Args,
    /// As the sensor was started.
    before: &'a Loaded,
    secrets: Option<Arc<Secrets>>,
    followed: Vec<PathBuf>,
}

impl<'a> Reload<'a> {
    pub(super) fn new(args: &'a Args, before: &'a Loaded, secrets: Option<Arc<Secrets>>) -> Self {
        Self {
            args,
            before,
            secrets,
            followed: before.keylogs(&args.keylog),
        }
    }

    /// Takes on policy, pins, signatures and new key logs as they are now. Wrong ones are told, and those before stay in
    /// force.
    pub(super) fn run(&mut self, sensor: &mut Sensor) {
        let Some((loaded, ruleset)) = setup::load(&self.args.rules) else {
            log::error("reload", "not reloaded; the rules from before stay in force");
            return;
        };
        sensor.adopt(ruleset);
        let mut open: Vec<String> = self.before.config.changed(&loaded.config);
        open.retain(|key| !TAKEN_ON.iter().any(|taken| key.starts_with(taken)));
        let followed = self.follow(&loaded);
        if followed {
            open.retain(|key| key != KEYLOG);
        }
        let rest = match &*open.join(", ") {
            "" => String::new(),
            keys => format!("; changed as well, and in force only after a new start: {keys}"),
        };
        log::info("reload", format_args!("policy and signatures are reloaded{rest}"));
    }

    /// Follows key logs that are named now and were not before; whether that is all that changed about them.
    fn follow(&mut self, loaded: &Loaded) -> bool {
        let named = loaded.keylogs(&self.args.keylog);
        let all = self.followed.iter().all(|old| named.contains(old));
        let new: Vec<PathBuf> = named.into_iter().filter(|log| !self.followed.contains(log)).collect();
        let Some(secrets) = &self.secrets else {
            return new.is_empty() && all;
        };
        // A folder that was not there to be read at the start is closed by now.
        let may = |log: &PathBuf| {
            let found = std::fs::File::open(log);
            found.is_ok() || found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        if !new.iter().all(may) || keylog::follow(new.clone(), secrets).is_err() {
            return false;
        }
        self.followed.extend(new);
        all
    }
}
