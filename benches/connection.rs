//! One connection of one layer, fed by segments as a path with an MTU of 1500 gives them.

use std::hint::black_box;

use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::Direction;
use shadowtap::model::stamp::Stamp;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Layer, Output, Protocol, Step, Up};

const SEGMENT_BYTES: usize = 1448;

/// A layer and what it needs around it.
pub(crate) struct Connection {
    env: Env,
    layer: Box<dyn Layer>,
    above: Option<Box<Stream>>,
}

impl Connection {
    /// A new one of that row.
    pub(crate) fn new(row: &Protocol) -> Self {
        let env = Env {
            message_max_bytes: 16 << 20,
            head_max_bytes: 64 << 10,
            inflate_max_bytes: 64 << 20,
            keys: None,
            protocols: &[],
        };
        let layer = (row.open)(&env);
        Self {
            env,
            layer,
            above: None,
        }
    }

    /// Feeds what one side sends.
    pub(crate) fn feed(&mut self, dir: Direction, bytes: &[u8]) {
        let mut listener = |output: Output<'_>| {
            black_box(&output);
        };
        for segment in bytes.chunks(SEGMENT_BYTES) {
            let chunk = Chunk {
                at: Stamp::default(),
                dir,
                lane: 0,
                data: Data::Bytes(segment),
            };
            let mut up = Up::new(&self.env, &mut listener, &mut self.above);
            assert_eq!(self.layer.push(chunk, &mut up), Step::Continue);
        }
    }
}
