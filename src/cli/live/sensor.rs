//! A running sensor as its edge sees it: the capture, the store, and what people were told.
//!
//! Everything here may take its time: no packet waits for it. It looks at the inventory every few seconds, sends the
//! store what has changed, and names servers when they are first seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::cli::live::ledger::Ledger;
use crate::cli::setup::{self, now};
use crate::config::load::Loaded;
use crate::detect::panel::Ruleset;
use crate::engine::Shared;
use crate::engine::live::Live;
use crate::engine::review::review;
use crate::model::counters::Counters;
use crate::model::server::{Server, View};
use crate::report::display::terminal;
use crate::sink::runner::{self, Pressure, Runner};
use crate::store::sqlite::{Retention, Writer};

/// Servers that are named in one round; of more only the number is told.
const TOLD_MAX_SERVERS: usize = 10;

/// Pause before the store's full queue is tried again when stopping.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// What a sensor leaves behind.
pub(super) struct Finished {
    /// Everything that was seen.
    pub(super) view: View,
    /// Whether nothing was lost that no counter tells: an interface, a worker, records for the store.
    pub(super) whole: bool,
}

/// See the module.
pub(super) struct Sensor {
    shared: Arc<Shared>,
    live: Option<Live>,
    whole: bool,
    store: Option<Store>,
    /// Counters of the last round: without a new packet there is nothing new.
    last: Counters,
    told: BTreeSet<String>,
}

/// The store's side.
struct Store {
    path: PathBuf,
    run: String,
    runner: Runner,
    ledger: Ledger,
    whole: bool,
    /// The inventory has forgotten since the last round.
    forgot: bool,
    /// Events that the runner took.
    sent: u64,
    retention: Retention,
    pruning: Option<JoinHandle<()>>,
    grace: Duration,
    /// Losses that were told.
    told: u64,
}

impl Sensor {
    /// Opens the store, if there is to be one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn new(shared: &Arc<Shared>, path: Option<PathBuf>, loaded: &Loaded) -> anyhow::Result<Self> {
        Ok(Self {
            shared: Arc::clone(shared),
            live: None,
            whole: true,
            store: path.map(|path| Store::open(path, loaded)).transpose()?,
            last: Counters::default(),
            told: BTreeSet::new(),
        })
    }

    /// Takes over a capture. `whole` is whether all interfaces are in it.
    pub(super) fn begin(&mut self, live: Live, whole: bool) {
        (self.live, self.whole) = (Some(live), whole);
    }

    /// Goes on under other rules: what is known is judged anew.
    pub(super) fn adopt(&mut self, rules: Ruleset) {
        let rules = Ruleset {
            // What was fingerprinted before is still to be recognised.
            fingerprints: self.shared.rules.fingerprints.clone(),
            ..rules
        };
        self.shared = Arc::new(self.shared.under(rules));
        if let Some(live) = &self.live {
            live.adopt(&self.shared);
        }
        // The next round is due although nothing may have been captured.
        self.last = Counters::default();
    }

    /// Where the store is.
    pub(super) fn path(&self) -> Option<&Path> {
        self.store.as_ref().map(|store| store.path.as_path())
    }

    /// Tells what the threads complain of.
    pub(super) fn hear(&mut self) {
        for failure in self.live.as_mut().map(Live::hear).unwrap_or_default() {
            eprintln!("shadowtap: {failure}");
        }
    }

    /// Whether every source has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.live.as_ref().is_none_or(Live::has_ended)
    }

    /// Whether any source ever worked.
    pub(super) fn has_worked(&self) -> bool {
        self.live.as_ref().is_some_and(Live::has_worked)
    }

    /// Looks at what is known: names new servers, and sends the store what has changed.
    pub(super) fn round(&mut self) {
        let Some(live) = &self.live else { return };
        let capture = live.capture();
        let settled = self.store.as_ref().is_none_or(|store| store.whole);
        if capture.counters == self.last && settled {
            return;
        }
        self.last = capture.counters;
        let view = review(&self.shared, capture);
        self.announce(&view);
        if let Some(store) = &mut self.store {
            store.settle(&view);
        }
    }

    fn announce(&mut self, view: &View) {
        let fresh: Vec<&Server> = view
            .servers
            .iter()
            .filter(|server| !self.told.contains(&server.id))
            .collect();
        for server in fresh.iter().take(TOLD_MAX_SERVERS) {
            eprintln!("shadowtap: {}", first_words(server));
        }
        if let Some(more @ 1..) = fresh.len().checked_sub(TOLD_MAX_SERVERS) {
            eprintln!("shadowtap: and {more} other MCP servers; `shadowtap report servers` names them");
        }
        self.told = view.servers.iter().map(|server| server.id.clone()).collect();
    }

    /// Forgets what is too old, here and in the store.
    pub(super) fn clean(&mut self) {
        let keep = self.shared.settings.inventory.keep_nanos();
        self.shared.inventory.forget(now().plus_nanos(keep.saturating_neg()));
        if let Some(store) = &mut self.store {
            store.forgot = true;
            store.prune();
        }
    }

    /// One line of statistics.
    pub(super) fn statistics(&mut self) -> String {
        self.hear();
        let Some(live) = &self.live else { return String::new() };
        let counters = live.capture().counters;
        let stored = self.store.as_ref().map(|store| store.runner.tally());
        format!(
            "packets: {}, bytes: {}, flows: {}, messages: {}, servers: {}; dropped by the kernel: {}, before a busy worker: \
             {}; records stored: {}, lost: {}",
            counters.packets,
            counters.bytes,
            counters.flows,
            counters.messages,
            self.told.len(),
            counters.lost.kernel_drops,
            counters.lost.queue_drops,
            stored.as_ref().map_or(0, |tally| tally.delivered),
            stored.as_ref().map_or(0, |tally| tally.rejected + tally.undelivered),
        )
    }

    /// From left to right: stops the sources, ends the flows, looks once more, and empties the queue of the store.
    pub(super) fn finish(mut self) -> Finished {
        let capture = match &mut self.live {
            Some(live) => {
                for failure in live.stop() {
                    eprintln!("shadowtap: {failure}");
                }
                self.whole &= !live.has_failed();
                live.capture()
            }
            None => Default::default(),
        };
        let view = review(&self.shared, capture);
        self.announce(&view);
        let stored = self.store.is_none_or(|store| store.close(&view));
        Finished {
            view,
            whole: self.whole && stored,
        }
    }
}

impl Store {
    fn open(path: PathBuf, loaded: &Loaded) -> anyhow::Result<Self> {
        let run = format!("live-{}-{}", now(), hostname());
        let writer = Writer::open(&path, &run)?;
        let grace = loaded.config.live.shutdown_grace_ms;
        let config = runner::Config {
            drain_grace_ms: grace,
            ..runner::Config::default()
        };
        Ok(Self {
            runner: Runner::start(Box::new(writer), config, Pressure::Shed)?,
            path,
            run,
            ledger: Ledger::default(),
            whole: true,
            forgot: false,
            sent: 0,
            retention: loaded.config.store.retention.clone(),
            pruning: None,
            grace: Duration::from_millis(grace),
            told: 0,
        })
    }

    /// Sends what has changed, as far as there is room.
    fn settle(&mut self, view: &View) {
        let (runner, sent) = (&self.runner, &mut self.sent);
        let forgot = std::mem::take(&mut self.forgot);
        self.whole = self.ledger.settle(setup::events(view), forgot, |event| {
            let shed = runner.tally().shed;
            runner.send(event);
            let taken = runner.tally().shed == shed;
            *sent += u64::from(taken);
            taken
        });
        let tally = self.runner.tally();
        // What is still in the queue could write again what is taken back here.
        if tally.delivered + tally.rejected + tally.undelivered == self.sent {
            withdraw(&self.path, &self.run, &mut self.ledger);
        }
        let lost = tally.rejected + tally.undelivered;
        if lost > self.told {
            eprintln!(
                "shadowtap: {} records could not be written to {}; check the disk and the store",
                lost - self.told,
                self.path.display()
            );
            self.told = lost;
        }
    }

    /// Forgets by retention, on a thread of its own: rewriting a large store takes a while.
    fn prune(&mut self) {
        if self.pruning.as_ref().is_some_and(|pruning| !pruning.is_finished()) {
            return;
        }
        let (path, run, retention) = (self.path.clone(), self.run.clone(), self.retention.clone());
        let prune = move || {
            let pruned = Writer::open(&path, &run).and_then(|mut writer| writer.prune(now(), &retention));
            match pruned {
                Ok(pruned) if pruned.early > 0 || pruned.excess_bytes > 0 => eprintln!(
                    "shadowtap: {} is full: {} records went before their time; raise store.retention.max_bytes",
                    path.display(),
                    pruned.early
                ),
                Ok(_) => {}
                Err(error) => eprintln!("shadowtap: retention: {error}"),
            }
        };
        self.pruning = thread::Builder::new().name("retention".to_owned()).spawn(prune).ok();
    }

    /// Sends what is left and waits for it, within the grace. Whether everything has arrived.
    fn close(mut self, view: &View) -> bool {
        let mut pauses = self.grace.as_millis() / FULL_PAUSE.as_millis();
        self.settle(view);
        while !self.whole && pauses > 0 {
            pauses -= 1;
            thread::sleep(FULL_PAUSE);
            self.settle(view);
        }
        let Self {
            path,
            run,
            mut ledger,
            runner,
            whole,
            ..
        } = self;
        let tally = runner.close();
        withdraw(&path, &run, &mut ledger);
        let arrived = whole && tally.rejected + tally.undelivered == 0 && ledger.gone.is_empty();
        if !arrived {
            let why = tally.last_error.unwrap_or_else(|| "it is too slow".to_owned());
            eprintln!("shadowtap: not everything is in {}: {why}", path.display());
        }
        arrived
    }
}

/// Takes back what turned out to be part of another record. What fails is tried again with the next round.
fn withdraw(path: &Path, run: &str, ledger: &mut Ledger) {
    let gone = &ledger.gone;
    if !gone.is_empty()
        && Writer::open(path, run)
            .and_then(|mut writer| writer.withdraw(gone))
            .is_ok()
    {
        ledger.gone.clear();
    }
}

/// What is told of a server that is new.
fn first_words(server: &Server) -> String {
    let name = server
        .server_name
        .as_deref()
        .map_or_else(|| "without a name".to_owned(), |name| terminal(name).to_string());
    let transport = server
        .transports
        .first()
        .map_or("unknown", |transport| transport.word());
    let approval = match &server.approval {
        Some(rule) => format!("approved by {rule}"),
        None => "not approved".to_owned(),
    };
    format!("MCP server seen: {name}, {}, {transport}, {approval}", server.endpoint)
}

/// What tells the runs of several sensors apart in one store.
fn hostname() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
