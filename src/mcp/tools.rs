//! Tool definitions: the pages of `tools/list` and their canonical form.
//!
//! Two definitions are the same when their canonical texts are: keys sorted, insignificant white space gone, runs of
//! white space in titles and descriptions folded, `_meta` left out because it describes the answer and not the tool.
//! Rare (one list for dozens of calls), so this parses whole values.

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::mcp::lenient;
use crate::model::observation::ToolDef;

/// Tools of one page that are read.
pub const PAGE_MAX_TOOLS: usize = 4096;

/// Tools of a raw `tools` array, and whether every entry has the shape that is MCP's alone: `name`, and an
/// `inputSchema` object. An empty array has no shape.
pub fn parse(raw: &str) -> (Vec<ToolDef<'static>>, bool) {
    let mut tools = Vec::new();
    let mut shaped = true;
    for element in crate::mcp::scan::items(raw).take(PAGE_MAX_TOOLS) {
        let Some(tool) = element.whole.then(|| definition(element.value)).flatten() else {
            shaped = false;
            continue;
        };
        shaped &= tool.1;
        tools.push(tool.0);
    }
    shaped &= !tools.is_empty();
    (tools, shaped)
}

/// Hash of a raw cursor token.
pub fn cursor(raw: &str) -> u64 {
    let digest = Sha256::digest(raw.as_bytes());
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
}

fn definition(raw: &str) -> Option<(ToolDef<'static>, bool)> {
    let mut value = lenient::value(raw)?;
    let object = value.as_object_mut()?;
    let name = object.get("name")?.as_str()?.to_owned();
    let shaped = object.get("inputSchema").is_some_and(Value::is_object);
    let description_sha256 = object
        .get("description")
        .and_then(Value::as_str)
        .map(|text| Sha256::digest(text).into());
    object.remove("_meta");
    fold(&mut value);
    let canonical = value.to_string();
    let sha256 = Sha256::digest(&canonical).into();
    Some((
        ToolDef {
            name: Cow::Owned(name),
            sha256,
            description_sha256,
            canonical,
        },
        shaped,
    ))
}

/// Folds white space in what people read. Depth is bounded by the parser's own limit of 128.
fn fold(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(fold),
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::String(text) if key == "description" || key == "title" => {
                        *text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                    }
                    other => fold(other),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn order_and_white_space_are_no_change() {
        let one =
            r#"[{"name":"a","description":"x  y\n z","inputSchema":{"type":"object","properties":{"b":{},"a":{}}}}]"#;
        let two = r#"[ {"inputSchema": {"properties":{"a":{},"b":{}}, "type":"object"}, "_meta":{"x":1}, "description":" x y z","name":"a"} ]"#;
        let (one, two) = (parse(one), parse(two));
        assert_eq!(one.0[0].sha256, two.0[0].sha256);
        assert_ne!(one.0[0].description_sha256, two.0[0].description_sha256);
        assert!(one.1 && two.1);
    }

    #[test]
    fn what_is_read_is_a_change() {
        let hash = |raw: &str| parse(raw).0[0].sha256;
        let base = hash(r#"[{"name":"a","description":"x","inputSchema":{}}]"#);
        for other in [
            r#"[{"name":"a","description":"X","inputSchema":{}}]"#,
            r#"[{"name":"a","description":"x","inputSchema":{"default":"a  b"}}]"#,
            r#"[{"name":"a","description":"x","inputSchema":{},"annotations":{"readOnlyHint":true}}]"#,
        ] {
            assert_ne!(base, hash(other), "{other}");
        }
        assert_ne!(
            hash(r#"[{"name":"a","x":"p q"}]"#),
            hash(r#"[{"name":"a","x":"p  q"}]"#)
        );
    }

    #[test]
    fn what_clients_show_to_a_model_is_told() {
        let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        let raw = format!(
            r#"[{{"name":"a","description":"cut \ud83d","inputSchema":{{}}}},{{"name":"b","x":{deep},"inputSchema":{{}}}}]"#
        );
        let (tools, shaped) = parse(&raw);
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!((names, shaped), (vec!["a", "b"], true));
        assert!(
            tools
                .iter()
                .all(|tool| serde_json::from_str::<Value>(&tool.canonical).is_ok())
        );
    }

    #[test]
    fn shape() {
        assert!(!parse("[]").1);
        assert!(!parse(r#"[{"name":"a","parameters":{}}]"#).1);
        assert!(!parse(r#"[{"name":"a","inputSchema":{}},{"name":"b"}]"#).1);
        assert!(
            parse(&format!(r#"[{{"name":"a","inputSchema":{}}}]"#, "[".repeat(200)))
                .0
                .is_empty()
        );
    }
}
