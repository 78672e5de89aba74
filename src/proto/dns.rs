//! DNS over UDP: RFC 1035, multicast DNS (RFC 6762) and LLMNR (RFC 4795). One chunk is one datagram. DNS over TCP is in
//! `tcp.rs`, over the same reading of a message.
//!
//! Read are the question, from queries and from the answers that repeat it; where the name of a question leads
//! (`answer.rs`); and services that name MCP (`service.rs`). A repeated message is told once. Messages are parsed with the
//! crate `domain`: its names only follow compression pointers that lead backwards, at most 255 of them, and stop at 255
//! octets, so the work on hostile input is bounded; the property tests hold it to that. Ports are a hint: on the ports of DNS a header and one question are enough, elsewhere the whole
//! message has to be a plain one, to the last byte.
//!
//! Does not read DNS over TLS, HTTPS or QUIC, keeps no answers (`inventory/names.rs` does), checks no signatures (DNSSEC),
//! and does not ask whether an answer was asked for. A gap cannot happen on UDP: a lost datagram is a message that never
//! was. Costs nothing but time per message: no allocation, and a few hundred nanoseconds (`benches/dns.rs`).

mod answer;
mod name;
mod service;
pub mod tcp;

use std::fmt::Write as _;
use std::hash::Hasher as _;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::name::{Label, ParsedName};
use domain::base::{Header, Message, Question};
use foldhash::fast::FixedState;

use crate::model::chunk::{Chunk, Data};
use crate::model::dns::{Dns as Asked, Resolved};
use crate::model::net::{Direction, Transport};
use crate::model::observation::Fact;
use crate::model::stamp::{Stamp, Timestamp};
use crate::proto::dns::answer::Lead;
use crate::proto::dns::name::write_name;
use crate::proto::dns::service::Scratch;
use crate::stream::layer::{Env, Layer, Prefix, Probe, Protocol, Step, Up};

/// The row of `proto::PROTOCOLS`.
pub const PROTOCOL: Protocol = Protocol {
    name: "dns",
    transport: Transport::Udp,
    probe,
    open,
};

/// Questions that are read from one message. Resolvers ask one; multicast DNS asks about a dozen at once.
const QUESTIONS_MAX: usize = 16;
/// Questions of one message whose answers are followed. Nobody asks two that have addresses.
const FOLLOWED_MAX: usize = 4;
/// Resource records that the probe walks through outside the ports of DNS.
const RECORDS_MAX: usize = 256;
/// Messages per direction that a repeat is compared with: two questions in parallel (A, AAAA), on two taps.
const RECENT_MESSAGES: usize = 4;
/// A message with id 0 (all multicast DNS) is a repeat only this soon, because the id tells nothing. Nanoseconds.
const MIRROR_NANOS: u64 = 50_000_000;

/// A message with an id is a repeat so soon: resolvers ask again within seconds, and ids come again later. Nanoseconds.
const REPEAT_NANOS: u64 = 10_000_000_000;

/// Top bit of the class in multicast questions (RFC 6762, section 5.4).
const UNICAST_REPLY: u16 = 0x8000;
const HEADER_LEN: usize = 12;
const DNS: u16 = 53;
const LLMNR: u16 = 5355;
const MDNS: u16 = 5353;

fn probe(prefix: &Prefix<'_>) -> Probe {
    if prefix.is_silent() {
        return Probe::More;
    }
    for (dir, datagram) in prefix.said() {
        let Ok(message) = Message::from_slice(datagram) else {
            continue;
        };
        if is_dns(message, prefix.ports) {
            return Probe::Yes {
                server: server_direction(message, dir, prefix.ports),
            };
        }
    }
    Probe::No
}

/// Where the server's bytes travel, told by one message that travels in `dir`.
fn server_direction(message: &Message<[u8]>, dir: Direction, ports: [u16; 2]) -> Option<Direction> {
    if ports == [MDNS, MDNS] {
        // Everybody asks and answers on the same port; whoever sent first stays the client.
        return None;
    }
    Some(if message.header().qr() { dir } else { dir.flip() })
}

fn is_dns(message: &Message<[u8]>, ports: [u16; 2]) -> bool {
    if is_port_of_dns(ports) {
        looks_like_dns(message, ports)
    } else {
        is_plain_dns(message)
    }
}

fn is_port_of_dns(ports: [u16; 2]) -> bool {
    ports.iter().any(|port| matches!(*port, DNS | LLMNR | MDNS))
}

/// On a port of DNS: a header with a known opcode, and a first question (of a multicast answer: a first record).
fn looks_like_dns(message: &Message<[u8]>, ports: [u16; 2]) -> bool {
    if !known_opcode(message.header()) || usize::from(message.header_counts().qdcount()) > QUESTIONS_MAX {
        return false;
    }
    match message.question().next() {
        Some(Ok(question)) => {
            let class = question.qclass().to_int();
            let class = if ports.contains(&MDNS) {
                class & !UNICAST_REPLY
            } else {
                class
            };
            matches!(
                Class::from_int(class),
                Class::IN | Class::CH | Class::HS | Class::NONE | Class::ANY
            )
        }
        Some(Err(_)) => false,
        None => {
            ports.contains(&MDNS)
                && message.header().qr()
                && message
                    .answer()
                    .ok()
                    .and_then(|mut records| records.next())
                    .is_some_and(|record| record.is_ok())
        }
    }
}

/// Elsewhere: one printable Internet question, every record in place, and not one byte more.
fn is_plain_dns(message: &Message<[u8]>) -> bool {
    let (header, counts) = (message.header(), message.header_counts());
    let (answers, authorities) = (counts.ancount(), counts.nscount());
    let query_has_answer =
        !header.qr() && (answers > 0 || authorities > 0 || header.aa() || header.rcode().to_int() > 0);
    if header.opcode() != Opcode::QUERY || header.z() || counts.qdcount() != 1 || query_has_answer {
        return false;
    }
    let Some(Ok(question)) = message.question().next() else {
        return false;
    };
    let printable = |label: &Label| label.iter().all(|byte| byte.is_ascii_graphic());
    let name = question.qname();
    matches!(question.qclass(), Class::IN | Class::ANY)
        && !name.is_root()
        && name.iter().all(printable)
        && end_of_records(message) == Some(message.as_slice().len())
}

/// Offset behind the last record; `None` when a record is malformed or there are too many.
fn end_of_records(message: &Message<[u8]>) -> Option<usize> {
    let mut section = message.answer().ok()?;
    let mut records = 0_usize;
    loop {
        for record in section.by_ref() {
            record.ok()?;
            records = records.saturating_add(1);
            if records > RECORDS_MAX {
                return None;
            }
        }
        let end = section.pos();
        match section.next_section().ok()? {
            Some(next) => section = next,
            None => return Some(end),
        }
    }
}

/// RFC 1035 to RFC 8490: 0 query, 1 inverse query, 2 status, 4 notify, 5 update.
fn known_opcode(header: Header) -> bool {
    matches!(header.opcode().to_int(), 0..=2 | 4 | 5)
}

fn open(_env: &Env) -> Box<dyn Layer> {
    Box::new(Dns::default())
}

/// Reads one flow of datagrams.
#[derive(Default)]
struct Dns {
    /// Latest messages per direction, indexed by [`Direction::index`], newest first.
    recent: [[Option<Recent>; RECENT_MESSAGES]; 2],
    name: String,
    kind: String,
    services: Scratch,
    leads: Vec<Lead>,
}

/// What a repeat is known by.
#[derive(Clone, Copy)]
struct Recent {
    id: u16,
    answer: bool,
    content: u64,
    at: Timestamp,
}

impl Layer for Dns {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        match chunk.data {
            Data::Bytes(datagram) => self.read(datagram, chunk.at, chunk.dir, up),
            Data::End | Data::Gap(_) => Step::Continue,
        }
    }
}

impl Dns {
    /// Reads one whole message.
    fn read(&mut self, message: &[u8], at: Stamp, dir: Direction, up: &mut Up<'_>) -> Step {
        let Ok(message) = Message::from_slice(message) else {
            return Step::Desync;
        };
        let header = message.header();
        if !known_opcode(header) {
            return Step::Desync;
        }
        if self.is_repeat(message, at.time, dir) {
            return Step::Continue;
        }
        let leads = header.qr() && header.opcode() == Opcode::QUERY && header.rcode() == Rcode::NOERROR;
        // Services stand in answers to their own questions, and in answers that nobody asked for.
        let mut services = leads && message.header_counts().qdcount() == 0;
        if services {
            self.services.tell_hosts(message, at, up);
        }
        let hosts = !services;
        for (question, number) in message.question().take(QUESTIONS_MAX).zip(0..) {
            let Ok(question) = question else { break };
            self.tell(&question, header.qr(), at, up);
            if leads && number < FOLLOWED_MAX {
                self.follow(message, &question, at, up);
            }
            services |= leads && matches!(question.qtype(), Rtype::SRV | Rtype::PTR | Rtype::ANY);
        }
        if services {
            self.services.tell_services(message, hosts, at, up);
        }
        Step::Continue
    }

    /// Whether the message is a retransmission or the second copy from a mirror port; remembers it.
    fn is_repeat(&mut self, message: &Message<[u8]>, at: Timestamp, dir: Direction) -> bool {
        let mut questions = message.question();
        questions.by_ref().take(QUESTIONS_MAX).for_each(drop);
        // Without a question the content is all that tells two messages apart.
        let end = match questions.pos() {
            HEADER_LEN => message.as_slice().len(),
            end => end,
        };
        // A fixed seed: the same capture gives the same report.
        let mut hash = std::hash::BuildHasher::build_hasher(&FixedState::with_seed(0));
        hash.write(message.as_slice().get(HEADER_LEN..end).unwrap_or_default());
        let now = Recent {
            id: message.header().id(),
            answer: message.header().qr(),
            content: hash.finish(),
            at,
        };

        let [to_server, to_client] = &mut self.recent;
        let recent = match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let repeat = recent.iter().flatten().any(|earlier| now.repeats(earlier));
        if !repeat {
            recent.rotate_right(1);
            recent[0] = Some(now);
        }
        repeat
    }

    /// Tells a question, whose name stays written down for its answers.
    fn tell(&mut self, question: &Question<ParsedName<&[u8]>>, answer: bool, at: Stamp, up: &mut Up<'_>) {
        write_name(&mut self.name, question.qname());
        if self.name.is_empty() {
            return;
        }
        let kind = write_kind(&mut self.kind, question.qtype());
        up.fact(
            at,
            Fact::Dns(Asked {
                name: &self.name,
                kind,
                answer,
            }),
        );
    }

    /// Tells where the name of the question that was just told leads.
    fn follow(&mut self, message: &Message<[u8]>, question: &Question<ParsedName<&[u8]>>, at: Stamp, up: &mut Up<'_>) {
        let class = Class::from_int(question.qclass().to_int() & !UNICAST_REPLY);
        if self.name.is_empty() || !matches!(class, Class::IN | Class::ANY) {
            return;
        }
        answer::leads(message, question.qname(), question.qtype(), &mut self.leads);
        for lead in &self.leads {
            let resolved = Resolved {
                name: &self.name,
                addr: lead.addr,
                ttl_secs: lead.ttl_secs,
                service: lead.service,
            };
            up.fact(at, Fact::Resolved(resolved));
        }
    }
}

impl Recent {
    fn repeats(&self, earlier: &Self) -> bool {
        (self.id, self.answer, self.content) == (earlier.id, earlier.answer, earlier.content)
            && self.at.since(earlier.at) <= if self.id == 0 { MIRROR_NANOS } else { REPEAT_NANOS }
    }
}

/// The mnemonic, or `TYPE` and the number (RFC 3597, section 5).
fn write_kind(scratch: &mut String, kind: Rtype) -> &str {
    if let Some(mnemonic) = kind.to_mnemonic_str() {
        return mnemonic;
    }
    scratch.clear();
    // Writing to a String cannot fail.
    let _ = write!(scratch, "TYPE{}", kind.to_int());
    scratch
}

#[cfg(test)]
mod tests;
