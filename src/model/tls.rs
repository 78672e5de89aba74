//! What TLS says in clear, before it encrypts: what a client offers, what its server settles.

use std::fmt;

use crate::model::server::Encryption;

/// Length of a JA4 fingerprint in characters.
pub const JA4_LEN: usize = 36;

/// A TLS client's fingerprint (JA4, FoxIO): it names the software that a client is built on, never what it is used for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ja4([u8; JA4_LEN]);

impl Ja4 {
    /// From its characters; `None` when one of them cannot be part of a fingerprint.
    pub fn from_ascii(text: [u8; JA4_LEN]) -> Option<Self> {
        text.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            .then_some(Self(text))
    }

    /// The hash of the cipher suites: the same for all connections of one TLS library as it is set up, resumed or not.
    pub fn ciphers(&self) -> [u8; 12] {
        self.0
            .get(11..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or_default()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a ClientHello says in clear (RFC 8446, section 4.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Tls<'a> {
    /// Server name (RFC 6066), lower case, without a final dot.
    pub sni: Option<&'a str>,
    /// What it opens: TLS, also over datagrams, or QUIC.
    pub encryption: Encryption,
    /// Whether an encrypted ClientHello extension hides the inner name, or looks as if it did.
    pub ech: bool,
    /// Whether numbers that mean nothing (RFC 8701) are among what the client offers: browsers send them.
    pub grease: bool,
    /// Protocols that the client offers to speak inside (RFC 7301), the preferred one first; any bytes.
    pub alpn: &'a [&'a [u8]],
    /// Versions that the client offers, as on the wire, without grease; empty when the hello names none beyond its own.
    pub versions: &'a [u16],
    /// Fingerprint of the client; `None` when the hello was cut.
    pub ja4: Option<Ja4>,
}

/// What a server's first flight says in clear (RFC 8446, section 4.1.3; RFC 5246, sections 7.4.1.3 and 7.4.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsAnswer<'a> {
    /// The version that is spoken, as on the wire: 0x0304 is TLS 1.3.
    pub version: u16,
    /// The cipher suite that was chosen, as IANA numbers it.
    pub cipher: u16,
    /// The protocol inside, where it stands in clear: up to TLS 1.2.
    pub alpn: Option<&'a [u8]>,
    /// Numbers of the extensions, in the order sent.
    pub extensions: &'a [u16],
    /// Whether the client named the server: then the names of a certificate say nothing new.
    pub named: bool,
    /// The server's certificate, where it stands in clear: up to TLS 1.2, and not when a session is resumed.
    pub certificate: Option<Certificate<'a>>,
}

/// Whom a certificate is for and from. Nothing here was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// Common name of the subject, or the whole subject where it has none.
    pub subject: &'a str,
    /// Likewise of the issuer.
    pub issuer: &'a str,
    /// DNS names and addresses it is for, lower case, in the order sent.
    pub names: &'a [String],
}
