//! The thread of a sink that is near: batches, retry, back-off. It keeps nothing that a sink does not take in time.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::model::event::Event;
use crate::sink::runner::gauge::{Gauge, add};
use crate::sink::runner::patience::{Patience, now};
use crate::sink::runner::{Config, fill};
use crate::sink::{Sink, SinkError};

/// See the module.
pub(super) struct Direct {
    pub(super) sink: Box<dyn Sink>,
    pub(super) config: Config,
    pub(super) events: Receiver<Event>,
    pub(super) patience: Patience,
    pub(super) gauge: Arc<Gauge>,
}

impl Direct {
    /// Until nothing more comes and everything has its fate.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(self.config.batch_max_events.min(1_024));
        while let Ok(first) = self.events.recv() {
            batch.push(first);
            fill(&self.events, &mut batch, &self.config);
            self.deliver(&batch);
            batch.clear();
        }
    }

    /// Tries until the sink takes the batch, refuses it, or a grace is over.
    fn deliver(&mut self, batch: &[Event]) {
        let begun = now();
        let mut pause = Duration::from_millis(self.config.retry_first_ms);
        let fate = loop {
            if self.patience.is_over() {
                break &self.gauge.undelivered;
            }
            match self.sink.write(batch) {
                Ok(()) => {
                    self.gauge.content();
                    break &self.gauge.delivered;
                }
                Err(SinkError::Reject(error)) => {
                    self.gauge.complain(error);
                    break &self.gauge.rejected;
                }
                Err(SinkError::Retry(error)) => self.gauge.complain(error),
            }
            if begun.elapsed() + pause > Duration::from_millis(self.config.retry_grace_ms) {
                break &self.gauge.undelivered;
            }
            add(&self.gauge.retries, 1);
            self.patience.pause(pause);
            pause = (pause * 2).min(Duration::from_millis(self.config.retry_max_ms));
        };
        add(fate, batch.len() as u64);
    }
}
