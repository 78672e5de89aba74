//! The flow table: key → flow. The state of a flow is the caller's; the table knows nothing of streams.
//!
//! One [`Table`] serves one slice of the flow space, so there are hundreds: each starts without any memory. A look-up
//! costs one probe of an 8-byte index entry and one slot; flows lie in a slab, so that growing moves few bytes at a time.
//! A flow ends by its own packets (its time-out passed before the next one, or the caller says that the packet opens
//! another connection), or because the table is full, or at the end. Reclaiming idle flows early frees memory and changes
//! nothing else: their next packet would have ended them.
//!
//! It does not decide who is the server, nor what a TCP connection is: that is [`role`].
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

mod order;
pub mod role;
mod table;

pub use table::{Entry, Table};

use std::net::IpAddr;

use crate::model::flow::FlowInfo;
use crate::model::net::{Direction, Endpoint, FiveTuple, Transport};
use crate::model::stamp::{Span, Stamp};
use role::Handshake;

/// One flow and the caller's state of it.
#[derive(Clone, Debug)]
pub struct Flow<S> {
    /// What is known of it.
    pub info: FlowInfo,
    /// The caller's.
    pub state: S,
    /// How the connection was opened and whether it has ended (TCP).
    pub handshake: Handshake,
    /// Whether the lower end of the key is the client.
    pub low_is_client: bool,
}

impl<S> Flow<S> {
    /// A flow at its first packet, which is not counted yet.
    pub fn new(tuple: FiveTuple, low_is_client: bool, from_start: bool, at: Stamp, state: S) -> Self {
        let info = FlowInfo {
            id: id(&tuple, at),
            tuple,
            seen: Span::at(at),
            packets: [0; 2],
            bytes: [0; 2],
            from_start,
            encryption: crate::model::server::Encryption::None,
        };
        Self {
            info,
            state,
            handshake: Handshake::default(),
            low_is_client,
        }
    }

    /// Which way a packet travels whose sender is, or is not, the lower end of the key.
    pub const fn direction(&self, from_low: bool) -> Direction {
        if from_low == self.low_is_client {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// Client and server were taken for each other. At most once in a flow, before the first parsed byte.
    pub fn swap_roles(&mut self) {
        self.info.tuple = self.info.tuple.flipped();
        self.info.packets.reverse();
        self.info.bytes.reverse();
        self.handshake.flip();
        self.low_is_client = !self.low_is_client;
    }
}

/// Why a flow has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The table is closed: the capture is over.
    Drained,
    /// The table was full; counted.
    Evicted,
    /// No packet within its time-out.
    Idle,
    /// The same five-tuple belongs to another connection now.
    Replaced,
}

/// What a flow is worth and how long it may be silent. In the order in which equals are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// TCP that has ended; kept to absorb late packets.
    Closed,
    /// TCP that carried nothing yet: a scan, or a handshake under way. The class of a new TCP flow.
    Opening,
    /// Counted only.
    Bypassed,
    /// UDP. The class of a new UDP flow.
    Datagrams,
    /// TCP that carries data.
    Open,
    /// Holds what is worth keeping: MCP was seen.
    Precious,
}

impl Class {
    /// All classes, in their order.
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Opening,
        Self::Bypassed,
        Self::Datagrams,
        Self::Open,
        Self::Precious,
    ];

    /// Where a new flow begins.
    const fn of(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Opening,
            Transport::Udp => Self::Datagrams,
        }
    }

    /// How much faster than its silence a flow of this class ages when room is needed.
    const fn haste(self) -> u64 {
        match self {
            Self::Closed | Self::Bypassed => 4,
            Self::Opening | Self::Datagrams | Self::Open | Self::Precious => 1,
        }
    }
}

/// Bounds of all tables together, and how long flows of each class may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most flows at a time. Each slice gets an equal share.
    pub max_flows: usize,
    /// TCP that has ended. Late packets come within a few round trips; a new SYN ends it at once.
    pub closed_idle_ms: u64,
    /// TCP that carried no data: a few retransmitted SYNs.
    pub opening_idle_ms: u64,
    /// TCP that carries data: twenty comments of an event stream, which come every 15 s.
    pub tcp_idle_ms: u64,
    /// UDP.
    pub udp_idle_ms: u64,
    /// A flow in which MCP was seen: an event stream without comments may be silent for hours. RFC 5382, REQ-5, asks
    /// middleboxes for 2 h 4 min, which keep-alives every 2 h fit into.
    pub precious_idle_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_flows: 1 << 20,
            closed_idle_ms: 15_000,
            opening_idle_ms: 30_000,
            tcp_idle_ms: 300_000,
            udp_idle_ms: 60_000,
            precious_idle_ms: 7_440_000,
        }
    }
}

impl Config {
    const fn idle_ms(&self, class: Class) -> u64 {
        match class {
            Class::Closed => self.closed_idle_ms,
            Class::Opening => self.opening_idle_ms,
            Class::Bypassed | Class::Open => self.tcp_idle_ms,
            Class::Datagrams => self.udp_idle_ms,
            Class::Precious => self.precious_idle_ms,
        }
    }
}

/// Identity of a flow: a hash of its five-tuple, whatever the roles, and of its first stamp; the same in every run. Not
/// keyed: whoever sends packets may make two flows that share one.
fn id(tuple: &FiveTuple, first: Stamp) -> u64 {
    let (low, high) = (tuple.client.min(tuple.server), tuple.client.max(tuple.server));
    let ports = u64::from(low.port) << 32 | u64::from(high.port) << 16 | u64::from(tuple.transport.number());
    let place = u64::from(first.source).rotate_right(16) ^ first.packet;
    let [a, b] = words(low);
    let [c, d] = words(high);
    [a, b, c, d, ports, first.time.nanos().cast_unsigned(), place]
        .into_iter()
        .fold(0, |hash, word| {
            // Finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
            let mixed = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
}

/// The address as two words; the family is part of them, so that `::a00:1` is not `10.0.0.1`.
fn words(end: Endpoint) -> [u64; 2] {
    match end.addr {
        IpAddr::V4(addr) => [u64::from(addr.to_bits()), u64::MAX],
        IpAddr::V6(addr) => [(addr.to_bits() >> 64) as u64, addr.to_bits() as u64],
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )]

    use super::*;
    use crate::model::stamp::Timestamp;

    fn tuple(client: &str, server: &str) -> FiveTuple {
        let end = |text: &str| Endpoint::new(text.parse().unwrap(), 80);
        FiveTuple {
            transport: Transport::Tcp,
            client: end(client),
            server: end(server),
        }
    }

    #[test]
    fn identity_depends_on_ends_and_stamp_but_not_on_roles() {
        let at = Stamp {
            time: Timestamp::from_nanos(5),
            source: 0,
            packet: 7,
        };
        let one = tuple("10.0.0.1", "10.0.0.2");
        assert_eq!(id(&one, at), id(&one.flipped(), at));
        assert_eq!(
            id(&one, at),
            17_520_954_522_998_794_534,
            "stored ids must stay what they are"
        );
        let mut others = vec![id(&one, at)];
        for stamp in [
            Stamp { packet: 8, ..at },
            Stamp { source: 1, ..at },
            Stamp {
                time: Timestamp::from_nanos(6),
                ..at
            },
        ] {
            others.push(id(&one, stamp));
        }
        others.push(id(&tuple("10.0.0.1", "10.0.0.3"), at));
        others.push(id(&tuple("::a00:1", "::a00:2"), at));
        others.push(id(
            &FiveTuple {
                transport: Transport::Udp,
                ..one
            },
            at,
        ));
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 7);
    }

    #[test]
    fn swapped_roles_keep_the_direction_of_each_end() {
        let at = Stamp::default();
        let mut flow = Flow::new(tuple("10.0.0.1", "10.0.0.2"), true, true, at, ());
        let client = flow.info.tuple.client;
        flow.info.count(at, flow.direction(true), 10);
        flow.swap_roles();
        assert_eq!(
            (flow.info.tuple.server, flow.direction(true)),
            (client, Direction::ToClient)
        );
        assert_eq!((flow.info.packets, flow.info.bytes), ([0, 1], [0, 10]));
    }
}
