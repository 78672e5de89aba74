//! The traces of RFC 8448 through the whole layer, in any pieces, with secrets that are there, come late, are missing or
//! wrong.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

mod vectors;

use std::sync::Arc;

use proptest::prelude::*;

use self::vectors::{RESUMED, RETRIED, SIMPLE, Trace};
use super::hex;
use crate::model::chunk::{Chunk, Data};
use crate::model::flow::Why;
use crate::model::message::{Body, Carrier, Message};
use crate::model::net::{Direction, Transport};
use crate::model::observation::{Cover, Fact};
use crate::model::stamp::Stamp;
use crate::stream::Stream;
use crate::stream::layer::{Env, Layer, Output, Prefix, Probe, Protocol, Step, Up};
use crate::stream::secrets::{Config, Keys, Secrets};

/// Tells what it is given: the stream inside.
struct Echo;

impl Layer for Echo {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let body = match chunk.data {
            Data::Bytes(bytes) => Body::Whole(bytes),
            Data::End => Body::Absent,
            Data::Gap(missing) => Body::Cut { head: &[], missing },
        };
        up.message(Message {
            at: chunk.at,
            dir: chunk.dir,
            carrier: Carrier::Line,
            transaction: None,
            body,
        });
        Step::Continue
    }
}

const ROWS: &[Protocol] = &[
    crate::proto::tls::PROTOCOL,
    Protocol {
        name: "echo",
        transport: Transport::Tcp,
        probe: |prefix: &Prefix<'_>| match (prefix.bytes, prefix.ports) {
            // Only a stream inside another one has no ports.
            ([[], []], _) => Probe::More,
            (_, [0, 0]) => Probe::Yes { server: None },
            _ => Probe::No,
        },
        open: |_| Box::new(Echo),
    },
];

/// What came out: plaintext of both directions, gaps and ends in their places, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    inside: [String; 2],
    /// Whether the stream inside was announced before its first byte.
    announced: bool,
    step: Option<Why>,
}

struct Flow {
    env: Env,
    stream: Stream,
    heard: Heard,
}

impl Flow {
    fn new(secrets: &Arc<Secrets>, config: &Config) -> Self {
        let env = Env {
            message_max_bytes: 1 << 20,
            head_max_bytes: 1 << 16,
            inflate_max_bytes: 1 << 20,
            keys: Some(Keys::new(secrets, config, 1)),
            protocols: ROWS,
        };
        Self {
            env,
            stream: Stream::outer(Transport::Tcp, true, [40_000, 443]),
            heard: Heard::default(),
        }
    }

    fn run(&mut self, work: impl FnOnce(&mut Stream, &Env, &mut dyn FnMut(Output<'_>)) -> Step) {
        let Self { env, stream, heard } = self;
        let step = work(stream, env, &mut |output| match output {
            Output::Fact(_, Fact::Uncovered(Cover::Opened(_))) => {
                assert!(!heard.announced, "told once");
                heard.announced = true;
            }
            Output::Message(message) => {
                assert!(heard.announced, "told before the first byte");
                let inside = &mut heard.inside[message.dir.index()];
                match message.body {
                    Body::Whole(bytes) => inside.extend(bytes.iter().map(|byte| char::from(*byte))),
                    Body::Absent => inside.push('$'),
                    Body::Cut { missing, .. } => *inside += &format!("[{missing}]"),
                }
            }
            _ => {}
        });
        if let Step::Bypass(why) = step {
            heard.step = Some(why);
        }
    }

    fn push(&mut self, dir: Direction, data: Data<'_>) {
        let chunk = Chunk {
            at: Stamp::default(),
            dir,
            lane: 0,
            data,
        };
        self.run(|stream, env, listener| stream.push(chunk, env, listener));
    }

    fn turns(&mut self, turns: &[(Direction, Vec<u8>)]) {
        for (dir, bytes) in turns {
            if self.heard.step.is_none() && !bytes.is_empty() {
                self.push(*dir, Data::Bytes(bytes));
            }
        }
    }

    fn end(mut self) -> Heard {
        self.run(Stream::finish);
        self.heard
    }
}

fn turns(trace: &Trace) -> Vec<(Direction, Vec<u8>)> {
    let dir = |from: char| match from {
        '>' => Direction::ToServer,
        _ => Direction::ToClient,
    };
    trace
        .records
        .iter()
        .map(|(from, record)| (dir(*from), hex(record)))
        .collect()
}

/// Those lines of a trace's key log that are wanted; the random stands in its first record.
fn log(trace: &Trace, wanted: impl Fn(&str) -> bool) -> String {
    let digits: String = trace.records[0].1.split_whitespace().collect();
    let random = &digits[22..86];
    let lines = trace.secrets.iter().filter(|(label, _)| wanted(label));
    lines
        .map(|(label, secret)| format!("{label} {random} {secret}\n"))
        .collect()
}

fn known(text: &str, grows: bool) -> Arc<Secrets> {
    let secrets = Arc::new(Secrets::new(100, grows));
    secrets.read(text.as_bytes());
    // Of a connection that is not seen.
    let other = format!("CLIENT_RANDOM {} {}", "ab".repeat(32), "cd".repeat(48));
    secrets.read(other.as_bytes());
    secrets
}

fn opened(trace: &Trace, wanted: impl Fn(&str) -> bool) -> Heard {
    let mut flow = Flow::new(&known(&log(trace, wanted), false), &Config::default());
    flow.turns(&turns(trace));
    flow.end()
}

fn payload() -> String {
    (0..50).map(char::from).collect()
}

fn inside(to_server: &str, to_client: &str) -> Heard {
    Heard {
        inside: [to_server, to_client].map(str::to_owned),
        announced: true,
        step: None,
    }
}

fn given_up(why: Why) -> Heard {
    Heard {
        step: Some(why),
        ..Heard::default()
    }
}

#[test]
fn traces_are_opened() {
    let payload = payload();
    let ended = format!("{payload}$");
    assert_eq!(opened(&SIMPLE, |_| true), inside(&ended, &ended));
    assert_eq!(opened(&RESUMED, |_| true), inside(&format!("ABCDEF{payload}$"), &ended));
    // Its application sends nothing.
    assert_eq!(opened(&RETRIED, |_| true), Heard::default());
}

/// Whoever logs only what comes after the handshake, or one side only.
#[test]
fn some_secrets_open_what_they_can() {
    let ended = payload() + "$";
    assert_eq!(
        opened(&SIMPLE, |label| !label.contains("HANDSHAKE")),
        inside(&ended, &ended)
    );
    assert_eq!(opened(&SIMPLE, |label| label.starts_with("SERVER")), inside("", &ended));
    assert_eq!(opened(&SIMPLE, |label| label.starts_with("CLIENT")), inside(&ended, ""));
    let no_early = opened(&RESUMED, |label| !label.contains("EARLY"));
    // The stream inside begins midway, and is not told of what it never saw.
    assert_eq!(no_early, inside(&ended, &ended));
}

#[test]
fn missing_and_wrong_secrets_end_the_flow() {
    assert_eq!(opened(&SIMPLE, |label| label == "other"), given_up(Why::NoSecrets));
    let text = log(&SIMPLE, |_| true);
    let wrong = text.lines().map(|line| {
        let (name, secret) = line.rsplit_once(' ').unwrap();
        format!("{name} {}\n", secret.chars().rev().collect::<String>())
    });
    let wrong: String = wrong.collect();
    let mut flow = Flow::new(&known(&wrong, false), &Config::default());
    flow.turns(&turns(&SIMPLE));
    assert_eq!(flow.end(), given_up(Why::WrongSecrets));
}

/// Secrets come line by line, at each place of the conversation: nothing is lost, and nothing comes twice.
#[test]
fn late_secrets_open_what_is_held() {
    for (trace, expected) in [(&SIMPLE, "$"), (&RESUMED, "ABCDEF")] {
        let (turns, whole) = (turns(trace), opened(trace, |_| true));
        assert!(whole.inside[0].contains(expected));
        for first in 0..turns.len() {
            for step in 0..3 {
                let secrets = known("", true);
                let mut flow = Flow::new(&secrets, &Config::default());
                let text = log(trace, |_| true);
                let mut lines = text.lines();
                for (number, turn) in turns.iter().enumerate() {
                    flow.turns(std::slice::from_ref(turn));
                    if number >= first {
                        let now = if step == 0 { usize::MAX } else { step };
                        lines.by_ref().take(now).for_each(|line| secrets.read(line.as_bytes()));
                    }
                }
                lines.for_each(|line| secrets.read(line.as_bytes()));
                assert_eq!(flow.end(), whole, "from turn {first}, {step} at a time");
            }
        }
    }
}

#[test]
fn what_never_gets_its_secrets_is_given_up_at_a_bound() {
    let secrets = known("", true);
    let config = Config {
        pending_max_bytes: 300,
        ..Config::default()
    };
    let mut flow = Flow::new(&secrets, &config);
    flow.turns(&turns(&SIMPLE));
    assert_eq!(flow.heard, given_up(Why::NoSecrets));
    // What it held counts no longer.
    assert!(flow.env.keys.as_ref().unwrap().reserve(config.pending_total_max_bytes));

    let mut flow = Flow::new(&secrets, &Config::default());
    flow.turns(&turns(&SIMPLE));
    assert_eq!(flow.heard, Heard::default());
    assert_eq!(flow.end(), given_up(Why::NoSecrets));
}

fn pieces(turns: &[(Direction, Vec<u8>)], sizes: &[usize]) -> Vec<(Direction, Vec<u8>)> {
    let mut sizes = sizes.iter().cycle();
    let mut out = Vec::new();
    for (dir, bytes) in turns {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            out.push((*dir, piece.to_vec()));
            rest = after;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_pieces_give_the_same(sizes in prop::collection::vec(1..200_usize, 1..12), resumed in any::<bool>()) {
        let trace = if resumed { &RESUMED } else { &SIMPLE };
        let mut flow = Flow::new(&known(&log(trace, |_| true), false), &Config::default());
        flow.turns(&pieces(&turns(trace), &sizes));
        prop_assert_eq!(flow.end(), opened(trace, |_| true));
    }

    #[test]
    fn damage_does_no_harm(
        sizes in prop::collection::vec(1..200_usize, 1..12),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..6),
        gaps in prop::collection::vec((any::<prop::sample::Index>(), 1..3_000_u64), 0..4),
        late in any::<bool>(),
    ) {
        let mut turns = turns(&RESUMED);
        for (turn, place, value) in flips {
            let bytes = turn.get_mut(&mut turns);
            let place = place.index(bytes.1.len());
            bytes.1[place] = value;
        }
        let text = log(&RESUMED, |_| true);
        let secrets = known(if late { "" } else { &text }, late);
        let mut flow = Flow::new(&secrets, &Config::default());
        let pieces = pieces(&turns, &sizes);
        for (number, piece) in pieces.iter().enumerate() {
            for (_, bytes) in gaps.iter().filter(|(at, _)| at.index(pieces.len()) == number) {
                if flow.heard.step.is_none() {
                    flow.push(piece.0, Data::Gap(*bytes));
                }
            }
            flow.turns(std::slice::from_ref(piece));
        }
        secrets.read(text.as_bytes());
        let heard = flow.end();
        let room = 100 + heard.inside.iter().map(|inside| inside.matches('[').count() * 8).sum::<usize>();
        prop_assert!(heard.inside.iter().all(|inside| inside.chars().count() <= 106 + room));
    }
}
