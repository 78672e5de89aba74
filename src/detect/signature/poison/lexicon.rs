//! Words that stand for one concept in many languages, found in one pass.
//!
//! A concept is what a step of a rule asks for: "a verb of telling", "the user", "a file with secrets". Rules are made of
//! concepts and not of sentences, so that a paraphrase or another language meets the same rule.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::fold::fold;
use super::marks;

/// Most concepts: they are bits of a number.
pub(super) const MAX_CONCEPTS: usize = 128;

/// Most hits of one text; a text with more is nothing that a rule could judge.
const MAX_HITS: usize = 16_384;

/// A set of concepts.
pub(super) type Concepts = u128;

/// An occurrence of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Number of the sentence.
    pub(super) sentence: u32,
    /// Number of the concept.
    pub(super) concept: u8,
}

/// What a pattern of the automaton stands for.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Word {
        concept: u8,
        /// The word may go on to the left, to the right.
        open: (bool, bool),
    },
    /// The literal that a rule's expression needs.
    Anchor(usize),
}

/// All words, compiled.
#[derive(Debug)]
pub(super) struct Lexicon {
    names: HashMap<String, u8>,
    automaton: AhoCorasick,
    meanings: Vec<Vec<Meaning>>,
}

/// Words of one concept as they are written: `*` at an end leaves that end open.
#[derive(Clone, Debug)]
pub struct Words {
    /// Concept.
    pub concept: String,
    /// Language.
    pub lang: String,
    /// Words and phrases.
    pub words: Vec<String>,
    /// Rare enough to be looked for in long texts.
    pub rare: bool,
}

/// Where text was found.
#[derive(Debug, Default)]
pub(super) struct Sighting {
    /// By place.
    pub(super) hits: Vec<Hit>,
    /// Rules whose anchors occur.
    pub(super) anchored: Vec<usize>,
    /// Concepts that occur.
    pub(super) present: Concepts,
}

impl Lexicon {
    /// Compiles words, and literals with the number of the rule that needs them.
    pub(super) fn new(words: &[Words], anchors: &[(String, usize)]) -> Result<Self, String> {
        let mut names = HashMap::new();
        for name in marks::CONCEPTS {
            add_name(&mut names, name)?;
        }
        let mut patterns: Vec<String> = Vec::new();
        let mut meanings: Vec<Vec<Meaning>> = Vec::new();
        let mut index: HashMap<String, usize> = HashMap::new();
        let mut put = |text: String, meaning: Meaning| {
            let at = *index.entry(text.clone()).or_insert_with(|| {
                patterns.push(text);
                meanings.push(Vec::new());
                patterns.len().saturating_sub(1)
            });
            if let Some(slot) = meanings.get_mut(at) {
                slot.push(meaning);
            }
        };
        for set in words {
            let concept = add_name(&mut names, &set.concept)?;
            for word in &set.words {
                let text = fold(word.trim_matches('*'));
                if text.is_empty() {
                    return Err(format!("an empty word of {}", set.concept));
                }
                let open = |edge: Option<char>, star: bool| star || edge.is_none_or(|c| !is_word(c) || is_unspaced(c));
                let open = (
                    open(text.chars().next(), word.starts_with('*')),
                    open(text.chars().next_back(), word.ends_with('*')),
                );
                put(text, Meaning::Word { concept, open });
            }
        }
        for (literal, rule) in anchors {
            put(fold(literal), Meaning::Anchor(*rule));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&patterns)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            names,
            automaton,
            meanings,
        })
    }

    /// The bit of a concept.
    pub(super) fn bit(&self, name: &str) -> Option<Concepts> {
        self.names.get(name).map(|number| 1 << number)
    }

    /// Every word of a folded text. From `loose` on, words have no limits.
    pub(super) fn find(&self, text: &str, loose: usize) -> Sighting {
        let mut seen = Sighting::default();
        for found in self.automaton.find_overlapping_iter(text) {
            let (start, end) = (found.start(), found.end());
            for meaning in self.meanings.get(found.pattern().as_usize()).into_iter().flatten() {
                match *meaning {
                    Meaning::Anchor(rule) => {
                        if !seen.anchored.contains(&rule) {
                            seen.anchored.push(rule);
                        }
                    }
                    Meaning::Word { concept, open } => {
                        let whole = start >= loose
                            || ((open.0 || !joins(text, start, true)) && (open.1 || !joins(text, end, false)));
                        if whole && seen.hits.len() < MAX_HITS {
                            seen.note(start, end, concept);
                        }
                    }
                }
            }
        }
        marks::find(text, &mut |number, start, end| {
            if seen.hits.len() < MAX_HITS {
                seen.note(start, end, number);
            }
        });
        seen.hits.sort_unstable();
        number_sentences(text, &mut seen.hits);
        seen
    }
}

impl Sighting {
    fn note(&mut self, start: usize, end: usize, concept: u8) {
        self.present |= 1 << concept;
        self.hits.push(Hit {
            start,
            end,
            sentence: 0,
            concept,
        });
    }
}

fn add_name(names: &mut HashMap<String, u8>, name: &str) -> Result<u8, String> {
    let next = names.len();
    if let Some(known) = names.get(name) {
        return Ok(*known);
    }
    let number = u8::try_from(next)
        .ok()
        .filter(|_| next < MAX_CONCEPTS)
        .ok_or_else(|| format!("more than {MAX_CONCEPTS} concepts"))?;
    names.insert(name.to_owned(), number);
    Ok(number)
}

/// Whether the word goes on at this place.
fn joins(text: &str, at: usize, before: bool) -> bool {
    let c = if before {
        text.get(..at).and_then(|head| head.chars().next_back())
    } else {
        text.get(at..).and_then(|tail| tail.chars().next())
    };
    c.is_some_and(is_word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Scripts without spaces between words, and Hangul, whose particles follow without one.
const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{e7f}' | '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{30ff}' | '\u{3130}'..='\u{318f}'
        | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2ffff}')
}

/// Which sentence each hit is in. A full stop counts before white space or at the end; one in a name does not.
fn number_sentences(text: &str, hits: &mut [Hit]) {
    let mut stops = text.char_indices().filter(|(at, c)| match c {
        '\n' | '\u{3002}' | '\u{964}' | '\u{61f}' | '\u{6d4}' => true,
        '.' | '!' | '?' => {
            let next = text.get(at.saturating_add(1)..).and_then(|tail| tail.chars().next());
            next.is_none_or(|next| next.is_whitespace() || matches!(next, '"' | ')' | '\'' | '<'))
                && !is_abbreviation(text.get(..*at).unwrap_or_default())
        }
        _ => false,
    });
    let (mut number, mut next) = (0_u32, stops.next());
    for hit in hits {
        while next.is_some_and(|(at, _)| at < hit.start) {
            number = number.saturating_add(1);
            next = stops.next();
        }
        hit.sentence = number;
    }
}

fn is_abbreviation(before: &str) -> bool {
    ["e.g", "i.e", " etc", " vs", "z.b", " p. ex", " no"]
        .iter()
        .any(|short| before.ends_with(short))
}
