//! Which places of a text are worth a look: windows of four bytes, sorted into buckets.
//!
//! Each anchor is known by one window in it, and each window belongs to a bucket. A bucket keeps, for each of the four
//! places, which low and which high halves of a byte occur there: two tables of sixteen entries, which a vector register
//! looks up for 32 bytes at once (the search that Hyperscan calls Teddy). A place counts when one bucket allows all eight
//! halves. Windows are chosen and sorted so that few places of ordinary text count by chance.

use super::vector;

/// Bytes that are looked at in one go.
pub(super) const BLOCK_BYTES: usize = 512;
/// Bytes of a window.
pub(super) const WINDOW_BYTES: usize = 4;
/// Bytes from a place on that are looked at: those of the last place of a block reach behind it.
pub(super) const REACH_BYTES: usize = 8;
/// Bytes that are looked at in one step of that.
pub(super) const PAIR_BYTES: usize = 64;
/// Room for the places of a block; they are written eight at a time.
pub(super) const ROOM: usize = BLOCK_BYTES + PAIR_BYTES;
/// Tables hold eight buckets each, a bit for one.
pub(super) const GROUPS: usize = 3;
const BUCKETS: usize = 8 * GROUPS;
/// Times that every window may move to a better bucket.
const ROUNDS: usize = 2;

/// A block and what windows reach into.
pub(super) type Block = [u8; BLOCK_BYTES + REACH_BYTES];
/// Places within a block, ascending.
pub(super) type Places = [u16; ROOM];

/// Tables of the low and of the high half of a byte, for eight buckets after the other. Each stands there twice, as a
/// register of 32 bytes looks it up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Halves {
    pub(super) low: [[u8; 32]; GROUPS],
    pub(super) high: [[u8; 32]; GROUPS],
}

/// The buckets, compiled.
#[derive(Debug)]
pub(super) struct Buckets {
    halves: [Halves; WINDOW_BYTES],
    /// Buckets by byte, for machines without wide registers.
    bytes: Box<[[u32; 256]; WINDOW_BYTES]>,
    wide: bool,
}

/// Halves of bytes, low and high, as sets.
type Set = (u16, u16);
type Window = [Set; WINDOW_BYTES];

impl Buckets {
    /// Chooses a window for each text: gives where it starts. What is at least `long` bytes has as many from there on, what is
    /// shorter `short`, if it has them at all. With `true` the case of ASCII letters does not matter.
    pub(super) fn new(texts: &[(&[u8], bool)], long: usize, short: usize) -> (Self, Vec<usize>) {
        let chance = Chance::new();
        let room = |text: &[u8]| match text.len() {
            length if length >= long => length - long + 1,
            length => length.saturating_sub(short) + 1,
        };
        let choices: Vec<Vec<(usize, Window)>> = texts
            .iter()
            .map(|(text, fold)| Chance::windows(text, *fold, room(text)))
            .collect();
        let Sorter { buckets, chosen, .. } = Sorter::sort(&choices, &chance);
        let starts = chosen.iter().zip(&choices);
        let starts = starts.map(|(chosen, windows)| chosen.map_or(0, |(_, choice)| windows[choice].0));
        let mut halves = [Halves::default(); WINDOW_BYTES];
        for (number, bucket) in buckets.iter().enumerate() {
            let (group, bit) = (number / 8, 1_u8 << (number % 8));
            for (place, (low, high)) in halves.iter_mut().zip(bucket.iter().flatten()) {
                for value in 0..32 {
                    place.low[group][value] |= if low >> (value % 16) & 1 == 1 { bit } else { 0 };
                    place.high[group][value] |= if high >> (value % 16) & 1 == 1 { bit } else { 0 };
                }
            }
        }
        let mut bytes = Box::new([[0; 256]; WINDOW_BYTES]);
        for (table, place) in bytes.iter_mut().zip(&halves) {
            for (byte, buckets) in table.iter_mut().enumerate() {
                let both = |group: usize| u32::from(place.low[group][byte & 15] & place.high[group][byte >> 4]);
                *buckets = (0..GROUPS).fold(0, |all, group| all | both(group) << (8 * group));
            }
        }
        let wide = vector::is_there();
        (Self { halves, bytes, wide }, starts.collect())
    }

    /// Writes the places among the first bytes of a block that count, ascending; gives their number. A few more bytes may be
    /// looked at.
    pub(super) fn find(&self, block: &Block, length: usize, places: &mut Places) -> usize {
        let pairs = length.div_ceil(PAIR_BYTES);
        if self.wide {
            vector::find(&self.halves, block, pairs, places)
        } else {
            self.find_plainly(block, pairs, places)
        }
    }

    fn find_plainly(&self, block: &Block, pairs: usize, places: &mut Places) -> usize {
        let mut count = 0;
        for (at, window) in block
            .windows(WINDOW_BYTES)
            .take((pairs * PAIR_BYTES).min(BLOCK_BYTES))
            .enumerate()
        {
            let allowed = window.iter().zip(self.bytes.iter());
            let buckets = allowed.fold(u32::MAX, |all, (byte, table)| all & table[usize::from(*byte)]);
            places[count] = at as u16;
            count += usize::from(buckets != 0);
        }
        count
    }
}

/// Buckets while they are filled.
struct Sorter<'c> {
    choices: &'c [Vec<(usize, Window)>],
    chance: &'c Chance,
    buckets: [Option<Window>; BUCKETS],
    /// How likely a place falls into each.
    costs: [f32; BUCKETS],
    /// Bucket and choice of each text.
    chosen: Vec<Option<(usize, usize)>>,
}

impl<'c> Sorter<'c> {
    /// Puts each text where it adds least; what was put is looked at again when all are there.
    fn sort(choices: &'c [Vec<(usize, Window)>], chance: &'c Chance) -> Self {
        let mut sorter = Self {
            choices,
            chance,
            buckets: [None; BUCKETS],
            costs: [0.0; BUCKETS],
            chosen: vec![None; choices.len()],
        };
        // Those that are common by themselves come first: they decide what their bucket costs.
        let least = |windows: &Vec<(usize, Window)>| {
            let costs = windows.iter().map(|(_, window)| chance.of(window));
            costs.fold(f32::MAX, f32::min)
        };
        let least: Vec<f32> = choices.iter().map(least).collect();
        let mut order: Vec<usize> = (0..choices.len()).collect();
        order.sort_by(|a, b| least[*b].total_cmp(&least[*a]));
        for _ in 0..ROUNDS {
            for number in &order {
                sorter.take(*number);
                sorter.put(*number);
            }
        }
        sorter
    }

    fn take(&mut self, number: usize) {
        let Some((bucket, _)) = self.chosen[number].take() else {
            return;
        };
        let others = self.chosen.iter().zip(self.choices).filter_map(|(chosen, windows)| {
            let (here, choice) = (*chosen)?;
            (here == bucket).then(|| windows[choice].1)
        });
        self.set(bucket, others.reduce(union));
    }

    fn put(&mut self, number: usize) {
        let mut best = (f32::MAX, 0, 0);
        for (choice, (_, window)) in self.choices[number].iter().enumerate() {
            for bucket in 0..BUCKETS {
                let adds = self.adds(bucket, window);
                if adds < best.0 {
                    best = (adds, bucket, choice);
                }
            }
            // It is there already.
            if best.0 <= 0.0 {
                break;
            }
        }
        let (_, bucket, choice) = best;
        let window = self.choices[number][choice].1;
        self.set(
            bucket,
            Some(self.buckets[bucket].map_or(window, |known| union(known, window))),
        );
        self.chosen[number] = Some((bucket, choice));
    }

    fn adds(&self, bucket: usize, window: &Window) -> f32 {
        let Some(known) = self.buckets[bucket] else {
            return self.chance.of(window);
        };
        let more = union(known, *window);
        if more == known {
            0.0
        } else {
            self.chance.of(&more) - self.costs[bucket]
        }
    }

    fn set(&mut self, bucket: usize, window: Option<Window>) {
        self.buckets[bucket] = window;
        self.costs[bucket] = window.map_or(0.0, |window| self.chance.of(&window));
    }
}

fn union(one: Window, other: Window) -> Window {
    std::array::from_fn(|place| (one[place].0 | other[place].0, one[place].1 | other[place].1))
}

/// How often halves of bytes occur in messages, so that sets of them can be weighed.
struct Chance {
    /// By the high half, then by the low halves of a set, eight at a time.
    shares: Vec<[[f32; 256]; 2]>,
}

impl Chance {
    fn new() -> Self {
        let total: f32 = (0..=u8::MAX).map(common).sum();
        let share = |high: usize, low: usize| common((high << 4 | low) as u8) / total;
        let sum = |high: usize, half: usize, set: usize| {
            (0..8)
                .filter(|bit| set >> bit & 1 == 1)
                .map(|bit| share(high, half * 8 + bit))
                .sum()
        };
        let table = |high: usize| std::array::from_fn(|half| std::array::from_fn(|set| sum(high, half, set)));
        Self {
            shares: (0..16).map(table).collect(),
        }
    }

    /// How likely a place of a text falls into these sets.
    fn of(&self, window: &Window) -> f32 {
        window.iter().map(|set| self.of_one(*set)).product()
    }

    fn of_one(&self, (low, high): Set) -> f32 {
        let [first, second] = low.to_le_bytes().map(usize::from);
        let (mut rest, mut sum) = (high, 0.0);
        while rest != 0 {
            let row = &self.shares[rest.trailing_zeros() as usize];
            sum += row[0][first] + row[1][second];
            rest &= rest - 1;
        }
        sum
    }

    /// The windows that start at the first places of a text. What follows a shorter text may be anything.
    fn windows(text: &[u8], fold: bool, places: usize) -> Vec<(usize, Window)> {
        let set = |byte: u8| -> Set {
            let other = if fold && byte.is_ascii_alphabetic() {
                byte ^ 0x20
            } else {
                byte
            };
            let half = |half: fn(u8) -> u8| 1 << half(byte) | 1 << half(other);
            (half(|byte| byte & 15), half(|byte| byte >> 4))
        };
        let at = |place: usize| text.get(place).map_or((u16::MAX, u16::MAX), |byte| set(*byte));
        (0..places)
            .map(|start| (start, std::array::from_fn(|place| at(start + place))))
            .collect()
    }
}

/// How common a byte is in JSON and prose, in thousandths; letters as in English.
const fn common(byte: u8) -> f32 {
    match byte {
        b' ' => 120.0,
        b'e' => 85.0,
        b't' | b'a' => 60.0,
        b'o' | b'i' | b'n' => 52.0,
        b's' | b'r' => 46.0,
        b'"' => 35.0,
        b'l' | b'h' | b'd' | b'c' => 28.0,
        b'u' | b'm' | b'p' => 20.0,
        b'0'..=b'2' | b':' | b',' | b'f' | b'g' | b'y' => 13.0,
        b'b' | b'w' | b'.' | b'_' | b'-' | b'\\' => 10.0,
        b'v' | b'k' | b'/' | b'3'..=b'9' => 7.0,
        // What leads the letters of other scripts.
        0xc3 | 0xd0 | 0xd1 | 0xd8 | 0xd9 | 0xe3..=0xe9 => 10.0,
        b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'\n' | b'x' | 0x80..=0xbf => 3.0,
        b'A'..=b'Z' | b'j' | b'q' | b'z' => 2.0,
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Vectors find what a table of bytes finds, and every window that was asked for is found.
        #[test]
        fn both_ways_agree(
            words in prop::collection::vec("[ -~]{3,9}", 1..60),
            seed in prop::collection::vec(any::<u8>(), BLOCK_BYTES + REACH_BYTES),
            at in 0_usize..BLOCK_BYTES - 16,
        ) {
            let texts: Vec<(&[u8], bool)> = words.iter().map(|word| (word.as_bytes(), word.len() % 2 == 0)).collect();
            let (buckets, starts) = Buckets::new(&texts, 6, 4);
            let mut block: Block = seed.try_into().unwrap();
            block.iter_mut().for_each(|byte| *byte &= 0x7f);
            block[at..at + words[0].len()].copy_from_slice(words[0].as_bytes());
            let (mut one, mut other) = ([0; ROOM], [0; ROOM]);
            let plainly = buckets.find_plainly(&block, BLOCK_BYTES / PAIR_BYTES, &mut one);
            let count = buckets.find(&block, BLOCK_BYTES, &mut other);
            prop_assert_eq!(&one[..plainly], &other[..count]);
            prop_assert!(one[..plainly].contains(&((at + starts[0]) as u16)));
        }
    }
}
