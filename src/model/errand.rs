//! What HTTP around MCP is about: sign-in (OAuth 2.1), and calls of language models that make their provider use MCP.

use std::borrow::Cow;

use crate::model::mcp::Site;
use crate::model::message::{HttpMethod, Request, Transaction};
use crate::model::net::Direction;

/// Where hosts of MCP servers are told what to start.
const CONFIGURES: [&str; 3] = [
    "/api/mcp/connect",
    "/mcp-rest/test/connection",
    "/mcp-rest/test/tools/list",
];

/// What a request that is no MCP itself may be about, as its method and target say; its body decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errand {
    /// To let a user sign in (RFC 6749, section 4.1.1).
    Authorize,
    /// To have a language model answer.
    Complete,
    /// To tell a host of MCP servers which one to start.
    Configure,
    /// To read metadata of a protected resource (RFC 9728) or of an authorization server (RFC 8414).
    Discover,
    /// To have a proxy open a transport of the asker's choice.
    Open,
    /// To push the parameters of an authorization request (RFC 9126).
    Push,
    /// To register a client (RFC 7591).
    Register,
    /// To get a token (RFC 6749, section 3.2).
    Token,
}

impl Errand {
    /// By method and target. A look at the query of a GET, or at the last segment of a POST's path.
    pub fn of(request: &Request) -> Option<Self> {
        if request.query().is_some_and(|query| query.contains("transportType=")) {
            return Some(Self::Open);
        }
        match request.method {
            HttpMethod::Get => {
                let well_known =
                    |path: &str| path.contains("/.well-known/oauth-") || path.contains("/.well-known/openid-");
                let asks = |query: &str| query.contains("response_type=") && query.contains("client_id=");
                if request.query().is_some_and(asks) {
                    Some(Self::Authorize)
                } else {
                    well_known(request.path()).then_some(Self::Discover)
                }
            }
            HttpMethod::Post => {
                let path = request.path().trim_end_matches('/');
                let last = path.rsplit('/').next().unwrap_or_default();
                let is = |words: &[&str]| words.iter().any(|word| last.eq_ignore_ascii_case(word));
                let token = last.len() >= 5
                    && last
                        .get(last.len().saturating_sub(5)..)
                        .is_some_and(|end| end.eq_ignore_ascii_case("token"));
                match () {
                    () if token => Some(Self::Token),
                    () if is(&["register", "registration", "reg", "clients"]) => Some(Self::Register),
                    () if is(&["par"]) => Some(Self::Push),
                    () if CONFIGURES.iter().any(|end| path.ends_with(end)) => Some(Self::Configure),
                    () if is(&["messages", "responses", "completions", "interactions"]) => Some(Self::Complete),
                    () => None,
                }
            }
            _ => None,
        }
    }

    /// Whether the body of the request says more.
    pub const fn wants_body(self) -> bool {
        matches!(
            self,
            Self::Complete | Self::Configure | Self::Push | Self::Register | Self::Token
        )
    }

    /// Whether the body of the answer says more. A token endpoint answers with tokens: those are nobody's to read.
    pub const fn wants_answer(self) -> bool {
        matches!(self, Self::Discover | Self::Register)
    }
}

/// A step of HTTP around MCP, with where it happened.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Which way the message went.
    pub dir: Direction,
    /// Server that was asked.
    pub site: Site<'a>,
    /// Heads.
    pub transaction: &'a Transaction,
    /// The exchange carried MCP, or marks of it.
    pub mcp: bool,
    /// What was said.
    pub step: &'a Step<'a>,
}

/// What was said in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Parameters of an authorization request.
    Authorization(Wish<'a>),
    /// A command that a host of MCP servers is to start.
    Command,
    /// Addresses of MCP servers that a provider of a language model is to use: URLs, or its own names for them.
    Connectors(Vec<Cow<'a, str>>),
    /// Parameters of a token request.
    Grant(Wish<'a>),
    /// Metadata of an authorization server or of a protected resource.
    Metadata(Metadata<'a>),
    /// A proxy opened a transport of the asker's choice.
    Opened,
    /// Redirect addresses that a client registers.
    Registration(Vec<Cow<'a, str>>),
    /// The name that a registered client was given.
    Registered(Cow<'a, str>),
    /// An answer that leads elsewhere.
    Redirect,
}

/// What a client wishes of an authorization server (RFC 6749, 7636, 8707). Secrets among the parameters are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish<'a> {
    /// `client_id`.
    pub client_id: Option<Cow<'a, str>>,
    /// `response_type`.
    pub response_type: Option<Cow<'a, str>>,
    /// `grant_type`.
    pub grant_type: Option<Cow<'a, str>>,
    /// `redirect_uri`.
    pub redirect_uri: Option<Cow<'a, str>>,
    /// `resource`.
    pub resource: Option<Cow<'a, str>>,
    /// Whether there is a `code_challenge`, or on a token request a `code_verifier`.
    pub proof_key: bool,
    /// `code_challenge_method`.
    pub method: Option<Cow<'a, str>>,
}

/// Members of a metadata document that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// It is about a protected resource, not about an authorization server.
    pub of_resource: bool,
    /// `resource`.
    pub resource: Option<Cow<'a, str>>,
    /// `authorization_servers`.
    pub authorization_servers: Vec<Cow<'a, str>>,
    /// `issuer`.
    pub issuer: Option<Cow<'a, str>>,
    /// Members whose names end in `_endpoint` or `_uri`.
    pub endpoints: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// `code_challenge_methods_supported`; `None` when it is not there.
    pub methods: Option<Vec<Cow<'a, str>>>,
}
