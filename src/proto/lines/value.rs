//! Where a JSON value ends, found as its bytes come.
//!
//! Follows strings and brackets, and which of them may stand where (RFC 8259): enough to tell soon that text is none,
//! so that a broken message or a line of a log does not swallow the messages behind it. Does not check words, numbers
//! and escapes. Cost: a vectorised search in strings, about 1 ns per byte elsewhere. No recursion.

use memchr::memchr3;

/// A value that has begun with its opening bracket.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proto) struct Value {
    place: Place,
    depth: u32,
    /// Last byte that is no white space and in no string; 0 before the first.
    last: u8,
    /// Only white space has come since the last line end.
    line: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    Escape,
    #[default]
    Outside,
    String,
}

/// How far a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) enum Found {
    /// The byte at this place cannot belong to it.
    Broken(usize),
    /// It ends before this place.
    End(usize),
    /// It goes on.
    More,
}

impl Value {
    /// Whether the byte that broke it is the first of its line.
    pub(in crate::proto) const fn is_new_line(&self) -> bool {
        self.line
    }

    /// The next bytes, of the first the opening bracket first.
    pub(in crate::proto) fn push(&mut self, bytes: &[u8]) -> Found {
        let mut at = 0_usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.place {
                Place::Escape => {
                    self.place = Place::String;
                    at = at.saturating_add(1);
                }
                Place::String => {
                    let Some(found) = memchr3(b'"', b'\\', b'\n', rest) else {
                        return Found::More;
                    };
                    match rest.get(found) {
                        Some(b'"') => (self.place, self.last) = (Place::Outside, b'"'),
                        Some(b'\\') => self.place = Place::Escape,
                        // No string holds a line end (section 7).
                        _ => return Found::Broken(at.saturating_add(found)),
                    }
                    at = at.saturating_add(found).saturating_add(1);
                }
                Place::Outside => {
                    let read = self.outside(rest);
                    match read {
                        Found::Broken(by) => return Found::Broken(at.saturating_add(by)),
                        Found::End(by) if self.depth == 0 => return Found::End(at.saturating_add(by)),
                        Found::End(by) => at = at.saturating_add(by),
                        Found::More => return Found::More,
                    }
                }
            }
        }
        Found::More
    }

    /// Reads up to the end of the value or to the beginning of a string.
    fn outside(&mut self, bytes: &[u8]) -> Found {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b' ' | b'\t' | b'\r' => continue,
                b'\n' => {
                    self.line = true;
                    continue;
                }
                b'{' | b'[' if matches!(self.last, 0 | b'[' | b',' | b':') => self.depth = self.depth.saturating_add(1),
                b'"' if matches!(self.last, b'{' | b'[' | b',' | b':') && !self.is_plain_list() => {
                    self.place = Place::String;
                }
                b'}' | b']' if !matches!(self.last, b',' | b':') => self.depth = self.depth.saturating_sub(1),
                b'{' | b'[' | b'}' | b']' | b'"' | ..b' ' => return Found::Broken(at),
                _ if self.last == b'{' || self.is_plain_list() => return Found::Broken(at),
                _ => {}
            }
            (self.last, self.line) = (byte, false);
            if self.depth == 0 || matches!(self.place, Place::String) {
                return Found::End(at.saturating_add(1));
            }
        }
        Found::More
    }

    /// Whether this is the first element of the outermost array and no bracket: no batch begins so, but logs do.
    const fn is_plain_list(&self) -> bool {
        self.depth == 1 && self.last == b'['
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Found {
        Value::default().push(text.as_bytes())
    }

    /// The same in two pieces.
    fn split(text: &str, at: usize) -> Found {
        let mut value = Value::default();
        let (head, tail) = text.as_bytes().split_at(at);
        match value.push(head) {
            Found::More => match value.push(tail) {
                Found::End(by) => Found::End(at + by),
                Found::Broken(by) => Found::Broken(at + by),
                Found::More => Found::More,
            },
            found => found,
        }
    }

    #[test]
    fn ends_and_breaks() {
        for (text, expect) in [
            (r#"{"a":1}x"#, Found::End(7)),
            ("{}", Found::End(2)),
            ("[]\n", Found::End(2)),
            (r#"[{"a":[1,"]}",null,-2.5e3]}]"#, Found::End(28)),
            (r#"{"a":"\"}\\"}"#, Found::End(13)),
            ("{\n  \"a\" : [\n {} ]\n}\n", Found::End(19)),
            (r#"{"a":{"#, Found::More),
            ("{\"a\":\"x\n", Found::Broken(7)),
            ("[12:30] hello", Found::Broken(1)),
            ("[\"a\"]", Found::Broken(1)),
            ("{hello}", Found::Broken(1)),
            ("{\"a\":1,}", Found::Broken(7)),
            ("{\"a\":[1\n{\"b\":2}", Found::Broken(8)),
            ("{\"a\" \"b\"}", Found::Broken(5)),
            ("{\"a\":\u{1}}", Found::Broken(5)),
        ] {
            assert_eq!(whole(text), expect, "{text:?}");
            for at in 1..text.len() {
                assert_eq!(split(text, at), expect, "{text:?} at {at}");
            }
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(serde_json::Value::from),
            "[a-z\"\\\\{}\\[\\],:\n ]{0,12}".prop_map(serde_json::Value::from),
        ];
        let inner = leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                proptest::collection::btree_map("[a-z\"\\\\]{0,6}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        });
        proptest::collection::btree_map("[a-z\"\\\\]{0,6}", inner, 0..5)
            .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
    }

    proptest! {
        /// The oracle is `serde_json`: what it writes ends where it ends, in any two pieces.
        #[test]
        fn ends_where_a_writer_ends(value in json(), pretty: bool, batch: bool, at: prop::sample::Index) {
            let value = if batch { serde_json::Value::from(vec![value]) } else { value };
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let longer = format!("{text} {{}}");
            prop_assert_eq!(whole(&longer), Found::End(text.len()));
            prop_assert_eq!(split(&longer, at.index(longer.len())), Found::End(text.len()));
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>, at: prop::sample::Index) {
            let mut value = Value::default();
            let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
            let _ = (value.push(head), value.push(tail));
        }
    }
}
