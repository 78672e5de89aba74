//! Bytes of one direction, in order. A gap is data: no layer can forget it.

use crate::model::net::Direction;
use crate::model::stamp::Stamp;

/// 0 on TCP; on QUIC the stream id, so that HTTP/3 can see its control streams.
pub type Lane = u64;

/// The next piece of one direction of a stream. On UDP one chunk is one datagram.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Packet that carried the first byte.
    pub at: Stamp,
    /// Which way.
    pub dir: Direction,
    /// Which sub-stream.
    pub lane: Lane,
    /// What.
    pub data: Data<'a>,
}

/// Content of a [`Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Bytes, borrowed from the packet or from the layer below. Never empty.
    Bytes(&'a [u8]),
    /// So many bytes were sent and not captured. Never 0.
    Gap(u64),
    /// The direction has ended: FIN, RST, or the flow's end.
    End,
}
