//! Reads the steps of HTTP around MCP: forms, queries and documents become typed facts. Sans-IO, keeps nothing.

use std::borrow::Cow;

use crate::mcp::scan;
use crate::model::errand::{Errand, Metadata, Step, Wish};
use crate::model::message::{Body, Carrier, Field, Message, Transaction};
use crate::model::net::Direction;

/// Parameters of a query or form that are read.
const PARAMETERS_MAX: usize = 64;
/// Elements of a list that are read.
const ELEMENTS_MAX: usize = 64;

/// What a message says of a step around MCP; `None` for nearly all.
pub(super) fn step<'a>(message: &Message<'a>) -> Option<Step<'a>> {
    let transaction = message.transaction.filter(|_| message.carrier == Carrier::HttpBody)?;
    let request = transaction.request.as_ref();
    if message.dir == Direction::ToClient && leads_on(transaction) {
        return Some(Step::Redirect);
    }
    let errand = Errand::of(request?)?;
    if (message.dir, errand) == (Direction::ToServer, Errand::Authorize) {
        return request?
            .query()
            .map(|query| Step::Authorization(wish(query.as_bytes())));
    }
    if (message.dir, errand) == (Direction::ToClient, Errand::Open) {
        let status = transaction.response.as_ref().map_or(0, |response| response.status);
        return (200..300).contains(&status).then_some(Step::Opened);
    }
    let Body::Whole(body) = message.body else { return None };
    match (message.dir, errand) {
        (Direction::ToServer, Errand::Push) => {
            let wish = wish(body);
            wish.client_id.is_some().then_some(Step::Authorization(wish))
        }
        (Direction::ToServer, Errand::Token) => {
            let wish = wish(body);
            wish.grant_type.is_some().then_some(Step::Grant(wish))
        }
        (Direction::ToServer, Errand::Complete) => connectors(std::str::from_utf8(body).ok()?),
        (Direction::ToServer, Errand::Configure) => {
            starts_command(std::str::from_utf8(body).ok()?).then_some(Step::Command)
        }
        (Direction::ToServer, Errand::Register) => {
            let body = std::str::from_utf8(body).ok()?;
            let uris = scan::items(body).find("redirect_uris")?;
            Some(Step::Registration(texts(uris)))
        }
        (Direction::ToClient, Errand::Register) => {
            let body = std::str::from_utf8(body).ok()?;
            scan::items(body)
                .find("client_id")
                .and_then(scan::text)
                .map(Step::Registered)
        }
        (Direction::ToClient, Errand::Discover) => {
            let found = transaction
                .response
                .as_ref()
                .is_some_and(|response| response.status == 200);
            let of_resource = request?.path().contains("/oauth-protected-resource");
            let body = std::str::from_utf8(body).ok().filter(|_| found)?;
            metadata(body, of_resource).map(Step::Metadata)
        }
        _ => None,
    }
}

fn leads_on(transaction: &Transaction) -> bool {
    transaction
        .response
        .as_ref()
        .is_some_and(|response| (300..400).contains(&response.status) && response.headers.has(Field::Location))
}

/// A query or form (`application/x-www-form-urlencoded`). Of a parameter that is there twice the last one counts.
fn wish(text: &[u8]) -> Wish<'_> {
    let mut wish = Wish::default();
    for (key, value) in form_urlencoded::parse(text).take(PARAMETERS_MAX) {
        match &*key {
            "client_id" => wish.client_id = Some(value),
            "response_type" => wish.response_type = Some(value),
            "grant_type" => wish.grant_type = Some(value),
            "redirect_uri" => wish.redirect_uri = Some(value),
            "resource" => wish.resource = Some(value),
            "code_challenge" | "code_verifier" => wish.proof_key |= !value.is_empty(),
            "code_challenge_method" => wish.method = Some(value),
            _ => {}
        }
    }
    wish
}

fn metadata(body: &str, of_resource: bool) -> Option<Metadata<'_>> {
    let mut seen = Metadata {
        of_resource,
        ..Metadata::default()
    };
    for member in scan::items(body) {
        match member.key {
            "resource" => seen.resource = scan::text(member.value),
            "issuer" => seen.issuer = scan::text(member.value),
            "authorization_servers" => seen.authorization_servers = texts(member.value),
            "code_challenge_methods_supported" => seen.methods = Some(texts(member.value)),
            key if key.ends_with("_endpoint") || key.ends_with("_uri") => {
                if let Some(url) = scan::text(member.value).filter(|_| seen.endpoints.len() < ELEMENTS_MAX) {
                    seen.endpoints.push((Cow::Borrowed(key), url));
                }
            }
            _ => {}
        }
    }
    let known = if of_resource { &seen.resource } else { &seen.issuer };
    (known.is_some() || !seen.endpoints.is_empty()).then_some(seen)
}

/// MCP servers that a call of a language model names: `mcp_servers` of the Messages API, tools of type `mcp` of the
/// Responses API and its relatives, `mcp_server` of the Interactions API.
fn connectors(body: &str) -> Option<Step<'_>> {
    let (mut servers, mut model) = (Vec::new(), false);
    for member in scan::items(body) {
        match member.key {
            "model" | "agent" => model = member.value.starts_with('"'),
            "mcp_servers" => servers.extend(elements(member.value).filter_map(|server| find(server, &["url"]))),
            "tools" => {
                let tools = elements(member.value).filter(|tool| {
                    let kind = scan::items(tool).find("type").and_then(scan::text);
                    matches!(kind.as_deref(), Some("mcp" | "mcp_server"))
                });
                servers.extend(tools.filter_map(|tool| find(tool, &["server_url", "connector_id", "url"])));
            }
            _ => {}
        }
    }
    (model && !servers.is_empty()).then_some(Step::Connectors(servers))
}

/// Whether the configuration of a server names a command, at the top or one level below.
fn starts_command(body: &str) -> bool {
    let names = |object: &str| scan::items(object).find("command").is_some_and(|value| value.len() > 2);
    let inner = |member: scan::Member<'_>| member.value.starts_with('{') && names(member.value);
    names(body) || scan::items(body).take(ELEMENTS_MAX).any(inner)
}

/// The first of these members that is a text.
fn find<'a>(object: &'a str, keys: &[&str]) -> Option<Cow<'a, str>> {
    keys.iter()
        .find_map(|key| scan::items(object).find(key).and_then(scan::text))
}

/// Objects of an array.
fn elements(array: &str) -> impl Iterator<Item = &str> {
    scan::items(array)
        .map(|element| element.value)
        .filter(|value| value.starts_with('{'))
        .take(ELEMENTS_MAX)
}

fn texts(array: &str) -> Vec<Cow<'_, str>> {
    scan::items(array)
        .take(ELEMENTS_MAX)
        .filter_map(|element| scan::text(element.value))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let wish = wish(b"grant_type=authorization_code&code=x&redirect_uri=http%3A%2F%2F127.0.0.1%3A7%2Fcb&client_id=a+b&code_verifier=y&resource=https://h/mcp");
        assert_eq!(wish.grant_type.as_deref(), Some("authorization_code"));
        assert_eq!(wish.redirect_uri.as_deref(), Some("http://127.0.0.1:7/cb"));
        assert_eq!(wish.client_id.as_deref(), Some("a b"));
        assert_eq!(wish.resource.as_deref(), Some("https://h/mcp"));
        assert!(wish.proof_key && wish.method.is_none());
        assert!(!super::wish(b"code_challenge=").proof_key);
    }

    #[test]
    fn calls_of_models() {
        let servers = |body: &str| match connectors(body) {
            Some(Step::Connectors(servers)) => servers.join(" "),
            _ => String::new(),
        };
        for (body, found) in [
            (
                r#"{"model":"m","mcp_servers":[{"type":"url","url":"https://mcp.shelf.example/sse","name":"shelf"}]}"#,
                "https://mcp.shelf.example/sse",
            ),
            (
                r#"{"model":"m","tools":[{"type":"function"},{"type":"mcp","server_label":"x","server_url":"https:\/\/a.example\/mcp"},{"type":"mcp","connector_id":"connector_drive"}]}"#,
                "https://a.example/mcp connector_drive",
            ),
            (
                r#"{"tools":[{"type":"mcp_server","name":"w","url":"https://w.example/mcp"}],"model":"m"}"#,
                "https://w.example/mcp",
            ),
            (
                r#"{"model":"m","messages":[{"content":"\"mcp_servers\":[{\"url\":\"x\"}]"}]}"#,
                "",
            ),
            (
                r#"{"model":"m","tools":[{"type":"function","server_url":"https://a.example"}]}"#,
                "",
            ),
            (r#"{"mcp_servers":[{"url":"https://a.example"}]}"#, ""),
            (r#"{"model":"m","mcp_servers":[]}"#, ""),
        ] {
            assert_eq!(servers(body), found, "{body}");
        }
    }

    #[test]
    fn documents() {
        let seen = metadata(
            r#"{"issuer":"https://as.example","authorization_endpoint":"https://as.example/a","code_challenge_methods_supported":["plain"],"x":1}"#,
            false,
        )
        .unwrap();
        assert_eq!(seen.endpoints.len(), 1);
        assert_eq!(seen.methods.unwrap(), ["plain"]);
        assert!(metadata("{}", false).is_none() && metadata("[]", true).is_none());
    }
}
