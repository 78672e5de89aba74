//! TLS records (RFC 8446, section 5.1): what a stream's first bytes are, and the ClientHello put together from any
//! number of segments and records.
//!
//! The hello is borrowed when one segment holds it whole, which is the rule; otherwise its pieces are copied into one
//! bounded buffer. Does not decrypt, and knows no record behind the first handshake message.

/// Length of a record header, in bytes.
const HEADER_LEN: usize = 5;
/// Length of the header of a handshake message, in bytes.
const MESSAGE_HEADER_LEN: usize = 4;
/// 2^14 bytes and what encryption may add to them in TLS 1.2 (RFC 5246, section 6.2.3).
const RECORD_MAX_BYTES: usize = 16_384 + 2_048;
/// Longest alert record, in bytes: two bytes, a MAC of SHA-384, an initialisation vector and the padding.
const ALERT_MAX_BYTES: usize = 256;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// What the first bytes of one direction are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record that opens with a ClientHello.
    ClientHello,
    /// No TLS.
    Other,
    /// Records as they stand midway; encrypted as a rule.
    Protected,
    /// A record that opens with a ServerHello.
    ServerHello,
    /// As far as they have come they may be TLS.
    Short,
}

/// Recognises the first bytes of one direction; `from_start` when nothing was sent before them.
pub(super) fn kind(bytes: &[u8], from_start: bool) -> Kind {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        // What is missing is filled up with what would fit.
        let length = if bytes.first() == Some(&CHANGE_CIPHER_SPEC) {
            1
        } else {
            2
        };
        let mut filled = [HANDSHAKE, 3, 3, 0, length];
        filled.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        return if length_of(filled).is_some() {
            Kind::Short
        } else {
            Kind::Other
        };
    };
    let Some(length) = length_of(*header) else {
        return Kind::Other;
    };
    let body = bytes.get(HEADER_LEN..).unwrap_or_default();
    match (header[0], body.first()) {
        (HANDSHAKE, None) => Kind::Short,
        (HANDSHAKE, Some(&CLIENT_HELLO)) if opens_hello(body, length) => Kind::ClientHello,
        (HANDSHAKE, Some(&SERVER_HELLO)) if opens_hello(body, length) => Kind::ServerHello,
        (HANDSHAKE, Some(_)) if from_start => Kind::Other,
        _ if records_follow(bytes) => Kind::Protected,
        _ => Kind::Other,
    }
}

/// Content length of a record, if type, version (SSL 3.0 to TLS 1.3) and length go together.
fn length_of([kind, major, minor, high, low]: [u8; HEADER_LEN]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([high, low]));
    let plausible = match kind {
        CHANGE_CIPHER_SPEC => length == 1,
        ALERT => (2..=ALERT_MAX_BYTES).contains(&length),
        APPLICATION_DATA | HANDSHAKE => (1..=RECORD_MAX_BYTES).contains(&length),
        _ => false,
    };
    (plausible && major == 3 && minor <= 4).then_some(length)
}

/// Whether a record of `length` bytes goes on as a hello does: a message under 64 KiB, then version 3.x. Bytes
/// that are not there yet, or that stand in the next record, do not speak against it.
fn opens_hello(body: &[u8], length: usize) -> bool {
    let body = body.get(..length).unwrap_or(body);
    body.get(1).is_none_or(|high| *high == 0) && body.get(MESSAGE_HEADER_LEN).is_none_or(|major| *major == 3)
}

/// Whether record follows record, as far as the bytes go.
fn records_follow(mut bytes: &[u8]) -> bool {
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let Some(length) = length_of(*header) else { return false };
        bytes = rest.get(length..).unwrap_or_default();
    }
    true
}

/// What a direction has shown so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress<'a> {
    /// It speaks as a server does.
    Answer,
    /// The body of the ClientHello, without its message header.
    Hello(&'a [u8]),
    /// The hello is not complete.
    More,
    /// No hello can be read here.
    Refused,
}

/// One direction, up to the end of its first handshake message.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The message so far, with its header.
    message: Vec<u8>,
    /// The record header so far.
    header: Vec<u8>,
    /// Bytes of the present record that have not come.
    missing: usize,
    /// Bytes of a server's first flight.
    answered: usize,
}

impl Records {
    /// Takes the next bytes. Not to be called again after a hello or a refusal. Holds at most `max_bytes` and one segment.
    pub(super) fn push<'a>(&'a mut self, bytes: &'a [u8], max_bytes: usize) -> Progress<'a> {
        if self.answered > 0 {
            return self.answer(bytes.len(), max_bytes);
        }
        let untouched = self.message.is_empty() && self.header.is_empty() && self.missing == 0;
        if untouched && let Some(body) = whole_hello(bytes).filter(|body| body.len() <= max_bytes) {
            return Progress::Hello(body);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.missing == 0 {
                rest = match self.take_header(rest) {
                    Some(rest) => rest,
                    None => return Progress::Refused,
                };
            }
            let (now, later) = rest.split_at_checked(self.missing).unwrap_or((rest, &[]));
            self.missing = self.missing.saturating_sub(now.len());
            rest = later;
            self.message.extend_from_slice(now);
            match self.message.first() {
                Some(&SERVER_HELLO) => return self.answer(bytes.len(), max_bytes),
                None | Some(&CLIENT_HELLO) => {}
                Some(_) => return Progress::Refused,
            }
            if message_len(&self.message).unwrap_or(self.message.len()) > max_bytes {
                return Progress::Refused;
            }
            if whole_message(&self.message).is_some() {
                break;
            }
        }
        whole_message(&self.message).map_or(Progress::More, Progress::Hello)
    }

    /// As much as there is of the body of a ClientHello that will never be whole.
    pub(super) fn cut_hello(&self) -> Option<&[u8]> {
        let ([kind, ..], body) = self.message.split_first_chunk::<MESSAGE_HEADER_LEN>()?;
        (*kind == CLIENT_HELLO).then_some(body)
    }

    /// Takes bytes of a record header; gives what follows, or `None` when it is none of a handshake record.
    fn take_header<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let wanted = HEADER_LEN.saturating_sub(self.header.len());
        let (now, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
        self.header.extend_from_slice(now);
        if let Some(header) = self.header.first_chunk::<HEADER_LEN>() {
            self.missing = length_of(*header).filter(|_| header[0] == HANDSHAKE)?;
            self.header.clear();
        }
        Some(rest)
    }

    fn answer(&mut self, bytes: usize, max_bytes: usize) -> Progress<'static> {
        self.message = Vec::new();
        self.answered = self.answered.saturating_add(bytes);
        if self.answered > max_bytes {
            Progress::Refused
        } else {
            Progress::Answer
        }
    }
}

/// The body of a ClientHello that stands whole in the first record.
fn whole_hello(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let record = rest.get(..length_of(*header)?)?;
    if header[0] != HANDSHAKE || record.first() != Some(&CLIENT_HELLO) {
        return None;
    }
    whole_message(record)
}

/// The body of a handshake message, when all of it is there.
fn whole_message(message: &[u8]) -> Option<&[u8]> {
    message.get(MESSAGE_HEADER_LEN..)?.get(..message_len(message)?)
}

/// Body length that a handshake message announces.
fn message_len(message: &[u8]) -> Option<usize> {
    let [_, high, middle, low] = *message.first_chunk::<MESSAGE_HEADER_LEN>()?;
    usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()
}
