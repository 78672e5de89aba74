//! JA4 (FoxIO, "JA4: TLS Client Fingerprinting", BSD 3-Clause, published without patent claims): a short text that is the
//! same for every connection of one client build.
//!
//! `t13d1516h2_8daaf6152771_e5627efa2ab1`: carrier, highest version, whether a server is named, counts of cipher suites
//! and extensions, first and last character of the preferred protocol; then hashes of the sorted cipher suites, and of
//! the sorted extensions with the signature algorithms behind them. Grease is left out everywhere.
//!
//! JA4S, the like for servers, belongs to JA4+ under another licence, with patents pending, that forbids selling it: it is
//! not computed here. What it would be made of (version, protocol, cipher suite, extensions) is told as it stands.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::model::tls::{JA4_LEN, Ja4};
use crate::proto::tls::hello::{ClientHello, is_grease};

/// Characters of a hash that are kept.
const HASH_LEN: usize = 12;

/// What carried a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TLS over TCP: `t`.
    Tcp,
    /// QUIC: `q`.
    Quic,
    /// DTLS: `d`.
    Dtls,
}

/// The fingerprint of a whole hello.
pub(super) fn fingerprint(hello: &ClientHello<'_>, carrier: Carrier) -> Option<Ja4> {
    let mut ciphers: Vec<u16> = hello.ciphers.iter().copied().filter(|it| !is_grease(*it)).collect();
    let extensions = hello.extensions.iter().filter(|it| !is_grease(**it)).count();
    let mut listed: Vec<u16> = hello.listed_extensions().collect();
    ciphers.sort_unstable();
    listed.sort_unstable();

    let mut out = String::with_capacity(JA4_LEN);
    out.push(match carrier {
        Carrier::Tcp => 't',
        Carrier::Quic => 'q',
        Carrier::Dtls => 'd',
    });
    // "The highest value in the extension", also for DTLS, whose numbers fall as versions rise.
    let version = hello.versions.iter().max().copied().unwrap_or(hello.version);
    out.push_str(version_word(version));
    out.push(if hello.names_server() { 'd' } else { 'i' });
    let _ = write!(out, "{:02}{:02}", ciphers.len().min(99), extensions.min(99));
    out.extend(alpn_word(hello.alpn.first().copied().unwrap_or_default()));
    out.push('_');
    hash(&ciphers, &[], &mut out);
    out.push('_');
    hash(&listed, &hello.signature_algorithms, &mut out);
    Ja4::from_ascii(out.into_bytes().try_into().ok()?)
}

const fn version_word(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// First and last character of a protocol's name, or of its hexadecimal form where one of them is not alphanumeric.
fn alpn_word(name: &[u8]) -> [char; 2] {
    let (Some(first), Some(last)) = (name.first(), name.last()) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)];
    }
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 0x0f)]
}

/// Appends the first characters of the SHA-256 of these numbers as lists of four hexadecimal digits each.
fn hash(numbers: &[u16], behind: &[u16], out: &mut String) {
    if numbers.is_empty() {
        out.push_str("000000000000");
        return;
    }
    let mut text = Vec::with_capacity(numbers.len().saturating_add(behind.len()).saturating_mul(5));
    list(numbers, &mut text);
    if !behind.is_empty() {
        text.push(b'_');
        list(behind, &mut text);
    }
    let digest = Sha256::digest(&text);
    for byte in digest.iter().take(HASH_LEN / 2) {
        out.extend(hex(*byte).map(char::from));
    }
}

fn list(numbers: &[u16], text: &mut Vec<u8>) {
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        number
            .to_be_bytes()
            .map(hex)
            .iter()
            .for_each(|pair| text.extend_from_slice(pair));
    }
}

/// Two lower-case hexadecimal digits.
fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0x0f].map(|digit| match digit {
        0..=9 => digit.saturating_add(b'0'),
        _ => digit.saturating_add(b'a' - 10),
    })
}
