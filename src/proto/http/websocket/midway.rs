//! A WebSocket without its handshake: the capture, or the stream after a loss, begins in the middle. Found by a message
//! in clear that says that it is JSON-RPC; who masks is the client (RFC 6455, section 5.1).

use super::{Socket, is_json_rpc};
use crate::model::chunk::{Chunk, Data};
use crate::model::message::{Carrier, Message};
use crate::model::net::{Direction, Transport};
use crate::proto::http::Limits;
use crate::proto::http::body::Said;
use crate::stream::layer::{Layer, Prefix, Probe, Protocol, Step, Up};

/// Row of the protocol table, for streams that are joined midway.
pub const PROTOCOL: Protocol = Protocol {
    name: "WebSocket",
    transport: Transport::Tcp,
    probe,
    open: |env| {
        let limits = Limits::of(env);
        Box::new(Midway {
            sides: [Socket::midway(limits), Socket::midway(limits)],
        })
    },
};

fn probe(prefix: &Prefix<'_>) -> Probe {
    if prefix.from_start {
        return Probe::No;
    }
    for dir in [Direction::ToServer, Direction::ToClient] {
        let bytes = prefix.bytes.get(dir.index()).copied().unwrap_or_default();
        if is_json_rpc(bytes) {
            let masked = bytes.get(1).is_some_and(|byte| byte & 0x80 != 0);
            return Probe::Yes {
                server: Some(if masked { dir.flip() } else { dir }),
            };
        }
    }
    Probe::No
}

struct Midway {
    sides: [Socket; 2],
}

impl Layer for Midway {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let Chunk { at, dir, data, .. } = chunk;
        let [to_server, to_client] = &mut self.sides;
        let socket = match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let mut say = |said: Said<'_>| {
            up.message(Message {
                at: said.at,
                dir,
                carrier: Carrier::WebSocket,
                transaction: None,
                body: said.body,
            });
        };
        match data {
            Data::Bytes(bytes) => socket.push(at, bytes, &mut say),
            Data::Gap(missing) => socket.gap(missing, &mut say),
            Data::End => socket.end(&mut say),
        }
        let shed = socket.take_shed();
        up.shed(shed);
        Step::Continue
    }
}
