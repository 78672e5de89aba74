//! Personal data that is a number: payment cards (ISO/IEC 7812), bank accounts (ISO 13616), US social security numbers.
//!
//! Found by runs of digits in one pass. A bare run of digits is never enough: order numbers pass Luhn one time in ten.
//! Cards need the grouping of their issuer or a word nearby, social security numbers their hyphens or a word nearby.

use std::ops::Range;

use super::national;
use super::secrets::Class;
use super::twice::Twice;

/// Bytes before a number in which a word counts as near.
const NEAR_BYTES: usize = 40;
const MAX_GROUPS: usize = 6;
/// Digits of the shortest number that is written without separators and letters.
const SHORTEST_DIGITS: usize = 9;

/// Numbers of manuals and test systems.
const SAMPLE_CARDS: [&str; 12] = [
    "30569309025904",
    "38520000023237",
    "371449635398431",
    "378282246310005",
    "3530111333300000",
    "4012888888881881",
    "4111111111111111",
    "4242424242424242",
    "5105105105105100",
    "5555555555554444",
    "6011000990139424",
    "6011111111111117",
];
const SAMPLE_IBANS: [&str; 4] = [
    "DE89370400440532013000",
    "GB29NWBK60161331926819",
    "GB82WEST12345698765432",
    "FR1420041010050500013M02606",
];
const SAMPLE_SSNS: [&str; 4] = ["078051120", "111223333", "123456789", "219099999"];

const CARD_WORDS: [&str; 12] = [
    "amex",
    "card",
    "card number",
    "card_number",
    "cardnumber",
    "cc_num",
    "ccnum",
    "credit",
    "kreditkarte",
    "mastercard",
    "pan",
    "visa",
];
const SSN_WORDS: [&str; 4] = ["social security", "social_security", "socialsecurity", "ssn"];

/// Length of an IBAN by country (SWIFT IBAN registry).
const IBAN_LENGTHS: [(&[u8; 2], usize); 49] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"CH", 21),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"EE", 20),
    (b"ES", 24),
    (b"FI", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GR", 27),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MT", 31),
    (b"NL", 18),
    (b"NO", 15),
    (b"PL", 24),
    (b"PT", 25),
    (b"RO", 24),
    (b"SA", 24),
    (b"SE", 24),
    (b"TR", 26),
];

/// Calls `out` with every number that holds up. A number starts a word, with capitals at most before its first digit: the
/// rest of a word is passed over, since digests, ids and blobs are the bulk of all digits.
pub(super) fn scan(text: &[u8], twice: Option<&Twice>, out: &mut dyn FnMut(Class, Range<usize>)) {
    let mut at = 0;
    let mut twice = twice;
    while let Some(start) = next_digit(text, at) {
        // Words are looked at one by one, so that a search may go on with any of them.
        if let Some(spared) = twice.map(Twice::spared).filter(|spared| spared.contains(&start)) {
            at = word_end(text, spared.end);
            continue;
        }
        let inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'_');
        if inside(start.checked_sub(1).and_then(|before| text.get(before))) {
            at = word_end(text, start);
            continue;
        }
        let digits = start..start + length_of_digits(text, start);
        if inside(text.get(digits.end)) {
            at = word_end(text, digits.end);
            continue;
        }
        match number(text, &digits) {
            Some((class, range)) => {
                at = range.end.max(digits.end);
                twice = twice.filter(|twice| !twice.is_in_first(&range));
                out(class, range);
            }
            None => at = word_end(text, digits.end),
        }
    }
}

/// End of the letters, digits and underlines from `at` on.
fn word_end(text: &[u8], at: usize) -> usize {
    const WORD: [bool; 256] = {
        let mut word = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            word[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
            byte += 1;
        }
        word
    };
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|byte| !WORD[usize::from(*byte)])
        .unwrap_or(rest.len())
}

fn length_of_digits(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    rest.iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len())
}

/// The number that starts with this run of digits, or with capitals before it.
fn number(text: &[u8], digits: &Range<usize>) -> Option<(Class, Range<usize>)> {
    let national = |capitals: usize| {
        let (kind, range) = national::at(text, digits, capitals)?;
        Some((Class::National(kind), range))
    };
    let before = digits.start.checked_sub(1).and_then(|before| text.get(before));
    if before.is_some_and(u8::is_ascii_uppercase) {
        return match capitals(text, digits.start) {
            None => iban(text, digits.start),
            Some(2) => iban(text, digits.start).or_else(|| national(2)),
            Some(more) => national(more),
        };
    }
    // What is shorter than every bare number goes on behind a separator or a letter.
    let next = text.get(digits.end).copied().unwrap_or(0);
    let goes_on = digits.len() >= SHORTEST_DIGITS || matches!(next, b' ' | b'+' | b'-' | b'.' | b'/' | b'A'..=b'Z');
    if !goes_on || !free_before(text, digits.start) {
        return None;
    }
    let figures = || {
        let run = Run::read(text, digits.start);
        run.ssn(text).or_else(|| run.card(text))
    };
    let sized = matches!(digits.len(), 3 | 4 | 9 | 13..=19);
    let spaced = || spaced_capitals(text, digits.start).and_then(national);
    sized.then(figures).flatten().or_else(|| national(0)).or_else(spaced)
}

/// Capitals right before a place, when nothing stands before them; a number has six at most.
fn capitals(text: &[u8], start: usize) -> Option<usize> {
    let back = text[..start].iter().rev();
    let count = back.take(7).take_while(|byte| byte.is_ascii_uppercase()).count();
    let free = count == 0 || free_before(text, start - count);
    (free && count < 7).then_some(count)
}

/// Three, when two capitals and a space stand right before a place.
fn spaced_capitals(text: &[u8], start: usize) -> Option<usize> {
    let before = text.get(..start)?.strip_suffix(b" ")?;
    (capitals(text, before.len())? == 2).then_some(3)
}

/// Place of the first digit from `at` on. Most text has few: 32 bytes are passed over at a time, which the compiler turns
/// into vectors, then eight.
fn next_digit(text: &[u8], mut at: usize) -> Option<usize> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const TENS: u64 = 0x0a0a_0a0a_0a0a_0a0a;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let digit = |byte: &u8| byte.wrapping_sub(b'0') < 10;
    for group in text.get(at..)?.as_chunks::<32>().0 {
        if group.iter().fold(false, |any, byte| any | digit(byte)) {
            break;
        }
        at += 32;
    }
    for group in text[at..].as_chunks::<8>().0 {
        // A digit becomes a byte below ten; a borrow out of such a byte is the only thing that can spoil another.
        let values = u64::from_le_bytes(*group) ^ ZEROS;
        if values.wrapping_sub(TENS) & !values & HIGH != 0 {
            break;
        }
        at += 8;
    }
    let offset = text[at..].iter().position(digit)?;
    Some(at + offset)
}

/// Groups of digits with the same single separator between them.
struct Run {
    start: usize,
    /// Ends of the groups.
    ends: [usize; MAX_GROUPS],
    lengths: [usize; MAX_GROUPS],
    groups: usize,
    /// Between the groups; 0 when there is one group.
    separator: u8,
}

impl Run {
    fn read(text: &[u8], start: usize) -> Self {
        let mut run = Self {
            start,
            ends: [start; MAX_GROUPS],
            lengths: [0; MAX_GROUPS],
            groups: 0,
            separator: 0,
        };
        let mut at = start;
        while run.groups < MAX_GROUPS {
            let length = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            run.ends[run.groups] = at + length;
            run.lengths[run.groups] = length;
            run.groups += 1;
            at += length;
            let next = text.get(at).copied().filter(|byte| matches!(byte, b' ' | b'-'));
            let Some(separator) = next.filter(|byte| run.separator == 0 || run.separator == *byte) else {
                break;
            };
            if !text.get(at + 1).is_some_and(u8::is_ascii_digit) {
                break;
            }
            run.separator = separator;
            at += 1;
        }
        run
    }

    fn ssn(&self, text: &[u8]) -> Option<(Class, Range<usize>)> {
        let hyphens = self.groups == 3 && self.lengths.starts_with(&[3, 2, 4]) && self.separator == b'-';
        let bare = self.lengths[0] == 9 && near(text, self.start, &SSN_WORDS);
        let end = if hyphens { self.ends[2] } else { self.ends[0] };
        if !(hyphens || bare) || !free_behind(text, end) {
            return None;
        }
        let digits = digits(&text[self.start..end]);
        let number = std::str::from_utf8(&digits).ok()?;
        let (area, group, serial) = (&number[..3], &number[3..5], &number[5..]);
        let valid = area != "000" && area != "666" && !area.starts_with('9') && group != "00" && serial != "0000";
        (valid && !SAMPLE_SSNS.contains(&number)).then_some((Class::Ssn, self.start..end))
    }

    fn card(&self, text: &[u8]) -> Option<(Class, Range<usize>)> {
        let grouped = [&[4, 4, 4, 4][..], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];
        let shape = grouped
            .into_iter()
            .rfind(|shape| self.lengths[..self.groups] == **shape);
        let (end, bare) = match shape {
            Some(shape) => (self.ends[shape.len() - 1], false),
            None => (self.ends[0], true),
        };
        if !free_behind(text, end) || (bare && !(13..=19).contains(&self.lengths[0])) {
            return None;
        }
        let digits = digits(&text[self.start..end]);
        let number = std::str::from_utf8(&digits).ok()?;
        let valid = issued(number) && luhn(&digits) && !SAMPLE_CARDS.contains(&number);
        (valid && (!bare || near(text, self.start, &CARD_WORDS))).then_some((Class::Card, self.start..end))
    }
}

fn digits(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii_digit).collect()
}

/// Nothing before the number makes it a part of something longer.
fn free_before(text: &[u8], start: usize) -> bool {
    let back = |distance: usize| {
        start
            .checked_sub(distance)
            .and_then(|at| text.get(at))
            .copied()
            .unwrap_or(b' ')
    };
    match back(1) {
        b'.' | b'-' | b'/' | b'+' | b',' | b'%' | b'#' => {
            !back(2).is_ascii_alphanumeric() && back(1) != b'%' && back(1) != b'#'
        }
        b' ' => {
            let head = text.get(..start.saturating_sub(1)).unwrap_or_default();
            let group = (2..5).all(|distance| back(distance).is_ascii_digit());
            !group && !of_a_dump(head.iter().rev())
        }
        byte => !byte.is_ascii_alphanumeric() && byte != b'_',
    }
}

/// Nothing behind it does.
fn free_behind(text: &[u8], end: usize) -> bool {
    let byte = |at: usize| text.get(at).copied().unwrap_or(b' ');
    match byte(end) {
        b'.' | b'-' | b',' | b'/' => !byte(end + 1).is_ascii_alphanumeric(),
        b' ' => {
            let tail = text.get(end + 1..).unwrap_or_default();
            let group = (end + 1..end + 4).all(|at| byte(at).is_ascii_digit());
            !group && !of_a_dump(tail.iter())
        }
        other => !other.is_ascii_alphanumeric() && other != b'_' && other != b'%',
    }
}

/// Whether a word is four hexadecimal digits: a neighbour in a dump or a table of code points.
fn of_a_dump<'a>(word: impl Iterator<Item = &'a u8>) -> bool {
    let (mut length, mut digits) = (0, 0);
    for byte in word.take(5).take_while(|byte| byte.is_ascii_hexdigit()) {
        length += 1;
        digits += u8::from(byte.is_ascii_digit());
    }
    length == 4 && digits > 0
}

/// Whether one of the words stands shortly before, as a word of its own or as a part of a name in camel or snake case.
pub(super) fn near(text: &[u8], start: usize, words: &[&str]) -> bool {
    let from = start.saturating_sub(NEAR_BYTES);
    let window = &text[from..start];
    // A word of which a letter is not there at all needs no search.
    let letters = |text: &[u8]| text.iter().fold(0_u32, |set, byte| set | 1 << (byte & 31));
    let there = letters(window);
    let possible = |word: &&&str| letters(word.as_bytes()) & !there == 0;
    words.iter().filter(possible).any(|word| {
        (0..window.len().saturating_sub(word.len() - 1)).any(|at| {
            window[at..at + word.len()].eq_ignore_ascii_case(word.as_bytes()) && {
                let before = at.checked_sub(1).map_or(b' ', |at| window[at]);
                let behind = window.get(at + word.len()).copied().unwrap_or(b' ');
                let camel = window[at].is_ascii_uppercase() && before.is_ascii_lowercase();
                (camel || !before.is_ascii_alphabetic()) && !behind.is_ascii_lowercase()
            }
        })
    })
}

/// Whether a scheme issues numbers with this start and length.
fn issued(number: &str) -> bool {
    let start = |digits: usize| {
        number
            .get(..digits)
            .and_then(|head| head.parse::<u32>().ok())
            .unwrap_or(0)
    };
    match number.len() {
        13 | 19 => start(1) == 4 || (number.len() == 19 && start(2) == 62),
        14 => matches!(start(2), 36 | 38 | 39) || (300..=305).contains(&start(3)),
        15 => matches!(start(2), 34 | 37),
        16 => {
            start(1) == 4
                || (51..=55).contains(&start(2))
                || (2221..=2720).contains(&start(4))
                || matches!(start(2), 62 | 65)
                || start(4) == 6011
                || (644..=649).contains(&start(3))
                || (3528..=3589).contains(&start(4))
        }
        _ => false,
    }
}

/// ISO/IEC 7812-1, annex B.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit - b'0');
            if place % 2 == 0 {
                value
            } else {
                value * 2 / 10 + value * 2 % 10
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A bank account number whose check digits start at `digits_at`.
fn iban(text: &[u8], digits_at: usize) -> Option<(Class, Range<usize>)> {
    let start = digits_at.checked_sub(2)?;
    let country: &[u8; 2] = text.get(start..digits_at)?.try_into().ok()?;
    let (_, length) = IBAN_LENGTHS.iter().find(|(known, _)| *known == country)?;
    if start > 0 && (text[start - 1].is_ascii_alphanumeric() || b"_-/+".contains(&text[start - 1])) {
        return None;
    }
    let mut number = Vec::with_capacity(*length);
    let mut at = start;
    while number.len() < *length {
        match *text.get(at)? {
            byte if byte.is_ascii_uppercase() || byte.is_ascii_digit() => number.push(byte),
            b' ' if number.len() % 4 == 0 && text.get(at - 1) != Some(&b' ') => {}
            _ => return None,
        }
        at += 1;
    }
    let valid = free_behind(text, at) && mod97(&number) && !SAMPLE_IBANS.iter().any(|known| known.as_bytes() == number);
    valid.then_some((Class::Iban, start..at))
}

/// ISO 7064, MOD 97-10, after moving the first four characters to the end.
pub(super) fn mod97(number: &[u8]) -> bool {
    let (head, tail) = number.split_at(number.len().min(4));
    let rest = tail.iter().chain(head).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.wrapping_sub(b'A')) + 10) % 97,
    });
    rest == 1
}

#[cfg(test)]
mod tests;
