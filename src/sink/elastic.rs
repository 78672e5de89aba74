//! Elasticsearch and OpenSearch: `_bulk` with `create`, so that a repeat is told by its id and not written twice.
//!
//! An answer of 200 may hide items that failed: 409 is in already, 429, 5xx and what an operator can mend (rights, an index) go again by themselves, all else will never go in
//! and is told with the first reason.

use serde_json::{Value, json};

use crate::sink::SinkError;
use crate::sink::http::{Client, Progress, pieces};
use crate::sink::remote::{Batch, Deliver};
use crate::sink::siem::notice::What;
use crate::sink::siem::parcel::unpack;

/// Bytes of one request before it is packed.
const REQUEST_MAX_BYTES: usize = 5_000_000;

/// Where events go.
#[derive(Debug)]
pub struct Elastic {
    /// The way there.
    pub client: Client,
    /// Address without a path.
    pub base: String,
    /// Index or data stream; `{event}` stands for the word of the event.
    pub index: String,
    /// What of the batch at hand is in.
    pub progress: Progress,
}

impl Elastic {
    fn index_of(&self, what: What) -> String {
        self.index.replace("{event}", what.word())
    }

    /// Takes the answer to a piece: marks what is in, and gives the first complaint about what is not yet.
    fn settle(&mut self, piece: &[usize], answer: &Value) -> Result<(), SinkError> {
        let items = answer["items"].as_array().filter(|items| items.len() == piece.len());
        let items = items.ok_or_else(|| {
            SinkError::Retry(format!(
                "{}: the answer to _bulk is none: is this Elasticsearch?",
                self.base
            ))
        })?;
        let mut again = None;
        for (at, item) in piece.iter().zip(items) {
            let told = &item["create"];
            match told["status"].as_u64() {
                Some(200..=299 | 409) => self.progress.done(*at),
                Some(401 | 403 | 404 | 429 | 500..=599) | None => {
                    let _ = again.get_or_insert_with(|| why(told));
                }
                Some(_) => self.progress.refuse(*at, &why(told)),
            }
        }
        match again {
            None => Ok(()),
            Some(why) => Err(SinkError::Retry(format!("{}: {why}", self.base))),
        }
    }
}

fn why(item: &Value) -> String {
    let text = |key: &str| item["error"][key].as_str().unwrap_or_default().to_owned();
    let why = format!("{} {}: {}", item["status"], text("type"), text("reason"));
    crate::model::plain::plain(&why, 200).into_owned()
}

impl Deliver for Elastic {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let events: Vec<String> = unpack(batch)?
            .iter()
            .map(|parcel| {
                let action = json!({"create": {"_index": self.index_of(parcel.what), "_id": parcel.event_id}});
                format!("{action}\n{}\n", parcel.body)
            })
            .collect();
        let left = self.progress.of(&batch.token, events.len()).left();
        let url = format!("{}/_bulk", self.base);
        let mut again = Ok(());
        for piece in pieces(&left, |at| events.get(at).map_or(0, String::len), REQUEST_MAX_BYTES) {
            let body: String = piece
                .iter()
                .filter_map(|at| events.get(*at))
                .map(String::as_str)
                .collect();
            let answer = self.client.post(&url, "application/x-ndjson", body.as_bytes(), &[])?;
            if answer.status != 200 {
                return Err(self.client.refusal(&answer));
            }
            let told: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let settled = self.settle(&piece, &told);
            again = again.and(settled);
        }
        again?;
        self.progress.end(&self.base)
    }
}
