//! Raw JSON-RPC, whatever frames it: what its first bytes look like, who of the two ends serves, and when a stream that
//! is joined midway may be believed.
//!
//! Other protocols send JSON without HTTP, too: what does not name JSON-RPC in its first object is not taken. Whether
//! JSON-RPC is MCP is not decided here.

use memchr::memmem;

use super::http::{JSONRPC, Peek, peek};
use super::lines::value::{Found, Value};
use crate::model::message::{Body, Carrier, Message};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::stream::carry::Carry;
use crate::stream::layer::Up;

/// JSON with a key of JSON-RPC first, and so much of it, is taken although its version may stand behind the rest.
const SURE_BYTES: usize = 2048;

/// How far bytes look like a message of JSON-RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// They begin one.
    Like,
    /// They may still become one.
    Short,
    /// They do not.
    Unlike,
}

/// Looks at the first bytes of a message.
pub(super) fn looks(bytes: &[u8]) -> Looks {
    let maybe = match peek(bytes) {
        Peek::Rpc => return Looks::Like,
        Peek::NotJson => return Looks::Unlike,
        Peek::Json | Peek::Short => false,
        Peek::Maybe => true,
    };
    let (value, whole) = first(bytes);
    let sure = maybe && !whole && bytes.len() >= SURE_BYTES;
    if sure || JSONRPC.find(value).is_some() {
        Looks::Like
    } else if whole {
        Looks::Unlike
    } else {
        Looks::Short
    }
}

/// The first value, with what stands before it, and whether it is all there. What follows it says nothing about it: a
/// log of other things may mention JSON-RPC.
fn first(bytes: &[u8]) -> (&[u8], bool) {
    let Some(start) = bytes.iter().position(|byte| matches!(byte, b'{' | b'[')) else {
        return (bytes, false);
    };
    match Value::default().push(bytes.get(start..).unwrap_or_default()) {
        Found::More => (bytes, false),
        Found::Broken(len) | Found::End(len) => (bytes.get(..start.saturating_add(len)).unwrap_or(bytes), true),
    }
}

/// Who serves, by the first message of a direction: the direction in which the server's bytes travel. `None` when the
/// message does not say.
pub(super) fn server(bytes: &[u8], dir: Direction) -> Option<Direction> {
    /// Sent by clients alone.
    const ASKED: [&[u8]; 9] = [
        b"completion/",
        b"initialize\"",
        b"logging/",
        b"notifications/initialized\"",
        b"prompts/",
        b"resources/",
        b"server/discover\"",
        b"subscriptions/listen\"",
        b"tools/",
    ];
    /// Sent by servers alone.
    const TOLD: [&[u8]; 5] = [
        b"elicitation/",
        b"notifications/message\"",
        b"notifications/tools/",
        b"roots/list\"",
        b"sampling/",
    ];
    /// Members of the results that only a server gives.
    const GIVEN: [&[u8]; 2] = [b"\"inputSchema\"", b"\"serverInfo\""];
    let (bytes, _) = first(bytes);
    if let Some(method) = method(bytes) {
        return if ASKED.iter().any(|known| method.starts_with(known)) {
            Some(dir.flip())
        } else if TOLD.iter().any(|known| method.starts_with(known)) {
            Some(dir)
        } else {
            None
        };
    }
    GIVEN
        .iter()
        .any(|known| memmem::find(bytes, known).is_some())
        .then_some(dir)
}

/// The value of the first `method`, behind its opening quote.
fn method(bytes: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b"\"method\"";
    let behind = bytes.get(memmem::find(bytes, KEY)?.checked_add(KEY.len())?..)?;
    let value = behind.trim_ascii_start().strip_prefix(b":")?;
    value.trim_ascii_start().strip_prefix(b"\"")
}

/// Messages on their way up. Where a stream is joined midway, a body of HTTP whose head was not captured looks the same:
/// the first message of each direction is then kept back until another one follows it without anything in between.
pub(super) struct Told {
    carrier: Carrier<'static>,
    max_bytes: usize,
    /// `None` once it may be believed.
    held: Option<[Held; 2]>,
}

/// The first message of a direction.
#[derive(Default)]
struct Held {
    carry: Carry,
    /// So many bytes of it were not kept; `None` when it is whole.
    cut: Option<u64>,
}

impl Told {
    pub(super) fn new(carrier: Carrier<'static>, max_bytes: usize) -> Self {
        Self {
            carrier,
            max_bytes,
            held: None,
        }
    }

    /// The stream is joined midway.
    pub(super) fn midway(&mut self) {
        self.held = Some([Held::default(), Held::default()]);
    }

    /// Longest message that is told whole.
    pub(super) const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Whether messages are kept back.
    pub(super) const fn doubts(&self) -> bool {
        self.held.is_some()
    }

    /// Whether a message of that direction is kept back: what follows decides.
    pub(super) fn holds(&self, dir: Direction) -> bool {
        let held = self.held.as_ref().and_then(|held| held.get(dir.index()));
        held.is_some_and(|held| !held.carry.is_empty())
    }

    /// Another message follows: the stream is what it looked like. What was kept back is told.
    #[cold]
    pub(super) fn believe(&mut self, up: &mut Up<'_>) {
        let Some([to_server, to_client]) = self.held.take() else {
            return;
        };
        let mut both = [(Direction::ToServer, to_server), (Direction::ToClient, to_client)];
        both.sort_by_key(|(_, held)| held.carry.at());
        for (dir, Held { carry, cut }) in both.iter().filter(|(_, held)| !held.carry.is_empty()) {
            match cut {
                None => self.whole(carry.at(), *dir, carry.bytes(), up),
                Some(missing) => self.cut(carry.at(), *dir, carry.bytes(), *missing, up),
            }
        }
    }

    /// The stream has ended. Where each direction has held one message of its own, closed as bodies of HTTP are not,
    /// nothing more will follow, and both are told.
    pub(super) fn end(&mut self, closed: bool, up: &mut Up<'_>) {
        if closed
            && [Direction::ToServer, Direction::ToClient]
                .iter()
                .all(|dir| self.holds(*dir))
        {
            self.believe(up);
        }
    }

    /// A message has come: one that is too long is cut.
    pub(super) fn whole(&mut self, at: Stamp, dir: Direction, bytes: &[u8], up: &mut Up<'_>) {
        if let Some(held) = self.held.as_mut().and_then(|held| held.get_mut(dir.index())) {
            let kept = held.carry.take(at, bytes, self.max_bytes);
            held.cut = Some(bytes.len().saturating_sub(kept) as u64).filter(|missing| *missing > 0);
            return;
        }
        match bytes.split_at_checked(self.max_bytes) {
            Some((head, rest)) if !rest.is_empty() => self.cut(at, dir, head, rest.len() as u64, up),
            _ => self.say(at, dir, Body::Whole(bytes), up),
        }
    }

    /// A message has broken off; so many bytes of it are missing, 0 when unknown.
    pub(super) fn cut(&mut self, at: Stamp, dir: Direction, head: &[u8], missing: u64, up: &mut Up<'_>) {
        match self.held.as_mut().and_then(|held| held.get_mut(dir.index())) {
            _ if head.is_empty() => {}
            Some(held) => {
                held.carry.take(at, head, self.max_bytes);
                held.cut = Some(missing);
            }
            None => self.say(at, dir, Body::Cut { head, missing }, up),
        }
    }

    fn say(&self, at: Stamp, dir: Direction, body: Body<'_>, up: &mut Up<'_>) {
        up.message(Message {
            at,
            dir,
            carrier: self.carrier,
            transaction: None,
            body,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    #[test]
    fn first_messages() {
        for (text, expect) in [
            (r#"{"jsonrpc":"#, Looks::Like),
            (r#"{"method":"initialize","params":{},"jsonrpc":"2.0""#, Looks::Like),
            ("\u{feff}[{\n \"id\": 1, \"jsonrpc\"", Looks::Like),
            (r#"{"id":1,"method":"mining.subscribe","params":[]}"#, Looks::Unlike),
            (
                r#"{"id":0,"method":"initialize","params":{"clientInfo":{"#,
                Looks::Short,
            ),
            (r#"{"type":"hello"}"#, Looks::Unlike),
            (r#"{"time":"2026","#, Looks::Short),
            ("[INFO] started", Looks::Unlike),
            ("{ not json", Looks::Unlike),
            ("{", Looks::Short),
            ("", Looks::Short),
            ("EHLO a", Looks::Unlike),
        ] {
            assert_eq!(looks(text.as_bytes()), expect, "{text}");
        }
        let long = format!(r#"{{"params":{{"text":"{}"#, "x".repeat(SURE_BYTES));
        assert_eq!(looks(long.as_bytes()), Looks::Like);
    }

    #[test]
    fn roles() {
        for (text, expect) in [
            (r#"{"method":"initialize","params":{"#, Some(ToClient)),
            (r#"{"jsonrpc":"2.0","id":1,"method" : "tools/list"}"#, Some(ToClient)),
            (r#"{"method":"notifications/message"}"#, Some(ToServer)),
            (r#"{"result":{"serverInfo":{}}}"#, Some(ToServer)),
            (r#"{"method":"ping","id":1}"#, None),
            (r#"{"method":"initialized"}"#, None),
            (r#"{"result":{}}"#, None),
        ] {
            assert_eq!(server(text.as_bytes(), ToServer), expect, "{text}");
        }
    }
}
