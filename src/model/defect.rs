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
        1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }

    /// From a TOML error: its line and its message on one line.
    pub fn from_toml(file: impl Into<PathBuf>, text: &str, error: &toml::de::Error, cure: &str) -> Self {
        Self {
            file: file.into(),
            line: error.span().map(|span| Self::line_of(text, span.start)),
            what: error.message().replace('\n', " "),
            cure: cure.to_owned(),
        }
    }
}
