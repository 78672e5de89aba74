//! What a SIEM is told: one notice per state of a record that somebody wants to hear of.
//!
//! A notice holds what every format needs, and under `fields` what is particular to its event, in the words of the report.
//! It owns its data and nothing that is secret: it is made of records alone. Formats are pure functions of it.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::model::finding::Severity;
use crate::model::net::{Endpoint, FiveTuple, Transport};
use crate::model::stamp::Timestamp;

/// What an event is about. In alphabetical order of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// New servers of a day, while a baseline is made.
    Digest,
    /// A finding.
    Finding,
    /// A name that a signature knows was looked up or connected to.
    Lookup,
    /// How the sensor fares.
    SensorHealth,
    /// A server is new, or something that it says of itself changed.
    Server,
    /// A tool appeared, changed or went.
    ToolChange,
}

impl What {
    /// Every event with its word.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Digest, "digest"),
        (Self::Finding, "finding"),
        (Self::Lookup, "lookup"),
        (Self::SensorHealth, "sensor-health"),
        (Self::Server, "server"),
        (Self::ToolChange, "tool-change"),
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Finding => "finding",
            Self::Lookup => "lookup",
            Self::SensorHealth => "sensor-health",
            Self::Server => "server",
            Self::ToolChange => "tool-change",
        }
    }
}

/// What became of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Told for the first time.
    New,
    /// Told before, and other than it was.
    Update,
    /// Taken back: what it rested on turned out to be something else.
    Close,
}

impl Action {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::New => "new",
            Self::Update => "update",
        }
    }
}

/// Who tells: the same for every notice of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// Name of the sensor.
    pub name: Arc<str>,
    /// Version of the program.
    pub version: Arc<str>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it is about.
    pub what: What,
    /// What became of it.
    pub action: Action,
    /// Of the record: the same in every notice of it.
    pub id: String,
    /// Of this state of the record: equal for equal states, so that a receiver recognises a repeat.
    pub event_id: String,
    /// First and last evidence.
    pub first: Timestamp,
    /// See `first`; the time of the event.
    pub last: Timestamp,
    /// How bad.
    pub severity: Severity,
    /// 0 to 1.
    pub confidence: Option<f32>,
    /// Kind of a finding.
    pub kind: Option<&'static str>,
    /// What made it: the rule of a finding, the signature of a lookup, else the word of the event.
    pub rule: String,
    /// One sentence.
    pub title: String,
    /// How often it was seen.
    pub count: u64,
    /// Address and port of the server.
    pub server: Option<Endpoint>,
    /// [`crate::model::server::Server::id`].
    pub server_id: Option<String>,
    /// SNI, HTTP Host or DNS name that led to it.
    pub hostname: Option<String>,
    /// `serverInfo.name`.
    pub server_name: Option<String>,
    /// `serverInfo.version`.
    pub server_version: Option<String>,
    /// Policy rule that approves the server.
    pub approval: Option<String>,
    /// Whether a policy rule approves the server; `None` when no server is known.
    pub approved: Option<bool>,
    /// How MCP is carried; the contract's word.
    pub transport: Option<&'static str>,
    /// `tls`, `quic` or `none`.
    pub encryption: Option<&'static str>,
    /// Newest revision of the protocol that the server speaks.
    pub protocol_version: Option<String>,
    /// Address of the client.
    pub client: Option<IpAddr>,
    /// `clientInfo.name` of the client, where its address has one only.
    pub client_name: Option<String>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// Fingerprint of the client's TLS.
    pub ja4: Option<String>,
    /// Flow of the first packet.
    pub flow: Option<FiveTuple>,
    /// Hash of the session id.
    pub session: Option<String>,
    /// Tool, prompt or resource.
    pub tool: Option<String>,
    /// JSON-RPC method, where the place of the evidence tells it.
    pub method: Option<&'static str>,
    /// Further fields of the event by the words of the report.
    pub fields: Map<String, Value>,
}

impl Notice {
    /// One that says nothing yet but what every notice has to say.
    pub fn new(what: What, id: String, title: String, first: Timestamp, last: Timestamp) -> Self {
        Self {
            what,
            action: Action::New,
            id,
            event_id: String::new(),
            first,
            last,
            severity: Severity::Info,
            confidence: None,
            kind: None,
            rule: what.word().to_owned(),
            title,
            count: 1,
            server: None,
            server_id: None,
            hostname: None,
            server_name: None,
            server_version: None,
            approval: None,
            approved: None,
            transport: None,
            encryption: None,
            protocol_version: None,
            client: None,
            client_name: None,
            user_agent: None,
            ja4: None,
            flow: None,
            session: None,
            tool: None,
            method: None,
            fields: Map::new(),
        }
    }

    /// The client's end of the flow, else its address alone.
    pub fn client_end(&self) -> Option<(IpAddr, Option<u16>)> {
        match (self.client, self.flow) {
            (Some(client), Some(flow)) if flow.client.addr == client => Some((client, Some(flow.client.port))),
            (Some(client), _) => Some((client, None)),
            (None, Some(flow)) => Some((flow.client.addr, Some(flow.client.port))),
            (None, None) => None,
        }
    }

    /// `tcp` or `udp`.
    pub fn network_transport(&self) -> Option<&'static str> {
        self.flow.map(|flow| match flow.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        })
    }

    /// Community ID of the flow.
    pub fn community_id(&self) -> Option<String> {
        self.flow.map(|flow| flow.community_id())
    }

    /// Of the flow by role: unlike the community id it tells who is the server.
    pub fn flow_id(&self) -> Option<String> {
        self.flow.map(|flow| {
            let number = flow.transport.number();
            short_hash(&[&format!("{number} {} {}", flow.client, flow.server)])
        })
    }

    /// The kind of a finding, else the word of the event.
    pub fn word(&self) -> &'static str {
        self.kind.unwrap_or_else(|| self.what.word())
    }

    /// A field of the event, where it is text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }
}

/// Sixteen hex digits that stand for some texts.
pub fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps "ab", "c" and "a", "bc" apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(hash.finalize().iter().take(8))
}

/// Lower-case hex.
pub fn hex<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
        text
    })
}
