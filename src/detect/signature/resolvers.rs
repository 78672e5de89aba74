//! Resolvers that take DNS encrypted. What goes to them is a blind spot: counted, and never a finding by itself.

use std::collections::HashSet;
use std::net::IpAddr;

use foldhash::fast::FixedState;

use crate::detect::signature::names::{Named, Names};

/// All known resolvers.
#[derive(Debug, Default)]
pub struct Resolvers {
    names: Names,
    addresses: HashSet<IpAddr, FixedState>,
}

/// A rule with the names and addresses that it is about.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) named: Named,
    pub(super) addresses: Vec<IpAddr>,
}

impl Resolvers {
    pub(super) fn new(rules: Vec<Resolver>) -> Self {
        let mut addresses = HashSet::with_hasher(FixedState::with_seed(0));
        let mut names = Vec::with_capacity(rules.len());
        for rule in rules {
            addresses.extend(rule.addresses);
            names.push(rule.named);
        }
        Self {
            names: Names::new(names),
            addresses,
        }
    }

    /// Whether a name is that of such a resolver, or lies below one: customers have names of their own.
    pub fn knows(&self, name: &str) -> bool {
        self.names.find(name).is_some()
    }

    /// Whether one is at an address: clients connect to it without a name.
    pub fn is_at(&self, addr: IpAddr) -> bool {
        self.addresses.contains(&addr)
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::signature::Signatures;

    #[test]
    fn public_resolvers_are_known() {
        let resolvers = Signatures::builtin().resolvers;
        for (name, known) in [
            ("dns.google", true),
            ("abc123.dns.nextdns.io", true),
            ("Mozilla.Cloudflare-DNS.com", true),
            ("google.com", false),
            ("www.nextdns.io", false),
            ("dns.google.evil.test", false),
        ] {
            assert_eq!(resolvers.knows(name), known, "{name}");
        }
        let at = |addr: &str| resolvers.is_at(addr.parse().unwrap());
        assert!(at("1.1.1.1") && at("2620:fe::fe") && !at("1.1.1.4"));
    }
}
