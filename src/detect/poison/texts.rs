//! Every text that a model reads, with its place, and what the rules say of it.
//!
//! A definition is judged whole: the worst of its texts, or all of them together at a discount, because a long schema
//! gathers a little of everything. A result is sifted first; of it only what stands together counts.

use serde_json::Value;

use crate::detect::signature::poison::{Poison, Scope, Score};
use crate::mcp::escape::unescape;
use crate::mcp::walk::Walk;

/// Points that a result loses: web pages and tickets hold such text daily. Errors are the server's own words.
const RESULT_DISCOUNT: u32 = 15;
/// Points that texts lose when they only alarm together.
const TOGETHER_DISCOUNT: u32 = 15;
/// Texts of one definition that are judged.
const MAX_TEXTS: usize = 4_096;
/// Shortest text that can say anything, in bytes.
const MIN_BYTES: usize = 8;

/// Members that no model reads as prose.
const PASSED_OVER: [&str; 9] = [
    "$ref",
    "$schema",
    "format",
    "icons",
    "mimeType",
    "pattern",
    "type",
    "uri",
    "uriTemplate",
];

/// What was found, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How much.
    pub score: Score,
    /// JSON path of the worst text, within what was judged.
    pub place: String,
}

/// Judges one definition: a tool, prompt or resource.
pub fn of_definition(value: &Value, poison: &Poison) -> Verdict {
    let mut collected = Collected {
        poison,
        left: MAX_TEXTS,
        scores: Vec::new(),
    };
    collected.collect(value, "");
    let scores = collected.scores;
    let Some((place, worst)) = scores.iter().max_by_key(|(_, score)| score.score).cloned() else {
        return Verdict::default();
    };
    let all: Vec<Score> = scores.into_iter().map(|(_, score)| score).collect();
    let mut together = poison.join(&all);
    together.score = together.score.saturating_sub(TOGETHER_DISCOUNT);
    let score = if together.score > worst.score { together } else { worst };
    Verdict { score, place }
}

/// Texts of one definition as they are judged.
struct Collected<'p> {
    poison: &'p Poison,
    left: usize,
    scores: Vec<(String, Score)>,
}

impl Collected<'_> {
    fn judge(&mut self, text: &str, path: &str) {
        if text.len() < MIN_BYTES || self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(1);
        let score = self.poison.judge(text, Scope::Metadata);
        if score.score > 0 {
            self.scores.push((path.to_owned(), score));
        }
    }

    /// Depth is bounded by the parser that made the value.
    fn collect(&mut self, value: &Value, path: &str) {
        match value {
            Value::String(text) => self.judge(text, path),
            Value::Array(list) => {
                for (number, inner) in list.iter().enumerate() {
                    self.collect(inner, &format!("{path}[{number}]"));
                }
            }
            Value::Object(map) => {
                let named = path.ends_with("properties");
                for (key, inner) in map {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    if named {
                        self.judge(key, &path);
                    }
                    if named || inner.is_object() || !PASSED_OVER.contains(&key.as_str()) {
                        self.collect(inner, &path);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Judges a text that stands alone: the instructions of a server.
pub fn of_text(text: &str, poison: &Poison) -> Score {
    poison.judge(text, Scope::Metadata)
}

/// Judges what a tool, prompt or resource gave: raw JSON. The worst stretch, and the path of it behind `prefix`.
pub fn of_result(json: &str, prefix: &str, failed: bool, poison: &Poison) -> Verdict {
    let mut worst = Verdict::default();
    let mut spots = Vec::new();
    for stretch in poison.sift(json, Scope::Result) {
        let text = unescape(json.get(stretch.range).unwrap_or_default());
        let score = poison.judge(&text, Scope::Result);
        if score.score > worst.score.score {
            spots = stretch.spots;
            worst.score = score;
        }
    }
    if worst.score.score > 0 {
        worst.place = place_of(json, prefix, &spots);
    }
    if !failed {
        worst.score.score = worst.score.score.saturating_sub(RESULT_DISCOUNT);
    }
    worst
}

/// The text that most of these places lie in.
fn place_of(json: &str, prefix: &str, spots: &[usize]) -> String {
    let mut walk = Walk::new(json);
    let mut counts: Vec<(String, usize)> = Vec::new();
    for spot in spots {
        let path = walk.path_at(prefix, *spot);
        match counts.iter_mut().find(|(known, _)| *known == path) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push((path, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    let found = counts.into_iter().find(|(_, count)| Some(*count) == most);
    found.map_or_else(|| prefix.to_owned(), |(path, _)| path)
}
