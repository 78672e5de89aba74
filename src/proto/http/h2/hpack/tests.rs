//! The vectors of RFC 7541, appendix C; blocks out of random choices, some of them lost; and nonsense.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use proptest::prelude::*;

use super::*;
use crate::proto::http::huffman::tests::encode;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn line(field: Field<'_>) -> String {
    let text = |part: Option<&[u8]>| part.map_or_else(|| "?".into(), |part| String::from_utf8_lossy(part).into_owned());
    format!("{}: {}", text(field.name), text(field.value))
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let result = decoder.decode(block, &mut |field| lines.push(line(field)));
    (lines, result.is_ok())
}

/// Blocks of one connection: hexadecimal bytes, fields, the table after them and its size.
type Blocks = [(&'static str, &'static [&'static str], &'static [&'static str], usize)];

fn check(name: &str, max: Option<usize>, blocks: &Blocks) {
    let mut decoder = Decoder::new();
    if let Some(max) = max {
        decoder.table.resize(max);
    }
    for (number, (block, fields, table, size)) in blocks.iter().enumerate() {
        let (lines, whole) = decode(&mut decoder, &hex(block));
        assert!(whole, "{name}, block {number}");
        assert_eq!(lines, *fields, "{name}, block {number}");
        let (listed, counted) = decoder.table.listed();
        assert_eq!(
            (listed, counted),
            (table.iter().map(|line| (*line).to_owned()).collect(), *size),
            "{name}"
        );
    }
}

#[test]
fn integers_of_appendix_c_1() {
    for (bytes, prefix_bits, value) in [(&[0b0110_1010][..], 5, 10), (&[31, 154, 10], 5, 1337), (&[42], 8, 42)] {
        let mut rest = bytes;
        // A prefix of eight bits stands in no header block.
        let prefix_bits = if prefix_bits == 8 { 7 } else { prefix_bits };
        assert_eq!((integer(&mut rest, prefix_bits), rest), (Some(value), &[][..]));
    }
    // Zeros behind the number, as a lenient peer reads them.
    let padded = [&[31, 0x9a, 0x8a][..], &[0x80; 40], &[0]].concat();
    assert_eq!(integer(&mut &padded[..], 5), Some(1337));
    for bad in [
        &[][..],
        &[31],
        &[31, 0x80],
        &[31, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        &[31, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[31, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
    ] {
        assert_eq!(integer(&mut &bad[..], 5), None, "{bad:x?}");
    }
}

#[test]
fn representations_of_appendix_c_2() {
    for (block, field, table, size) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
            true,
            55,
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", false, 0),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            "password: secret",
            false,
            0,
        ),
        ("82", ":method: GET", false, 0),
    ] {
        let mut decoder = Decoder::new();
        assert_eq!(decode(&mut decoder, &hex(block)), (vec![field.to_owned()], true));
        let expect = if table { vec![field.to_owned()] } else { vec![] };
        assert_eq!(decoder.table.listed(), (expect, size));
    }
}

const REQUESTS: [&[&str]; 3] = [
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
    ],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];
const REQUEST_TABLES: [&[&str]; 3] = [
    &[":authority: www.example.com"],
    &["cache-control: no-cache", ":authority: www.example.com"],
    &[
        "custom-key: custom-value",
        "cache-control: no-cache",
        ":authority: www.example.com",
    ],
];

#[test]
fn requests_of_appendix_c_3_and_c_4() {
    for (name, blocks) in [
        (
            "C.3",
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
        ),
        (
            "C.4",
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ),
    ] {
        let rows: Vec<_> = (0..3)
            .map(|at| (blocks[at], REQUESTS[at], REQUEST_TABLES[at], [57, 110, 164][at]))
            .collect();
        check(name, None, &rows);
    }
}

const DATE_21: &str = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22: &str = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION: &str = "location: https://www.example.com";
const COOKIE: &str = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

#[test]
fn responses_of_appendix_c_5_and_c_6() {
    let answers: [&[&str]; 3] = [
        &[":status: 302", "cache-control: private", DATE_21, LOCATION],
        &[":status: 307", "cache-control: private", DATE_21, LOCATION],
        &[
            ":status: 200",
            "cache-control: private",
            DATE_22,
            LOCATION,
            "content-encoding: gzip",
            COOKIE,
        ],
    ];
    let tables: [&[&str]; 3] = [
        &[LOCATION, DATE_21, "cache-control: private", ":status: 302"],
        &[":status: 307", LOCATION, DATE_21, "cache-control: private"],
        &[COOKIE, "content-encoding: gzip", DATE_22],
    ];
    for (name, blocks) in [
        (
            "C.5",
            [
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
                 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "4803 3330 37c1 c0bf",
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
                 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
                 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            ],
        ),
        (
            "C.6",
            [
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
                 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                "4883 640e ffc1 c0bf",
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
                 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            ],
        ),
    ] {
        let rows: Vec<_> = (0..3)
            .map(|at| (blocks[at], answers[at], tables[at], [222, 222, 215][at]))
            .collect();
        check(name, Some(256), &rows);
    }
}

#[test]
fn what_was_missed_is_unknown_and_no_more() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &hex("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d"));
    decoder.forget();
    // The entry itself, its name with a new value that is inserted, and that one again.
    let (lines, whole) = decode(&mut decoder, b"\x82\xbe\x7e\x01a\xbe\xbf\x40\x01k\x01v\xbe\xbf");
    let expect = [":method: GET", "?: ?", "?: a", "?: a", "?: ?", "k: v", "k: v", "?: a"];
    assert_eq!((lines, whole), (expect.map(str::to_owned).to_vec(), true));
}

#[test]
fn damage_ends_a_block() {
    for block in ["80", "40", "7f", "8286 40 0a", "00 01", "00 01 61 ff", "00 81 00 00"] {
        let mut decoder = Decoder::new();
        assert!(!decode(&mut decoder, &hex(block)).1, "{block}");
    }
}

/// One field and how it is written.
type Choice = (u8, u8, bool, u8);

/// An encoder by the letter of the RFC, with a list of owned pairs as its table.
#[derive(Default)]
struct Encoder {
    table: Vec<(String, String)>,
}

fn put_integer(out: &mut Vec<u8>, first: u8, prefix_bits: u32, value: usize) {
    let mask = (1 << prefix_bits) - 1;
    if value < mask {
        return out.push(first | value as u8);
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

fn put_string(out: &mut Vec<u8>, text: &str, compressed: bool) {
    let code = if compressed {
        encode(text.as_bytes())
    } else {
        text.as_bytes().to_vec()
    };
    put_integer(out, if compressed { 0x80 } else { 0 }, 7, code.len());
    out.extend(code);
}

impl Encoder {
    fn put(&mut self, out: &mut Vec<u8>, (name, value, compressed, how): Choice) -> (String, String) {
        let field = (format!("name-{name}"), format!("v{}", "x".repeat(usize::from(value))));
        let same = self.table.iter().position(|entry| *entry == field);
        let named = self.table.iter().position(|entry| entry.0 == field.0);
        if let Some(at) = same.filter(|_| how % 4 != 0) {
            put_integer(out, 0x80, 7, 62 + at);
            return field;
        }
        let (first, prefix_bits) = [(0x40, 6), (0, 4), (0x10, 4)][usize::from(how % 3)];
        put_integer(out, first, prefix_bits, named.map_or(0, |at| 62 + at));
        if named.is_none() {
            put_string(out, &field.0, compressed);
        }
        put_string(out, &field.1, compressed);
        if first == 0x40 {
            self.table.insert(0, field.clone());
            let size = |table: &[(String, String)]| table.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
            while size(&self.table) > 4096 {
                self.table.pop();
            }
        }
        field
    }
}

proptest! {
    /// Blocks of which some are lost: of the others every known part is right, and without loss all is known.
    #[test]
    fn known_is_right(
        blocks in proptest::collection::vec(
            (proptest::collection::vec((0..30_u8, 0..200_u8, any::<bool>(), any::<u8>()), 1..12), 0..8_u8),
            1..30,
        ),
        lossy in any::<bool>(),
    ) {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new());
        for (choices, luck) in blocks {
            let mut block = Vec::new();
            let fields: Vec<_> = choices.into_iter().map(|choice| encoder.put(&mut block, choice)).collect();
            if lossy && luck == 0 {
                decoder.forget();
                continue;
            }
            let mut at = 0;
            let result = decoder.decode(&block, &mut |field| {
                let (name, value) = &fields[at];
                at += 1;
                assert!(field.name.is_none_or(|known| known == name.as_bytes()));
                assert!(field.value.is_none_or(|known| known == value.as_bytes()));
                assert!(lossy || (field.name.is_some() && field.value.is_some()));
            });
            prop_assert_eq!((result, at), (Ok(()), fields.len()));
        }
    }

    #[test]
    fn nonsense_never_panics(block in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new();
        for _ in 0..3 {
            let (lines, _) = decode(&mut decoder, &block);
            prop_assert!(lines.len() <= block.len());
        }
    }
}
