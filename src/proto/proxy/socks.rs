//! SOCKS 4, 4a (openssh.com/txt/socks4.protocol, socks4a.protocol) and 5 (RFC 1928, RFC 1929): a client tells a relay
//! where its stream goes.
//!
//! Each direction is read for itself, so that one alone tells what it can: the client's has the destination, and goes on
//! with the stream when it was granted. Names and passwords are passed over, never kept. BIND, UDP ASSOCIATE and GSSAPI
//! wrap what follows, or carry it elsewhere: not read. Memory: at most [`MESSAGE_MAX_BYTES`] a direction, until the stream
//! begins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{host, inside, tell};
use crate::model::chunk::{Chunk, Data};
use crate::model::flow::Why;
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::stream::carry::Carry;
use crate::stream::layer::{Layer, Prefix, Probe, Protocol, Step, Up};

/// Row of the protocol table.
pub const PROTOCOL: Protocol = Protocol {
    name: "SOCKS",
    transport: Transport::Tcp,
    probe,
    open: |_| Box::new(Socks::default()),
};

/// Longest message before the stream: two texts of 255 bytes and what is around them.
const MESSAGE_MAX_BYTES: usize = 600;
/// Longest user name of version 4 that is believed, in bytes.
const USER_MAX_BYTES: usize = 255;

const CONNECT: u8 = 1;
const BIND: u8 = 2;
/// UDP ASSOCIATE (RFC 1928, section 4).
const ASSOCIATE: u8 = 3;

/// A message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asks {
    /// Name and password (RFC 1929).
    Credentials,
    /// The methods it knows (RFC 1928, section 3).
    Greeting,
    /// What it wants of the relay, and where to.
    Request { command: u8, host: Option<String> },
}

/// A message of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// The method it chose.
    Method(u8),
    /// What came of the credentials, or of the request.
    Outcome { granted: bool, last: bool },
}

/// A message from the front of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read<M> {
    Malformed,
    More,
    /// And its length.
    Whole(M, usize),
}

/// Reads `Some(value, length)` of a parser that returns `None` when bytes are missing.
fn read<M>(parsed: Option<Option<(M, usize)>>) -> Read<M> {
    match parsed {
        None => Read::More,
        Some(None) => Read::Malformed,
        Some(Some((message, len))) => Read::Whole(message, len),
    }
}

/// A first message is too weak a mark alone: what the other side answers, or what the client goes on with, decides.
fn probe(prefix: &Prefix<'_>) -> Probe {
    let mut short = false;
    for dir in [Direction::ToServer, Direction::ToClient] {
        let bytes = |dir: Direction| prefix.bytes.get(dir.index()).copied().unwrap_or_default();
        match looks(bytes(dir), bytes(dir.flip()), prefix.from_start) {
            Looks::Like => {
                // Midway a few bytes are too little to turn the roles round for good.
                return Probe::Yes {
                    server: prefix.from_start.then_some(dir.flip()),
                };
            }
            Looks::Short => short = true,
            Looks::Unlike => {}
        }
    }
    if short { Probe::More } else { Probe::No }
}

enum Looks {
    Like,
    Short,
    Unlike,
}

/// Whether those are the first words of a client and of its relay.
fn looks(client: &[u8], relay: &[u8], from_start: bool) -> Looks {
    if client.is_empty() {
        return Looks::Unlike;
    }
    let next = match asks(client, true) {
        Read::Malformed => return Looks::Unlike,
        Read::More if from_start && relay.is_empty() => return Looks::Short,
        Read::More => return Looks::Unlike,
        Read::Whole(_, len) => client.get(len..).unwrap_or_default(),
    };
    // Midway a segment is a message, or is none.
    if !from_start {
        return if next.is_empty() { Looks::Like } else { Looks::Unlike };
    }
    let version = client.first().copied().unwrap_or_default();
    let answer = match (version, relay) {
        (_, []) => Looks::Short,
        (4, [0]) | (5, [5]) => Looks::Short,
        (4, [0, 0x5a..=0x5d, ..]) => Looks::Like,
        (5, [5, method, ..]) => {
            let offered = client
                .get(2..client.len().saturating_sub(next.len()))
                .unwrap_or_default();
            if *method == 0xff || offered.contains(method) {
                Looks::Like
            } else {
                Looks::Unlike
            }
        }
        _ => Looks::Unlike,
    };
    match (answer, next) {
        (Looks::Short, []) => Looks::Short,
        // One side alone, or a client that does not wait. What goes on in version 4 is the stream: TLS, a word, or JSON.
        (Looks::Short, [first, ..]) if version == 4 => match first {
            22 | b'A'..=b'Z' | b'{' => Looks::Like,
            _ => Looks::Unlike,
        },
        (Looks::Short, _) => match asks(next, false) {
            Read::Whole(..) => Looks::Like,
            Read::More => Looks::Short,
            Read::Malformed => Looks::Unlike,
        },
        (answer, _) => answer,
    }
}

#[derive(Default)]
struct Socks {
    client: Side,
    relay: Side,
    /// Protocol version, as the client's first message says.
    version: u8,
    /// Method that the relay chose.
    method: Option<u8>,
    host: Option<String>,
    /// Where the stream goes was told.
    told: bool,
}

#[derive(Default)]
struct Side {
    carry: Carry,
    /// All messages before the stream have come.
    through: bool,
}

impl Layer for Socks {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let through = self.side(chunk.dir).through;
        match chunk.data {
            _ if through => {
                self.tell(chunk.at, up);
                up.stream(chunk);
                up.step()
            }
            Data::Bytes(bytes) => self.bytes(chunk, bytes, up),
            Data::End => Step::Continue,
            // The client goes on with its stream, so the answer that is lost was a yes.
            Data::Gap(_) if chunk.dir == Direction::ToClient && self.client.through => {
                self.relay.through = true;
                up.stream(chunk);
                up.step()
            }
            Data::Gap(_) => Step::Desync,
        }
    }
}

impl Socks {
    fn side(&mut self, dir: Direction) -> &mut Side {
        match dir {
            Direction::ToServer => &mut self.client,
            Direction::ToClient => &mut self.relay,
        }
    }

    /// Messages before the stream, and what follows them.
    fn bytes(&mut self, chunk: Chunk<'_>, bytes: &[u8], up: &mut Up<'_>) -> Step {
        let Chunk { at, dir, lane, .. } = chunk;
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.side(dir).through {
                self.tell(at, up);
                inside(at, dir, lane, rest, up);
                return up.step();
            }
            let side = self.side(dir);
            let before = side.carry.len();
            let taken = side.carry.take(at, rest, MESSAGE_MAX_BYTES);
            let (step, len) = match dir {
                Direction::ToServer => self.asked(),
                Direction::ToClient => self.said(),
            };
            if step != Step::Continue {
                return step;
            }
            let Some(len) = len else {
                return if taken == rest.len() {
                    Step::Continue
                } else {
                    Step::Desync
                };
            };
            self.side(dir).carry.clear();
            rest = rest.get(len.saturating_sub(before)..).unwrap_or_default();
        }
        Step::Continue
    }

    /// A message of the client, and its length when it has come.
    fn asked(&mut self) -> (Step, Option<usize>) {
        match asks(self.client.carry.bytes(), self.version == 0) {
            Read::Malformed => (Step::Desync, None),
            Read::More => (Step::Continue, None),
            Read::Whole(asks, len) => {
                if self.version == 0 {
                    self.version = self.client.carry.bytes().first().copied().unwrap_or_default();
                }
                if let Asks::Request { command, host } = asks {
                    // What follows is not the stream, or not here.
                    if command != CONNECT {
                        return (Step::Bypass(Why::Unknown), None);
                    }
                    self.host = host;
                    self.client.through = true;
                }
                (Step::Continue, Some(len))
            }
        }
    }

    /// A message of the relay, and its length when it has come.
    fn said(&mut self) -> (Step, Option<usize>) {
        match says(self.relay.carry.bytes(), self.method) {
            Read::Malformed => (Step::Desync, None),
            Read::More => (Step::Continue, None),
            Read::Whole(Says::Method(method), len) => {
                self.method = Some(method);
                // Refused, or wrapped from here on.
                let plain = matches!(method, 0 | 2);
                let step = if plain {
                    Step::Continue
                } else {
                    Step::Bypass(Why::Unknown)
                };
                (step, Some(len))
            }
            Read::Whole(Says::Outcome { granted: false, .. }, _) => (Step::Bypass(Why::Unknown), None),
            Read::Whole(Says::Outcome { last, .. }, len) => {
                if last {
                    self.relay.through = true;
                } else {
                    self.method = Some(0);
                }
                (Step::Continue, Some(len))
            }
        }
    }

    fn tell(&mut self, at: Stamp, up: &mut Up<'_>) {
        if !std::mem::replace(&mut self.told, true) && self.host.is_some() {
            tell(at, None, self.host.as_deref(), up);
        }
    }
}

/// A message of the client.
fn asks(bytes: &[u8], first: bool) -> Read<Asks> {
    match bytes {
        [] => Read::More,
        [4, ..] if first => read(request_4(bytes)),
        [5, ..] if first => read(greeting(bytes)),
        [5, ..] => read(request_5(bytes)),
        [1, ..] if !first => read(credentials(bytes)),
        _ => Read::Malformed,
    }
}

/// `version, count, methods`.
fn greeting(bytes: &[u8]) -> Option<Option<(Asks, usize)>> {
    let count = usize::from(*bytes.get(1)?);
    let methods = bytes.get(2..count.saturating_add(2));
    let seen = methods.or_else(|| bytes.get(2..))?;
    // IANA's registry: a few are given out; 0x80 and above are private.
    if count == 0 || !seen.iter().all(|method| matches!(method, 0..=9 | 0x80..=0xfe)) {
        return Some(None);
    }
    methods?;
    Some(Some((Asks::Greeting, count.saturating_add(2))))
}

/// `version, name length, name, password length, password`.
fn credentials(bytes: &[u8]) -> Option<Option<(Asks, usize)>> {
    let name = usize::from(*bytes.get(1)?).saturating_add(2);
    let len = usize::from(*bytes.get(name)?).saturating_add(name).saturating_add(1);
    bytes.get(..len)?;
    Some(Some((Asks::Credentials, len)))
}

/// `version, command, 0, destination`.
fn request_5(bytes: &[u8]) -> Option<Option<(Asks, usize)>> {
    let command = *bytes.get(1)?;
    if !matches!(command, CONNECT | BIND | ASSOCIATE) || *bytes.get(2)? != 0 {
        return Some(None);
    }
    let Some((host, len)) = destination(bytes.get(3..)?)? else {
        return Some(None);
    };
    Some(Some((Asks::Request { command, host }, len.saturating_add(3))))
}

/// `kind, address, port` (RFC 1928, section 5), and its length.
#[expect(clippy::option_option, reason = "missing bytes are not wrong ones")]
fn destination(bytes: &[u8]) -> Option<Option<(Option<String>, usize)>> {
    let (kind, rest) = bytes.split_first()?;
    let (host, len) = match kind {
        1 => (address(Ipv4Addr::from(*rest.first_chunk::<4>()?).into()), 4),
        3 => {
            let len = usize::from(*rest.first()?).saturating_add(1);
            (host(rest.get(1..len)?), len)
        }
        4 => (address(Ipv6Addr::from(*rest.first_chunk::<16>()?).into()), 16),
        _ => return Some(None),
    };
    rest.get(..len.saturating_add(2))?;
    Some(Some((host, len.saturating_add(3))))
}

/// `version, command, port, address, user, 0`, and for 4a `name, 0`.
fn request_4(bytes: &[u8]) -> Option<Option<(Asks, usize)>> {
    let command = *bytes.get(1)?;
    if !matches!(command, CONNECT | BIND) {
        return Some(None);
    }
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let [_, _, high, low, octets @ ..] = *head;
    if (high, low) == (0, 0) {
        return Some(None);
    }
    let Some(user) = text(rest)? else { return Some(None) };
    let len = user.len().saturating_add(9);
    if !matches!(octets, [0, 0, 0, last] if last != 0) {
        let host = address(Ipv4Addr::from(octets).into());
        return Some(Some((Asks::Request { command, host }, len)));
    }
    let Some(name) = text(rest.get(user.len().saturating_add(1)..)?)? else {
        return Some(None);
    };
    let host = host(name);
    Some(Some((
        Asks::Request { command, host },
        len.saturating_add(name.len()).saturating_add(1),
    )))
}

/// Text up to a zero.
#[expect(clippy::option_option, reason = "missing bytes are not wrong ones")]
fn text(bytes: &[u8]) -> Option<Option<&[u8]>> {
    let end = memchr::memchr(0, bytes);
    let text = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    if text.len() > USER_MAX_BYTES || text.iter().any(u8::is_ascii_control) {
        return Some(None);
    }
    end.map(|_| Some(text))
}

fn address(addr: IpAddr) -> Option<String> {
    Some(addr.to_string())
}

/// A message of the relay, behind the method that it chose before.
fn says(bytes: &[u8], method: Option<u8>) -> Read<Says> {
    let outcome = |granted, last, len| Read::Whole(Says::Outcome { granted, last }, len);
    match (bytes, method) {
        ([] | [_], _) => Read::More,
        // Version 4: a zero, the outcome, and six bytes without meaning.
        ([0, code @ 0x5a..=0x5d, ..], None) => match bytes.len() {
            ..8 => Read::More,
            _ => outcome(*code == 0x5a, true, 8),
        },
        ([5, method, ..], None) => Read::Whole(Says::Method(*method), 2),
        ([1, status, ..], Some(2)) => outcome(*status == 0, false, 2),
        ([5, code, rest @ ..], Some(0)) => match (*code == 0, rest.get(1..).map(destination)) {
            (false, _) => outcome(false, true, 2),
            (true, Some(Some(Some((_, len))))) => outcome(true, true, len.saturating_add(3)),
            (true, Some(Some(None))) => Read::Malformed,
            (true, _) => Read::More,
        },
        _ => Read::Malformed,
    }
}

#[cfg(test)]
mod tests;
