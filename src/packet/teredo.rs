//! Teredo (RFC 4380, section 5.1.1): IPv6 in UDP, behind indications of authentication and of the sender's address.
//!
//! Trailers (RFC 6081) follow the packet, whose own length leaves them out.

use super::tunnel::{Inner, Payload};
use super::{Form, ip};

/// The prefix of every address of Teredo (RFC 4380, section 2.6).
const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];

pub(super) fn open<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    let mut data = outside.data;
    if let [0, 1, client, value, ..] = *data {
        // Both, a nonce of eight bytes, a confirmation.
        let len = usize::from(client)
            .saturating_add(usize::from(value))
            .saturating_add(13);
        data = data.get(len..)?;
    }
    if let [0, 0, ..] = *data {
        data = data.get(8..)?;
    }
    let is_v6 = data.first().is_some_and(|byte| byte >> 4 == 6);
    let sound = is_v6 && ip::fits(data, outside.cut) && [8, 24].into_iter().any(|at| belongs(data.get(at..)));
    sound.then_some(Inner {
        name: "teredo",
        id: None,
        vlan: None,
        form: Form::Ip,
        data,
    })
}

/// One side at least has an address of Teredo, or none yet and asks a router on its link.
fn belongs(address: Option<&[u8]>) -> bool {
    address.is_some_and(|address| {
        address.starts_with(&PREFIX) || matches!(address, [0xfe, second, ..] if second & 0xc0 == 0x80)
    })
}
