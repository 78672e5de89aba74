//! Observations: what one flow showed at one moment, borrowed from it.
//!
//! An observation may hold raw text; it cannot outlive the call that reads it.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::model::dns::{Announced, Dns, Resolved};
use crate::model::errand::Around;
use crate::model::flow::FlowInfo;
use crate::model::mcp::{Abilities, Auth, JsonRpc, McpTransport, Odd, Revision, Site};
use crate::model::message::Transaction;
use crate::model::net::Direction;
use crate::model::server::Encryption;
use crate::model::stamp::Stamp;
use crate::model::tls::{Tls, TlsAnswer};

/// What one flow showed at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// When and which packet.
    pub at: Stamp,
    /// Where.
    pub flow: &'a FlowInfo,
    /// What.
    pub fact: Fact<'a>,
}

/// Something typed worth knowing.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A service tells by DNS where it is.
    Announced(Announced<'a>),
    /// A request head with a value of `Authorization`, or of it for a `Host` or path, that this flow had not shown before.
    Credential(&'a Transaction),
    /// A step of HTTP around MCP: sign-in, redirects, calls of language models.
    Around(Around<'a>),
    /// A DNS question, asked or repeated by its answer.
    Dns(Dns<'a>),
    /// A request head with a `Host` or path that this flow had not shown before.
    Http(&'a Transaction),
    /// An MCP message, or an HTTP exchange with MCP's marks on it.
    Mcp(&'a Mcp<'a>),
    /// A DNS answer tells where a name leads.
    Resolved(Resolved<'a>),
    /// A TLS ClientHello.
    Tls(Tls<'a>),
    /// What a TLS server's first flight says, told once and after the ClientHello.
    TlsAnswer(TlsAnswer<'a>),
    /// A layer found another stream inside its own.
    Uncovered(Cover<'a>),
    /// Something around MCP messages that no honest sender does.
    Violation(Violation<'a>),
}

/// Something around MCP messages that no honest sender does, in a way that matters for security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation<'a> {
    /// What.
    pub breach: Breach,
    /// Who did it.
    pub dir: Direction,
    /// Server that the flow's messages belong to, as far as is known.
    pub site: Site<'a>,
}

/// A kind of [`Violation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breach {
    /// Two TCP segments give different bytes for the same place: what the receiver read is a matter of its taste.
    AmbiguousOverlap,
}

/// What was around a stream that a layer uncovered. Told before the first byte of that stream is handed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover<'a> {
    /// A relay between the ends: a PROXY preface, HTTP CONNECT, SOCKS.
    Relayed {
        /// Who really asks, where the relay says so.
        client: Option<IpAddr>,
        /// Host that the stream really goes to, lower case, without a port.
        host: Option<&'a str>,
    },
    /// Encryption that key material opened.
    Opened(Encryption),
}

/// Name and version that a peer gives itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implementation<'a> {
    /// `name`.
    pub name: Cow<'a, str>,
    /// `version`; may be empty.
    pub version: Cow<'a, str>,
}

/// What a message proves; bits of [`Mcp::proof`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof(pub u8);

impl Proof {
    /// The client speaks MCP: M1, M3, class A notifications.
    pub const CLIENT: u8 = 1;
    /// The server speaks MCP: M2, M4 to M10, or what only its answer explains.
    pub const SERVER: u8 = 2;
    /// The client echoes a session id or ends its handshake: proof of the server in a one-sided capture.
    pub const ECHO: u8 = 4;
    /// Only MCP-shaped: a class B request, or MCP headers without a body.
    pub const SUSPECT: u8 = 8;

    /// Whether any of the bits is set.
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

/// The request that a response answers, as far as it was on the same connection.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// When the request was sent.
    pub at: Stamp,
    /// Method of the request.
    pub method: &'a str,
    /// Tool, prompt or resource that was asked for.
    pub name: Option<&'a str>,
    /// Scheme of the URI of a resource that was asked for.
    pub scheme: Option<&'a str>,
    /// Credential on the request.
    pub auth: Auth,
    /// `cursor` of a list request, hashed.
    pub cursor: Option<u64>,
    /// Revision that the request named, in `_meta` or in `MCP-Protocol-Version`.
    pub revision: Option<Revision>,
    /// Revision that an `initialize` offered.
    pub offered: Option<Revision>,
    /// What the client said that it can be asked for; `None` when it did not say.
    pub able: Option<Abilities>,
    /// What was odd about the request.
    pub odd: Odd,
}

/// What a server offers besides tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offer {
    /// A prompt template.
    Prompt,
    /// A resource.
    Resource,
}

/// One page of a `tools/list` result.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// Cursor that asked for this page, hashed; `None` for the first page, or when the request was not seen.
    pub cursor: Option<u64>,
    /// Cursor of the next page, hashed.
    pub next: Option<u64>,
    /// The tools.
    pub tools: Vec<ToolDef<'a>>,
}

/// A tool as its server describes it.
#[derive(Clone, Debug)]
pub struct ToolDef<'a> {
    /// `name`.
    pub name: Cow<'a, str>,
    /// SHA-256 over the canonical form: keys sorted, insignificant white space dropped.
    pub sha256: [u8; 32],
    /// SHA-256 of the description as sent.
    pub description_sha256: Option<[u8; 32]>,
    /// Canonical JSON of the whole definition.
    pub canonical: String,
}

/// An MCP message in its surroundings.
#[derive(Debug)]
pub struct Mcp<'a> {
    /// The envelope; `None` for an HTTP exchange whose body was not read.
    pub rpc: Option<JsonRpc<'a>>,
    /// Which way.
    pub dir: Direction,
    /// Server it belongs to.
    pub site: Site<'a>,
    /// Who carried it; `None` when it could be either of HTTP's two transports.
    pub transport: Option<McpTransport>,
    /// HTTP heads.
    pub transaction: Option<&'a Transaction>,
    /// What a response answers.
    pub call: Option<Call<'a>>,
    /// Tool, prompt or resource that a request names.
    pub name: Option<Cow<'a, str>>,
    /// Scheme of the URI of a resource that a request names.
    pub scheme: Option<&'a str>,
    /// Session, as a hash of its id; on transports without ids, of the connection.
    pub session: Option<u64>,
    /// Credential on the request of this exchange; `None` when no request was read.
    pub auth: Option<Auth>,
    /// Revision that a successful answer settles: negotiated, or named by the request that it answers.
    pub revision: Option<Revision>,
    /// `clientInfo`.
    pub client: Option<Implementation<'a>>,
    /// `serverInfo`.
    pub server: Option<Implementation<'a>>,
    /// `instructions` of the server, unescaped.
    pub instructions: Option<Cow<'a, str>>,
    /// Tools of a list result.
    pub listing: Option<Listing<'a>>,
    /// Resources and prompts of a list result, by hash of their URI or name.
    pub offers: Vec<(Offer, u64)>,
    /// What it proves. On an exchange without `rpc`, `ECHO` says that its request echoed what only a server gives.
    pub proof: Proof,
    /// Whether a result reports success (no error, no `isError`); on an exchange without `rpc`, a 2xx status.
    pub success: bool,
    /// A result with content, resources, prompts or messages in it: it gives something away.
    pub gives: bool,
    /// A result of the stateless revision that asks the client for input.
    pub wants_input: bool,
    /// Something of this flow looks like MCP: the message is worth a detector's time.
    pub relevant: bool,
    /// The request head of `transaction` is shown for the first time.
    pub request_head: bool,
    /// The response head of `transaction` is shown for the first time.
    pub response_head: bool,
    /// An `endpoint` event announced this path for POSTs (2024-11-05).
    pub alias: Option<&'a str>,
}
