//! What differs between two definitions of a tool, and whether that is more than a change.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::detect::suspicion::Suspicion;
use crate::mcp::difference;

/// Words in a parameter's name that ask for what a tool has no business with.
const SENSITIVE_WORDS: [&str; 9] = [
    "apikey",
    "conversation",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "passwd",
    "password",
    "sidenote",
];

/// The same, as two words that follow each other.
const SENSITIVE_PAIRS: [(&str, &str); 13] = [
    ("access", "token"),
    ("api", "key"),
    ("api", "token"),
    ("auth", "token"),
    ("bearer", "token"),
    ("chat", "history"),
    ("client", "secret"),
    ("private", "key"),
    ("refresh", "token"),
    ("secret", "key"),
    ("session", "token"),
    ("ssh", "key"),
    ("system", "prompt"),
];

/// What differs between two definitions.
#[derive(Debug, Default)]
pub(in crate::detect) struct Change {
    /// Members that differ.
    pub(in crate::detect) parts: BTreeSet<&'static str>,
    /// Why it is more than a change.
    pub(in crate::detect) alarming: BTreeSet<String>,
    /// As text; empty where a definition was over a bound.
    pub(in crate::detect) difference: String,
}

impl Change {
    pub(in crate::detect) fn between(before: &str, after: &str, suspicion: &Suspicion) -> Self {
        let (Ok(old), Ok(new)) = (
            serde_json::from_str::<Value>(before),
            serde_json::from_str::<Value>(after),
        ) else {
            // The text of one was over a bound: the hashes alone say that something changed.
            return Self {
                parts: BTreeSet::from(["definition"]),
                ..Self::default()
            };
        };
        Self::of(&old, &new, suspicion)
    }

    /// Between two texts of instructions.
    pub(in crate::detect) fn of_instructions(before: &str, after: &str, suspicion: &Suspicion) -> Self {
        if before.is_empty() || after.is_empty() {
            return Self::default();
        }
        let document = |text: &str| serde_json::json!({ "instructions": text });
        Self::of(&document(before), &document(after), suspicion)
    }

    fn of(old: &Value, new: &Value, suspicion: &Suspicion) -> Self {
        let mut change = Self::default();
        for part in [
            "title",
            "description",
            "inputSchema",
            "outputSchema",
            "annotations",
            "icons",
            "execution",
        ] {
            if old.get(part) != new.get(part) {
                change.parts.insert(part);
            }
        }
        if change.parts.is_empty() {
            change.parts.insert("definition");
        }
        change.difference = difference::of(old, new);
        let known = suspicion.of_definition(old);
        let fresh = suspicion.of_definition(new);
        if fresh.is_recorded() && fresh.score > known.score {
            change.alarming.insert(format!(
                "suspicious text ({})",
                fresh.groups.into_keys().collect::<Vec<_>>().join(", ")
            ));
        }
        let old_parameters = parameters(old);
        for name in parameters(new).difference(&old_parameters) {
            if is_sensitive(name) {
                change.alarming.insert(format!("new parameter {name}"));
            }
        }
        for (hint, weaker) in [
            ("readOnlyHint", false),
            ("destructiveHint", true),
            ("openWorldHint", true),
        ] {
            let value = |tool: &Value| {
                tool.pointer("/annotations")
                    .and_then(|hints| hints.get(hint))
                    .and_then(Value::as_bool)
            };
            if value(old) == Some(!weaker) && value(new) != Some(!weaker) {
                change.alarming.insert(format!("weaker {hint}"));
            }
        }
        change
    }

    /// The members that differ, in words.
    pub(in crate::detect) fn what(&self) -> String {
        self.parts.iter().copied().collect::<Vec<_>>().join(", ")
    }

    /// Why it is more than a change, in words; empty where it is not.
    pub(in crate::detect) fn why(&self) -> String {
        self.alarming.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

fn parameters(tool: &Value) -> BTreeSet<String> {
    let properties = tool.pointer("/inputSchema/properties").and_then(Value::as_object);
    properties.map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// Whether a parameter's name asks for secrets or for the conversation.
fn is_sensitive(name: &str) -> bool {
    let words = words(name);
    let pairs = words.iter().zip(words.iter().skip(1));
    words.iter().any(|word| SENSITIVE_WORDS.contains(&word.as_str()))
        || pairs
            .into_iter()
            .any(|(one, two)| SENSITIVE_PAIRS.contains(&(one, two)))
}

/// Words of `snake_case`, `kebab-case` and `camelCase`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        let next = !c.is_alphanumeric() || (lower && c.is_uppercase());
        lower = c.is_lowercase() || c.is_numeric();
        match words.last_mut() {
            Some(word) if !next => word.extend(c.to_lowercase()),
            _ => words.push(if c.is_alphanumeric() {
                c.to_lowercase().collect()
            } else {
                String::new()
            }),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensitive_parameters() {
        for name in [
            "api_key",
            "apiKey",
            "conversationHistory",
            "system-prompt",
            "sidenote",
            "authToken",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in [
            "environment",
            "inventory",
            "keyboard",
            "contextual",
            "city",
            "primary_key",
            "page_token",
            "maxTokens",
            "context",
            "nextPageToken",
            "history",
        ] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
