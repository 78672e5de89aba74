//! What is known of one direction of one stream, and how its bytes are taken apart.

use crate::model::chunk::Lane as Id;
use crate::proto::quic::bytes::Bytes;

/// Longest head of a frame: two variable-length integers.
const HEAD_MAX_BYTES: usize = 16;
/// Bit of a stream id that tells that the stream goes one way (RFC 9000, section 2.1).
pub(super) const ONE_WAY: Id = 2;

/// One direction of one stream.
pub(super) struct Lane {
    pub(super) state: State,
    pub(super) carry: Vec<u8>,
    /// Its field section waits in `carry`; so many bytes of that, then what came behind it.
    pub(super) waits: Option<usize>,
    /// Value of `Http3::packets` when it began to wait.
    pub(super) since: u64,
    /// A field section was handed on.
    pub(super) headed: bool,
    pub(super) ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// So many bytes of a body.
    Data(u64),
    Encoder,
    /// A field section of so many bytes.
    Fields(u64),
    /// At or in the head of a frame.
    Head {
        control: bool,
    },
    /// Not of interest.
    Ignored,
    Settings(u64),
    /// So many bytes of a frame of no interest.
    Skip {
        left: u64,
        control: bool,
    },
    /// In front of the kind of a stream in one direction.
    Kind,
}

impl Lane {
    pub(super) fn new(id: Id) -> Self {
        let one_way = id & ONE_WAY != 0;
        Self {
            state: if one_way {
                State::Kind
            } else {
                State::Head { control: false }
            },
            carry: Vec::new(),
            waits: None,
            since: 0,
            headed: false,
            ended: false,
        }
    }
}

/// At most so many bytes, and those behind them.
pub(super) fn split(bytes: &[u8], max: u64) -> (&[u8], &[u8]) {
    let max = usize::try_from(max).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at_checked(max).unwrap_or((bytes, &[]))
}

/// So many variable-length integers from what was carried over and what has come, and what is left of that. Without
/// them all has been carried over.
pub(super) fn integers<'r, const N: usize>(carry: &mut Vec<u8>, rest: &'r [u8]) -> (Option<[u64; N]>, &'r [u8]) {
    let read = |bytes: &[u8]| -> Option<([u64; N], usize)> {
        let mut cursor = Bytes(bytes);
        let mut out = [0; N];
        for place in &mut out {
            *place = cursor.varint()?;
        }
        Some((out, bytes.len().saturating_sub(cursor.0.len())))
    };
    if carry.is_empty()
        && let Some((found, length)) = read(rest)
    {
        return (Some(found), rest.get(length..).unwrap_or_default());
    }
    let before = carry.len();
    let (more, behind) = split(rest, HEAD_MAX_BYTES.saturating_sub(before) as u64);
    carry.extend_from_slice(more);
    let Some((found, length)) = read(carry) else {
        return (None, behind);
    };
    carry.clear();
    let taken = length.saturating_sub(before);
    (Some(found), rest.get(taken..).unwrap_or_default())
}
