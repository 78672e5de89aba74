//! Who is the server, and where one TCP connection ends and the next on the same five-tuple begins.
//!
//! Roles come from the handshake (RFC 9293, section 3.5), else from the ports; the first bytes may correct them once
//! ([`super::Flow::swap_roles`]). A new connection is one whose SYN has another initial sequence number and either follows
//! an end or is accepted by the peer: a live receiver only challenges a stray SYN (RFC 5961, section 4), and a monitor
//! that believed it could be led away from the connection.
//!
//! All functions are pure; nothing here looks at payload or puts bytes in order.

use crate::model::net::{Direction, Endpoint, Transport};
use crate::model::packet::{Flags, Segment};

/// Lowest port that common systems give to clients.
const EPHEMERAL_PORT: u16 = 32_768;
/// Ports below belong to services (RFC 6335, section 6).
const SYSTEM_PORTS_END: u16 = 1_024;
/// How far from the bytes seen a FIN, a reset or an acknowledgement may lie to belong to the same connection.
const REACH_BYTES: u32 = 1 << 20;
/// How many bytes the peer of a new connection may have acknowledged when it is first heard.
const FIRST_ACK_BYTES: u32 = 1 << 16;

/// Whether the sender of a flow's first packet is its client. `flags` of TCP.
pub const fn sender_is_client(transport: Transport, from: Endpoint, to: Endpoint, flags: Flags) -> bool {
    match transport {
        Transport::Tcp if flags.has(Flags::SYN) => !flags.has(Flags::ACK),
        // Midway: clients have the higher port nearly always.
        Transport::Tcp => from.port >= to.port,
        // The first datagram is a question, unless one port says otherwise.
        Transport::Udp => {
            let apart = (from.port >= EPHEMERAL_PORT) != (to.port >= EPHEMERAL_PORT)
                || (from.port < SYSTEM_PORTS_END) != (to.port < SYSTEM_PORTS_END);
            !apart || from.port > to.port
        }
    }
}

/// How a TCP connection was opened, and whether it has ended. Kept for bypassed flows, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handshake {
    to_server: End,
    to_client: End,
    reset: bool,
}

/// What one end has sent.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// Initial sequence number.
    isn: u32,
    /// Behind the last byte seen.
    next: u32,
    /// Initial sequence number of a SYN that nobody has accepted so far.
    rival: u32,
    /// Bits `SEEN`, `SYN`, `FIN`, `RIVAL`.
    marks: u8,
}

/// Sent anything; `next` is valid.
const SEEN: u8 = 1 << 0;
/// `isn` is valid.
const SYN: u8 = 1 << 1;
/// Has finished.
const FIN: u8 = 1 << 2;
/// `rival` is valid.
const RIVAL: u8 = 1 << 3;

impl End {
    const fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Whether a number may belong to what this end sends.
    const fn reaches(&self, seq: u32) -> bool {
        !self.is(SEEN) || distance(seq, self.next) <= REACH_BYTES
    }

    /// Whether a SYN with this number is the one that opened the connection, as far as is known.
    const fn opened_by(&self, isn: u32) -> bool {
        if self.is(SYN) {
            self.isn == isn
        } else {
            !self.is(SEEN) || distance(isn, self.next) <= FIRST_ACK_BYTES
        }
    }

    /// Whether the acknowledgement `ack` accepts this end's other SYN.
    const fn rival_accepted(&self, ack: u32) -> bool {
        self.is(RIVAL)
            && ack.wrapping_sub(self.rival).wrapping_sub(1) <= FIRST_ACK_BYTES
            && distance(ack, self.next) > FIRST_ACK_BYTES
    }
}

const fn distance(a: u32, b: u32) -> u32 {
    a.wrapping_sub(b).cast_signed().unsigned_abs()
}

impl Handshake {
    /// Whether the connection is over: reset, or finished by both ends.
    pub const fn has_ended(&self) -> bool {
        self.reset || (self.to_server.is(FIN) && self.to_client.is(FIN))
    }

    /// Whether a segment belongs to another connection than the one noted so far. Asked before [`Handshake::note`].
    pub const fn reuses(&self, dir: Direction, segment: &Segment<'_>) -> bool {
        let (mine, peer) = match dir {
            Direction::ToServer => (&self.to_server, &self.to_client),
            Direction::ToClient => (&self.to_client, &self.to_server),
        };
        if segment.flags.has(Flags::RST) {
            return false;
        }
        if segment.flags.has(Flags::ACK) && peer.rival_accepted(segment.ack) {
            return true;
        }
        if !segment.flags.has(Flags::SYN) || mine.opened_by(segment.seq) {
            return false;
        }
        // Where the peer was never heard it cannot accept anything: the SYN alone must do.
        self.has_ended() || !peer.is(SEEN)
    }

    /// Takes note of a segment of this connection.
    pub const fn note(&mut self, dir: Direction, segment: &Segment<'_>) {
        let (mine, peer) = match dir {
            Direction::ToServer => (&mut self.to_server, &mut self.to_client),
            Direction::ToClient => (&mut self.to_client, &mut self.to_server),
        };
        let flags = segment.flags;
        if flags.has(Flags::RST) {
            // The answer to a segment of no connection has no number of its own.
            let believed = if mine.is(SEEN) {
                mine.reaches(segment.seq)
            } else {
                peer.reaches(segment.ack)
            };
            self.reset |= believed;
            return;
        }
        if flags.has(Flags::SYN) {
            if !mine.opened_by(segment.seq) {
                mine.rival = segment.seq;
                mine.marks |= RIVAL;
                return;
            }
            mine.isn = segment.seq;
            mine.marks |= SYN;
            if flags.has(Flags::ACK) && !peer.is(SYN | SEEN) {
                peer.isn = segment.ack.wrapping_sub(1);
                peer.marks |= SYN;
            }
        }
        let sent = (segment.payload.len() as u32).wrapping_add(segment.missing);
        let end = segment
            .seq
            .wrapping_add(sent)
            .wrapping_add(flags.has(Flags::SYN) as u32);
        if !mine.reaches(end) {
            return;
        }
        if !mine.is(SEEN) || end.wrapping_sub(mine.next).cast_signed() > 0 {
            mine.next = end;
        }
        mine.marks |= if flags.has(Flags::FIN) { SEEN | FIN } else { SEEN };
    }

    /// Client and server were taken for each other.
    pub const fn flip(&mut self) {
        std::mem::swap(&mut self.to_server, &mut self.to_client);
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
    use crate::model::stamp::Stamp;

    const CLIENT: Direction = Direction::ToServer;
    const SERVER: Direction = Direction::ToClient;
    const ACK: u8 = Flags::ACK;
    const SYN_ACK: u8 = Flags::SYN | Flags::ACK;
    const FIN_ACK: u8 = Flags::FIN | Flags::ACK;

    fn end(port: u16) -> Endpoint {
        Endpoint::new("10.0.0.1".parse().unwrap(), port)
    }

    fn segment(flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Segment<'_> {
        let (src, dst) = (end(1), end(2));
        Segment {
            at: Stamp::default(),
            src,
            dst,
            seq,
            ack,
            flags: Flags(flags),
            payload,
            missing: 0,
        }
    }

    /// Plays segments; tells which of them open another connection.
    fn play(segments: &[(Direction, u8, u32, u32)]) -> Vec<bool> {
        let mut handshake = Handshake::default();
        let play = |(dir, flags, seq, ack): &(Direction, u8, u32, u32)| {
            let payload: &[u8] = if *flags == ACK { b"data" } else { b"" };
            let segment = segment(*flags, *seq, *ack, payload);
            let reuses = handshake.reuses(*dir, &segment);
            if reuses {
                handshake = Handshake::default();
            }
            handshake.note(*dir, &segment);
            reuses
        };
        segments.iter().map(play).collect()
    }

    const OPENED: [(Direction, u8, u32, u32); 3] = [
        (CLIENT, Flags::SYN, 100, 0),
        (SERVER, SYN_ACK, 500, 101),
        (CLIENT, ACK, 101, 501),
    ];

    fn after_opening(more: &[(Direction, u8, u32, u32)]) -> Vec<bool> {
        play(&[&OPENED[..], more].concat()).split_off(3)
    }

    #[test]
    fn handshake_names_the_client_and_ports_stand_in() {
        use Transport::{Tcp, Udp};
        for (transport, from, to, flags, is_client) in [
            (Tcp, 80, 40_000, Flags::SYN, true),
            (Tcp, 40_000, 80, SYN_ACK, false),
            (Tcp, 40_000, 8000, ACK, true),
            (Tcp, 8000, 40_000, ACK, false),
            (Tcp, 443, 8000, 0, false),
            (Udp, 53, 40_000, 0, false),
            (Udp, 40_000, 53, 0, true),
            (Udp, 5353, 53, 0, true),
            (Udp, 5353, 5353, 0, true),
            (Udp, 40_000, 50_000, 0, true),
        ] {
            assert_eq!(
                sender_is_client(transport, end(from), end(to), Flags(flags)),
                is_client,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn retransmitted_handshake_is_no_reuse() {
        assert_eq!(play(&OPENED), [false; 3]);
        assert_eq!(after_opening(&OPENED), [false; 3]);
        assert_eq!(
            after_opening(&[(SERVER, FIN_ACK, 501, 105), (CLIENT, FIN_ACK, 105, 502), OPENED[0]]),
            [false; 3]
        );
    }

    #[test]
    fn new_syn_after_an_end_is_reuse() {
        let syn = (CLIENT, Flags::SYN, 70_000, 0);
        assert_eq!(
            after_opening(&[(SERVER, FIN_ACK, 501, 105), (CLIENT, FIN_ACK, 105, 502), syn, syn]),
            [false, false, true, false]
        );
        assert_eq!(after_opening(&[(SERVER, Flags::RST, 501, 0), syn]), [false, true]);
        assert_eq!(
            play(&[OPENED[0], (SERVER, Flags::RST | ACK, 0, 101), syn]),
            [false, false, true]
        );
    }

    #[test]
    fn new_syn_on_a_live_connection_counts_when_the_peer_accepts_it() {
        let syn = (CLIENT, Flags::SYN, 0x7000_0000, 0);
        let challenge = (SERVER, ACK, 501, 105);
        let accepted = (SERVER, SYN_ACK, 9000, 0x7000_0001);
        assert_eq!(after_opening(&[syn, challenge, (CLIENT, ACK, 105, 505)]), [false; 3]);
        assert_eq!(after_opening(&[syn, accepted, syn]), [false, true, false]);
        assert_eq!(after_opening(&[syn, (SERVER, ACK, 9001, 0x7000_0100)]), [false, true]);
        assert_eq!(
            after_opening(&[(SERVER, Flags::RST, 501 + (8 << 20), 0), syn]),
            [false, false]
        );
    }

    #[test]
    fn one_sided_capture_believes_the_syn() {
        let syn = (CLIENT, Flags::SYN, 0x7000_0000, 0);
        assert_eq!(play(&[OPENED[0], OPENED[2], syn]), [false, false, true]);
        assert_eq!(
            play(&[OPENED[1], (SERVER, ACK, 501, 105), (SERVER, SYN_ACK, 9000, 70_001)]),
            [false, false, true]
        );
    }

    #[test]
    fn taps_may_swap_the_handshake() {
        assert_eq!(play(&[OPENED[1], OPENED[0], OPENED[2]]), [false; 3]);
        assert_eq!(play(&[OPENED[2], OPENED[1], OPENED[0]]), [false; 3]);
    }

    #[test]
    fn ends_are_told_whatever_the_roles() {
        let mut handshake = Handshake::default();
        handshake.note(CLIENT, &segment(Flags::SYN, 100, 0, b""));
        handshake.flip();
        handshake.note(SERVER, &segment(FIN_ACK, 101, 501, b""));
        assert!(!handshake.has_ended());
        handshake.note(CLIENT, &segment(FIN_ACK, 501, 102, b""));
        assert!(handshake.has_ended());
    }
}
