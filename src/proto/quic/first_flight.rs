//! One attempt to open a connection: the keys of its Initial packets, and the hellos of both ends put together.

use super::frame::{Frame, Frames};
use super::order::Order;
use super::packet::Long;
use super::protect::{Keys, peek};
use super::version::{Kind, Version};
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::tls::hello::{CLIENT_HELLO, SERVER_HELLO};

/// Length of the header of a handshake message: type and length.
const MESSAGE_HEADER_BYTES: usize = 4;

/// One attempt.
pub(super) struct FirstFlight {
    /// Connection id that the client chose for the server: the keys come from it.
    origin: Vec<u8>,
    version: Version,
    client: End,
    server: End,
    /// The capture has cut a packet of the client.
    cut: bool,
}

/// What one end sends.
struct End {
    keys: Keys,
    /// Highest packet number so far.
    largest: Option<u64>,
    /// First packet that opened.
    at: Stamp,
    order: Order,
    /// Handshake messages, in order and without a hole.
    messages: Vec<u8>,
    /// There was no room for all.
    spilled: bool,
}

/// A handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// First packet of its end.
    pub(super) at: Stamp,
    /// What follows its header.
    pub(super) body: &'a [u8],
    /// Whether `body` is all of it.
    pub(super) whole: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// It belongs to another attempt, or to none.
    Foreign,
    /// It was read.
    Read,
}

/// Whether a packet is the Initial of a client that opens a connection: its own connection id gives its keys.
pub(super) fn opens(long: &Long<'_>) -> bool {
    if long.cut && long.kind == Kind::Initial {
        return begins(long, &mut Vec::new()).is_some();
    }
    let keys = || Keys::initial(long.version, long.ids.destination, Direction::ToServer);
    let open = |keys: Keys| keys.open(long.whole, long.number_at, None, &mut Vec::new()).is_some();
    long.kind == Kind::Initial && keys().is_some_and(open)
}

/// What came of an Initial that the capture has cut, when it is the beginning of a ClientHello: six bytes of it stand
/// for the tag.
fn begins<'b>(long: &Long<'_>, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    let keys = (long.version, long.ids.destination, Direction::ToServer);
    let payload = peek(keys, long.whole, long.number_at, buffer)?;
    let begins = |frame: &Frame<'_>| {
        matches!(
            frame,
            Frame::Crypto {
                offset: 0,
                data: [CLIENT_HELLO, 0, _, _, 3, 3, ..]
            }
        )
    };
    Frames::cut(payload).any(|frame| begins(&frame)).then_some(payload)
}

impl FirstFlight {
    /// The attempt that this Initial of a client begins, if it does.
    pub(super) fn new(long: &Long<'_>) -> Option<Self> {
        Some(Self {
            origin: long.ids.destination.to_vec(),
            version: long.version,
            client: End::new(Keys::initial(long.version, long.ids.destination, Direction::ToServer)?),
            server: End::new(Keys::initial(long.version, long.ids.destination, Direction::ToClient)?),
            cut: false,
        })
    }

    /// Takes an Initial that travels in `dir`. `max_bytes` bounds what is held of each end, `buffer` is scratch.
    pub(super) fn push(
        &mut self,
        dir: Direction,
        long: &Long<'_>,
        at: Stamp,
        max_bytes: usize,
        buffer: &mut Vec<u8>,
    ) -> Push {
        if long.cut {
            return self.push_cut(dir, long, at, max_bytes, buffer);
        }
        if long.version != self.version && self.turn(dir, long, buffer).is_none() {
            return Push::Foreign;
        }
        let end = match dir {
            Direction::ToServer => &mut self.client,
            Direction::ToClient => &mut self.server,
        };
        let Some(opened) = end.keys.open(long.whole, long.number_at, end.largest, buffer) else {
            return Push::Foreign;
        };
        if end.largest.is_none() {
            end.at = at;
        }
        end.largest = end.largest.max(Some(opened.number));
        for frame in Frames::new(opened.payload) {
            if let Frame::Crypto { offset, data } = frame {
                end.take(offset, data, max_bytes);
            }
        }
        Push::Read
    }

    /// As [`Self::push`], of a packet that the capture has cut.
    fn push_cut(&mut self, dir: Direction, long: &Long<'_>, at: Stamp, max_bytes: usize, buffer: &mut Vec<u8>) -> Push {
        let own = dir == Direction::ToServer && long.version == self.version && long.ids.destination == self.origin;
        let Some(payload) = begins(long, buffer).filter(|_| own) else {
            return Push::Foreign;
        };
        if self.client.messages.is_empty() {
            self.client.at = at;
        }
        for frame in Frames::cut(payload) {
            if let Frame::Crypto { offset, data } = frame {
                self.client.take(offset, data, max_bytes);
            }
        }
        self.cut = true;
        Push::Read
    }

    /// Whether no more than the beginning of the hello may ever be seen.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Both ends may agree on another version on the way (RFC 9368): the keys change, their origin does not. A packet
    /// that does not open with them changes nothing.
    fn turn(&mut self, dir: Direction, long: &Long<'_>, buffer: &mut Vec<u8>) -> Option<()> {
        let to_server = Keys::initial(long.version, &self.origin, Direction::ToServer)?;
        let to_client = Keys::initial(long.version, &self.origin, Direction::ToClient)?;
        let (keys, largest) = match dir {
            Direction::ToServer => (&to_server, self.client.largest),
            Direction::ToClient => (&to_client, self.server.largest),
        };
        keys.open(long.whole, long.number_at, largest, buffer)?;
        (self.client.keys, self.server.keys) = (to_server, to_client);
        self.version = long.version;
        Some(())
    }

    /// The version that both ends speak, as far as is known.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// The ClientHello, as far as it has come.
    pub(super) fn client_hello(&self) -> Option<Message<'_>> {
        self.client.message(CLIENT_HELLO)
    }

    /// The ServerHello, as far as it has come.
    pub(super) fn server_hello(&self) -> Option<Message<'_>> {
        self.server.message(SERVER_HELLO)
    }

    /// The client sends what is no ClientHello, or more than there is room for.
    pub(super) fn is_hopeless(&self) -> bool {
        let other = self.client.messages.first().is_some_and(|kind| *kind != CLIENT_HELLO);
        other || self.client.spilled
    }
}

impl End {
    fn new(keys: Keys) -> Self {
        Self {
            keys,
            largest: None,
            at: Stamp::default(),
            order: Order::default(),
            messages: Vec::new(),
            spilled: false,
        }
    }

    fn take(&mut self, offset: u64, data: &[u8], max_bytes: usize) {
        let Self {
            order,
            messages,
            spilled,
            ..
        } = self;
        let fits = order.push(offset, data, max_bytes, &mut |bytes| {
            let room = max_bytes.saturating_sub(messages.len());
            *spilled |= bytes.len() > room;
            messages.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        });
        self.spilled |= !fits;
    }

    /// The first message, if it is of this kind.
    fn message(&self, kind: u8) -> Option<Message<'_>> {
        let ([first, length @ ..], rest) = self.messages.split_first_chunk::<MESSAGE_HEADER_BYTES>()?;
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        (*first == kind).then(|| Message {
            at: self.at,
            body: rest.get(..length).unwrap_or(rest),
            whole: rest.len() >= length,
        })
    }
}
