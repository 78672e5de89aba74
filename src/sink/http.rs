//! HTTP as the sinks need it: one POST, no redirects, time-outs, TLS with one's own certificates; and what an answer means.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use ureq::Agent;

use crate::sink::SinkError;
use crate::sink::secret::Secret;
use crate::sink::tls::Trust;

/// Bytes that are read of an answer.
const ANSWER_MAX_BYTES: u64 = 8 << 20;

/// Characters of an answer that a message shows.
const SHOWN_MAX_CHARS: usize = 200;

/// Sends to one place.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// Name and value; the value is never shown.
    headers: Vec<(String, Secret)>,
    /// Whether bodies are packed.
    gzip: bool,
    /// How the place is named in messages: scheme, host and port.
    place: String,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// The beginning of the body.
    pub body: String,
}

impl Client {
    /// Nothing is connected yet. `trust` is for `https`.
    pub fn new(
        url: &str,
        headers: Vec<(String, Secret)>,
        trust: Option<&Trust>,
        timeout: Duration,
        gzip: bool,
    ) -> Self {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .user_agent(concat!("shadowtap/", env!("CARGO_PKG_VERSION")))
            // What is not configured is not used: a proxy of the environment would see the tokens.
            .proxy(None);
        if let Some(trust) = trust {
            config = config.tls_config(trust.http());
        }
        Self {
            agent: config.build().new_agent(),
            headers,
            gzip,
            place: place(url),
        }
    }

    /// Posts a body.
    ///
    /// # Errors
    /// [`SinkError::Retry`] when no answer came.
    pub fn post(&self, url: &str, kind: &str, body: &[u8], more: &[(&str, &str)]) -> Result<Answer, SinkError> {
        let mut request = self.agent.post(url).content_type(kind);
        for (name, value) in &self.headers {
            request = request.header(name, value.reveal());
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let packed;
        let body = if self.gzip {
            let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
            packed = packer.write_all(body).and_then(|()| packer.finish());
            request = request.header("Content-Encoding", "gzip");
            packed.as_deref().unwrap_or_default()
        } else {
            body
        };
        let mut answer = request.send(body).map_err(|error| self.later(&error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_vec();
        Ok(Answer {
            status,
            body: String::from_utf8_lossy(&body.map_err(|error| self.later(&error))?).into_owned(),
        })
    }

    fn later(&self, error: &ureq::Error) -> SinkError {
        let why = match error {
            // It holds the address, which may be a secret.
            ureq::Error::BadUri(_) => "the URL is none".to_owned(),
            error => error.to_string(),
        };
        SinkError::Retry(format!("{}: {why}", self.place))
    }

    /// What a status that is no success means for the batch.
    pub fn refusal(&self, answer: &Answer) -> SinkError {
        let shown = crate::model::plain::plain(answer.body.trim(), SHOWN_MAX_CHARS);
        let place = &self.place;
        let status = answer.status;
        match status {
            // An operator can mend these: nothing of the batch is wrong.
            300..=399 => SinkError::Retry(format!(
                "{place}: {status}, a redirect, which is not followed; correct the URL"
            )),
            401 | 403 => SinkError::Retry(format!(
                "{place}: {status}: check token or password and their rights: {shown}"
            )),
            404 | 405 => SinkError::Retry(format!("{place}: {status}: check the path of the URL: {shown}")),
            408 | 425 | 429 | 500..=599 => SinkError::Retry(format!("{place}: {status}: {shown}")),
            _ => SinkError::Reject(format!("{place}: {status}: {shown}")),
        }
    }
}

/// Scheme, host and port of a URL: what may be shown of it. Paths of webhooks are secrets.
pub fn place(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// The last part of a batch that was not delivered whole: what is in already is not sent again.
#[derive(Debug, Default)]
pub struct Progress {
    token: String,
    /// Events that need not be sent again, by place in the batch.
    done: Vec<bool>,
    /// What was refused, and why; the first of each batch.
    pub refused: Option<(u64, String)>,
}

impl Progress {
    /// Goes on with a batch, or begins with another one.
    pub fn of(&mut self, token: &str, events: usize) -> &mut Self {
        if self.token != token || self.done.len() != events {
            *self = Self {
                token: token.to_owned(),
                done: vec![false; events],
                refused: None,
            };
        }
        self
    }

    /// Places that are still to be sent, in their order.
    pub fn left(&self) -> Vec<usize> {
        let open = self.done.iter().enumerate().filter(|(_, done)| !**done);
        open.map(|(at, _)| at).collect()
    }

    /// Marks an event as done.
    pub fn done(&mut self, at: usize) {
        if let Some(done) = self.done.get_mut(at) {
            *done = true;
        }
    }

    /// Marks an event as one that will never go in.
    pub fn refuse(&mut self, at: usize, why: &str) {
        self.done(at);
        let (count, _) = self.refused.get_or_insert_with(|| (0, why.to_owned()));
        *count += 1;
    }

    /// The end of a batch of which everything is done.
    ///
    /// # Errors
    /// When events were refused.
    pub fn end(&mut self, place: &str) -> Result<(), SinkError> {
        let all = self.done.len();
        self.token.clear();
        match self.refused.take() {
            None => Ok(()),
            Some((count, why)) => Err(SinkError::Reject(format!(
                "{place}: {count} of {all} events were refused, and the others are in: {why}"
            ))),
        }
    }
}

/// Cuts a list into pieces of at most `max_bytes`, and at least one event each.
pub fn pieces(places: &[usize], length: impl Fn(usize) -> usize, max_bytes: usize) -> Vec<Vec<usize>> {
    let mut pieces: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for place in places {
        let more = length(*place);
        match pieces.last_mut() {
            Some(piece) if bytes + more <= max_bytes => piece.push(*place),
            _ => {
                bytes = 0;
                pieces.push(vec![*place]);
            }
        }
        bytes += more;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_url_is_its_place() {
        for (url, shown) in [
            (
                "https://hooks.example.com/services/T0/B0/s3cret",
                "https://hooks.example.com",
            ),
            ("http://user:pw@10.0.0.1:9200/_bulk", "http://10.0.0.1:9200"),
            ("https://h?token=x", "https://h"),
        ] {
            assert_eq!(place(url), shown);
        }
    }

    #[test]
    fn pieces_keep_the_order_and_their_bound() {
        let cut = |max| pieces(&[0, 1, 2, 3], |at| [4, 4, 9, 1][at], max);
        assert_eq!(cut(8), [vec![0, 1], vec![2], vec![3]]);
        assert_eq!(cut(100), [vec![0, 1, 2, 3]]);
        assert_eq!(cut(1), [[0], [1], [2], [3]]);
    }

    #[test]
    fn only_what_is_left_goes_again() {
        let mut progress = Progress::default();
        progress.of("a", 3).done(1);
        assert_eq!(progress.of("a", 3).left(), [0, 2]);
        progress.of("a", 3).refuse(0, "no");
        progress.of("a", 3).done(2);
        let told = progress.end("here").unwrap_err().to_string();
        assert_eq!(told, "here: 1 of 3 events were refused, and the others are in: no");
        assert_eq!(progress.of("b", 2).left(), [0, 1]);
    }
}
