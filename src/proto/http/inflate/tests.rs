//! Bodies packed by real encoders, in any stack, split and flush, against the plain body; bombs, damage and wrong labels.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;

/// A body or a stream of one coding, as a server writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pack {
    Brotli,
    Gzip,
    /// `deflate` without its wrapper.
    Raw,
    Zlib,
    Zstd,
}

const PACKS: [Pack; 5] = [Pack::Brotli, Pack::Gzip, Pack::Raw, Pack::Zlib, Pack::Zstd];

impl Pack {
    const fn label(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Raw | Self::Zlib => "deflate",
            Self::Zstd => "zstd",
        }
    }

    /// Packs a body that is flushed behind each piece.
    fn pieces<'p>(self, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Vec<u8>> {
        fn flushed<'p, W: Write>(
            mut encoder: W,
            pieces: impl IntoIterator<Item = &'p [u8]>,
            take: fn(&mut W) -> &mut Vec<u8>,
            finish: fn(W) -> Vec<u8>,
        ) -> Vec<Vec<u8>> {
            let mut out = Vec::new();
            for piece in pieces {
                encoder.write_all(piece).unwrap();
                encoder.flush().unwrap();
                out.push(std::mem::take(take(&mut encoder)));
            }
            out.push(finish(encoder));
            out
        }
        let level = Compression::default();
        match self {
            Self::Brotli => flushed(
                ::brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22),
                pieces,
                ::brotli::CompressorWriter::get_mut,
                ::brotli::CompressorWriter::into_inner,
            ),
            Self::Gzip => flushed(
                GzEncoder::new(Vec::new(), level),
                pieces,
                GzEncoder::get_mut,
                |encoder| encoder.finish().unwrap(),
            ),
            Self::Raw => flushed(
                DeflateEncoder::new(Vec::new(), level),
                pieces,
                DeflateEncoder::get_mut,
                |encoder| encoder.finish().unwrap(),
            ),
            Self::Zlib => flushed(
                ZlibEncoder::new(Vec::new(), level),
                pieces,
                ZlibEncoder::get_mut,
                |encoder| encoder.finish().unwrap(),
            ),
            Self::Zstd => flushed(
                ::zstd::Encoder::new(Vec::new(), 3).unwrap(),
                pieces,
                ::zstd::Encoder::get_mut,
                |encoder| encoder.finish().unwrap(),
            ),
        }
    }

    fn whole(self, text: &[u8]) -> Vec<u8> {
        self.pieces([text]).concat()
    }
}

fn labelled(labels: &str) -> Coding {
    let mut coding = Coding::default();
    labels.split(',').for_each(|token| coding.then(token.trim().as_bytes()));
    coding
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Complete,
    Failed,
    Open,
    Over,
}

fn inflate(labels: &str, pieces: &[&[u8]], max_bytes: usize, stream: bool) -> (Vec<u8>, End) {
    let mut inflate = Inflate::new(labelled(labels), max_bytes, stream).unwrap();
    let mut output = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match inflate.next(&mut rest) {
                Inflated::Output(bytes) => output.extend_from_slice(bytes),
                Inflated::More => break,
                Inflated::Failed => return (output, End::Failed),
                Inflated::Over => return (output, End::Over),
            }
        }
        assert_eq!(rest, b"", "all input is used");
    }
    let end = if inflate.is_complete() {
        End::Complete
    } else {
        End::Open
    };
    (output, end)
}

fn whole(labels: &str, packed: &[u8]) -> (Vec<u8>, End) {
    inflate(labels, &[packed], 1 << 22, false)
}

fn text() -> Vec<u8> {
    let numbers: String = (0..3000)
        .map(|number| format!("[{number}, \"{}\"]", number * 7919 % 997))
        .collect();
    format!("{{\"jsonrpc\":\"2.0\",\"result\":[{numbers}]}}").into_bytes()
}

#[test]
fn codings_in_any_split() {
    let text = text();
    for pack in PACKS {
        let packed = pack.whole(&text);
        for size in [packed.len(), 1, 7] {
            let pieces = packed.chunks(size).collect::<Vec<_>>();
            let given = inflate(pack.label(), &pieces, 1 << 20, false);
            assert_eq!(given, (text.clone(), End::Complete), "{pack:?} {size}");
        }
        let (half, end) = whole(pack.label(), &packed[..packed.len() / 2]);
        assert_eq!(end, End::Open, "{pack:?}");
        assert!(text.starts_with(&half), "{pack:?}");
    }
}

#[test]
fn gzip_headers_with_everything() {
    let mut gzip = flate2::GzBuilder::new()
        .filename("a")
        .comment("b")
        .extra(vec![1; 300])
        .write(Vec::new(), Compression::default());
    gzip.write_all(b"{}").unwrap();
    let gzip = gzip.finish().unwrap();
    let pieces = gzip.chunks(1).collect::<Vec<_>>();
    assert_eq!(inflate("gzip", &pieces, 100, false), (b"{}".to_vec(), End::Complete));
}

/// Members and frames follow one another; a frame may be one to skip; what is neither is passed over.
#[test]
fn one_after_the_other() {
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for (label, one, two) in [
        ("gzip", Pack::Gzip.whole(b"{\"a\":"), Pack::Gzip.whole(b"1}")),
        ("zstd", Pack::Zstd.whole(b"{\"a\":"), Pack::Zstd.whole(b"1}")),
        (
            "zstd",
            [skipped.clone(), Pack::Zstd.whole(b"{\"a\":1}")].concat(),
            skipped,
        ),
    ] {
        for junk in [&b""[..], b"\0", b"\0\0\0\0", b"\r\n", b"junk behind the body"] {
            let packed = [&one[..], &two, junk].concat();
            for size in [packed.len(), 1, 5] {
                let pieces = packed.chunks(size).collect::<Vec<_>>();
                let given = inflate(label, &pieces, 100, false);
                assert_eq!(given, (b"{\"a\":1}".to_vec(), End::Complete), "{label} {junk:?} {size}");
            }
        }
    }
}

#[test]
fn each_flush_gives_its_text_at_once() {
    let events = (0..20)
        .map(|number| format!("data: {{\"n\":{number}}}\n\n"))
        .collect::<Vec<_>>();
    for pack in PACKS {
        let mut inflate = Inflate::new(labelled(pack.label()), 1 << 20, true).unwrap();
        let packed = pack.pieces(events.iter().map(String::as_bytes));
        for (event, packed) in events.iter().zip(&packed) {
            let (mut rest, mut output) = (&packed[..], Vec::new());
            while let Inflated::Output(bytes) = inflate.next(&mut rest) {
                output.extend_from_slice(bytes);
            }
            assert_eq!(String::from_utf8_lossy(&output), *event, "{pack:?}");
        }
    }
}

#[test]
fn labels_that_are_wrong() {
    let text = &b"{\"jsonrpc\":\"2.0\"}"[..];
    let check = |label: &str, packed: &[u8]| {
        for size in [packed.len(), 1, 3] {
            let pieces = packed.chunks(size).collect::<Vec<_>>();
            assert_eq!(
                inflate(label, &pieces, 1000, false),
                (text.to_vec(), End::Complete),
                "{label}"
            );
        }
    };
    for pack in PACKS {
        check(pack.label(), text);
        check(&format!("{0}, {0}", pack.label()), &pack.whole(text));
        // A proxy packed what was packed, and the field is there once.
        check("gzip", &Pack::Gzip.whole(&Pack::Gzip.whole(text)));
        check(pack.label(), &pack.whole(&Pack::Zstd.whole(text)));
    }
    check("gzip", &Pack::Zlib.whole(text));
    check("gzip", &Pack::Zstd.whole(text));
    check("deflate", &Pack::Gzip.whole(text));
    check("zstd", &Pack::Gzip.whole(text));
}

#[test]
fn damage_stops() {
    for (label, bytes) in [
        ("gzip", &b"\x1f\x8bnot gzip"[..]),
        ("deflate", b"\xff\xff\xff\xff"),
        ("br", b"\xff\xff\xff\xff\xff\xff"),
        ("zstd", b"\x28not zstd"),
        (
            "zstd",
            b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ),
    ] {
        assert_eq!(whole(label, bytes), (vec![], End::Failed), "{label}");
    }
    assert!(Inflate::new(labelled("compress"), 1, false).is_none());
    // A frame that wants a window beyond the bound (RFC 9659).
    let mut wide = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(24).unwrap();
    wide.write_all(&[b' '; 1 << 16]).unwrap();
    wide.flush().unwrap();
    assert_eq!(whole("zstd", &wide.finish().unwrap()), (vec![], End::Failed));
}

/// Zeros without end, in each coding and nested.
#[test]
fn bombs_stop_at_the_bound() {
    const MAX_BYTES: usize = 1 << 20;
    let zeros = vec![0; 1 << 24];
    for pack in PACKS {
        let bomb = pack.whole(&zeros);
        let label = pack.label();
        let mut bombs = vec![(label.to_owned(), bomb.clone())];
        // 64 of them are 1 GiB.
        if let Pack::Gzip | Pack::Zstd = pack {
            bombs.push((label.to_owned(), bomb.repeat(64)));
        }
        for outer in PACKS {
            bombs.push((format!("{label}, {}", outer.label()), outer.whole(&bomb)));
        }
        for (label, bomb) in bombs {
            let (output, end) = inflate(&label, &[&bomb], MAX_BYTES, false);
            assert!(end == End::Over && output.len() <= MAX_BYTES, "{label}");
            let (output, end) = inflate(&label, &[&bomb], MAX_BYTES, true);
            let allowed = MAX_BYTES + bomb.len() * 32;
            assert!(output.len() <= allowed, "{label}");
            assert!(end == End::Over || allowed >= zeros.len(), "{label}");
        }
    }
    // Packed again and again without a label, as if without end.
    let nested = (0..6).fold(b"{}".to_vec(), |inner, _| Pack::Gzip.whole(&inner));
    assert_eq!(whole("gzip", &nested), (vec![], End::Over));
    // All of it in a gzip header's name, so that the inner coding gives nothing.
    let name = [&b"\x1f\x8b\x08\x08\0\0\0\0\0\0"[..], &vec![b'a'; 1 << 24]].concat();
    let (output, end) = inflate("gzip, zstd", &[&Pack::Zstd.whole(&name)], MAX_BYTES, false);
    assert_eq!((output.len(), end), (0, End::Over));
}

fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        "[a-z{}\": ]{0,300}".prop_map(String::into_bytes),
        (any::<u8>(), 0usize..40_000).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop::collection::vec(piece, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_stack_split_and_flush_gives_the_plain_body(
        pieces in body(),
        stack in prop::collection::vec(0usize..PACKS.len(), 1..4),
        cuts in prop::collection::vec(1usize..600, 1..20),
        stream: bool,
    ) {
        let plain = [&b"{"[..], &pieces.concat()].concat();
        let mut packed = PACKS[stack[0]].pieces(std::iter::once(&b"{"[..]).chain(pieces.iter().map(Vec::as_slice))).concat();
        for pack in &stack[1..] {
            packed = PACKS[*pack].whole(&packed);
        }
        let labels = stack.iter().map(|pack| PACKS[*pack].label()).collect::<Vec<_>>().join(", ");
        let mut rest = &packed[..];
        let mut split = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            split.push(piece);
            rest = behind;
        }
        prop_assert_eq!(inflate(&labels, &split, 1 << 20, stream), (plain, End::Complete), "{}", labels);
    }

    #[test]
    fn nonsense_neither_panics_nor_grows(
        pieces in body(),
        stack in prop::collection::vec(0usize..PACKS.len(), 1..4),
        flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut packed = pieces.concat();
        for pack in &stack {
            packed = PACKS[*pack].whole(&packed);
        }
        packed.extend_from_slice(&noise);
        for (at, byte) in flips {
            let len = packed.len();
            packed[at % len] = byte;
        }
        let labels = stack.iter().map(|pack| PACKS[*pack].label()).collect::<Vec<_>>().join(", ");
        let split = packed.chunks(97).collect::<Vec<_>>();
        prop_assert!(inflate(&labels, &split, 10_000, false).0.len() <= 10_000);
    }
}
