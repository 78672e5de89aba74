//! Packets of a connection whose secrets may still come: a key log that grows lags behind the wire.

use super::connection::Connection;
use crate::model::net::Direction;
use crate::model::stamp::{Stamp, Timestamp};
use crate::stream::layer::Env;
use crate::stream::secrets::{Keys, Random};

/// Charged for each held packet beside its bytes.
const PACKET_COST_BYTES: usize = 64;
/// How long secrets are waited for, in nanoseconds of packet time: as long as for those of TLS over TCP.
const PENDING_MAX_NANOS: u64 = 30_000_000_000;

/// What is held. Its bytes count against the bounds of [`Keys`] as long as it lives.
pub(super) struct Waiting {
    random: Random,
    keys: Keys,
    /// When the hello came.
    since: Timestamp,
    /// [`Secrets::changes`](crate::stream::secrets::Secrets::changes) when it was looked for last.
    looked: Option<u64>,
    packets: Vec<Held>,
    bytes: usize,
    full: bool,
}

/// A packet.
pub(super) struct Held {
    pub(super) dir: Direction,
    pub(super) at: Stamp,
    pub(super) bytes: Box<[u8]>,
}

/// What a look for secrets has found.
pub(super) enum Found {
    /// They are there.
    Connection(Box<Connection>),
    /// They will never come.
    Nothing,
}

impl Waiting {
    /// For the secrets of this connection, from now on.
    pub(super) fn new(random: Random, keys: &Keys, since: Timestamp) -> Self {
        Self {
            random,
            keys: keys.clone(),
            since,
            looked: None,
            packets: Vec::new(),
            bytes: 0,
            full: false,
        }
    }

    /// Looks for the secrets, if there is anything new; `None` when it is worth waiting on. It is not when this is the
    /// `last` look: then the secrets of one direction have to do.
    pub(super) fn look(&mut self, env: &Env, last: bool) -> Option<Found> {
        let secrets = &self.keys.secrets;
        let (changes, grows) = (secrets.changes(), secrets.grows() && !last);
        if grows && self.looked == Some(changes) {
            return None;
        }
        self.looked = Some(changes);
        match Connection::new(secrets, &self.random, grows, env) {
            Some(connection) => Some(Found::Connection(Box::new(connection))),
            None => (!grows).then_some(Found::Nothing),
        }
    }

    /// Keeps a packet.
    pub(super) fn hold(&mut self, dir: Direction, at: Stamp, packet: &[u8]) {
        let cost = packet.len().saturating_add(PACKET_COST_BYTES);
        let fits = self.bytes.saturating_add(cost) <= self.keys.pending_max_bytes;
        if self.full || !fits || !self.keys.reserve(cost) {
            self.full = true;
            return;
        }
        self.bytes = self.bytes.saturating_add(cost);
        self.packets.push(Held {
            dir,
            at,
            bytes: packet.into(),
        });
    }

    /// Whether it was waited for long enough.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since) >= PENDING_MAX_NANOS
    }

    /// Whether a packet could not be kept.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// What was kept.
    pub(super) fn take(&mut self) -> Vec<Held> {
        self.keys.release(std::mem::take(&mut self.bytes));
        std::mem::take(&mut self.packets)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.keys.release(self.bytes);
    }
}
