//! DNS over UDP: RFC 1035, multicast DNS (RFC 6762) and LLMNR (RFC 4795). One chunk is one datagram.
//!
//! Only the question is read, from queries and from the answers that repeat it; resource records are looked at by the
//! probe alone. Messages are parsed with the crate `domain`: its names only follow compression pointers that lead
//! backwards, at most 255 of them, and stop at 255 octets, so the work on hostile input is bounded; the property tests
//! below hold it to that. Ports are a hint: on the ports of DNS a header and one question are enough, elsewhere the
//! whole datagram has to be a plain message, to the last byte.
//!
//! Does not do DNS over TCP, TLS, HTTPS or QUIC, and does not join questions with the addresses in the answers.
//! A gap cannot happen here: a lost datagram is a message that never was.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::name::{Label, ParsedName};
use domain::base::{Header, Message, Question};

use crate::model::chunk::{Chunk, Data};
use crate::model::net::{Direction, Transport};
use crate::model::observation::{Dns as Asked, Fact};
use crate::model::stamp::Stamp;
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
/// Resource records that the probe walks through outside the ports of DNS.
const RECORDS_MAX: usize = 256;
/// Messages per direction that a repeat is compared with: two questions in parallel (A, AAAA), on two taps.
const RECENT_MESSAGES: usize = 4;
/// A message with id 0 (all multicast DNS) is a repeat only this soon, because the id tells nothing. Nanoseconds.
const MIRROR_NANOS: u64 = 50_000_000;

const HEADER_LEN: usize = 12;
const DNS: u16 = 53;
const LLMNR: u16 = 5355;
const MDNS: u16 = 5353;

fn probe(prefix: &Prefix<'_>) -> Probe {
    let [to_server, to_client] = prefix.bytes;
    if to_server.is_empty() && to_client.is_empty() {
        return Probe::More;
    }
    for (datagram, dir) in [(to_server, Direction::ToServer), (to_client, Direction::ToClient)] {
        let Ok(message) = Message::from_slice(datagram) else {
            continue;
        };
        let known_port = prefix.ports.iter().any(|port| matches!(*port, DNS | LLMNR | MDNS));
        if !(if known_port {
            looks_like_dns(message, prefix.ports)
        } else {
            is_plain_dns(message)
        }) {
            continue;
        }
        let server = if prefix.ports == [MDNS, MDNS] {
            // Everybody asks and answers on the same port; whoever sent first stays the client.
            None
        } else if message.header().qr() {
            Some(dir)
        } else {
            Some(dir.flip())
        };
        return Probe::Yes { server };
    }
    Probe::No
}

/// On a port of DNS: a header with a known opcode, and a first question (of a multicast answer: a first record).
fn looks_like_dns(message: &Message<[u8]>, ports: [u16; 2]) -> bool {
    if !known_opcode(message.header()) || usize::from(message.header_counts().qdcount()) > QUESTIONS_MAX {
        return false;
    }
    match message.question().next() {
        Some(Ok(question)) => ports.contains(&MDNS) || question.qclass() != Class::from_int(0),
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
}

/// What a repeat is known by.
#[derive(Clone, Copy)]
struct Recent {
    id: u16,
    answer: bool,
    questions: u64,
    at: Stamp,
}

impl Layer for Dns {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let Data::Bytes(datagram) = chunk.data else {
            return Step::Continue;
        };
        let Ok(message) = Message::from_slice(datagram) else {
            return Step::Desync;
        };
        if !known_opcode(message.header()) {
            return Step::Desync;
        }
        if !self.is_repeat(message, chunk.at, chunk.dir) {
            for question in message.question().take(QUESTIONS_MAX) {
                let Ok(question) = question else { break };
                self.tell(question, message.header().qr(), chunk.at, up);
            }
        }
        Step::Continue
    }
}

impl Dns {
    /// Whether the message is a retransmission or the second copy from a mirror port; remembers it.
    fn is_repeat(&mut self, message: &Message<[u8]>, at: Stamp, dir: Direction) -> bool {
        let mut questions = message.question();
        questions.by_ref().take(QUESTIONS_MAX).for_each(drop);
        let mut hash = DefaultHasher::new();
        hash.write(message.as_slice().get(HEADER_LEN..questions.pos()).unwrap_or_default());
        let now = Recent {
            id: message.header().id(),
            answer: message.header().qr(),
            questions: hash.finish(),
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

    fn tell(&mut self, question: Question<ParsedName<&[u8]>>, answer: bool, at: Stamp, up: &mut Up<'_>) {
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
}

impl Recent {
    fn repeats(&self, earlier: &Self) -> bool {
        (self.id, self.answer, self.questions) == (earlier.id, earlier.answer, earlier.questions)
            && (self.id != 0 || self.at.time.since(earlier.at.time) <= MIRROR_NANOS)
    }
}

/// Lower case, without the final dot, escaped as in a zone file (RFC 1035, section 5.1; RFC 4343, section 2.1).
fn write_name(out: &mut String, name: &ParsedName<&[u8]>) {
    out.clear();
    for label in name.iter().filter(|label| !label.is_root()) {
        if !out.is_empty() {
            out.push('.');
        }
        for byte in label.iter() {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' => {
                    out.push('\\');
                    out.push(char::from(byte));
                }
                b'!'..=b'~' => out.push(char::from(byte.to_ascii_lowercase())),
                _ => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\{byte:03}");
                }
            }
        }
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
mod tests {
    #![allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects
    )]

    use proptest::prelude::*;

    use super::*;
    use crate::model::stamp::Timestamp;
    use crate::stream::layer::Output;

    const ENV: Env = Env {
        message_max_bytes: 1 << 20,
        head_max_bytes: 1 << 16,
        inflate_max_bytes: 1 << 20,
        protocols: &[],
    };
    const QUERY: u16 = 0x0100;
    const ANSWER: u16 = 0x8180;

    fn wire_name(labels: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for label in labels {
            out.push(u8::try_from(label.len()).unwrap());
            out.extend(*label);
        }
        out.push(0);
        out
    }

    fn question(labels: &[&[u8]], kind: u16, class: u16) -> Vec<u8> {
        [&wire_name(labels)[..], &kind.to_be_bytes(), &class.to_be_bytes()].concat()
    }

    /// A message with these counts and this content behind the header.
    fn message(id: u16, flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
        let [questions, answers, authorities, additional] = counts;
        let mut out: Vec<u8> = [id, flags, questions, answers, authorities, additional]
            .iter()
            .flat_map(|n| n.to_be_bytes())
            .collect();
        out.extend(body);
        out
    }

    fn query(id: u16, labels: &[&[u8]], kind: u16) -> Vec<u8> {
        message(id, QUERY, [1, 0, 0, 0], &question(labels, kind, 1))
    }

    /// An answer with an address record whose name is a pointer to the question.
    fn answer(id: u16, labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut body = question(labels, kind, 1);
        body.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 5]);
        message(id, ANSWER, [1, 1, 0, 0], &body)
    }

    const NAME: &[&[u8]] = &[b"mcp", b"Example", b"test"];

    /// Pushes datagrams, each with its time in milliseconds; gives `name kind answer` of every fact and the last step.
    fn read(datagrams: &[(i64, Direction, Vec<u8>)]) -> (Vec<String>, Step) {
        let mut facts = Vec::new();
        let mut above = None;
        let mut listener = |output: Output<'_>| match output {
            Output::Fact(_, Fact::Dns(dns)) => facts.push(format!("{} {} {}", dns.name, dns.kind, dns.answer)),
            other => panic!("{other:?}"),
        };
        let mut layer = open(&ENV);
        let mut step = Step::Continue;
        for (millis, dir, datagram) in datagrams {
            let at = Stamp {
                time: Timestamp::from_nanos(millis * 1_000_000),
                ..Stamp::default()
            };
            let data = if datagram.is_empty() {
                Data::End
            } else {
                Data::Bytes(datagram)
            };
            step = layer.push(
                Chunk {
                    at,
                    dir: *dir,
                    lane: 0,
                    data,
                },
                &mut Up::new(&ENV, &mut listener, &mut above),
            );
        }
        (facts, step)
    }

    fn asked(to_server: &[u8], to_client: &[u8], ports: [u16; 2]) -> Probe {
        probe(&Prefix {
            bytes: [to_server, to_client],
            from_start: true,
            ports,
        })
    }

    const OUT: Direction = Direction::ToServer;
    const BACK: Direction = Direction::ToClient;

    #[test]
    fn reads_questions() {
        let long = [&[b'a'; 63][..]; 3];
        for (datagram, facts) in [
            (query(1, NAME, 1), vec!["mcp.example.test A false"]),
            (query(1, NAME, 65), vec!["mcp.example.test HTTPS false"]),
            (query(1, NAME, 64), vec!["mcp.example.test SVCB false"]),
            (query(1, NAME, 28), vec!["mcp.example.test AAAA false"]),
            (query(1, NAME, 65_280), vec!["mcp.example.test TYPE65280 false"]),
            (answer(1, NAME, 1), vec!["mcp.example.test A true"]),
            (
                query(1, &[b"a.b", b"c\\d", b" \x07\xff"], 16),
                vec!["a\\.b.c\\\\d.\\032\\007\\255 TXT false"],
            ),
            (query(1, &[], 2), vec![]),
            (
                query(1, &long, 1),
                vec![
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.\
                     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.\
                     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa A false",
                ],
            ),
            (query(1, &[&[b'a'; 63][..]; 4], 1), vec![]),
            (
                message(
                    1,
                    QUERY,
                    [2, 0, 0, 0],
                    &[question(NAME, 1, 1), vec![1, b'b', 0xc0, 16, 0, 28, 0, 1]].concat(),
                ),
                vec!["mcp.example.test A false", "b.example.test AAAA false"],
            ),
            (
                message(
                    1,
                    QUERY,
                    [2, 0, 0, 0],
                    &[question(NAME, 1, 1), vec![0xc0, 200, 0, 1, 0, 1]].concat(),
                ),
                vec!["mcp.example.test A false"],
            ),
            (message(1, QUERY, [1, 0, 0, 0], &[0xc0, 12, 0, 1, 0, 1]), vec![]),
            (
                message(1, QUERY, [1, 0, 0, 0], &[1, b'a', 0xc0, 12, 0, 1, 0, 1]),
                vec![],
            ),
            (message(1, 0x8181, [0, 0, 0, 0], &[]), vec![]),
        ] {
            let (told, step) = read(&[(0, OUT, datagram.clone())]);
            assert_eq!(told, facts, "{datagram:?}");
            assert_eq!(step, Step::Continue);
        }
    }

    #[test]
    fn reads_a_bounded_number_of_questions() {
        let many = message(1, QUERY, [60_000, 0, 0, 0], &question(NAME, 1, 1).repeat(3_000));
        assert_eq!(read(&[(0, OUT, many)]).0.len(), QUESTIONS_MAX);
    }

    #[test]
    fn is_out_of_step_when_it_is_no_dns() {
        assert_eq!(read(&[(0, OUT, vec![0; 11])]).1, Step::Desync);
        assert_eq!(
            read(&[(0, OUT, message(1, 0x7800, [1, 0, 0, 0], &question(NAME, 1, 1)))]).1,
            Step::Desync
        );
        assert_eq!(read(&[(0, OUT, Vec::new())]).1, Step::Continue);
    }

    #[test]
    fn counts_each_message_once() {
        let (a, aaaa) = (query(1, NAME, 1), query(2, NAME, 28));
        let (back_a, back_aaaa) = (answer(1, NAME, 1), answer(2, NAME, 28));
        let multicast = message(0, 0, [1, 0, 0, 0], &question(NAME, 12, 0x8001));
        let told = |datagrams: &[(i64, Direction, Vec<u8>)]| read(datagrams).0.len();
        for (datagrams, count) in [
            (
                vec![
                    (0, OUT, a.clone()),
                    (1, OUT, a.clone()),
                    (2, BACK, back_a.clone()),
                    (3, BACK, back_a.clone()),
                ],
                2,
            ),
            (
                vec![
                    (0, OUT, a.clone()),
                    (0, OUT, aaaa.clone()),
                    (0, OUT, a.clone()),
                    (0, OUT, aaaa.clone()),
                ],
                2,
            ),
            (
                vec![(0, BACK, back_a), (0, BACK, back_aaaa.clone()), (9, BACK, back_aaaa)],
                2,
            ),
            (vec![(0, OUT, a.clone()), (5_000, OUT, a.clone())], 1),
            (vec![(0, OUT, a), (5_000, OUT, query(3, NAME, 1))], 2),
            (
                vec![
                    (0, OUT, multicast.clone()),
                    (1, OUT, multicast.clone()),
                    (1_000, OUT, multicast),
                ],
                2,
            ),
        ] {
            assert_eq!(told(&datagrams), count, "{datagrams:?}");
        }
    }

    #[test]
    fn recognises_and_names_the_server() {
        let (question_out, answer_back) = (query(7, NAME, 1), answer(7, NAME, 1));
        let mut with_option = query(7, NAME, 1);
        with_option[11] = 1;
        with_option.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        let record = [&wire_name(NAME)[..], &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 5]].concat();
        let service = message(0, 0x8400, [0, 1, 0, 0], &record);
        let away = Probe::Yes { server: Some(BACK) };
        let here = Probe::Yes { server: Some(OUT) };
        let high = [40_000, 50_000];
        for (to_server, to_client, ports, expected) in [
            (&question_out[..], &b""[..], [40_000, 53], away),
            (b"", &answer_back, [40_000, 53], away),
            (&answer_back, b"", [53, 40_000], here),
            (b"", &question_out, [53, 40_000], here),
            (&question_out, b"", high, away),
            (&answer_back, b"", high, here),
            (&with_option, b"", high, away),
            (&question_out, b"", [5353, 5353], Probe::Yes { server: None }),
            (&question_out, b"", [40_000, 5353], away),
            (&[&question_out[..], &[0]].concat(), b"", [40_000, 53], away),
            (&[&question_out[..], &[0]].concat(), b"", high, Probe::No),
            (&answer_back[..answer_back.len() - 1], b"", [53, 40_000], here),
            (&answer_back[..answer_back.len() - 1], b"", high, Probe::No),
            (&query(7, &[b"a b"], 1), b"", high, Probe::No),
            (&query(7, &[b"a b"], 1), b"", [40_000, 5353], away),
            (&query(7, &[], 1), b"", high, Probe::No),
            (
                &message(7, QUERY, [1, 0, 0, 0], &question(NAME, 1, 3)),
                b"",
                high,
                Probe::No,
            ),
            (
                &message(7, 0x0140, [1, 0, 0, 0], &question(NAME, 1, 1)),
                b"",
                high,
                Probe::No,
            ),
            (
                &message(7, QUERY, [9, 0, 0, 0], &question(NAME, 1, 1)),
                b"",
                high,
                Probe::No,
            ),
            (
                &message(7, QUERY, [99, 0, 0, 0], &question(NAME, 1, 1)),
                b"",
                [40_000, 53],
                Probe::No,
            ),
            (
                &message(7, 0x3000, [1, 0, 0, 0], &question(NAME, 1, 1)),
                b"",
                [40_000, 53],
                Probe::No,
            ),
            (&service, b"", [5353, 5353], Probe::Yes { server: None }),
            (&service, b"", [40_000, 53], Probe::No),
            (
                b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
                b"",
                [40_000, 53],
                Probe::No,
            ),
            (b"", b"", [40_000, 53], Probe::More),
        ] {
            assert_eq!(
                asked(to_server, to_client, ports),
                expected,
                "{to_server:?} {to_client:?} {ports:?}"
            );
        }
    }

    /// Random labels in wire form.
    fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=20), 1..=6)
    }

    proptest! {
        /// Oracle: the escaped text read back label by label.
        #[test]
        fn names_can_be_read_back(labels in labels()) {
            let slices: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
            let (told, _) = read(&[(0, OUT, query(1, &slices, 1))]);
            let text = told[0].strip_suffix(" A false").unwrap();
            let mut back = vec![Vec::new()];
            let mut bytes = text.bytes();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'.' => back.push(Vec::new()),
                    b'\\' => {
                        let first = bytes.next().unwrap();
                        let value = if first.is_ascii_digit() {
                            let digits = [first, bytes.next().unwrap(), bytes.next().unwrap()];
                            std::str::from_utf8(&digits).unwrap().parse().unwrap()
                        } else {
                            first
                        };
                        back.last_mut().unwrap().push(value);
                    }
                    byte => back.last_mut().unwrap().push(byte),
                }
            }
            let lower: Vec<Vec<u8>> = labels.iter().map(|label| label.to_ascii_lowercase()).collect();
            prop_assert_eq!(back, lower);
        }

        #[test]
        fn hostile_datagrams_do_no_harm(
            random in prop::collection::vec(any::<u8>(), 0..300),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            shape in 0..4,
            port in prop_oneof![Just(53_u16), Just(5353), Just(5355), any::<u16>()],
        ) {
            let mut datagram = match shape {
                0 => random,
                1 => message(1, QUERY, [u16::MAX; 4], &random),
                2 => answer(1, NAME, 1),
                _ => {
                    // Pointers all the way: each to the one before it.
                    let chain: Vec<u8> = (12..12 + 2 * 300_u16).step_by(2)
                        .flat_map(|at| (0xc000 | (at - 2)).to_be_bytes()).collect();
                    message(1, QUERY, [16, 9, 9, 9], &chain)
                }
            };
            for (index, value) in flips {
                if !datagram.is_empty() {
                    let place = index.index(datagram.len());
                    datagram[place] = value;
                }
            }
            let _ = asked(&datagram, b"", [40_000, port]);
            if !datagram.is_empty() {
                let (told, _) = read(&[(0, OUT, datagram.clone()), (0, BACK, datagram)]);
                prop_assert!(told.len() <= 2 * QUESTIONS_MAX);
                let bounded = told.iter().all(|fact| fact.len() <= 4 * 255 + 20);
                prop_assert!(bounded);
            }
        }

        /// Nothing but DNS looks like DNS on a port that says nothing.
        #[test]
        fn random_datagrams_are_no_dns(random in prop::collection::vec(any::<u8>(), 1..200)) {
            prop_assert_eq!(asked(&random, b"", [40_000, 50_000]), Probe::No);
        }
    }
}
