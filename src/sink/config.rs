//! `[[sinks]]` as it is written: one flat section for every type, so that a wrong key is told with its line and what was meant.
//!
//! Which keys belong to which type is checked in `settings.rs`, with everything else that a value can be wrong in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sink::siem::format::Format;
use crate::sink::siem::notice::What;
use crate::sink::syslog::Framing;

/// One `[[sinks]]`. Every key but `type` may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Its name in messages, counters and the outbox; without it the type's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Form of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Events that go; without it findings, servers, changes of tools, digests and the sensor's health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<What>>,
    /// Kinds of findings that go; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Least severity of findings that go; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Names of the sensors that this sink is for; without it all that read this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensors: Option<Vec<String>>,
    /// Whether replays are told, too; they are not by themselves, for old captures are no news.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<bool>,
    /// Whether events may leave this machine in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_plaintext: Option<bool>,
    /// How long the other side may take, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,

    /// Host and port of a syslog receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What carries syslog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// How messages are told apart over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framing: Option<Framing>,
    /// Facility, 0 to 23; 13 (log audit) without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facility: Option<u8>,
    /// Private enterprise number of the structured data; 32473, which stands for examples, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enterprise: Option<u32>,
    /// Whether it is awaited that the receiver has read a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<bool>,
    /// Bytes of one message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_max_bytes: Option<usize>,

    /// Address of a collector, an index or a webhook.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "masked")]
    pub url: Option<String>,
    /// File with the address, where that is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Variable of the environment with the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// File with the token (Splunk), API key (Elasticsearch) or bearer token (webhook).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Variable of the environment with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// User of Elasticsearch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Variable of the environment with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// File with the key by which a webhook is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key_file: Option<PathBuf>,
    /// Variable of the environment with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key_env: Option<String>,
    /// Index; for Elasticsearch `{event}` stands for the word of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Whether Splunk is to say when events are indexed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<bool>,
    /// Whether bodies are packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gzip: Option<bool>,
    /// Chat tool, or a file with a JSON document with places such as `{title}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,

    /// Certificates that are trusted; without it the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Whom a syslog receiver's certificate must name, when that is not the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,

    /// File that events are written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Bytes after which it is put aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_bytes: Option<u64>,
    /// Hours after which it is put aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_hours: Option<u32>,
    /// Files that are kept beside the one that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_keep: Option<u32>,
}

/// What a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Elasticsearch and OpenSearch, by `_bulk`.
    #[serde(alias = "opensearch")]
    Elasticsearch,
    /// Lines of a file.
    File,
    /// Splunk's HTTP Event Collector.
    Splunk,
    /// Lines on standard output.
    Stdout,
    /// RFC 5424.
    Syslog,
    /// A POST to anywhere.
    Webhook,
}

impl Type {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Elasticsearch => "elasticsearch",
            Self::File => "file",
            Self::Splunk => "splunk",
            Self::Stdout => "stdout",
            Self::Syslog => "syslog",
            Self::Webhook => "webhook",
        }
    }
}

/// What carries syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// In clear, acknowledged by the receiver's end.
    Tcp,
    /// Encrypted.
    Tls,
    /// In clear, and nobody notices a loss.
    Udp,
}

/// The section `[alerts]`: how loud the first weeks are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Days from the first start in which sinks get new servers as one digest a day, and only critical findings at once.
    pub baseline_days: u32,
}

/// A URL as it may be shown: a path segment that is as long as a secret is not.
fn masked<S: serde::Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    const SECRET_MIN_CHARS: usize = 16;
    let Some(url) = url else {
        return serializer.serialize_none();
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let mut parts = rest.split(['?', '#']).next().unwrap_or_default().split('/');
    let host = parts.next().unwrap_or_default();
    let mut shown = format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default());
    for part in parts {
        shown.push('/');
        shown.push_str(if part.len() < SECRET_MIN_CHARS { part } else { "…" });
    }
    serializer.serialize_str(&shown)
}
