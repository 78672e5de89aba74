//! A raw packet becomes a layer 4 view: addresses, ports, control bits and the bounds of the payload.
//!
//! Two paths with one meaning. The fast path takes whole Ethernet II frames that carry TCP or UDP directly in IPv4 or
//! IPv6, slice by slice through etherparse; its cost hides in the cache miss of the packet's first line. Whatever it
//! refuses goes through the cold path (`link`, `ip`, `transport`): tags, extension headers, cooked and raw
//! links, cut packets, segmentation offload, and checksums where they are asked for. There tunnels are opened (`mpls`,
//! `tunnel`, `gre`, `teredo`), as deep as they are nested, and a packet inside takes the fast path again.
//!
//! Nothing is copied but fragments, which wait in `defrag` for the rest of their datagram: before a packet is steered,
//! because they have no ports, and by every worker of a replay for itself, so that the same datagrams become whole
//! for any number of them. The datagram is a packet of the moment of its last fragment.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

mod common;
mod config;
mod defrag;
mod gre;
mod ip;
mod link;
mod mpls;
pub mod steer;
mod teredo;
mod transport;
mod tunnel;

pub use config::Config;

use std::net::IpAddr;

use crate::model::counters::Lost;
use crate::model::packet::{LinkType, Outer, Packet, RawPacket};
use crate::model::stamp::Stamp;
use crate::packet::common::{common_ip, decode_common};
use crate::packet::defrag::{Defrag, Fragment};
use crate::packet::ip::Opened;
use crate::packet::tunnel::{Payload, Tunnels};

/// Headers around one packet, but for tags and labels: two for each tunnel, and nobody nests more than four on purpose.
const MAX_LAYERS: usize = 16;

/// What is done about checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksums {
    /// They are not looked at: a capture on the sending host holds packets whose checksums its card had yet to fill in.
    #[default]
    Ignore,
    /// IPv4, TCP and UDP checksums of packets that were captured whole; a wrong one makes the packet undecodable.
    Verify,
}

/// Why a packet gave no view. Each is counted as an undecodable packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// A checksum is wrong ([`Checksums::Verify`]).
    #[error("wrong checksum")]
    Checksum,
    /// The link type of the capture is not known.
    #[error("unsupported link type {0}")]
    LinkType(u32),
    /// A header contradicts itself.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// In more tunnels than are opened.
    #[error("wrapped too often")]
    Nested,
    /// Cut by the snap length within the headers, or a fragment that is not whole.
    #[error("cut within its headers")]
    Truncated,
}

/// What a packet was found to be.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    /// The layer 4 view; [`Packet::Other`] for what is neither TCP nor UDP (ARP, ICMP, IGMP and so on).
    pub packet: Packet<'a>,
    /// What was around it.
    pub outer: Option<Outer>,
    /// Whether it was in fragments, and is now in [`Decoder::take_whole`].
    pub reassembled: bool,
}

/// Bytes of which it is known how they start.
#[derive(Clone, Copy)]
struct Wrapped<'a> {
    form: Form,
    data: &'a [u8],
    /// Bytes that were on the wire behind `data`.
    cut: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ethernet,
    /// Either version.
    Ip,
    /// What this EtherType announces.
    Type(u16),
    /// Nothing of interest.
    Unknown,
}

impl<'a> Wrapped<'a> {
    /// A datagram that fragments became.
    const fn datagram(data: &'a [u8]) -> Self {
        Self {
            form: Form::Ip,
            data,
            cut: 0,
        }
    }

    const fn as_form(self, form: Form, data: &'a [u8]) -> Self {
        Self { form, data, ..self }
    }
}

/// How far in a packet is.
#[derive(Clone, Copy)]
struct Path {
    layers: usize,
    outer: Outer,
    /// Whether the fast path may be tried for what is inside.
    fast: bool,
}

enum Unwrapped<'a> {
    Packet(Packet<'a>),
    Fragment(Fragment<'a>),
}

/// Turns packets into views. One for each thread that sees all packets: it holds fragments.
pub struct Decoder {
    policy: Checksums,
    tunnels: Tunnels,
    defrag: Defrag,
    whole: Vec<u8>,
}

impl Decoder {
    /// Without any fragment.
    pub fn new(config: &Config, policy: Checksums) -> Self {
        Self {
            policy,
            tunnels: Tunnels::new(config),
            defrag: Defrag::new(config),
            whole: Vec::new(),
        }
    }

    /// The view of a packet.
    ///
    /// The payload ends where the IP header says, so that link padding never becomes payload.
    ///
    /// # Errors
    /// When it gives none.
    #[inline]
    pub fn decode<'a>(&'a mut self, raw: &RawPacket<'a>) -> Result<Decoded<'a>, Undecodable> {
        if matches!((raw.link, self.policy), (LinkType::Ethernet, Checksums::Ignore))
            && let Some(packet) = decode_common(raw)
            && !matches!(&packet, Packet::Udp(datagram) if self.tunnels.may_open(datagram))
        {
            return Ok(Decoded {
                packet,
                outer: None,
                reassembled: false,
            });
        }
        self.decode_any(raw)
    }

    /// The datagram, from its IP header on, that the last packet was put together to ([`Decoded::reassembled`]).
    pub fn take_whole(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.whole)
    }

    /// What was lost of fragments since the last call.
    pub fn take_lost(&mut self) -> Lost {
        self.defrag.take_lost()
    }

    /// The capture is over: what is not whole will never be.
    pub fn drain(&mut self) {
        self.defrag.drain();
    }

    /// Every packet, common or not, with every check.
    #[cold]
    fn decode_any<'a>(&'a mut self, raw: &RawPacket<'a>) -> Result<Decoded<'a>, Undecodable> {
        let mut path = Path {
            layers: 0,
            outer: Outer::default(),
            fast: self.policy == Checksums::Ignore,
        };
        // A file may claim a wire length below what it holds.
        let cut = (raw.wire_len as usize).saturating_sub(raw.data.len());
        match self.uncover(raw.at, link::first(raw.link, raw.data, cut)?, &mut path)? {
            Unwrapped::Packet(packet) => Ok(path.decoded(packet, false)),
            Unwrapped::Fragment(fragment) => self.gather(raw.at, &fragment, path),
        }
    }

    /// Takes layer after layer off.
    fn uncover<'a>(&self, at: Stamp, start: Wrapped<'a>, path: &mut Path) -> Result<Unwrapped<'a>, Undecodable> {
        let mut here = start;
        while path.layers < MAX_LAYERS {
            path.layers = path.layers.saturating_add(1);
            here = match here.form {
                Form::Ethernet => link::ethernet(here, &mut path.outer)?,
                Form::Type(kind) => link::typed(kind, here, &mut path.outer)?,
                Form::Unknown => return Ok(Unwrapped::Packet(Packet::Other)),
                Form::Ip => {
                    let common = if path.fast { common_ip(at, here.data) } else { None };
                    let packet = match common {
                        Some(packet) => packet,
                        None => match ip::open(here.data, here.cut, self.policy)? {
                            Opened::Fragment(fragment) => return Ok(Unwrapped::Fragment(fragment)),
                            Opened::Nothing => Packet::Other,
                            Opened::Carried(carried) => {
                                if let Some(inner) = self.over_ip(&carried, path) {
                                    here = inner;
                                    continue;
                                }
                                transport::open(at, &carried, self.policy)?
                            }
                        },
                    };
                    match self.over_udp(&packet, path) {
                        Some(inner) => inner,
                        None => return Ok(Unwrapped::Packet(packet)),
                    }
                }
            };
        }
        Err(Undecodable::Nested)
    }

    fn over_ip<'a>(&self, carried: &ip::Carried<'a>, path: &mut Path) -> Option<Wrapped<'a>> {
        let outside = Payload {
            data: carried.data,
            cut: carried.wire_len.saturating_sub(carried.data.len()),
            policy: self.policy,
        };
        let inner = tunnel::over_ip(carried.protocol.0, &outside)?;
        Some(path.enter(&inner, outside.cut, (carried.src, carried.dst)))
    }

    fn over_udp<'a>(&self, packet: &Packet<'a>, path: &mut Path) -> Option<Wrapped<'a>> {
        let Packet::Udp(datagram) = packet else { return None };
        let inner = self.tunnels.over_udp(datagram, self.policy)?;
        Some(path.enter(
            &inner,
            datagram.missing as usize,
            (datagram.src.addr, datagram.dst.addr),
        ))
    }

    /// Puts a datagram together; what is inside may be in fragments again.
    fn gather<'a>(&'a mut self, at: Stamp, fragment: &Fragment<'_>, path: Path) -> Result<Decoded<'a>, Undecodable> {
        let mut path = path;
        let mut complete = self.defrag.push(at.time, fragment, &mut self.whole);
        let mut start = path;
        while complete {
            start = path;
            let whole = std::mem::take(&mut self.whole);
            let within = self.uncover(at, Wrapped::datagram(&whole), &mut path)?;
            let Unwrapped::Fragment(inner) = within else {
                self.whole = whole;
                break;
            };
            complete = self.defrag.push(at.time, &inner, &mut self.whole);
        }
        if !complete {
            return Ok(path.decoded(Packet::Fragment, false));
        }
        match self.uncover(at, Wrapped::datagram(&self.whole), &mut start)? {
            Unwrapped::Packet(packet) => Ok(start.decoded(packet, true)),
            Unwrapped::Fragment(_) => Err(Undecodable::Nested),
        }
    }
}

impl Path {
    fn enter<'a>(&mut self, inner: &tunnel::Inner<'a>, cut: usize, ends: (IpAddr, IpAddr)) -> Wrapped<'a> {
        inner.note(ends, &mut self.outer);
        Wrapped {
            form: inner.form,
            data: inner.data,
            cut,
        }
    }

    fn decoded(self, packet: Packet<'_>, reassembled: bool) -> Decoded<'_> {
        Decoded {
            packet,
            outer: (self.outer != Outer::default()).then_some(self.outer),
            reassembled,
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
