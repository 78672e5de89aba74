//! The packets of a datagram, as far as they can be told apart without keys (RFC 9000, sections 12.2 and 17; RFC 8999).

use super::bytes::Bytes;
use super::version::{Kind, Version};

/// Longest connection id of the versions that can be read.
const ID_MAX_BYTES: usize = 20;
/// Bytes that a protected packet has at least behind its header: a packet number with what the sample of header
/// protection needs (RFC 9001, section 5.4.2).
const PROTECTED_MIN_BYTES: usize = 20;
/// Authentication tag of a Retry packet (RFC 9001, section 5.8).
const TAG_BYTES: usize = 16;

const LONG: u8 = 0x80;
/// Set in every packet, unless both ends agreed to vary it (RFC 9287).
const FIXED: u8 = 0x40;

/// One packet of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packet<'a> {
    /// A long header of a version that cannot be read.
    Foreign(Ids<'a>),
    /// A protected packet with a long header.
    Long(Long<'a>),
    /// The server names the versions that it speaks, four bytes each.
    Negotiation(&'a [u8]),
    /// The server wants to see its token in another Initial.
    Retry(Ids<'a>),
    /// A short header: the rest of the datagram.
    Short(&'a [u8]),
}

/// The connection ids of a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids<'a> {
    /// Of the receiver.
    pub(super) destination: &'a [u8],
    /// Of the sender.
    pub(super) source: &'a [u8],
}

/// A protected packet with a long header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long<'a> {
    /// Not `Retry`.
    pub(super) kind: Kind,
    pub(super) version: Version,
    pub(super) ids: Ids<'a>,
    /// From the first byte of the header to the last of the tag.
    pub(super) whole: &'a [u8],
    /// Where in `whole` the packet number is.
    pub(super) number_at: usize,
    /// Whether `whole` ends too soon: the capture cut the datagram.
    pub(super) cut: bool,
    /// Whether the fixed bit is set.
    pub(super) fixed: bool,
}

/// The first packet of what is left of a datagram, and what follows it.
pub(super) fn next(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let mut cursor = Bytes(bytes);
    let first = cursor.byte()?;
    if first & LONG == 0 {
        // Padding behind the last packet begins with a zero; a short header has the fixed bit set.
        return (first & FIXED != 0).then_some((Packet::Short(bytes), &[]));
    }
    let number = cursor.word()?;
    let ids = Ids {
        destination: id(&mut cursor)?,
        source: id(&mut cursor)?,
    };
    if number == 0 {
        let whole_words = !cursor.0.is_empty() && cursor.0.len().is_multiple_of(4);
        return whole_words.then_some((Packet::Negotiation(cursor.0), &[]));
    }
    let Some(version) = Version::parse(number) else {
        return Some((Packet::Foreign(ids), &[]));
    };
    let kind = version.kind(first);
    match kind {
        // A token is never empty.
        Kind::Retry => return (cursor.0.len() > TAG_BYTES).then_some((Packet::Retry(ids), &[])),
        Kind::Initial => _ = cursor.counted()?,
        Kind::Handshake | Kind::ZeroRtt => {}
    }
    let length = usize::try_from(cursor.varint()?).ok()?;
    if length < PROTECTED_MIN_BYTES {
        return None;
    }
    let number_at = bytes.len().checked_sub(cursor.0.len())?;
    let end = number_at.checked_add(length)?;
    let long = Long {
        kind,
        version,
        ids,
        whole: bytes.get(..end).unwrap_or(bytes),
        number_at,
        cut: end > bytes.len(),
        fixed: first & FIXED != 0,
    };
    Some((Packet::Long(long), bytes.get(end..).unwrap_or_default()))
}

/// A short header with a fixed bit that is not set (RFC 9287), where the connection is known: nothing else tells it from
/// what is no packet, and padding, but whether it opens.
pub(super) fn greased(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let short = bytes.first()? & (LONG | FIXED) == 0 && bytes.iter().any(|byte| *byte != 0);
    short.then_some((Packet::Short(bytes), &[]))
}

fn id<'a>(cursor: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let length = usize::from(cursor.byte()?);
    (length <= ID_MAX_BYTES).then(|| cursor.take(length))?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::super::vectors::{self, hex};
    use super::*;

    #[test]
    fn tells_packets_apart() {
        for (text, version) in [(vectors::V1_CLIENT, Version::V1), (vectors::V2_CLIENT, Version::V2)] {
            let datagram = hex(text);
            let (Packet::Long(long), rest) = next(&datagram).unwrap() else {
                panic!("no long header");
            };
            assert_eq!((long.kind, long.version), (Kind::Initial, version));
            assert_eq!(
                (long.ids.destination, long.ids.source),
                (&hex(vectors::DCID)[..], &[][..])
            );
            assert_eq!(
                (long.whole.len(), long.number_at, long.cut, rest),
                (1200, 18, false, &[][..])
            );
        }
        for text in [vectors::V1_RETRY, vectors::V2_RETRY] {
            let datagram = hex(text);
            let Some((Packet::Retry(ids), [])) = next(&datagram) else {
                panic!("no Retry");
            };
            assert_eq!(ids.source, hex("f067a5502a4262b5"));
        }
        let negotiation = hex("8000000000000411223344000000016b3343cf");
        assert!(matches!(next(&negotiation), Some((Packet::Negotiation(_), []))));
        assert!(next(&negotiation[..negotiation.len() - 1]).is_none());
        assert!(matches!(next(&hex(vectors::V1_CHACHA20)), Some((Packet::Short(_), []))));
        assert!(next(&[0; 30]).is_none());
        let foreign = hex("c01a2a3a4a08010203040506070800aabb");
        assert!(matches!(next(&foreign), Some((Packet::Foreign(_), []))));
    }

    #[test]
    fn walks_a_datagram_of_several() {
        let (server, client) = (hex(vectors::V1_SERVER), hex(vectors::V1_CLIENT));
        let datagram = [&server[..], &client, &server].concat();
        let mut rest = &datagram[..];
        let mut lengths = Vec::new();
        while let Some((Packet::Long(long), behind)) = next(rest) {
            assert!(!long.cut);
            lengths.push(long.whole.len());
            rest = behind;
        }
        assert_eq!(lengths, [server.len(), client.len(), server.len()]);
        let (Packet::Long(long), []) = next(&client[..700]).unwrap() else {
            panic!("no long header");
        };
        assert!(long.cut && long.whole.len() == 700);
    }
}
