//! Raw JSON-RPC behind heads, as editors speak it (Language Server Protocol 3.17, "Base Protocol"): fields that end with
//! an empty line, `Content-Length` among them, then so many bytes.
//!
//! Read so that language servers and debug adapters are told apart from MCP by what they say, and because MCP behind
//! such heads exists. A body that one segment holds is borrowed, a longer one joined; what is longer than the bound is
//! cut. A gap in a body costs that body; behind a gap anywhere else, and behind what is no head, the direction goes on
//! with the head that begins a segment. Nothing is out of step, unless the stream was joined midway and does not go on in
//! kind.

use super::rpc::{self, Looks, Told};
use crate::model::chunk::{Chunk, Data};
use crate::model::message::Carrier;
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::stream::carry::Carry;
use crate::stream::layer::{Layer, Prefix, Probe, Protocol, Step, Up};

/// Row of the protocol table.
pub const PROTOCOL: Protocol = Protocol {
    name: "JSON frames",
    transport: Transport::Tcp,
    probe,
    open: |env| {
        Box::new(Framed {
            told: Told::new(Carrier::Framed, env.message_max_bytes),
            sides: [Side::default(), Side::default()],
        })
    },
};

/// Longest head, in bytes; the usual ones have less than 80.
const HEAD_MAX_BYTES: usize = 512;
/// The two fields that there are, in lower case.
const LENGTH: &[u8] = b"content-length:";
const TYPE: &[u8] = b"content-type:";

fn probe(prefix: &Prefix<'_>) -> Probe {
    let mut short = prefix.is_silent();
    for (dir, bytes) in prefix.said() {
        match head(bytes) {
            Head::Ended { len, .. } => {
                let body = bytes.get(len..).unwrap_or_default();
                match rpc::looks(body) {
                    // Debug adapters send JSON of another kind.
                    Looks::Like | Looks::Unlike if body.first() == Some(&b'{') || body.first() == Some(&b'[') => {
                        return Probe::Yes {
                            server: rpc::server(body, dir),
                        };
                    }
                    Looks::Short => short = true,
                    Looks::Like | Looks::Unlike => {}
                }
            }
            Head::Short => short = true,
            Head::Unlike => {}
        }
    }
    if short { Probe::More } else { Probe::No }
}

/// What bytes are as a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// One of `len` bytes, with a body of `body` bytes.
    Ended { len: usize, body: u64 },
    /// One that goes on.
    Short,
    /// None.
    Unlike,
}

fn head(bytes: &[u8]) -> Head {
    let mut body = None;
    let mut len = 0_usize;
    for line in bytes
        .get(..HEAD_MAX_BYTES)
        .unwrap_or(bytes)
        .split_inclusive(|byte| *byte == b'\n')
    {
        len = len.saturating_add(line.len());
        let Some(text) = line.strip_suffix(b"\n") else {
            return if bytes.len() < HEAD_MAX_BYTES && (begins(line, LENGTH) || begins(line, TYPE)) {
                Head::Short
            } else {
                Head::Unlike
            };
        };
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if let Some(value) = field(text, LENGTH) {
            let digits = std::str::from_utf8(value.trim_ascii()).ok();
            body = digits
                .filter(|digits| !digits.starts_with('+'))
                .and_then(|digits| digits.parse().ok());
            if body.is_none() {
                return Head::Unlike;
            }
        } else if text.is_empty() {
            return body.map_or(Head::Unlike, |body| Head::Ended { len, body });
        } else if field(text, TYPE).is_none() {
            return Head::Unlike;
        }
    }
    if bytes.len() < HEAD_MAX_BYTES {
        Head::Short
    } else {
        Head::Unlike
    }
}

/// Whether a line without its end begins a field, as far as it goes, or is an empty one.
fn begins(line: &[u8], name: &[u8]) -> bool {
    let common = line.len().min(name.len());
    line == b"\r" || matches!((line.get(..common), name.get(..common)), (Some(a), Some(b)) if a.eq_ignore_ascii_case(b))
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    found.eq_ignore_ascii_case(name).then_some(value)
}

struct Framed {
    told: Told,
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    state: State,
    /// The beginning of a head or of a body.
    carry: Carry,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// In a body; so many bytes of it have not come. `over` when no more of it is kept.
    Body { left: u64, over: bool },
    /// Nothing more comes.
    Ended,
    #[default]
    Head,
    /// Passing over bytes until a head begins a segment.
    Lost,
}

impl Layer for Framed {
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
            Data::Gap(missing) => side.gap(dir, missing, &mut self.told, up),
            Data::End => {
                if let State::Body { left, over: false } = side.state {
                    self.told.cut(side.carry.at(), dir, side.carry.bytes(), left, up);
                }
                side.carry.clear();
                side.state = State::Ended;
                self.told.end(true, up);
                true
            }
        };
        if in_step { Step::Continue } else { Step::Desync }
    }
}

impl Side {
    /// `false` when out of step.
    fn bytes(&mut self, at: Stamp, dir: Direction, bytes: &[u8], told: &mut Told, up: &mut Up<'_>) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.state {
                State::Ended => return true,
                State::Lost if matches!(head(rest), Head::Ended { .. }) => self.state = State::Head,
                State::Lost => return true,
                State::Head => {
                    let before = self.carry.len();
                    let found = if before == 0 {
                        head(rest)
                    } else {
                        self.carry.take(at, rest, HEAD_MAX_BYTES);
                        head(self.carry.bytes())
                    };
                    match found {
                        Head::Unlike => return self.lose(told),
                        Head::Short => {
                            if before == 0 {
                                self.carry.take(at, rest, HEAD_MAX_BYTES);
                            }
                            return true;
                        }
                        Head::Ended { len, body } => {
                            self.carry.clear();
                            rest = rest.get(len.saturating_sub(before)..).unwrap_or_default();
                            if told.holds(dir) {
                                told.believe(up);
                            }
                            if body > 0 {
                                self.state = State::Body {
                                    left: body,
                                    over: false,
                                };
                            }
                        }
                    }
                }
                State::Body { left, over } => {
                    let take = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    let (piece, behind) = rest.split_at(take);
                    rest = behind;
                    let left = left.saturating_sub(piece.len() as u64);
                    let over = over || self.body(at, dir, piece, left, told, up);
                    self.state = match left {
                        0 => State::Head,
                        left => State::Body { left, over },
                    };
                }
            }
        }
        true
    }

    /// The next piece of a body. `true` when no more of it is wanted.
    fn body(&mut self, at: Stamp, dir: Direction, piece: &[u8], left: u64, told: &mut Told, up: &mut Up<'_>) -> bool {
        if left == 0 && self.carry.is_empty() {
            told.whole(at, dir, piece, up);
            return true;
        }
        let over = piece.len().saturating_sub(self.carry.take(at, piece, told.max_bytes())) as u64;
        let (at, bytes) = (self.carry.at(), self.carry.bytes());
        match (over, left) {
            (0, 1..) => return false,
            (0, 0) => told.whole(at, dir, bytes, up),
            _ => told.cut(at, dir, bytes, over.saturating_add(left), up),
        }
        self.carry.clear();
        true
    }

    /// `false` when out of step.
    fn gap(&mut self, dir: Direction, missing: u64, told: &mut Told, up: &mut Up<'_>) -> bool {
        let State::Body { left, over } = self.state else {
            return matches!(self.state, State::Ended) || self.lose(told);
        };
        if !over {
            told.cut(self.carry.at(), dir, self.carry.bytes(), left, up);
            self.carry.clear();
        }
        self.state = match left.checked_sub(missing) {
            None => return self.lose(told),
            Some(0) => State::Head,
            Some(left) => State::Body { left, over: true },
        };
        true
    }

    /// `false` when the stream is then not what it looked like.
    fn lose(&mut self, told: &Told) -> bool {
        self.carry.clear();
        self.state = State::Lost;
        !told.doubts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let ended = |len, body| Head::Ended { len, body };
        for (text, expect) in [
            ("Content-Length: 12\r\n\r\n{", ended(22, 12)),
            ("content-length:12\n\n", ended(19, 12)),
            (
                "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
                ended(78, 2),
            ),
            ("Content-Length: 12\r\n\r", Head::Short),
            ("Content-Length: 12\r\nCont", Head::Short),
            ("Con", Head::Short),
            ("", Head::Short),
            ("Content-Length: x\r\n\r\n", Head::Unlike),
            ("Content-Length: +1\r\n\r\n", Head::Unlike),
            ("Content-Length: 12\r\nServer: x\r\n\r\n", Head::Unlike),
            ("Content-Type: x\r\n\r\n", Head::Unlike),
            ("HTTP/1.1 200 OK\r\n", Head::Unlike),
            ("\r\n", Head::Unlike),
        ] {
            assert_eq!(head(text.as_bytes()), expect, "{text:?}");
        }
        assert_eq!(
            head(format!("Content-Length: {}", "1".repeat(600)).as_bytes()),
            Head::Unlike
        );
    }
}
