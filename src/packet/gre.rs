//! GRE (RFC 2784, RFC 2890), version 0, and the ERSPAN sessions in it (draft-foschiano-erspan-03).
//!
//! Version 1 (PPTP) and the source routes of RFC 1701 are not opened. NVGRE (RFC 7637) is GRE with a key and Ethernet
//! in it; its key is told whole, for nothing tells the flow identifier in its last byte from a key of 32 bits.

use etherparse::checksum::Sum16BitWords;

use super::link::{ETHER_BRIDGED, ETHER_IPV4, ETHER_IPV6, opens};
use super::tunnel::{Inner, Payload};
use super::{Checksums, Form, ip};

const CHECKSUM: u16 = 0x8000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// ERSPAN types I and II.
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;

pub(super) fn open<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    let (&[f0, f1, p0, p1], mut rest) = outside.data.split_first_chunk::<4>()?;
    let flags = u16::from_be_bytes([f0, f1]);
    if flags & !(CHECKSUM | KEY | SEQUENCE) != 0 {
        return None;
    }
    if flags & CHECKSUM != 0 {
        // The second half is reserved (RFC 2784, section 2.5).
        let (&[_, _, 0, 0], next) = rest.split_first_chunk::<4>()? else {
            return None;
        };
        rest = next;
        let whole = outside.policy == Checksums::Verify && outside.cut == 0;
        if whole && Sum16BitWords::new().add_slice(outside.data).ones_complement() != 0 {
            return None;
        }
    }
    let mut id = None;
    if flags & KEY != 0 {
        let (key, next) = rest.split_first_chunk::<4>()?;
        (id, rest) = (Some(u32::from_be_bytes(*key)), next);
    }
    if flags & SEQUENCE != 0 {
        rest = rest.get(4..)?;
    }
    let gre = |form, data| Inner {
        name: "gre",
        id,
        vlan: None,
        form,
        data,
    };
    match u16::from_be_bytes([p0, p1]) {
        ERSPAN if flags & SEQUENCE != 0 => erspan_2(rest),
        // Type I has no header of its own, and nothing in that of GRE.
        ERSPAN => (flags == 0).then(|| Inner {
            name: "erspan",
            ..gre(Form::Ethernet, rest)
        }),
        ERSPAN_III => erspan_3(rest),
        ETHER_BRIDGED => Some(gre(Form::Ethernet, rest)),
        kind => Some(gre(Form::Type(kind), rest)),
    }
}

/// In UDP a port is all that announces GRE, so that what is inside has to bear it out.
pub(super) fn open_in_udp<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    let inner = open(outside)?;
    let sound = match inner.form {
        Form::Type(ETHER_IPV4 | ETHER_IPV6) => ip::fits(inner.data, outside.cut),
        Form::Type(kind) => opens(kind),
        _ => true,
    };
    sound.then_some(inner)
}

/// Version 1 and the reserved bits before the port index are all that can be checked.
fn erspan_2(data: &[u8]) -> Option<Inner<'_>> {
    let (&[v, v1, s, s1, r, r1, _, _], rest) = data.split_first_chunk::<8>()?;
    if v >> 4 != 1 || r != 0 || r1 & 0xf0 != 0 {
        return None;
    }
    erspan([v, v1, s, s1], Form::Ethernet, rest)
}

fn erspan_3(data: &[u8]) -> Option<Inner<'_>> {
    let (&[v, v1, s, s1, _, _, _, _, _, _, kind, last], mut rest) = data.split_first_chunk::<12>()?;
    if v >> 4 != 2 {
        return None;
    }
    // The last bit announces a subheader of the platform.
    if last & 1 != 0 {
        rest = rest.get(8..)?;
    }
    let form = match kind >> 2 & 0x1f {
        0 => Form::Ethernet,
        2 => Form::Ip,
        _ => return None,
    };
    erspan([v, v1, s, s1], form, rest)
}

/// Both versions tell VLAN and session at the same place.
fn erspan<'a>([v, v1, s, s1]: [u8; 4], form: Form, data: &'a [u8]) -> Option<Inner<'a>> {
    let vlan = u16::from_be_bytes([v, v1]) & 0x0fff;
    Some(Inner {
        name: "erspan",
        id: Some(u32::from(u16::from_be_bytes([s, s1]) & 0x03ff)),
        vlan: (vlan > 0).then_some(vlan),
        form,
        data,
    })
}
