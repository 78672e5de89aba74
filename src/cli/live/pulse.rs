//! Once a second: how the sensor is, told to whoever watches over it.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::live::notify::Notify;
use crate::cli::live::sensor::Sensor;
use crate::cli::setup::now;
use crate::config::load::Loaded;
use crate::metrics::{self, Board, Health, Load, State};

/// See the module.
pub(super) struct Pulse {
    pub(super) notify: Notify,
    board: Arc<Board>,
    /// Opened before rights are given up; served from when they are.
    listener: Option<TcpListener>,
    /// The system's account of this process (proc(5)); once confined it could not be opened any more.
    memory: Option<File>,
    bounds: Load,
    began: i64,
}

impl Pulse {
    /// Opens what cannot be opened later.
    ///
    /// # Errors
    /// When the address for metrics cannot be listened on.
    pub(super) fn open(loaded: &Loaded) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let listen = |address| {
            TcpListener::bind(address)
                .with_context(|| format!("metrics.listen: cannot listen on {address}; choose another"))
        };
        Ok(Self {
            notify: Notify::find(),
            board: Arc::default(),
            listener: config.metrics.listen.map(listen).transpose()?,
            memory: File::open("/proc/self/statm").ok(),
            bounds: Load {
                flows: config.flow.max_flows as u64,
                reassembly_bytes: config.reassembly.max_bytes as u64,
            },
            began: now().micros().div_euclid(1_000_000),
        })
    }

    /// Answers from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn serve(&mut self) -> std::io::Result<()> {
        self.listener
            .take()
            .map_or(Ok(()), |listener| metrics::serve(listener, &self.board))
    }

    /// Tells how the sensor is. The service manager does not hear of one that is sick, and starts it again in the end.
    pub(super) fn beat(&self, sensor: &Sensor) {
        let (capture, condition) = sensor.condition();
        let sinks = sensor.tallies();
        let health = Health {
            sick: condition.sick,
            unready: condition
                .interfaces
                .iter()
                .filter(|interface| !interface.up)
                .map(|interface| format!("{}: is not captured on", interface.name))
                .chain(
                    sinks
                        .iter()
                        .filter(|sink| sink.failing)
                        .map(|sink| format!("{}: fails", sink.name)),
                )
                .collect(),
        };
        if health.sick.is_empty() {
            self.notify.alive(&sensor.summary(&capture.counters));
        }
        let state = State {
            capture,
            interfaces: condition.interfaces,
            load: condition.load,
            bounds: self.bounds,
            found: sensor.found().clone(),
            sinks,
            resident_bytes: self.resident_bytes(),
            began: self.began,
        };
        self.board.post(&state, health);
    }

    /// The second number of `statm`, which counts pages of the usual size.
    fn resident_bytes(&self) -> Option<u64> {
        const PAGE_BYTES: u64 = 4_096;
        let mut text = [0; 128];
        let read = self.memory.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..read)?).ok()?;
        text.split(' ')
            .nth(1)?
            .parse::<u64>()
            .ok()
            .map(|pages| pages * PAGE_BYTES)
    }
}
