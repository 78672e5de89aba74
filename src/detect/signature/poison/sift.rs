//! Where in a long text a look is worth it.
//!
//! Results are megabytes, and nearly all of them say nothing to a model. Words that no rule of weight can do without are
//! searched as anchors first; around each, a few hundred bytes are looked at with all words; only where a rule could hold
//! there, the surroundings are judged. Text without such a word costs the anchors alone, and of those, where it is plain
//! ASCII, only the English ones and what other Latin scripts need to override, hide and outrank: a word more in the map of
//! anchors is paid for with every byte of every result.

use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::super::anchors::{Anchor, Anchors};
use super::super::twice::Twice;
use super::{Poison, SPAN_BYTES, Scope, Test, Words};

/// Shortest anchor, in bytes.
const MIN_BYTES: usize = 4;
/// Bytes around an anchor for the first look.
const GLANCE_BYTES: usize = 160;
/// Bytes around a place that are judged, to either side.
const AROUND_BYTES: usize = SPAN_BYTES / 2;
/// Most first looks of one text; a text with more is a word list.
const MAX_GLANCES: usize = 4_096;
/// Words of a part that are remembered.
const MAX_SPOTS: usize = 64;
/// Lightest rule that makes a place worth judging.
const MIN_WEIGHT: u8 = 20;

/// A part of a text that is worth judging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// Where words stand in it that are looked for, ascending; at most `MAX_SPOTS`.
    pub spots: Vec<usize>,
}

/// Most words, and the longest one.
const MAX_WORDS: usize = 30_000;
const MAX_WORD_BYTES: usize = 1_024;
/// Bytes that are searched with one set of anchors, and bytes of the next ones that a word may reach into.
const BLOCK_BYTES: usize = 4_096;
const REACH_BYTES: usize = 96;

/// Words that every tool talks of: each stands in one of a hundred real descriptions, or more often. A rule that needs
/// one of them needs another word too.
const COMMON: [&str; 30] = [
    "tool",
    "content",
    "prompt",
    "execute",
    "context",
    "agent",
    "thought",
    "follow",
    "follows",
    "history",
    "replace",
    "messages",
    "scrap",
    "containing the",
    "with their",
    "drop",
    "content of",
    "text_",
    "content from",
    "break",
    "data from",
    "cancel",
    "reset",
    "including the",
    "handle",
    "instructions",
    "contents of",
    "data_",
    "text of",
    "disable",
];

/// Concepts whose words in other languages are looked for in plain ASCII, too.
const EVERYWHERE: [&str; 3] = ["override", "covert", "supreme"];

/// The anchors.
#[derive(Debug)]
pub(super) struct Sieve {
    /// Of plain ASCII.
    plain: Lazy,
    /// Of all other text: more of them, and slower.
    all: Lazy,
}

/// Anchors that are compiled when a text first needs them.
#[derive(Debug)]
struct Lazy {
    words: Vec<String>,
    anchors: OnceLock<Option<Anchors>>,
}

impl Lazy {
    fn of<'w>(words: impl Iterator<Item = &'w String>) -> Result<Self, String> {
        let words: Vec<String> = words.cloned().collect();
        if words.len() > MAX_WORDS || words.iter().any(|word| word.len() > MAX_WORD_BYTES) {
            return Err(format!(
                "more than {MAX_WORDS} words, or one of more than {MAX_WORD_BYTES} bytes"
            ));
        }
        Ok(Self {
            words,
            anchors: OnceLock::new(),
        })
    }

    fn get(&self) -> Option<&Anchors> {
        let compile = || Anchors::new(anchors(&self.words)).ok();
        self.anchors.get_or_init(compile).as_ref()
    }
}

impl Sieve {
    /// Of the rare words, and of the literals that expressions need.
    pub(super) fn new<'w>(words: &'w [Words], literals: impl Iterator<Item = &'w String>) -> Result<Self, String> {
        let plain = |set: &&Words| set.lang == "en" || EVERYWHERE.contains(&set.concept.as_str());
        let rare = || words.iter().filter(|set| set.rare);
        let literals: Vec<&String> = literals.collect();
        let literals = || literals.iter().copied();
        Ok(Self {
            plain: Lazy::of(rare().filter(plain).flat_map(|set| &set.words).chain(literals()))?,
            all: Lazy::of(rare().flat_map(|set| &set.words).chain(literals()))?,
        })
    }

    /// Where an anchor stands, ascending.
    fn spots(&self, text: &str, twice: Option<&Twice>) -> Vec<usize> {
        let mut twice = twice;
        let bytes = text.as_bytes();
        let mut spots: Vec<usize> = Vec::new();
        let mut found: Vec<(usize, usize)> = Vec::new();
        for start in (0..bytes.len()).step_by(BLOCK_BYTES) {
            let end = start.saturating_add(BLOCK_BYTES).saturating_add(REACH_BYTES);
            let block = bytes.get(start..end.min(bytes.len())).unwrap_or_default();
            // Python escapes what is not ASCII.
            let plain = block.is_ascii() && memchr::memmem::find(block, b"\\u").is_none();
            if plain && twice.is_some_and(|twice| twice.spares(&(start..end))) {
                continue;
            }
            let Some(anchors) = (if plain { &self.plain } else { &self.all }).get() else {
                continue;
            };
            found.clear();
            anchors.find(block, None, &mut |_, here| {
                let there = start.saturating_add(here.start)..start.saturating_add(here.end);
                twice = twice.filter(|twice| !twice.is_in_first(&there));
                found.push((here.end, here.start));
                true
            });
            found.sort_unstable();
            // Of those that overlap the one that ends first.
            let mut free = 0;
            for &(to, from) in &found {
                if from >= free && spots.len() < MAX_GLANCES {
                    spots.push(start.saturating_add(from));
                    free = to;
                }
            }
        }
        spots.sort_unstable();
        spots.dedup();
        spots
    }
}

/// What is searched for: no anchor is part of another.
fn anchors(words: &[String]) -> Vec<Anchor> {
    let mut texts: Vec<String> = Vec::new();
    for word in words {
        let word = word.trim_matches('*').to_lowercase();
        if word.len() < MIN_BYTES || COMMON.contains(&word.as_str()) {
            continue;
        }
        if !word.starts_with(|c: char| c.is_ascii()) {
            let mut chars = word.chars();
            texts.extend(chars.next().map(|first| first.to_uppercase().chain(chars).collect()));
        }
        texts.push(word);
    }
    texts.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    texts.dedup();
    let mut kept: Vec<Vec<u8>> = UNSEEN
        .iter()
        .map(|unseen| unseen.as_bytes().iter().take(3).copied().collect())
        .collect();
    kept.dedup();
    // Used once: the form that is built soonest.
    let shortest = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::NoncontiguousNFA))
        .build(&texts)
        .ok();
    for text in &texts {
        let holds_other = shortest
            .iter()
            .flat_map(|all| all.find_overlapping_iter(text))
            .any(|found| found.len() < text.len());
        if !holds_other {
            kept.push(text.clone().into_bytes());
        }
    }
    kept.into_iter().map(|text| Anchor { text, fold: true }).collect()
}

/// Characters that nobody sees, by their first bytes.
const UNSEEN: [&str; 7] = [
    "\u{200b}",
    "\u{2060}",
    "\u{202e}",
    "\u{e0041}",
    "\u{e0061}",
    "\u{e0065}",
    "\u{e0069}",
];

impl Poison {
    /// Parts of a text that are worth judging, ascending and apart.
    pub fn sift(&self, text: &str, scope: Scope) -> Vec<Stretch> {
        let spots = self.spots(text, Twice::of(text).as_ref());
        let mut found: Vec<Stretch> = Vec::new();
        let mut seen = 0;
        for &spot in &spots {
            if spot < seen {
                continue;
            }
            seen = spot.saturating_add(GLANCE_BYTES / 2);
            let glance = around(text, spot, GLANCE_BYTES);
            if !self.may_hold(text.get(glance).unwrap_or_default(), scope) {
                continue;
            }
            let range = around(text, spot, AROUND_BYTES);
            match found.last_mut() {
                Some(last) if range.start <= last.range.end => last.range.end = range.end,
                _ => found.push(Stretch {
                    range,
                    spots: Vec::new(),
                }),
            }
        }
        for stretch in &mut found {
            let from = spots.partition_point(|spot| *spot < stretch.range.start);
            let inside = spots.iter().skip(from).take_while(|spot| stretch.range.contains(spot));
            stretch.spots = inside.take(MAX_SPOTS).copied().collect();
        }
        found
    }

    pub(in crate::detect::signature) fn spots(&self, text: &str, twice: Option<&Twice>) -> Vec<usize> {
        self.sieve.spots(text, twice)
    }

    /// Whether a rule of some weight holds for a part of a text, or something unseen is in it: what is encoded is unpacked
    /// only where it is judged.
    fn may_hold(&self, text: &str, scope: Scope) -> bool {
        if !text.is_ascii() || text.contains('\u{1b}') {
            let worth = |place: &super::Place| self.weight(place.rule) >= MIN_WEIGHT;
            return self.places(text, scope).0.iter().any(worth);
        }
        let folded = super::fold::fold(text);
        let seen = self.lexicon.find(&folded, usize::MAX);
        self.rules.iter().enumerate().any(|(number, rule)| {
            if rule.written.raw || rule.scope & scope.bit() == 0 || rule.written.weight < MIN_WEIGHT {
                return false;
            }
            let mut holds = false;
            match &rule.test {
                Test::Near(near) if near.possible(seen.present) => near.find(&seen.hits, &mut |_, _| holds = true),
                Test::Near(_) => {}
                Test::Pattern { anchored, .. } => {
                    if !anchored || seen.anchored.contains(&number) {
                        rule.find(&folded, &mut |_| {
                            holds = true;
                            false
                        });
                    }
                }
            }
            holds
        })
    }

    fn weight(&self, rule: usize) -> u8 {
        self.rules.get(rule).map_or(0, |rule| rule.written.weight)
    }
}

fn around(text: &str, spot: usize, bytes: usize) -> Range<usize> {
    text.floor_char_boundary(spot.saturating_sub(bytes))
        ..text.ceil_char_boundary(spot.saturating_add(bytes).min(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

    use super::*;
    use crate::detect::signature::Signatures;

    fn automaton(words: &[String]) -> AhoCorasick {
        AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::NoncontiguousNFA))
            .build(anchors(words).into_iter().map(|anchor| anchor.text))
            .unwrap()
    }

    /// The first that ends, and on from there.
    #[test]
    fn finds_what_an_automaton_finds() {
        let signatures = Signatures::builtin();
        let sieve = &signatures.poison.sieve;
        let words = sieve.all.words.clone();
        let (plain, all) = (automaton(&sieve.plain.words), automaton(&words));
        let pieces = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, "[ a-z.,\"]{0,6}"), 1..40);
        let mut runner = TestRunner::new_with_rng(
            ProptestConfig::with_cases(48),
            TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        );
        let run = runner.run(&pieces, |pieces| {
            let mut text = String::new();
            for (word, clip, between) in pieces {
                let word = word.get(&words).trim_matches('*').to_uppercase();
                let clipped = word.char_indices().nth_back(clip).map_or(0, |(at, _)| at);
                text.push_str(if clip < 3 { &word } else { &word[..clipped] });
                text.push_str(&between);
            }
            text.truncate(text.floor_char_boundary(BLOCK_BYTES));
            let oracle = if text.is_ascii() { &plain } else { &all };
            let wanted: Vec<usize> = oracle.find_iter(&text).map(|found| found.start()).collect();
            prop_assert_eq!(sieve.spots(&text, None), wanted);
            Ok(())
        });
        run.unwrap();
    }
}
