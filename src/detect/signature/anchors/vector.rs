//! The search for windows with wide registers: 32 bytes at a time (AVX2), where the processor has them.
//!
//! The one place of `detect` with unsafe code: a function with instructions of its own may only be called once the
//! processor is known to have them, and a register is loaded from a reference. What it finds is held to what a table of
//! bytes finds by a property test (`buckets.rs`).
//!
//! Why it is worth it: on a busy machine anchors were found at 0.8 to 2.6 GB/s, by the kind of text, where an automaton over
//! the same words went through 0.2 to 0.5 GB/s; a quarter of the time of a replay of MCP is still spent here.

#[cfg(target_arch = "x86_64")]
pub(super) use self::x86::{find, is_there};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::buckets::{BLOCK_BYTES, Block, GROUPS, Halves, PAIR_BYTES, Places, WINDOW_BYTES};

    /// Bytes of a register.
    const WIDTH: usize = 32;
    /// Places that are written at once.
    const AT_ONCE: u32 = 8;

    /// Whether the processor can.
    pub(in super::super) fn is_there() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("popcnt")
    }

    /// See `Buckets::find`. Finds nothing where [`is_there`] says no.
    pub(in super::super) fn find(
        halves: &[Halves; WINDOW_BYTES],
        block: &Block,
        pairs: usize,
        places: &mut Places,
    ) -> usize {
        if !is_there() {
            return 0;
        }
        // SAFETY: the processor has the instructions.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            search(halves, block, pairs, places)
        }
    }

    #[target_feature(enable = "avx2,bmi1,popcnt")]
    fn search(halves: &[Halves; WINDOW_BYTES], block: &Block, pairs: usize, places: &mut Places) -> usize {
        let tables = halves
            .each_ref()
            .map(|place| std::array::from_fn(|group| (load(&place.low[group]), load(&place.high[group]))));
        let shifted: [&[[u8; WIDTH]]; WINDOW_BYTES] =
            std::array::from_fn(|by| block[by..by + BLOCK_BYTES].as_chunks::<WIDTH>().0);
        let mut count = 0;
        for pair in 0..pairs.min(BLOCK_BYTES / PAIR_BYTES) {
            let mask = |number: usize| -> u32 {
                let registers: [__m256i; WINDOW_BYTES] = std::array::from_fn(|by| load(&shifted[by][number]));
                allowed(&tables, &registers)
            };
            let mut rest = u64::from(mask(2 * pair)) | u64::from(mask(2 * pair + 1)) << WIDTH;
            let (base, found) = ((pair * PAIR_BYTES) as u16, rest.count_ones());
            // Eight are written whether there are so many or not: that costs less than to mispredict their number.
            let mut written = 0;
            while written < found {
                let Some(room) = places
                    .get_mut(count + written as usize..)
                    .and_then(<[u16]>::first_chunk_mut::<8>)
                else {
                    break;
                };
                for place in room {
                    *place = base.wrapping_add(rest.trailing_zeros() as u16);
                    rest &= rest.wrapping_sub(1);
                }
                written += AT_ONCE;
            }
            count += found as usize;
        }
        count
    }

    type Tables = [[(__m256i, __m256i); GROUPS]; WINDOW_BYTES];

    /// A bit for each of 32 places: one bucket allows all of its window.
    #[target_feature(enable = "avx2")]
    fn allowed(tables: &Tables, registers: &[__m256i; WINDOW_BYTES]) -> u32 {
        let nibble = _mm256_set1_epi8(0x0f);
        let mut all = [_mm256_set1_epi8(-1); GROUPS];
        for (place, register) in tables.iter().zip(registers) {
            let low = _mm256_and_si256(*register, nibble);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(*register), nibble);
            for (buckets, (lows, highs)) in all.iter_mut().zip(place) {
                let here = _mm256_and_si256(_mm256_shuffle_epi8(*lows, low), _mm256_shuffle_epi8(*highs, high));
                *buckets = _mm256_and_si256(*buckets, here);
            }
        }
        let mut any = _mm256_setzero_si256();
        for group in all {
            any = _mm256_or_si256(any, group);
        }
        let none = _mm256_cmpeq_epi8(any, _mm256_setzero_si256());
        !_mm256_movemask_epi8(none) as u32
    }

    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; WIDTH]) -> __m256i {
        // SAFETY: the reference is to 32 bytes, and the load asks for no alignment.
        #[allow(unsafe_code, reason = "see the module")]
        unsafe {
            _mm256_loadu_si256(bytes.as_ptr().cast())
        }
    }
}

/// Other processors have their own instructions, and use the table of bytes.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const fn is_there() -> bool {
    false
}

/// See [`is_there`].
#[cfg(not(target_arch = "x86_64"))]
pub(super) const fn find(
    _: &[super::buckets::Halves; super::buckets::WINDOW_BYTES],
    _: &super::buckets::Block,
    _: usize,
    _: &mut super::buckets::Places,
) -> usize {
    0
}
