//! The ClientHello (RFC 8446, section 4.1.2): the server name (RFC 6066, section 3) and whether an encrypted
//! ClientHello (RFC 9849) hides the real one.
//!
//! The fixed part and the name list are read by the crate `tls-parser`. The extensions are walked here by their lengths
//! alone, because one malformed or unheard-of extension (grease, RFC 8701) must not hide the name behind it. Does not
//! keep cipher suites, groups, ALPN or versions: nothing asks for them.

use std::net::IpAddr;

use tls_parser::{SNIType, TlsExtension, parse_tls_extension_sni_content, parse_tls_handshake_client_hello};

/// Extension numbers of IANA's registry.
const SERVER_NAME: u16 = 0;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Longest name, in bytes (RFC 1035, section 2.3.4, without length octets).
const NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;

/// What a ClientHello says in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    /// Lower case, without a final dot.
    pub(super) sni: Option<String>,
    /// An encrypted ClientHello is present.
    pub(super) ech: bool,
}

impl Hello {
    /// Reads the body of the handshake message, or as much of it as there is; `None` when the fixed part is not whole.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (after, fixed) = parse_tls_handshake_client_hello(body).ok()?;
        let mut hello = Self::default();
        // Extensions that end too soon are left unread by the crate, with their length in front.
        let cut = after.get(2..).unwrap_or_default();
        let mut rest = fixed.ext.unwrap_or(cut);
        while let Some((kind, data, next)) = extension(rest) {
            match kind {
                ENCRYPTED_CLIENT_HELLO => hello.ech = true,
                SERVER_NAME if hello.sni.is_none() => hello.sni = server_name(data),
                _ => {}
            }
            rest = next;
        }
        Some(hello)
    }
}

/// Number and content of the next extension, and what follows it.
fn extension(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let ([kind_high, kind_low, high, low], rest) = bytes.split_first_chunk::<4>()?;
    let (data, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((u16::from_be_bytes([*kind_high, *kind_low]), data, next))
}

fn server_name(data: &[u8]) -> Option<String> {
    let Ok((_, TlsExtension::SNI(names))) = parse_tls_extension_sni_content(data) else {
        return None;
    };
    let (_, name) = names.into_iter().find(|(kind, _)| *kind == SNIType::HostName)?;
    host_name(name)
}

/// A name of letters, digits, hyphens and underscores; literal addresses are not permitted here and are left out.
fn host_name(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=LABEL_MAX_BYTES).contains(&label.len()) && label.bytes().all(plain);
    let valid = name.len() <= NAME_MAX_BYTES && name.split('.').all(label) && name.parse::<IpAddr>().is_err();
    valid.then(|| name.to_ascii_lowercase())
}
