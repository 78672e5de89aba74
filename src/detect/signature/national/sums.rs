//! Check digits and dates inside the numbers that states give to persons. Each takes the number without separators:
//! ASCII digits and upper-case letters, of the length that its form has.

use crate::detect::signature::numbers::luhn;

/// Remainder of the weighted sum of the leading digits.
fn weighed(number: &[u8], weights: &[u32], modulus: u32) -> u32 {
    let sum: u32 = number
        .iter()
        .zip(weights)
        .map(|(digit, weight)| value(*digit) * weight)
        .sum();
    sum % modulus
}

/// A digit, or a letter from A = 10 on.
const fn value(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => (byte - b'0') as u32,
        b'A'..=b'Z' => (byte - b'A') as u32 + 10,
        _ => 0,
    }
}

fn digit(number: &[u8], place: usize) -> u32 {
    number.get(place).map_or(u32::MAX, |byte| value(*byte))
}

/// The digits of a range as a number.
fn read(number: &[u8], range: std::ops::Range<usize>) -> u64 {
    let digits = number.get(range).unwrap_or_default();
    digits.iter().fold(0, |sum, byte| sum * 10 + u64::from(value(*byte)))
}

fn date(month: u64, day: u64) -> bool {
    let longest = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=longest).contains(&day)
}

/// ISO/IEC 7064, MOD 11,10.
fn mod11_10(number: &[u8]) -> bool {
    let Some((last, head)) = number.split_last() else {
        return false;
    };
    let rest = head.iter().fold(10, |rest, digit| match (value(*digit) + rest) % 10 {
        0 => 9,
        sum => sum * 2 % 11,
    });
    (11 - rest) % 10 == value(*last)
}

/// Dammann's rearranged dihedral check (Verhoeff, 1969).
fn verhoeff(number: &[u8]) -> bool {
    const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let rest = number.iter().rev().enumerate().fold(0, |rest, (place, digit)| {
        let mut at = digit.wrapping_sub(b'0') % 10;
        for _ in 0..place % 8 {
            at = PERMUTED[usize::from(at)];
        }
        product(rest, at)
    });
    rest == 0
}

pub(super) fn at_insurance(number: &[u8]) -> bool {
    weighed(number, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6], 11) == digit(number, 3)
        && digit(number, 0) > 0
        && date(read(number, 6..8), read(number, 4..6))
}

pub(super) fn au_medicare(number: &[u8]) -> bool {
    (2..=6).contains(&digit(number, 0)) && weighed(number, &[1, 3, 7, 9, 1, 3, 7, 9], 10) == digit(number, 8)
}

pub(super) fn au_tax(number: &[u8]) -> bool {
    weighed(number, &[1, 4, 3, 7, 5, 8, 6, 9, 10], 11) == 0
}

pub(super) fn be_national(number: &[u8]) -> bool {
    let (head, check) = (read(number, 0..9), read(number, 9..11));
    let matches = [head, head + 2_000_000_000]
        .iter()
        .any(|number| 97 - number % 97 == check);
    matches && date(read(number, 2..4), read(number, 4..6))
}

pub(super) fn bg_citizen(number: &[u8]) -> bool {
    weighed(number, &[2, 4, 8, 5, 10, 9, 7, 3, 6], 11) % 10 == digit(number, 9)
        && date(read(number, 2..4) % 20, read(number, 4..6))
}

pub(super) fn br_cpf(number: &[u8]) -> bool {
    let check = |weights: &[u32]| weighed(number, weights, 11) * 10 % 11 % 10;
    check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(number, 9)
        && check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(number, 10)
}

pub(super) fn ca_insurance(number: &[u8]) -> bool {
    !matches!(digit(number, 0), 0 | 8) && luhn(number)
}

pub(super) fn ch_insurance(number: &[u8]) -> bool {
    let weights = [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1];
    number.starts_with(b"756") && weighed(number, &weights, 10) == 0
}

pub(super) fn cl_rut(number: &[u8]) -> bool {
    let weights = if number.len() == 9 {
        &[3, 2, 7, 6, 5, 4, 3, 2][..]
    } else {
        &[2, 7, 6, 5, 4, 3, 2]
    };
    let check = match 11 - weighed(number, weights, 11) {
        11 => b'0',
        10 => b'K',
        digit => b"0123456789"[digit as usize],
    };
    number.last() == Some(&check)
}

pub(super) fn cn_resident(number: &[u8]) -> bool {
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let check = b"10X98765432"[weighed(number, &weights, 11) as usize];
    number.last() == Some(&check)
        && (11..=82).contains(&read(number, 0..2))
        && (1900..=2035).contains(&read(number, 6..10))
        && date(read(number, 10..12), read(number, 12..14))
}

pub(super) fn cz_birth(number: &[u8]) -> bool {
    let month = read(number, 2..4) % 50;
    read(number, 0..10).is_multiple_of(11) && date(month % 20, read(number, 4..6))
}

/// ISO 7064 MOD 11,10; of the first ten digits exactly one stands there more than once.
pub(super) fn de_tax(number: &[u8]) -> bool {
    let mut counts = [0_u8; 10];
    for byte in number.iter().take(10) {
        counts[value(*byte) as usize % 10] += 1;
    }
    let repeated: Vec<&u8> = counts.iter().filter(|count| **count > 1).collect();
    number.first() != Some(&b'0') && matches!(repeated[..], [2 | 3]) && mod11_10(number)
}

pub(super) fn dk_cpr(number: &[u8]) -> bool {
    date(read(number, 2..4), read(number, 0..2))
}

pub(super) fn ee_lt_code(number: &[u8]) -> bool {
    let first = weighed(number, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1], 11);
    let check = match first {
        10 => weighed(number, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3], 11) % 10,
        rest => rest,
    };
    check == digit(number, 10) && (1..=6).contains(&digit(number, 0)) && date(read(number, 3..5), read(number, 5..7))
}

/// DNI, and NIE with its leading X, Y or Z.
pub(super) fn es_dni(number: &[u8]) -> bool {
    let (head, digits) = match number.first() {
        Some(letter @ b'X'..=b'Z') => (u64::from(letter - b'X'), 1..8),
        _ => (0, 0..8),
    };
    let places = if digits.start == 1 { 10_000_000 } else { 0 };
    let check = b"TRWAGMYFPDXBNJZSQVHLCKE"[((head * places + read(number, digits)) % 23) as usize];
    number
        .first()
        .is_some_and(|first| first.is_ascii_digit() || (b'X'..=b'Z').contains(first))
        && number.last() == Some(&check)
}

pub(super) fn fi_identity(number: &[u8]) -> bool {
    let (birth, serial) = (read(number, 0..6), read(number, number.len() - 4..number.len() - 1));
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY"[((birth * 1000 + serial) % 31) as usize];
    number.last() == Some(&check) && date(read(number, 2..4), read(number, 0..2))
}

pub(super) fn fr_nir(number: &[u8]) -> bool {
    let month = read(number, 3..5);
    matches!(digit(number, 0), 1 | 2)
        && (matches!(month, 1..=12 | 20..=42) || month >= 50)
        && 97 - read(number, 0..13) % 97 == read(number, 13..15)
}

pub(super) fn gr_amka(number: &[u8]) -> bool {
    luhn(number) && date(read(number, 2..4), read(number, 0..2))
}

pub(super) fn hr_oib(number: &[u8]) -> bool {
    mod11_10(number)
}

pub(super) fn ie_pps(number: &[u8]) -> bool {
    let second = number.get(8).map_or(0, |letter| (value(*letter) - 9) * 9);
    let sum = weighed(number, &[8, 7, 6, 5, 4, 3, 2], u32::MAX) + second;
    number.get(7) == Some(&b"WABCDEFGHIJKLMNOPQRSTUV"[(sum % 23) as usize])
}

pub(super) fn in_aadhaar(number: &[u8]) -> bool {
    digit(number, 0) >= 2 && verhoeff(number)
}

/// The fourth letter is the kind of holder; P is a person. The last letter has no published check.
pub(super) fn in_pan(number: &[u8]) -> bool {
    number.get(3) == Some(&b'P')
}

/// Decree of the Italian finance ministry of 1976-12-23: sums over odd and even places.
pub(super) fn it_fiscal(number: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    let plain = |byte: u8| {
        if byte.is_ascii_digit() {
            value(byte)
        } else {
            value(byte) - 10
        }
    };
    let sum: u32 = number
        .iter()
        .take(15)
        .enumerate()
        .map(|(place, byte)| {
            if place % 2 == 0 {
                ODD[plain(*byte) as usize % 26]
            } else {
                plain(*byte)
            }
        })
        .sum();
    let day = read(number, 9..11);
    number
        .get(15)
        .is_some_and(|last| last.is_ascii_uppercase() && plain(*last) == sum % 26)
        && number.get(8).is_some_and(|month| b"ABCDEHLMPRST".contains(month))
        && matches!(day, 1..=31 | 41..=71)
}

pub(super) fn jp_number(number: &[u8]) -> bool {
    let rest = weighed(number, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2], 11);
    (if rest < 2 { 0 } else { 11 - rest }) == digit(number, 11)
}

pub(super) fn kr_resident(number: &[u8]) -> bool {
    let rest = weighed(number, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5], 11);
    (11 - rest) % 10 == digit(number, 12)
        && (1..=8).contains(&digit(number, 6))
        && date(read(number, 2..4), read(number, 4..6))
}

pub(super) fn mx_curp(number: &[u8]) -> bool {
    // The alphabet has an Ñ behind N.
    let place = |byte: u8| value(byte) + u32::from(byte > b'N');
    let sum: u32 = number
        .iter()
        .take(17)
        .zip((2..=18).rev())
        .map(|(byte, weight)| place(*byte) * weight)
        .sum();
    number.last().is_some_and(|last| value(*last) == (10 - sum % 10) % 10)
        && number.get(10).is_some_and(|sex| b"HMX".contains(sex))
        && date(read(number, 6..8), read(number, 8..10))
}

pub(super) fn nl_bsn(number: &[u8]) -> bool {
    weighed(number, &[9, 8, 7, 6, 5, 4, 3, 2, 10], 11) == 0
}

pub(super) fn no_birth(number: &[u8]) -> bool {
    weighed(number, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1], 11) == 0
        && weighed(number, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1], 11) == 0
        && date(read(number, 2..4), read(number, 0..2) % 40)
}

pub(super) fn pl_pesel(number: &[u8]) -> bool {
    weighed(number, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1], 10) == 0 && date(read(number, 2..4) % 20, read(number, 4..6))
}

pub(super) fn pt_nif(number: &[u8]) -> bool {
    let rest = weighed(number, &[9, 8, 7, 6, 5, 4, 3, 2], 11);
    (1..=3).contains(&digit(number, 0)) && (if rest < 2 { 0 } else { 11 - rest }) == digit(number, 8)
}

pub(super) fn ro_cnp(number: &[u8]) -> bool {
    let rest = weighed(number, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9], 11);
    (if rest == 10 { 1 } else { rest }) == digit(number, 12)
        && (1..=8).contains(&digit(number, 0))
        && date(read(number, 3..5), read(number, 5..7))
}

/// Ten digits, or twelve with the century.
pub(super) fn se_number(number: &[u8]) -> bool {
    let short = number.get(number.len() - 10..).unwrap_or_default();
    let century = number.len() == 10 || matches!(read(number, 0..2), 18..=20);
    century && luhn(short) && date(read(short, 2..4), read(short, 4..6) % 60)
}

pub(super) fn sg_nric(number: &[u8]) -> bool {
    let Some((&first, rest)) = number.split_first() else {
        return false;
    };
    let (offset, letters) = match first {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        _ => return false,
    };
    let sum = weighed(rest, &[2, 7, 6, 5, 4, 3, 2], u32::MAX) + offset;
    number.last() == Some(&letters[(sum % 11) as usize])
}

pub(super) fn tr_number(number: &[u8]) -> bool {
    let odd: u32 = [0, 2, 4, 6, 8].iter().map(|place| digit(number, *place)).sum();
    let even: u32 = [1, 3, 5, 7].iter().map(|place| digit(number, *place)).sum();
    let all = odd + even + digit(number, 9);
    digit(number, 0) > 0 && (odd * 7 + 100 - even) % 10 == digit(number, 9) && all % 10 == digit(number, 10)
}

pub(super) fn uk_nhs(number: &[u8]) -> bool {
    weighed(number, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 11) == 0
}

/// Prefixes that HMRC does not give (NIM39110); no check digit.
pub(super) fn uk_nino(number: &[u8]) -> bool {
    let [first, second, .., last] = number else {
        return false;
    };
    !b"DFIQUV".contains(first)
        && !b"DFIOQUV".contains(second)
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&[*first, *second])
        && (b'A'..=b'D').contains(last)
}

pub(super) fn za_identity(number: &[u8]) -> bool {
    luhn(number) && digit(number, 10) < 2 && date(read(number, 2..4), read(number, 4..6))
}
