//! Clocks of pcapng interfaces (draft-ietf-opsawg-pcapng, section 4.2): ticks of any power of ten or two, with an
//! offset, to nanoseconds.
//!
//! Never overflows: what lies outside the years 1677 to 2262 is the nearest moment within. Does not know local time.

use super::record::Order;
use crate::model::stamp::Timestamp;

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
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
    pub(super) fn read(order: Order, mut options: &[u8]) -> Self {
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
    pub(super) fn time(self, ticks: u64) -> Timestamp {
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
