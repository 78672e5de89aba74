//! The Huffman code of header compression (RFC 7541, appendix B), which HTTP/3 shares.
//!
//! The code is canonical, so that the lengths of its symbols are all that is written down. Short codes, which nearly
//! all text consists of, take one look-up a symbol. Cost: per compressed string.

use std::sync::LazyLock;

/// Bits of the first look-up.
const FAST_BITS: u32 = 10;
const CODE_MAX_BITS: u32 = 30;
/// The end of a string: it never stands in one.
const EOS: u16 = 256;

/// Length of the code of each symbol, in bits.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

static CODE: LazyLock<Code> = LazyLock::new(Code::new);

/// Appends the text of a compressed string to `out`. `false` when it is none, and `out` then has what came before.
///
/// Text is at most eight fifths as long as its code.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let code = &*CODE;
    let mut input = input.iter();
    // Bits not yet read, the next one on top.
    let (mut bits, mut have): (u64, u32) = (0, 0);
    loop {
        while have <= 56 {
            let Some(byte) = input.next() else { break };
            bits |= u64::from(*byte).wrapping_shl(56_u32.saturating_sub(have));
            have = have.saturating_add(8);
        }
        let found = code.next(u32::try_from(bits >> 32).unwrap_or(0));
        let Some((symbol, len)) = found.filter(|(_, len)| *len <= have) else {
            break;
        };
        let Ok(byte) = u8::try_from(symbol) else {
            return false;
        };
        out.push(byte);
        bits = bits.wrapping_shl(len);
        have = have.saturating_sub(len);
    }
    // What is left is the beginning of the end's code, less than a byte of it (section 5.2).
    have < 8 && bits == u64::MAX.checked_shl(64_u32.saturating_sub(have)).unwrap_or(0)
}

/// The code as look-up tables.
struct Code {
    /// Symbol and length by the first bits; length 0 where the code is longer.
    fast: Vec<(u16, u32)>,
    /// For each longer length: the length, the first 32 bits above its codes, its first code, and where its symbols
    /// begin in `symbols`.
    slow: Vec<(u32, u64, u32, usize)>,
    /// In the order of their codes.
    symbols: Vec<u16>,
}

impl Code {
    fn new() -> Self {
        let mut symbols: Vec<u16> = (0..=EOS).collect();
        let length = |symbol: &u16| LENGTHS.get(usize::from(*symbol)).map_or(0, |len| u32::from(*len));
        symbols.sort_by_key(length);
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        let (mut first, mut begin) = (0_u32, 0_usize);
        for len in 1..=CODE_MAX_BITS {
            first = first.wrapping_shl(1);
            let of_len = symbols.iter().filter(|symbol| length(symbol) == len);
            let count = of_len.clone().count();
            let above = first.saturating_add(u32::try_from(count).unwrap_or(0));
            if len <= FAST_BITS {
                let each = 1_usize.wrapping_shl(FAST_BITS.saturating_sub(len));
                of_len.for_each(|symbol| fast.extend(std::iter::repeat_n((*symbol, len), each)));
            } else if count > 0 {
                let limit = u64::from(above).wrapping_shl(32_u32.saturating_sub(len));
                slow.push((len, limit, first, begin));
            }
            begin = begin.saturating_add(count);
            first = above;
        }
        Self { fast, slow, symbols }
    }

    /// The symbol whose code stands at the top of `window`, and its length. `None` for no code's bits.
    fn next(&self, window: u32) -> Option<(u16, u32)> {
        let fast = usize::try_from(window.wrapping_shr(32_u32.saturating_sub(FAST_BITS))).ok()?;
        if let Some(found) = self.fast.get(fast) {
            return Some(*found);
        }
        let (len, _, first, begin) = self.slow.iter().find(|(_, limit, ..)| u64::from(window) < *limit)?;
        let code = window.wrapping_shr(32_u32.saturating_sub(*len));
        let nth = usize::try_from(code.checked_sub(*first)?).ok()?;
        Some((*self.symbols.get(begin.checked_add(nth)?)?, *len))
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use proptest::prelude::*;

    use super::*;

    /// The oracle: codes by counting, bits one at a time.
    pub(in crate::proto::http) fn encode(text: &[u8]) -> Vec<u8> {
        let mut order: Vec<usize> = (0..LENGTHS.len()).collect();
        order.sort_by_key(|symbol| LENGTHS[*symbol]);
        let (mut code, mut before, mut codes) = (0_u64, 0, vec![0; LENGTHS.len()]);
        for symbol in order {
            code <<= LENGTHS[symbol] - before;
            before = LENGTHS[symbol];
            codes[symbol] = code;
            code += 1;
        }
        let mut bits: Vec<bool> = Vec::new();
        for byte in text {
            let symbol = usize::from(*byte);
            bits.extend((0..LENGTHS[symbol]).rev().map(|bit| codes[symbol] >> bit & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        let byte = |bits: &[bool]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
        bits.chunks(8).map(byte).collect()
    }

    fn decoded(input: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(input, &mut out).then_some(out)
    }

    #[test]
    fn vectors_of_appendix_c() {
        for (code, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x64\x02", "302"),
            (
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ] {
            assert_eq!(decoded(code).unwrap(), text.as_bytes());
            assert_eq!(encode(text.as_bytes()), code);
        }
    }

    #[test]
    fn padding_is_short_and_of_ones() {
        // "a" is 00011.
        assert_eq!(decoded(&[0b0001_1111]).unwrap(), b"a");
        assert_eq!(decoded(&[]).unwrap(), b"");
        for bad in [&[0b0001_1110][..], &[0xff], &[0b0001_1111, 0xff], &[0xff; 4]] {
            assert_eq!(decoded(bad), None, "{bad:x?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn nothing_panics_and_what_is_read_is_written_so(input in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut out = Vec::new();
            if decode(&input, &mut out) {
                prop_assert_eq!(encode(&out), input.clone());
            }
            prop_assert!(out.len() <= input.len() * 8 / 5);
        }
    }
}
