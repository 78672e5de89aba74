//! Finds the literal anchors of many rules in one pass.
//!
//! An automaton over hundreds of anchors reads a byte at a time and walks a table that fills the cache: 0.6 GB/s. Here
//! every second pair of bytes is looked up in a bitmap of 8 KiB instead: an anchor of three bytes or more has pairs at
//! even and at odd places, and one of the two kinds stands at an even place of the text wherever the anchor begins. Of
//! each kind the rarest pair is taken, by a rough table of how common bytes are in JSON. A pair that is in the map is
//! looked up once more together with a neighbouring byte, and only what stands there, too, pays for a comparison.
//! Anchors of two bytes are searched one by one. Measured in `benches/signatures.rs`. The oracle is the automaton.

use std::ops::Range;

use memchr::memmem::Finder;

/// Shortest anchor for the map.
const PAIRED_MIN_BYTES: usize = 3;

/// Words of the bitmap: a bit for each pair of bytes.
const WORDS: usize = 65_536 / 64;

/// Words of a bitmap of folded triples.
const TRIPLE_WORDS: usize = 32_768 / 64;

/// Pairs that are looked up before any is compared; a power of two.
const BLOCK_PAIRS: usize = 256;

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
    bits: Box<[u64; WORDS]>,
    /// Pairs with the byte behind them, and with the byte before them, folded to 15 bits.
    behind: Box<[u64; TRIPLE_WORDS]>,
    before: Box<[u64; TRIPLE_WORDS]>,
    /// By pair: 1 + index in `buckets`; 0 is none.
    slots: Vec<u16>,
    /// (anchor, place of the pair in it) of each pair.
    buckets: Vec<Vec<(u16, u16)>>,
    /// Anchors of two bytes.
    short: Vec<(Finder<'static>, usize)>,
}

impl Anchors {
    /// Compiles distinct anchors, at most 65,535 of two bytes and more.
    pub(super) fn new(anchors: Vec<Anchor>) -> Result<Self, String> {
        let mut built = Self {
            anchors: Vec::new(),
            bits: Box::new([0; WORDS]),
            behind: Box::new([0; TRIPLE_WORDS]),
            before: Box::new([0; TRIPLE_WORDS]),
            slots: vec![0; 65_536],
            buckets: Vec::new(),
            short: Vec::new(),
        };
        for (number, anchor) in anchors.iter().enumerate() {
            let number = u16::try_from(number).map_err(|_| "too many anchors".to_owned())?;
            if anchor.text.len() < 2 || anchor.text.len() > usize::from(u16::MAX) {
                return Err(format!(
                    "anchor {:?} is too short or too long",
                    anchor.text.escape_ascii().to_string()
                ));
            }
            if anchor.text.len() < PAIRED_MIN_BYTES {
                for spelling in spellings(&anchor.text, anchor.fold) {
                    built
                        .short
                        .push((Finder::new(&spelling).into_owned(), usize::from(number)));
                }
                continue;
            }
            for first in [0, 1] {
                let places = (first..anchor.text.len() - 1).step_by(2);
                let Some(at) = places.min_by_key(|at| rarity(anchor, *at)) else {
                    continue;
                };
                for spelling in spellings(&anchor.text[at..at + 2], anchor.fold) {
                    built.insert(u16::from_le_bytes([spelling[0], spelling[1]]), (number, at as u16));
                }
                built.insert_triples(anchor, at);
            }
        }
        built.anchors = anchors;
        Ok(built)
    }

    fn insert(&mut self, pair: u16, place: (u16, u16)) {
        self.bits[usize::from(pair >> 6)] |= 1 << (pair & 63);
        let slot = &mut self.slots[usize::from(pair)];
        if *slot == 0 {
            self.buckets.push(Vec::new());
            // At most 65,536 pairs exist; the last one would overflow, and is not reached by 65,535 anchors' bytes.
            *slot = u16::try_from(self.buckets.len()).unwrap_or(u16::MAX);
        }
        self.buckets[usize::from(*slot) - 1].push(place);
    }

    /// The pair at this place with the byte behind it, or, at the end of the anchor, before it.
    fn insert_triples(&mut self, anchor: &Anchor, at: usize) {
        let (start, map) = match anchor.text.get(at..at + 3) {
            Some(_) => (at, &mut self.behind),
            None => (at - 1, &mut self.before),
        };
        let shift = at - start;
        for spelling in spellings(&anchor.text[start..start + 3], anchor.fold) {
            let pair = u16::from_le_bytes([spelling[shift], spelling[shift + 1]]);
            let bit = triple(pair, spelling[if shift == 0 { 2 } else { 0 }]);
            map[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether an anchor may hold this pair, by its neighbours.
    fn likely(&self, text: &[u8], at: usize, pair: u16) -> bool {
        let set = |map: &[u64; TRIPLE_WORDS], byte: Option<&u8>| {
            byte.is_some_and(|byte| {
                let bit = triple(pair, *byte);
                map[bit / 64] >> (bit % 64) & 1 != 0
            })
        };
        set(&self.behind, text.get(at + 2)) | set(&self.before, at.checked_sub(1).and_then(|at| text.get(at)))
    }

    /// Every occurrence of every anchor: its number and its place. Stops when `out` says `false`.
    pub(super) fn find(&self, text: &[u8], out: &mut dyn FnMut(usize, Range<usize>) -> bool) {
        let mut places = [0_u16; BLOCK_PAIRS];
        for (number, block) in text.chunks(2 * BLOCK_PAIRS).enumerate() {
            let start = number * 2 * BLOCK_PAIRS;
            // One pair in eight is in the map: collecting them without a branch costs less than mispredicting it.
            let mut count = 0;
            for (index, pair) in block.as_chunks::<2>().0.iter().enumerate() {
                places[count & (BLOCK_PAIRS - 1)] = index as u16;
                count += self.bit(u16::from_le_bytes(*pair)) as usize;
            }
            for place in places.iter().take(count) {
                let at = start + 2 * usize::from(*place);
                let Some([a, b]) = text.get(at..at + 2) else { continue };
                let pair = u16::from_le_bytes([*a, *b]);
                if self.likely(text, at, pair) && !self.check(text, at, pair, out) {
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

    fn bit(&self, pair: u16) -> u64 {
        self.bits[usize::from(pair >> 6)] >> (pair & 63) & 1
    }

    /// Compares the anchors that hold this pair.
    fn check(&self, text: &[u8], at: usize, pair: u16, out: &mut dyn FnMut(usize, Range<usize>) -> bool) -> bool {
        let Some(bucket) = usize::from(self.slots[usize::from(pair)]).checked_sub(1) else {
            return true;
        };
        for (number, place) in &self.buckets[bucket] {
            let anchor = &self.anchors[usize::from(*number)];
            let Some(start) = at.checked_sub(usize::from(*place)) else {
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
            if same && !out(usize::from(*number), here) {
                return false;
            }
        }
        true
    }
}

/// How common the pair at this place is in the text of messages; the square of nothing exact.
fn rarity(anchor: &Anchor, at: usize) -> u32 {
    let pair = &anchor.text[at..at + 2];
    spellings(pair, anchor.fold)
        .iter()
        .map(|pair| common(pair[0]) * common(pair[1]))
        .sum()
}

/// How common a byte is in JSON, prose and identifiers.
const fn common(byte: u8) -> u32 {
    match byte {
        b' ' | b'"' | b'a' | b'e' | b'i' | b'n' | b'o' | b'r' | b's' | b't' => 16,
        b',' | b':' | b'0'..=b'9' => 10,
        b'b'..=b'z' => 7,
        b'_' | b'-' | b'.' | b'/' | b'{' | b'}' => 4,
        b'A'..=b'Z' => 3,
        _ => 1,
    }
}

/// Folds a pair and a byte to 15 bits, by the golden ratio.
const fn triple(pair: u16, byte: u8) -> usize {
    let number = pair as u32 | (byte as u32) << 16;
    (number.wrapping_mul(0x9e37_79b1) >> 17) as usize
}

/// The ways in which a text of a few bytes may be written.
fn spellings(text: &[u8], fold: bool) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for byte in text {
        let cases = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        let cases = if !fold {
            vec![*byte]
        } else if cases[0] == cases[1] {
            vec![cases[0]]
        } else {
            cases.to_vec()
        };
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
            anchors().find(&text, &mut |number, place| {
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
        anchors().find(b"ghp_ghp_ghp_ SK SK", &mut |_, _| {
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
