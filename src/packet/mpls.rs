//! MPLS label stacks (RFC 3032) and the Ethernet pseudowires in them (RFC 4448, RFC 8469).
//!
//! Nothing in a label says what follows: its first four bits do (RFC 4928), and where they may as well be those of a
//! hardware address, lengths and EtherTypes must bear it out. Neither opened are associated channels (RFC 5586) and
//! pseudowires of other kinds.

use super::link::opens;
use super::{Form, Wrapped, ip};
use crate::model::packet::Outer;

/// Labels of one stack: four are common, a traffic-engineered path has ten.
const MAX_LABELS: usize = 16;

/// Bottom of stack, in a label stack entry.
const BOTTOM: u32 = 0x100;
/// Announces operation and maintenance, no traffic (RFC 5586, section 4).
const GENERIC_ASSOCIATED_CHANNEL: u32 = 13;

/// Takes a label stack off.
pub(super) fn open<'a>(here: Wrapped<'a>, outer: &mut Outer) -> Wrapped<'a> {
    let mut rest = here.data;
    for _ in 0..MAX_LABELS {
        let Some((entry, next)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let entry = u32::from_be_bytes(*entry);
        rest = next;
        if entry & BOTTOM == 0 {
            continue;
        }
        let label = entry >> 12;
        let Some((form, data)) = inside(rest, here.cut).filter(|_| label != GENERIC_ASSOCIATED_CHANNEL) else {
            break;
        };
        *outer = Outer {
            tunnel: Some("mpls"),
            id: Some(label),
            ends: None,
            ..*outer
        };
        return here.as_form(form, data);
    }
    here.as_form(Form::Unknown, here.data)
}

fn inside(data: &[u8], cut: usize) -> Option<(Form, &[u8])> {
    if ip::fits(data, cut) {
        return Some((Form::Ip, data));
    }
    // A control word: four zero bits, reserved zeros, a sequence number (RFC 4448, section 4.6).
    let bare = data.strip_prefix(&[0, 0]).and_then(|rest| rest.get(2..));
    [bare, Some(data)]
        .into_iter()
        .flatten()
        .find(|frame| announces(frame))
        .map(|frame| (Form::Ethernet, frame))
}

/// Whether this can be an Ethernet frame that is of interest.
fn announces(frame: &[u8]) -> bool {
    let kind = frame.get(12..).and_then(|rest| rest.first_chunk::<2>());
    kind.is_some_and(|kind| opens(u16::from_be_bytes(*kind)))
}
