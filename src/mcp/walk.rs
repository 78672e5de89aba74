//! Places and strings of a JSON text, found by its tokens alone.
//!
//! A detector finds something at a byte offset of a raw message; a report names the place by its path
//! (`params.arguments.env.TOKEN`, `result.content[0].text`). The walk is iterative, remembers at most
//! [`MAX_DEPTH`] levels, accepts texts that are cut or broken, and never builds a tree. It does not validate.

use std::borrow::Cow;

use crate::mcp::escape::unescape;

/// Levels of nesting that a path names; what lies deeper is placed at this depth.
pub const MAX_DEPTH: usize = 128;
/// Longest path in bytes; keys come from traffic.
pub const MAX_PATH_BYTES: usize = 256;

/// One open container.
#[derive(Clone, Copy, Debug)]
enum Level {
    /// Number of the element.
    Array(usize),
    /// Where the latest key lies, without its quotes.
    Object(Option<(usize, usize)>),
}

/// A token that holds text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Key,
    Other,
    Text,
}

/// A walk through one JSON text, from its start to its end.
#[derive(Debug)]
pub struct Walk<'a> {
    json: &'a str,
    at: usize,
    levels: Vec<Level>,
    /// Containers that are open beyond [`MAX_DEPTH`].
    deeper: usize,
    /// The next string of an object is a key.
    key_next: bool,
    token: Token,
    /// Content of the token, without quotes.
    span: (usize, usize),
    done: bool,
}

impl<'a> Walk<'a> {
    /// At the start of a text.
    pub const fn new(json: &'a str) -> Self {
        Self {
            json,
            at: 0,
            levels: Vec::new(),
            deeper: 0,
            key_next: false,
            token: Token::Other,
            span: (0, 0),
            done: false,
        }
    }

    /// Path of the value or key that holds a byte offset, behind `prefix`. Offsets must not fall from call to call: so
    /// any number of them costs one walk.
    pub fn path_at(&mut self, prefix: &str, offset: usize) -> String {
        while !self.done && self.at <= offset {
            self.step();
        }
        self.path(prefix)
    }

    /// Path of the present token.
    pub fn path(&self, prefix: &str) -> String {
        let mut path = String::with_capacity(prefix.len().saturating_add(32));
        path.push_str(prefix);
        for level in &self.levels {
            match level {
                Level::Array(number) => {
                    path.push('[');
                    path.push_str(&number.to_string());
                    path.push(']');
                }
                Level::Object(Some((start, end))) => {
                    let raw = self.json.get(*start..*end).unwrap_or_default();
                    push_key(&mut path, &unescape(raw));
                }
                Level::Object(None) => {}
            }
            if path.len() > MAX_PATH_BYTES {
                let cut = (0..=MAX_PATH_BYTES)
                    .rev()
                    .find(|at| path.is_char_boundary(*at))
                    .unwrap_or(0);
                path.truncate(cut);
                path.push('…');
                break;
            }
        }
        path
    }

    /// The next string value with its content unescaped; keys are passed over.
    pub fn next_string(&mut self) -> Option<Cow<'a, str>> {
        while !self.done {
            self.step();
            if self.token == Token::Text {
                self.token = Token::Other;
                return Some(unescape(self.json.get(self.span.0..self.span.1).unwrap_or_default()));
            }
        }
        None
    }

    /// Where the next key lies, without its quotes.
    pub(super) fn next_key(&mut self) -> Option<(usize, usize)> {
        while !self.done {
            self.step();
            if self.token == Token::Key {
                return Some(self.span);
            }
        }
        None
    }

    /// One token on. A value or key keeps its place until the token behind it is read, so that a path asked for in
    /// between is the right one.
    fn step(&mut self) {
        self.token = Token::Other;
        let bytes = self.json.as_bytes();
        let Some(&byte) = bytes.get(self.at) else {
            self.done = true;
            return;
        };
        match byte {
            b'"' => self.string(),
            b'{' => self.open(Level::Object(None)),
            b'[' => self.open(Level::Array(0)),
            b'}' | b']' => self.close(),
            b',' => self.comma(),
            _ => self.at = self.at.saturating_add(1),
        }
    }

    fn string(&mut self) {
        let start = self.at.saturating_add(1);
        let end = end_of_string(self.json.as_bytes(), start);
        self.at = end.saturating_add(1);
        self.span = (start, end);
        self.token = Token::Text;
        if self.key_next && self.deeper == 0 {
            if let Some(Level::Object(key)) = self.levels.last_mut() {
                *key = Some((start, end));
                self.token = Token::Key;
            }
            self.key_next = false;
        }
    }

    fn open(&mut self, level: Level) {
        self.at = self.at.saturating_add(1);
        if self.levels.len() < MAX_DEPTH {
            self.key_next = matches!(level, Level::Object(_));
            self.levels.push(level);
        } else {
            self.deeper = self.deeper.saturating_add(1);
        }
    }

    fn close(&mut self) {
        self.at = self.at.saturating_add(1);
        if self.deeper > 0 {
            self.deeper = self.deeper.saturating_sub(1);
        } else {
            self.levels.pop();
            self.key_next = false;
        }
    }

    fn comma(&mut self) {
        self.at = self.at.saturating_add(1);
        if self.deeper > 0 {
            return;
        }
        match self.levels.last_mut() {
            Some(Level::Array(number)) => *number = number.saturating_add(1),
            Some(Level::Object(_)) => self.key_next = true,
            None => {}
        }
    }
}

/// JSON path of the value (or key) that holds byte `offset`.
pub fn path_at(json: &str, prefix: &str, offset: usize) -> String {
    Walk::new(json).path_at(prefix, offset)
}

/// Calls `each` with every string value, unescaped, and the walk that can name its path.
pub fn strings<'a>(json: &'a str, mut each: impl FnMut(&Walk<'a>, Cow<'a, str>)) {
    let mut walk = Walk::new(json);
    while let Some(text) = walk.next_string() {
        each(&walk, text);
    }
}

/// Offset of the quote that ends a string, or the end of the text.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        match memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
            None => return bytes.len(),
            Some(offset) => {
                let found = at.saturating_add(offset);
                if bytes.get(found) == Some(&b'"') {
                    return found;
                }
                at = found.saturating_add(2).min(bytes.len());
            }
        }
    }
}

fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'));
    if plain {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        path.push_str("[\"");
        path.push_str(key);
        path.push_str("\"]");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn places() {
        let json = r#"{"arguments":{"env":{"A_KEY":"v1","x.y":"v2"}},"list":[1,{"k":"v3"},[ "v4","v5"]],"n":42}"#;
        for (needle, path) in [
            ("v1", "params.arguments.env.A_KEY"),
            ("A_KEY", "params.arguments.env.A_KEY"),
            ("v2", "params.arguments.env[\"x.y\"]"),
            ("v3", "params.list[1].k"),
            ("v4", "params.list[2][0]"),
            ("v5", "params.list[2][1]"),
            ("42", "params.n"),
        ] {
            assert_eq!(path_at(json, "params", json.find(needle).unwrap()), path, "{needle}");
        }
    }

    #[test]
    fn broken_and_deep_texts_have_a_place() {
        assert_eq!(path_at(r#"{"a":{"b":"cut her"#, "result", 14), "result.a.b");
        assert_eq!(path_at("}}]]", "p", 3), "p");
        let deep = "[".repeat(100_000) + "\"x\"";
        assert!(path_at(&deep, "p", 100_001).len() <= MAX_PATH_BYTES + 3);
        assert_eq!(
            path_at(&format!(r#"{{"{}":1}}"#, "k".repeat(9000)), "p", 9_004).len(),
            MAX_PATH_BYTES + 3
        );
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    /// Every string of a tree with its path, in the order of the text.
    fn oracle(value: &Value, path: String, out: &mut Vec<(String, String)>) {
        match value {
            Value::String(text) => out.push((path, text.clone())),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    oracle(item, format!("{path}[{number}]"), out);
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    oracle(item, format!("{path}.{key}"), out);
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_parser(value in tree(), pretty in any::<bool>()) {
            let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let mut expected = Vec::new();
            oracle(&value, "p".to_owned(), &mut expected);
            let mut seen = Vec::new();
            let mut offsets = Vec::new();
            strings(&json, |walk, text| {
                seen.push((walk.path("p"), text.into_owned()));
                offsets.push(walk.span.0);
            });
            prop_assert_eq!(&seen, &expected);
            for ((path, _), offset) in expected.iter().zip(offsets) {
                prop_assert_eq!(path, &path_at(&json, "p", offset));
            }
        }

        #[test]
        fn never_panics(text in "[\\[\\]{}\",:\\\\u0-9a-zä]{0,200}", offset in 0usize..400) {
            path_at(&text, "p", offset);
            strings(&text, |walk, _| { walk.path("p"); });
        }
    }
}
