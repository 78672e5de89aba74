//! The seam between protocols: a layer reads one protocol on one stream, and the bytes that it uncovers are again a
//! stream.

use crate::model::chunk::Chunk;
use crate::model::flow::Why;
use crate::model::message::Message;
use crate::model::net::{Direction, Transport};
use crate::model::observation::Fact;
use crate::model::stamp::Stamp;
use crate::stream::Stream;
use crate::stream::secrets::Keys;

/// One protocol on one stream. Sans-IO: chunks in, messages and facts out.
pub trait Layer: Send {
    /// The stream is joined in the middle. Said before the first chunk, by the stream; most layers find out themselves.
    fn midway(&mut self) {}

    /// Feeds one chunk, in order within its direction and lane. Never fails, never blocks, never panics.
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step;

    /// The flow has ended, and nothing more comes in either direction: a layer that waited for something else than bytes
    /// says what it still can.
    fn finish(&mut self, up: &mut Up<'_>) -> Step {
        let _ = up;
        Step::Continue
    }
}

/// What a layer says after a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The chunk begins something else: the stream is unknown again, and this chunk is the first that is looked at. Said
    /// by layers that have taken nothing of the chunk, and whose probe does not take it either.
    Anew,
    /// Go on.
    Continue,
    /// It no longer knows where it is: the stream is unknown again.
    Desync,
    /// Nothing more can be learned from this flow.
    Bypass(Why),
}

/// Everything that a layer can say.
#[derive(Debug)]
pub enum Output<'a> {
    /// A whole application message.
    Message(Message<'a>),
    /// Something typed worth knowing, seen at that packet.
    Fact(Stamp, Fact<'a>),
    /// So many bodies or streams of interest were given up because a bound was reached.
    Shed(u64),
    /// The first bytes show that client and server are the other way round than assumed. Said before anything else, and
    /// at most once a flow; from then on chunks are to be labelled by the new roles.
    Swap,
}

/// Where a layer's outputs go.
pub struct Up<'u> {
    env: &'u Env,
    listener: &'u mut dyn FnMut(Output<'_>),
    above: &'u mut Option<Box<Stream>>,
    /// How many streams the layer's own lies in.
    pub(super) depth: u8,
    step: Step,
}

impl<'u> Up<'u> {
    /// A way up to `listener`, with `above` as the place of the stream that a layer may uncover.
    pub fn new(env: &'u Env, listener: &'u mut dyn FnMut(Output<'_>), above: &'u mut Option<Box<Stream>>) -> Self {
        Self {
            env,
            listener,
            above,
            depth: 0,
            step: Step::Continue,
        }
    }

    /// A whole application message.
    pub fn message(&mut self, message: Message<'_>) {
        (self.listener)(Output::Message(message));
    }

    /// Something typed worth knowing.
    pub fn fact(&mut self, at: Stamp, fact: Fact<'_>) {
        (self.listener)(Output::Fact(at, fact));
    }

    /// So many bodies or streams of interest were given up because a bound was reached.
    pub fn shed(&mut self, count: u64) {
        if count > 0 {
            (self.listener)(Output::Shed(count));
        }
    }

    /// Bytes that were inside: decrypted, unwrapped, tunnelled. They form a stream of their own, identified anew.
    pub fn stream(&mut self, chunk: Chunk<'_>) {
        let depth = self.depth.saturating_add(1);
        let stream = self.above.get_or_insert_with(|| Box::new(Stream::inner(depth)));
        if let Step::Bypass(why) = stream.push(chunk, self.env, self.listener) {
            self.step = Step::Bypass(why);
        }
    }

    /// What the stream above said, if the layer handed it anything. A layer that has nothing left to say itself passes
    /// it on, and a bypass there bypasses the flow.
    pub fn step(&self) -> Step {
        self.step
    }
}

/// What every layer of a flow may look at: limits and key material. Immutable and shared.
#[derive(Clone, Debug)]
pub struct Env {
    /// Longest body or event that is put together, in bytes; what is longer becomes a cut message.
    pub message_max_bytes: usize,
    /// Longest HTTP head, or TLS handshake message, in bytes.
    pub head_max_bytes: usize,
    /// Most output bytes that one compressed body may give.
    pub inflate_max_bytes: usize,
    /// Key material; `None` where none can come.
    pub keys: Option<Keys>,
    /// Protocols, in probing order. The table lives in `proto`, above this folder.
    pub protocols: &'static [Protocol],
}

/// One protocol that a stream may turn out to be: a row of `proto::PROTOCOLS`.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// For people.
    pub name: &'static str,
    /// What it runs over.
    pub transport: Transport,
    /// Whether the first bytes are this protocol's. Pure.
    pub probe: fn(&Prefix<'_>) -> Probe,
    /// A new layer.
    pub open: fn(&Env) -> Box<dyn Layer>,
}

/// The first bytes of a stream, as far as they have come.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'a> {
    /// First bytes per direction, indexed by [`Direction::index`].
    pub bytes: [&'a [u8]; 2],
    /// Whether these are the first bytes that were sent; otherwise somewhere midway.
    pub from_start: bool,
    /// Ports, indexed like `bytes`: of the client and of the server as far as roles are known.
    pub ports: [u16; 2],
}

impl<'a> Prefix<'a> {
    /// What has been said, by the directions that have said anything.
    pub fn said(&self) -> impl Iterator<Item = (Direction, &'a [u8])> {
        let [to_server, to_client] = self.bytes;
        let both = [(Direction::ToServer, to_server), (Direction::ToClient, to_client)];
        both.into_iter().filter(|(_, bytes)| !bytes.is_empty())
    }

    /// Whether nothing has been said.
    pub fn is_silent(&self) -> bool {
        self.said().next().is_none()
    }
}

/// A probe's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is this protocol.
    Yes {
        /// The direction in which the server's bytes travel **as the prefix was labelled**: `Some(ToServer)` says that
        /// the roles are the wrong way round. `None` leaves them.
        server: Option<Direction>,
    },
    /// It is not.
    No,
    /// More bytes are needed.
    More,
}
