//! Packets within packets: one row for each tunnel over IP or UDP. What labels and EtherTypes announce is in `link`.
//!
//! A row looks at every field that has one right value: version, reserved bits, lengths. What does not fit is no tunnel
//! but the ordinary payload of whoever uses that port. Addresses and ports inside make the flow; the same five-tuple in
//! two VLANs or virtual networks is one flow, because the copies that mirror ports make differ in their tags, and a
//! conversation that is seen in two places must not be told twice. Private networks that really do overlap
//! would be mixed only where two connections use the same four numbers at the same time.
//!
//! Deliberately closed: PPTP, L2TP, OpenVPN, WireGuard and IPsec, which encrypt or need the memory of a session.

use std::net::IpAddr;

use super::config::Config;
use super::link::{ETHER_BRIDGED, ETHER_IPV4, ETHER_IPV6, ETHER_MPLS};
use super::{Checksums, Form, gre, ip, teredo};
use crate::model::packet::Datagram;

/// What a packet over IP or UDP carries.
pub(super) struct Payload<'a> {
    pub(super) data: &'a [u8],
    /// Bytes missing behind `data`.
    pub(super) cut: usize,
    pub(super) policy: Checksums,
}

/// What was inside.
#[derive(Clone, Copy)]
pub(super) struct Inner<'a> {
    pub(super) name: &'static str,
    pub(super) id: Option<u32>,
    /// A tag that the tunnel's header tells in place of the frame.
    pub(super) vlan: Option<u16>,
    pub(super) form: Form,
    pub(super) data: &'a [u8],
}

type Ports = fn(&Config) -> &[u16];
type Open = for<'a> fn(&Payload<'a>) -> Option<Inner<'a>>;

/// By protocol number of the IP header.
const OVER_IP: &[(u8, Open)] = &[
    (4, ipv4_in_ip),
    (41, ipv6_in_ip),
    (47, gre::open),
    (97, ethernet_in_ip),
    (137, mpls_in_ip),
];

/// By destination port.
const OVER_UDP: &[(Ports, Open)] = &[
    (|config| &config.vxlan_ports, vxlan),
    (|config| &config.geneve_ports, geneve),
    (|config| &config.gtpu_ports, gtpu),
    (|config| &config.mpls_ports, mpls_in_udp),
    (|config| &config.gre_ports, gre::open_in_udp),
];

/// The rows with the ports that are configured.
pub(super) struct Tunnels {
    ports: Vec<(u16, Open)>,
    /// Ports of either side.
    teredo: Vec<u16>,
    /// A bit for the last six of each port: nearly every datagram is passed by at the cost of one test.
    mask: u64,
}

impl Tunnels {
    pub(super) fn new(config: &Config) -> Self {
        let ports: Vec<(u16, Open)> = OVER_UDP
            .iter()
            .flat_map(|(ports, open)| ports(config).iter().map(|port| (*port, *open)))
            .collect();
        let teredo = config.teredo_ports.clone();
        let mask = ports
            .iter()
            .map(|row| row.0)
            .chain(teredo.iter().copied())
            .fold(0, |mask, port| mask | bit(port));
        Self { ports, teredo, mask }
    }

    /// Whether a datagram may be a tunnel's.
    #[inline]
    pub(super) fn may_open(&self, datagram: &Datagram<'_>) -> bool {
        self.mask & (bit(datagram.dst.port) | bit(datagram.src.port)) != 0 && self.row(datagram).is_some()
    }

    fn row(&self, datagram: &Datagram<'_>) -> Option<Open> {
        let (src, dst) = (datagram.src.port, datagram.dst.port);
        let row = self.ports.iter().find(|row| row.0 == dst).map(|row| row.1);
        let either = || self.teredo.contains(&dst) || self.teredo.contains(&src);
        row.or_else(|| either().then_some(teredo::open as Open))
    }

    /// What is inside a datagram.
    pub(super) fn over_udp<'a>(&self, datagram: &Datagram<'a>, policy: Checksums) -> Option<Inner<'a>> {
        let open = self.row(datagram)?;
        let outside = Payload {
            data: datagram.payload,
            cut: datagram.missing as usize,
            policy,
        };
        open(&outside)
    }
}

/// What is inside a packet of this protocol.
pub(super) fn over_ip<'a>(protocol: u8, outside: &Payload<'a>) -> Option<Inner<'a>> {
    let (_, open) = OVER_IP.iter().find(|row| row.0 == protocol)?;
    open(outside)
}

const fn bit(port: u16) -> u64 {
    1 << (port & 63)
}

/// RFC 2003.
fn ipv4_in_ip<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    ip_in_ip(4, outside.data)
}

/// RFC 4213, RFC 2473.
fn ipv6_in_ip<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    ip_in_ip(6, outside.data)
}

fn ip_in_ip(version: u8, data: &[u8]) -> Option<Inner<'_>> {
    let agrees = data.first().is_some_and(|byte| byte >> 4 == version);
    agrees.then_some(Inner {
        name: "ip-in-ip",
        id: None,
        vlan: None,
        form: Form::Ip,
        data,
    })
}

/// RFC 3378: version 3, twelve zero bits.
fn ethernet_in_ip<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    Some(Inner {
        name: "etherip",
        id: None,
        vlan: None,
        form: Form::Ethernet,
        data: outside.data.strip_prefix(&[0x30, 0])?,
    })
}

/// RFC 4023.
fn mpls_in_ip<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    Some(Inner {
        name: "mpls",
        id: None,
        vlan: None,
        form: Form::Type(ETHER_MPLS),
        data: outside.data,
    })
}

/// RFC 7510: a label stack, and nothing else that says so.
fn mpls_in_udp<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    mpls_in_ip(outside)
}

/// VXLAN (RFC 7348, section 5), also with a group policy (draft-smith-vxlan-group-policy-05), and VXLAN-GPE
/// (draft-ietf-nvo3-vxlan-gpe-13, section 3.1), which says by a flag what is inside.
fn vxlan<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    let (&[flags, r1, r2, next, i0, i1, i2, 0], data) = outside.data.split_first_chunk::<8>()? else {
        return None;
    };
    let form = match (flags, [r1, r2, next]) {
        (0x08, [0, 0, 0]) => Form::Ethernet,
        // Don't learn, and applied already, are the only flags of a policy.
        (0x88, [policy, ..]) if policy & !0x48 == 0 => Form::Ethernet,
        // With or without the bit of broadcasts; not with that of operation and maintenance.
        (0x0c | 0x0e, [0, 0, 1]) => Form::Type(ETHER_IPV4),
        (0x0c | 0x0e, [0, 0, 2]) => Form::Type(ETHER_IPV6),
        (0x0c | 0x0e, [0, 0, 3]) => Form::Ethernet,
        (0x0c | 0x0e, [0, 0, 5]) => Form::Type(ETHER_MPLS),
        _ => return None,
    };
    Some(Inner {
        name: "vxlan",
        id: Some(u32::from_be_bytes([0, i0, i1, i2])),
        vlan: None,
        form,
        data,
    })
}

/// GENEVE (RFC 8926, section 3.4): version 0. Options are passed over, critical ones too: they say how to forward, and
/// what is inside stands where it stands. Control packets are no traffic.
fn geneve<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    let (&[length, flags, p0, p1, i0, i1, i2, 0], rest) = outside.data.split_first_chunk::<8>()? else {
        return None;
    };
    // All but the bit of critical options.
    if length >> 6 != 0 || flags & !0x40 != 0 {
        return None;
    }
    let (mut options, data) = rest.split_at_checked(usize::from(length).saturating_mul(4))?;
    while !options.is_empty() {
        let (&[_, _, _, length], rest) = options.split_first_chunk::<4>()?;
        if length >> 5 != 0 {
            return None;
        }
        options = rest.get(usize::from(length).saturating_mul(4)..)?;
    }
    let form = match u16::from_be_bytes([p0, p1]) {
        ETHER_BRIDGED => Form::Ethernet,
        kind @ (ETHER_IPV4 | ETHER_IPV6 | ETHER_MPLS) => Form::Type(kind),
        _ => return None,
    };
    Some(Inner {
        name: "geneve",
        id: Some(u32::from_be_bytes([0, i0, i1, i2])),
        vlan: None,
        form,
        data,
    })
}

/// GTP-U (3GPP TS 29.281, section 5.1): version 1, a user's packet, with extension headers. What is inside is IP, or
/// nothing that can be known.
fn gtpu<'a>(outside: &Payload<'a>) -> Option<Inner<'a>> {
    let (&[flags, 255, l0, l1, t0, t1, t2, t3], mut data) = outside.data.split_first_chunk::<8>()? else {
        return None;
    };
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    if flags & 0xf8 != 0x30 || len != data.len().saturating_add(outside.cut) {
        return None;
    }
    // Any of the flags brings all of the fields; only its own makes one count.
    if flags & 0x07 != 0 {
        let (&[_, _, _, mut next], mut rest) = data.split_first_chunk::<4>()?;
        while flags & 0x04 != 0 && next != 0 {
            // In units of four bytes, never 0; the last byte is the next header's type (section 5.2.1).
            let len = usize::from(*rest.first().filter(|units| **units > 0)?).saturating_mul(4);
            let (header, after) = rest.split_at_checked(len)?;
            (next, rest) = (*header.last()?, after);
        }
        data = rest;
    }
    ip::fits(data, outside.cut).then_some(Inner {
        name: "gtp-u",
        id: Some(u32::from_be_bytes([t0, t1, t2, t3])),
        vlan: None,
        form: Form::Ip,
        data,
    })
}

impl Inner<'_> {
    /// What the report may tell of it.
    pub(super) fn note(&self, ends: (IpAddr, IpAddr), outer: &mut crate::model::packet::Outer) {
        outer.vlan = self.vlan.or(outer.vlan);
        (outer.tunnel, outer.id, outer.ends) = (Some(self.name), self.id, Some(ends));
    }
}
