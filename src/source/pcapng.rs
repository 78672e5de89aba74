//! pcapng files (draft-ietf-opsawg-pcapng): several sections of either byte order, several interfaces with their own
//! link type and clock, enhanced, simple and obsolete packet blocks, and blocks with secrets of TLS. Other blocks are
//! skipped, also those with secrets of anything else.
//!
//! A simple packet block has no time: it gets that of the packet before it. The time stamps of two interfaces are put
//! on one clock, but packets are given in the order of the file.

use std::ops::Range;

use super::buffer::{Broken, Buffer, MAX_RECORD_BYTES};
use super::clock::Clock;
use super::record::{Frame, Order, Record};
use crate::model::packet::LinkType;
use crate::model::stamp::Timestamp;

/// Interfaces of one section: more cannot be named by a tool that captures.
const MAX_INTERFACES: usize = 65_536;

/// Type, length, and the length again.
const BLOCK_MIN_BYTES: usize = 12;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;
/// Secrets of the kind "TLSK": an NSS key log.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// The systemd journal, system call events of sysdig and custom blocks: Wireshark numbers them as if they were packets.
const NUMBERED: [u32; 8] = [0x9, 0x204, 0x208, 0x216, 0x221, 0x222, 0xbad, 0x4000_0bad];

/// What the blocks so far say about those to come.
#[derive(Debug)]
pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
    last: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    /// 0: no limit.
    snap_len: u32,
    clock: Clock,
}

impl Pcapng {
    /// Whether a file with these first bytes is of this format.
    pub(super) fn knows(magic: [u8; 4]) -> bool {
        u32::from_be_bytes(magic) == SECTION
    }

    pub(super) const fn new() -> Self {
        Self {
            order: Order::Little,
            interfaces: Vec::new(),
            last: Timestamp::from_nanos(0),
        }
    }

    /// The next packet; `None` at the end of the file.
    #[inline]
    pub(super) fn next(&mut self, buffer: &mut Buffer) -> Result<Option<Record>, Broken> {
        loop {
            if !buffer.want(BLOCK_MIN_BYTES)? {
                return if buffer.ahead().is_empty() {
                    Ok(None)
                } else {
                    Err(buffer.cut("a block header"))
                };
            }
            let kind = self.kind(buffer)?;
            let Some([_, len]) = self.order.words(buffer.ahead()) else {
                return Err(buffer.cut("a block header"));
            };
            if (len as usize) < BLOCK_MIN_BYTES || len % 4 != 0 {
                return Err(buffer.broken(format!("a block claims {len} bytes")));
            }
            if let Some(record) = self.block(kind, len, buffer)? {
                return Ok(Some(record));
            }
        }
    }

    /// Type of the block ahead. A section header sets the byte order before its own length can be read.
    #[inline]
    fn kind(&mut self, buffer: &Buffer) -> Result<u32, Broken> {
        let Some([kind, _, byte_order]) = self.order.words(buffer.ahead()) else {
            return Err(buffer.cut("a block header"));
        };
        if kind != SECTION {
            return Ok(kind);
        }
        self.order = match (self.order, byte_order) {
            (order, 0x1a2b_3c4d) => order,
            (Order::Little, 0x4d3c_2b1a) => Order::Big,
            (Order::Big, 0x4d3c_2b1a) => Order::Little,
            _ => return Err(buffer.broken("a section header without byte order")),
        };
        self.interfaces.clear();
        Ok(kind)
    }

    #[inline]
    fn block(&mut self, kind: u32, len: u32, buffer: &mut Buffer) -> Result<Option<Record>, Broken> {
        let known = matches!(kind, INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
        if len as usize > MAX_RECORD_BYTES {
            return if known {
                Err(buffer.broken(format!("a block claims {len} bytes")))
            } else {
                self.skip_large(kind, len, buffer)
            };
        }
        if !buffer.want(len as usize)? {
            return Err(buffer.cut("a block"));
        }
        let block = buffer.ahead().get(..len as usize).unwrap_or_default();
        if block.last_chunk().map(|word| self.order.u32(*word)) != Some(len) {
            return Err(buffer.broken("the two lengths of a block differ"));
        }
        let body = block.get(8..block.len() - 4).unwrap_or_default();
        let found = match kind {
            ENHANCED_PACKET => self.enhanced(body).map(Some),
            INTERFACE => self.interface(body).map(|()| None),
            OBSOLETE_PACKET => self.obsolete(body).map(Some),
            SIMPLE_PACKET => self.simple(body).map(Some),
            DECRYPTION_SECRETS => {
                let text = self.key_log(body);
                let start = buffer.consume(len as usize).start + 8;
                return Ok(text.map(|text| Record::Secrets(start + text.start..start + text.end)));
            }
            _ => Ok(None),
        };
        let found = found.map_err(|what| buffer.broken(what))?;
        let start = buffer.consume(len as usize).start;
        Ok(match found {
            Some(frame) => {
                self.last = frame.time;
                let place = start + 8 + frame.place.start..start + 8 + frame.place.end;
                Some(Record::Packet(Frame { place, ..frame }))
            }
            None => NUMBERED.contains(&kind).then_some(Record::Skipped),
        })
    }

    /// A block that is of no interest and larger than the buffer may be.
    #[cold]
    fn skip_large(&self, kind: u32, len: u32, buffer: &mut Buffer) -> Result<Option<Record>, Broken> {
        let cut = buffer.cut("a large block");
        if buffer.skip(u64::from(len))? {
            Ok(NUMBERED.contains(&kind).then_some(Record::Skipped))
        } else {
            Err(cut)
        }
    }

    /// Section 4.2 of the draft.
    fn interface(&mut self, body: &[u8]) -> Result<(), &'static str> {
        let (Some([l0, l1, ..]), Some([_, snap_len])) = (body.first_chunk::<4>(), self.order.words(body)) else {
            return Err("an interface block is too short");
        };
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err("too many interfaces");
        }
        let link = LinkType::from_number(u32::from(self.order.u16([*l0, *l1])));
        let clock = Clock::read(self.order, body.get(8..).unwrap_or_default());
        self.interfaces.push(Interface { link, snap_len, clock });
        Ok(())
    }

    /// Section 4.3.
    #[inline]
    fn enhanced(&self, body: &[u8]) -> Result<Frame, &'static str> {
        let words = self.order.words(body).ok_or("a packet block is too short")?;
        let [interface, high, low, captured, wire_len] = words;
        self.frame(interface, ticks(high, low), 20, captured, wire_len, body)
    }

    /// Appendix A of the draft.
    fn obsolete(&self, body: &[u8]) -> Result<Frame, &'static str> {
        let (Some([i0, i1, ..]), Some(words)) = (body.first_chunk::<4>(), self.order.words(body)) else {
            return Err("a packet block is too short");
        };
        let [_, high, low, captured, wire_len] = words;
        self.frame(
            u32::from(self.order.u16([*i0, *i1])),
            ticks(high, low),
            20,
            captured,
            wire_len,
            body,
        )
    }

    #[inline]
    fn frame(
        &self,
        interface: u32,
        ticks: u64,
        from: usize,
        captured: u32,
        wire_len: u32,
        body: &[u8],
    ) -> Result<Frame, &'static str> {
        let interface = self
            .interfaces
            .get(interface as usize)
            .ok_or("a packet of an unknown interface")?;
        let place = from..(captured as usize).saturating_add(from);
        if place.end > body.len() {
            return Err("a packet is longer than its block");
        }
        let time = interface.clock.time(ticks);
        Ok(Frame {
            time,
            link: interface.link,
            place,
            wire_len: wire_len.max(captured),
        })
    }

    /// Section 4.7: where the text of a key log lies in the body, as much of it as there is.
    fn key_log(&self, body: &[u8]) -> Option<Range<usize>> {
        let [kind, len] = self.order.words(body)?;
        let end = (len as usize).saturating_add(8).min(body.len());
        (kind == TLS_KEY_LOG).then_some(8..end)
    }

    /// Section 4.4: always the first interface, and a length of its own only where the snap length did not cut.
    fn simple(&self, body: &[u8]) -> Result<Frame, &'static str> {
        let [wire_len] = self.order.words(body).ok_or("a packet block is too short")?;
        let interface = self.interfaces.first().ok_or("a packet of an unknown interface")?;
        let limit = if interface.snap_len == 0 {
            u32::MAX
        } else {
            interface.snap_len
        };
        let place = 4..(wire_len.min(limit) as usize).saturating_add(4);
        if place.end > body.len() {
            return Err("a packet is longer than its block");
        }
        Ok(Frame {
            time: self.last,
            link: interface.link,
            place,
            wire_len,
        })
    }
}

#[inline]
fn ticks(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
