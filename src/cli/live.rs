//! `shadowtap live`: captures until stopped, keeps the store up to date, and prints the report in the end.
//!
//! The edge of the sensor: signals, timers and the store live in this thread; packets never come here. It sends nothing
//! on a monitored network.

mod baseline;
mod check;
mod confinement;
mod health;
mod notify;
mod pulse;
mod receivers;
mod reload;
mod sensor;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cli::far::Far;
use crate::cli::live::pulse::Pulse;
use crate::cli::live::reload::Reload;
use crate::cli::live::sensor::{Finished, Sensor};
use crate::cli::replay::{Format, LOST, print};
use crate::cli::serve;
use crate::cli::setup::{self, Rules};
use crate::config::load::Loaded;
use crate::confine::Confined;
use crate::engine::Shared;
use crate::engine::keylog;
use crate::engine::live::{Handles, Live};
use crate::host::Host;
use crate::log;
use crate::model::net::Endpoint;
use crate::sink::settings::Setting;
use crate::source::live::Live as Interface;
use crate::source::{Source, SourceError};
use crate::stream::secrets::Secrets;

/// Input cannot be read.
const UNREADABLE: u8 = 3;

/// How often the threads are heard.
const BEAT: Duration = Duration::from_secs(1);

/// How often the sensor looks at itself, and gives a sign of life.
const MINUTE: Duration = Duration::from_secs(60);

/// How often what is too old is forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);

/// Captures on interfaces until stopped, and prints the shadow-MCP report then.
///
/// Keeps the store up to date while it runs: `shadowtap report` answers at any time. SIGINT or SIGTERM stops it, a second
/// one at once; SIGHUP reloads policy and signatures; SIGUSR1 prints a line of statistics.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Interfaces; `any` is all of them
    #[arg(short = 'i', long = "interface", required = true, value_name = "IFACE", num_args = 1..)]
    pub interfaces: Vec<String>,
    /// Only packets that match this BPF expression (pcap-filter(7))
    #[arg(long, value_name = "EXPR")]
    pub bpf: Option<String>,
    /// Bytes kept of a packet
    #[arg(long, value_name = "BYTES")]
    pub snap_len: Option<u32>,
    /// Capture ring of each interface in the kernel
    #[arg(long, value_name = "BYTES")]
    pub buffer_bytes: Option<u32>,
    /// Only frames for this machine
    #[arg(long)]
    pub no_promiscuous: bool,
    /// Threads that read and look into packets; the kernel spreads the flows of every interface over them
    #[arg(long, value_name = "N", default_value = "1")]
    pub workers: NonZeroUsize,
    /// Store that keeps what was found, or `none`
    #[arg(long, value_name = "PATH")]
    pub store: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: Rules,
    /// Form of the report
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Key log file (NSS format) of your own connections, followed while it grows; may be given several times
    #[arg(long, value_name = "FILE")]
    pub keylog: Vec<PathBuf>,
    /// Stop by itself after this time: 60s, 30m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub duration: Option<Duration>,
    /// Show the web page at this address, too [default: as configured, else not]
    #[arg(long, value_name = "ADDR:PORT")]
    pub web: Option<SocketAddr>,
    /// Only look for this time (60s, 30m), and say what this sensor can see and what not
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub check: Option<Duration>,
    /// Leave out traffic from and to this end: the sensor's own, to where it reports
    #[arg(long, value_name = "ADDR:PORT")]
    pub exclude: Vec<SocketAddr>,
    /// Look at sockets and processes of this machine, too: who runs a server, and what it is bound to
    #[arg(long)]
    pub host: bool,
    /// Keep all rights; only to debug
    #[arg(long)]
    pub no_confine: bool,
}

/// A number and its unit.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..) {
        Some("s") => Some(1),
        Some("m") => Some(60),
        Some("h") => Some(3_600),
        Some("d") => Some(86_400),
        _ => None,
    };
    let number = digits.parse::<u32>().ok().filter(|number| *number > 0);
    let duration = number.zip(seconds).map(|(number, unit)| u64::from(number) * unit);
    duration
        .map(Duration::from_secs)
        .ok_or_else(|| "write a number and a unit: 60s, 30m, 24h, 7d".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Wrong configuration or filter, a store that cannot be opened, or output that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some((loaded, ruleset)) = setup::load(&args.rules) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    log::open(&loaded.config.log);
    let Some(sinks) = setup::sinks(&loaded) else {
        return Ok(ExitCode::from(setup::WRONG));
    };
    // Events and a report would be mixed there.
    let events_alone = sinks.iter().any(|sink| sink.stdout);
    let mut settings = setup::settings(&loaded);
    (settings.eager, settings.forgets) = (true, true);
    let store_path = setup::store_path(args.store.as_deref(), &loaded);
    if store_path.is_none() {
        settings.messages_max = 0;
    }
    settings.past = setup::past(store_path.as_deref());
    if !loaded.keylogs(&args.keylog).is_empty() {
        settings.secrets = Some(Arc::new(Secrets::new(settings.tls.max_connections, true)));
    }
    let shared = Arc::new(Shared::new(settings, ruleset));
    if let Some(time) = args.check {
        let (sources, _) = open(args, &loaded, &[])?;
        return if sources.is_empty() {
            Ok(ExitCode::from(UNREADABLE))
        } else {
            check::run(args, &loaded, &shared, sources, time)
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finished = runtime.block_on(sense(args, &loaded, &shared, sinks));
    // What hangs was given its grace already.
    runtime.shutdown_background();
    let Some(Finished { view, whole }) = finished? else {
        return Ok(ExitCode::from(UNREADABLE));
    };
    if let Some(line) = setup::key_material(&view.capture.counters.blind) {
        eprintln!("shadowtap: {line}");
    }
    if !events_alone {
        print(&view, args.format).context("cannot write the report")?;
    }
    let lost = view.capture.counters.lost.matters() || !whole;
    Ok(ExitCode::from(if lost { LOST } else { 0 }))
}

/// From the first interface to the last report; `None` when no interface ever worked.
async fn sense(
    args: &Args,
    loaded: &Loaded,
    shared: &Arc<Shared>,
    sinks: Vec<Setting>,
) -> anyhow::Result<Option<Finished>> {
    // Before anything is opened, so that a signal never finds the default action.
    let mut signals = Signals::listen()?;
    let (sources, whole) = open(args, loaded, &receivers::ends(&sinks))?;
    if sources.is_empty() {
        return Ok(None);
    }
    let path = setup::store_path(args.store.as_deref(), loaded);
    let mut pulse = Pulse::open(loaded)?;
    let page = serve::beside(args.web, loaded, path.as_deref())?;
    let mut host = start_host(args, loaded)?;
    let baseline = baseline::until(
        loaded.config.alerts.baseline_days,
        path.as_deref().and_then(Path::parent),
    );
    let far = Far::load(loaded)?.with_sinks(sinks, baseline, Some(setup::now));
    // Before any thread is started, for it would keep all rights.
    let confined = confinement::enter(args, loaded, path.as_deref(), &far)?;
    if let Some(secrets) = &shared.settings.secrets {
        keylog::follow(loaded.keylogs(&args.keylog), secrets).context("cannot follow the key log")?;
    }
    let mut sensor = Sensor::new(shared, path, far, loaded).with_context(|| under(confined.as_ref()))?;
    let live = Live::start(shared, sources, args.workers.get(), &loaded.config.live)?;
    match &confined {
        Some(confined) => log::info("start", confined),
        None => log::warning("start", "not confined: it keeps all rights that it was started with"),
    }
    let greeting = greeting(args, &live, &sensor, loaded);
    log::info("start", &greeting);
    if let Some(host) = &mut host {
        host.listen().context("cannot listen to what the host shows")?;
    }
    sensor.begin(live, whole, host);
    pulse.serve().context("cannot answer for metrics")?;
    page.map_or(Ok(()), serve::start).context("cannot start the web page")?;
    pulse.notify.ready(&greeting);
    if !watch(&mut sensor, &mut signals, &pulse, args, loaded).await {
        return Ok(None);
    }
    pulse.notify.stopping();
    let finish = tokio::task::spawn_blocking(move || sensor.finish());
    tokio::select! {
        finished = finish => Ok(Some(finished?)),
        () = signals.stop.asked() => {
            log::error("stop", "stopped at once; what was not yet stored is lost");
            std::process::exit(LOST.into())
        }
    }
}

/// Starts what looks at this machine, if it is to be looked at.
fn start_host(args: &Args, loaded: &Loaded) -> anyhow::Result<Option<Host>> {
    let (config, run) = (&loaded.config.host, &loaded.config.run);
    if !args.host && !config.enabled {
        return Ok(None);
    }
    let confined = run.confine && !args.no_confine;
    let host = Host::start(config, run.user.as_deref(), confined);
    host.map(Some).context("cannot look at the processes of this machine")
}

/// Keeps time until it is time to stop; `false` when no interface ever worked.
async fn watch(sensor: &mut Sensor, signals: &mut Signals, pulse: &Pulse, args: &Args, loaded: &Loaded) -> bool {
    let duration = args.duration;
    let mut reload = Reload::new(args, loaded, sensor.secrets());
    let every = |period: Duration| {
        let mut timer = interval(period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer
    };
    let mut beat = every(BEAT);
    let mut minute = every(MINUTE);
    let mut housekeeping = every(HOUSEKEEPING);
    let period = Duration::from_millis(loaded.config.store.interval_ms.max(100));
    let mut next = Instant::now() + period;
    let end = duration.map(|duration| Instant::now() + duration);
    loop {
        tokio::select! {
            () = signals.stop.asked() => return true,
            () = sleep_until(end.unwrap_or(next)), if end.is_some() => return true,
            _ = signals.statistics.recv() => log::info("statistics", sensor.statistics()),
            _ = signals.reload.recv() => {
                pulse.notify.reloading();
                reload.run(sensor);
                pulse.notify.ready("reloaded");
            }
            _ = minute.tick() => sensor.minute(),
            _ = beat.tick() => {
                sensor.hear();
                pulse.beat(sensor);
                if sensor.has_ended() {
                    return sensor.has_worked();
                }
            }
            _ = housekeeping.tick() => sensor.clean(),
            () = sleep_until(next) => {
                let begun = Instant::now();
                sensor.round();
                // A large inventory takes long to look through: that never takes more than a quarter of the time.
                next = Instant::now() + period.max(begun.elapsed() * 3);
            }
        }
    }
}

/// Opens every interface that can be opened, and whether those are all. What cannot is told.
fn open(args: &Args, loaded: &Loaded, receivers: &[Endpoint]) -> anyhow::Result<(Vec<Handles>, bool)> {
    let mut config = loaded.config.capture.clone();
    config.bpf = args.bpf.clone().or(config.bpf);
    config.snap_len_bytes = args.snap_len.unwrap_or(config.snap_len_bytes);
    config.buffer_bytes = args.buffer_bytes.unwrap_or(config.buffer_bytes);
    config.promiscuous &= !args.no_promiscuous;
    let given = args.exclude.iter().map(|end| Endpoint::new(end.ip(), end.port()));
    let exclude: Vec<Endpoint> = given.chain(receivers.iter().copied()).collect();
    let workers = args.workers.get();
    let mut sources: Vec<Handles> = Vec::new();
    let mut whole = true;
    for name in &args.interfaces {
        let index = u16::try_from(sources.len()).unwrap_or(u16::MAX);
        match Interface::spread(name, index, &config, &exclude, workers) {
            Ok(handles) => {
                if handles.len() < workers {
                    let why = "this system does not spread its flows; one worker reads it for all";
                    log::warning("capture", format_args!("{name}: {why}"));
                }
                let handles = handles.into_iter().map(|handle| Box::new(handle) as Box<dyn Source>);
                sources.push(handles.collect());
            }
            Err(error @ SourceError::Filter { .. }) => return Err(error.into()),
            Err(error) => {
                whole = false;
                log::error("capture", error);
            }
        }
    }
    Ok((sources, whole))
}

/// With which rights something was tried.
fn under(confined: Option<&Confined>) -> String {
    match confined {
        Some(confined) => format!(
            "cannot go on as user {} without capabilities, which must own the store's folder (or use --no-confine)",
            confined.user
        ),
        None => "cannot go on".to_owned(),
    }
}

fn greeting(args: &Args, live: &Live, sensor: &Sensor, loaded: &Loaded) -> String {
    let filter = args.bpf.as_ref().or(loaded.config.capture.bpf.as_ref());
    format!(
        "listening on {}; filter: {}; store: {}; workers: {}; no MCP seen yet",
        live.capture().sources.join(", "),
        filter.map_or("none", String::as_str),
        sensor
            .path()
            .map_or_else(|| "none".to_owned(), |path| path.display().to_string()),
        args.workers
    )
}

/// What the system tells a sensor.
struct Signals {
    stop: Stop,
    statistics: Signal,
    reload: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            stop: Stop {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            },
            statistics: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}

/// The two ways to end it.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Until someone wants it to end.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        for (text, seconds) in [("60s", 60), ("2m", 120), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "60", "s", "0s", "-1s", "1w", "1.5h", "4294967296s", "1 s"] {
            assert!(span(text).is_err(), "{text:?}");
        }
    }
}
