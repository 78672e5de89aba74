//! Bytes in order, and the tower of layers that reads them.
//!
//! A [`Stream`] is unknown until one of `Env::protocols` recognises its first bytes; then one layer reads it. What that
//! layer uncovers is again a stream, unknown at first. A layer that loses step makes its stream unknown again, midway:
//! one rule covers loss, a late start and nonsense, and no parser has resynchronisation code of its own.
//!
//! Cost per chunk of a known stream: one dynamic call. Unknown streams ask every probe once per chunk; bytes are only
//! copied when a probe asks for more.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

pub mod carry;
pub mod layer;
pub mod reassembly;
pub mod secrets;

use crate::model::chunk::{Chunk, Data, Lane};
use crate::model::flow::Why;
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::stream::layer::{Env, Layer, Output, Prefix, Probe, Protocol, Step, Up};

/// Bytes that an unknown stream keeps per direction while probes ask for more.
pub const IDENTIFY_MAX_BYTES: usize = 4096;

/// Segments of a stream joined midway that are offered to the probes before it is given up. Generous: a connection that
/// is joined in the middle of a long body shows its next message head only after it.
pub const IDENTIFY_MAX_TRIES: u32 = 4096;

/// Most streams inside one another. Relays and encryption make four; whoever sends a preface behind a preface without end
/// must not use up the stack.
pub const DEPTH_MAX: u8 = 8;

/// One stream: unknown until a protocol recognises it, then read by one layer.
pub struct Stream {
    state: State,
    /// The stream that the layer uncovered, created on first use.
    above: Option<Box<Self>>,
    transport: Transport,
    /// Of the client and of the server, as far as roles are known.
    ports: [u16; 2],
    /// Whether a probe may still exchange the roles: only before the first parsed byte of an outermost stream.
    swappable: bool,
    /// How many streams it lies in.
    depth: u8,
}

enum State {
    /// Given up: a layer below may still have to say something of its own.
    Given(Why),
    Known(Box<dyn Layer>),
    /// The first bytes that were sent are still to come, or are held here.
    Start(Backlog),
    /// Somewhere in the middle, and so many segments were offered to the probes.
    Midway(u32),
}

/// What came before a protocol was recognised, in order.
#[derive(Default)]
struct Backlog {
    pieces: Vec<Piece>,
    /// The same bytes, joined per direction, for the probes.
    joined: [Vec<u8>; 2],
}

struct Piece {
    at: Stamp,
    dir: Direction,
    lane: Lane,
    bytes: Vec<u8>,
}

impl Stream {
    /// The stream of a flow. `from_start` says whether its first byte seen is the first byte sent; `ports` are those of
    /// the client and of the server as far as roles are known.
    pub fn outer(transport: Transport, from_start: bool, ports: [u16; 2]) -> Self {
        let state = if from_start {
            State::Start(Backlog::default())
        } else {
            State::Midway(0)
        };
        Self {
            state,
            above: None,
            transport,
            ports,
            swappable: true,
            depth: 0,
        }
    }

    /// A stream that a layer uncovered: roles are settled, and its first byte is the first byte sent. `depth` counts the
    /// streams that it lies in; one that lies too deep is not read.
    pub fn inner(depth: u8) -> Self {
        let state = if depth > DEPTH_MAX {
            State::Given(Why::Unknown)
        } else {
            State::Start(Backlog::default())
        };
        Self {
            state,
            above: None,
            transport: Transport::Tcp,
            ports: [0, 0],
            swappable: false,
            depth,
        }
    }

    /// Whether a protocol was recognised.
    pub const fn known(&self) -> bool {
        matches!(self.state, State::Known(_))
    }

    /// Feeds one chunk. `Step::Desync` and `Step::Anew` are never returned: they are handled here.
    pub fn push(&mut self, chunk: Chunk<'_>, env: &Env, listener: &mut dyn FnMut(Output<'_>)) -> Step {
        match &mut self.state {
            State::Known(layer) => {
                let mut up = Up::new(env, listener, &mut self.above);
                up.depth = self.depth;
                let step = layer.push(chunk, &mut up);
                if step == Step::Anew {
                    self.settle(Step::Desync);
                    return self.push(chunk, env, listener);
                }
                self.settle(step)
            }
            State::Given(why) => Step::Bypass(*why),
            State::Midway(tries) => {
                let Data::Bytes(bytes) = chunk.data else {
                    return Step::Continue;
                };
                *tries = tries.saturating_add(1);
                if *tries > IDENTIFY_MAX_TRIES {
                    return self.settle(Step::Bypass(Why::Desync));
                }
                let mut prefix = Prefix {
                    bytes: [&[], &[]],
                    from_start: false,
                    ports: self.ports,
                };
                if let Some(side) = prefix.bytes.get_mut(chunk.dir.index()) {
                    *side = bytes;
                }
                match identify(env, self.transport, &prefix) {
                    Verdict::Is(row, server) => self.begin(row, server, &[], Some(chunk), env, listener),
                    Verdict::No | Verdict::Unsure => Step::Continue,
                }
            }
            State::Start(_) => self.identify(chunk, env, listener),
        }
    }

    /// The flow has ended: every layer says what it still can.
    pub fn finish(&mut self, env: &Env, listener: &mut dyn FnMut(Output<'_>)) -> Step {
        let step = match &mut self.state {
            State::Known(layer) => {
                let mut up = Up::new(env, listener, &mut self.above);
                up.depth = self.depth;
                layer.finish(&mut up)
            }
            State::Given(why) => Step::Bypass(*why),
            State::Midway(_) | State::Start(_) => Step::Continue,
        };
        if let Some(above) = &mut self.above
            && let bypass @ Step::Bypass(_) = above.finish(env, listener)
        {
            return bypass;
        }
        step
    }

    /// A chunk of a stream that is unknown from its start.
    fn identify(&mut self, chunk: Chunk<'_>, env: &Env, listener: &mut dyn FnMut(Output<'_>)) -> Step {
        let State::Start(backlog) = &mut self.state else {
            return Step::Continue;
        };
        let bytes = match chunk.data {
            Data::Bytes(bytes) => bytes,
            Data::Gap(_) => {
                self.state = State::Midway(0);
                return Step::Continue;
            }
            Data::End => return Step::Continue,
        };
        let [to_server, to_client] = &mut backlog.joined;
        let (mine, other) = match chunk.dir {
            Direction::ToServer => (to_server, to_client),
            Direction::ToClient => (to_client, to_server),
        };
        // The usual case: the first segment decides, and nothing was or is copied.
        let prefix_bytes: &[u8] = if mine.is_empty() {
            bytes
        } else {
            mine.extend_from_slice(bytes);
            mine
        };
        let both = match chunk.dir {
            Direction::ToServer => [prefix_bytes, other.as_slice()],
            Direction::ToClient => [other.as_slice(), prefix_bytes],
        };
        let prefix = Prefix {
            bytes: both,
            from_start: true,
            ports: self.ports,
        };
        let seen = prefix_bytes.len();
        match identify(env, self.transport, &prefix) {
            Verdict::Is(row, server) => {
                let pieces = std::mem::take(&mut backlog.pieces);
                self.begin(row, server, &pieces, Some(chunk), env, listener)
            }
            Verdict::Unsure if seen < IDENTIFY_MAX_BYTES => {
                if mine.is_empty() {
                    mine.extend_from_slice(bytes);
                }
                backlog.pieces.push(Piece {
                    at: chunk.at,
                    dir: chunk.dir,
                    lane: chunk.lane,
                    bytes: bytes.to_vec(),
                });
                Step::Continue
            }
            Verdict::No | Verdict::Unsure => self.settle(Step::Bypass(Why::Unknown)),
        }
    }

    /// Opens the layer, settles the roles, and replays what was held back.
    fn begin(
        &mut self,
        row: &'static Protocol,
        server: Option<Direction>,
        pieces: &[Piece],
        chunk: Option<Chunk<'_>>,
        env: &Env,
        listener: &mut dyn FnMut(Output<'_>),
    ) -> Step {
        let swap = self.swappable && server == Some(Direction::ToServer);
        self.swappable = false;
        if swap {
            listener(Output::Swap);
            self.ports.reverse();
        }
        let mut layer = (row.open)(env);
        if let State::Midway(_) = self.state {
            layer.midway();
        }
        self.state = State::Known(layer);
        let held = pieces.iter().map(|piece| Chunk {
            at: piece.at,
            dir: piece.dir,
            lane: piece.lane,
            data: Data::Bytes(&piece.bytes),
        });
        for mut chunk in held.chain(chunk) {
            if swap {
                chunk.dir = chunk.dir.flip();
            }
            let step = self.push(chunk, env, listener);
            if step != Step::Continue {
                return step;
            }
        }
        Step::Continue
    }

    /// Out of step means unknown again; a stream that was given up stays so.
    fn settle(&mut self, step: Step) -> Step {
        match step {
            Step::Continue => Step::Continue,
            Step::Anew | Step::Desync => {
                self.state = State::Midway(0);
                self.above = None;
                Step::Continue
            }
            Step::Bypass(why) => {
                self.state = State::Given(why);
                self.above = None;
                step
            }
        }
    }
}

enum Verdict {
    Is(&'static Protocol, Option<Direction>),
    No,
    Unsure,
}

/// Asks the probes in order; the first `Yes` wins.
fn identify(env: &Env, transport: Transport, prefix: &Prefix<'_>) -> Verdict {
    let mut unsure = false;
    for row in env.protocols.iter().filter(|row| row.transport == transport) {
        match (row.probe)(prefix) {
            Probe::Yes { server } => return Verdict::Is(row, server),
            Probe::More => unsure = true,
            Probe::No => {}
        }
    }
    if unsure { Verdict::Unsure } else { Verdict::No }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::model::message::{Body, Carrier, Message};

    /// Speaks one-byte messages after the magic `>>`; `!` loses step.
    struct Toy;

    impl Layer for Toy {
        fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
            let Data::Bytes(bytes) = chunk.data else {
                return Step::Continue;
            };
            if bytes.contains(&b'!') {
                return Step::Desync;
            }
            let message = Message {
                at: chunk.at,
                dir: chunk.dir,
                carrier: Carrier::Line,
                transaction: None,
                body: Body::Whole(bytes),
            };
            up.message(message);
            Step::Continue
        }
    }

    fn probe(prefix: &Prefix<'_>) -> Probe {
        let side = usize::from(prefix.bytes[0].is_empty());
        let bytes = prefix.bytes[side];
        let server = Some(if side == 0 {
            Direction::ToClient
        } else {
            Direction::ToServer
        });
        match bytes {
            [b'>', b'>', ..] => Probe::Yes { server },
            [] | [b'>'] => Probe::More,
            _ => Probe::No,
        }
    }

    const ROWS: &[Protocol] = &[Protocol {
        name: "toy",
        transport: Transport::Tcp,
        probe,
        open: |_| Box::new(Toy),
    }];

    fn run(from_start: bool, chunks: &[(Direction, Data<'_>)]) -> (Vec<String>, Step) {
        let env = Env {
            message_max_bytes: 100,
            head_max_bytes: 100,
            inflate_max_bytes: 100,
            keys: None,
            protocols: ROWS,
        };
        let mut stream = Stream::outer(Transport::Tcp, from_start, [1, 2]);
        let mut out = Vec::new();
        let mut last = Step::Continue;
        let mut swapped = false;
        for &(dir, data) in chunks {
            let dir = if swapped { dir.flip() } else { dir };
            let chunk = Chunk {
                at: Stamp::default(),
                dir,
                lane: 0,
                data,
            };
            last = stream.push(chunk, &env, &mut |output| match output {
                Output::Swap => swapped = true,
                Output::Message(Message {
                    dir,
                    body: Body::Whole(bytes),
                    ..
                }) => {
                    out.push(format!("{}{}", dir.index(), String::from_utf8_lossy(bytes)));
                }
                _ => {}
            });
            if last != Step::Continue {
                break;
            }
        }
        (out, last)
    }

    #[test]
    fn identifies_replays_swaps_and_gives_up() {
        use Data::Bytes;
        use Direction::{ToClient, ToServer};
        let whole = run(true, &[(ToServer, Bytes(b">>a")), (ToClient, Bytes(b"b"))]);
        assert_eq!(whole, (vec!["0>>a".into(), "1b".into()], Step::Continue));
        let split = run(true, &[(ToServer, Bytes(b">")), (ToServer, Bytes(b">a"))]);
        assert_eq!(split.0, ["0>", "0>a"]);
        let swapped = run(true, &[(ToClient, Bytes(b">>a")), (ToServer, Bytes(b"b"))]);
        assert_eq!(swapped.0, ["0>>a", "1b"]);
        assert_eq!(run(true, &[(ToServer, Bytes(b"xx"))]).1, Step::Bypass(Why::Unknown));
        let late = run(false, &[(ToServer, Bytes(b"xx")), (ToServer, Bytes(b">>a"))]);
        assert_eq!(late, (vec!["0>>a".into()], Step::Continue));
        let lost = run(
            true,
            &[
                (ToServer, Data::Gap(3)),
                (ToServer, Bytes(b"yy")),
                (ToServer, Bytes(b">>a")),
            ],
        );
        assert_eq!(lost.0, ["0>>a"]);
        let again = run(
            true,
            &[
                (ToServer, Bytes(b">>a")),
                (ToServer, Bytes(b"!")),
                (ToServer, Bytes(b"c")),
                (ToServer, Bytes(b">>d")),
            ],
        );
        assert_eq!(again.0, ["0>>a", "0>>d"]);
    }
}
