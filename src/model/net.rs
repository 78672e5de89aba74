//! Addresses, five-tuples, directions and scopes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use sha1::{Digest, Sha1};

/// One end of a flow. IPv6 is written `[fd88::4]:17003`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// IP address; an IPv4-mapped IPv6 address stays IPv6.
    pub addr: IpAddr,
    /// Port number; 0 where the protocol has none.
    pub port: u16,
}

impl Endpoint {
    /// Address and port together.
    pub const fn new(addr: IpAddr, port: u16) -> Self {
        Self { addr, port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            IpAddr::V4(addr) => write!(f, "{addr}:{}", self.port),
            IpAddr::V6(addr) => write!(f, "[{addr}]:{}", self.port),
        }
    }
}

/// Transport protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Transport {
    /// Protocol number of the Internet header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// Which way bytes travel within a flow, by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client, towards the server.
    ToServer,
    /// From the server, towards the client.
    ToClient,
}

impl Direction {
    /// The other way.
    pub const fn flip(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// 0 towards the server, 1 towards the client: index of per-direction state.
    pub const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }

    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ToServer => "client-to-server",
            Self::ToClient => "server-to-client",
        }
    }
}

/// A flow's two ends, by role, and its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    /// TCP or UDP.
    pub transport: Transport,
    /// The side that opened, or that behaves as client.
    pub client: Endpoint,
    /// The other side.
    pub server: Endpoint,
}

impl FiveTuple {
    /// Client and server exchanged.
    pub const fn flipped(self) -> Self {
        Self { transport: self.transport, client: self.server, server: self.client }
    }

    /// Community ID 1 with seed 0 (corelight/community-id-spec): the same text for both directions.
    pub fn community_id(&self) -> String {
        let (mut low, mut high) = (self.client, self.server);
        // The specification orders by address bytes, then port; an address of one flow is never of two families.
        if (high.addr, high.port) < (low.addr, low.port) {
            std::mem::swap(&mut low, &mut high);
        }
        let mut hash = Sha1::new();
        hash.update([0, 0]);
        for end in [low, high] {
            match end.addr {
                IpAddr::V4(addr) => hash.update(addr.octets()),
                IpAddr::V6(addr) => hash.update(addr.octets()),
            }
        }
        hash.update([self.transport.number(), 0]);
        hash.update(low.port.to_be_bytes());
        hash.update(high.port.to_be_bytes());
        format!("1:{}", base64::engine::general_purpose::STANDARD.encode(hash.finalize()))
    }
}

/// How far an address reaches; the contract's `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// RFC 1918, RFC 4193, RFC 6598 shared space, and documentation or benchmarking ranges that are never routed.
    Private,
    /// Everything else.
    Public,
}

impl Scope {
    /// Scope of an address; an IPv4-mapped address has the scope of what it maps.
    pub fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => Self::of_v4(addr),
            IpAddr::V6(addr) => match addr.to_ipv4_mapped() {
                Some(mapped) => Self::of_v4(mapped),
                None => Self::of_v6(addr),
            },
        }
    }

    fn of_v4(addr: Ipv4Addr) -> Self {
        let [a, b, ..] = addr.octets();
        if addr.is_loopback() {
            Self::Loopback
        } else if addr.is_link_local() {
            Self::LinkLocal
        } else if addr.is_private()
            || addr.is_documentation()
            || addr.is_unspecified()
            || (a == 100 && (64..128).contains(&b))
            || (a == 198 && (18..20).contains(&b))
        {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(addr: Ipv6Addr) -> Self {
        let head = addr.segments()[0];
        let documentation = head == 0x2001 && addr.segments()[1] == 0x0db8;
        if addr.is_loopback() {
            Self::Loopback
        } else if head & 0xffc0 == 0xfe80 {
            Self::LinkLocal
        } else if head & 0xfe00 == 0xfc00 || addr.is_unspecified() || documentation {
            Self::Private
        } else {
            Self::Public
        }
    }

    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::LinkLocal => "link-local",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(client: (&str, u16), server: (&str, u16)) -> FiveTuple {
        FiveTuple {
            transport: Transport::Tcp,
            client: Endpoint::new(client.0.parse().unwrap(), client.1),
            server: Endpoint::new(server.0.parse().unwrap(), server.1),
        }
    }

    /// Vectors of the community-id specification's baseline data.
    #[test]
    fn community_id_vectors() {
        let a = tuple(("128.232.110.120", 34855), ("66.35.250.204", 80));
        assert_eq!(a.community_id(), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(a.flipped().community_id(), a.community_id());
    }

    #[test]
    fn scopes() {
        for (addr, scope) in [
            ("127.8.8.8", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("169.254.1.1", Scope::LinkLocal),
            ("fe80::1", Scope::LinkLocal),
            ("10.1.2.3", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("fd77::10", Scope::Private),
            ("8.8.8.8", Scope::Public),
            ("2606:4700::1", Scope::Public),
        ] {
            assert_eq!(Scope::of(addr.parse().unwrap()), scope, "{addr}");
        }
    }
}
