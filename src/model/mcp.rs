//! The words of JSON-RPC 2.0 and of the Model Context Protocol.

use crate::model::net::Endpoint;

/// What a JSON-RPC message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RpcKind {
    /// `method` and `id`.
    Request,
    /// `method` without `id`.
    Notification,
    /// `result`.
    Success,
    /// `error`, also with an id of null or without one.
    Error,
}

/// One JSON-RPC 2.0 message: the envelope only, values as they stood on the wire.
#[derive(Clone, Copy, Debug)]
pub struct JsonRpc<'a> {
    /// Request, notification, success or error.
    pub kind: RpcKind,
    /// `method`, unescaped.
    pub method: &'a str,
    /// `id` as raw JSON token, so that `1`, `"1"` and `1.0` stay different; `None` when absent or null.
    pub id: Option<&'a str>,
    /// Raw JSON of `params`.
    pub params: Option<&'a str>,
    /// Raw JSON of `result`.
    pub result: Option<&'a str>,
    /// Raw JSON of `error`.
    pub error: Option<&'a str>,
    /// Length of its text, as far as it was captured, in bytes.
    pub bytes: u32,
    /// The message was cut: only a part of the body was captured.
    pub cut: bool,
    /// What two readers of the message may disagree about.
    pub odd: Odd,
}

/// What about a message lets two readers of it understand different things; a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Odd(pub u8);

impl Odd {
    /// A member in a letter case that only a lenient parser accepts (CVE-2026-27896).
    pub const FOLDED: u8 = 1;
    /// A member stands there twice, with different values (RFC 8259, section 4).
    pub const TWICE: u8 = 2;
    /// `Mcp-Method` names another method than the body.
    pub const METHOD: u8 = 4;
    /// `Mcp-Name` names another tool, prompt, resource or task than the body.
    pub const NAME: u8 = 8;
    /// The value of an `Mcp-Param-*` field is in none of the arguments.
    pub const PARAM: u8 = 16;
    /// `MCP-Protocol-Version` names another revision than `_meta`.
    pub const REVISION: u8 = 32;
    /// An `Mcp-*` field stands there twice, with different values.
    pub const REPEATED: u8 = 64;

    /// Whether any of the bits is set.
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// Adds bits.
    pub const fn add(&mut self, bits: u8) {
        self.0 |= bits;
    }
}

/// What a client says it can be asked for by a server; a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Abilities(pub u8);

impl Abilities {
    /// `elicitation`.
    pub const ELICITATION: u8 = 1;
    /// `roots`.
    pub const ROOTS: u8 = 2;
    /// `sampling`.
    pub const SAMPLING: u8 = 4;

    /// The ability that a request of a server needs; 0 for any other method.
    pub fn needed(method: &str) -> u8 {
        match method {
            "elicitation/create" => Self::ELICITATION,
            "roots/list" => Self::ROOTS,
            "sampling/createMessage" => Self::SAMPLING,
            _ => 0,
        }
    }

    /// The ability of that name in `capabilities`; 0 for any other.
    pub fn named(key: &str) -> u8 {
        match key {
            "elicitation" => Self::ELICITATION,
            "roots" => Self::ROOTS,
            "sampling" => Self::SAMPLING,
            _ => 0,
        }
    }

    /// Whether any of the bits is set.
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

/// Who carried a message: the contract's `transport`, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum McpTransport {
    /// 2025-03-26 and later: one endpoint, POST and optionally GET.
    StreamableHttp,
    /// 2024-11-05: a GET event stream and a POST address announced on it.
    HttpSse,
    /// One JSON-RPC object per WebSocket message.
    WebSocket,
    /// Newline-delimited or framed JSON-RPC on TCP.
    RawTcp,
    /// Inferred from a name; the content could not be read.
    UnknownEncrypted,
}

impl McpTransport {
    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::HttpSse => "http-sse",
            Self::RawTcp => "raw-tcp",
            Self::StreamableHttp => "streamable-http",
            Self::UnknownEncrypted => "unknown-encrypted",
            Self::WebSocket => "websocket",
        }
    }
}

/// The credential on a request: the contract's `auth`, weakest first so that `max` is the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Auth {
    /// No HTTP credential at all.
    None,
    /// A cookie, or an `Authorization` scheme without a name of its own here.
    Other,
    /// RFC 7617.
    Basic,
    /// A header named like an API key, or a key in the query string.
    ApiKey,
    /// RFC 6750.
    Bearer,
}

impl Auth {
    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::None => "none",
            Self::Other => "other",
        }
    }
}

/// A protocol revision, `YYYY-MM-DD`. Unknown future dates are accepted: this is never a closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision([u8; 10]);

impl Revision {
    /// The first stateless revision: no handshake, identity in every request.
    pub const STATELESS: Self = Self(*b"2026-07-28");

    /// Parses `20dd-dd-dd`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 10] = text.as_bytes().try_into().ok()?;
        let digits = bytes
            .iter()
            .enumerate()
            .all(|(at, b)| matches!(at, 4 | 7) || b.is_ascii_digit());
        (digits && bytes.starts_with(b"20") && bytes[4] == b'-' && bytes[7] == b'-').then_some(Self(bytes))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a message was addressed: with [`Endpoint`] the identity of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Site<'a> {
    /// Address and port.
    pub endpoint: Endpoint,
    /// Name that led here: HTTP `Host` or SNI; `None` when it was an address or unknown.
    pub hostname: Option<&'a str>,
    /// Path template without query; `None` when no request head was read.
    pub path: Option<&'a str>,
}
