//! WebSocket, lines and frames: a stream of messages, whole and in pieces, tells the same; with gaps, nothing is longer
//! than what was sent.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::message::Body;
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::model::stamp::Stamp;
use shadowtap::proto::{framed, http, lines};
use shadowtap::stream::layer::{Env, Layer, Output, Step, Up};
use shadowtap_fuzz::{Decisions, settings};

static ENV: LazyLock<Env> = LazyLock::new(|| settings().env);

const REQUEST: &str = "GET /m HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n";
/// Extension of the answer: none, with windows that are kept, without, something else.
const EXTENSIONS: [&str; 4] = [
    "",
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
    "Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n",
];

/// What one layer told, without when: packets differ between a whole stream and its pieces.
struct Ear {
    layer: Box<dyn Layer>,
    told: Vec<(Direction, Vec<u8>, bool)>,
}

impl Ear {
    fn new(kind: usize) -> Self {
        let row = match kind {
            0 => &framed::PROTOCOL,
            1 => &lines::PROTOCOL,
            _ => &http::HTTP_1,
        };
        let mut ear = Self {
            layer: (row.open)(&ENV),
            told: Vec::new(),
        };
        if let Some(extension) = kind.checked_sub(2).and_then(|kind| EXTENSIONS.get(kind)) {
            ear.push(ToServer, Data::Bytes(REQUEST.as_bytes()));
            let answer = format!("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n{extension}\r\n");
            ear.push(ToClient, Data::Bytes(answer.as_bytes()));
        }
        ear
    }

    fn push(&mut self, dir: Direction, data: Data<'_>) {
        let told = &mut self.told;
        let mut listener = |output: Output<'_>| {
            if let Output::Message(message) = output {
                match message.body {
                    Body::Whole(bytes) => told.push((message.dir, bytes.to_vec(), true)),
                    Body::Cut { head, .. } => told.push((message.dir, head.to_vec(), false)),
                    Body::Absent => {}
                }
            }
        };
        let chunk = Chunk {
            at: Stamp::default(),
            dir,
            lane: 0,
            data,
        };
        let step = self.layer.push(chunk, &mut Up::new(&ENV, &mut listener, &mut None));
        assert_eq!(step, Step::Continue);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let kind = decisions.below(2 + EXTENSIONS.len());
    let (gap, size) = (usize::from(decisions.byte()), usize::from(decisions.byte()) + 1);
    let dir = decisions.direction();
    let wire = decisions.rest();
    if wire.is_empty() {
        return;
    }
    let mut whole = Ear::new(kind);
    whole.push(dir, Data::Bytes(wire));
    let mut pieces = Ear::new(kind);
    wire.chunks(size).for_each(|piece| pieces.push(dir, Data::Bytes(piece)));
    // Behind what is no frame or head, the place where a segment begins decides.
    let texts = |ear: &Ear| ear.told.iter().filter(|(.., whole)| *whole).cloned().collect::<Vec<_>>();
    if kind == 1 {
        assert_eq!(texts(&whole), texts(&pieces));
    }
    for (_, text, _) in whole.told.iter().chain(&pieces.told) {
        assert!(text.len() <= ENV.message_max_bytes);
    }
    let mut holed = Ear::new(kind);
    for (number, piece) in wire.chunks(size).enumerate() {
        if gap > 0 && number % gap == gap - 1 {
            holed.push(dir, Data::Gap(piece.len() as u64));
        } else {
            holed.push(dir, Data::Bytes(piece));
        }
    }
    holed.push(dir, Data::End);
    holed.push(dir.flip(), Data::End);
});
