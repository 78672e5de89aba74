//! Bodies: from the bytes that a framing gives to messages. JSON whole, event streams by event, all else passed over.
//!
//! A body in one slice is borrowed through; one in several slices is joined in one recycled buffer. JSON that does not
//! begin like JSON-RPC is only searched for its name, never kept. A label of another type does not hide JSON: the first
//! bytes count. Knows nothing of chunks, frames or transactions.

use super::Limits;
use super::content::{Coding, ESCAPED, JSONRPC, Kind, Peek, VERSION_KEY, is_wide, peek};
use super::inflate::{Inflate, Inflated};
use super::sse::Sse;
use crate::model::message::Body;
use crate::model::stamp::Stamp;
use crate::stream::carry::release;

/// Bytes of the name that may stand before the end of a slice.
const SEAM_BYTES: usize = VERSION_KEY.len() - 1;

/// Longest form that is read, in bytes: those that matter hold a few parameters.
const FORM_MAX_BYTES: usize = 65_536;

/// What a body gives: a message without its surroundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    /// Packet that carried its first byte.
    pub(super) at: Stamp,
    /// Name of the event, when it is one.
    pub(super) event: Option<&'a str>,
    /// Content.
    pub(super) body: Body<'a>,
}

/// Takes what a body gives.
pub(super) type Say<'s> = dyn FnMut(Said<'_>) + 's;

/// What the heads tell of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// What it may hold.
    pub(super) kind: Kind,
    /// How it was compressed.
    pub(super) coding: Coding,
    /// Whether it is collected whatever it begins with.
    pub(super) candidate: bool,
    /// Whether the request was not captured, so that nothing is known of it.
    pub(super) alone: bool,
    /// Whether its beginning may be missing.
    pub(super) torn: bool,
    /// Packet of the head's first byte.
    pub(super) at: Stamp,
}

/// A reader of one body after the other in one direction.
pub(super) struct Reader {
    limits: Limits,
    state: State,
    kind: Kind,
    candidate: bool,
    /// Longest body that is kept, in bytes.
    max_bytes: usize,
    /// Whether JSON-RPC was met in this body.
    rpc: bool,
    /// Whether it is collected for its first key alone: its end decides.
    doubt: bool,
    torn: bool,
    /// Whether the first byte may show that the body is packed although no head says so.
    sniff: bool,
    /// Bodies of interest that were given up and not yet asked for.
    shed: u64,
    head_at: Stamp,
    at: Option<Stamp>,
    /// What is collected or undecided; in a hunt the end of what was searched.
    buffer: Vec<u8>,
    inflate: Option<Inflate>,
    sse: Option<Box<Sse>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Kept in `buffer`; so many bytes before it were not.
    Collect { skipped: u64 },
    /// An event stream.
    Events,
    /// JSON of another kind: only its name is looked for.
    Hunt { skipped: u64 },
    /// Undecided; what came so far is in `buffer`.
    Peek,
    /// All was said: the rest is passed over.
    Said,
    /// Not of interest.
    Skip,
}

impl Reader {
    /// Before any body.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Said,
            kind: Kind::Other,
            candidate: false,
            max_bytes: limits.message_max_bytes,
            rpc: false,
            doubt: false,
            torn: false,
            sniff: false,
            shed: 0,
            head_at: Stamp::default(),
            at: None,
            buffer: Vec::new(),
            inflate: None,
            sse: None,
        }
    }

    /// A body begins.
    pub(super) fn open(&mut self, plan: Plan) {
        (self.candidate, self.rpc, self.head_at, self.at) = (plan.candidate, false, plan.at, None);
        (self.kind, self.torn) = (plan.kind, plan.torn);
        self.doubt = false;
        self.inflate = None;
        self.sniff = false;
        self.state = match plan.kind {
            Kind::Events => {
                let max_bytes = self.limits.message_max_bytes;
                self.sse.get_or_insert_with(|| Box::new(Sse::new(max_bytes))).reset();
                State::Events
            }
            Kind::Form | Kind::Json | Kind::MaybeJson | Kind::Other => State::Peek,
        };
        self.max_bytes = self.limits.message_max_bytes;
        let stream = self.state == State::Events;
        let wanted = stream || plan.candidate || (plan.alone && !self.is_mislabelled());
        if plan.coding.is_identity() {
            self.sniff = wanted;
            return;
        }
        if wanted {
            self.inflate = Inflate::new(plan.coding, self.limits.inflate_max_bytes, stream);
            self.shed = self.shed.saturating_add(u64::from(self.inflate.is_none()));
        }
        if self.inflate.is_none() {
            self.state = if stream { State::Said } else { State::Skip };
        }
    }

    /// Whether the label says that the body is no JSON.
    const fn is_mislabelled(&self) -> bool {
        matches!(self.kind, Kind::Form | Kind::Other)
    }

    /// How many bodies of interest were given up since the last call: at the bound of their output, or because one of
    /// their codings is not read.
    pub(super) fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }

    /// Whether no byte of the body has come.
    pub(super) fn is_fresh(&self) -> bool {
        self.at.is_none()
    }

    /// Whether nothing more will be said of the body.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Said | State::Skip)
    }

    /// Bytes of the body that are kept, and what decoding it takes.
    pub(super) fn held_bytes(&self) -> usize {
        let events = match self.state {
            State::Events => self.sse.as_ref().map_or(0, |sse| sse.held_bytes()),
            _ => 0,
        };
        let inflate = self.inflate.as_ref().map_or(0, Inflate::held_bytes);
        self.buffer.len().saturating_add(events).saturating_add(inflate)
    }

    /// Whether this is an event stream in which a new event may begin.
    pub(super) fn resumes(&self) -> bool {
        self.state == State::Events
    }

    /// Whether the body turned out to be JSON-RPC.
    pub(super) fn is_rpc(&self) -> bool {
        self.rpc
    }

    /// The body turns out to be an event stream; `false` when it was known to be one.
    pub(super) fn turn_to_events(&mut self) -> bool {
        if self.state == State::Events {
            return false;
        }
        let at = self.head_at;
        let coding = Coding::IDENTITY;
        self.open(Plan {
            kind: Kind::Events,
            coding,
            candidate: self.candidate,
            alone: false,
            torn: true,
            at,
        });
        true
    }

    /// The next bytes of the body, and how many follow as far as that is known.
    pub(super) fn push(&mut self, at: Stamp, bytes: &[u8], left: Option<u64>, say: &mut Say<'_>) {
        self.at.get_or_insert(at);
        if matches!(self.state, State::Said | State::Skip) {
            return;
        }
        if let (true, Some(first)) = (std::mem::take(&mut self.sniff), bytes.first()) {
            let stream = self.state == State::Events;
            let found = Coding::found(*first);
            self.inflate = found.and_then(|coding| Inflate::new(coding, self.limits.inflate_max_bytes, stream));
        }
        match self.inflate.take() {
            None => self.plain(at, bytes, left, say),
            Some(inflate) => self.unpack(inflate, at, bytes, say),
        }
    }

    /// The body is complete.
    pub(super) fn finish(&mut self, say: &mut Say<'_>) {
        if self.inflate.as_ref().is_some_and(|inflate| !inflate.is_complete()) {
            return self.cut(0, say);
        }
        match self.state {
            State::Collect { skipped: 0 } if !self.buffer.is_empty() && !self.torn => {
                let buffer = std::mem::take(&mut self.buffer);
                self.say_whole(&buffer, say);
                self.buffer = buffer;
            }
            _ => return self.cut(0, say),
        }
        self.close();
    }

    /// The body breaks off, or the rest of it is no use; so many bytes of it are missing, 0 when unknown.
    pub(super) fn cut(&mut self, missing: u64, say: &mut Say<'_>) {
        match self.state {
            State::Said => {}
            State::Events => {
                if let Some(sse) = &mut self.sse {
                    sse.end(say);
                }
            }
            State::Collect { skipped } if !self.buffer.is_empty() => {
                let missing = if self.inflate.is_some() {
                    0
                } else {
                    missing.saturating_add(skipped)
                };
                self.say(
                    Body::Cut {
                        head: &self.buffer,
                        missing,
                    },
                    say,
                );
            }
            State::Collect { .. } | State::Hunt { .. } | State::Peek | State::Skip => self.say(Body::Absent, say),
        }
        self.close();
    }

    /// Bytes in the middle were not captured, and the body goes on behind them; `missing` counts all that will not be
    /// read of it, 0 when unknown.
    pub(super) fn gap(&mut self, missing: u64, say: &mut Say<'_>) {
        match (self.state, &mut self.sse) {
            (State::Events, Some(sse)) if self.inflate.is_none() => sse.gap(say),
            _ => self.cut(missing, say),
        }
    }

    /// Behind a gap a new chunk begins, and with it, as servers write them, a new event.
    pub(super) fn resume(&mut self) {
        if let (State::Events, Some(sse)) = (self.state, &mut self.sse) {
            sse.reset();
        }
    }

    fn unpack(&mut self, mut inflate: Inflate, at: Stamp, bytes: &[u8], say: &mut Say<'_>) {
        let mut rest = bytes;
        loop {
            match inflate.next(&mut rest) {
                Inflated::Output(output) => self.plain(at, output, None, say),
                Inflated::Failed => return self.cut(0, say),
                Inflated::Over => {
                    self.shed = self.shed.saturating_add(1);
                    return self.cut(0, say);
                }
                Inflated::More => break,
            }
            if let State::Hunt { .. } = self.state {
                self.state = State::Skip;
            }
            if matches!(self.state, State::Said | State::Skip) {
                return;
            }
        }
        self.inflate = Some(inflate);
    }

    fn plain(&mut self, at: Stamp, bytes: &[u8], left: Option<u64>, say: &mut Say<'_>) {
        match self.state {
            State::Collect { .. } => self.collect(bytes, left, say),
            State::Events => {
                if let Some(sse) = &mut self.sse {
                    sse.push(at, bytes, say);
                }
            }
            State::Hunt { skipped } => self.hunt(skipped, bytes, left, say),
            State::Peek if self.buffer.is_empty() => {
                self.state = self.decide(bytes, left == Some(0));
                match self.state {
                    State::Collect { .. } => self.collect(bytes, left, say),
                    State::Hunt { .. } => self.keep_end(bytes),
                    State::Peek => self.buffer.extend_from_slice(bytes),
                    _ => {}
                }
            }
            State::Peek => {
                let mut seen = std::mem::take(&mut self.buffer);
                seen.extend_from_slice(bytes);
                self.state = self.decide(&seen, left == Some(0));
                match self.state {
                    State::Collect { .. } | State::Peek => self.buffer = seen,
                    State::Hunt { .. } => self.keep_end(&seen),
                    _ => {}
                }
                if let State::Collect { .. } = self.state {
                    self.settle(left, say);
                }
            }
            State::Said | State::Skip => {}
        }
    }

    /// Looks for the name in more of a body, of which so many bytes were not kept.
    fn hunt(&mut self, skipped: u64, bytes: &[u8], left: Option<u64>, say: &mut Say<'_>) {
        let kept = self.buffer.len();
        self.buffer.extend_from_slice(bytes.get(..SEAM_BYTES).unwrap_or(bytes));
        let torn = JSONRPC.find(&self.buffer).is_some();
        self.buffer.truncate(kept);
        if torn {
            self.rpc = true;
            let skipped = skipped.saturating_sub(kept as u64);
            self.state = State::Collect { skipped };
            return self.collect(bytes, left, say);
        }
        if JSONRPC.find(bytes).is_some() {
            self.rpc = true;
            self.buffer.clear();
            self.state = State::Collect { skipped };
            return self.collect(bytes, left, say);
        }
        self.keep_end(bytes);
        self.state = State::Hunt {
            skipped: skipped.saturating_add(bytes.len() as u64),
        };
    }

    /// Keeps so much of what was searched that a name between two slices is found.
    fn keep_end(&mut self, bytes: &[u8]) {
        let start = bytes.len().saturating_sub(SEAM_BYTES);
        self.buffer.extend_from_slice(bytes.get(start..).unwrap_or_default());
        let over = self.buffer.len().saturating_sub(SEAM_BYTES);
        self.buffer.drain(..over);
    }

    /// What to do with JSON that begins with `seen`.
    fn decide(&mut self, seen: &[u8], last: bool) -> State {
        match peek(seen) {
            Peek::NotJson if self.candidate && is_wide(seen) => {}
            Peek::NotJson if self.candidate && self.kind == Kind::Form => {
                self.max_bytes = self.max_bytes.min(FORM_MAX_BYTES);
            }
            Peek::NotJson => return State::Skip,
            Peek::Short if !last => return State::Peek,
            Peek::Rpc => self.rpc = true,
            _ if self.is_mislabelled() && !self.candidate => return State::Skip,
            Peek::Json | Peek::Short => self.rpc = JSONRPC.find(seen).is_some(),
            Peek::Maybe => {
                self.rpc = JSONRPC.find(seen).is_some();
                self.doubt = !self.rpc && !self.candidate;
            }
        }
        if self.rpc || self.candidate || self.doubt {
            State::Collect { skipped: 0 }
        } else {
            State::Hunt {
                skipped: seen.len() as u64,
            }
        }
    }

    fn collect(&mut self, bytes: &[u8], left: Option<u64>, say: &mut Say<'_>) {
        let whole = left == Some(0) && self.buffer.is_empty() && self.state == (State::Collect { skipped: 0 });
        if whole && !self.torn && bytes.len() <= self.max_bytes {
            self.say_whole(bytes, say);
            return self.close();
        }
        self.buffer.extend_from_slice(bytes);
        self.settle(left, say);
    }

    /// Ends the message with its last byte, or at its bound.
    fn settle(&mut self, left: Option<u64>, say: &mut Say<'_>) {
        let over = self.buffer.len().saturating_sub(self.max_bytes);
        if over > 0 {
            self.buffer.truncate(self.max_bytes);
            let missing = left.map_or(0, |left| left.saturating_add(over as u64));
            self.cut(missing, say);
        } else if left == Some(0) {
            self.finish(say);
        }
    }

    /// A whole body. One that was collected for its first key alone must name JSON-RPC somewhere, or hide a name.
    fn say_whole(&mut self, bytes: &[u8], say: &mut Say<'_>) {
        if self.doubt {
            self.rpc = JSONRPC.find(bytes).is_some();
            if !self.rpc && ESCAPED.find(bytes).is_none() {
                return self.say(Body::Absent, say);
            }
        }
        self.say(Body::Whole(bytes), say);
    }

    fn say(&self, body: Body<'_>, say: &mut Say<'_>) {
        say(Said {
            at: self.at.unwrap_or(self.head_at),
            event: None,
            body,
        });
    }

    fn close(&mut self) {
        self.state = State::Said;
        self.inflate = None;
        release(&mut self.buffer);
    }
}
