//! The records that a report shows: servers, clients, tools, sessions, lookups, and the view of all of them.
//!
//! Every list is sorted as the contract says; `inventory/view.rs` is the only place that builds a [`View`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::conduct::Conduct;
use crate::model::counters::Counters;
use crate::model::finding::{Finding, SiteKey};
use crate::model::mcp::{Auth, McpTransport, Revision};
use crate::model::message_seen::MessageRow;
use crate::model::net::{Endpoint, FiveTuple, Scope};
use crate::model::packet::Outer;
use crate::model::past::Past;
use crate::model::process::{HostView, Hosted};
use crate::model::stamp::{Span, Stamp, Timestamp};
use crate::model::suspect::{Inferred, Suspect};
use crate::model::tls::Ja4;
use crate::model::trace::Trace;

/// Everything that is known at one moment, sorted.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Packets, bytes, losses, blind spots.
    pub capture: Capture,
    /// By address bytes, port, hostname, path.
    pub servers: Vec<Server>,
    /// By address bytes, name, version.
    pub clients: Vec<Client>,
    /// By name.
    pub lookups: Vec<Lookup>,
    /// Endpoints that a name made suspicious, by endpoint and name, until servers are inferred from them.
    pub suspects: Vec<Suspect>,
    /// Encrypted flows that hid their name, by the name that DNS led them with; those that a signature knows alone.
    pub led: Vec<Led>,
    /// By server, first seen, id.
    pub sessions: Vec<Session>,
    /// MCP services that told by DNS where they are.
    pub announced: Vec<AnnouncedServer>,
    /// By topic and first evidence; those with the same evidence in no order that may be shown.
    pub traces: Vec<Trace>,
    /// By severity (worst first), first seen, id.
    pub findings: Vec<Reported>,
    /// Messages in their order, where they are kept: of a replay all, live those since the last look.
    pub messages: Vec<MessageRow>,
    /// Who tried MCP where, by client and first message.
    pub attempts: Vec<Attempt>,
    /// What the policy held back.
    pub withheld: Withheld,
    /// What earlier runs saw, where there is a store that knows.
    pub past: Option<Arc<Past>>,
    /// What the own machine shows beside packets, in host mode.
    pub host: Option<HostView>,
}

/// A client that tried MCP at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who.
    pub client: IpAddr,
    /// Where.
    pub endpoint: Endpoint,
    /// At which path.
    pub path: Option<Arc<str>>,
    /// It got an MCP answer, or goes on as only an answer explains.
    pub answered: bool,
    /// First and last message.
    pub seen: Span,
}

/// What the policy holds back of a report, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    /// Clients that are ignored.
    pub ignored_clients: u64,
    /// Findings about ignored clients.
    pub ignored: u64,
    /// Findings that are suppressed.
    pub suppressed: u64,
    /// Findings that one of their kind stands for.
    pub folded: u64,
}

impl View {
    /// The moment at which the view is judged: its last packet.
    pub fn now(&self) -> Timestamp {
        self.capture.seen.map_or(Timestamp::MIN, |(_, last)| last)
    }
}

/// What was captured.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Names of the files or interfaces, in the order given.
    pub sources: Vec<String>,
    /// First and last packet; `None` when there was none.
    pub seen: Option<(Timestamp, Timestamp)>,
    /// Volume, loss, blind spots.
    pub counters: Counters,
    /// Flows of encrypted DNS by client; their sum stands among the blind spots.
    pub encrypted_dns: BTreeMap<IpAddr, u64>,
}

/// What a server's existence rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerEvidence {
    /// MCP was read.
    Message,
    /// Inferred from a TLS server name.
    Sni,
    /// Inferred from a DNS name.
    Dns,
}

impl ServerEvidence {
    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Message => "message",
            Self::Sni => "sni",
        }
    }
}

/// Encryption around a server's traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words are the contract's")]
pub enum Encryption {
    #[default]
    None,
    Tls,
    Quic,
}

impl Encryption {
    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quic => "quic",
            Self::Tls => "tls",
        }
    }
}

/// An MCP server: (address, port, hostname, endpoint path template).
#[derive(Clone, Debug)]
pub struct Server {
    /// Hash of address, port, hostname, endpoint path; hex.
    pub id: String,
    /// Sites whose messages are its own, and the id that each would have alone; empty where none was read.
    pub sites: Vec<(SiteKey, Arc<str>)>,
    /// Address and port.
    pub endpoint: Endpoint,
    /// SNI, HTTP Host or DNS name that led here.
    pub hostname: Option<Arc<str>>,
    /// Endpoint path template.
    pub path: Option<Arc<str>>,
    /// All transports seen, strongest first; empty where no flow to it was seen.
    pub transports: Vec<McpTransport>,
    /// Encryption.
    pub encryption: Encryption,
    /// What was around the first packet of its earliest flow that was within a VLAN or a tunnel.
    pub outer: Option<Outer>,
    /// Whether key material opened it.
    pub decrypted: bool,
    /// What it rests on.
    pub evidence: ServerEvidence,
    /// 0 to 1.
    pub confidence: f32,
    /// What it was inferred from; `None` when MCP was read.
    pub inferred: Option<Inferred>,
    /// `serverInfo.name` of the latest identity.
    pub server_name: Option<String>,
    /// `serverInfo.version`; may be empty.
    pub server_version: Option<String>,
    /// Of the latest instructions.
    pub instructions_sha256: Option<[u8; 32]>,
    /// Negotiated, or named by each request; ascending.
    pub protocol_versions: Vec<Revision>,
    /// By name; the latest definition of each tool ever seen.
    pub tools: Vec<Tool>,
    /// Distinct resources listed.
    pub resources: u64,
    /// Distinct prompts listed.
    pub prompts: u64,
    /// Strongest credential on an answered request; `None` when no request was read.
    pub auth: Option<Auth>,
    /// An answer let pages of any origin read it.
    pub any_origin: bool,
    /// A public address that its name led a client to shortly before it led there: the name was bound anew.
    pub bound_before: Option<IpAddr>,
    /// What the own machine knows of it, in host mode.
    pub hosted: Option<Box<Hosted>>,
    /// Reach of its address.
    pub scope: Scope,
    /// Policy rule that approves it.
    pub approval: Option<String>,
    /// First and last message.
    pub seen: Span,
    /// Sessions established.
    pub sessions: u64,
    /// Client addresses, ascending.
    pub clients: Vec<IpAddr>,
    /// Messages.
    pub messages: Messages,
    /// Names and versions it gave itself, oldest first.
    pub identities: Vec<Identity>,
    /// Instructions it gave, redacted, the latest last.
    pub instructions: Vec<Definition>,
    /// Who talked to it, and what each peer's exchanges prove.
    pub peers: BTreeMap<IpAddr, Peer>,
    /// Distinct complete tool listings, by audience and first appearance.
    pub listings: Vec<ListingSeen>,
    /// Tools called, by client and name.
    pub calls: BTreeMap<(IpAddr, String), Calls>,
}

/// Calls of one tool by one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// First and last.
    pub seen: Span,
    /// Earliest evidence.
    pub mark: Mark,
    /// Earliest answer of success.
    pub served: Option<Mark>,
}

/// A name and version that a server gave itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `serverInfo.name`.
    pub name: String,
    /// `serverInfo.version`.
    pub version: String,
    /// When it was said first and last.
    pub seen: Span,
    /// Earliest evidence.
    pub mark: Mark,
}

/// The earliest moment at which something was seen, with its flow and session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// When.
    pub at: Stamp,
    /// Where.
    pub flow: FiveTuple,
    /// In which session.
    pub session: Option<u64>,
}

/// A client address of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// First and last message.
    pub seen: Span,
    /// Begin of its earliest flow.
    pub began: Stamp,
    /// Got an MCP answer.
    pub answered: Option<Mark>,
    /// Got tools, resources or prompts without an HTTP credential.
    pub open: Option<Mark>,
    /// Exchanged messages in clear.
    pub cleartext: Option<Mark>,
    /// Sent a credential in clear.
    pub credential: Option<Mark>,
}

/// Who a listing was given to: appearance and disappearance of tools are compared within one audience, because a
/// server rightly offers different tools to different roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Audience {
    /// Credential class of the request; `None` when it was not seen.
    pub auth: Option<Auth>,
    /// With a credential, the client that holds it.
    pub client: Option<IpAddr>,
}

/// A complete tool listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingSeen {
    /// Who got it.
    pub audience: Audience,
    /// Tool names.
    pub names: BTreeSet<String>,
    /// Addresses that it was given to.
    pub clients: BTreeSet<IpAddr>,
    /// When it was given first and last.
    pub seen: Span,
    /// Earliest evidence.
    pub mark: Mark,
}

/// Message counts of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Requests, both directions.
    pub requests: u64,
    /// Responses, errors included.
    pub responses: u64,
    /// Responses that carry `error`.
    pub errors: u64,
    /// Notifications, both directions.
    pub notifications: u64,
    /// Requests and notifications by method.
    pub by_method: BTreeMap<String, u64>,
}

/// A tool in its latest definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Name.
    pub name: String,
    /// Of the canonical definition.
    pub sha256: [u8; 32],
    /// Of the description.
    pub description_sha256: Option<[u8; 32]>,
    /// The newest listing lacks it.
    pub gone: bool,
    /// Redacted canonical definition, at most 64 KiB.
    pub definition: Arc<str>,
    /// When this definition was listed first and last.
    pub seen: Span,
    /// Earliest evidence of this definition.
    pub mark: Mark,
    /// Who was given this definition.
    pub given: Given,
    /// Other definitions of the same tool, oldest first.
    pub earlier: Vec<Definition>,
}

impl Tool {
    /// Its latest definition, as one among those that it had.
    pub fn present(&self) -> Definition {
        Definition {
            sha256: self.sha256,
            definition: Arc::clone(&self.definition),
            seen: self.seen,
            mark: self.mark,
            given: self.given.clone(),
        }
    }
}

/// Who was given something, under which class of credential (`None`: it was not seen), and when first and last.
pub type Given = BTreeMap<(Option<Auth>, IpAddr), Span>;

/// A definition that a tool had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Of the canonical definition.
    pub sha256: [u8; 32],
    /// Redacted canonical definition.
    pub definition: Arc<str>,
    /// When it was listed first and last.
    pub seen: Span,
    /// Earliest evidence.
    pub mark: Mark,
    /// Who was given it.
    pub given: Given,
}

/// A client, as it names itself.
#[derive(Clone, Debug)]
pub struct Client {
    /// Address.
    pub addr: IpAddr,
    /// `clientInfo.name`.
    pub name: Option<String>,
    /// `clientInfo.version`.
    pub version: Option<String>,
    /// Of its earliest request.
    pub user_agent: Option<String>,
    /// Of the connection that carried its earliest request, when that was encrypted.
    pub ja4: Option<Ja4>,
    /// Servers it used, as `address:port`, ascending, without repeats.
    pub servers: Vec<Endpoint>,
    /// First and last message.
    pub seen: Span,
}

/// An MCP session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Hash of server and session id; hex.
    pub id: String,
    /// [`Server::id`].
    pub server_id: String,
    /// Server.
    pub server: Endpoint,
    /// Client address.
    pub client: Option<IpAddr>,
    /// `clientInfo.name` that opened it.
    pub client_name: Option<String>,
    /// Revision negotiated.
    pub protocol_version: Option<Revision>,
    /// How it was carried.
    pub transport: McpTransport,
    /// First and last message.
    pub seen: Span,
    /// Messages, both directions.
    pub messages: u64,
    /// Tools called, by name.
    pub calls: BTreeMap<String, u64>,
    /// How its ends behave; judged within a run, and not stored.
    pub conduct: Conduct,
}

/// A name that a signature knows, looked up or connected to.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The name, lower case.
    pub name: String,
    /// DNS record type; `None` when not by DNS.
    pub kind: Option<String>,
    /// Id of the signature.
    pub signature: Arc<str>,
    /// `registry`, `endpoint`, `gateway` or `tunnel`.
    pub category: &'static str,
    /// `dns`, `sni`, `quic-sni` or `http-host`.
    pub via: &'static str,
    /// Who.
    pub client: IpAddr,
    /// Where a connection with that name went first; `None` for DNS.
    pub connected: Option<(Stamp, Endpoint)>,
    /// How often.
    pub count: u64,
    /// First and last.
    pub seen: Span,
}

/// Encrypted flows of one client to one endpoint whose name nobody could read, and the name that DNS led them with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// The name, lower case.
    pub name: Arc<str>,
    /// Who.
    pub client: IpAddr,
    /// Where to.
    pub endpoint: Endpoint,
    /// How.
    pub encryption: Encryption,
    /// How many.
    pub flows: u64,
    /// Whether the answer said that DNS is spoken there.
    pub resolver: bool,
    /// First and last.
    pub seen: Span,
}

/// An MCP service that told by DNS where it is. Nobody need have used it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedServer {
    /// Its host, lower case.
    pub host: Arc<str>,
    /// An address of the host, and the port.
    pub endpoint: Endpoint,
    /// Path.
    pub path: Option<Arc<str>>,
    /// First and last announcement.
    pub seen: Span,
}

/// A finding as it is reported: with the id of the server that it was joined to.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Stable: the same fact gives the same id in every run; hex.
    pub id: String,
    /// [`Server::id`] of `finding.key.site`.
    pub server_id: Option<String>,
    /// The finding.
    pub finding: Finding,
}

impl Reported {
    /// The first packet of the evidence.
    pub const fn first(&self) -> Stamp {
        self.finding.seen.first
    }
}
