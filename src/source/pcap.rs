//! Classic pcap files (draft-ietf-opsawg-pcap): both byte orders, micro- and nanoseconds, and the "modified" variant
//! with a longer record header.
//!
//! Lenient where tools are: a captured length above the wire length is believed, the version is not looked at.
//! Deliberately does not repair: what follows a damaged record is not searched for.

use super::buffer::{Broken, Buffer, MAX_RECORD_BYTES};
use super::record::{Frame, Order, Record};
use crate::model::packet::LinkType;
use crate::model::stamp::Timestamp;

pub(super) const HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;
/// Interface index, protocol and packet type that the modified variant puts behind each record header.
const MODIFIED_EXTRA_BYTES: usize = 8;

/// What the header of the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pcap {
    order: Order,
    nanos_per_tick: i64,
    record_header_bytes: usize,
    link: LinkType,
}

impl Pcap {
    /// Whether a file with these first bytes is of this format.
    pub(super) fn knows(magic: [u8; 4]) -> bool {
        Self::variant(magic).is_some()
    }

    fn variant(magic: [u8; 4]) -> Option<(Order, i64, usize)> {
        [Order::Big, Order::Little]
            .into_iter()
            .find_map(|order| match order.u32(magic) {
                0xa1b2_c3d4 => Some((order, 1_000, RECORD_HEADER_BYTES)),
                0xa1b2_3c4d => Some((order, 1, RECORD_HEADER_BYTES)),
                0xa1b2_cd34 => Some((order, 1_000, RECORD_HEADER_BYTES + MODIFIED_EXTRA_BYTES)),
                _ => None,
            })
    }

    /// Reads the header of the file.
    pub(super) fn open(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let [m0, m1, m2, m3, .., l0, l1, l2, l3] = *header;
        let (order, nanos_per_tick, record_header_bytes) = Self::variant([m0, m1, m2, m3])?;
        // The upper half says whether and how long a frame check sequence is.
        let link = LinkType::from_number(order.u32([l0, l1, l2, l3]) & 0xffff);
        Some(Self {
            order,
            nanos_per_tick,
            record_header_bytes,
            link,
        })
    }

    /// The next packet; `None` at the end of the file.
    #[inline]
    pub(super) fn next(&self, buffer: &mut Buffer) -> Result<Option<Record>, Broken> {
        if !buffer.want(self.record_header_bytes)? {
            return if buffer.ahead().is_empty() {
                Ok(None)
            } else {
                Err(buffer.cut("a packet header"))
            };
        }
        let Some([seconds, ticks, captured, wire_len]) = self.order.words(buffer.ahead()) else {
            return Err(buffer.cut("a packet header"));
        };
        let len = (captured as usize).saturating_add(self.record_header_bytes);
        if len > MAX_RECORD_BYTES {
            return Err(buffer.broken(format!("a packet claims {captured} bytes")));
        }
        if !buffer.want(len)? {
            return Err(buffer.cut("a packet"));
        }
        let record = buffer.consume(len);
        Ok(Some(Record::Packet(Frame {
            time: Timestamp::from_parts(i64::from(seconds), i64::from(ticks) * self.nanos_per_tick),
            link: self.link,
            place: record.start + self.record_header_bytes..record.end,
            wire_len: wire_len.max(captured),
        })))
    }
}
