//! The configured sinks that are far away: read while the process has all its rights, started once it gave them up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::setup::{hostname, now};
use crate::config::load::Loaded;
use crate::confine::Plan;
use crate::log;
use crate::model::defect::Defect;
use crate::model::stamp::Timestamp;
use crate::sink::hub::Hub;
use crate::sink::outbox::Outbox;
use crate::sink::remote::{Origin, Remote};
use crate::sink::runner::{Config, Pressure, Runner};
use crate::sink::settings::Setting;
use crate::store::{clickhouse, default_path};

/// Events that are encoded at once.
const SEAL_EVENTS: usize = 5_000;

/// Retry in milliseconds: the first pause, and the longest.
const RETRY_MS: (u64, u64) = (1_000, 60_000);

/// See the module.
pub(super) struct Far<'a> {
    loaded: &'a Loaded,
    clickhouse: Option<clickhouse::Server>,
    sinks: Vec<Setting>,
    baseline: Option<Timestamp>,
    clock: Option<fn() -> Timestamp>,
    /// The folder of outboxes; `None` keeps them in memory.
    spool: Option<PathBuf>,
}

impl<'a> Far<'a> {
    /// Reads what they need: certificates and secrets, above all.
    ///
    /// # Errors
    /// What is wrong with one.
    pub(super) fn load(loaded: &'a Loaded) -> Result<Self, Defect> {
        let spool = match loaded.config.spool.dir.as_deref() {
            Some(none) if none == Path::new("none") => None,
            Some(_) => loaded.spool_dir(),
            None => Some(default_path().with_file_name("spool")),
        };
        Ok(Self {
            loaded,
            clickhouse: loaded.clickhouse()?,
            sinks: Vec::new(),
            baseline: None,
            clock: None,
            spool,
        })
    }

    /// Adds sinks that events go to; until `baseline` they are told of what is new once a day. `clock` is that of a live sensor.
    pub(super) fn with_sinks(
        mut self,
        sinks: Vec<Setting>,
        baseline: Option<Timestamp>,
        clock: Option<fn() -> Timestamp>,
    ) -> Self {
        (self.sinks, self.baseline, self.clock) = (sinks, baseline, clock);
        self
    }

    /// Adds what they need to what a confined process keeps.
    pub(super) fn plan(&self, plan: &mut Plan) {
        let addresses = self.clickhouse.iter().map(|server| &server.address);
        for address in addresses {
            plan.connect.push(address.port);
            plan.resolve |= address.host.parse::<std::net::IpAddr>().is_err();
            plan.write.extend(self.spool.clone());
        }
        for sink in &self.sinks {
            plan.write.extend(self.spool.iter().chain(&sink.folder).cloned());
            if let Some(end) = &sink.end {
                plan.resolve |= end.address().is_none();
                if end.datagrams {
                    plan.datagrams = true;
                } else {
                    plan.connect.push(end.port);
                }
            }
        }
    }

    /// Starts each with its outbox.
    ///
    /// # Errors
    /// When an outbox cannot be opened, or the system gives no thread.
    pub(super) fn start(self, hub: &mut Hub, run: &str, pressure: Pressure) -> anyhow::Result<()> {
        let config = &self.loaded.config;
        let origin = Origin {
            sensor: config.sensor.name.clone().unwrap_or_else(hostname).into(),
            run: run.into(),
            began: now(),
        };
        let clickhouse = self.clickhouse.map(|server| clickhouse::remote(server, &origin, now));
        let clickhouse = clickhouse.transpose().context("cannot start the sink clickhouse")?;
        let (baseline, clock) = (self.baseline, self.clock);
        // A replay tells everything again.
        let folder = self.spool.as_deref().filter(|_| clock.is_some());
        let sinks = self.sinks.into_iter().map(|sink| sink.remote(baseline, clock, folder));
        let remotes: Vec<Remote> = clickhouse.into_iter().chain(sinks).collect();
        for remote in remotes {
            let name = Arc::clone(&remote.name);
            let outbox = outbox(&remote, self.spool.as_deref(), self.loaded)?;
            let bounds = Config {
                batch_max_events: SEAL_EVENTS,
                retry_first_ms: RETRY_MS.0,
                retry_max_ms: RETRY_MS.1,
                ..Config::default()
            };
            let runner = Runner::remote(remote, outbox, &origin, bounds, pressure);
            hub.add(runner.with_context(|| format!("cannot start the sink {name}"))?);
        }
        Ok(())
    }
}

fn outbox(remote: &Remote, spool: Option<&Path>, loaded: &Loaded) -> anyhow::Result<Outbox> {
    let (name, bounds) = (&remote.name, loaded.config.spool.clone());
    let Some(folder) = spool else {
        return Ok(Outbox::in_memory(bounds)?);
    };
    let (outbox, damaged) = Outbox::open(folder, name, bounds, now())?;
    if let Some(damaged) = damaged {
        let aside = damaged.path.display();
        let what = format_args!("{name}: its spool is damaged, lies in {aside} now, and a new one is begun");
        log::error("spool-damaged", what);
    }
    Ok(outbox)
}
