//! pcapng files (draft-ietf-opsawg-pcapng): several sections of either byte order, several interfaces with their own
//! link type and clock, enhanced, simple and obsolete packet blocks. Other blocks are skipped, also those that hold
//! TLS secrets.
//!
//! A simple packet block has no time: it gets that of the packet before it. The time stamps of two interfaces are put
//! on one clock, but packets are given in the order of the file.

use super::buffer::{Broken, Buffer, MAX_RECORD_BYTES};
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
/// The systemd journal, and the system call events of sysdig: Wireshark numbers them as if they were packets.
const NUMBERED: [u32; 6] = [0x9, 0x204, 0x208, 0x216, 0x221, 0x222];

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

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    resolution: Resolution,
    /// Added to every time stamp.
    offset_seconds: i64,
}

/// From ticks to nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// Ticks shorter than a nanosecond: so many of them make one.
    Divide(u128),
    /// Ticks of so many nanoseconds.
    Multiply(u64),
    /// So many binary digits of a second.
    Shift(u8),
}

impl Clock {
    /// From the options of an interface block (section 4.2): `if_tsresol` 9 and `if_tsoffset` 14.
    fn read(order: Order, mut options: &[u8]) -> Self {
        let mut clock = Self {
            resolution: Resolution::Multiply(1_000),
            offset_seconds: 0,
        };
        while let Some(([c0, c1, l0, l1], rest)) = options.split_first_chunk() {
            let len = usize::from(order.u16([*l0, *l1]));
            let Some(value) = rest.get(..len) else { break };
            match (order.u16([*c0, *c1]), value) {
                (0, _) => break,
                (9, [exponent]) => clock.resolution = Resolution::of(*exponent),
                (14, value) => clock.offset_seconds = value.first_chunk().map_or(0, |bytes| order.i64(*bytes)),
                _ => {}
            }
            options = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        clock
    }

    /// Saturates at the ends of what a [`Timestamp`] can say, in the years 1677 and 2262.
    #[inline]
    fn time(self, ticks: u64) -> Timestamp {
        if let (Resolution::Multiply(factor), 0) = (self.resolution, self.offset_seconds)
            && let Some(nanos) = ticks.checked_mul(factor)
        {
            return Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX));
        }
        let ticks = u128::from(ticks);
        // At most 2^64 times 10^9 each, so that neither product nor sum leaves an i128.
        let nanos = match self.resolution {
            Resolution::Divide(divisor) => ticks / divisor,
            Resolution::Multiply(factor) => ticks * u128::from(factor),
            Resolution::Shift(digits) => (ticks * 1_000_000_000) >> digits,
        };
        let nanos = nanos as i128 + i128::from(self.offset_seconds) * 1_000_000_000;
        Timestamp::from_nanos(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }
}

impl Resolution {
    fn of(exponent: u8) -> Self {
        match exponent {
            0x80.. => Self::Shift(exponent & 0x7f),
            ..=9 => Self::Multiply(10_u64.pow(u32::from(9 - exponent))),
            _ => Self::Divide(10_u128.saturating_pow(u32::from(exponent - 9))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        let nanos = |exponent, offset_seconds, ticks| {
            Clock {
                resolution: Resolution::of(exponent),
                offset_seconds,
            }
            .time(ticks)
            .nanos()
        };
        assert_eq!(nanos(6, 0, 1_795_168_800_000_001), 1_795_168_800_000_001_000);
        assert_eq!(nanos(9, 0, 1_795_168_800_000_000_001), 1_795_168_800_000_000_001);
        assert_eq!(nanos(0, 0, 1_795_168_800), 1_795_168_800_000_000_000);
        assert_eq!(nanos(12, 0, 1_999), 1);
        assert_eq!(nanos(0x8a, 0, 1_795_168_800 * 1024 + 512), 1_795_168_800_500_000_000);
        assert_eq!(nanos(6, -10, 3_000_000), -7_000_000_000);
        assert_eq!(nanos(6, 1_795_168_800, 1), 1_795_168_800_000_001_000);
        assert_eq!(nanos(0, i64::MAX, u64::MAX), i64::MAX);
        assert_eq!(nanos(0, i64::MIN, 0), i64::MIN);
        for exponent in 0..=u8::MAX {
            for ticks in [0, 1, u64::MAX] {
                nanos(exponent, i64::MIN, ticks);
            }
        }
    }

    #[test]
    fn options_in_any_order_and_cut() {
        let options = [
            2, 0, 3, 0, b'e', b't', b'h', 0, 14, 0, 8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0,
        ];
        let read = Clock::read(Order::Little, &options);
        assert_eq!(
            read,
            Clock {
                resolution: Resolution::Multiply(1),
                offset_seconds: 5
            }
        );
        let ended = [[0; 4].as_slice(), &options].concat();
        assert_eq!(Clock::read(Order::Little, &ended).offset_seconds, 0);
        for end in 0..options.len() {
            Clock::read(Order::Big, options.get(..end).unwrap());
        }
    }
}
