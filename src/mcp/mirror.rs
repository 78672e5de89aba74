//! Fields that repeat parts of the body (2026-07-28, Streamable HTTP): do both say the same?
//!
//! A relay decides by the fields, a server by the body. Whoever gets both to accept a request in which the two differ
//! has passed the relay's rules, so the specification wants such a request refused (error -32020).

use std::borrow::Cow;

use base64::Engine as _;

use crate::mcp::scan;
use crate::mcp::shape::Params;
use crate::mcp::walk::MAX_DEPTH;
use crate::model::mcp::{JsonRpc, Odd, Revision};
use crate::model::message::{Field, Headers};

/// Prefix of the fields that repeat arguments.
const PARAM: &[u8] = b"mcp-param-";
/// Around a value that no field can hold as it is.
const ENCODED: (&str, &str) = ("=?base64?", "?=");
/// Values of arguments that one field is held against.
const VALUES_MAX: usize = 4096;

/// Where the fields of a request say something else than its body. Cut bodies are not judged by their arguments.
pub(super) fn disagreement(headers: &Headers, rpc: &JsonRpc<'_>, params: &Params<'_>) -> u8 {
    let marked = [Field::McpMethod, Field::McpName, Field::McpProtocolVersion];
    if !marked.iter().any(|field| headers.has(*field)) {
        return 0;
    }
    let mut odd = 0;
    if text(headers, Field::McpMethod).is_some_and(|method| method != rpc.method) {
        odd |= Odd::METHOD;
    }
    if let (Some(field), Some(name)) = (text(headers, Field::McpName), &params.name)
        && decoded(field).is_some_and(|field| field != *name)
    {
        odd |= Odd::NAME;
    }
    let revision = text(headers, Field::McpProtocolVersion).and_then(Revision::parse);
    if revision.is_some() && params.stateless && params.revision != revision {
        odd |= Odd::REVISION;
    }
    if marked.iter().any(|field| differs(headers, *field)) {
        odd |= Odd::REPEATED;
    }
    if !rpc.cut && rpc.method == "tools/call" && strays(headers, params.arguments.unwrap_or_default()) {
        odd |= Odd::PARAM;
    }
    odd
}

fn text(headers: &Headers, field: Field) -> Option<&str> {
    headers.text(field).map(str::trim)
}

/// Whether a field stands there more than once, with different values.
fn differs(headers: &Headers, field: Field) -> bool {
    let Some(first) = headers.get(field).filter(|_| headers.repeats(field)) else {
        return false;
    };
    headers.members(field).any(|value| value != first.trim_ascii())
}

/// Whether the value of an `Mcp-Param-*` field is nowhere in the arguments. Which argument it repeats stands in the
/// tool's schema; the value of none is the value of that one neither.
fn strays(headers: &Headers, arguments: &str) -> bool {
    headers
        .iter()
        .filter(|(name, _)| {
            name.get(..PARAM.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(PARAM))
        })
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .filter_map(|value| decoded(value.trim()))
        .any(|value| !holds(arguments, &value))
}

/// Whether a string, number or truth value anywhere in a JSON text is `wanted`.
fn holds(json: &str, wanted: &str) -> bool {
    let mut open = vec![scan::items(json)];
    let mut left = VALUES_MAX;
    while let Some(items) = open.last_mut() {
        let Some(member) = items.next() else {
            open.pop();
            continue;
        };
        let value = member.value;
        // So many, or so deep, that nobody can say.
        let Some(fewer) = left.checked_sub(1).filter(|_| open.len() < MAX_DEPTH) else {
            return true;
        };
        left = fewer;
        match value.as_bytes().first() {
            Some(b'{' | b'[') => open.push(scan::items(value)),
            Some(b'"') if scan::text(value).is_some_and(|text| same(&text, wanted)) => return true,
            Some(b'"') => {}
            _ if same(value, wanted) => return true,
            _ => {}
        }
    }
    false
}

/// Numbers compare as numbers: `42.0` is `42`.
fn same(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    one.trim() == other.trim() || number(one).is_some_and(|one| number(other) == Some(one))
}

/// A field's value, decoded where it is encoded; `None` when it is encoded wrongly, which proves nothing.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value
        .strip_prefix(ENCODED.0)
        .and_then(|rest| rest.strip_suffix(ENCODED.1))
    else {
        return value.is_ascii().then_some(Cow::Borrowed(value));
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::mcp::{jsonrpc, shape};

    fn odd(fields: &[(&str, &str)], body: &str) -> u8 {
        let mut headers = Headers::default();
        fields
            .iter()
            .for_each(|(name, value)| headers.push(name.as_bytes(), value.as_bytes()));
        let mut found = None;
        jsonrpc::each(body, false, &mut |envelope| {
            let rpc = envelope.view();
            let params = shape::params(rpc.params.unwrap_or("{}"), false);
            found = Some(disagreement(&headers, &rpc, &params));
        });
        found.unwrap()
    }

    const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"wetter in köln","arguments":{"n":42.0,"deep":[{"region":"eu","on":true}]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;

    #[test]
    fn fields_that_agree() {
        let name = ("mcp-name", "=?base64?d2V0dGVyIGluIGvDtmxu?=");
        for fields in [
            &[
                ("Mcp-Method", "tools/call"),
                name,
                ("MCP-Protocol-Version", "2026-07-28"),
            ][..],
            &[("Mcp-Method", " tools/call"), ("Mcp-Method", "tools/call"), name],
            &[
                name,
                ("Mcp-Param-Region", "eu"),
                ("Mcp-Param-N", "42"),
                ("mcp-param-on", "true"),
            ],
            &[name, ("Mcp-Param-Region", "=?base64?ZXU=?=")],
            &[name, ("Mcp-Param-Region", "=?base64?%%%?=")],
            &[("X-Mcp-Method", "tools/list"), ("Mcp-Param-Region", "us")],
            &[("Mcp-Method", "tools/call"), ("Mcp-Name", "wetter in k\u{f6}ln")],
        ] {
            assert_eq!(odd(fields, CALL), 0, "{fields:?}");
        }
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        assert_eq!(odd(&[("Mcp-Method", "tools/list"), ("Mcp-Name", "x")], list), 0);
    }

    #[test]
    fn fields_that_disagree() {
        for (fields, expect) in [
            (&[("Mcp-Method", "tools/list")][..], Odd::METHOD),
            (&[("Mcp-Name", "other")], Odd::NAME),
            (&[("MCP-Protocol-Version", "2025-11-25")], Odd::REVISION),
            (&[("Mcp-Method", "tools/call"), ("Mcp-Param-Region", "us")], Odd::PARAM),
            (
                &[("Mcp-Method", "tools/call"), ("mcp-method", "tools/list")],
                Odd::REPEATED,
            ),
            (
                &[("Mcp-Method", "prompts/get"), ("Mcp-Name", "other")],
                Odd::METHOD | Odd::NAME,
            ),
        ] {
            assert_eq!(odd(fields, CALL), expect, "{fields:?}");
        }
    }
}
