//! Wording and characters that steer a model: how much of it a text holds.
//!
//! A rule is an expression, or concepts that stand near each other (`lexicon`, `near`). The best rule of a group
//! counts; groups are summed within `SPAN_BYTES`, so that one word alone never alarms and a long text is not the sum
//! of its chapters. Text is judged folded (`fold`) together with what it hides (`hidden`); rules about characters
//! see it raw.

mod fold;
mod hidden;
mod lexicon;
mod marks;
mod near;
mod sift;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use regex::Regex;

pub use lexicon::Words;
use lexicon::{Concepts, Lexicon};
use near::Near;
use sift::Sieve;
pub use sift::Stretch;

/// Sum from which a text is worth a record.
pub const RECORD_SCORE: u32 = 15;
/// Sum from which it is worth an alarm.
pub const ALARM_SCORE: u32 = 35;
/// Sum from which the alarm is loud.
pub const LOUD_SCORE: u32 = 60;

/// What belongs together stands within so many bytes.
const SPAN_BYTES: usize = 2_000;
/// Longest text that is looked at, in bytes.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Most places where one rule holds in one text.
const MAX_PLACES: usize = 64;
/// Compiled size of one expression.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// Points for words that stand where nobody reads them.
const UNPACKED_WEIGHT: u32 = 30;
/// Lightest rule that earns them.
const UNPACKED_MIN_WEIGHT: u8 = 20;
/// Group of such words.
const UNPACKED: &str = "encoded";
/// Points for hiding, secrets and a way out together, above their sum.
const TRIAD_WEIGHT: u32 = 20;
/// Concepts that make a sentence about a tool an order.
const ORDERS: [&str; 8] = [
    "must",
    "alter",
    "bad",
    "regardless",
    "firstof",
    "outrank",
    "untell",
    "changeshow",
];
/// The three.
const TRIAD: [&str; 3] = ["conceal", "secret", "exfil"];

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// What a server says of itself, its tools, prompts and resources.
    Metadata,
    /// What a tool, prompt or resource gave, or a server asked for.
    Result,
}

impl Scope {
    /// Every scope with its word in rules.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Metadata, "metadata"), (Self::Result, "result")];

    const fn bit(self) -> u8 {
        match self {
            Self::Metadata => 1,
            Self::Result => 2,
        }
    }
}

/// A rule as it was written.
#[derive(Clone, Debug, Default)]
pub struct PoisonRule {
    /// Id.
    pub id: Arc<str>,
    /// What it shows.
    pub title: String,
    /// Only the best rule of a group counts.
    pub group: String,
    /// Points out of 100.
    pub weight: u8,
    /// Words of [`Scope`]; empty is everywhere.
    pub scope: Vec<String>,
    /// Expression; empty where concepts are given.
    pub pattern: String,
    /// The expression sees the text as sent.
    pub raw: bool,
    /// Literals of which the expression needs one.
    pub anchors: Vec<String>,
    /// Concepts that must be near each other; `a|b` is one or the other.
    pub near: Vec<String>,
    /// See `Near`.
    pub within: usize,
    /// See `Near`.
    pub any_order: bool,
    /// See `Near`.
    pub across: bool,
    /// Concepts of which none may be in the sentence.
    pub unless: Vec<String>,
    /// References.
    pub references: Vec<String>,
}

#[derive(Debug)]
enum Test {
    Near(Near),
    /// Compiled when it is first needed.
    Pattern {
        regex: OnceLock<Option<Regex>>,
        anchored: bool,
    },
}

#[derive(Debug)]
struct Rule {
    written: PoisonRule,
    scope: u8,
    test: Test,
}

/// All rules, compiled.
#[derive(Debug)]
pub struct Poison {
    rules: Vec<Rule>,
    lexicon: Lexicon,
    sieve: Sieve,
}

/// What was found in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Sum of the best weight of each group.
    pub score: u32,
    /// Groups with their points.
    pub groups: BTreeMap<String, u32>,
    /// Rules that count, the heaviest first.
    pub rules: Vec<Arc<str>>,
    /// What the heaviest of them shows.
    pub title: String,
    /// References of these rules, without repeats.
    pub references: Vec<String>,
    /// How words were hidden.
    pub hidden: Vec<&'static str>,
}

impl Score {
    /// Whether the text is worth a record.
    pub const fn is_recorded(&self) -> bool {
        self.score >= RECORD_SCORE
    }
}

/// A place where a rule holds.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    rule: usize,
    unpacked: bool,
}

impl Poison {
    /// Compiles rules and words.
    ///
    /// # Errors
    /// The number of the rule that is wrong, where it is one, and why.
    pub fn new(rules: Vec<PoisonRule>, words: &[Words]) -> Result<Self, (Option<usize>, String)> {
        let anchors: Vec<(String, usize)> = rules
            .iter()
            .enumerate()
            .flat_map(|(number, rule)| rule.anchors.iter().map(move |anchor| (anchor.clone(), number)))
            .collect();
        let lexicon = Lexicon::new(words, &anchors).map_err(|what| (None, what))?;
        let literals = rules.iter().filter(|rule| !rule.raw).flat_map(|rule| &rule.anchors);
        let sieve = Sieve::new(words, literals).map_err(|what| (None, what))?;
        let compile = |(number, rule)| Rule::new(rule, &lexicon).map_err(|what| (Some(number), what));
        let rules = rules.into_iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { rules, lexicon, sieve })
    }

    /// Every rule.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &PoisonRule> {
        self.rules.iter().map(|rule| &rule.written)
    }

    /// Whether one rule holds for a text.
    pub fn holds(&self, id: &str, text: &str) -> bool {
        Scope::ALL.iter().any(|(scope, _)| {
            let places = self.places(text, *scope).0;
            places
                .iter()
                .any(|place| self.rules.get(place.rule).is_some_and(|rule| *rule.written.id == *id))
        })
    }

    /// Judges one text.
    pub fn judge(&self, text: &str, scope: Scope) -> Score {
        let (mut places, hidden) = self.places(text, scope);
        places.sort_by_key(|place| place.at);
        let mut best = Score::default();
        for (number, first) in places.iter().enumerate() {
            let end = first.at.saturating_add(SPAN_BYTES);
            let rest = places.get(number..).unwrap_or_default();
            let span = rest
                .get(..rest.partition_point(|place| place.at < end))
                .unwrap_or_default();
            let score = self.sum(span);
            if score.score > best.score {
                best = score;
            }
        }
        if best.groups.contains_key(UNPACKED) {
            best.hidden = hidden;
        }
        best
    }

    /// Whether a sentence with this name in it gives an order: what must be done, or what is wrong with the name.
    pub fn orders(&self, text: &str, name: &str) -> bool {
        let (text, name) = (fold::fold(text), fold::fold(name));
        let order = ORDERS
            .iter()
            .filter_map(|name| self.lexicon.bit(name))
            .fold(0, |all, bit| all | bit);
        text.split(['\n', '\u{3002}'])
            .flat_map(|line| line.split(". "))
            .filter(|sentence| sentence.contains(&name))
            .any(|sentence| self.lexicon.find(sentence, usize::MAX).present & order != 0)
    }

    /// Judges several texts that belong together: the best of each group counts wherever it stands.
    pub fn join(&self, scores: &[Score]) -> Score {
        let mut joint = Score::default();
        let mut scores: Vec<&Score> = scores.iter().collect();
        scores.sort_by_key(|score| std::cmp::Reverse(score.score));
        joint.title = scores.first().map(|score| score.title.clone()).unwrap_or_default();
        for score in scores {
            for (group, points) in &score.groups {
                let slot = joint.groups.entry(group.clone()).or_insert(0);
                *slot = (*slot).max(*points);
            }
            add_new(&mut joint.rules, &score.rules);
            add_new(&mut joint.references, &score.references);
            add_new(&mut joint.hidden, &score.hidden);
        }
        joint.references.sort();
        joint.score = total(&joint.groups);
        joint
    }

    fn sum(&self, span: &[Place]) -> Score {
        let mut best: BTreeMap<&str, Place> = BTreeMap::new();
        let weight = |place: &Place| self.rules.get(place.rule).map_or(0, |rule| rule.written.weight);
        let mut unpacked = false;
        for place in span {
            let Some(rule) = self.rules.get(place.rule) else {
                continue;
            };
            unpacked |= place.unpacked && rule.written.weight >= UNPACKED_MIN_WEIGHT;
            let slot = best.entry(&rule.written.group).or_insert(*place);
            if weight(place) > weight(slot) {
                *slot = *place;
            }
        }
        let mut counted: Vec<Place> = best.values().copied().collect();
        counted.sort_by_key(|place| (std::cmp::Reverse(weight(place)), place.at, place.rule));
        let mut groups: BTreeMap<String, u32> = best
            .iter()
            .map(|(group, place)| ((*group).to_owned(), u32::from(weight(place))))
            .collect();
        if unpacked {
            groups.insert(UNPACKED.to_owned(), UNPACKED_WEIGHT);
        }
        let rules = counted.iter().filter_map(|place| self.rules.get(place.rule));
        let mut references = Vec::new();
        rules
            .clone()
            .for_each(|rule| add_new(&mut references, &rule.written.references));
        references.sort();
        Score {
            score: total(&groups),
            title: rules
                .clone()
                .next()
                .map(|rule| rule.written.title.clone())
                .unwrap_or_default(),
            rules: rules.map(|rule| Arc::clone(&rule.written.id)).collect(),
            references,
            hidden: Vec::new(),
            groups,
        }
    }

    /// Every place where a rule holds, and how words were hidden.
    fn places(&self, text: &str, scope: Scope) -> (Vec<Place>, Vec<&'static str>) {
        let text = text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default();
        let mut places = Vec::new();
        self.characters(text, scope, &mut places);
        let folded = fold::fold(text);
        self.words(&folded, usize::MAX, scope, false, &mut places);
        let open: Vec<usize> = places.iter().map(|place| place.rule).collect();
        let mut hidden = Vec::new();
        for inner in hidden::unpack(text) {
            let before = places.len();
            let loose = if inner.loose { 0 } else { usize::MAX };
            self.words(&inner.text, loose, scope, true, &mut places);
            // What the text says openly as well is not hidden.
            let mut at = 0;
            places.retain(|place| {
                let fresh = at < before || !open.contains(&place.rule);
                at += 1;
                fresh
            });
            if places.len() > before && !hidden.contains(&inner.how) {
                hidden.push(inner.how);
            }
        }
        (places, hidden)
    }

    /// Rules about characters: plain ASCII has none of them.
    fn characters(&self, text: &str, scope: Scope, out: &mut Vec<Place>) {
        if text.is_ascii() && !text.bytes().any(|byte| byte < 0x20 && !byte.is_ascii_whitespace()) {
            return;
        }
        for (number, rule) in self.rules.iter().enumerate() {
            if rule.written.raw && rule.scope & scope.bit() != 0 {
                rule.find(text, &mut |_| {
                    out.push(Place {
                        at: 0,
                        rule: number,
                        unpacked: false,
                    });
                    false
                });
            }
        }
    }

    fn words(&self, text: &str, loose: usize, scope: Scope, unpacked: bool, out: &mut Vec<Place>) {
        let seen = self.lexicon.find(text, loose);
        for (number, rule) in self.rules.iter().enumerate() {
            if rule.written.raw || rule.scope & scope.bit() == 0 {
                continue;
            }
            let mut count = 0;
            let mut put = |at: usize| {
                out.push(Place {
                    // What was hidden belongs to all of the text.
                    at: if unpacked { 0 } else { at },
                    rule: number,
                    unpacked,
                });
                count += 1;
                count < MAX_PLACES
            };
            match &rule.test {
                Test::Near(near) if near.possible(seen.present) => near.find(&seen.hits, &mut |start, _| {
                    put(start);
                }),
                Test::Near(_) => {}
                Test::Pattern { anchored, .. } => {
                    if !anchored || seen.anchored.contains(&number) {
                        rule.find(text, &mut put);
                    }
                }
            }
        }
    }
}

fn add_new<T: Clone + PartialEq>(known: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !known.contains(one) {
            known.push(one.clone());
        }
    }
}

fn total(groups: &BTreeMap<String, u32>) -> u32 {
    let sum: u32 = groups.values().sum();
    let triad = TRIAD.iter().all(|group| groups.contains_key(*group));
    sum.saturating_add(if triad { TRIAD_WEIGHT } else { 0 })
}

impl Rule {
    fn new(written: PoisonRule, lexicon: &Lexicon) -> Result<Self, String> {
        if written.weight > 100 {
            return Err(format!("weight {} is above 100", written.weight));
        }
        let mut scope = 0;
        for word in &written.scope {
            let known = Scope::ALL.iter().find(|(_, known)| known == word);
            let (known, _) = known.ok_or_else(|| format!("scope {word:?} is not known"))?;
            scope |= known.bit();
        }
        let concepts = |names: &str| -> Result<Concepts, String> {
            names.split('|').try_fold(0, |bits, name| {
                let bit = lexicon
                    .bit(name)
                    .ok_or_else(|| format!("no lexicon has the concept {name:?}"))?;
                Ok(bits | bit)
            })
        };
        let test = match (written.pattern.is_empty(), written.near.is_empty()) {
            (false, true) => Test::Pattern {
                regex: OnceLock::new(),
                anchored: !written.anchors.is_empty(),
            },
            (true, false) => Test::Near(Near {
                steps: written
                    .near
                    .iter()
                    .map(|names| concepts(names))
                    .collect::<Result<_, _>>()?,
                within: written.within,
                any_order: written.any_order,
                across: written.across,
                unless: written
                    .unless
                    .iter()
                    .try_fold(0, |bits, names| Ok::<_, String>(bits | concepts(names)?))?,
            }),
            _ => return Err("it needs pattern or near, and not both".to_owned()),
        };
        Ok(Self {
            scope: if scope == 0 { u8::MAX } else { scope },
            test,
            written,
        })
    }

    /// Starts of the matches of an expression, until told to stop.
    fn find(&self, text: &str, out: &mut dyn FnMut(usize) -> bool) {
        let Test::Pattern { regex, .. } = &self.test else {
            return;
        };
        let regex = regex.get_or_init(|| expression(&self.written.pattern).ok());
        for found in regex.iter().flat_map(|regex| regex.find_iter(text)) {
            if !out(found.start()) {
                return;
            }
        }
    }
}

/// Compiles an expression.
///
/// # Errors
/// Why it cannot be.
pub(super) fn expression(pattern: &str) -> Result<Regex, String> {
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|error| error.to_string())?;
    if regex.is_match("") {
        return Err("the pattern matches the empty text".to_owned());
    }
    Ok(regex)
}

#[cfg(test)]
mod tests;
