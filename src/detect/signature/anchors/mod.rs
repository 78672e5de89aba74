//! Finds the literal anchors of many rules in one pass.
//!
//! An automaton over hundreds of anchors reads a byte at a time and walks a table that fills the cache: 0.3 GB/s for
//! phrases of English. Here a place of the text passes three sieves, each finer than the one before: windows of four bytes
//! in vector registers (`buckets.rs`; one place in six to fifty passes), hashes of six bytes in a bitmap (one in fifty to
//! a thousand), comparisons. The first two collect what passes without a branch, since mispredicting one costs more than
//! the work that it saves. Anchors of two bytes are searched one by one. Measured in `benches/signatures.rs`. The oracle is
//! the automaton.

mod buckets;
mod vector;

use std::ops::Range;

use memchr::memmem::Finder;

use super::twice::{MARGIN_BYTES, Twice};
use buckets::{BLOCK_BYTES, Block, Buckets, Places, REACH_BYTES, ROOM};

/// Bit of a letter's case; set on both sides of what is hashed.
const CASES: u64 = 0x2020_2020_2020_2020;
/// Shortest anchor that has a window.
const SHORTEST_BYTES: usize = 3;
/// Bytes from the window of an anchor on that are hashed, and the shortest anchor of which so many are.
const LONG_BYTES: usize = 6;
/// Those of shorter anchors. Of the last one five bits count: an anchor of three bytes is entered with all that may follow.
const SHORT_BYTES: usize = 4;
const SHORT_MASK: u64 = 0x1fff_ffff;
/// Bits of a hash.
const HASH_BITS: u32 = 17;
const MAP_WORDS: usize = (1 << HASH_BITS) / 64;
/// Bits of the hash by which anchors are listed.
const LIST_BITS: u32 = 12;

/// One anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    /// As it stands in text; lower case when `fold`.
    pub(super) text: Vec<u8>,
    /// Whether the case of ASCII letters does not matter.
    pub(super) fold: bool,
}

/// All anchors, compiled.
#[derive(Debug)]
pub(super) struct Anchors {
    anchors: Vec<Anchor>,
    buckets: Buckets,
    /// What follows the window of an anchor.
    likely: Map,
    /// Where the anchors of a hash begin in `listed`.
    heads: Vec<u32>,
    listed: Vec<Listed>,
    /// Anchors of two bytes.
    short: Vec<(Finder<'static>, usize)>,
    /// Bytes of the longest anchor.
    longest: usize,
}

/// An anchor by the hash of its bytes from the window on.
#[derive(Clone, Copy, Debug)]
struct Listed {
    hash: u32,
    anchor: u16,
    /// Where its window starts.
    window: u16,
    /// Up to eight bytes that are not in the hash, where they start from the window on, and which of them count.
    more: u64,
    more_at: i8,
    more_mask: u64,
}

/// A set of hashes.
#[derive(Debug)]
struct Map(Box<[u64; MAP_WORDS]>);

impl Map {
    fn set(&mut self, hash: u32) {
        self.0[hash as usize / 64] |= 1 << (hash % 64);
    }

    fn has(&self, hash: u32) -> bool {
        self.0[hash as usize / 64 % MAP_WORDS] >> (hash % 64) & 1 != 0
    }
}

/// Hashes of the bytes from a place on: as many as count for long anchors, and for short ones.
#[inline]
const fn hashes(bytes: [u8; REACH_BYTES]) -> [u32; 2] {
    let folded = u64::from_le_bytes(bytes) | CASES;
    // By the golden ratio; the bytes that do not count are shifted out.
    [hash(folded << (64 - 8 * LONG_BYTES)), hash(folded & SHORT_MASK)]
}

const fn hash(bytes: u64) -> u32 {
    (bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)) as u32
}

/// Bytes from a place on. What lies outside of the text counts as zeros.
fn bytes(text: &[u8], at: usize) -> [u8; REACH_BYTES] {
    let inside = text.get(at..).and_then(<[u8]>::first_chunk).copied();
    inside.unwrap_or_else(|| std::array::from_fn(|place| text.get(at.wrapping_add(place)).copied().unwrap_or(0)))
}

impl Anchors {
    /// Compiles distinct anchors, at most 65,535 of two bytes and more.
    pub(super) fn new(anchors: Vec<Anchor>) -> Result<Self, String> {
        let mut short = Vec::new();
        let mut windowed: Vec<u16> = Vec::new();
        for (number, anchor) in anchors.iter().enumerate() {
            let number = u16::try_from(number).map_err(|_| "too many anchors".to_owned())?;
            if anchor.text.len() < 2 || anchor.text.len() > usize::from(u16::MAX) {
                return Err(format!(
                    "anchor {:?} is too short or too long",
                    anchor.text.escape_ascii().to_string()
                ));
            }
            if anchor.text.len() < SHORTEST_BYTES {
                for spelling in spellings(&anchor.text, anchor.fold) {
                    short.push((Finder::new(&spelling).into_owned(), usize::from(number)));
                }
            } else {
                windowed.push(number);
            }
        }
        let texts: Vec<(&[u8], bool)> = windowed
            .iter()
            .map(|number| &anchors[usize::from(*number)])
            .map(|anchor| (anchor.text.as_slice(), anchor.fold))
            .collect();
        let (buckets, starts) = Buckets::new(&texts, LONG_BYTES, SHORT_BYTES);
        let mut built = Self {
            buckets,
            likely: Map(Box::new([0; MAP_WORDS])),
            heads: vec![0; (1 << LIST_BITS) + 1],
            listed: Vec::new(),
            short,
            longest: anchors.iter().map(|anchor| anchor.text.len()).max().unwrap_or(0),
            anchors: Vec::new(),
        };
        for ((number, (text, _)), start) in windowed.iter().zip(&texts).zip(starts) {
            built.enter(*number, text, start);
        }
        built.listed.sort_unstable_by_key(|entry| (entry.hash, entry.anchor));
        built.listed.dedup_by_key(|entry| (entry.hash, entry.anchor));
        for entry in &built.listed {
            built.heads[list_of(entry.hash) + 1] += 1;
        }
        for list in 1..built.heads.len() {
            built.heads[list] += built.heads[list - 1];
        }
        built.anchors = anchors;
        Ok(built)
    }

    /// Notes what stands from the window of an anchor on.
    fn enter(&mut self, anchor: u16, text: &[u8], window: usize) {
        let [long, short] = hashes(bytes(text, window));
        let hashes = match text.len() {
            LONG_BYTES.. => vec![long],
            SHORT_BYTES.. => vec![short],
            _ => (0..32)
                .map(|next| hashes(bytes(&[text, &[next]].concat(), window))[1])
                .collect(),
        };
        // The side of which more is left.
        let rest = text.len().saturating_sub(window + LONG_BYTES);
        let (more_at, count) = if rest >= window {
            (LONG_BYTES as i8, rest.min(8))
        } else {
            (-(window.min(8) as i8), window.min(8))
        };
        let more_mask = if count == 8 { u64::MAX } else { (1 << (8 * count)) - 1 };
        let more = folded(text, window, more_at) & more_mask;
        for hash in hashes {
            self.likely.set(hash);
            self.listed.push(Listed {
                hash,
                anchor,
                window: window as u16,
                more,
                more_at,
                more_mask,
            });
        }
    }

    /// Every occurrence of every anchor: its number and its place; by the place of its window. Stops when `out` says
    /// `false`.
    pub(super) fn find(&self, text: &[u8], twice: Option<&Twice>, out: &mut dyn FnMut(usize, Range<usize>) -> bool) {
        let mut twice = twice.filter(|_| self.longest <= MARGIN_BYTES);
        let (mut places, mut kept): (Places, Places) = ([0; ROOM], [0; ROOM]);
        let mut padded = [0; BLOCK_BYTES + REACH_BYTES];
        for start in (0..text.len()).step_by(BLOCK_BYTES) {
            if twice.is_some_and(|twice| twice.spares(&(start..start + BLOCK_BYTES))) {
                continue;
            }
            let rest = &text[start..];
            let block = rest.first_chunk().unwrap_or_else(|| {
                padded[..rest.len()].copy_from_slice(rest);
                &padded
            });
            let count = self.buckets.find(block, rest.len().min(BLOCK_BYTES), &mut places);
            let count = self.keep(block, &places[..count], &mut kept);
            for place in &kept[..count] {
                let go_on = self.check(text, start + usize::from(*place), &mut |anchor, here| {
                    twice = twice.filter(|twice| !twice.is_in_first(&here));
                    out(anchor, here)
                });
                if !go_on {
                    return;
                }
            }
        }
        for (finder, number) in &self.short {
            for start in finder.find_iter(text) {
                if !out(*number, start..start + 2) {
                    return;
                }
            }
        }
    }

    /// Keeps the places that an anchor may go on from, by the hashes of what stands there; gives their number.
    fn keep(&self, block: &Block, places: &[u16], kept: &mut Places) -> usize {
        let mut count = 0;
        for place in places {
            let at = usize::from(*place) % BLOCK_BYTES;
            let [long, short] = hashes(std::array::from_fn(|byte| block[at + byte]));
            kept[count % BLOCK_BYTES] = *place;
            count += usize::from(self.likely.has(long) | self.likely.has(short));
        }
        count
    }

    /// Compares the anchors that may have their window at a place.
    fn check(&self, text: &[u8], at: usize, out: &mut dyn FnMut(usize, Range<usize>) -> bool) -> bool {
        for hash in hashes(bytes(text, at)) {
            let list = list_of(hash);
            let listed = &self.listed[self.heads[list] as usize..self.heads[list + 1] as usize];
            for entry in listed.iter().filter(|entry| entry.hash == hash) {
                if folded(text, at, entry.more_at) & entry.more_mask != entry.more {
                    continue;
                }
                let anchor = &self.anchors[usize::from(entry.anchor)];
                let Some(start) = at.checked_sub(usize::from(entry.window)) else {
                    continue;
                };
                let here = start..start + anchor.text.len();
                let same = text.get(here.clone()).is_some_and(|seen| {
                    if anchor.fold {
                        seen.eq_ignore_ascii_case(&anchor.text)
                    } else {
                        seen == anchor.text
                    }
                });
                if same && !out(usize::from(entry.anchor), here) {
                    return false;
                }
            }
        }
        true
    }
}

/// Eight bytes without the case of letters, some bytes away from a place.
fn folded(text: &[u8], at: usize, away: i8) -> u64 {
    u64::from_le_bytes(bytes(text, at.wrapping_add_signed(away.into()))) | CASES
}

const fn list_of(hash: u32) -> usize {
    (hash >> (HASH_BITS - LIST_BITS)) as usize
}

/// The ways in which a text of two bytes may be written.
fn spellings(text: &[u8], fold: bool) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for byte in text {
        let mut cases = if fold {
            vec![byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]
        } else {
            vec![*byte]
        };
        cases.dedup();
        all = all
            .iter()
            .flat_map(|start: &Vec<u8>| cases.iter().map(|case| [start.as_slice(), &[*case]].concat()))
            .collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use aho_corasick::AhoCorasick;
    use proptest::prelude::*;

    const WORDS: [(&str, bool); 9] = [
        ("ghp_", false),
        ("SK", false),
        ("eyJ", false),
        ("aws", true),
        ("AKIA", false),
        ("password", true),
        ("KIA", false),
        ("assword", false),
        ("=a", true),
    ];

    fn anchors() -> Anchors {
        let anchor = |(text, fold): &(&str, bool)| Anchor {
            text: text.as_bytes().to_vec(),
            fold: *fold,
        };
        Anchors::new(WORDS.iter().map(anchor).collect()).unwrap()
    }

    /// The automaton, then the letter case.
    fn oracle(text: &[u8]) -> Vec<(usize, Range<usize>)> {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&words)
            .unwrap();
        let mut all: Vec<_> = automaton
            .find_overlapping_iter(text)
            .map(|hit| (hit.pattern().as_usize(), hit.start()..hit.end()))
            .filter(|(number, place)| WORDS[*number].1 || &text[place.clone()] == WORDS[*number].0.as_bytes())
            .collect();
        all.sort_by_key(|(number, place)| (place.start, *number));
        all
    }

    proptest! {
        #[test]
        fn finds_what_the_automaton_finds(
            pieces in proptest::collection::vec(prop_oneof![
                (0..WORDS.len()).prop_map(|word| WORDS[word].0.to_owned()),
                (0..WORDS.len()).prop_map(|word| WORDS[word].0.to_uppercase()),
                "[a-zA-Z0-9_ =]{0,5}",
            ], 0..20)
        ) {
            let text = pieces.concat().into_bytes();
            let mut found = Vec::new();
            anchors().find(&text, None, &mut |number, place| {
                found.push((number, place));
                true
            });
            found.sort_by_key(|(number, place)| (place.start, *number));
            prop_assert_eq!(found, oracle(&text));
        }
    }

    #[test]
    fn stops_when_told() {
        let mut seen = 0;
        anchors().find(b"ghp_ghp_ghp_ SK SK", None, &mut |_, _| {
            seen += 1;
            seen < 2
        });
        assert_eq!(seen, 2);
    }

    #[test]
    fn refuses_what_it_cannot_find() {
        assert!(
            Anchors::new(vec![Anchor {
                text: b"x".to_vec(),
                fold: false
            }])
            .is_err()
        );
    }
}
