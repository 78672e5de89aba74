//! Secrets of TLS and QUIC connections that their operator has logged (RFC 9850, the NSS key log format), by the random
//! of the ClientHello.
//!
//! The store only ever grows, and forgets its oldest connections beyond a bound. Layers ask when a connection begins and,
//! while they wait, only after [`Secrets::changes`] has moved on: the lock is never on the path of a packet. A store may
//! stand above another one: each worker of a replay keeps the secrets that its own capture files have given so far, above
//! those that all share, so that every worker knows the same at the same packet.
//!
//! Secrets are shown nowhere: not by `Debug`, not in a message, and their memory is wiped. Lines that are no secret of a
//! known kind are counted and passed over. Does not read RSA premaster secrets and the keys of an encrypted ClientHello.

mod lines;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroize as _;

pub use lines::Lines;

/// Length of the random of a ClientHello, in bytes (RFC 8446, section 4.1.2).
pub const RANDOM_BYTES: usize = 32;

/// Longest secret, in bytes: the output of SHA-384, or a master secret (RFC 5246, section 8.1).
pub const SECRET_MAX_BYTES: usize = 48;

/// The random of a ClientHello, which names a connection.
pub type Random = [u8; RANDOM_BYTES];

/// The section `[tls]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Key log files (NSS format) of connections that the operator owns. Live capture follows them.
    pub keylog: Vec<PathBuf>,
    /// Connections whose secrets are known at a time; beyond that the oldest are forgotten.
    pub max_connections: usize,
    /// Most ciphertext that one flow holds while its secrets may still come, in bytes.
    pub pending_max_bytes: usize,
    /// Most ciphertext that all flows hold together, in bytes. Each slice of the flow space gets an equal share.
    pub pending_total_max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keylog: Vec::new(),
            max_connections: 200_000,
            pending_max_bytes: 512 << 10,
            pending_total_max_bytes: 256 << 20,
        }
    }
}

/// What a secret is for. The words are those of RFC 9850, section 2; QUIC uses those of TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// `CLIENT_EARLY_TRAFFIC_SECRET`.
    ClientEarlyTraffic,
    /// `CLIENT_HANDSHAKE_TRAFFIC_SECRET`.
    ClientHandshakeTraffic,
    /// `CLIENT_TRAFFIC_SECRET_0`.
    ClientTraffic,
    /// `CLIENT_RANDOM`: the master secret up to TLS 1.2.
    Master,
    /// `SERVER_HANDSHAKE_TRAFFIC_SECRET`.
    ServerHandshakeTraffic,
    /// `SERVER_TRAFFIC_SECRET_0`.
    ServerTraffic,
}

/// Number of labels.
const LABELS: usize = 6;

/// A secret. Wiped when dropped, and shown nowhere.
#[derive(Clone)]
pub struct Secret {
    bytes: [u8; SECRET_MAX_BYTES],
    len: usize,
}

impl Secret {
    /// `None` when it is longer than any secret is.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut kept = [0; SECRET_MAX_BYTES];
        kept.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self {
            bytes: kept,
            len: bytes.len(),
        })
    }

    /// The bytes, to be replaced by a secret of the same length.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret of {} bytes", self.len)
    }
}

/// What is known of connections.
pub struct Secrets {
    below: Option<Arc<Self>>,
    max_connections: usize,
    /// Whether more may come at any time.
    grows: AtomicBool,
    changes: AtomicU64,
    evicted: AtomicU64,
    // Written by the reader of a key log, a few times a second at most; read when a connection begins.
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    by_random: HashMap<Random, [Option<Secret>; LABELS]>,
    /// Oldest first.
    order: VecDeque<Random>,
}

impl Secrets {
    /// An empty store. `grows` says that a key log is being written while flows are read.
    pub fn new(max_connections: usize, grows: bool) -> Self {
        Self {
            below: None,
            max_connections: max_connections.max(1),
            grows: AtomicBool::new(grows),
            changes: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            kept: RwLock::default(),
        }
    }

    /// An empty store that also knows what another one does.
    pub fn above(below: &Arc<Self>) -> Self {
        Self {
            below: Some(Arc::clone(below)),
            ..Self::new(below.max_connections, false)
        }
    }

    /// Adds a secret. A later one for the same connection and purpose takes the place of an earlier one.
    pub fn add(&self, random: Random, label: Label, secret: Secret) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let Kept { by_random, order } = &mut *kept;
        let connection = by_random.entry(random).or_insert_with(|| {
            order.push_back(random);
            Default::default()
        });
        if let Some(place) = connection.get_mut(label as usize) {
            *place = Some(secret);
        }
        if order.len() > self.max_connections
            && let Some(oldest) = order.pop_front()
        {
            by_random.remove(&oldest);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        drop(kept);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Adds the secrets of a whole key log.
    pub fn read(&self, text: &[u8]) {
        let mut lines = Lines::default();
        lines.push(text, self);
        lines.end(self);
    }

    /// A secret, if it is known.
    pub fn find(&self, random: &Random, label: Label) -> Option<Secret> {
        let own = || {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            kept.by_random.get(random)?.get(label as usize)?.clone()
        };
        own().or_else(|| self.below.as_ref()?.find(random, label))
    }

    /// Whether any secret of a connection is known.
    pub fn knows(&self, random: &Random) -> bool {
        let own = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        own.by_random.contains_key(random) || self.below.as_ref().is_some_and(|below| below.knows(random))
    }

    /// Grows with every secret that was added: what was not found needs to be looked for again only when this has moved.
    pub fn changes(&self) -> u64 {
        let below = self.below.as_ref().map_or(0, |below| below.changes());
        self.changes.load(Ordering::Acquire).wrapping_add(below)
    }

    /// Whether a secret that is not known may still come.
    pub fn grows(&self) -> bool {
        self.grows.load(Ordering::Relaxed) || self.below.as_ref().is_some_and(|below| below.grows())
    }

    /// From now on more may come at any time.
    pub fn expect_more(&self) {
        self.grows.store(true, Ordering::Relaxed);
    }

    /// Whether there is any key material, or may be: otherwise a flow without secrets says nothing about it.
    pub fn is_in_use(&self) -> bool {
        self.changes() > 0 || self.grows()
    }

    /// Connections that are known, those of the store below included.
    pub fn len(&self) -> usize {
        let own = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let below = self.below.as_ref().map_or(0, |below| below.len());
        own.by_random.len().saturating_add(below)
    }

    /// Whether no connection is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections that were forgotten because the bound was reached.
    pub fn evicted(&self) -> u64 {
        let below = self.below.as_ref().map_or(0, |below| below.evicted());
        self.evicted.load(Ordering::Relaxed).saturating_add(below)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets of {} connections", self.len())
    }
}

/// Key material as the flows of one slice see it: what is known, and how much may be held for what is not.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What is known.
    pub secrets: Arc<Secrets>,
    /// Most ciphertext that one flow holds, in bytes.
    pub pending_max_bytes: usize,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    held_bytes: AtomicUsize,
    max_bytes: usize,
}

impl Keys {
    /// For one of so many equal slices.
    pub fn new(secrets: &Arc<Secrets>, config: &Config, slices: usize) -> Self {
        let share = config.pending_total_max_bytes.checked_div(slices);
        let share = share.unwrap_or(config.pending_total_max_bytes);
        Self {
            secrets: Arc::clone(secrets),
            pending_max_bytes: config.pending_max_bytes,
            room: Arc::new(Room {
                held_bytes: AtomicUsize::new(0),
                max_bytes: share.max(config.pending_max_bytes),
            }),
        }
    }

    /// Whether so many more bytes may be held; if so they count until [`Keys::release`]. A slice belongs to one thread.
    pub fn reserve(&self, bytes: usize) -> bool {
        let held = self.room.held_bytes.load(Ordering::Relaxed).saturating_add(bytes);
        let fits = held <= self.room.max_bytes;
        if fits {
            self.room.held_bytes.store(held, Ordering::Relaxed);
        }
        fits
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        let held = self.room.held_bytes.load(Ordering::Relaxed);
        debug_assert!(held >= bytes, "only what was reserved is given back");
        self.room
            .held_bytes
            .store(held.saturating_sub(bytes), Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::new(&[byte; 32]).unwrap()
    }

    fn first(secrets: &Secrets, random: u8) -> Option<u8> {
        let found = secrets.find(&[random; RANDOM_BYTES], Label::ClientTraffic)?;
        Some(found.bytes()[0])
    }

    #[test]
    fn the_oldest_connections_are_forgotten_and_counted() {
        let secrets = Secrets::new(2, false);
        for (random, value) in [(1, 1), (2, 2), (1, 9), (3, 3)] {
            secrets.add([random; RANDOM_BYTES], Label::ClientTraffic, secret(value));
        }
        let found: Vec<_> = (1..4).map(|random| first(&secrets, random)).collect();
        assert_eq!((found, secrets.evicted()), (vec![None, Some(2), Some(3)], 1));
        assert_eq!((secrets.len(), secrets.changes()), (2, 4));
        assert!(secrets.find(&[2; RANDOM_BYTES], Label::ServerTraffic).is_none());
        assert!(secrets.knows(&[2; RANDOM_BYTES]) && !secrets.knows(&[1; RANDOM_BYTES]));
    }

    #[test]
    fn a_store_above_knows_both_and_changes_only_itself() {
        let below = Arc::new(Secrets::new(9, false));
        below.add([1; RANDOM_BYTES], Label::ClientTraffic, secret(1));
        let above = Secrets::above(&below);
        assert!(above.is_in_use() && !above.grows());
        above.add([2; RANDOM_BYTES], Label::ClientTraffic, secret(2));
        above.expect_more();
        assert_eq!((first(&above, 1), first(&above, 2)), (Some(1), Some(2)));
        assert_eq!((first(&below, 2), below.grows(), above.changes()), (None, false, 2));
    }

    #[test]
    fn secrets_are_never_shown() {
        let secrets = Arc::new(Secrets::new(9, false));
        secrets.add([0xab; RANDOM_BYTES], Label::Master, Secret::new(&[0xcd; 48]).unwrap());
        let keys = Keys::new(&secrets, &Config::default(), 1);
        let shown = format!("{keys:?} {:?}", secrets.find(&[0xab; RANDOM_BYTES], Label::Master));
        for part in ["205", "171", "cd", "ab"] {
            assert!(!shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn what_is_held_has_a_bound() {
        let config = Config {
            pending_max_bytes: 10,
            pending_total_max_bytes: 40,
            ..Config::default()
        };
        let keys = Keys::new(&Arc::new(Secrets::new(1, true)), &config, 2);
        assert!(keys.reserve(20) && !keys.reserve(1));
        keys.release(5);
        assert!(keys.reserve(5) && !keys.reserve(1));
    }
}
