//! Whose an address is: what the organisation's list of assets says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Whose a machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asset {
    /// Who answers for it.
    pub owner: Option<String>,
    /// Of which team.
    pub team: Option<String>,
    /// What it is.
    pub tag: Option<String>,
}

/// Assets by network: the longest prefix that holds an address decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assets {
    /// By (is IPv6, prefix length from long to short), then by the bits of the network.
    networks: BTreeMap<(bool, Reverse<u8>), HashMap<u128, Asset>>,
}

impl Assets {
    /// Adds a network; gives back what was there before.
    pub fn add(&mut self, network: IpAddr, prefix: u8, asset: Asset) -> Option<Asset> {
        let of_length = self.networks.entry((network.is_ipv6(), Reverse(prefix))).or_default();
        of_length.insert(masked(network, prefix), asset)
    }

    /// Whose an address is.
    pub fn of(&self, addr: IpAddr) -> Option<&Asset> {
        let family = self
            .networks
            .range((addr.is_ipv6(), Reverse(u8::MAX))..=(addr.is_ipv6(), Reverse(0)));
        family
            .into_iter()
            .find_map(|((_, Reverse(prefix)), networks)| networks.get(&masked(addr, *prefix)))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}

/// The first bits of an address.
fn masked(addr: IpAddr, prefix: u8) -> u128 {
    let (bits, width) = match addr {
        IpAddr::V4(addr) => (u128::from(addr.to_bits()), 32),
        IpAddr::V6(addr) => (addr.to_bits(), 128),
    };
    bits.checked_shr(width - u32::from(prefix).min(width)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn asset(number: usize) -> Asset {
        Asset {
            owner: Some(number.to_string()),
            ..Asset::default()
        }
    }

    proptest! {
        /// Against the longest of all networks that hold the address, bit by bit.
        #[test]
        fn the_longest_prefix_wins(
            networks in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..20),
            shared in any::<u32>(),
            flips in proptest::collection::vec(0_u32..32, 0..4),
        ) {
            let networks: Vec<(u32, u8)> = networks.into_iter().map(|(bits, prefix)| (bits & 0xff | shared & !0xff, prefix)).collect();
            let mut assets = Assets::default();
            for (number, (bits, prefix)) in networks.iter().enumerate() {
                assets.add(IpAddr::from(bits.to_be_bytes()), *prefix, asset(number));
            }
            let addr = flips.iter().fold(shared, |addr, bit| addr ^ (1 << bit));
            let holds = |bits: u32, prefix: u8| (0..u32::from(prefix)).all(|bit| (bits ^ addr) & (1 << (31 - bit)) == 0);
            let best = networks.iter().enumerate().filter(|(_, (bits, prefix))| holds(*bits, *prefix));
            let best = best.max_by_key(|(number, (_, prefix))| (*prefix, *number)).map(|(number, _)| asset(number));
            prop_assert_eq!(assets.of(IpAddr::from(addr.to_be_bytes())), best.as_ref());
        }
    }

    #[test]
    fn families_do_not_mix() {
        let mut assets = Assets::default();
        assets.add("::".parse().unwrap(), 0, asset(6));
        assert_eq!(assets.of("fd88::1".parse().unwrap()), Some(&asset(6)));
        assert_eq!(assets.of("10.0.0.1".parse().unwrap()), None);
    }
}
