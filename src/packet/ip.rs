//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers with their extensions, down to the transport header.
//!
//! The length of the payload comes from the IP header, never from the capture. A length of 0 is what a host with
//! segmentation offload captures of its own oversized packets (and what a jumbogram has, RFC 2675): there the payload
//! goes on to the end of the packet.
//!
//! Deliberately no defragmentation: a fragment is refused, a fragment header around a whole datagram (RFC 6946) is not.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::err::ipv6_exts::HeaderSliceError;
use etherparse::{IpNumber, Ipv4Header, Ipv6ExtensionSlice, Ipv6Header, LaxIpv4Slice, LaxIpv6Slice, LenSource};

use super::{Checksums, Undecodable};

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

/// Reads the IP header; `cut` bytes are missing behind `data`. `None` for what carries no transport header.
pub(super) fn open(data: &[u8], cut: usize, policy: Checksums) -> Result<Option<Carried<'_>>, Undecodable> {
    match data.first().map(|byte| byte >> 4) {
        Some(4) => open_v4(data, cut, policy).map(Some),
        Some(6) => open_v6(data, cut),
        Some(_) => Err(Undecodable::Malformed("IP version")),
        None => Err(Undecodable::Truncated),
    }
}

fn open_v4(data: &[u8], cut: usize, policy: Checksums) -> Result<Carried<'_>, Undecodable> {
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
    if payload.fragmented {
        return Err(Undecodable::Fragment);
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
    Ok(Carried {
        src: header.source_addr().into(),
        dst: header.destination_addr().into(),
        protocol: payload.ip_number,
        data: payload.payload,
        wire_len: wire_len.saturating_sub(captured.min(wire_len).saturating_sub(payload.payload.len())),
        // A source route (RFC 791, section 3.1) replaces the destination on the way.
        summable: payload.len_source == LenSource::Ipv4HeaderTotalLen && header.options().is_empty(),
    })
}

fn open_v6(data: &[u8], cut: usize) -> Result<Option<Carried<'_>>, Undecodable> {
    let (ip, stopped) = LaxIpv6Slice::from_slice(data).map_err(|_| short_or(data, Ipv6Header::LEN, "IPv6 header"))?;
    let (header, payload) = (ip.header(), ip.payload());
    if payload.fragmented {
        return Err(Undecodable::Fragment);
    }
    match stopped {
        None => {}
        Some((HeaderSliceError::Len(_), _)) if payload.incomplete || cut > 0 => return Err(Undecodable::Truncated),
        Some(_) => return Err(Undecodable::Malformed("IPv6 extension header")),
    }
    if payload.ip_number == IpNumber::IPV6_NO_NEXT_HEADER {
        return Ok(None);
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
    Ok(Some(Carried {
        src: header.source_addr().into(),
        dst: header.destination_addr().into(),
        protocol: payload.ip_number,
        data: payload.payload,
        wire_len: wire_len.saturating_sub(extensions),
        summable: payload.len_source == LenSource::Ipv6HeaderPayloadLen && !routed,
    }))
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
