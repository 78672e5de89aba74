//! QUIC (RFC 9000, RFC 9001, RFC 9369): the hellos out of Initial packets, the fact that a flow is encrypted, and,
//! where key material opens it, HTTP/3.
//!
//! The keys of Initial packets come from what everybody can see, so that the hello is read like that of TLS over TCP,
//! however many packets and datagrams it takes, in whatever order they come. Once it was told and the server has
//! answered nothing more can be learned without secrets, and the flow is bypassed: the bulk of a connection costs one
//! lookup a packet. A version that cannot be read is waited through, because the client comes back with another one.
//!
//! A flow is QUIC when a packet opens with the keys that its connection id gives, or when its headers fit together to
//! the last byte and name a known version. Where a snap length has cut the tag of a hello off, its beginning stands for
//! it. What is joined midway has neither: see `midway.rs` for what is said then.
//!
//! Does not see a second connection between the same ports once the first was bypassed, and does not follow one to
//! other addresses.

pub(in crate::proto) mod bytes;
mod connection;
mod first_flight;
mod frame;
mod midway;
mod numbers;
mod order;
mod packet;
mod protect;
mod streams;
#[cfg(test)]
mod vectors;
mod version;
mod waiting;

use crate::model::chunk::{Chunk, Data};
use crate::model::flow::Why;
use crate::model::net::{Direction, Transport};
use crate::model::observation::Fact;
use crate::model::stamp::Stamp;
use crate::proto::quic::connection::Connection;
use crate::proto::quic::first_flight::{FirstFlight, Message, Push};
use crate::proto::quic::midway::Midway;
use crate::proto::quic::packet::{Long, Packet};
use crate::proto::quic::version::{Kind, Version};
use crate::proto::quic::waiting::{Found, Waiting};
use crate::proto::tls::hello::{ClientHello, ServerHello};
use crate::proto::tls::ja4::Carrier;
use crate::stream::layer::{Env, Layer, Prefix, Probe, Protocol, Step, Up};

/// The row of `proto::PROTOCOLS`.
pub const PROTOCOL: Protocol = Protocol {
    name: "quic",
    transport: Transport::Udp,
    probe,
    open,
};

/// Packets of one datagram that are looked at. Honest ones hold one of each kind.
const PACKETS_MAX: usize = 8;
/// Datagrams that are waited through for a hello. Generous: what the network loses is sent again.
const SILENT_MAX: u32 = 32;
/// Datagrams that are waited through for proof that it is QUIC at all.
const DOUBTFUL_MAX: u32 = 256;
/// Datagrams that are waited through for an answer to a hello: in a one-sided capture nobody answers.
const UNANSWERED_MAX: u32 = 8;
/// Attempts to open a connection that are followed until the server answers. A Retry and another version make new ones.
const ATTEMPTS_MAX: u32 = 6;
/// Least length of the datagram of a client's first packet, of any version (RFC 9000, section 14.1).
const FIRST_MIN_BYTES: usize = 1_200;
const HTTPS: u16 = 443;

fn probe(prefix: &Prefix<'_>) -> Probe {
    if prefix.is_silent() {
        return Probe::More;
    }
    let mut answers = prefix
        .said()
        .filter_map(|(dir, datagram)| recognise(datagram, dir, prefix.ports));
    answers.next().map_or(Probe::No, |server| Probe::Yes { server })
}

/// Whether a datagram is QUIC, or worth a look, and where the server's bytes travel if it tells.
fn recognise(datagram: &[u8], dir: Direction, ports: [u16; 2]) -> Option<Option<Direction>> {
    match packet::next(datagram)? {
        (Packet::Long(long), _) if first_flight::opens(&long) => Some(Some(dir.flip())),
        (Packet::Long(long), rest) if fits(&long, rest) => Some((long.kind == Kind::ZeroRtt).then(|| dir.flip())),
        (Packet::Long(_), _) => None,
        (Packet::Negotiation(versions), _) => names_known(versions).then_some(Some(dir)),
        (Packet::Foreign(_), _) => (datagram.len() >= FIRST_MIN_BYTES).then_some(None),
        (Packet::Retry(_), _) => Some(None),
        (Packet::Short(_), _) => ports.contains(&HTTPS).then_some(None),
    }
}

/// Whether the header of a packet fits with itself and with what follows it in its datagram.
fn fits(long: &Long<'_>, rest: &[u8]) -> bool {
    let padding = || rest.iter().all(|byte| *byte == 0);
    long.fixed && (packet::next(rest).is_some() || padding())
}

fn names_known(versions: &[u8]) -> bool {
    let (numbers, _) = versions.as_chunks::<4>();
    let known = |number: &[u8; 4]| Version::parse(u32::from_be_bytes(*number)).is_some();
    numbers.iter().any(known)
}

fn open(env: &Env) -> Box<dyn Layer> {
    Box::new(Quic {
        env: env.clone(),
        datagrams: 0,
        attempts: 0,
        sure: false,
        answered: false,
        asked: None,
        flight: None,
        waiting: None,
        connection: None,
        midway: Midway::default(),
        opened: Vec::new(),
    })
}

/// Reads one flow until both ends have said what they say in clear; with its secrets, to its end.
struct Quic {
    /// Limits and key material.
    env: Env,
    datagrams: u32,
    attempts: u32,
    /// It is QUIC beyond doubt.
    sure: bool,
    /// The server's hello was told.
    answered: bool,
    asked: Option<Asked>,
    /// The connection that the client tries to open.
    flight: Option<Box<FirstFlight>>,
    /// The connection may be opened yet.
    waiting: Option<Waiting>,
    connection: Option<Box<Connection>>,
    midway: Midway,
    /// Scratch.
    opened: Vec<u8>,
}

/// The hello that was told last.
struct Asked {
    /// The same in every attempt of one connection.
    random: [u8; 32],
    /// Value of `Quic::datagrams` then.
    datagram: u32,
}

impl Layer for Quic {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let Data::Bytes(datagram) = chunk.data else {
            return self.end(chunk.at, up);
        };
        let over = self
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.is_over(chunk.at.time));
        self.look(over, up);
        self.datagrams = self.datagrams.saturating_add(1);
        let mut rest = datagram;
        for _ in 0..PACKETS_MAX {
            let known = self.connection.is_some() || self.waiting.is_some();
            let greased = || packet::greased(rest).filter(|_| known);
            let Some((packet, behind)) = packet::next(rest).or_else(greased) else {
                break;
            };
            match packet {
                Packet::Foreign(ids) | Packet::Retry(ids) => self.sure |= self.midway.long(chunk.dir, &ids),
                Packet::Long(long) => self.long(&long, behind, &chunk, up),
                Packet::Negotiation(versions) => self.sure |= names_known(versions),
                Packet::Short(bytes) => {
                    self.protected(chunk.dir, chunk.at, bytes, up);
                    if !self.sure && self.midway.short(chunk.dir, bytes) {
                        return Step::Bypass(Why::Opaque);
                    }
                }
            }
            rest = behind;
        }
        self.step(up)
    }
}

impl Quic {
    /// What follows from a datagram.
    fn step(&mut self, up: &mut Up<'_>) -> Step {
        match (&self.connection, &self.waiting) {
            (Some(connection), _) if connection.is_hopeless() => return Step::Bypass(Why::WrongSecrets),
            (None, Some(waiting)) if waiting.is_full() => return Step::Bypass(Why::NoSecrets),
            (Some(_), _) | (None, Some(_)) => return Step::Continue,
            (None, None) => {}
        }
        let waited = |since: u32| self.datagrams.saturating_sub(since);
        let hopeless = self.flight.as_ref().is_some_and(|flight| flight.is_hopeless());
        let patience = if self.sure { SILENT_MAX } else { DOUBTFUL_MAX };
        match &self.asked {
            Some(asked) if self.answered || waited(asked.datagram) >= UNANSWERED_MAX => Step::Bypass(self.veil()),
            None if hopeless || waited(0) >= patience => self.give_up(up),
            Some(_) | None => Step::Continue,
        }
    }

    /// Why a flow whose hello was told is not read any further.
    fn veil(&self) -> Why {
        let in_use = self.env.keys.as_ref().is_some_and(|keys| keys.secrets.is_in_use());
        if in_use { Why::NoSecrets } else { Why::Opaque }
    }

    /// The flow has ended.
    fn end(&mut self, at: Stamp, up: &mut Up<'_>) -> Step {
        // A key log lags behind the wire: what was said in the last packets may have come since.
        self.look(true, up);
        if let Some(connection) = &mut self.connection {
            connection.close(at, up);
            return match (connection.is_open(), connection.has_failed()) {
                (true, _) => Step::Continue,
                (false, true) => Step::Bypass(Why::WrongSecrets),
                (false, false) => Step::Bypass(self.veil()),
            };
        }
        if self.asked.is_some() {
            return Step::Bypass(self.veil());
        }
        self.give_up(up)
    }

    /// Nothing more will come of it. A name often stands in what has come of a hello.
    fn give_up(&mut self, up: &mut Up<'_>) -> Step {
        let begun = self.flight.as_ref().and_then(|flight| flight.client_hello());
        if let (None, Some(message)) = (&self.asked, begun) {
            let hello = ClientHello::parse(message.body).filter(|hello| hello.sni.is_some());
            if let Some(hello) = hello {
                up.fact(message.at, Fact::Tls(hello.fact(Carrier::Quic)));
            }
        }
        Step::Bypass(if self.sure { Why::Opaque } else { Why::Unknown })
    }

    fn long(&mut self, long: &Long<'_>, rest: &[u8], chunk: &Chunk<'_>, up: &mut Up<'_>) {
        self.sure |= self.midway.long(chunk.dir, &long.ids) || fits(long, rest);
        match (long.kind, chunk.dir) {
            (Kind::Initial, Direction::ToServer) => self.ask(long, chunk.at, up),
            (Kind::Initial, Direction::ToClient) => self.answer(long, chunk.at, up),
            (Kind::ZeroRtt, Direction::ToServer) => self.protected(chunk.dir, chunk.at, long.whole, up),
            (Kind::Handshake | Kind::Retry | Kind::ZeroRtt, _) => {}
        }
    }

    /// An Initial of the client: of the attempt that is followed, or of another one.
    fn ask(&mut self, long: &Long<'_>, at: Stamp, up: &mut Up<'_>) {
        let Self {
            env, opened, flight, ..
        } = self;
        let mut read = |flight: &mut FirstFlight| {
            flight.push(Direction::ToServer, long, at, env.head_max_bytes, opened) == Push::Read
        };
        if !flight.as_mut().is_some_and(|flight| read(flight)) {
            let fresh = (self.attempts < ATTEMPTS_MAX).then(|| FirstFlight::new(long)).flatten();
            // What its own connection id does not open belongs to an attempt whose first packet was not captured.
            let Some(mut fresh) = fresh.map(Box::new) else { return };
            if !read(&mut fresh) {
                return;
            }
            *flight = Some(fresh);
            self.attempts = self.attempts.saturating_add(1);
        }
        self.sure = true;
        let Some(message) = flight.as_ref().and_then(|flight| flight.client_hello()) else {
            return;
        };
        let Some(hello) = ClientHello::parse(message.body) else {
            return;
        };
        // A name often stands before the cut of a snap length.
        let named = flight.as_ref().is_some_and(|flight| flight.is_cut()) && hello.sni.is_some();
        if !(message.whole || named) {
            return;
        }
        let told = self.asked.as_ref().is_some_and(|asked| asked.random == hello.random);
        if !told {
            up.fact(message.at, Fact::Tls(hello.fact(Carrier::Quic)));
            self.asked = Some(Asked {
                random: hello.random,
                datagram: self.datagrams,
            });
            let reads = hello.alpn.iter().any(|name| name.starts_with(b"h3"));
            self.waiting = self
                .env
                .keys
                .as_ref()
                .filter(|_| reads)
                .map(|keys| Waiting::new(hello.random, keys, at.time));
            self.look(false, up);
        }
    }

    /// An Initial of the server.
    fn answer(&mut self, long: &Long<'_>, at: Stamp, up: &mut Up<'_>) {
        let Some(flight) = &mut self.flight else { return };
        flight.push(Direction::ToClient, long, at, self.env.head_max_bytes, &mut self.opened);
        let hello = flight
            .server_hello()
            .filter(|message| message.whole && !self.answered && self.asked.is_some());
        if let Some(Message { at, body, .. }) = hello
            && let Some(hello) = ServerHello::parse(body).filter(|hello| !hello.retry)
        {
            up.fact(at, Fact::TlsAnswer(hello.fact()));
            self.answered = true;
        }
    }

    /// Looks for the secrets of the connection that was asked for, and opens what was held for them.
    fn look(&mut self, last: bool, up: &mut Up<'_>) {
        let Some(waiting) = &mut self.waiting else { return };
        let Some(found) = waiting.look(&self.env, last) else {
            return;
        };
        let held = waiting.take();
        self.waiting = None;
        let Found::Connection(connection) = found else { return };
        if let Some(mut before) = self.connection.replace(connection) {
            before.close(held.first().map_or_else(Stamp::default, |held| held.at), up);
        }
        self.attempts = 0;
        for held in held {
            self.protected(held.dir, held.at, &held.bytes, up);
        }
    }

    /// A packet that only secrets open.
    fn protected(&mut self, dir: Direction, at: Stamp, packet: &[u8], up: &mut Up<'_>) {
        if let Some(waiting) = &mut self.waiting {
            waiting.hold(dir, at, packet);
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        let version = self.flight.as_ref().map_or(Version::V1, |flight| flight.version());
        match packet::next(packet).or_else(|| packet::greased(packet)) {
            Some((Packet::Long(long), _)) => connection.early(&long, at, up),
            Some((Packet::Short(bytes), _)) => {
                let id_len = self.midway.id_len(dir);
                connection.short((dir, at), bytes, (version, id_len), up);
            }
            _ => {}
        }
    }
}
