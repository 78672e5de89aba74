//! Packets: as captured, and as seen at layer 4. All of them borrow the capture buffer.

use std::net::IpAddr;

use crate::model::net::Endpoint;
use crate::model::stamp::Stamp;

/// Link type of a capture interface (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// No link type of a capture: an IP datagram put together from fragments, which were counted as they came.
    Datagram,
    /// 1: Ethernet.
    Ethernet,
    /// 113: Linux cooked v1.
    LinuxSll,
    /// 276: Linux cooked v2.
    LinuxSll2,
    /// 108: like `Null`, the family in network byte order.
    Loop,
    /// 0: four bytes of address family in the byte order of the capturing host.
    Null,
    /// 12, 14, 101, 228, 229: an IP packet without a link header.
    RawIp,
    /// Anything else: packets are counted as undecodable.
    Unsupported(u32),
}

impl LinkType {
    /// From the number in a capture file or of a live handle.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => Self::Unsupported(other),
        }
    }
}

/// One packet as captured.
#[derive(Clone, Copy, Debug)]
pub struct RawPacket<'a> {
    /// When and which.
    pub at: Stamp,
    /// How `data` starts.
    pub link: LinkType,
    /// Captured bytes, at most the snap length.
    pub data: &'a [u8],
    /// Bytes that the packet had on the wire; more than `data.len()` when the snap length cut it.
    pub wire_len: u32,
}

/// A packet after decoding: what the flow table works on.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// IPsec (RFC 4303), with so many bytes of payload: nobody but its two ends can read it.
    Encrypted(u32),
    /// A fragment that waits for the rest of its datagram, or that has come before.
    Fragment,
    /// Neither TCP nor UDP; counted and dropped.
    Other,
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp(Datagram<'a>),
}

/// What was around a packet: the layer nearest to it of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outer {
    /// VLAN identifier (IEEE 802.1Q).
    pub vlan: Option<u16>,
    /// Name of the tunnel.
    pub tunnel: Option<&'static str>,
    /// What tells one tunnel, or tenant, from another: network identifier, session, key, label or endpoint identifier.
    pub id: Option<u32>,
    /// Sender and receiver of the tunnel, where it runs over IP.
    pub ends: Option<(IpAddr, IpAddr)>,
}

impl Outer {
    /// Whether the packet was inside another one: its own addresses say nothing about the addresses on the wire.
    pub const fn is_tunnel(&self) -> bool {
        self.tunnel.is_some()
    }
}

/// TCP flags (RFC 9293, section 3.1): the low eight bits of the flags field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// Sender has finished.
    pub const FIN: u8 = 0x01;
    /// First segment of a direction.
    pub const SYN: u8 = 0x02;
    /// Connection is aborted.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer is valid.
    pub const URG: u8 = 0x20;

    /// Whether any of the given bits is set.
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// When and which packet.
    pub at: Stamp,
    /// Sender.
    pub src: Endpoint,
    /// Receiver.
    pub dst: Endpoint,
    /// Sequence number of the first payload byte (of the SYN, if there is one).
    pub seq: u32,
    /// Acknowledgement number; valid with `Flags::ACK`.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Payload bytes that were on the wire behind `payload` and that the snap length cut off.
    pub missing: u32,
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// When and which packet.
    pub at: Stamp,
    /// Sender.
    pub src: Endpoint,
    /// Receiver.
    pub dst: Endpoint,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Payload bytes that the snap length cut off.
    pub missing: u32,
}
