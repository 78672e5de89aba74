//! Raw JSON-RPC on TCP: objects and batches, one after the other.
//!
//! MCP writes one to a line, as on standard input and output. What is read is a little more: a value ends where its
//! brackets close, so that pretty-printed ones, and several on a line, are read, too. Whatever else stands on a line is
//! passed over to its end: logs of a badly behaved server for one. A broken value is left at the first byte that cannot
//! belong to it; a gap costs the value that it is in, and the rest of the line behind it unless a message begins there.
//! Nothing is out of step, unless the stream was joined midway and does not go on in kind.
//! A value that one segment holds is borrowed, a longer one joined; what is longer than the bound is cut.

pub(super) mod value;

#[cfg(test)]
mod tests;

use memchr::{memchr, memchr_iter};

use self::value::{Found, Value};
use super::rpc::{self, Looks, Told};
use crate::model::chunk::{Chunk, Data};
use crate::model::message::Carrier;
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::stream::carry::Carry;
use crate::stream::layer::{Layer, Prefix, Probe, Protocol, Step, Up};

/// Row of the protocol table.
pub const PROTOCOL: Protocol = Protocol {
    name: "JSON lines",
    transport: Transport::Tcp,
    probe,
    open: |env| {
        Box::new(Lines {
            told: Told::new(Carrier::Line, env.message_max_bytes),
            sides: [Side::default(), Side::default()],
        })
    },
};

fn probe(prefix: &Prefix<'_>) -> Probe {
    let mut short = prefix.is_silent();
    for (dir, bytes) in prefix.said() {
        match rpc::looks(bytes) {
            Looks::Like => {
                return Probe::Yes {
                    server: rpc::server(bytes, dir),
                };
            }
            Looks::Short => short = true,
            // A server that logs to its output speaks first; what the client says decides, or a message behind the log.
            Looks::Unlike if dir == Direction::ToClient && prefix.from_start && is_text(bytes) => {
                if let Some(message) = behind_lines(bytes) {
                    return Probe::Yes {
                        server: rpc::server(message, dir),
                    };
                }
                short |= prefix.bytes.iter().any(|bytes| bytes.is_empty());
            }
            Looks::Unlike => {}
        }
    }
    if short { Probe::More } else { Probe::No }
}

/// Lines for people, colours included.
fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | b' '..=0x7e | 0x80..))
}

/// The first line that begins a message. Few lines are looked at: this is asked again with every segment.
fn behind_lines(bytes: &[u8]) -> Option<&[u8]> {
    memchr_iter(b'\n', bytes)
        .filter_map(|end| bytes.get(end.saturating_add(1)..))
        .filter(|line| matches!(line.first(), Some(b'{' | b'[')))
        .take(CANDIDATES_MAX)
        .find(|line| rpc::looks(line) == Looks::Like)
}

/// Lines behind a server's log that are looked at.
const CANDIDATES_MAX: usize = 16;

struct Lines {
    told: Told,
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    state: State,
    /// The beginning of a value that goes on.
    carry: Carry,
    /// The line of the last value has ended.
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between values.
    #[default]
    Between,
    /// Bytes are missing: somewhere in a line, or before one.
    Lost,
    /// Passing over the rest of a line.
    Noise,
    /// In a value; `cut` when its beginning was told.
    Value { value: Value, cut: bool },
}

impl Layer for Lines {
    fn midway(&mut self) {
        self.told.midway();
    }

    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let Chunk { at, dir, data, .. } = chunk;
        let [to_server, to_client] = &mut self.sides;
        let side = match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let in_step = match data {
            Data::Bytes(bytes) => side.bytes(at, dir, bytes, &mut self.told, up),
            Data::Gap(_) => {
                side.break_off(dir, &mut self.told, up);
                !self.told.doubts()
            }
            Data::End => {
                side.break_off(dir, &mut self.told, up);
                self.told.end(self.sides.iter().all(|side| side.closed), up);
                true
            }
        };
        if in_step { Step::Continue } else { Step::Desync }
    }
}

impl Side {
    /// `false` when the stream is not what it looked like.
    fn bytes(&mut self, at: Stamp, dir: Direction, bytes: &[u8], told: &mut Told, up: &mut Up<'_>) -> bool {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            match &mut self.state {
                State::Between => match first {
                    b'{' | b'[' => {
                        if told.holds(dir) {
                            told.believe(up);
                        }
                        self.closed = false;
                        self.state = State::Value {
                            value: Value::default(),
                            cut: false,
                        };
                    }
                    // White space, and the bytes of a byte order mark.
                    b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => {
                        self.closed |= first == b'\n';
                        rest = rest.get(1..).unwrap_or_default();
                    }
                    _ if told.doubts() => return false,
                    _ => self.state = State::Noise,
                },
                // Segments begin with messages more often than not.
                State::Lost => {
                    self.state = if rpc::looks(rest) == Looks::Like {
                        State::Between
                    } else {
                        State::Noise
                    };
                }
                State::Noise => match memchr(b'\n', rest) {
                    Some(end) => {
                        rest = rest.get(end..).unwrap_or_default();
                        self.state = State::Between;
                    }
                    None => return true,
                },
                State::Value { value, cut } => match value.push(rest) {
                    Found::End(end) => {
                        let (piece, behind) = rest.split_at(end);
                        rest = behind;
                        if !*cut {
                            self.whole(at, dir, piece, told, up);
                        }
                        self.state = State::Between;
                    }
                    Found::More => {
                        if !*cut && self.carry.take(at, rest, told.max_bytes()) < rest.len() {
                            *cut = true;
                            told.cut(self.carry.at(), dir, self.carry.bytes(), 0, up);
                            self.carry.clear();
                        }
                        return true;
                    }
                    Found::Broken(_) if told.doubts() => return false,
                    Found::Broken(by) => {
                        let again = value.is_new_line();
                        self.carry.clear();
                        rest = rest.get(by..).unwrap_or_default();
                        self.state = if again { State::Between } else { State::Noise };
                    }
                },
            }
        }
        true
    }

    /// A value that ends with `piece`.
    fn whole(&mut self, at: Stamp, dir: Direction, piece: &[u8], told: &mut Told, up: &mut Up<'_>) {
        if self.carry.is_empty() {
            return told.whole(at, dir, piece, up);
        }
        let over = piece.len().saturating_sub(self.carry.take(at, piece, told.max_bytes()));
        match over {
            0 => told.whole(self.carry.at(), dir, self.carry.bytes(), up),
            over => told.cut(self.carry.at(), dir, self.carry.bytes(), over as u64, up),
        }
        self.carry.clear();
    }

    /// Bytes are missing, or no more come.
    fn break_off(&mut self, dir: Direction, told: &mut Told, up: &mut Up<'_>) {
        told.cut(self.carry.at(), dir, self.carry.bytes(), 0, up);
        self.carry.clear();
        self.state = State::Lost;
    }
}
