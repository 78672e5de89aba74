//! Finds credentials and personal data in text.
//!
//! One pass for the anchors of all credential rules (`anchors.rs`); a hit pays for its rule's expression on a window
//! and for its checks. Personal data has no anchors and is found by runs of digits and by `@` (`numbers.rs`,
//! `people.rs`). Cost: one pass and a half per message, no allocation without a hit.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::anchors::{Anchor, Anchors};
use super::checks::{Check, filler, password};
use super::national::National;
use super::twice::Twice;
use super::{numbers, people};
use crate::model::finding::{Kind, Severity};

/// Most hits that one text gives.
const MAX_HITS: usize = 4_096;
/// Bytes that windows may cover, per byte of text, before they shrink to [`SHORT_WINDOW_BYTES`].
const MAX_WINDOW_SHARE: usize = 16;
const SHORT_WINDOW_BYTES: usize = 256;
/// Compiled size of one expression.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;

/// Where a text stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Arguments of a call, and all else that is asked.
    Arguments,
    /// A header line, `name: value`.
    Header,
    /// Names, descriptions, schemas.
    Metadata,
    /// What was answered.
    Result,
    /// A request target.
    Url,
}

impl Place {
    /// Every place with its word in a rule's `scope`.
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Arguments, "arguments"),
        (Self::Header, "header"),
        (Self::Metadata, "metadata"),
        (Self::Result, "result"),
        (Self::Url, "url"),
    ];

    pub(super) const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// How much of a value a sample may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleForm {
    /// Public prefix and last characters.
    Edges,
    /// Public prefix only.
    Head,
    /// Nothing.
    None,
    /// The scheme of the address around the value.
    Scheme,
}

/// A rule for a kind of credential or of personal data.
#[derive(Debug)]
pub struct SecretRule {
    /// Id.
    pub id: Arc<str>,
    /// What it is, as a noun.
    pub title: String,
    /// `SecretInTransit` or `PiiInTransit`.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// 0 to 1.
    pub confidence: f32,
    /// References.
    pub references: Vec<String>,
    /// Has no structure of its own: any other rule is the better name for the same value.
    pub generic: bool,
    /// What a sample may show.
    pub sample: SampleForm,
    pub(super) anchors: Vec<String>,
    /// Starts of values that everybody knows, where they are not the anchors.
    pub(super) public: Vec<String>,
    /// Anchors match in any letter case.
    pub(super) fold: bool,
    pub(super) find: Find,
    pub(super) scope: u8,
}

/// How values of a rule are found.
#[derive(Debug)]
pub(super) enum Find {
    /// By class.
    Class(Class),
    /// An expression around an anchor.
    Pattern {
        expression: Expression,
        /// Bytes of the window before and behind the anchor.
        before: usize,
        after: usize,
        checks: Vec<Check>,
        /// A match starts at the anchor, and no word reaches it.
        word_start: bool,
    },
}

/// Compiled when it is first needed: hundreds of them are most of a start, and most never are.
#[derive(Debug)]
pub(super) struct Expression {
    pattern: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Expression {
    pub(super) fn new(pattern: &str) -> Self {
        Self {
            pattern: pattern.to_owned(),
            compiled: OnceLock::new(),
        }
    }

    /// # Errors
    /// Why it cannot be compiled.
    pub(super) fn compile(&self) -> Result<Regex, String> {
        let builder = RegexBuilder::new(&self.pattern)
            .unicode(false)
            .size_limit(MAX_PATTERN_BYTES)
            .build();
        builder.map_err(|error| error.to_string())
    }

    fn get(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.compile().ok()).as_ref()
    }
}

/// What is found by its characters and surroundings instead of by an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Card,
    Email,
    Iban,
    National(National),
    Phone,
    Ssn,
    /// `user:password@` of an address; a credential.
    UserInfo,
}

impl Class {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Card, "card"),
        (Self::Email, "email"),
        (Self::Iban, "iban"),
        (Self::Phone, "phone"),
        (Self::Ssn, "ssn"),
        (Self::UserInfo, "userinfo"),
    ];

    /// Every class with its word in a rule.
    pub(super) fn all() -> impl Iterator<Item = (Self, &'static str)> {
        let national = National::ALL
            .into_iter()
            .map(|(kind, word)| (Self::National(kind), word));
        Self::ALL.into_iter().chain(national)
    }
}

impl SecretRule {
    /// Length of the value's public prefix: the rule's own text, known to everybody.
    pub fn public_prefix(&self, value: &[u8]) -> usize {
        let starts = |anchor: &&String| {
            value
                .get(..anchor.len())
                .is_some_and(|head| self.is_anchor(anchor, head))
        };
        self.anchors
            .iter()
            .chain(&self.public)
            .filter(starts)
            .map(String::len)
            .max()
            .unwrap_or(0)
    }

    fn is_anchor(&self, anchor: &str, text: &[u8]) -> bool {
        if self.fold {
            anchor.as_bytes().eq_ignore_ascii_case(text)
        } else {
            anchor.as_bytes() == text
        }
    }
}

/// A value that a rule found.
#[derive(Clone, Debug)]
pub struct Hit<'s, 't> {
    /// Rule.
    pub rule: &'s SecretRule,
    /// Text that was searched.
    pub text: &'t [u8],
    /// The value itself.
    pub value: Range<usize>,
    /// The value with what led to it.
    pub span: Range<usize>,
}

/// A hit before rules compete.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) rule: usize,
    pub(super) value: Range<usize>,
    pub(super) span: Range<usize>,
    /// Length of the anchor.
    weight: usize,
}

/// All rules, compiled.
#[derive(Debug)]
pub struct Secrets {
    rules: Vec<SecretRule>,
    anchors: Anchors,
    /// Rules of each anchor.
    owners: Vec<Vec<usize>>,
    stop: AhoCorasick,
    people: people::People,
    /// Rule of each class that is in force.
    classes: Vec<(Class, usize)>,
}

impl Secrets {
    pub(super) fn new(rules: Vec<SecretRule>, stop: &[String]) -> Result<Self, String> {
        let mut anchors: Vec<Anchor> = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        let mut classes = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            if let Find::Class(class) = rule.find {
                classes.push((class, number));
            }
            for anchor in &rule.anchors {
                let text = if rule.fold {
                    anchor.to_ascii_lowercase()
                } else {
                    anchor.clone()
                };
                let anchor = Anchor {
                    text: text.into_bytes(),
                    fold: rule.fold,
                };
                let slot = anchors.iter().position(|known| *known == anchor).unwrap_or_else(|| {
                    anchors.push(anchor);
                    owners.push(Vec::new());
                    anchors.len() - 1
                });
                owners[slot].push(number);
            }
        }
        Ok(Self {
            rules,
            anchors: Anchors::new(anchors)?,
            owners,
            stop: case_free(stop)?,
            people: people::People::new()?,
            classes,
        })
    }

    /// Every rule.
    pub fn rules(&self) -> &[SecretRule] {
        &self.rules
    }

    /// Finds every value that a rule knows, in the order of the text. No two hits overlap.
    pub fn scan(&self, text: &[u8], place: Place, out: &mut dyn FnMut(&Hit<'_, '_>)) {
        self.scan_twice(text, place, None, out);
    }

    /// The same for a text that holds something twice.
    pub fn scan_twice(&self, text: &[u8], place: Place, twice: Option<&Twice>, out: &mut dyn FnMut(&Hit<'_, '_>)) {
        let mut found = Vec::new();
        self.credentials(text, place, twice, &mut found);
        self.personal(text, place, twice, &mut found);
        if found.is_empty() {
            return;
        }
        for hit in self.compete(found) {
            out(&Hit {
                rule: &self.rules[hit.rule],
                text,
                value: hit.value,
                span: hit.span,
            });
        }
    }

    /// Bytes that the windows of each rule cover in the text of a body.
    pub(super) fn covered(&self, text: &[u8]) -> Vec<usize> {
        let mut covered = vec![0; self.rules.len()];
        self.anchors.find(text, None, &mut |anchor, here| {
            for number in &self.owners[anchor] {
                let bodies = Place::Arguments.bit() | Place::Metadata.bit() | Place::Result.bit();
                if self.rules[*number].scope & bodies == 0 {
                    continue;
                }
                if let Find::Pattern {
                    before,
                    after,
                    word_start,
                    ..
                } = &self.rules[*number].find
                    && !(*word_start && within_word(text, here.start))
                {
                    covered[*number] += (before + here.len() + after).min(text.len());
                }
            }
            true
        });
        covered
    }

    fn credentials(&self, text: &[u8], place: Place, twice: Option<&Twice>, found: &mut Vec<Found>) {
        let mut budget = text.len().saturating_mul(MAX_WINDOW_SHARE).saturating_add(64 * 1024);
        self.anchors.find(text, twice, &mut |anchor, here| {
            for number in &self.owners[anchor] {
                let known = || {
                    let recent = found.iter().rev().take(8);
                    recent
                        .into_iter()
                        .any(|hit: &Found| hit.rule == *number && hit.span.contains(&here.start))
                };
                if self.rules[*number].scope & place.bit() != 0 && !known() {
                    found.extend(self.candidate(*number, text, here.clone(), &mut budget));
                }
            }
            found.len() < MAX_HITS
        });
    }

    /// The rule's match that holds the anchor, if its checks pass.
    fn candidate(&self, number: usize, text: &[u8], anchor: Range<usize>, budget: &mut usize) -> Option<Found> {
        let Find::Pattern {
            expression,
            before,
            after,
            checks,
            word_start,
        } = &self.rules[number].find
        else {
            return None;
        };
        if *word_start && within_word(text, anchor.start) {
            return None;
        }
        let after = if *budget > *after {
            *after
        } else {
            SHORT_WINDOW_BYTES.min(*after)
        };
        let mut start = anchor.start.saturating_sub(*before);
        let end = anchor.end.saturating_add(after).min(text.len());
        *budget = budget.saturating_sub(end - start);
        let regex = expression.get()?;
        loop {
            let captures = regex.captures_at(&text[..end], start)?;
            let whole = captures.get(0)?;
            if whole.start() > anchor.start {
                return None;
            }
            if whole.end() < anchor.end {
                start = whole.end().max(start + 1);
                continue;
            }
            let value = captures.get(1).unwrap_or(whole);
            let bytes = value.as_bytes();
            let pass = checks.iter().all(|check| check.passes(bytes))
                && (checks.contains(&Check::Pem) || !self.placeholder(&self.rules[number], bytes));
            return pass.then(|| Found {
                rule: number,
                value: value.range(),
                span: whole.range(),
                weight: anchor.len(),
            });
        }
    }

    /// Whether a value stands in a manual instead of a real one.
    fn placeholder(&self, rule: &SecretRule, value: &[u8]) -> bool {
        let body = value.get(rule.public_prefix(value)..).unwrap_or_default();
        self.stop.is_match(value) || filler(body)
    }

    fn personal(&self, text: &[u8], place: Place, twice: Option<&Twice>, found: &mut Vec<Found>) {
        let rule_of = |class: Class| {
            let (_, number) = *self.classes.iter().find(|(known, _)| *known == class)?;
            (self.rules[number].scope & place.bit() != 0).then_some(number)
        };
        let mut add = |class: Class, value: Range<usize>| {
            let real = |rule: &usize| {
                let bytes = text.get(value.clone()).unwrap_or_default();
                class != Class::UserInfo || (password(bytes) && !self.placeholder(&self.rules[*rule], bytes))
            };
            if let Some(rule) = rule_of(class).filter(|rule| found.len() < MAX_HITS && real(rule)) {
                found.push(Found {
                    rule,
                    span: value.clone(),
                    value,
                    weight: 0,
                });
            }
        };
        let mut strong = false;
        numbers::scan(text, twice, &mut |class, value| {
            strong = true;
            add(class, value);
        });
        self.people.scan(text, strong, &mut add);
    }

    /// Of overlapping values the better one stays: a rule with structure before a generic one and before personal data,
    /// a longer anchor before a shorter one; of two generic rules the one that stands first in the files.
    fn compete(&self, mut found: Vec<Found>) -> Vec<Found> {
        let worth = |hit: &Found| {
            let rule = &self.rules[hit.rule];
            (
                rule.kind == Kind::SecretInTransit && !rule.generic,
                rule.kind == Kind::PiiInTransit,
                if rule.generic { 0 } else { hit.weight },
            )
        };
        found.sort_by_key(|hit| (hit.value.start, hit.value.end, hit.rule));
        let mut kept: Vec<Found> = Vec::with_capacity(found.len());
        for hit in found {
            match kept.last_mut() {
                Some(last) if last.value.end > hit.value.start => {
                    if worth(&hit) > worth(last) {
                        *last = hit;
                    }
                }
                _ => kept.push(hit),
            }
        }
        kept
    }
}

/// Whether a word reaches this place.
fn within_word(text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Overlapping, case-free, as a DFA: over all anchors it is twice as fast as an exact and a case-free one in turn.
fn case_free(patterns: &[String]) -> Result<AhoCorasick, String> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .match_kind(MatchKind::Standard)
        .build(patterns)
        .map_err(|error| error.to_string())
}
