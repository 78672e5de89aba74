//! A connection that key material opens: its packets behind the handshake, and HTTP/3 in their streams.
//!
//! The cipher suite, the length of the connection ids, and which of two versions was agreed on, are what opens the
//! first packet of a direction: no packet of the handshake has to be seen for it. Costs the opening of every packet,
//! copied once.
//!
//! Does not follow a connection to other addresses, and reads no protocol but HTTP/3.

use super::frame::{Ack, Frame, Frames};
use super::numbers::Numbers;
use super::packet::Long;
use super::protect::{Keys, PacketKey, Suite, update};
use super::streams::{Piece, Streams};
use super::version::Version;
use crate::model::net::Direction;
use crate::model::observation::{Cover, Fact};
use crate::model::server::Encryption;
use crate::model::stamp::Stamp;
use crate::proto::http::Http3;
use crate::stream::layer::{Env, Layer, Up};
use crate::stream::secrets::{Label, Random, Secret, Secrets};

/// Packets that may fail to open before the first one does.
const FAILURES_MAX: u32 = 16;

/// Packets of one side that are tried with a secret that has opened none of them.
const TRIES_MAX: u32 = 256;
/// Packets of both directions for which a packet may come late: as far as two taps are apart.
const LATE_MAX: u32 = 32;
/// Longest connection id, in bytes.
const ID_MAX_BYTES: usize = 20;

/// A connection whose secrets are known.
pub(super) struct Connection {
    to_server: Side,
    to_client: Side,
    streams: Streams,
    http: Http3,
    failures: u32,
    opened: bool,
    /// Scratch.
    buffer: Vec<u8>,
}

/// One direction.
struct Side {
    /// What its keys come from.
    secret: Option<Secret>,
    /// What the keys of 0-RTT come from.
    early: Option<Secret>,
    keys: Option<Traffic>,
    /// Packets that `secret` was tried with before it opened one.
    tries: u32,
    early_keys: Option<Keys>,
    numbers: Numbers,
    /// Packets that were acknowledged and some of which were not seen, and how many packets they are waited for.
    doubtful: Option<((u64, u64), u32)>,
}

/// Keys of a direction whose first packet has opened.
struct Traffic {
    version: Version,
    suite: Suite,
    id_len: usize,
    keys: Keys,
    /// Bit of the packets that `keys` opens.
    phase: bool,
    /// First packet of that phase.
    since: u64,
    previous: Option<PacketKey>,
    next: PacketKey,
    /// What `next` comes from.
    secret: Secret,
}

impl Connection {
    /// The connection that a hello with this random opens, if its secrets are known: those of one direction, or, when
    /// more may come, of both.
    pub(super) fn new(secrets: &Secrets, random: &Random, grows: bool, env: &Env) -> Option<Self> {
        let side = |label, early| Side {
            secret: secrets.find(random, label),
            early,
            keys: None,
            tries: 0,
            early_keys: None,
            numbers: Numbers::default(),
            doubtful: None,
        };
        let to_server = side(Label::ClientTraffic, secrets.find(random, Label::ClientEarlyTraffic));
        let to_client = side(Label::ServerTraffic, None);
        let known = [&to_server, &to_client].map(|side| side.secret.is_some());
        if known == [false, false] || (grows && known != [true, true]) {
            return None;
        }
        Some(Self {
            to_server,
            to_client,
            streams: Streams::default(),
            http: Http3::new(env),
            failures: 0,
            opened: false,
            buffer: Vec::new(),
        })
    }

    /// Whether a packet has opened.
    pub(super) fn is_open(&self) -> bool {
        self.opened
    }

    /// Whether a packet did not open.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Whether the secrets do not fit.
    pub(super) fn is_hopeless(&self) -> bool {
        !self.opened && self.failures >= FAILURES_MAX
    }

    /// A packet with a short header. `id_len` is the length of the connection id that its receiver has named.
    pub(super) fn short(
        &mut self,
        (dir, at): (Direction, Stamp),
        packet: &[u8],
        (version, id_len): (Version, Option<usize>),
        up: &mut Up<'_>,
    ) {
        if self.side(dir).secret.is_none() {
            // Nobody has said that it opens: that it does not tells nothing of the secrets of the other direction.
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let side = self.side(dir);
        let payload = side.open(packet, version, id_len, &mut buffer);
        self.read((dir, at), payload, up);
        self.buffer = buffer;
    }

    /// A packet of 0-RTT. The suite is that of the session before.
    pub(super) fn early(&mut self, long: &Long<'_>, at: Stamp, up: &mut Up<'_>) {
        if self.to_server.early.is_none() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let payload = self.to_server.open_early(long, &mut buffer);
        self.read((Direction::ToServer, at), payload, up);
        self.buffer = buffer;
    }

    /// The flow has ended: what waits comes out.
    pub(super) fn close(&mut self, at: Stamp, up: &mut Up<'_>) {
        for dir in [Direction::ToServer, Direction::ToClient] {
            self.lose(dir, at, up);
        }
        self.http.close(at, up);
    }

    fn side(&mut self, dir: Direction) -> &mut Side {
        match dir {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// The frames of a packet, if it has opened.
    fn read(&mut self, (dir, at): (Direction, Stamp), opened: Option<(u64, &[u8])>, up: &mut Up<'_>) {
        let Some((number, payload)) = opened else {
            self.failures = self.failures.saturating_add(1);
            return;
        };
        if !self.opened {
            self.opened = true;
            up.fact(at, Fact::Uncovered(Cover::Opened(Encryption::Quic)));
        }
        // Taps and mirrors repeat packets; senders never do.
        if !self.side(dir).numbers.see(number) {
            return;
        }
        for frame in Frames::new(payload) {
            match frame {
                Frame::Ack(ack) => self.side(dir.flip()).acknowledge(&ack),
                // Tickets.
                Frame::Crypto { .. } => {}
                Frame::Reset { id, length } => {
                    let piece = Piece {
                        id,
                        offset: 0,
                        data: &[],
                        length: Some(length),
                        reset: true,
                    };
                    self.piece((dir, at), &piece, up);
                }
                Frame::Stream { id, offset, data, ends } => {
                    let piece = Piece {
                        id,
                        offset,
                        data,
                        length: ends.then(|| offset.saturating_add(data.len() as u64)),
                        reset: false,
                    };
                    self.piece((dir, at), &piece, up);
                }
            }
        }
        up.shed(self.streams.take_shed());
        for dir in [Direction::ToServer, Direction::ToClient] {
            if self.side(dir).misses() {
                self.lose(dir, at, up);
            }
        }
        self.http.packet(at, up);
    }

    fn piece(&mut self, (dir, at): (Direction, Stamp), piece: &Piece<'_>, up: &mut Up<'_>) {
        let Self { streams, http, .. } = self;
        streams.push(dir, at, piece, &mut |chunk| _ = http.push(chunk, up));
    }

    /// What waits for lost packets waits no longer.
    fn lose(&mut self, dir: Direction, at: Stamp, up: &mut Up<'_>) {
        let Self { streams, http, .. } = self;
        streams.lose(dir, at, &mut |chunk| _ = http.push(chunk, up));
        http.lose(dir);
    }
}

impl Side {
    /// The receiver has got these packets. What is missing of them may still come, late by another tap.
    fn acknowledge(&mut self, ack: &Ack<'_>) {
        if self.doubtful.is_none() {
            let lacks = |range: &(u64, u64)| self.numbers.lacks(range.0, range.1);
            self.doubtful = ack.ranges().find(lacks).map(|range| (range, LATE_MAX));
        }
    }

    /// Called with each packet: whether some have not come in time.
    fn misses(&mut self) -> bool {
        let Some(((first, last), left)) = &mut self.doubtful else {
            return false;
        };
        *left = left.saturating_sub(1);
        let (first, last) = (*first, *last);
        if *left > 0 {
            return false;
        }
        self.doubtful = None;
        self.numbers.fill(first, last)
    }

    /// Number and frames of a packet with a short header.
    fn open<'b>(
        &mut self,
        packet: &[u8],
        version: Version,
        id_len: Option<usize>,
        buffer: &'b mut Vec<u8>,
    ) -> Option<(u64, &'b [u8])> {
        if self.keys.is_none() {
            self.keys = self.first(packet, version, id_len, buffer);
            self.tries = self.tries.saturating_add(1);
        }
        let largest = self.numbers.largest();
        self.keys.as_mut()?.open(packet, largest, buffer)
    }

    /// Keys that open the first packet.
    fn first(&self, packet: &[u8], version: Version, id_len: Option<usize>, buffer: &mut Vec<u8>) -> Option<Traffic> {
        // A side that goes on sending what its secret does not open is not tried for ever.
        let secret = self.secret.as_ref().filter(|_| self.tries < TRIES_MAX)?;
        let lengths = id_len.map_or(0..=ID_MAX_BYTES, |length| length..=length);
        let suites = Suite::of_secret(secret.bytes().len());
        // An Initial that came late by another tap may name the version that was not agreed on.
        let ways = version.either().into_iter();
        for (version, suite) in ways.flat_map(|version| suites.iter().map(move |suite| (version, suite))) {
            let keys = Keys::derive(version, *suite, secret.bytes())?;
            for id_len in lengths.clone() {
                let opens = keys.open(packet, id_len.saturating_add(1), self.numbers.largest(), buffer);
                if let Some(number) = opens.map(|opened| opened.number) {
                    return Traffic::new(version, *suite, id_len, keys, number, secret);
                }
            }
        }
        None
    }

    fn open_early<'b>(&mut self, long: &Long<'_>, buffer: &'b mut Vec<u8>) -> Option<(u64, &'b [u8])> {
        let secret = self.early.as_ref()?;
        let largest = self.numbers.largest();
        if self.early_keys.is_none() {
            let mut suites = Suite::of_secret(secret.bytes().len()).iter();
            self.early_keys = suites.find_map(|suite| {
                let keys = Keys::derive(long.version, *suite, secret.bytes())?;
                keys.open(long.whole, long.number_at, largest, buffer)
                    .is_some()
                    .then_some(keys)
            });
        }
        let opened = self
            .early_keys
            .as_ref()?
            .open(long.whole, long.number_at, largest, buffer)?;
        Some((opened.number, opened.payload))
    }
}

impl Traffic {
    fn new(version: Version, suite: Suite, id_len: usize, keys: Keys, since: u64, secret: &Secret) -> Option<Self> {
        let secret = update(version, suite, secret)?;
        Some(Self {
            version,
            suite,
            id_len,
            keys,
            phase: false,
            since,
            previous: None,
            next: PacketKey::derive(version, suite, secret.bytes())?,
            secret,
        })
    }

    fn open<'b>(&mut self, packet: &[u8], largest: Option<u64>, buffer: &'b mut Vec<u8>) -> Option<(u64, &'b [u8])> {
        let number_at = self.id_len.saturating_add(1);
        let bare = self.keys.bare(packet, number_at, largest, buffer)?;
        if bare.phase == self.phase {
            let opened = self.keys.packet.open(&bare, buffer)?;
            return Some((opened.number, opened.payload));
        }
        if bare.number < self.since {
            let opened = self.previous.as_ref()?.open(&bare, buffer)?;
            return Some((opened.number, opened.payload));
        }
        // A key update (RFC 9001, section 6), once a packet opens with it.
        let opened = self.next.open(&bare, buffer)?;
        let secret = update(self.version, self.suite, &self.secret)?;
        let behind = PacketKey::derive(self.version, self.suite, secret.bytes())?;
        let next = std::mem::replace(&mut self.next, behind);
        self.previous = Some(std::mem::replace(&mut self.keys.packet, next));
        (self.secret, self.phase, self.since) = (secret, bare.phase, bare.number);
        Some((opened.number, opened.payload))
    }
}
