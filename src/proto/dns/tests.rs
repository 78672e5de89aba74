//! Tests of the DNS layer: tables of datagrams, and hostile ones.

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

pub(super) const ENV: Env = Env {
    message_max_bytes: 1 << 20,
    head_max_bytes: 1 << 16,
    inflate_max_bytes: 1 << 20,
    keys: None,
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

pub(super) fn query(id: u16, labels: &[&[u8]], kind: u16) -> Vec<u8> {
    message(id, QUERY, [1, 0, 0, 0], &question(labels, kind, 1))
}

/// An answer with an address record whose name is a pointer to the question.
pub(super) fn answer(id: u16, labels: &[&[u8]], kind: u16) -> Vec<u8> {
    let mut body = question(labels, kind, 1);
    body.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 5]);
    message(id, ANSWER, [1, 1, 0, 0], &body)
}

pub(super) const NAME: &[&[u8]] = &[b"mcp", b"Example", b"test"];

/// Pushes chunks, each with its time in milliseconds; gives `name kind answer` of every fact and the last step.
pub(super) fn facts_of<'a>(
    mut layer: Box<dyn Layer>,
    chunks: impl Iterator<Item = (i64, Direction, Data<'a>)>,
) -> (Vec<String>, Step) {
    let mut facts = Vec::new();
    let mut above = None;
    let mut listener = |output: Output<'_>| match output {
        Output::Fact(_, Fact::Dns(dns)) => facts.push(format!("{} {} {}", dns.name, dns.kind, dns.answer)),
        Output::Fact(_, Fact::Resolved(lead)) => {
            let addr = lead.addr.map_or_else(|| "?".to_owned(), |addr| addr.to_string());
            let service = lead.service.map_or_else(String::new, |service| {
                let port = service.port.map_or_else(String::new, |port| format!(":{port}"));
                format!(" {port} {}{}", service.alpn.0, if service.ech { " ech" } else { "" })
            });
            facts.push(format!("{} -> {addr} {}{service}", lead.name, lead.ttl_secs));
        }
        Output::Fact(_, Fact::Announced(it)) => {
            facts.push(format!(
                "{} at {}:{}{} {}",
                it.name,
                it.host,
                it.port,
                it.path.unwrap_or_default(),
                it.ttl_secs
            ));
        }
        other => panic!("{other:?}"),
    };
    let mut step = Step::Continue;
    for (millis, dir, data) in chunks {
        let time = Timestamp::from_nanos(millis * 1_000_000);
        let chunk = Chunk {
            at: Stamp {
                time,
                ..Stamp::default()
            },
            dir,
            lane: 0,
            data,
        };
        step = layer.push(chunk, &mut Up::new(&ENV, &mut listener, &mut above));
    }
    (facts, step)
}

/// Pushes datagrams, each with its time in milliseconds; an empty one stands for the end.
fn read(datagrams: &[(i64, Direction, Vec<u8>)]) -> (Vec<String>, Step) {
    let data = |datagram| {
        if <[u8]>::is_empty(datagram) {
            Data::End
        } else {
            Data::Bytes(datagram)
        }
    };
    facts_of(
        open(&ENV),
        datagrams
            .iter()
            .map(|(millis, dir, datagram)| (*millis, *dir, data(datagram))),
    )
}

fn asked(to_server: &[u8], to_client: &[u8], ports: [u16; 2]) -> Probe {
    probe(&Prefix {
        bytes: [to_server, to_client],
        from_start: true,
        ports,
    })
}

mod answers;

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
        (
            answer(1, NAME, 1),
            vec!["mcp.example.test A true", "mcp.example.test -> 10.0.0.5 60"],
        ),
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
    let told = |datagrams: &[(i64, Direction, Vec<u8>)]| {
        let facts = read(datagrams).0;
        facts.iter().filter(|fact| !fact.contains("->")).count()
    };
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
            &message(7, QUERY, [1, 0, 0, 0], &question(NAME, 1, 0x8001)),
            b"",
            [5353, 40_000],
            Probe::Yes { server: Some(BACK) },
        ),
        (
            &message(7, QUERY, [1, 0, 0, 0], &question(NAME, 1, 0x8001)),
            b"",
            [40_000, 53],
            Probe::No,
        ),
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
            prop_assert!(told.len() <= 2 * (QUESTIONS_MAX + FOLLOWED_MAX * answer::LEADS_MAX + 64));
            let bounded = told.iter().all(|fact| fact.len() <= 2 * 4 * 255 + 300);
            prop_assert!(bounded);
        }
    }

    /// Nothing but DNS looks like DNS on a port that says nothing.
    #[test]
    fn random_datagrams_are_no_dns(random in prop::collection::vec(any::<u8>(), 1..200)) {
        prop_assert_eq!(asked(&random, b"", [40_000, 50_000]), Probe::No);
    }
}
