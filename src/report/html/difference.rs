//! What changed between two definitions, place by place: what went and what came.
//!
//! Bounded in places and in length; definitions are redacted long before. One that is no JSON is compared as one text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use askama::Template;
use serde_json::Value;

use crate::report::html::parts::Shown;

/// Places that are shown.
const MAX_PLACES: usize = 24;
/// Lines of one place that are shown.
const MAX_LINES: usize = 40;
/// Characters of one line.
const LINE_MAX_CHARS: usize = 1_200;

/// One place of a definition.
#[derive(Debug)]
struct Place {
    name: Shown,
    went: Vec<Shown>,
    came: Vec<Shown>,
}

/// See the module.
#[derive(Debug, Template)]
#[template(path = "difference.html", config = "src/report/html/askama.toml")]
pub struct Difference {
    label: Shown,
    places: Vec<Place>,
    more: usize,
}

impl Difference {
    /// Between two definitions; `label` says of what.
    pub fn new(label: &str, before: &str, after: &str) -> Self {
        let (old, new) = (places(before), places(after));
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| old.get(*name) != new.get(*name));
        let more = names.len().saturating_sub(MAX_PLACES);
        let lines = |text: Option<&String>| -> Vec<Shown> {
            let lines = text.into_iter().flat_map(|text| text.lines()).take(MAX_LINES);
            lines.map(|line| Shown::short(line, LINE_MAX_CHARS)).collect()
        };
        let places = names
            .into_iter()
            .take(MAX_PLACES)
            .map(|name| Place {
                name: Shown::short(name, 200),
                went: lines(old.get(name)),
                came: lines(new.get(name)),
            })
            .collect();
        Self {
            label: Shown::new(label),
            places,
            more,
        }
    }

    /// From the text of a finding: `@@ place @@`, lines with `-`, lines with `+`.
    pub fn parse(label: &str, text: &str) -> Self {
        let mut places: Vec<Place> = Vec::new();
        for line in text.lines() {
            let named = line.strip_prefix("@@ ").and_then(|line| line.strip_suffix(" @@"));
            match (named, places.last_mut()) {
                (Some(name), _) => places.push(Place {
                    name: Shown::short(name, 200),
                    went: Vec::new(),
                    came: Vec::new(),
                }),
                (None, Some(place)) => {
                    let shown = |text| Shown::short(text, LINE_MAX_CHARS);
                    if let Some(went) = line.strip_prefix('-') {
                        place.went.push(shown(went));
                    } else {
                        place.came.push(shown(line.strip_prefix('+').unwrap_or(line)));
                    }
                }
                (None, None) => {}
            }
        }
        let more = places.len().saturating_sub(MAX_PLACES);
        places.truncate(MAX_PLACES);
        Self {
            label: Shown::new(label),
            places,
            more,
        }
    }
}

/// Every scalar of a definition by its place.
fn places(definition: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    match serde_json::from_str::<Value>(definition) {
        Ok(value) => flatten(&value, &mut String::new(), &mut out),
        Err(_) => {
            out.insert("definition".to_owned(), definition.to_owned());
        }
    }
    out
}

/// Depth is bounded by the parser that made the value.
fn flatten(value: &Value, place: &mut String, out: &mut BTreeMap<String, String>) {
    let length = place.len();
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                if length > 0 {
                    place.push('.');
                }
                place.push_str(name);
                flatten(inner, place, out);
                place.truncate(length);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (at, inner) in list.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(place, "[{at}]");
                flatten(inner, place, out);
                place.truncate(length);
            }
        }
        Value::String(text) => {
            out.insert(place.clone(), text.clone());
        }
        other => {
            out.insert(place.clone(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_went_and_what_came_and_escapes_it() {
        let html = Difference::new(
            "add",
            r#"{"description":"one","x":{"<b>":1}}"#,
            r#"{"description":"<script>two","x":{"<b>":2}}"#,
        )
        .render()
        .unwrap();
        assert!(
            html.contains("<del>one</del>") && html.contains("<ins>&#60;script&#62;two</ins>"),
            "{html}"
        );
        assert!(!html.contains("<b>") && !html.contains("<script"), "{html}");
        let same = Difference::new("add", "{}", "{}");
        assert!(same.places.is_empty());
        let text = Difference::new("add", "no json", "none either");
        assert_eq!(text.places.len(), 1);
    }

    #[test]
    fn reads_what_a_finding_says() {
        let read = Difference::parse("x", "@@ description @@\n-one\n+two\n@@ a.b @@\n+new\n...");
        let shown: Vec<_> = read
            .places
            .iter()
            .map(|place| (place.name.as_str(), place.went.len(), place.came.len()))
            .collect();
        assert_eq!(shown, [("description", 1, 1), ("a.b", 0, 2)]);
    }
}
