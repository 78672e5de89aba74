//! A running sensor as its edge sees it: the capture, the store, and what people were told.
//!
//! Everything here may take its time: no packet waits for it. It looks at the inventory every few seconds, sends the
//! store what has changed, and names servers when they are first seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::cli::far::Far;
use crate::cli::live::health::Checkup;
use crate::cli::setup::{hostname, now};
use crate::cli::sinks::Sinks;
use crate::config::load::Loaded;
use crate::detect::panel::Ruleset;
use crate::engine::Shared;
use crate::engine::hosting::Hosting;
use crate::engine::live::{Condition, Live};
use crate::engine::review::{Edge, review_with};
use crate::host::{Host, Snapshot};
use crate::log;
use crate::metrics::Found;
use crate::model::counters::Counters;
use crate::model::event::Event;
use crate::model::message_seen::MessageSeen;
use crate::model::server::{Capture, Server, View};
use crate::report::display::terminal;
use crate::sink::hub::Hub;
use crate::sink::runner::{self, Pressure, Runner, Tally};
use crate::store::sqlite::{Retention, Writer};
use crate::stream::secrets::Secrets;

/// Servers that are named in one round; of more only the number is told.
const TOLD_MAX_SERVERS: usize = 10;

/// How long messages wait for the proof that MCP is spoken where they were said, in nanoseconds of packet time.
const WAIT_NANOS: i64 = 60_000_000_000;

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
    sinks: Sinks,
    grace: Duration,
    /// Counters of the last round: without a new packet there is nothing new.
    last: Counters,
    told: BTreeSet<String>,
    found: Found,
    checkup: Checkup,
    host: Option<Host>,
    hosting: Hosting,
    /// What the host showed at the last round.
    looked: Option<Arc<Snapshot>>,
    /// Messages whose server is not proven yet.
    waiting: Vec<MessageSeen>,
}

/// The embedded store's file.
struct Store {
    path: PathBuf,
    run: String,
    retention: Retention,
    pruning: Option<JoinHandle<()>>,
}

impl Sensor {
    /// Opens the store, if there is to be one, and the other sinks.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub(super) fn new(
        shared: &Arc<Shared>,
        path: Option<PathBuf>,
        far: Far<'_>,
        loaded: &Loaded,
    ) -> anyhow::Result<Self> {
        let mut hub = Hub::default();
        let run = format!("live-{}-{}", now(), hostname());
        let store = path.map(|path| Store::open(path, &run, loaded, &mut hub)).transpose()?;
        far.start(&mut hub, &run, Pressure::Shed)?;
        Ok(Self {
            shared: Arc::clone(shared),
            live: None,
            whole: true,
            store,
            sinks: Sinks::new(hub),
            grace: Duration::from_millis(loaded.config.live.shutdown_grace_ms),
            last: Counters::default(),
            told: BTreeSet::new(),
            found: Found::default(),
            checkup: Checkup::default(),
            host: None,
            hosting: Hosting::default(),
            looked: None,
            waiting: Vec::new(),
        })
    }

    /// Key material of this run.
    pub(super) fn secrets(&self) -> Option<Arc<Secrets>> {
        self.shared.settings.secrets.clone()
    }

    /// Takes over a capture. `whole` is whether all interfaces are in it.
    pub(super) fn begin(&mut self, live: Live, whole: bool, host: Option<Host>) {
        (self.live, self.whole, self.host) = (Some(live), whole, host);
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

    /// Tells what the threads and the sinks complain of.
    pub(super) fn hear(&mut self) {
        self.sinks.hear();
        for failure in self.live.as_mut().map(Live::hear).unwrap_or_default() {
            log::warning("capture", failure);
        }
        if let Some(seen) = self.host.as_ref().and_then(Host::first_look) {
            let sockets: usize = seen.spaces.iter().map(|space| space.listeners.len()).sum();
            let (processes, spaces) = (seen.programs.len(), seen.spaces.len());
            let told = format_args!(
                "looking at {processes} processes and {sockets} listening sockets in {spaces} network namespaces"
            );
            log::info("host", told);
        }
        if self.host.take_if(|host| host.is_gone()).is_some() {
            log::error(
                "host",
                "whoever looks at this machine's processes has ended; start the sensor again",
            );
        }
    }

    /// What was captured, and how the capture is.
    pub(super) fn condition(&self) -> (Capture, Condition) {
        let live = self.live.as_ref();
        live.map(|live| (live.capture(), live.condition())).unwrap_or_default()
    }

    /// What became of the events for each sink.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        self.sinks.tallies()
    }

    /// What was found as of the last round.
    pub(super) const fn found(&self) -> &Found {
        &self.found
    }

    /// A minute is over: what the sensor finds out about itself, and a sign of life for whoever listens.
    pub(super) fn minute(&mut self) {
        let (capture, condition) = self.condition();
        if self
            .checkup
            .look(now(), &capture, &condition.interfaces, &self.tallies())
        {
            // The next round is due although nothing may have been captured.
            self.last = Counters::default();
        }
        self.sinks.repeat(&Event::Capture(Box::new(capture)));
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
        let Some(live) = &mut self.live else { return };
        let capture = live.capture();
        let looked = self.host.as_ref().and_then(Host::seen);
        let same = match (&looked, &self.looked) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (one, two) => one.is_none() && two.is_none(),
        };
        if capture.counters == self.last && self.sinks.whole() && same {
            return;
        }
        self.looked = looked;
        self.last = capture.counters;
        self.waiting.append(&mut live.take_messages());
        let view = self.review(capture);
        self.announce(&view);
        self.found = Found::of(&view);
        self.give_up_waiting(&view);
        self.sinks.say(&view.messages);
        self.sinks.settle(&view);
    }

    /// Most of what waits for long is JSON-RPC of something else.
    fn give_up_waiting(&mut self, view: &View) {
        let before = view.now().plus_nanos(-WAIT_NANOS);
        self.waiting.retain(|seen| seen.at.time >= before);
        let over = self.waiting.len().saturating_sub(self.shared.settings.messages_max);
        self.waiting.drain(..over);
    }

    fn review(&mut self, capture: Capture) -> View {
        let seen = self.host.as_ref().and_then(Host::seen);
        let edge = Edge {
            findings: self.checkup.findings(),
            host: seen.as_deref().map(|seen| (&mut self.hosting, seen, now())),
        };
        review_with(&self.shared, capture, &mut self.waiting, edge)
    }

    fn announce(&mut self, view: &View) {
        let fresh: Vec<&Server> = view
            .servers
            .iter()
            .filter(|server| !self.told.contains(&server.id))
            .collect();
        for server in fresh.iter().take(TOLD_MAX_SERVERS) {
            log::info("server", first_words(server));
        }
        if let Some(more @ 1..) = fresh.len().checked_sub(TOLD_MAX_SERVERS) {
            let told = format_args!("and {more} other MCP servers; `shadowtap report servers` names them");
            log::info("server", told);
        }
        self.told = view.servers.iter().map(|server| server.id.clone()).collect();
    }

    /// Forgets what is too old, here and in the store.
    pub(super) fn clean(&mut self) {
        let keep = self.shared.settings.inventory.keep_nanos();
        self.shared.inventory.forget(now().plus_nanos(keep.saturating_neg()));
        self.sinks.forgot = true;
        if let Some(store) = &mut self.store {
            store.prune();
        }
    }

    /// One line of statistics.
    pub(super) fn statistics(&mut self) -> String {
        self.hear();
        let (capture, _) = self.condition();
        self.summary(&capture.counters)
    }

    /// The counters in one line.
    pub(super) fn summary(&self, counters: &Counters) -> String {
        let (stored, lost) = self.sinks.counts();
        format!(
            "packets: {}, bytes: {}, flows: {}, messages: {}, servers: {}; dropped by the kernel: {}, before a busy worker: \
             {}; records stored: {stored}, lost: {lost}",
            counters.packets,
            counters.bytes,
            counters.flows,
            counters.messages,
            self.told.len(),
            counters.lost.kernel_drops,
            counters.lost.queue_drops,
        )
    }

    /// From left to right: stops the sources, ends the flows, looks once more, and empties the queues of the sinks.
    pub(super) fn finish(mut self) -> Finished {
        let capture = match &mut self.live {
            Some(live) => {
                for failure in live.stop() {
                    log::warning("capture", failure);
                }
                self.whole &= !live.has_failed();
                self.waiting.append(&mut live.take_messages());
                live.capture()
            }
            None => Default::default(),
        };
        let view = self.review(capture);
        self.announce(&view);
        self.sinks.say(&view.messages);
        let stored = self.sinks.close(&view, self.grace);
        Finished {
            view,
            whole: self.whole && stored,
        }
    }
}

impl Store {
    fn open(path: PathBuf, run: &str, loaded: &Loaded, hub: &mut Hub) -> anyhow::Result<Self> {
        let writer = Writer::open(&path, run)?;
        hub.add(Runner::start(
            Box::new(writer),
            runner::Config::default(),
            Pressure::Shed,
        )?);
        Ok(Self {
            path,
            run: run.to_owned(),
            retention: loaded.config.store.retention.clone(),
            pruning: None,
        })
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
                Ok(pruned) if pruned.early > 0 || pruned.excess_bytes > 0 => {
                    let (path, early) = (path.display(), pruned.early);
                    let cure = "raise store.retention.max_bytes";
                    log::warning(
                        "retention",
                        format_args!("{path} is full: {early} records went before their time; {cure}"),
                    );
                }
                Ok(_) => {}
                Err(error) => log::error("retention", format_args!("retention: {error}")),
            }
        };
        self.pruning = thread::Builder::new().name("retention".to_owned()).spawn(prune).ok();
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
