//! The fast path: TCP or UDP directly in IPv4 or IPv6, whole, in Ethernet or in whatever was taken off before.
//!
//! Slice by slice through etherparse. It refuses whatever needs a second look, and never says why.

use std::net::IpAddr;

use etherparse::{EtherType, Ethernet2Slice, IpNumber, LaxIpPayloadSlice, LaxIpv4Slice, LaxIpv6Slice, LenSource};
use etherparse::{TcpSlice, UdpHeader, UdpSlice};

use super::transport;
use crate::model::net::Endpoint;
use crate::model::packet::{Datagram, Flags, Packet, RawPacket, Segment};
use crate::model::stamp::Stamp;

/// TCP or UDP in IP in Ethernet II, complete; `None` for everything else, right or wrong.
#[inline]
pub(super) fn decode_common<'a>(raw: &RawPacket<'a>) -> Option<Packet<'a>> {
    let frame = Ethernet2Slice::from_slice_without_fcs(raw.data).ok()?;
    match frame.ether_type() {
        EtherType::IPV4 => common_v4(raw.at, frame.payload_slice()),
        EtherType::IPV6 => common_v6(raw.at, frame.payload_slice()),
        _ => None,
    }
}

/// The same of what was inside something.
pub(super) fn common_ip(at: Stamp, data: &[u8]) -> Option<Packet<'_>> {
    match data.first().map(|byte| byte >> 4) {
        Some(4) => common_v4(at, data),
        Some(6) => common_v6(at, data),
        _ => None,
    }
}

#[inline]
fn common_v4(at: Stamp, data: &[u8]) -> Option<Packet<'_>> {
    let (ip, _) = LaxIpv4Slice::from_slice(data).ok()?;
    if ip.payload().len_source != LenSource::Ipv4HeaderTotalLen {
        return None;
    }
    let header = ip.header();
    let ends = (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()));
    common_transport(at, ends, ip.payload())
}

#[inline]
fn common_v6(at: Stamp, data: &[u8]) -> Option<Packet<'_>> {
    let (ip, stopped) = LaxIpv6Slice::from_slice(data).ok()?;
    if stopped.is_some() || ip.payload().len_source != LenSource::Ipv6HeaderPayloadLen {
        return None;
    }
    let header = ip.header();
    let ends = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
    common_transport(at, ends, ip.payload())
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
