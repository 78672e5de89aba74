//! What DNS messages say: questions, where names lead, and services that tell where they are.
//!
//! Names are lower case, without the final dot, their labels escaped as in a zone file.

use std::net::IpAddr;

/// A DNS question, seen in a query or repeated in an answer. Who asks is the client of the flow.
#[derive(Clone, Copy, Debug)]
pub struct Dns<'a> {
    /// The name, lower case, without the final dot; labels escaped as in a zone file.
    pub name: &'a str,
    /// Record type: `A`, `AAAA`, `HTTPS`, … or `TYPE65280`.
    pub kind: &'a str,
    /// Whether this is the answer.
    pub answer: bool,
}

/// Where a name leads, by an answer. One answer gives as many of these as it has addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The name that was asked for, whatever aliases lie between; of a multicast answer the owner. Written as in [`Dns`].
    pub name: &'a str,
    /// Address; `None` where the answer only describes the service behind the name.
    pub addr: Option<IpAddr>,
    /// Seconds that the answer may be used: the least of all records on the way.
    pub ttl_secs: u32,
    /// The service behind the name, where the answer describes it.
    pub service: Option<Service>,
}

impl Resolved<'_> {
    /// Whether the service is an encrypted resolver (RFC 9461, RFC 9462).
    pub fn leads_to_dns(&self) -> bool {
        self.service
            .is_some_and(|service| service.alpn.meets(Alpns::ENCRYPTED_DNS))
    }

    /// The host that the name is about.
    pub fn host(&self) -> &str {
        host_of(self.name)
    }
}

/// The host that a name with a service in front is about (RFC 9460, section 2.3): `_8443._https.mcp.example.test`.
pub fn host_of(mut name: &str) -> &str {
    while let Some((_, host)) = name.split_once('.').filter(|(label, _)| label.starts_with('_')) {
        name = host;
    }
    name
}

/// What a service binding says of a service (RFC 9460).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Port, where it is not that of the scheme.
    pub port: Option<u16>,
    /// Protocols that it offers by name.
    pub alpn: Alpns,
    /// Whether it has a key for encrypted ClientHellos, so that they may hide the name.
    pub ech: bool,
}

/// A set of protocols by their names in TLS (RFC 7301).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alpns(pub u8);

impl Alpns {
    /// `http/1.1`.
    pub const HTTP_1: Self = Self(1);
    /// `h2`.
    pub const HTTP_2: Self = Self(2);
    /// `h3`.
    pub const HTTP_3: Self = Self(4);
    /// `dot`: DNS over TLS (RFC 7858).
    pub const DOT: Self = Self(8);
    /// `doq`: DNS over QUIC (RFC 9250).
    pub const DOQ: Self = Self(16);
    /// DNS in either.
    pub const ENCRYPTED_DNS: Self = Self::DOT.or(Self::DOQ);
    /// Any other.
    pub const OTHER: Self = Self(32);

    /// The protocol of that name.
    pub const fn of(name: &[u8]) -> Self {
        match name {
            b"http/1.1" => Self::HTTP_1,
            b"h2" => Self::HTTP_2,
            b"h3" => Self::HTTP_3,
            b"dot" => Self::DOT,
            b"doq" => Self::DOQ,
            _ => Self::OTHER,
        }
    }

    /// Either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two have a protocol in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A service that names MCP and tells where it is (RFC 6763): `_mcp._tcp.local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced<'a> {
    /// Its instance name, or its type where the answer names no instance; written as in [`Dns`].
    pub name: &'a str,
    /// Host that it runs on; written as in [`Dns`]. Its addresses are told by [`Resolved`].
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// `path` of its TXT record: an absolute path, raw.
    pub path: Option<&'a str>,
    /// Seconds that the announcement may be used.
    pub ttl_secs: u32,
}
