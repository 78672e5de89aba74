//! What is wrong with a file that an operator wrote, and how to mend it.

use std::path::PathBuf;

/// A mistake in a configuration, policy, pin or signature file: one clear message, exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {what}; {cure}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct Defect {
    /// File, or a name for a part that is compiled in.
    pub file: PathBuf,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub cure: String,
}

impl Defect {
    /// Line of a byte offset within a text, from 1.
    pub fn line_of(text: &str, offset: usize) -> usize {
        1 + text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|byte| **byte == b'\n')
            .count()
    }

    /// From a TOML error: its line, its message on one line, and the cure where the message tells one: the key that was
    /// meant, the type that is wanted. `cure` is for all else.
    pub fn from_toml(file: impl Into<PathBuf>, text: &str, error: &toml::de::Error, cure: &str) -> Self {
        let message = error.message().replace('\n', " ");
        let line = error.span().map(|span| Self::line_of(text, span.start));
        let (what, cure) = match unknown_word(&message) {
            Some(found) => found,
            None => {
                let cure = cure_of_type(&message).unwrap_or(cure).to_owned();
                (message, cure)
            }
        };
        Self {
            file: file.into(),
            line,
            what,
            cure,
        }
    }
}

/// Reads serde's message about an unknown key or word, which names all that are known, each in backticks.
fn unknown_word(message: &str) -> Option<(String, String)> {
    let (noun, rest) = [("key", "unknown field "), ("word", "unknown variant ")]
        .into_iter()
        .find_map(|(noun, start)| Some((noun, message.strip_prefix(start)?)))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    let unknown = words.next()?;
    let known: Vec<&str> = words.collect();
    let cure = match nearest(unknown, &known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    };
    Some((format!("unknown {noun} `{unknown}`"), cure))
}

/// The known word that was most likely meant: at most two slips of the pen, or a third of its letters.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&unknown.to_ascii_lowercase(), word), *word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(2) && *distance < word.len())
        .min()
        .map(|(_, word)| word)
}

/// What to write where serde found a value of another type.
fn cure_of_type(message: &str) -> Option<&'static str> {
    let (_, expected) = message.split_once(", expected ")?;
    Some(match expected {
        "a TOML datetime" => "write a date without quotes, such as 2027-01-31",
        "a boolean" => "write true or false, without quotes",
        "a sequence" => "write a list in [ ]; a section that may be repeated has double brackets, [[ ]]",
        "a string" | "path string" => "put the value in quotes",
        "u16" => "write a whole number from 0 to 65535, without quotes",
        "u8" | "u32" | "u64" | "usize" => "write a whole number, without quotes",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Sample {
        address: Option<String>,
        expose: Option<bool>,
        port: Option<u16>,
        when: Option<toml::value::Datetime>,
        list: Option<Vec<String>>,
    }

    fn defect(text: &str) -> String {
        let error = toml::from_str::<Sample>(text).unwrap_err();
        Defect::from_toml("a.toml", text, &error, "mend it").to_string()
    }

    #[test]
    fn names_file_line_and_cure() {
        for (text, message) in [
            (
                "\nadress = 'x'",
                "a.toml:2: unknown key `adress`; did you mean `address`?",
            ),
            ("\n\nPort = 1", "a.toml:3: unknown key `Port`; did you mean `port`?"),
            (
                "colour = 1",
                "a.toml:1: unknown key `colour`; known here: address, expose, port, when, list",
            ),
            (
                "address = 1",
                "a.toml:1: invalid type: integer `1`, expected a string; put the value in quotes",
            ),
            (
                "expose = 'no'",
                "a.toml:1: invalid type: string \"no\", expected a boolean; write true or false, without quotes",
            ),
            (
                "port = 70000",
                "a.toml:1: invalid value: integer `70000`, expected u16; \
                 write a whole number from 0 to 65535, without quotes",
            ),
            (
                "when = '2027-01-31'",
                "a.toml:1: invalid type: string \"2027-01-31\", expected a TOML datetime; \
                 write a date without quotes, such as 2027-01-31",
            ),
            (
                "[list]",
                "a.toml:1: invalid type: map, expected a sequence; \
                 write a list in [ ]; a section that may be repeated has double brackets, [[ ]]",
            ),
            ("port = = 1", "a.toml:1: extra `=`, expected nothing; mend it"),
            ("port = 1\nport = 2", "a.toml:2: duplicate key; mend it"),
        ] {
            assert_eq!(defect(text), message);
        }
    }
}
