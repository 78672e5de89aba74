//! Link headers of every supported link type, and what EtherTypes announce, down to the IP header.
//!
//! Ethernet II with any stack of VLAN tags (IEEE 802.1Q, 802.1ad and their forerunners), LLC/SNAP (RFC 1042), Linux
//! cooked v1 and v2, BSD loopback in both byte orders, raw IP (<https://www.tcpdump.org/linktypes.html>), PPPoE sessions
//! (RFC 2516); MPLS is in `mpls`. Which version of IP follows is read from the IP header itself.
//!
//! Deliberately not here: 802.1ah, TRILL, MACsec and PPP over anything else are of no interest.

use super::{Form, Undecodable, Wrapped, mpls};
use crate::model::packet::{LinkType, Outer};

/// Tags in front of one packet: two are common, three are seen; more than this is not a frame that a switch forwards.
const MAX_TAGS: usize = 8;

pub(super) const ETHER_IPV4: u16 = 0x0800;
pub(super) const ETHER_IPV6: u16 = 0x86dd;
/// Transparent Ethernet bridging, in GRE and GENEVE.
pub(super) const ETHER_BRIDGED: u16 = 0x6558;
pub(super) const ETHER_MPLS: u16 = 0x8847;
const ETHER_MPLS_UPSTREAM: u16 = 0x8848;
const ETHER_PPPOE_SESSION: u16 = 0x8864;
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// MPLS control protocol's unicast data (RFC 3032, section 4.3).
const PPP_MPLS: u16 = 0x0281;
/// Below this an EtherType field is a length (IEEE 802.3, section 3.2.6).
const ETHER_MIN_TYPE: u16 = 0x0600;
const LLC_SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];

/// What a capture of this link type starts with; `cut` bytes are missing behind `data`.
pub(super) fn first(link: LinkType, data: &[u8], cut: usize) -> Result<Wrapped<'_>, Undecodable> {
    let (form, data) = match link {
        LinkType::Ethernet => (Form::Ethernet, data),
        LinkType::LinuxSll => {
            let (_head, rest) = split::<14>(data)?;
            let (kind, rest) = split::<2>(rest)?;
            (Form::Type(u16::from_be_bytes(*kind)), rest)
        }
        LinkType::LinuxSll2 => {
            let (kind, rest) = split::<2>(data)?;
            let (_tail, rest) = split::<18>(rest)?;
            (Form::Type(u16::from_be_bytes(*kind)), rest)
        }
        LinkType::Null | LinkType::Loop => {
            let (family, rest) = split::<4>(data)?;
            // The writer of the file may have had either byte order; the values leave no doubt which.
            match u32::from_be_bytes(*family).min(u32::from_le_bytes(*family)) {
                2 | 24 | 28 | 30 => (Form::Ip, rest),
                _ => (Form::Unknown, rest),
            }
        }
        LinkType::Datagram | LinkType::RawIp => (Form::Ip, data),
        LinkType::Unsupported(number) => return Err(Undecodable::LinkType(number)),
    };
    Ok(Wrapped { form, data, cut })
}

/// Takes an Ethernet header off.
pub(super) fn ethernet<'a>(here: Wrapped<'a>, outer: &mut Outer) -> Result<Wrapped<'a>, Undecodable> {
    let (_addresses, rest) = split::<12>(here.data)?;
    let (kind, data) = split::<2>(rest)?;
    typed(u16::from_be_bytes(*kind), Wrapped { data, ..here }, outer)
}

/// Takes off what an EtherType announces.
pub(super) fn typed<'a>(mut kind: u16, here: Wrapped<'a>, outer: &mut Outer) -> Result<Wrapped<'a>, Undecodable> {
    let mut data = here.data;
    for _ in 0..MAX_TAGS {
        match kind {
            ETHER_IPV4 | ETHER_IPV6 => return Ok(here.as_form(Form::Ip, data)),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                let (tag, rest) = split::<2>(data)?;
                let (inner, rest) = split::<2>(rest)?;
                // Number 0 is no VLAN: such a tag says a priority only.
                let vlan = u16::from_be_bytes(*tag) & 0x0fff;
                outer.vlan = (vlan > 0).then_some(vlan).or(outer.vlan);
                (kind, data) = (u16::from_be_bytes(*inner), rest);
            }
            ETHER_MPLS | ETHER_MPLS_UPSTREAM => return Ok(mpls::open(here.as_form(Form::Unknown, data), outer)),
            ETHER_PPPOE_SESSION => return Ok(pppoe(here.as_form(Form::Unknown, data), outer)),
            ..ETHER_MIN_TYPE => {
                let Some(rest) = data.strip_prefix(&LLC_SNAP) else {
                    return Ok(here.as_form(Form::Unknown, data));
                };
                let (inner, rest) = split::<2>(rest)?;
                (kind, data) = (u16::from_be_bytes(*inner), rest);
            }
            _ => return Ok(here.as_form(Form::Unknown, data)),
        }
    }
    Err(Undecodable::Malformed("VLAN tags"))
}

/// Whether [`typed`] takes this off: what a frame that was only guessed at must announce.
pub(super) const fn opens(kind: u16) -> bool {
    matches!(
        kind,
        ETHER_IPV4
            | ETHER_IPV6
            | 0x8100
            | 0x88a8
            | 0x9100
            | 0x9200
            | ETHER_MPLS
            | ETHER_MPLS_UPSTREAM
            | ETHER_PPPOE_SESSION
    )
}

/// PPPoE session (RFC 2516, section 4): version 1, type 1, code 0. Its length leaves padding behind.
fn pppoe<'a>(here: Wrapped<'a>, outer: &mut Outer) -> Wrapped<'a> {
    let unknown = here.as_form(Form::Unknown, here.data);
    let Some((&[0x11, 0, s0, s1, l0, l1, p0, p1], data)) = here.data.split_first_chunk::<8>() else {
        return unknown;
    };
    // The protocol field counts into the length.
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let Some(len) = len
        .checked_sub(2)
        .filter(|len| *len <= data.len().saturating_add(here.cut))
    else {
        return unknown;
    };
    let form = match u16::from_be_bytes([p0, p1]) {
        PPP_IPV4 | PPP_IPV6 => Form::Ip,
        PPP_MPLS => Form::Type(ETHER_MPLS),
        _ => return unknown,
    };
    *outer = Outer {
        tunnel: Some("pppoe"),
        id: Some(u32::from(u16::from_be_bytes([s0, s1]))),
        ends: None,
        ..*outer
    };
    Wrapped {
        form,
        data: data.get(..len).unwrap_or(data),
        cut: len.saturating_sub(data.len()),
    }
}

fn split<const N: usize>(data: &[u8]) -> Result<(&[u8; N], &[u8]), Undecodable> {
    data.split_first_chunk().ok_or(Undecodable::Truncated)
}
