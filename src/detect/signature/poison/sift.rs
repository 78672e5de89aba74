//! Where in a long text a look is worth it.
//!
//! Results are megabytes, and nearly all of them say nothing to a model. Words that no rule of weight can do without are
//! searched as anchors first; around each, a few hundred bytes are looked at with all words; only where a rule holds
//! there, the surroundings are judged. Text without such a word costs the anchors alone.

use std::ops::Range;

use super::super::anchors::{Anchor, Anchors};
use super::{Poison, SPAN_BYTES, Scope, Words};

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
    /// Where words stand in it that are looked for, ascending; at most [`MAX_SPOTS`].
    pub spots: Vec<usize>,
}

/// The anchors.
#[derive(Debug)]
pub(super) struct Sieve {
    anchors: Anchors,
}

impl Sieve {
    /// Of the rare words, and of the literals that expressions need.
    pub(super) fn new<'w>(words: &'w [Words], literals: impl Iterator<Item = &'w String>) -> Result<Self, String> {
        let rare = words.iter().filter(|set| set.rare).flat_map(|set| &set.words);
        let mut anchors: Vec<Anchor> = Vec::new();
        for word in rare.chain(literals) {
            let word = word.trim_matches('*').to_lowercase();
            if word.len() < MIN_BYTES {
                continue;
            }
            let mut spellings = vec![word.clone()];
            if !word.starts_with(|c: char| c.is_ascii()) {
                let mut chars = word.chars();
                spellings.extend(chars.next().map(|first| first.to_uppercase().chain(chars).collect()));
            }
            anchors.extend(spellings.into_iter().map(|text| Anchor {
                text: text.into_bytes(),
                fold: true,
            }));
        }
        for unseen in [
            "\u{200b}",
            "\u{2060}",
            "\u{202e}",
            "\u{e0041}",
            "\u{e0061}",
            "\u{e0065}",
            "\u{e0069}",
        ] {
            let bytes = unseen.as_bytes();
            anchors.push(Anchor {
                text: bytes.get(..3).unwrap_or(bytes).to_vec(),
                fold: false,
            });
        }
        anchors.sort_by(|a, b| a.text.cmp(&b.text));
        anchors.dedup();
        Ok(Self {
            anchors: Anchors::new(anchors)?,
        })
    }
}

impl Poison {
    /// Parts of a text that are worth judging, ascending and apart.
    pub fn sift(&self, text: &str, scope: Scope) -> Vec<Stretch> {
        let mut spots: Vec<usize> = Vec::new();
        self.sieve.anchors.find(text.as_bytes(), &mut |_, place| {
            spots.push(place.start);
            spots.len() < MAX_GLANCES
        });
        spots.sort_unstable();
        let mut found: Vec<Stretch> = Vec::new();
        let mut seen = 0;
        for &spot in &spots {
            if spot < seen {
                continue;
            }
            let glance = around(text, spot, GLANCE_BYTES);
            seen = spot.saturating_add(GLANCE_BYTES / 2);
            let worth = self
                .places(text.get(glance).unwrap_or_default(), scope)
                .0
                .iter()
                .any(|place| {
                    self.rules
                        .get(place.rule)
                        .is_some_and(|rule| rule.written.weight >= MIN_WEIGHT)
                });
            if !worth {
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
}

fn around(text: &str, spot: usize, bytes: usize) -> Range<usize> {
    text.floor_char_boundary(spot.saturating_sub(bytes))
        ..text.ceil_char_boundary(spot.saturating_add(bytes).min(text.len()))
}
