//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers with their extensions, down to the transport header.
//!
//! The length of the payload comes from the IP header, never from the capture. A length of 0 is what a host with
//! segmentation offload captures of its own oversized packets (and what a jumbogram has, RFC 2675): there the payload
//! goes on to the end of the packet.
//!
//! Fragments are taken apart here and put together in `defrag`; a fragment header around a whole datagram (RFC 6946)
//! is a header like any other.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::checksum::Sum16BitWords;
use etherparse::err::ipv6_exts::HeaderSliceError;
use etherparse::{IpNumber, Ipv4Header, Ipv6ExtensionSlice, Ipv6Header, LaxIpv4Slice, LaxIpv6Slice, LenSource};

use super::defrag::{Fragment, Key};
use super::{Checksums, Undecodable};

/// Most bytes that a datagram of IPv4 carries: its length is told with its header.
const V4_MAX_BYTES: usize = 65_515;
/// Most bytes that a datagram of IPv6 carries; a jumbogram is never in fragments (RFC 2675, section 3).
const V6_MAX_BYTES: usize = 65_535;

/// Extension headers in front of a fragment header: there are four kinds.
const MAX_EXTENSIONS: usize = 8;

/// What a sound IP header has behind it.
pub(super) enum Opened<'a> {
    Carried(Carried<'a>),
    Fragment(Fragment<'a>),
    /// No header of a transport.
    Nothing,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried<'a> {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// TCP, UDP or anything else.
    pub(super) protocol: IpNumber,
    /// Captured bytes from the transport header on.
    pub(super) data: &'a [u8],
    /// How many there were on the wire; at least `data.len()`.
    pub(super) wire_len: usize,
    /// Whether the transport checksum can be computed: nothing is cut, and the addresses are those it was made with.
    pub(super) summable: bool,
}

/// Reads the IP header; `cut` bytes are missing behind `data`.
pub(super) fn open(data: &[u8], cut: usize, policy: Checksums) -> Result<Opened<'_>, Undecodable> {
    match data.first().map(|byte| byte >> 4) {
        Some(4) => open_v4(data, cut, policy),
        Some(6) => open_v6(data, cut),
        Some(_) => Err(Undecodable::Malformed("IP version")),
        None => Err(Undecodable::Truncated),
    }
}

/// Whether this can be an IP packet, by its version and lengths: for tunnels that do not say what is inside.
pub(super) fn fits(data: &[u8], cut: usize) -> bool {
    let there = data.len().saturating_add(cut);
    match *data {
        [first @ 0x45..=0x4f, _, l0, l1, ..] => {
            let header_len = usize::from(first & 0x0f).saturating_mul(4);
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            header_len <= len && len <= there
        }
        [0x60..=0x6f, _, _, _, l0, l1, ..] => {
            usize::from(u16::from_be_bytes([l0, l1])).saturating_add(Ipv6Header::LEN) <= there
        }
        _ => false,
    }
}

fn open_v4(data: &[u8], cut: usize, policy: Checksums) -> Result<Opened<'_>, Undecodable> {
    let (ip, stopped) =
        LaxIpv4Slice::from_slice(data).map_err(|_| short_or(data, Ipv4Header::MIN_LEN, "IPv4 header"))?;
    let (header, payload) = (ip.header(), ip.payload());
    let header_len = header.slice().len();
    let total_len = usize::from(header.total_len());
    if total_len != 0 && total_len < header_len {
        return Err(Undecodable::Malformed("IPv4 total length"));
    }
    // The sum over a header includes its checksum field and is then 0 (RFC 1071).
    if policy == Checksums::Verify && Sum16BitWords::new().add_slice(header.slice()).ones_complement() != 0 {
        return Err(Undecodable::Checksum);
    }
    // A source route (RFC 791, section 3.1) replaces the destination on the way.
    let routed = !header.options().is_empty();
    if payload.fragmented {
        let key = Key {
            src: header.source_addr().into(),
            dst: header.destination_addr().into(),
            protocol: header.protocol().0,
            id: u32::from(header.identification()),
        };
        let offset = usize::from(header.fragments_offset().value()).saturating_mul(8);
        let end = total_len.min(data.len());
        return Ok(Opened::Fragment(Fragment {
            key,
            protocol: key.protocol,
            offset,
            more: header.more_fragments(),
            data: piece(
                data.get(header_len..end),
                offset,
                header.more_fragments(),
                (total_len, V4_MAX_BYTES),
                data.len(),
            )?,
            routed,
        }));
    }
    if stopped.is_some() {
        return Err(if payload.incomplete {
            Undecodable::Truncated
        } else {
            Undecodable::Malformed("IPv4 extension")
        });
    }
    let captured = data.len().saturating_sub(header_len);
    let wire_len = if total_len == 0 {
        captured.saturating_add(cut)
    } else {
        total_len.saturating_sub(header_len)
    };
    Ok(Opened::Carried(Carried {
        src: header.source_addr().into(),
        dst: header.destination_addr().into(),
        protocol: payload.ip_number,
        data: payload.payload,
        wire_len: wire_len.saturating_sub(captured.min(wire_len).saturating_sub(payload.payload.len())),
        summable: payload.len_source == LenSource::Ipv4HeaderTotalLen && !routed,
    }))
}

fn open_v6(data: &[u8], cut: usize) -> Result<Opened<'_>, Undecodable> {
    let (ip, stopped) = LaxIpv6Slice::from_slice(data).map_err(|_| short_or(data, Ipv6Header::LEN, "IPv6 header"))?;
    let (header, payload) = (ip.header(), ip.payload());
    if payload.fragmented {
        return fragment_v6(data, header.source_addr(), header.destination_addr()).map(Opened::Fragment);
    }
    match stopped {
        None => {}
        Some((HeaderSliceError::Len(_), _)) if payload.incomplete || cut > 0 => return Err(Undecodable::Truncated),
        Some(_) => return Err(Undecodable::Malformed("IPv6 extension header")),
    }
    if payload.ip_number == IpNumber::IPV6_NO_NEXT_HEADER {
        return Ok(Opened::Nothing);
    }
    let captured = data.len().saturating_sub(Ipv6Header::LEN);
    let wire_len = match usize::from(header.payload_length()) {
        0 => captured.saturating_add(cut),
        given => given,
    };
    let extensions = captured.min(wire_len).saturating_sub(payload.payload.len());
    let routed = ip
        .extensions()
        .clone()
        .into_iter()
        .any(|part| matches!(part, Ipv6ExtensionSlice::Routing(_)));
    Ok(Opened::Carried(Carried {
        src: header.source_addr().into(),
        dst: header.destination_addr().into(),
        protocol: payload.ip_number,
        data: payload.payload,
        wire_len: wire_len.saturating_sub(extensions),
        summable: payload.len_source == LenSource::Ipv6HeaderPayloadLen && !routed,
    }))
}

/// Walks to the fragment header: what is behind it is no header yet.
fn fragment_v6(data: &[u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<Fragment<'_>, Undecodable> {
    let (header, mut rest) = data
        .split_first_chunk::<{ Ipv6Header::LEN }>()
        .ok_or(Undecodable::Truncated)?;
    let &[_, _, _, _, l0, l1, mut next, ..] = header;
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let (whole, captured) = (len.saturating_add(Ipv6Header::LEN), data.len());
    rest = rest.get(..len).unwrap_or(rest);
    let mut routed = false;
    for _ in 0..MAX_EXTENSIONS {
        let &[following, units, o0, o1, ..] = rest else {
            return Err(Undecodable::Truncated);
        };
        if next == IpNumber::IPV6_FRAGMENTATION_HEADER.0 {
            let (&[protocol, _, _, _, i0, i1, i2, i3], data) =
                rest.split_first_chunk::<8>().ok_or(Undecodable::Truncated)?;
            let (offset, more) = (usize::from(u16::from_be_bytes([o0, o1]) & !7), o1 & 1 != 0);
            return Ok(Fragment {
                key: Key {
                    src: src.into(),
                    dst: dst.into(),
                    // Each fragment may name another one; that of the first counts (RFC 8200, section 4.5).
                    protocol: 0,
                    id: u32::from_be_bytes([i0, i1, i2, i3]),
                },
                protocol,
                offset,
                more,
                data: piece(Some(data), offset, more, (whole, V6_MAX_BYTES), captured)?,
                routed,
            });
        }
        let len = match IpNumber(next) {
            // In units of four bytes, less two (RFC 4302, section 2.2).
            IpNumber::AUTHENTICATION_HEADER => usize::from(units).saturating_add(2).saturating_mul(4),
            _ => usize::from(units).saturating_add(1).saturating_mul(8),
        };
        routed |= IpNumber(next) == IpNumber::IPV6_ROUTE_HEADER;
        rest = rest.get(len..).ok_or(Undecodable::Truncated)?;
        next = following;
    }
    Err(Undecodable::Malformed("IPv6 extension header"))
}

/// The bytes of a fragment, checked: it was captured whole, is not empty, ends where another can begin, and ends within
/// the longest datagram.
fn piece(
    data: Option<&[u8]>,
    offset: usize,
    more: bool,
    (whole, max): (usize, usize),
    captured: usize,
) -> Result<&[u8], Undecodable> {
    if captured < whole {
        return Err(Undecodable::Truncated);
    }
    let aligned = |data: &&[u8]| !more || data.len().is_multiple_of(8);
    let within = |data: &&[u8]| !data.is_empty() && offset.saturating_add(data.len()) <= max;
    data.filter(aligned)
        .filter(within)
        .ok_or(Undecodable::Malformed("fragment"))
}

fn short_or(data: &[u8], min_len: usize, what: &'static str) -> Undecodable {
    // A header longer than the capture is cut as well, when its fixed part is sound: IHL 5 to 15.
    let v4_options = data.first().is_some_and(|byte| byte >> 4 == 4 && byte & 0x0f >= 5);
    if data.len() < min_len || v4_options {
        Undecodable::Truncated
    } else {
        Undecodable::Malformed(what)
    }
}
