//! What can be said of a flow that shows no packet which opens: joined midway, or of a version that cannot be read.
//!
//! A short header has one bit that is known, so a single datagram proves nothing. QUIC is believed, on the port of
//! HTTPS alone, when a run of datagrams of one direction has what its short headers have and other protocols have not:
//! the same connection id, protected bits in the first byte that change at random, and an end that looks like an
//! authentication tag. Any other flow stays unknown: clients are often sent packets without a connection id, and a
//! server on another port is not told apart from a game.
//!
//! A long header of any version proves QUIC when it is addressed to a connection id that the other end has named
//! (RFC 8999, section 5).

use super::packet::Ids;
use crate::model::net::Direction;

/// Datagrams of one direction that have to agree.
const RUN: u32 = 8;
/// Bytes of the connection id that have to be the same. Servers choose at least as many.
const ID_BYTES: usize = 4;
/// Values that the five protected bits of the first byte have to take at least within a run. Random ones take seven of
/// 32 on average, and fewer than four in one of some 20 000 runs.
const VALUES_MIN: u32 = 4;
/// Protected bits of a short header's first byte (RFC 9001, section 5.4.1).
const PROTECTED_BITS: u8 = 0x1f;
/// Shortest datagram with a short header: first byte, connection id, packet number, something to say, tag.
const SHORT_MIN_BYTES: usize = 1 + ID_BYTES + 1 + 3 + TAG_BYTES;
const TAG_BYTES: usize = 16;
/// How far the number of set bits in the tags of a run may be off the middle: five standard deviations.
const ONES_OFF_MAX: u32 = 80;
/// Shortest connection id that proves anything when it comes back.
const ECHO_MIN_BYTES: usize = 4;

/// Evidence of a flow that shows no packet which opens.
#[derive(Debug, Default)]
pub(super) struct Midway {
    /// A run per direction, indexed by [`Direction::index`].
    runs: [Run; 2],
    /// Connection ids that each end has named last.
    named: [Option<Vec<u8>>; 2],
}

/// Datagrams in a row that agree.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    id: [u8; ID_BYTES],
    count: u32,
    /// Values of the protected bits, one bit each.
    values: u32,
    /// Bits set in the tags.
    ones: u32,
}

impl Midway {
    /// A datagram with a short header: whether this one makes it QUIC.
    pub(super) fn short(&mut self, dir: Direction, datagram: &[u8]) -> bool {
        let Some(run) = self.runs.get_mut(dir.index()) else {
            return false;
        };
        let (Some((first, rest)), Some(tag)) = (datagram.split_first(), datagram.last_chunk::<TAG_BYTES>()) else {
            return false;
        };
        let Some(id) = rest
            .first_chunk::<ID_BYTES>()
            .filter(|_| datagram.len() >= SHORT_MIN_BYTES)
        else {
            return false;
        };
        if run.id != *id {
            *run = Run {
                id: *id,
                ..Run::default()
            };
        }
        run.count = run.count.saturating_add(1);
        run.values |= 1 << (first & PROTECTED_BITS);
        run.ones = run.ones.saturating_add(u128::from_be_bytes(*tag).count_ones());
        let middle = run.count.saturating_mul(u128::BITS / 2);
        run.count >= RUN && run.values.count_ones() >= VALUES_MIN && run.ones.abs_diff(middle) <= ONES_OFF_MAX
    }

    /// A long header: whether it is addressed to what the other end calls itself.
    pub(super) fn long(&mut self, dir: Direction, ids: &Ids<'_>) -> bool {
        let [to_server, to_client] = &mut self.named;
        let (mine, other) = match dir {
            Direction::ToServer => (to_server, to_client),
            Direction::ToClient => (to_client, to_server),
        };
        let mine = mine.get_or_insert_default();
        mine.clear();
        mine.extend_from_slice(ids.source);
        ids.destination.len() >= ECHO_MIN_BYTES && Some(ids.destination) == other.as_deref()
    }

    /// Length of the connection id in short headers that travel in `dir`, if their receiver has named itself.
    pub(super) fn id_len(&self, dir: Direction) -> Option<usize> {
        let [client, server] = &self.named;
        let receiver = match dir {
            Direction::ToServer => server,
            Direction::ToClient => client,
        };
        receiver.as_ref().map(Vec::len)
    }
}
