//! What the raw values of a message hold: identities, revisions, the shapes that only MCP's results have.
//!
//! One pass over the first level of `params` or `result`, a second level only where it is needed.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::mcp::scan;
use crate::model::mcp::{Abilities, Odd, Revision};
use crate::model::observation::Implementation;

const META_ABLE: &str = "io.modelcontextprotocol/clientCapabilities";
const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
const META_REVISION: &str = "io.modelcontextprotocol/protocolVersion";
const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";
const META_SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Elements of an array that are looked at to tell its shape.
const SHAPE_MAX_ELEMENTS: usize = 8;

/// Resources or prompts of one page that are counted.
pub const LIST_MAX_ELEMENTS: usize = 4096;

static META: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("io.modelcontextprotocol/"));

/// What `params` hold.
#[derive(Debug, Default)]
pub struct Params<'a> {
    /// `protocolVersion` of an `initialize`, or of `_meta`.
    pub revision: Option<Revision>,
    /// Whether the revision came from `_meta`: a stateless request.
    pub stateless: bool,
    /// `clientInfo`.
    pub client: Option<Implementation<'a>>,
    /// `capabilities` is an object.
    pub capabilities: bool,
    /// `name`, `uri` or `taskId`: what a request is about.
    pub name: Option<Cow<'a, str>>,
    /// Raw `arguments`.
    pub arguments: Option<&'a str>,
    /// What of `capabilities` lets a server ask; `None` when the message does not tell them.
    pub able: Option<Abilities>,
    /// What two readers may disagree about.
    pub odd: Odd,
    /// `cursor` of a list request.
    pub cursor: Option<&'a str>,
    /// `_meta` names a subscription.
    pub subscription: bool,
}

/// Reads `params`; those of `initialize` say more.
pub fn params(raw: &str, initialize: bool) -> Params<'_> {
    let mut seen = Params::default();
    let (mut subject, mut arguments) = (None, None);
    let meta = META.find(raw.as_bytes()).is_some();
    for member in scan::items(raw) {
        match member.key {
            "name" | "uri" | "taskId" => {
                seen.odd.add(twice(subject.replace((member.key, member.value)), member));
                seen.name = seen.name.or_else(|| scan::text(member.value));
            }
            "arguments" => {
                seen.odd
                    .add(twice(arguments.replace((member.key, member.value)), member));
                seen.arguments = Some(member.value);
            }
            "cursor" => seen.cursor = Some(member.value),
            "protocolVersion" if initialize => seen.revision = revision(member.value),
            "capabilities" if initialize => {
                seen.capabilities = member.value.starts_with('{');
                seen.able = seen.capabilities.then(|| abilities(member.value));
            }
            "clientInfo" if initialize => seen.client = implementation(member.value),
            "_meta" if meta => {
                for inner in scan::items(member.value) {
                    match inner.key {
                        META_REVISION => {
                            seen.revision = revision(inner.value);
                            seen.stateless = seen.revision.is_some();
                        }
                        META_ABLE => seen.able = Some(abilities(inner.value)),
                        META_CLIENT => seen.client = implementation(inner.value),
                        META_SUBSCRIPTION => seen.subscription = true,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    seen
}

/// Whether a member stood there before with another value.
fn twice(earlier: Option<(&str, &str)>, member: scan::Member<'_>) -> u8 {
    let differs = earlier.is_some_and(|(key, value)| key == member.key && value != member.value);
    if differs { Odd::TWICE } else { 0 }
}

/// What of a client's capabilities lets a server ask.
fn abilities(raw: &str) -> Abilities {
    let told = scan::items(raw).filter(|member| member.value != "null");
    Abilities(told.fold(0, |all, member| all | Abilities::named(member.key)))
}

/// Value of one member of `params`, present and not null.
pub fn has(raw: &str, key: &str) -> bool {
    scan::items(raw).find(key).is_some_and(|value| value != "null")
}

/// What a `result` holds.
#[derive(Debug, Default)]
pub struct ResultShape<'a> {
    /// `protocolVersion`.
    pub revision: Option<Revision>,
    /// `capabilities` is an object.
    pub capabilities: bool,
    /// `supportedVersions` is an array of date strings.
    pub supported: bool,
    /// `serverInfo`, at the top or in `_meta`.
    pub server: Option<Implementation<'a>>,
    /// Whether `server` came from `_meta`.
    pub meta: bool,
    /// `instructions`.
    pub instructions: Option<Cow<'a, str>>,
    /// Raw `tools`.
    pub tools: Option<&'a str>,
    /// Raw `nextCursor`.
    pub next_cursor: Option<&'a str>,
    /// Raw `content`.
    pub content: Option<&'a str>,
    /// Raw `resources`.
    pub resources: Option<&'a str>,
    /// Raw `prompts`.
    pub prompts: Option<&'a str>,
    /// There is content, or a list of what the server offers.
    pub gives: bool,
    /// `isError` is true.
    pub is_error: bool,
    /// `resultType` is `input_required`, with `inputRequests` or `requestState`.
    pub input_required: bool,
}

/// Reads a `result`.
pub fn result(raw: &str) -> ResultShape<'_> {
    let mut seen = ResultShape::default();
    let (mut asks, mut state) = (false, false);
    for member in scan::items(raw) {
        let value = member.value;
        seen.gives |= matches!(
            member.key,
            "content"
                | "contents"
                | "messages"
                | "prompts"
                | "resourceTemplates"
                | "resources"
                | "structuredContent"
                | "tools"
        );
        match member.key {
            "protocolVersion" => seen.revision = revision(value),
            "capabilities" => seen.capabilities = value.starts_with('{'),
            "supportedVersions" => {
                let mut versions = scan::items(value).take(SHAPE_MAX_ELEMENTS).peekable();
                seen.supported = value.starts_with('[')
                    && versions.peek().is_some()
                    && versions.all(|version| revision(version.value).is_some());
            }
            "serverInfo" => seen.server = implementation(value).or(seen.server),
            "instructions" => seen.instructions = scan::text(value),
            "tools" => seen.tools = array(value),
            "content" => seen.content = array(value),
            "resources" => seen.resources = array(value),
            "prompts" => seen.prompts = array(value),
            "nextCursor" => seen.next_cursor = Some(value).filter(|value| *value != "null"),
            "isError" => seen.is_error = value == "true",
            "resultType" => asks = value == "\"input_required\"",
            "inputRequests" | "requestState" => state = true,
            "_meta" => {
                if let Some(info) = scan::items(value).find(META_SERVER).and_then(implementation) {
                    seen.meta = true;
                    seen.server.get_or_insert(info);
                }
            }
            _ => {}
        }
    }
    seen.input_required = asks && state;
    seen
}

/// Raw values of one key in the objects of an array, at most [`LIST_MAX_ELEMENTS`].
pub fn keys<'a>(list: &'a str, key: &'static str) -> impl Iterator<Item = &'a str> {
    scan::items(list)
        .take(LIST_MAX_ELEMENTS)
        .filter_map(move |element| scan::items(element.value).find(key))
}

/// Whether `content` is a list of blocks of the specification.
pub fn blocks(content: &str) -> bool {
    let mut blocks = scan::items(content).take(SHAPE_MAX_ELEMENTS).peekable();
    blocks.peek().is_some()
        && blocks.all(|block| {
            let kind = scan::items(block.value).find("type").and_then(scan::text);
            matches!(
                kind.as_deref(),
                Some("text" | "image" | "audio" | "resource" | "resource_link")
            )
        })
}

/// Code and raw `data` of an error.
pub fn error(raw: &str) -> (Option<i64>, Option<&str>) {
    let walk = scan::items(raw);
    (
        walk.clone().find("code").and_then(|code| code.parse().ok()),
        walk.find("data"),
    )
}

/// M6: an error that only MCP defines, by its code and the data that belong to it.
pub fn is_mcp_error(raw: &str) -> bool {
    let (code, data) = error(raw);
    let data = data.unwrap_or_default();
    match code {
        Some(-32022) => scan::items(data).find("supported").is_some_and(|list| {
            list.starts_with('[') && scan::items(list).next().is_some_and(|v| revision(v.value).is_some())
        }),
        Some(-32021) => scan::items(data)
            .find("requiredCapabilities")
            .is_some_and(|value| value.starts_with('{')),
        _ => false,
    }
}

fn array(value: &str) -> Option<&str> {
    value.starts_with('[').then_some(value)
}

fn revision(value: &str) -> Option<Revision> {
    Revision::parse(&scan::text(value)?)
}

/// `{name, version}`; needs a name.
fn implementation(value: &str) -> Option<Implementation<'_>> {
    if !value.starts_with('{') {
        return None;
    }
    let walk = scan::items(value);
    let name = scan::text(walk.clone().find("name")?)?;
    let version = walk.find("version").and_then(scan::text).unwrap_or_default();
    Some(Implementation { name, version })
}
