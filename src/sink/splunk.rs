//! Splunk's HTTP Event Collector: events one after the other in one packed POST, with acknowledgement where it is asked for.
//!
//! Acknowledgement (`acknowledge = true`) waits until the indexer has the events on its disk; without it a 200 says that they
//! were taken. What is on its way when that fails is sent again: `event_id` tells repeats.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sink::SinkError;
use crate::sink::http::{Client, Progress, pieces};
use crate::sink::remote::{Batch, Deliver};
use crate::sink::siem::parcel::{Parcel, unpack};

/// Bytes of one request before it is packed: the collector's own bound is 1 MB by default in older releases.
const REQUEST_MAX_BYTES: usize = 800_000;
/// How often it is asked whether events are on the disk.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Where events go and under which names.
#[derive(Debug)]
pub struct Splunk {
    /// The way there, with the token.
    pub client: Client,
    /// Address of the collector, without a path.
    pub base: String,
    /// `host` of the events.
    pub host: String,
    /// `index` of the events; `None` for the token's own.
    pub index: Option<String>,
    /// Whether bodies are JSON, and not texts.
    pub is_json: bool,
    /// The channel, a UUID, when acknowledgement is asked for.
    pub channel: Option<String>,
    /// How long an acknowledgement is waited for.
    pub patience: Duration,
    /// What of the batch at hand is in.
    pub progress: Progress,
}

impl Splunk {
    fn envelope(&self, parcel: &Parcel) -> String {
        let head = json!({
            "host": self.host,
            "source": "shadowtap",
            "sourcetype": format!("shadowtap:{}", parcel.what.word()),
        });
        let mut out = head.to_string();
        out.pop();
        let (seconds, millis) = (parcel.millis.div_euclid(1_000), parcel.millis.rem_euclid(1_000));
        // Writing to a String cannot fail.
        let _ = write!(out, ",\"time\":{seconds}.{millis:03}");
        if let Some(index) = &self.index {
            let _ = write!(out, ",\"index\":{}", Value::String(index.clone()));
        }
        if self.is_json {
            let _ = write!(out, ",\"event\":{}}}", parcel.body);
        } else {
            let _ = write!(out, ",\"event\":{}}}", Value::String(parcel.body.clone()));
        }
        out
    }

    fn send(&self, body: &str) -> Result<(), SinkError> {
        let url = format!("{}/services/collector/event", self.base);
        let channel: Vec<(&str, &str)> = self
            .channel
            .iter()
            .map(|channel| ("X-Splunk-Request-Channel", &**channel))
            .collect();
        let answer = self.client.post(&url, "application/json", body.as_bytes(), &channel)?;
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if answer.status != 200 {
            return Err(match (self.client.refusal(&answer), said["code"].as_u64()) {
                // An index or a channel that the token may not use: an operator can mend that.
                (SinkError::Reject(why), Some(7 | 10 | 11)) => SinkError::Retry(why),
                (refusal, _) => refusal,
            });
        }
        match (&self.channel, said["ackId"].as_u64()) {
            (None, _) => Ok(()),
            (Some(channel), Some(ack)) => self.await_ack(channel, ack),
            (Some(_), None) => Err(SinkError::Retry(format!(
                "{}: no ackId came back; enable indexer acknowledgement for this token, or set acknowledge = false",
                self.base
            ))),
        }
    }

    fn await_ack(&self, channel: &str, ack: u64) -> Result<(), SinkError> {
        let url = format!("{}/services/collector/ack?channel={channel}", self.base);
        let question = json!({"acks": [ack]}).to_string();
        let until = now() + self.patience;
        loop {
            let answer = self.client.post(
                &url,
                "application/json",
                question.as_bytes(),
                &[("X-Splunk-Request-Channel", channel)],
            )?;
            if answer.status != 200 {
                return Err(self.client.refusal(&answer));
            }
            let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            if said["acks"][ack.to_string()] == Value::Bool(true) {
                return Ok(());
            }
            if now() >= until {
                return Err(SinkError::Retry(format!(
                    "{}: events were not indexed in time",
                    self.base
                )));
            }
            thread::sleep(ASK_EVERY);
        }
    }
}

impl Deliver for Splunk {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let events: Vec<String> = unpack(batch)?.iter().map(|parcel| self.envelope(parcel)).collect();
        let left = self.progress.of(&batch.token, events.len()).left();
        for piece in pieces(&left, |at| events.get(at).map_or(0, String::len), REQUEST_MAX_BYTES) {
            let body: String = piece
                .iter()
                .filter_map(|at| events.get(*at))
                .map(String::as_str)
                .collect();
            self.send(&body)?;
            piece.into_iter().for_each(|at| self.progress.done(at));
        }
        self.progress.end(&self.base)
    }
}

/// Waiting for an answer is of the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "time-outs are of the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}
