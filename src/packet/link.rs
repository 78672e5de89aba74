//! Link headers of every supported link type, down to the IP header.
//!
//! Ethernet II with any stack of VLAN tags (IEEE 802.1Q, 802.1ad and their forerunners), LLC/SNAP (RFC 1042), Linux
//! cooked v1 and v2, BSD loopback in both byte orders, raw IP (<https://www.tcpdump.org/linktypes.html>). Which version
//! of IP follows is read from the IP header itself.
//!
//! Deliberately no tunnels: MPLS, PPPoE and the like are [`Inner::Other`].

use super::Undecodable;
use crate::model::packet::LinkType;

/// Tags in front of one packet: two are common, three are seen; more than this is not a frame that a switch forwards.
const MAX_TAGS: usize = 8;

const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;
/// Below this an EtherType field is a length (IEEE 802.3, section 3.2.6).
const ETHER_MIN_TYPE: u16 = 0x0600;
const LLC_SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];

/// What lies behind the link header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner<'a> {
    /// An IP packet of either version, possibly followed by link padding.
    Ip(&'a [u8]),
    /// Something that is no IP.
    Other,
}

/// Takes the link header off.
pub(super) fn peel(link: LinkType, data: &[u8]) -> Result<Inner<'_>, Undecodable> {
    match link {
        LinkType::Ethernet => {
            let (_addresses, rest) = split::<12>(data)?;
            let (kind, rest) = split::<2>(rest)?;
            by_ether_type(u16::from_be_bytes(*kind), rest)
        }
        LinkType::LinuxSll => {
            let (_head, rest) = split::<14>(data)?;
            let (kind, rest) = split::<2>(rest)?;
            by_ether_type(u16::from_be_bytes(*kind), rest)
        }
        LinkType::LinuxSll2 => {
            let (kind, rest) = split::<2>(data)?;
            let (_tail, rest) = split::<18>(rest)?;
            by_ether_type(u16::from_be_bytes(*kind), rest)
        }
        LinkType::Null | LinkType::Loop => {
            let (family, rest) = split::<4>(data)?;
            // The writer of the file may have had either byte order; the values leave no doubt which.
            Ok(match u32::from_be_bytes(*family).min(u32::from_le_bytes(*family)) {
                2 | 24 | 28 | 30 => Inner::Ip(rest),
                _ => Inner::Other,
            })
        }
        LinkType::RawIp => Ok(Inner::Ip(data)),
        LinkType::Unsupported(number) => Err(Undecodable::LinkType(number)),
    }
}

fn by_ether_type(mut kind: u16, mut data: &[u8]) -> Result<Inner<'_>, Undecodable> {
    for _ in 0..MAX_TAGS {
        match kind {
            ETHER_IPV4 | ETHER_IPV6 => return Ok(Inner::Ip(data)),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                let (_tag, rest) = split::<2>(data)?;
                let (inner, rest) = split::<2>(rest)?;
                (kind, data) = (u16::from_be_bytes(*inner), rest);
            }
            ..ETHER_MIN_TYPE => {
                let Some(rest) = data.strip_prefix(&LLC_SNAP) else {
                    return Ok(Inner::Other);
                };
                let (inner, rest) = split::<2>(rest)?;
                (kind, data) = (u16::from_be_bytes(*inner), rest);
            }
            _ => return Ok(Inner::Other),
        }
    }
    Err(Undecodable::Malformed("VLAN tags"))
}

fn split<const N: usize>(data: &[u8]) -> Result<(&[u8; N], &[u8]), Undecodable> {
    data.split_first_chunk().ok_or(Undecodable::Truncated)
}
