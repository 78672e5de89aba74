//! Packets on their way from one worker to another: one contiguous buffer, and an index of what lies where.
//!
//! Filled by the worker that captured them, read by the one that they belong to, handed back and used again: no allocation per packet once the buffers have grown. It knows no queue and no thread.

use crate::model::packet::{LinkType, Outer, RawPacket};
use crate::model::stamp::Stamp;

/// Packets of one batch: short ones are bounded by their number, long ones by their bytes.
const MAX_PACKETS: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    index: Vec<Place>,
}

/// Where a packet lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: Stamp,
    link: LinkType,
    offset: usize,
    len: usize,
    wire_len: u32,
    outer: Option<Outer>,
}

impl Batch {
    /// Whether a packet of `len` bytes still fits below the bound. An empty batch takes any packet: a snap length may be
    /// longer than a batch.
    pub fn fits(&self, len: usize, max_bytes: usize) -> bool {
        self.is_empty() || (self.index.len() < MAX_PACKETS && self.bytes.len().saturating_add(len) <= max_bytes)
    }

    /// Copies a packet, with what was around it before it was put together.
    pub fn push(&mut self, raw: &RawPacket<'_>, outer: Option<Outer>) {
        self.index.push(Place {
            at: raw.at,
            link: raw.link,
            offset: self.bytes.len(),
            len: raw.data.len(),
            wire_len: raw.wire_len,
            outer,
        });
        self.bytes.extend_from_slice(raw.data);
    }

    /// The packets, in the order in which they came.
    pub fn packets(&self) -> impl Iterator<Item = (RawPacket<'_>, Option<Outer>)> {
        self.index.iter().map(|place| {
            let rest = self.bytes.get(place.offset..);
            let raw = RawPacket {
                at: place.at,
                link: place.link,
                data: rest.and_then(|rest| rest.get(..place.len)).unwrap_or_default(),
                wire_len: place.wire_len,
            };
            (raw, place.outer)
        })
    }

    /// Number of packets.
    pub const fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// When and which the first packet was.
    pub fn first(&self) -> Option<Stamp> {
        self.index.first().map(|place| place.at)
    }

    /// Forgets the packets and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::model::stamp::Timestamp;

    /// Any, that depends on a number.
    fn outer(number: u32) -> Option<Outer> {
        (number % 2 == 1).then(|| Outer {
            id: Some(number),
            ..Outer::default()
        })
    }

    proptest! {
        /// What goes in comes out, also after the batch was used before.
        #[test]
        fn gives_back_what_it_was_given(
            packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<i64>(), 0_u32..99), 0..30),
            used: bool,
        ) {
            let raw = |(data, time, more): &(Vec<u8>, i64, u32)| {
                let at = Stamp { time: Timestamp::from_nanos(*time), source: 3, packet: 0 };
                (at, LinkType::LinuxSll, data.clone(), data.len() as u32 + more)
            };
            let mut batch = Batch::default();
            if used {
                batch.push(&RawPacket { at: Stamp::default(), link: LinkType::Ethernet, data: b"old", wire_len: 3 }, None);
                batch.clear();
            }
            let expect: Vec<_> = packets.iter().map(raw).collect();
            for (at, link, data, wire_len) in &expect {
                batch.push(&RawPacket { at: *at, link: *link, data, wire_len: *wire_len }, outer(*wire_len));
            }
            let got: Vec<_> = batch.packets().map(|(raw, around)| {
                prop_assert_eq!(around, outer(raw.wire_len));
                Ok((raw.at, raw.link, raw.data.to_vec(), raw.wire_len))
            }).collect::<Result<_, TestCaseError>>()?;
            prop_assert_eq!(&got, &expect);
            prop_assert_eq!((batch.len(), batch.first()), (expect.len(), expect.first().map(|first| first.0)));
        }
    }

    #[test]
    fn bounds_hold_but_for_one_giant() {
        let packet = |data| RawPacket {
            at: Stamp::default(),
            link: LinkType::Ethernet,
            data,
            wire_len: 0,
        };
        let mut batch = Batch::default();
        assert!(batch.fits(1_000, 100));
        batch.push(&packet(&[0; 60]), None);
        assert!(batch.fits(40, 100) && !batch.fits(41, 100));
        batch.clear();
        for _ in 0..MAX_PACKETS {
            assert!(batch.fits(0, 100));
            batch.push(&packet(&[]), None);
        }
        assert!(!batch.fits(0, 100));
    }
}
