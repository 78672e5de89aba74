//! JSON-RPC 2.0 envelopes (<https://www.jsonrpc.org/specification>): kind, method, id and the raw values; batches.
//!
//! Accepts what a lenient endpoint would accept, because evasion lives there: escaped or oddly cased member names, a
//! member twice (the last counts), several objects in one body. What two readers may disagree about is told as [`Odd`].
//! Never builds a tree.

use std::borrow::Cow;

use crate::mcp::escape::unescape;
use crate::mcp::scan;
use crate::model::mcp::{JsonRpc, Odd, RpcKind};

/// Messages of one batch or body that are read; what follows is counted by the caller as shed.
pub const BATCH_MAX_MESSAGES: usize = 1000;

/// An envelope that owns its method when that was escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    kind: RpcKind,
    method: Cow<'a, str>,
    id: Option<&'a str>,
    params: Option<&'a str>,
    result: Option<&'a str>,
    error: Option<&'a str>,
    bytes: usize,
    cut: bool,
    odd: Odd,
}

impl Envelope<'_> {
    /// The borrowed form.
    pub fn view(&self) -> JsonRpc<'_> {
        JsonRpc {
            kind: self.kind,
            method: &self.method,
            id: self.id,
            params: self.params,
            result: self.result,
            error: self.error,
            bytes: u32::try_from(self.bytes).unwrap_or(u32::MAX),
            cut: self.cut,
            odd: self.odd,
        }
    }
}

/// `code` of an error object (JSON-RPC 2.0, section 5.1), where it is a number of 32 bits.
pub fn error_code(error: &str) -> Option<i32> {
    scan::items(error).find("code")?.trim().parse().ok()
}

/// Every JSON-RPC 2.0 message at the top level of `body`: one object, a batch, or several of them one after the other.
/// `cut` says that the body goes on where `body` ends. Gives the number of messages that were left out at the bound.
pub fn each(body: &str, cut: bool, out: &mut dyn FnMut(&Envelope<'_>)) -> usize {
    let mut rest = body;
    let mut budget = BATCH_MAX_MESSAGES;
    let mut left_out: usize = 0;
    loop {
        let start = rest.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        let mut walk = scan::items(start);
        match start.as_bytes().first() {
            Some(b'{') => {
                if let Some(envelope) = object(&mut walk, start, cut) {
                    match budget.checked_sub(1) {
                        Some(less) => {
                            budget = less;
                            out(&envelope);
                        }
                        None => left_out = left_out.saturating_add(1),
                    }
                }
            }
            Some(b'[') => {
                for element in walk.by_ref().filter(|element| element.value.starts_with('{')) {
                    let Some(envelope) = object(&mut scan::items(element.value), element.value, cut && !element.whole)
                    else {
                        continue;
                    };
                    match budget.checked_sub(1) {
                        Some(less) => {
                            budget = less;
                            out(&envelope);
                        }
                        None => left_out = left_out.saturating_add(1),
                    }
                }
            }
            _ => return left_out,
        }
        match walk.rest() {
            Some(next) if next.len() < rest.len() => rest = next,
            _ => return left_out,
        }
    }
}

/// Members of an envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    JsonRpc,
    Id,
    Method,
    Params,
    Result,
    Error,
}

const NAMES: [(&str, Name); 6] = [
    ("jsonrpc", Name::JsonRpc),
    ("id", Name::Id),
    ("method", Name::Method),
    ("params", Name::Params),
    ("result", Name::Result),
    ("error", Name::Error),
];

/// The envelope of one object at the start of `text`; `None` when it is none, or one of another version.
fn object<'a>(walk: &mut scan::Items<'a>, text: &str, cut: bool) -> Option<Envelope<'a>> {
    let mut version = None;
    let (mut id, mut method, mut params, mut result, mut error) = (None, None, None, None, None);
    let (mut odd, mut whole) = (Odd::default(), true);
    for member in walk.by_ref() {
        whole &= member.whole;
        let Some((name, folded)) = name(member.key) else {
            continue;
        };
        let slot = match name {
            Name::JsonRpc => &mut version,
            Name::Id => &mut id,
            Name::Method => &mut method,
            Name::Params => &mut params,
            Name::Result => &mut result,
            Name::Error => &mut error,
        };
        if folded {
            odd.add(Odd::FOLDED);
        }
        if slot
            .replace(member.value)
            .is_some_and(|earlier| earlier != member.value)
        {
            odd.add(Odd::TWICE);
        }
    }
    let rest = walk.rest();
    let ended = rest.is_some();
    if !ended && !cut {
        return None;
    }
    match version.map(scan::text) {
        Some(Some(version)) if version == "2.0" => {}
        // The member that names the version may be the last one, and lost.
        None if cut && !ended => {}
        _ => return None,
    }
    let present = |value: &&str| *value != "null";
    let (id, result_value, error) = (id.filter(present), result, error.filter(present));
    let method = method.map(scan::text);
    let kind = match (&method, result_value, error) {
        (Some(Some(_)), _, _) if id.is_some() => RpcKind::Request,
        (Some(Some(_)), _, _) => RpcKind::Notification,
        (Some(None), _, _) => return None,
        (None, _, Some(_)) => RpcKind::Error,
        (None, Some(_), None) => RpcKind::Success,
        (None, None, None) => return None,
    };
    let method = method.flatten().unwrap_or_default();
    Some(Envelope {
        kind,
        method,
        id,
        params,
        result,
        error,
        bytes: text.len().saturating_sub(rest.unwrap_or_default().len()),
        cut: !ended || !whole,
        odd,
    })
}

/// Which member a key names, and whether only a lenient parser thinks so.
fn name(key: &str) -> Option<(Name, bool)> {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == key) {
        return Some((*name, false));
    }
    // Longer than "jsonrpc" with every letter escaped: no spelling of a member. Plain ASCII only folds its case.
    if key.len() > 42 {
        return None;
    }
    if key.is_ascii() && !key.contains('\\') {
        let folded = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        return folded.map(|(_, name)| (*name, true));
    }
    // Go's decoder folds case and two Unicode letters (CVE-2026-27896); escapes are legal JSON anywhere.
    let plain = unescape(key);
    let folded = plain.to_lowercase().replace('\u{17f}', "s");
    NAMES
        .iter()
        .find(|(known, _)| *known == folded)
        .map(|(known, name)| (*name, *known != plain))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kinds(body: &str, cut: bool) -> Vec<String> {
        let mut out = Vec::new();
        each(body, cut, &mut |envelope| {
            let view = envelope.view();
            let marks = format!(
                "{}{}",
                if view.cut { " cut" } else { "" },
                if view.odd == Odd::default() { "" } else { " odd" }
            );
            out.push(format!(
                "{:?} {} {}{marks}",
                view.kind,
                view.method,
                view.id.unwrap_or("-")
            ));
        });
        out
    }

    #[test]
    fn envelopes() {
        for (body, expected) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
                vec!["Request tools/list 1"],
            ),
            (
                r#"{"method":"tools\/list","params":{},"jsonrpc":"2.0","id":"1"}"#,
                vec!["Request tools/list \"1\""],
            ),
            (
                r#" {"result":{"a":[1,{}]},"jsonrpc":"2.0","id":0} "#,
                vec!["Success  0"],
            ),
            (r#"{"jsonrpc":"2.0","error":{"code":1},"id":null}"#, vec!["Error  -"]),
            (
                r#"{"jsonrpc":"2.0","error":null,"result":1,"id":2}"#,
                vec!["Success  2"],
            ),
            (r#"{"jsonrpc":"2.0","method":"x"}"#, vec!["Notification x -"]),
            (r#"{"JSONRPC":"2.0","Method":"x","id":1}"#, vec!["Request x 1 odd"]),
            (
                "{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"param\u{17f}\":{},\"id\":1}",
                vec!["Request x 1 odd"],
            ),
            (
                r#"{"jsonrpc":"2.0","method":"a","method":"b","id":1}"#,
                vec!["Request b 1 odd"],
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","id":1}"#, vec!["Request a 1"]),
            (r#"{"\u006asonrpc":"2.0","method":"x"}"#, vec!["Notification x -"]),
            (
                r#"[{"jsonrpc":"2.0","method":"a"},7,{"jsonrpc":"2.0","id":1,"result":{}}]"#,
                vec!["Notification a -", "Success  1"],
            ),
            (
                "{\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"b\"}",
                vec!["Notification a -", "Notification b -"],
            ),
            (r#"{"jsonrpc":"1.0","method":"x","id":1}"#, vec![]),
            (r#"{"method":"x","id":1}"#, vec![]),
            (r#"{"jsonrpc":"2.0","method":"x""#, vec![]),
            (r#"{"jsonrpc":"2.0","id":1}"#, vec![]),
            ("", vec![]),
            ("\"jsonrpc\"", vec![]),
        ] {
            assert_eq!(kinds(body, false), expected, "{body}");
        }
    }

    #[test]
    fn a_cut_message_counts_when_its_method_was_read() {
        assert_eq!(
            kinds(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"na"#, true),
            ["Request tools/call 1 cut"]
        );
        assert_eq!(
            kinds(r#"{"method":"tools/call","params":{"na"#, true),
            ["Notification tools/call - cut"]
        );
        assert_eq!(kinds(r#"{"result":{"content":[{"ty"#, true), ["Success  - cut"]);
        assert!(kinds(r#"{"jsonrpc":"2.0","id":1,"#, true).is_empty());
    }

    #[test]
    fn a_batch_is_bounded() {
        let one = r#"{"jsonrpc":"2.0","method":"a"}"#;
        let body = format!("[{}]", vec![one; BATCH_MAX_MESSAGES + 5].join(","));
        let mut seen = 0;
        assert_eq!((each(&body, false, &mut |_| seen += 1), seen), (5, BATCH_MAX_MESSAGES));
    }
}
