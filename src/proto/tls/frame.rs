//! Frames out of pieces: TLS records (RFC 8446, section 5.1) and the handshake messages inside them (section 4), both of
//! which announce their length in a short header and may be cut by whatever carries them.
//!
//! A frame that one piece holds whole, which is the rule, is borrowed from it; of any other the pieces are copied into
//! one buffer, which the announced length bounds.

use crate::stream::carry::release;

/// Length of a record header, in bytes.
pub const RECORD_HEADER_LEN: usize = 5;
/// Length of the header of a handshake message, in bytes.
pub const MESSAGE_HEADER_LEN: usize = 4;
/// 2^14 bytes and what encryption may add to them in TLS 1.2 (RFC 5246, section 6.2.3).
const RECORD_MAX_BYTES: usize = 16_384 + 2_048;
/// Longest alert record, in bytes: two bytes, a MAC of SHA-384, an initialisation vector and the padding.
const ALERT_MAX_BYTES: usize = 256;

/// `change_cipher_spec`.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// `alert`.
pub const ALERT: u8 = 21;
/// `handshake`.
pub const HANDSHAKE: u8 = 22;
/// `application_data`.
pub const APPLICATION_DATA: u8 = 23;

/// Content length of a record, if type, version (SSL 3.0 to TLS 1.3) and length go together.
pub(super) fn record_length([kind, major, minor, high, low]: [u8; RECORD_HEADER_LEN]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([high, low]));
    let plausible = match kind {
        CHANGE_CIPHER_SPEC => length == 1,
        ALERT => (2..=ALERT_MAX_BYTES).contains(&length),
        APPLICATION_DATA | HANDSHAKE => (1..=RECORD_MAX_BYTES).contains(&length),
        _ => false,
    };
    (plausible && major == 3 && minor <= 4).then_some(length)
}

/// A record as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Type, version and length: what an AEAD cipher authenticates.
    pub header: [u8; RECORD_HEADER_LEN],
    /// Its content; encrypted or not.
    pub body: &'a [u8],
}

/// A handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// `msg_type`.
    pub kind: u8,
    /// Without the header.
    pub body: &'a [u8],
}

/// What came of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// A whole frame.
    Frame(T),
    /// Everything was taken, and more is needed.
    More,
    /// What stands here is none, or is too long.
    Wrong,
}

/// One direction's records.
#[derive(Debug, Default)]
pub struct Records(Held);

impl Records {
    /// The next record of `input`, of which it takes what it needs.
    pub fn next<'s, 'c: 's>(&'s mut self, input: &mut &'c [u8]) -> Next<Record<'s>> {
        let total = |header: [u8; RECORD_HEADER_LEN]| record_length(header)?.checked_add(RECORD_HEADER_LEN);
        match self.0.next(input, total) {
            Next::Frame((header, body)) => Next::Frame(Record { header, body }),
            Next::More => Next::More,
            Next::Wrong => Next::Wrong,
        }
    }

    /// A record that will never be whole, as far as it came.
    pub fn cut(&self) -> Option<Record<'_>> {
        let (header, body) = self.0.cut()?;
        Some(Record { header, body })
    }
}

/// One direction's handshake messages.
#[derive(Debug, Default)]
pub struct Messages(Held);

impl Messages {
    /// The next message of a record's content, of which it takes what it needs. None is longer than `max_bytes`.
    pub fn next<'s, 'c: 's>(&'s mut self, input: &mut &'c [u8], max_bytes: usize) -> Next<Handshake<'s>> {
        let total = |[_, high, middle, low]: [u8; MESSAGE_HEADER_LEN]| {
            let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
            (length <= max_bytes).then(|| length.saturating_add(MESSAGE_HEADER_LEN))
        };
        match self.0.next(input, total) {
            Next::Frame(([kind, ..], body)) => Next::Frame(Handshake { kind, body }),
            Next::More => Next::More,
            Next::Wrong => Next::Wrong,
        }
    }

    /// A message that will never be whole, as far as it came.
    pub fn cut(&self) -> Option<Handshake<'_>> {
        let (header, body) = self.0.cut::<MESSAGE_HEADER_LEN>()?;
        Some(Handshake { kind: header[0], body })
    }
}

/// A frame in the making.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// The frame was given out, and is forgotten with the next call.
    given: bool,
}

impl Held {
    /// The next frame with its header taken off; `total` tells the length of a frame from its header of `N` bytes.
    fn next<'s, 'c: 's, const N: usize>(
        &'s mut self,
        input: &mut &'c [u8],
        total: impl Fn([u8; N]) -> Option<usize>,
    ) -> Next<([u8; N], &'s [u8])> {
        if self.given {
            release(&mut self.bytes);
            self.given = false;
        }
        if self.bytes.is_empty()
            && let Some(header) = input.first_chunk::<N>()
        {
            let Some(total) = total(*header) else {
                return Next::Wrong;
            };
            if let Some((frame, rest)) = input.split_at_checked(total) {
                *input = rest;
                return Next::Frame((*header, frame.get(N..).unwrap_or_default()));
            }
        }
        self.take(input, N);
        let Some(header) = self.bytes.first_chunk::<N>().copied() else {
            return Next::More;
        };
        let Some(total) = total(header) else { return Next::Wrong };
        self.take(input, total);
        if self.bytes.len() < total {
            return Next::More;
        }
        self.given = true;
        Next::Frame((header, self.bytes.get(N..).unwrap_or_default()))
    }

    /// Takes as much of `input` as is missing to `total` bytes.
    fn take(&mut self, input: &mut &[u8], total: usize) {
        let missing = total.saturating_sub(self.bytes.len());
        let (now, later) = input.split_at_checked(missing).unwrap_or((input, &[]));
        self.bytes.extend_from_slice(now);
        *input = later;
    }

    fn cut<const N: usize>(&self) -> Option<([u8; N], &[u8])> {
        let (header, body) = self.bytes.split_first_chunk::<N>()?;
        (!self.given).then_some((*header, body))
    }
}
