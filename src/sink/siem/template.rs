//! What a chat tool is sent: a JSON document with places for the fields of an event.
//!
//! A place is `{field}` inside a string of the template, with a name of the plain JSON event; what is not known is `-`. The
//! template is parsed before anything is put in, so that no text can change its structure; and a text is written so that the
//! tool shows it and does nothing else with it.

use serde_json::{Map, Value, json};

use crate::model::plain::plain;
use crate::sink::siem::format::VALUE_MAX_CHARS;

/// How a tool reads what looks like its own marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    /// `*bold*`, `[name](address)`, `@everyone`.
    Markdown,
    /// `<!channel>`, `<address|name>` (Slack, Mattermost).
    Slack,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    document: Value,
    marks: Marks,
}

/// What the built-in templates say.
const TEXT: &str =
    "{severity}: {title}\nserver {server} {server_name}, client {client}, rule {rule}, sensor {sensor}, {time}";

impl Template {
    /// Built-in ones by name.
    pub fn named(name: &str) -> Option<Self> {
        let (document, marks) = match name {
            // The first line is bold in each.
            "slack" | "mattermost" => (json!({"text": bold("*")}), Marks::Slack),
            "discord" => (
                json!({"content": bold("**"), "allowed_mentions": {"parse": []}}),
                Marks::Markdown,
            ),
            "teams" => (
                json!({
                    "type": "message",
                    "attachments": [{
                        "contentType": "application/vnd.microsoft.card.adaptive",
                        "content": {
                            "type": "AdaptiveCard",
                            "version": "1.4",
                            "body": [{"type": "TextBlock", "text": bold("**"), "wrap": true}],
                        },
                    }],
                }),
                Marks::Markdown,
            ),
            _ => return None,
        };
        Some(Self { document, marks })
    }

    /// One of the operator's own.
    ///
    /// # Errors
    /// When it is no JSON, or has a place that no event knows.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        Ok(Self {
            document,
            marks: Marks::Markdown,
        })
    }

    /// The document for one event.
    pub fn fill(&self, event: &Map<String, Value>) -> Value {
        self.fill_in(&self.document, event)
    }

    fn fill_in(&self, part: &Value, event: &Map<String, Value>) -> Value {
        match part {
            Value::String(text) => Value::String(self.fill_text(text, event)),
            Value::Array(items) => items.iter().map(|item| self.fill_in(item, event)).collect(),
            Value::Object(fields) => {
                let filled = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), self.fill_in(field, event)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }

    fn fill_text(&self, text: &str, event: &Map<String, Value>) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            match after.split_once('}') {
                Some((name, next)) if is_name(name) => {
                    out.push_str(&self.shown(event.get(name)));
                    rest = next;
                }
                _ => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out + rest
    }

    fn shown(&self, value: Option<&Value>) -> String {
        let text = match value {
            None | Some(Value::Null) => return "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let text = plain(&text, VALUE_MAX_CHARS);
        match self.marks {
            Marks::Slack => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            Marks::Markdown => {
                let mut out = String::with_capacity(text.len());
                for char in text.chars() {
                    if "\\`*_{}[]()<>#|~@".contains(char) {
                        out.push('\\');
                    }
                    out.push(char);
                    // An address does not become a link that somebody follows.
                    if char == ':' || char == '@' {
                        out.push('\u{2060}');
                    }
                }
                out
            }
        }
    }
}

/// The built-in text with a bold first line.
fn bold(mark: &str) -> String {
    match TEXT.split_once('\n') {
        Some((first, rest)) => format!("{mark}{first}{mark}\n{rest}"),
        None => TEXT.to_owned(),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::store::fixture::nasty;

    fn event(title: &str) -> Map<String, Value> {
        Map::from_iter([
            ("severity".to_owned(), json!("high")),
            ("title".to_owned(), json!(title)),
            ("count".to_owned(), json!(3)),
        ])
    }

    #[test]
    fn places_are_filled_and_all_else_stays() {
        let template =
            Template::parse(r#"{"a": ["{severity} {count} {nothing}", 7], "{title}": "{ {no place} {"}"#).unwrap();
        assert_eq!(
            template.fill(&event("t")),
            json!({"a": ["high 3 -", 7], "{title}": "{ {no place} {"})
        );
        assert!(Template::parse("{").unwrap_err().starts_with("is no JSON: "));
    }

    #[test]
    fn nobody_is_called_and_nothing_linked() {
        let hostile = event("<!channel> [x](https://evil.test) @everyone *b*");
        let slack = Template::named("slack").unwrap().fill(&hostile)["text"].to_string();
        assert!(slack.contains("&lt;!channel&gt;") && !slack.contains('<'), "{slack}");
        let discord = Template::named("discord").unwrap().fill(&hostile)["content"].to_string();
        assert!(
            !discord.contains("https://") && !discord.contains("@everyone"),
            "{discord}"
        );
        assert!(Template::named("pager").is_none());
    }

    proptest! {
        /// Whatever a text says, the document has the same shape.
        #[test]
        fn no_text_changes_the_document(title in prop_oneof![nasty(), any::<String>()]) {
            for name in ["slack", "mattermost", "discord", "teams"] {
                let template = Template::named(name).unwrap();
                let shape = |value: &Value| value.to_string().matches(['{', '[']).count();
                let (empty, full) = (template.fill(&event("")), template.fill(&event(&title)));
                let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                prop_assert_eq!(keys(&empty), keys(&full));
                prop_assert!(shape(&full) >= shape(&empty));
            }
        }
    }
}
