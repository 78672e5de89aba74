//! A webhook: batches of events as a JSON array, or an event at a time as a chat tool wants it; signed when there is a key.
//!
//! The signature is `X-Shadowtap-Signature: sha256=` and the HMAC-SHA-256 in hex of `X-Shadowtap-Timestamp` (seconds since the
//! epoch, of this try), a dot, and the body. A receiver that checks both refuses what is forged and what is replayed.
//! `X-Shadowtap-Batch` is the same in every try. Redirects are not followed.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

use crate::sink::SinkError;
use crate::sink::http::{Client, Progress, pieces, place};
use crate::sink::remote::{Batch, Deliver};
use crate::sink::secret::Secret;
use crate::sink::siem::notice::hex;
use crate::sink::siem::parcel::unpack;

/// Bytes of one request.
const REQUEST_MAX_BYTES: usize = 1_000_000;

/// Where events go.
#[derive(Debug)]
pub struct Webhook {
    /// The way there.
    pub client: Client,
    /// The whole address: with many tools that is a secret.
    pub url: Secret,
    /// Key of the signature.
    pub key: Option<Secret>,
    /// Whether every event goes alone, as chat tools want it.
    pub single: bool,
    /// What of the batch at hand is in.
    pub progress: Progress,
}

impl Webhook {
    fn send(&self, token: &str, body: &str) -> Result<(), SinkError> {
        let timestamp = seconds().to_string();
        let signature = self.key.as_ref().map(|key| sign(key, &timestamp, body));
        let mut headers = vec![("X-Shadowtap-Batch", token), ("X-Shadowtap-Timestamp", &*timestamp)];
        headers.extend(
            signature
                .as_ref()
                .map(|signature| ("X-Shadowtap-Signature", &**signature)),
        );
        let answer = self
            .client
            .post(self.url.reveal(), "application/json", body.as_bytes(), &headers)?;
        match answer.status {
            200..=299 => Ok(()),
            _ => Err(self.client.refusal(&answer)),
        }
    }
}

impl Deliver for Webhook {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let events: Vec<String> = unpack(batch)?.into_iter().map(|parcel| parcel.body).collect();
        let left = self.progress.of(&batch.token, events.len()).left();
        let max_bytes = if self.single { 0 } else { REQUEST_MAX_BYTES };
        for piece in pieces(&left, |at| events.get(at).map_or(0, |event| event.len() + 1), max_bytes) {
            let bodies: Vec<&str> = piece
                .iter()
                .filter_map(|at| events.get(*at))
                .map(String::as_str)
                .collect();
            let body = if self.single {
                bodies.concat()
            } else {
                format!("[{}]", bodies.join(","))
            };
            self.send(&batch.token, &body)?;
            piece.into_iter().for_each(|at| self.progress.done(at));
        }
        self.progress.end(&place(self.url.reveal()))
    }
}

fn sign(key: &Secret, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    format!("sha256={}", hex(tag.as_ref()))
}

/// A receiver compares the time of a request with its own.
#[expect(clippy::disallowed_methods, reason = "a signature is of the clock on the wall")]
fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `openssl dgst -sha256 -hmac key`.
    #[test]
    fn signs_time_and_body() {
        assert_eq!(
            sign(&Secret::new("key"), "1700000000", "[]"),
            "sha256=2afce10b4f37880815b715635811bcfa4d5334e7213eea5bc2e130e1008055c3"
        );
    }
}
