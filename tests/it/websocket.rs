//! WebSocket texts for scripts, samples and scenarios (RFC 6455, RFC 7692).

use flate2::{Compress, Compression, FlushCompress};
use shadowtap::model::net::Direction::{ToClient, ToServer};

use crate::conversations::{CALL, Expect, FOUND, INITIALIZE, INITIALIZED, LIST, Scenario, TOOLS, USUAL, WELCOME, here};
use crate::splits::{Piece, Sample, Turn};
use crate::talk::{Act, Ends, Random, Script};

const TEXT: u8 = 1;
const LAST: u8 = 0x80;
const PACKED: u8 = 0x40;

/// One frame: its first byte as given, masked with a key or not.
pub(crate) fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let marked = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(marked | len as u8),
        len @ 126..65_536 => {
            out.push(marked | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(marked | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
    let key = mask.unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// A message of a client and one of a server.
fn up(text: &str) -> Vec<u8> {
    frame(LAST | TEXT, Some([0x5a, 0x11, 0xee, 0x07]), text.as_bytes())
}

fn down(text: &str) -> Vec<u8> {
    frame(LAST | TEXT, None, text.as_bytes())
}

/// A message in fragments, with a ping in between.
fn fragments(text: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let (one, rest) = text.as_bytes().split_at(text.len() / 3);
    let (two, three) = rest.split_at(rest.len() / 2);
    [
        frame(TEXT, mask, one),
        frame(LAST | 9, mask, b"still there?"),
        frame(0, mask, two),
        frame(LAST, mask, three),
    ]
    .concat()
}

/// `permessage-deflate` of one direction.
pub(crate) struct Packer {
    compress: Compress,
    fresh: bool,
}

impl Packer {
    pub(crate) fn new(fresh: bool) -> Self {
        Self {
            compress: Compress::new(Compression::default(), false),
            fresh,
        }
    }

    pub(crate) fn pack(&mut self, text: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(text.len() + 1000);
        self.compress
            .compress_vec(text, &mut packed, FlushCompress::Sync)
            .unwrap();
        packed.truncate(packed.len() - 4);
        if self.fresh {
            self.compress.reset();
        }
        packed
    }

    fn message(&mut self, mask: Option<[u8; 4]>, text: &str) -> Vec<u8> {
        frame(LAST | PACKED | TEXT, mask, &self.pack(text.as_bytes()))
    }
}

pub(crate) fn request(extra: &str) -> String {
    format!(
        "GET /message HTTP/1.1\r\nHost: 10.9.0.5:8000\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

pub(crate) fn granted(extra: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extra}\r\n"
    )
}

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// How a WebSocket is spoken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Plain,
    Fragmented,
    /// With windows that are kept.
    Packed,
    /// Each message by itself.
    Fresh,
}

pub(crate) const FORMS: [Form; 4] = [Form::Plain, Form::Fragmented, Form::Packed, Form::Fresh];

/// A connection that carries these messages; the bool says whether the client sends it.
pub(crate) fn connection(ends: Ends, form: Form, messages: &[(bool, &str)]) -> Script {
    let answer = match form {
        Form::Plain | Form::Fragmented => granted(""),
        Form::Packed => granted("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        Form::Fresh => granted(
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
        ),
    };
    let mut script = Script::default()
        .then(ends, Act::Open)
        .up(ends, request(OFFER))
        .down(ends, answer);
    let mut packers = [true, false].map(|_| Packer::new(matches!(form, Form::Fresh)));
    let mut random = Random(7);
    for (client, text) in messages {
        let mask = client.then(|| (random.next() as u32).to_be_bytes());
        let bytes = match form {
            Form::Plain => frame(LAST | TEXT, mask, text.as_bytes()),
            Form::Fragmented => fragments(text, mask),
            Form::Packed | Form::Fresh => packers[usize::from(*client)].message(mask, text),
        };
        script = if *client {
            script.up(ends, bytes)
        } else {
            script.down(ends, bytes)
        };
    }
    script
        .up(ends, frame(LAST | 8, Some([1, 2, 3, 4]), b"\x03\xe8"))
        .down(ends, frame(LAST | 8, None, b"\x03\xe8"))
        .then(ends, Act::Close)
}

const TALK: [(bool, &str); 7] = [
    (true, INITIALIZE),
    (false, WELCOME),
    (true, INITIALIZED),
    (true, LIST),
    (false, TOOLS),
    (true, CALL),
    (false, FOUND),
];

pub(crate) fn scenarios() -> Vec<Scenario> {
    [
        ("WebSocket", Form::Plain),
        ("WebSocket in fragments", Form::Fragmented),
        ("WebSocket, compressed", Form::Packed),
        ("WebSocket, each message compressed", Form::Fresh),
    ]
    .map(|(name, form)| Scenario {
        name,
        script: connection(here(), form, &TALK),
        expect: Expect {
            transport: "websocket",
            ..USUAL
        },
    })
    .into()
}

fn turn(dir: shadowtap::model::net::Direction, bytes: &[u8]) -> Turn {
    (dir, Piece::Bytes(bytes.to_vec()))
}

/// Conversations that begin with HTTP.
pub(crate) fn upgrades() -> Vec<Sample> {
    let binary = frame(LAST | 2, Some([9, 8, 7, 6]), &[0x89; 300]);
    let opened = |extra: &str| {
        vec![
            turn(ToServer, request("Sec-WebSocket-Protocol: mcp\r\n").as_bytes()),
            turn(ToClient, granted(extra).as_bytes()),
        ]
    };
    let sample = |name, turns: Vec<Turn>| Sample {
        name,
        turns,
        from_start: true,
        ports: [40_000, 8000],
    };
    let plain = [
        turn(ToServer, &up(LIST)),
        turn(ToClient, &[down(TOOLS), frame(LAST | 9, None, b"")].concat()),
        turn(ToServer, &binary),
        turn(ToServer, &frame(LAST | TEXT, Some([1, 2, 3, 4]), b"hello")),
        turn(ToClient, &fragments(FOUND, None)),
        turn(ToServer, &fragments(CALL, Some([0xff, 0, 1, 2]))),
        turn(ToServer, &up(CALL)),
        // The handshake stands once on its connection.
        (ToClient, Piece::End),
        (ToServer, Piece::End),
    ];
    let mut samples = vec![sample("WebSocket", [opened(""), plain.to_vec()].concat())];
    for (name, extra, fresh) in [
        (
            "WebSocket, packed",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            false,
        ),
        (
            "WebSocket, packed afresh",
            "Sec-WebSocket-Extensions: permessage-deflate;client_no_context_takeover;server_no_context_takeover\r\n",
            true,
        ),
    ] {
        let (mut client, mut server) = (Packer::new(fresh), Packer::new(fresh));
        let mask = Some([3, 1, 4, 1]);
        let long = client.pack(&[CALL, &" ".repeat(50_000)].concat().into_bytes());
        let (one, two) = long.split_at(9);
        let turns = vec![
            turn(
                ToServer,
                &[frame(PACKED | TEXT, mask, one), frame(LAST, mask, two)].concat(),
            ),
            turn(ToClient, &server.message(None, "just talk")),
            turn(ToServer, &client.message(mask, LIST)),
            turn(ToClient, &server.message(None, TOOLS)),
            turn(ToClient, &down(FOUND)),
            turn(ToServer, &client.message(mask, CALL)),
            (ToClient, Piece::End),
            (ToServer, Piece::End),
        ];
        samples.push(sample(name, [opened(extra), turns].concat()));
    }
    samples
}

/// Connections that are joined midway.
pub(crate) fn midway() -> Vec<Sample> {
    let sample = |name, turns: Vec<Turn>| Sample {
        name,
        turns,
        from_start: false,
        ports: [40_000, 8000],
    };
    vec![
        sample(
            "joined midway, client",
            vec![turn(
                ToServer,
                &[up(LIST), fragments(CALL, Some([1, 0, 1, 0]))].concat(),
            )],
        ),
        sample(
            "joined midway, server",
            vec![turn(ToClient, &[down(TOOLS), down(FOUND)].concat())],
        ),
    ]
}
