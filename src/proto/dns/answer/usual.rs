//! The fast way through an answer that is written as resolvers write it: each owner is a compression pointer to where its
//! name stood first, so that two names are the same when their places are, and no name has to be put together.
//!
//! Gives exactly what the general way gives, or nothing: whatever is not plain here (another way to write an owner, other
//! orders, other aliases than CNAME, service bindings, anything malformed) is left to it. A test holds the two together.

use std::net::IpAddr;

use domain::base::Message;
use domain::base::iana::{Class, Rtype};
use domain::base::name::ParsedName;
use domain::dep::octseq::Parser;

use super::{Lead, RECORDS_MAX, believed, note, useful};

/// Where the first question's name begins.
const ASKED_AT: u16 = 12;
/// Type and class behind the name of a question.
const QUESTION_TAIL_LEN: usize = 4;
/// Owner as a pointer, type, class, TTL, length.
const HEAD_LEN: usize = 12;
/// The two top bits of a compression pointer (RFC 1035, section 4.1.4).
const POINTER: u16 = 0xc000;

/// One record whose owner is a pointer.
struct Plain<'m> {
    /// Where its owner stands.
    owner: u16,
    kind: Rtype,
    ttl_secs: u32,
    data: &'m [u8],
}

/// Writes down where the one question leads; `false` when the general way has to, whatever was written.
pub(super) fn leads(message: &Message<[u8]>, out: &mut Vec<Lead>) -> bool {
    walk(message, out).is_some()
}

fn walk(message: &Message<[u8]>, out: &mut Vec<Lead>) -> Option<()> {
    let (octets, counts) = (message.as_slice(), message.header_counts());
    let answers = usize::from(counts.ancount());
    if counts.qdcount() != 1 || answers > RECORDS_MAX {
        return None;
    }
    let mut at = end_of_question(octets)?;
    let (mut place, mut ttl_secs, mut aliases) = (ASKED_AT, u32::MAX, true);
    // Of the alias that was followed last.
    let mut behind = ASKED_AT;
    for _ in 0..answers {
        let record = plain(octets, at)?;
        let data_at = at.saturating_add(HEAD_LEN);
        at = data_at.saturating_add(record.data.len());
        // Signatures of an alias stand behind it.
        if leads_nowhere(record.kind) && [place, behind].contains(&record.owner) {
            continue;
        }
        if record.owner != place {
            return None;
        }
        match record.kind {
            Rtype::CNAME if aliases => {
                behind = std::mem::replace(&mut place, target(octets, data_at, at)?);
                ttl_secs = ttl_secs.min(record.ttl_secs);
            }
            Rtype::A | Rtype::AAAA => {
                aliases = false;
                let addr = match record.kind {
                    Rtype::A => IpAddr::from(<[u8; 4]>::try_from(record.data).ok()?),
                    _ => IpAddr::from(<[u8; 16]>::try_from(record.data).ok()?),
                };
                if let Some(addr) = useful(addr) {
                    let lead = Lead {
                        addr: Some(addr),
                        ttl_secs: ttl_secs.min(record.ttl_secs),
                        service: None,
                    };
                    note(lead, out);
                }
            }
            _ => return None,
        }
    }
    Some(())
}

const fn leads_nowhere(kind: Rtype) -> bool {
    !matches!(
        kind,
        Rtype::A | Rtype::AAAA | Rtype::CNAME | Rtype::DNAME | Rtype::HTTPS | Rtype::SVCB
    )
}

/// Offset behind the first question, whose name was read before.
fn end_of_question(octets: &[u8]) -> Option<usize> {
    let mut at = usize::from(ASKED_AT);
    loop {
        let length = *octets.get(at)?;
        if length >= 64 {
            return None;
        }
        at = at.saturating_add(usize::from(length)).saturating_add(1);
        if length == 0 {
            return Some(at.saturating_add(QUESTION_TAIL_LEN));
        }
    }
}

/// The record at an offset, when it is of class IN and its owner is a pointer.
fn plain(octets: &[u8], at: usize) -> Option<Plain<'_>> {
    let rest = octets.get(at..)?;
    let (head, rest) = rest.split_first_chunk::<HEAD_LEN>()?;
    let [
        owner,
        owner_low,
        kind,
        kind_low,
        class,
        class_low,
        t0,
        t1,
        t2,
        t3,
        length,
        length_low,
    ] = *head;
    let owner = u16::from_be_bytes([owner, owner_low]);
    let class = Class::from_int(u16::from_be_bytes([class, class_low]));
    if owner < POINTER || class != Class::IN {
        return None;
    }
    Some(Plain {
        owner: owner & !POINTER,
        kind: Rtype::from_int(u16::from_be_bytes([kind, kind_low])),
        ttl_secs: believed(u32::from_be_bytes([t0, t1, t2, t3])),
        data: rest.get(..usize::from(u16::from_be_bytes([length, length_low])))?,
    })
}

/// Where the target of an alias stands, whose data lies between two offsets: there, or where a pointer leads.
fn target(octets: &[u8], from: usize, to: usize) -> Option<u16> {
    let mut parser = Parser::from_ref(octets.get(..to)?);
    parser.advance(from).ok()?;
    ParsedName::parse(&mut parser).ok()?;
    if parser.remaining() > 0 {
        return None;
    }
    let first = u16::from_be_bytes(*octets.get(from..)?.first_chunk()?);
    if to.saturating_sub(from) == 2 && first >= POINTER {
        return Some(first & !POINTER);
    }
    u16::try_from(from).ok().filter(|place| *place < POINTER)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::dns::answer::general;

    const CNAME: u16 = 5;
    const SIGNATURE: u16 = 46;

    fn record(out: &mut Vec<u8>, owner: u16, kind: u16, ttl: u32, data: &[u8]) {
        out.extend((POINTER | owner).to_be_bytes());
        out.extend([kind.to_be_bytes(), [0, 1]].concat());
        out.extend(ttl.to_be_bytes());
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }

    /// An answer with these counts of aliases and of addresses of either family, with signatures.
    fn answer(aliases: u8, addresses: u8) -> Vec<u8> {
        let count = (2 * aliases + 2 * addresses + 1).to_be_bytes();
        let mut out = [
            &[0, 7, 0x81, 0x80, 0, 1, 0][..],
            &count,
            &[0; 4],
            b"\x01a\x04test\0\0\x01\0\x01",
        ]
        .concat();
        let mut place = ASKED_AT;
        for number in 0..aliases {
            let at = u16::try_from(out.len() + HEAD_LEN).unwrap();
            let target = [&[1, b'b' + number][..], &[0xc0, 14]].concat();
            record(&mut out, place, CNAME, 300 - u32::from(number), &target);
            record(&mut out, place, SIGNATURE, 300, &[7; 20]);
            place = at;
        }
        for host in 1..=addresses {
            record(&mut out, place, 1, 60, &[10, 0, 0, host]);
            record(
                &mut out,
                place,
                28,
                90,
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host],
            );
        }
        record(&mut out, place, SIGNATURE, 60, &[7; 20]);
        out
    }

    /// What the fast way tells, when it goes all the way; and what the general way tells.
    fn both(octets: &[u8]) -> Option<(Vec<Lead>, Vec<Lead>)> {
        let message = Message::from_slice(octets).ok()?;
        let question = message.question().next()?.ok()?;
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        general(message, question.qname(), &mut slow);
        leads(message, &mut fast).then_some((fast, slow))
    }

    #[test]
    fn goes_all_the_way_where_resolvers_do() {
        for (aliases, addresses) in [(0, 0), (0, 1), (1, 1), (2, 2), (9, 20)] {
            let (fast, slow) = both(&answer(aliases, addresses)).unwrap();
            assert_eq!(
                fast.len(),
                usize::from(2 * addresses).min(crate::proto::dns::answer::LEADS_MAX)
            );
            assert_eq!(fast, slow);
        }
        let mut other = answer(1, 1);
        let owner = other.len() - 32 - 44 + 1;
        other[owner] = 12;
        assert!(both(&other).is_none(), "an address of another name");
    }

    proptest! {
        /// Any bytes changed, any end cut off: both ways tell the same, or the fast one says that it cannot.
        #[test]
        fn tells_what_the_general_way_tells(
            aliases in 0..4_u8,
            addresses in 0..4_u8,
            flips in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), 0..40_u8, Just(0xc0)]), 0..5),
            cut in 0..40_usize,
        ) {
            let mut octets = answer(aliases, addresses);
            for (at, value) in flips {
                let at = at.index(octets.len());
                octets[at] = value;
            }
            octets.truncate(octets.len() - cut.saturating_sub(30));
            if let Some((fast, slow)) = both(&octets) {
                prop_assert_eq!(fast, slow);
            }
        }
    }
}
