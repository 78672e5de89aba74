//! TCP (RFC 9293) and UDP (RFC 768) headers of packets that the fast path refused.
//!
//! Needs only the fixed part of a header: a capture that keeps the first 64 bytes of each packet still shows the flow.
//! Checksums are verified over what was captured whole. Options are not read.

use std::net::IpAddr;

use etherparse::IpNumber;
use etherparse::checksum::Sum16BitWords;

use super::ip::Carried;
use super::{Checksums, Undecodable};
use crate::model::net::Endpoint;
use crate::model::packet::{Datagram, Flags, Packet, Segment};
use crate::model::stamp::Stamp;

/// Offset of the low eight control bits in a TCP header.
pub(super) const TCP_FLAGS_AT: usize = 13;
const TCP_MIN_LEN: usize = 20;
const UDP_LEN: usize = 8;

/// Reads the transport header.
pub(super) fn open<'a>(at: Stamp, ip: &Carried<'a>, policy: Checksums) -> Result<Packet<'a>, Undecodable> {
    match ip.protocol {
        IpNumber::TCP => open_tcp(at, ip, policy).map(Packet::Tcp),
        IpNumber::UDP => open_udp(at, ip, policy).map(Packet::Udp),
        IpNumber::ENCAPSULATING_SECURITY_PAYLOAD => {
            Ok(Packet::Encrypted(u32::try_from(ip.wire_len).unwrap_or(u32::MAX)))
        }
        _ => Ok(Packet::Other),
    }
}

fn open_tcp<'a>(at: Stamp, ip: &Carried<'a>, policy: Checksums) -> Result<Segment<'a>, Undecodable> {
    if ip.wire_len < TCP_MIN_LEN {
        return Err(Undecodable::Malformed("TCP length"));
    }
    let Some(
        &[
            s0,
            s1,
            d0,
            d1,
            q0,
            q1,
            q2,
            q3,
            a0,
            a1,
            a2,
            a3,
            offset,
            flags,
            _,
            _,
            _,
            _,
            _,
            _,
        ],
    ) = ip.data.first_chunk::<TCP_MIN_LEN>()
    else {
        return Err(Undecodable::Truncated);
    };
    let header_len = usize::from(offset >> 4).saturating_mul(4);
    if header_len < TCP_MIN_LEN || header_len > ip.wire_len {
        return Err(Undecodable::Malformed("TCP data offset"));
    }
    verify(ip, ip.data, policy)?;
    let payload = ip.data.get(header_len..).unwrap_or_default();
    Ok(Segment {
        at,
        src: Endpoint::new(ip.src, u16::from_be_bytes([s0, s1])),
        dst: Endpoint::new(ip.dst, u16::from_be_bytes([d0, d1])),
        seq: u32::from_be_bytes([q0, q1, q2, q3]),
        ack: u32::from_be_bytes([a0, a1, a2, a3]),
        flags: Flags(flags),
        payload,
        missing: missing(ip.wire_len.saturating_sub(header_len), payload),
    })
}

fn open_udp<'a>(at: Stamp, ip: &Carried<'a>, policy: Checksums) -> Result<Datagram<'a>, Undecodable> {
    if ip.wire_len < UDP_LEN {
        return Err(Undecodable::Malformed("UDP length"));
    }
    let Some((&[s0, s1, d0, d1, l0, l1, c0, c1], rest)) = ip.data.split_first_chunk::<UDP_LEN>() else {
        return Err(Undecodable::Truncated);
    };
    let len = match usize::from(u16::from_be_bytes([l0, l1])) {
        // A jumbogram (RFC 2675, section 4).
        0 => ip.wire_len,
        given if given < UDP_LEN => return Err(Undecodable::Malformed("UDP length")),
        given => given.min(ip.wire_len),
    };
    // A checksum of 0 says that there is none.
    if [c0, c1] != [0, 0] {
        verify(ip, ip.data.get(..len).unwrap_or(ip.data), policy)?;
    }
    let wire_len = len.saturating_sub(UDP_LEN);
    let payload = rest.get(..wire_len).unwrap_or(rest);
    Ok(Datagram {
        at,
        src: Endpoint::new(ip.src, u16::from_be_bytes([s0, s1])),
        dst: Endpoint::new(ip.dst, u16::from_be_bytes([d0, d1])),
        payload,
        missing: missing(wire_len, payload),
    })
}

fn missing(wire_len: usize, payload: &[u8]) -> u32 {
    u32::try_from(wire_len.saturating_sub(payload.len())).unwrap_or(u32::MAX)
}

/// Compares the checksum over pseudo header and transport packet, where all of it is there.
fn verify(ip: &Carried<'_>, packet: &[u8], policy: Checksums) -> Result<(), Undecodable> {
    if policy == Checksums::Ignore || !ip.summable || ip.data.len() < ip.wire_len {
        return Ok(());
    }
    let Ok(len) = u32::try_from(packet.len()) else {
        return Ok(());
    };
    let mut sum = Sum16BitWords::new();
    for addr in [ip.src, ip.dst] {
        sum = match addr {
            IpAddr::V4(addr) => sum.add_4bytes(addr.octets()),
            IpAddr::V6(addr) => sum.add_16bytes(addr.octets()),
        };
    }
    // The length is 16 bits wide under IPv4 and 32 under IPv6: the same sum.
    sum = sum
        .add_4bytes(len.to_be_bytes())
        .add_2bytes([0, ip.protocol.0])
        .add_slice(packet);
    if sum.ones_complement() == 0 {
        Ok(())
    } else {
        Err(Undecodable::Checksum)
    }
}
