//! Which codings a body went through, from what its heads say and from its first byte, which knows better.
//!
//! Real software mislabels: a proxy unpacks and leaves the field, another one drops the field and leaves the body packed.
//! No text that is of interest begins with the first byte of a packed body, so one byte decides, in any split.

use crate::model::message::{Field, Headers};

/// Most codings of one body, labelled or found. Nobody sends more than two; each costs a decoder.
pub(super) const STACK_MAX: usize = 4;

/// First byte of a gzip member (RFC 1952, section 2.3.1).
const GZIP_FIRST: u8 = 0x1f;
/// First byte of a Zstandard frame (RFC 8878, section 3.1.1).
const ZSTD_FIRST: u8 = 0x28;

/// One coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// RFC 7932.
    Brotli,
    /// RFC 1950, or RFC 1951 alone.
    Deflate,
    /// RFC 1952.
    Gzip,
    /// One that is not read.
    Other,
    /// RFC 8878, with the window of RFC 9659.
    Zstd,
}

/// How a body was compressed: codings in the order in which they were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coding {
    applied: [Option<Name>; STACK_MAX],
}

impl Coding {
    /// Not at all.
    pub(crate) const IDENTITY: Self = Self {
        applied: [None; STACK_MAX],
    };

    /// From a member of `Content-Encoding` or `Transfer-Encoding`: what was applied after all that is known so far.
    pub(crate) fn then(&mut self, token: &[u8]) {
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        let name = match () {
            () if token.is_empty() || is("identity") || is("chunked") => return,
            () if is("gzip") || is("x-gzip") => Name::Gzip,
            () if is("deflate") => Name::Deflate,
            () if is("br") => Name::Brotli,
            () if is("zstd") => Name::Zstd,
            () => Name::Other,
        };
        match self.applied.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(name),
            None => self.applied = [Some(Name::Other); STACK_MAX],
        }
    }

    /// Whether nothing was applied.
    pub(crate) fn is_identity(self) -> bool {
        self == Self::IDENTITY
    }

    /// What is to be undone, in order. `None` when one of them is not read.
    pub(super) fn undone(self) -> Option<impl Iterator<Item = Name>> {
        let names = self.applied.into_iter().rev().flatten();
        (!names.clone().any(|name| name == Name::Other)).then_some(names)
    }

    /// What bytes without a label are, by the first of them.
    pub(crate) fn found(first: u8) -> Option<Self> {
        let name = Name::found(first)?;
        let mut coding = Self::IDENTITY;
        if let Some(place) = coding.applied.first_mut() {
            *place = Some(name);
        }
        Some(coding)
    }
}

impl Name {
    /// What bytes without a label are, by the first of them.
    pub(super) const fn found(first: u8) -> Option<Self> {
        match first {
            GZIP_FIRST => Some(Self::Gzip),
            ZSTD_FIRST => Some(Self::Zstd),
            _ => None,
        }
    }

    /// What bytes with this label are, by the first of them. `None` when they are not packed at all.
    pub(super) fn corrected(self, first: u8) -> Option<Self> {
        match (self, first) {
            // In Brotli an empty stream with bits in its padding, in raw deflate a text that begins beyond ASCII, and
            // nothing in the others: always JSON.
            (_, b'{') => None,
            (Self::Deflate, b'[') => None,
            // Raw deflate would begin with the block type that is reserved.
            (Self::Deflate | Self::Zstd, GZIP_FIRST) => Some(Self::Gzip),
            (Self::Gzip, ZSTD_FIRST) => Some(Self::Zstd),
            // The usual first byte of a zlib wrapper (RFC 1950, section 2.2).
            (Self::Gzip, 0x78) => Some(Self::Deflate),
            (Self::Gzip, GZIP_FIRST) => Some(Self::Gzip),
            // Frames to be skipped (RFC 8878, section 3.1.2) may come first.
            (Self::Zstd, ZSTD_FIRST | 0x50..=0x5f) => Some(Self::Zstd),
            (Self::Gzip | Self::Zstd, _) => None,
            (Self::Brotli | Self::Deflate | Self::Other, _) => Some(self),
        }
    }
}

/// How a body was compressed, by either header: transfer codings are applied to what content codings gave.
pub(crate) fn coding(headers: &Headers) -> Coding {
    let mut coding = Coding::default();
    for field in [Field::ContentEncoding, Field::TransferEncoding] {
        if headers.has(field) {
            headers.members(field).for_each(|token| coding.then(token));
        }
    }
    coding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> String {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        match coding(&headers).undone() {
            None => "not read".into(),
            Some(names) => names.map(|name| format!("{name:?} ")).collect::<String>(),
        }
    }

    #[test]
    fn what_the_heads_say() {
        const CE: &str = "Content-Encoding";
        for (fields, expect) in [
            (&[][..], ""),
            (&[(CE, "")], ""),
            (&[(CE, "identity")], ""),
            (&[(CE, " GZIP ")], "Gzip "),
            (&[(CE, "x-gzip")], "Gzip "),
            (&[(CE, "br")], "Brotli "),
            (&[(CE, "deflate, identity, Zstd")], "Zstd Deflate "),
            (&[(CE, "gzip"), ("content-encoding", "br")], "Brotli Gzip "),
            (&[("Transfer-Encoding", "gzip, chunked")], "Gzip "),
            (&[("Transfer-Encoding", "gzip, chunked"), (CE, "br")], "Gzip Brotli "),
            (&[(CE, "gzip, aes128gcm")], "not read"),
            (&[(CE, "gzip,gzip,gzip,gzip,gzip")], "not read"),
        ] {
            assert_eq!(of(fields), expect, "{fields:?}");
        }
    }

    #[test]
    fn what_the_first_byte_says() {
        for (label, first, actual) in [
            (Name::Gzip, GZIP_FIRST, Some(Name::Gzip)),
            (Name::Gzip, b'{', None),
            (Name::Gzip, b'd', None),
            (Name::Gzip, 0x78, Some(Name::Deflate)),
            (Name::Zstd, b'P', Some(Name::Zstd)),
            (Name::Zstd, b'e', None),
            (Name::Deflate, b'[', None),
            (Name::Deflate, 0x78, Some(Name::Deflate)),
            (Name::Brotli, b'{', None),
            (Name::Brotli, 0x1b, Some(Name::Brotli)),
        ] {
            assert_eq!(label.corrected(first), actual, "{label:?} {first:x}");
        }
    }
}
