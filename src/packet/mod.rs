//! A raw packet becomes a layer 4 view: addresses, ports, control bits and the bounds of the payload. Nothing is copied.
//!
//! Two paths with one meaning. The fast path takes whole Ethernet II frames that carry TCP or UDP directly in IPv4 or
//! IPv6, slice by slice through etherparse; its cost hides in the cache miss of the packet's first line. Whatever it
//! refuses goes through the cold path (`link`, `ip`, `transport`): tags, extension headers, cooked and raw
//! links, cut packets, segmentation offload, and checksums where they are asked for.
//!
//! What is deliberately not here: defragmentation and tunnels.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

mod ip;
mod link;
pub mod steer;
mod transport;

use std::net::IpAddr;

use etherparse::{EtherType, Ethernet2Slice, IpNumber, LaxIpPayloadSlice, LaxIpv4Slice, LaxIpv6Slice, LenSource};
use etherparse::{TcpSlice, UdpHeader, UdpSlice};

use crate::model::net::Endpoint;
use crate::model::packet::{Datagram, Flags, LinkType, Packet, RawPacket, Segment};
use crate::model::stamp::Stamp;

/// What is done about checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksums {
    /// They are not looked at: a capture on the sending host holds packets whose checksums its card had yet to fill in.
    #[default]
    Ignore,
    /// IPv4, TCP and UDP checksums of packets that were captured whole; a wrong one makes the packet undecodable.
    Verify,
}

/// Why a packet gave no view. Each is counted as an undecodable packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// A checksum is wrong ([`Checksums::Verify`]).
    #[error("wrong checksum")]
    Checksum,
    /// A fragment of an IP datagram.
    #[error("fragment of an IP datagram")]
    Fragment,
    /// The link type of the capture is not known.
    #[error("unsupported link type {0}")]
    LinkType(u32),
    /// A header contradicts itself.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Cut by the snap length within the headers.
    #[error("cut within its headers")]
    Truncated,
}

/// The layer 4 view of a packet; [`Packet::Other`] for what is neither TCP nor UDP (ARP, ICMP, IGMP and so on).
///
/// The payload ends where the IP header says, so that link padding never becomes payload.
#[inline]
pub fn decode<'a>(raw: &RawPacket<'a>, policy: Checksums) -> Result<Packet<'a>, Undecodable> {
    if matches!((raw.link, policy), (LinkType::Ethernet, Checksums::Ignore))
        && let Some(packet) = decode_common(raw)
    {
        return Ok(packet);
    }
    decode_any(raw, policy)
}

/// TCP or UDP in IP in Ethernet II, complete; `None` for everything else, right or wrong.
#[inline]
fn decode_common<'a>(raw: &RawPacket<'a>) -> Option<Packet<'a>> {
    let frame = Ethernet2Slice::from_slice_without_fcs(raw.data).ok()?;
    match frame.ether_type() {
        EtherType::IPV4 => {
            let (ip, _) = LaxIpv4Slice::from_slice(frame.payload_slice()).ok()?;
            if ip.payload().len_source != LenSource::Ipv4HeaderTotalLen {
                return None;
            }
            let header = ip.header();
            let ends = (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()));
            common_transport(raw.at, ends, ip.payload())
        }
        EtherType::IPV6 => {
            let (ip, stopped) = LaxIpv6Slice::from_slice(frame.payload_slice()).ok()?;
            if stopped.is_some() || ip.payload().len_source != LenSource::Ipv6HeaderPayloadLen {
                return None;
            }
            let header = ip.header();
            let ends = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
            common_transport(raw.at, ends, ip.payload())
        }
        _ => None,
    }
}

#[inline]
fn common_transport<'a>(at: Stamp, (src, dst): (IpAddr, IpAddr), ip: &LaxIpPayloadSlice<'a>) -> Option<Packet<'a>> {
    if ip.fragmented {
        return None;
    }
    match ip.ip_number {
        IpNumber::TCP => {
            let tcp = TcpSlice::from_slice(ip.payload).ok()?;
            Some(Packet::Tcp(Segment {
                at,
                src: Endpoint::new(src, tcp.source_port()),
                dst: Endpoint::new(dst, tcp.destination_port()),
                seq: tcp.sequence_number(),
                ack: tcp.acknowledgment_number(),
                flags: Flags(*tcp.slice().get(transport::TCP_FLAGS_AT)?),
                payload: tcp.payload(),
                missing: 0,
            }))
        }
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice(ip.payload).ok()?;
            if usize::from(udp.length()) < UdpHeader::LEN {
                return None;
            }
            Some(Packet::Udp(Datagram {
                at,
                src: Endpoint::new(src, udp.source_port()),
                dst: Endpoint::new(dst, udp.destination_port()),
                payload: udp.payload(),
                missing: 0,
            }))
        }
        _ => None,
    }
}

/// Every packet, common or not, with every check.
#[cold]
fn decode_any<'a>(raw: &RawPacket<'a>, policy: Checksums) -> Result<Packet<'a>, Undecodable> {
    // A file may claim a wire length below what it holds.
    let cut = (raw.wire_len as usize).saturating_sub(raw.data.len());
    match link::peel(raw.link, raw.data)? {
        link::Inner::Ip(data) => match ip::open(data, cut, policy)? {
            Some(datagram) => transport::open(raw.at, &datagram, policy),
            None => Ok(Packet::Other),
        },
        link::Inner::Other => Ok(Packet::Other),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
