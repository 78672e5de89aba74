//! What a stream's first bytes are.

use crate::model::net::Direction;
use crate::proto::tls::frame::{
    CHANGE_CIPHER_SPEC, HANDSHAKE, MESSAGE_HEADER_LEN, RECORD_HEADER_LEN, record_length as length_of,
};
use crate::proto::tls::hello::{CLIENT_HELLO, SERVER_HELLO};
use crate::stream::layer::{Prefix, Probe};

/// Length of an SSLv2 hello up to its lists, with its header, in bytes (RFC 5246, appendix E.2).
const SSL2_HELLO_LEN: usize = 11;

/// The probe of the row.
pub(super) fn probe(prefix: &Prefix<'_>) -> Probe {
    let [to_server, to_client] = prefix.bytes;
    let kinds = [(to_server, Direction::ToServer), (to_client, Direction::ToClient)]
        .map(|(bytes, dir)| (kind(bytes, prefix.from_start), dir));
    for (kind, dir) in kinds {
        match kind {
            Kind::ClientHello => {
                return Probe::Yes {
                    server: Some(dir.flip()),
                };
            }
            Kind::ServerHello => return Probe::Yes { server: Some(dir) },
            Kind::Other | Kind::Protected | Kind::Short => {}
        }
    }
    let [(first, _), (second, _)] = kinds;
    match (first, second) {
        (Kind::Other, _) | (_, Kind::Other) => Probe::No,
        (Kind::Protected, _) | (_, Kind::Protected) => Probe::Yes { server: None },
        _ => Probe::More,
    }
}

/// What the first bytes of one direction are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A record that opens with a ClientHello, or an SSLv2 hello that offers TLS.
    ClientHello,
    /// No TLS.
    Other,
    /// Records as they stand midway; encrypted as a rule.
    Protected,
    /// A record that opens with a ServerHello.
    ServerHello,
    /// As far as they have come they may be TLS.
    Short,
}

/// Recognises the first bytes of one direction; `from_start` when nothing was sent before them.
fn kind(bytes: &[u8], from_start: bool) -> Kind {
    if from_start && bytes.first().is_some_and(|high| high & 0x80 != 0) {
        return ssl2(bytes);
    }
    let Some(header) = bytes.first_chunk::<RECORD_HEADER_LEN>() else {
        // What is missing is filled up with what would fit.
        let length = if bytes.first() == Some(&CHANGE_CIPHER_SPEC) {
            1
        } else {
            2
        };
        let mut filled = [HANDSHAKE, 3, 3, 0, length];
        filled.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        return if length_of(filled).is_some() {
            Kind::Short
        } else {
            Kind::Other
        };
    };
    let Some(length) = length_of(*header) else {
        return Kind::Other;
    };
    let body = bytes.get(RECORD_HEADER_LEN..).unwrap_or_default();
    match (header[0], body.first()) {
        (HANDSHAKE, None) => Kind::Short,
        (HANDSHAKE, Some(&CLIENT_HELLO)) if opens_hello(body, length) => Kind::ClientHello,
        (HANDSHAKE, Some(&SERVER_HELLO)) if opens_hello(body, length) => Kind::ServerHello,
        (HANDSHAKE, Some(_)) if from_start => Kind::Other,
        _ if records_follow(bytes) => Kind::Protected,
        _ => Kind::Other,
    }
}

/// Whether a record of `length` bytes goes on as a hello does: a message under 64 KiB, then version 3.x. Bytes
/// that are not there yet, or that stand in the next record, do not speak against it.
fn opens_hello(body: &[u8], length: usize) -> bool {
    let body = body.get(..length).unwrap_or(body);
    body.get(1).is_none_or(|high| *high == 0) && body.get(MESSAGE_HEADER_LEN).is_none_or(|major| *major == 3)
}

/// An SSLv2 hello that offers SSL 3.0 or TLS: a record of the old form whose three lists fill it exactly.
fn ssl2(bytes: &[u8]) -> Kind {
    let expected = |at: usize, fits: fn(u8) -> bool| bytes.get(at).is_none_or(|byte| fits(*byte));
    let opens =
        expected(2, |kind| kind == CLIENT_HELLO) && expected(3, |major| major == 3) && expected(4, |minor| minor <= 4);
    let Some(head) = bytes.first_chunk::<SSL2_HELLO_LEN>().filter(|_| opens) else {
        return if opens { Kind::Short } else { Kind::Other };
    };
    let [high, low, _, _, _, fields @ ..] = *head;
    let [ciphers, session, challenge] =
        [[fields[0], fields[1]], [fields[2], fields[3]], [fields[4], fields[5]]].map(u16::from_be_bytes);
    let announced = u16::from_be_bytes([high & 0x7f, low]);
    let lists = [9, ciphers, session, challenge]
        .into_iter()
        .try_fold(0_u16, u16::checked_add);
    let plausible =
        ciphers > 0 && ciphers.is_multiple_of(3) && matches!(session, 0 | 16) && (16..=32).contains(&challenge);
    if plausible && lists == Some(announced) {
        Kind::ClientHello
    } else {
        Kind::Other
    }
}

/// Whether record follows record, as far as the bytes go.
fn records_follow(mut bytes: &[u8]) -> bool {
    while let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_LEN>() {
        let Some(length) = length_of(*header) else { return false };
        bytes = rest.get(length..).unwrap_or_default();
    }
    true
}
