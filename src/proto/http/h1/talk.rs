//! Test support: drives a layer with chunks and writes down what it tells.

use super::PROTOCOL;
use crate::model::chunk::{Chunk, Data};
use crate::model::message::{Body, Carrier};
use crate::model::net::Direction;
use crate::model::stamp::{Stamp, Timestamp};
use crate::stream::layer::{Env, Layer, Output, Step, Up};

/// A message, written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proto::http) struct Told {
    pub(in crate::proto::http) dir: Direction,
    pub(in crate::proto::http) carrier: String,
    /// Method and target of the request, status of the response.
    pub(in crate::proto::http) heads: String,
    pub(in crate::proto::http) body: String,
    pub(in crate::proto::http) packet: u64,
}

pub(in crate::proto::http) fn env() -> Env {
    Env {
        message_max_bytes: 64 * 1024,
        head_max_bytes: 16 * 1024,
        inflate_max_bytes: 1 << 20,
        keys: None,
        protocols: &[],
    }
}

/// Feeds chunks, each as a packet of its own, until the layer stops.
pub(in crate::proto::http) fn listen(layer: &mut dyn Layer, chunks: &[(Direction, Data<'_>)]) -> (Vec<Told>, Step) {
    let (mut told, env, mut above) = (Vec::new(), env(), None);
    let mut step = Step::Continue;
    for (number, (dir, data)) in (1u64..).zip(chunks) {
        let mut listener = |output: Output<'_>| {
            if let Output::Message(message) = output {
                let heads = message.transaction.map(|transaction| {
                    let request = transaction.request.as_ref();
                    let request = request.map_or_else(
                        || "-".into(),
                        |request| format!("{:?} {}", request.method, request.target),
                    );
                    let response = transaction.response.as_ref().map_or(0, |response| response.status);
                    format!("{request} {response}")
                });
                told.push(Told {
                    dir: message.dir,
                    carrier: match message.carrier {
                        Carrier::HttpBody => "http".into(),
                        Carrier::SseEvent { name } => name.into(),
                        other => format!("{other:?}"),
                    },
                    heads: heads.unwrap_or_default(),
                    body: match message.body {
                        Body::Absent => "absent".into(),
                        Body::Cut { head, missing } => format!("cut {missing} {}", String::from_utf8_lossy(head)),
                        Body::Whole(text) => format!("whole {}", String::from_utf8_lossy(text)),
                    },
                    packet: message.at.packet,
                });
            }
        };
        let at = Stamp {
            time: Timestamp::from_nanos(0),
            source: 0,
            packet: number,
        };
        let mut up = Up::new(&env, &mut listener, &mut above);
        step = layer.push(
            Chunk {
                at,
                dir: *dir,
                lane: 0,
                data: *data,
            },
            &mut up,
        );
        if step != Step::Continue {
            break;
        }
    }
    (told, step)
}

pub(in crate::proto::http) fn line(told: &Told) -> String {
    let way = if told.dir == Direction::ToServer { ">" } else { "<" };
    format!("{way} {} | {} | {}", told.heads, told.carrier, told.body)
}

/// What a connection tells, one line a message.
pub(super) fn run(chunks: &[(Direction, Data<'_>)]) -> (Vec<String>, Step) {
    let (told, step) = listen(&mut *(PROTOCOL.open)(&env()), chunks);
    (told.iter().map(line).collect(), step)
}
