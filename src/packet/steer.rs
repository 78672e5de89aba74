//! The key of a flow, and which of the 256 slices of the flow space it lies in.
//!
//! Both directions of a flow give the same key: its ends stand in the order of (address, port). Three integers instead
//! of 37 bytes halve the cost of the flow table. The hash is fixed, so that the flow space is cut the same way in every
//! run and for every number of workers; whoever fears a flood aimed at one slice gives it a key, and then
//! compares only runs of the same key. It is no defence of a hash table: the flow table has its own, seeded hasher.

use std::net::IpAddr;

use crate::model::net::{Endpoint, Transport};

/// Into how many slices the flow space is cut. Caps belong to slices, a worker owns whole slices.
pub const SLICES: usize = 256;

/// Digits of pi, so that nothing is up anybody's sleeve.
const PI: [u64; 4] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
];

/// A flow, without direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Address of the lower end; IPv4 as `::ffff:a.b.c.d`.
    pub low: u128,
    /// Address of the higher end.
    pub high: u128,
    /// Address family (bit 40), transport (bits 32-39), lower end's port (bits 16-31), higher end's port (bits 0-15).
    pub rest: u64,
}

/// The key of a flow, and whether `src` is its lower end.
#[inline]
pub fn key(src: Endpoint, dst: Endpoint, transport: Transport) -> (FlowKey, bool) {
    let (src_addr, dst_addr) = (bits(src.addr), bits(dst.addr));
    let src_is_low = (src_addr, src.port) <= (dst_addr, dst.port);
    let (low, low_port, high, high_port) = if src_is_low {
        (src_addr, src.port, dst_addr, dst.port)
    } else {
        (dst_addr, dst.port, src_addr, src.port)
    };
    // Without the family an IPv4-mapped IPv6 flow would be the IPv4 flow that it maps.
    let rest = u64::from(src.addr.is_ipv6()) << 40
        | u64::from(transport.number()) << 32
        | u64::from(low_port) << 16
        | u64::from(high_port);
    (FlowKey { low, high, rest }, src_is_low)
}

#[inline]
fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// How the flow space is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steering {
    /// 0 is the fixed cut.
    pub key: u64,
}

impl Steering {
    /// The slice of a flow: the top byte of its hash.
    #[inline]
    pub fn slice(self, flow: &FlowKey) -> u8 {
        self.hash(flow).to_be_bytes()[0]
    }

    /// All 64 bits well mixed; a table may use them for its own look-up.
    #[inline]
    pub fn hash(self, flow: &FlowKey) -> u64 {
        let [k0, k1, k2, k3] = PI;
        let (low, high) = (halves(flow.low), halves(flow.high));
        let first = fold(low.0 ^ k0 ^ self.key, low.1 ^ k1);
        let second = fold(high.0 ^ first, high.1 ^ k2);
        mix(fold(flow.rest ^ second, k3 ^ self.key.rotate_left(32)) ^ first)
    }
}

const fn halves(number: u128) -> (u64, u64) {
    ((number >> 64) as u64, number as u64)
}

/// Both halves of the 128-bit product.
fn fold(a: u64, b: u64) -> u64 {
    let (high, low) = halves(u128::from(a).wrapping_mul(u128::from(b)));
    high ^ low
}

/// Finaliser of `MurmurHash3` (Austin Appleby, public domain): every bit in changes every bit out.
const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn end(addr: impl Into<IpAddr>, port: u16) -> Endpoint {
        Endpoint::new(addr.into(), port)
    }

    proptest! {
        #[test]
        fn both_directions_have_one_key(a: Ipv6Addr, b: Ipv6Addr, p: u16, q: u16, v4: bool, same: bool) {
            let b = if same { a } else { b };
            let cut = |addr: Ipv6Addr| -> IpAddr {
                if v4 { Ipv4Addr::from_bits(addr.to_bits() as u32).into() } else { addr.into() }
            };
            let (x, y) = (end(cut(a), p), end(cut(b), q));
            let ((there, low), (back, high)) = (key(x, y, Transport::Tcp), key(y, x, Transport::Tcp));
            prop_assert_eq!(there, back);
            prop_assert!(low != high || x == y);
            prop_assert_eq!(Steering::default().slice(&there), Steering::default().slice(&back));
            prop_assert_ne!(there, key(x, y, Transport::Udp).0);
            prop_assert!(x.addr == y.addr || p == q || there != key(end(x.addr, q), end(y.addr, p), Transport::Tcp).0);
        }
    }

    #[test]
    fn a_mapped_address_is_another_flow() {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let plain = key(end(a, 1), end(b, 2), Transport::Tcp).0;
        let mapped = key(end(a.to_ipv6_mapped(), 1), end(b.to_ipv6_mapped(), 2), Transport::Tcp).0;
        assert_eq!((plain.low, plain.high), (mapped.low, mapped.high));
        assert_ne!(plain, mapped);
    }

    /// Another cut would move flows to other slices, and with them what a cap evicts.
    #[test]
    fn the_cut_is_fixed() {
        let flow = key(end([10, 0, 0, 1], 40_000), end([10, 0, 0, 2], 443), Transport::Tcp).0;
        assert_eq!(Steering::default().hash(&flow), FIXED);
        assert_ne!(Steering { key: 1 }.hash(&flow), FIXED);
    }

    const FIXED: u64 = 4_237_715_909_688_213_774;

    fn spread(name: &str, steering: Steering, flows: impl Iterator<Item = FlowKey>) {
        let mut counts = [0_u32; SLICES];
        let mut total = 0;
        for flow in flows {
            counts[usize::from(steering.slice(&flow))] += 1;
            total += 1;
        }
        let mean = f64::from(total) / SLICES as f64;
        let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
        assert!(
            f64::from(most) <= mean + 6.0 * mean.sqrt(),
            "{name}: {least}..{most} around {mean}"
        );
        assert!(
            f64::from(least) >= mean - 6.0 * mean.sqrt(),
            "{name}: {least}..{most} around {mean}"
        );
    }

    #[test]
    fn slices_are_even() {
        for steering in [Steering::default(), Steering { key: 0x5eed }] {
            let server = end([10, 0, 0, 2], 443);
            let ports = (0..20_000_u16).map(|n| key(end([10, 0, 0, 1], 32_768 + n), server, Transport::Tcp).0);
            spread("sequential ports", steering, ports);
            let hosts = (0..20_000_u32).map(|n| {
                let client = Ipv4Addr::from_bits(0x0a00_0000 + n);
                key(end(client, 40_000), server, Transport::Udp).0
            });
            spread("sequential hosts", steering, hosts);
            let v6 = (0..20_000_u128).map(|n| {
                let client = Ipv6Addr::from_bits((0xfd77_u128 << 112) + (n << 64) + 1);
                key(end(client, 40_000), end(Ipv6Addr::LOCALHOST, 443), Transport::Tcp).0
            });
            spread("sequential networks", steering, v6);
            let mut state = 1_u64;
            let mut random = move || {
                state = mix(state.wrapping_add(PI[0]));
                state
            };
            let any = (0..20_000).map(move |_| {
                let (client, server) = (
                    Ipv4Addr::from_bits(random() as u32),
                    Ipv4Addr::from_bits(random() as u32),
                );
                key(
                    end(client, random() as u16),
                    end(server, random() as u16),
                    Transport::Tcp,
                )
                .0
            });
            spread("random", steering, any);
        }
    }
}
