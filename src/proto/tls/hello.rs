//! ClientHello and ServerHello (RFC 8446, sections 4.1.2 and 4.1.3; RFC 5246, section 7.4.1): server name (RFC 6066,
//! section 3), protocols inside (RFC 7301), versions, cipher suites, and whether an encrypted ClientHello (RFC 9849)
//! hides the real one.
//!
//! The fixed parts are read by the crate `tls-parser`. The extensions are walked here by their lengths alone, because one
//! malformed or unheard-of extension (grease, RFC 8701) must not hide the name behind it. Takes the body of a handshake
//! message, whoever carried it: TLS records, QUIC CRYPTO frames, DTLS.

use std::net::IpAddr;

use tls_parser::{
    SNIType, TlsExtension, parse_tls_extension_sni_content, parse_tls_handshake_client_hello,
    parse_tls_handshake_server_hello,
};

use crate::model::server::Encryption;
use crate::model::tls::{Ja4, Tls, TlsAnswer};
use crate::proto::tls::ja4::{self, Carrier};

/// `client_hello`.
pub const CLIENT_HELLO: u8 = 1;
/// `server_hello`, and a request to retry.
pub const SERVER_HELLO: u8 = 2;

/// TLS 1.3; from here on, drafts included, all but the hellos is encrypted.
pub const TLS_1_3: u16 = 0x0304;

/// Extension numbers of IANA's registry.
const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Random of a ServerHello that asks the client to try again: SHA-256 of `HelloRetryRequest`.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Longest name, in bytes (RFC 1035, section 2.3.4, without length octets).
const NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;

/// Protocols of one offer that are told.
const ALPN_MAX: usize = 32;

/// Whether a number is one of those that clients send to keep servers tolerant (RFC 8701).
pub const fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// What a ClientHello says in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// `legacy_version`.
    pub version: u16,
    /// `random`: what key logs name a connection by.
    pub random: [u8; 32],
    /// `legacy_session_id`; in TLS 1.2 one that the server repeats is resumed.
    pub session_id: &'a [u8],
    /// Cipher suites in the order offered, with grease.
    pub ciphers: Vec<u16>,
    /// Numbers of the extensions in the order sent, with grease.
    pub extensions: Vec<u16>,
    /// Server name, lower case, without a final dot.
    pub sni: Option<String>,
    /// An encrypted ClientHello is present, or grease that looks like one.
    pub ech: bool,
    /// Protocols offered, at most 32 of them, without grease.
    pub alpn: Vec<&'a [u8]>,
    /// `supported_versions`, without grease.
    pub versions: Vec<u16>,
    /// `signature_algorithms`, without grease.
    pub signature_algorithms: Vec<u16>,
    /// A session ticket (RFC 5077) or a pre-shared key is offered: a session may be resumed without a certificate.
    pub resumes: bool,
    /// `early_data`: records that follow at once are encrypted.
    pub early_data: bool,
    /// Every byte was there and read: a fingerprint makes sense.
    pub whole: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of the handshake message, or as much of it as there is; `None` when the fixed part is not whole.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (after, fixed) = parse_tls_handshake_client_hello(body).ok()?;
        let mut hello = Self {
            version: fixed.version.0,
            random: *fixed.random.first_chunk()?,
            session_id: fixed.session_id.unwrap_or_default(),
            ciphers: fixed.ciphers.iter().map(|cipher| cipher.0).collect(),
            ..Self::default()
        };
        // Extensions that end too soon are left unread by the crate, with their length in front.
        let cut = after.get(2..).unwrap_or_default();
        let mut rest = fixed.ext.unwrap_or(cut);
        while let Some((kind, data, next)) = extension(rest) {
            hello.take(kind, data);
            rest = next;
        }
        hello.whole = after.is_empty() && rest.is_empty();
        Some(hello)
    }

    fn take(&mut self, kind: u16, data: &'a [u8]) {
        self.extensions.push(kind);
        match kind {
            SERVER_NAME if self.sni.is_none() => self.sni = server_name(data),
            SIGNATURE_ALGORITHMS if self.signature_algorithms.is_empty() => {
                self.signature_algorithms = numbers(vector_16(data));
            }
            ALPN if self.alpn.is_empty() => self.alpn = protocols(data),
            SESSION_TICKET => self.resumes |= !data.is_empty(),
            PRE_SHARED_KEY => self.resumes = true,
            EARLY_DATA => self.early_data = true,
            SUPPORTED_VERSIONS if self.versions.is_empty() => self.versions = numbers(vector_8(data)),
            ENCRYPTED_CLIENT_HELLO => self.ech = true,
            _ => {}
        }
    }

    /// Fingerprint of the client, by what carried the hello; `None` for one that was cut.
    pub fn ja4(&self, carrier: Carrier) -> Option<Ja4> {
        self.whole.then(|| ja4::fingerprint(self, carrier)).flatten()
    }

    /// As a fact, with the fingerprint.
    pub fn fact(&self, carrier: Carrier) -> Tls<'_> {
        Tls {
            sni: self.sni.as_deref(),
            encryption: match carrier {
                Carrier::Quic => Encryption::Quic,
                Carrier::Tcp | Carrier::Dtls => Encryption::Tls,
            },
            ech: self.ech,
            grease: self
                .ciphers
                .iter()
                .chain(&self.extensions)
                .any(|number| is_grease(*number)),
            alpn: &self.alpn,
            versions: &self.versions,
            ja4: self.ja4(carrier),
        }
    }

    /// Whether the extension for server names is there, a name in it or not.
    pub(super) fn names_server(&self) -> bool {
        self.extensions.contains(&SERVER_NAME)
    }

    /// Numbers of the extensions that a fingerprint lists: all but grease, server name and ALPN.
    pub(super) fn listed_extensions(&self) -> impl Iterator<Item = u16> {
        let listed = |number: &u16| !is_grease(*number) && !matches!(*number, SERVER_NAME | ALPN);
        self.extensions.iter().copied().filter(listed)
    }
}

/// What a ServerHello settles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello<'a> {
    /// The version that is spoken: that of `supported_versions`, else the hello's own.
    pub version: u16,
    /// `random`.
    pub random: [u8; 32],
    /// `session_id`.
    pub session_id: &'a [u8],
    /// The cipher suite.
    pub cipher: u16,
    /// Numbers of the extensions in the order sent.
    pub extensions: Vec<u16>,
    /// The protocol inside, where it stands in clear.
    pub alpn: Option<&'a [u8]>,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// RFC 7366.
    pub encrypt_then_mac: bool,
    /// It asks the client to say hello again: nothing is settled yet.
    pub retry: bool,
}

impl<'a> ServerHello<'a> {
    /// Reads the body of the handshake message; `None` when the fixed part is not whole.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (_, fixed) = parse_tls_handshake_server_hello(body).ok()?;
        let random: [u8; 32] = *fixed.random.first_chunk()?;
        let mut hello = Self {
            version: fixed.version.0,
            random,
            session_id: fixed.session_id.unwrap_or_default(),
            cipher: fixed.cipher.0,
            retry: random == RETRY,
            ..Self::default()
        };
        let mut rest = fixed.ext.unwrap_or_default();
        while let Some((kind, data, next)) = extension(rest) {
            hello.extensions.push(kind);
            match kind {
                ALPN => hello.alpn = protocols(data).first().copied(),
                ENCRYPT_THEN_MAC => hello.encrypt_then_mac = true,
                EXTENDED_MASTER_SECRET => hello.extended_master_secret = true,
                SUPPORTED_VERSIONS => hello.version = numbers(data).first().copied().unwrap_or(hello.version),
                _ => {}
            }
            rest = next;
        }
        Some(hello)
    }

    /// Whether everything behind this hello is encrypted.
    pub const fn hides_the_rest(&self) -> bool {
        self.version >= TLS_1_3
    }

    /// As a fact, without a certificate.
    pub fn fact(&self) -> TlsAnswer<'_> {
        TlsAnswer {
            version: self.version,
            cipher: self.cipher,
            alpn: self.alpn,
            extensions: &self.extensions,
            named: false,
            certificate: None,
        }
    }
}

/// Number and content of the next extension, and what follows it.
fn extension(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let ([kind_high, kind_low, high, low], rest) = bytes.split_first_chunk::<4>()?;
    let (data, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((u16::from_be_bytes([*kind_high, *kind_low]), data, next))
}

/// A list behind its length of one byte, as far as it is there.
fn vector_8(data: &[u8]) -> &[u8] {
    let Some((length, list)) = data.split_first() else {
        return &[];
    };
    list.get(..usize::from(*length)).unwrap_or(list)
}

/// A list behind its length of two bytes, as far as it is there.
fn vector_16(data: &[u8]) -> &[u8] {
    let Some((length, list)) = data.split_first_chunk() else {
        return &[];
    };
    list.get(..usize::from(u16::from_be_bytes(*length))).unwrap_or(list)
}

/// Numbers of two bytes, without grease.
fn numbers(list: &[u8]) -> Vec<u16> {
    let (pairs, _) = list.as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| u16::from_be_bytes(*pair))
        .filter(|number| !is_grease(*number))
        .collect()
}

/// Names of protocols, without grease.
fn protocols(data: &[u8]) -> Vec<&[u8]> {
    let mut rest = vector_16(data);
    let mut out = Vec::new();
    while let Some((length, after)) = rest.split_first()
        && let Some((name, next)) = after.split_at_checked(usize::from(*length))
        && out.len() < ALPN_MAX
    {
        let grease = <[u8; 2]>::try_from(name).is_ok_and(|name| is_grease(u16::from_be_bytes(name)));
        if !grease {
            out.push(name);
        }
        rest = next;
    }
    out
}

fn server_name(data: &[u8]) -> Option<String> {
    let Ok((_, TlsExtension::SNI(names))) = parse_tls_extension_sni_content(data) else {
        return None;
    };
    let (_, name) = names.into_iter().find(|(kind, _)| *kind == SNIType::HostName)?;
    host_name(name)
}

/// A name of letters, digits, hyphens and underscores; literal addresses are not permitted here and are left out.
pub(super) fn host_name(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=LABEL_MAX_BYTES).contains(&label.len()) && label.bytes().all(plain);
    let valid = name.len() <= NAME_MAX_BYTES && name.split('.').all(label) && name.parse::<IpAddr>().is_err();
    valid.then(|| name.to_ascii_lowercase())
}
