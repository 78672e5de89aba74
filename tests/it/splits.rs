//! Every protocol of `PROTOCOLS`: a conversation fed whole, byte by byte and in random pieces tells the same.

use shadowtap::engine::settings::Settings;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::message::{Body, Carrier, Message};
use shadowtap::model::net::{Direction, Transport};
use shadowtap::model::observation::Fact;
use shadowtap::model::stamp::{Stamp, Timestamp};
use shadowtap::proto::PROTOCOLS;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Output, Protocol, Step};

use crate::http::{self, FORMS, Form, LAST_CHUNK, event, events, events_head, get_events, json, post};
use crate::proxy;
use crate::talk::Random;
use crate::{dns, h2, raw, websocket};

use Direction::{ToClient, ToServer};

/// What one side sends at once, or a hole.
pub(crate) type Turn = (Direction, Piece);

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Gap(u64),
    End,
}

/// A conversation of one protocol.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) turns: Vec<Turn>,
    /// Whether the capture holds its start.
    pub(crate) from_start: bool,
    pub(crate) ports: [u16; 2],
}

/// Conversations of one row; every row has one.
pub(crate) fn samples(row: &Protocol) -> Vec<Sample> {
    let sample = |name, turns: &[(Direction, &[u8])], ports| Sample {
        name,
        turns: turns
            .iter()
            .map(|(dir, bytes)| (*dir, Piece::Bytes(bytes.to_vec())))
            .collect(),
        from_start: true,
        ports,
    };
    match row.name {
        "tls" | "dtls" => crate::tls::samples(row),
        "HTTP/1" => http_samples().into_iter().chain(websocket::upgrades()).collect(),
        "HTTP/2" => h2::samples(),
        "JSON frames" => raw::frames(),
        "JSON lines" => raw::lines(),
        "WebSocket" => websocket::midway(),
        "dns" | "dns-tcp" => dns::samples(row.name),
        "event stream" => vec![
            Sample {
                from_start: false,
                ..sample(
                    "joined midway, plain",
                    &[(
                        ToClient,
                        b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\ndata: {\"a\":1}\n\n",
                    )],
                    [40_000, 8000],
                )
            },
            Sample {
                from_start: false,
                ..sample(
                    "joined midway, chunked",
                    &[(
                        ToClient,
                        (event("message", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#) + &event("message", "{}"))
                            .as_bytes(),
                    )],
                    [40_000, 8000],
                )
            },
        ],
        "quic" => crate::quic::samples(),
        relay @ ("PROXY" | "SOCKS") => proxy::samples(relay),
        other => panic!("{other} has no sample here"),
    }
}

fn http_samples() -> Vec<Sample> {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#;
    let turn = |dir, bytes: &[u8]| (dir, Piece::Bytes(bytes.to_vec()));
    let sample = |name, turns: Vec<Turn>| Sample {
        name,
        turns,
        from_start: true,
        ports: [40_000, 8000],
    };
    let mut samples = vec![
        sample(
            "JSON",
            vec![
                turn(ToServer, post("/mcp", "", body).as_bytes()),
                turn(ToClient, json("200 OK", "", reply).as_bytes()),
                turn(ToServer, post("/mcp", "", body).as_bytes()),
                turn(ToClient, json("200 OK", "", reply).as_bytes()),
            ],
        ),
        sample(
            "events",
            vec![
                turn(ToServer, get_events("/sse", "").as_bytes()),
                turn(ToClient, events_head("").as_bytes()),
                turn(ToClient, event("endpoint", "/messages?x=1").as_bytes()),
                turn(ToClient, event("message", reply).as_bytes()),
                turn(ToClient, LAST_CHUNK.as_bytes()),
                turn(ToServer, post("/mcp", "", body).as_bytes()),
                turn(ToClient, events("", &[reply, reply]).as_bytes()),
            ],
        ),
        sample(
            "pipelined, with an interim response",
            vec![
                turn(
                    ToServer,
                    [post("/a", "Expect: 100-continue\r\n", body), post("/b", "", body)]
                        .concat()
                        .as_bytes(),
                ),
                turn(
                    ToClient,
                    format!(
                        "HTTP/1.1 100 Continue\r\n\r\n{}{}",
                        json("200 OK", "", reply),
                        json("404 Not Found", "", "{}")
                    )
                    .as_bytes(),
                ),
            ],
        ),
        sample(
            "a page",
            vec![
                turn(ToServer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                turn(
                    ToClient,
                    &http::answer(Form::Plain, "200 OK", "text/html", "<p>hello</p>"),
                ),
            ],
        ),
    ];
    for (name, form) in [
        "br, chunked",
        "chunked",
        "gzip",
        "gzip, chunked",
        "plain",
        "stacked",
        "packed without a label",
        "until close",
        "zstd",
    ]
    .into_iter()
    .zip(FORMS)
    {
        samples.push(sample(
            name,
            vec![
                turn(ToServer, post("/mcp", "", body).as_bytes()),
                turn(ToClient, &http::answer(form, "200 OK", "application/json", reply)),
                (ToClient, Piece::End),
                (ToServer, Piece::End),
            ],
        ));
    }
    samples
}

/// A ClientHello with a server name and an unknown extension, in two records.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let size = |value: usize| u16::try_from(value).unwrap().to_be_bytes();
    let mut sni = vec![];
    sni.extend(size(name.len() + 3));
    sni.push(0);
    sni.extend(size(name.len()));
    sni.extend(name.bytes());
    let mut extensions = vec![0, 0];
    extensions.extend(size(sni.len()));
    extensions.extend(&sni);
    extensions.extend([0xfa, 0xfa, 0, 200]);
    extensions.extend([7; 200]);
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(size(extensions.len()));
    body.extend(&extensions);
    let mut message = vec![1, 0];
    message.extend(size(body.len()));
    message.extend(&body);
    let (one, two) = message.split_at(100);
    let record = |part: &[u8]| [&[22, 3, 1][..], &size(part.len()), part].concat();
    [record(one), record(two)].concat()
}

/// What a stream that knows this row alone tells.
pub(crate) fn listen(row: &'static Protocol, sample: &Sample, turns: &[Turn]) -> (Vec<String>, Step) {
    let mut env = Settings::default().env;
    env.protocols = std::slice::from_ref(row);
    let mut stream = Stream::outer(row.transport, sample.from_start, sample.ports);
    let mut told = Vec::new();
    let mut step = Step::Continue;
    let mut swapped = false;
    for (number, (dir, piece)) in (1..).zip(turns) {
        let data = match piece {
            Piece::Bytes(bytes) if bytes.is_empty() => continue,
            Piece::Bytes(bytes) => Data::Bytes(bytes),
            Piece::Gap(bytes) => Data::Gap(*bytes),
            Piece::End => Data::End,
        };
        let chunk = Chunk {
            at: Stamp {
                time: Timestamp::from_nanos(0),
                source: 0,
                packet: number,
            },
            dir: if swapped { dir.flip() } else { *dir },
            lane: 0,
            data,
        };
        step = stream.push(chunk, &env, &mut |output| match output {
            Output::Message(message) => told.push(line(&message)),
            Output::Fact(_, fact) => told.push(match fact {
                Fact::Announced(announced) => format!("{announced:?}"),
                Fact::Credential(_) => "credential".to_owned(),
                Fact::Dns(dns) => format!("{dns:?}"),
                Fact::Http(transaction) => {
                    format!(
                        "http {}",
                        transaction.request.as_ref().map_or("-", |request| &request.target)
                    )
                }
                Fact::Mcp(_) => "mcp".to_owned(),
                Fact::Resolved(resolved) => format!("{resolved:?}"),
                Fact::Tls(tls) => format!("{tls:?}"),
                Fact::TlsAnswer(answer) => format!("{answer:?}"),
                Fact::Uncovered(cover) => format!("{cover:?}"),
                Fact::Around(around) => format!("{around:?}"),
                Fact::Violation(violation) => format!("{violation:?}"),
            }),
            Output::Shed(count) => told.push(format!("shed {count}")),
            Output::Swap => {
                swapped = true;
                told.push("swap".to_owned());
            }
        });
        if step != Step::Continue {
            break;
        }
    }
    (told, step)
}

fn line(message: &Message<'_>) -> String {
    let carrier = match message.carrier {
        Carrier::SseEvent { name } => name.to_owned(),
        other => format!("{other:?}"),
    };
    let heads = message.transaction.map_or_else(String::new, |transaction| {
        let target = transaction.request.as_ref().map(|request| request.target.clone());
        let status = transaction.response.as_ref().map(|response| response.status);
        format!("{} {target:?} {status:?}", transaction.number)
    });
    let body = match message.body {
        Body::Absent => "absent".to_owned(),
        Body::Cut { head, missing } => format!("cut {missing} {}", String::from_utf8_lossy(head)),
        Body::Whole(bytes) => format!("whole {}", String::from_utf8_lossy(bytes)),
    };
    format!("{:?} {carrier} {heads} {body}", message.dir)
}

/// The same bytes in pieces that `size` names.
fn split(turns: &[Turn], mut size: impl FnMut() -> usize) -> Vec<Turn> {
    let mut out = Vec::new();
    for (dir, piece) in turns {
        let Piece::Bytes(bytes) = piece else {
            out.push((*dir, piece.clone()));
            continue;
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(size().clamp(1, rest.len()));
            out.push((*dir, Piece::Bytes(head.to_vec())));
            rest = tail;
        }
    }
    out
}

#[test]
fn pieces_tell_what_the_whole_tells() {
    for row in PROTOCOLS {
        for sample in samples(row) {
            let name = format!("{}, {}", row.name, sample.name);
            let whole = listen(row, &sample, &sample.turns);
            assert!(!whole.0.is_empty(), "{name}: nothing was told");
            // A datagram is never in pieces; a stream that is joined midway is found at the start of a segment.
            if row.transport == Transport::Udp {
                continue;
            }
            let sizes: &[usize] = if sample.from_start { &[1, 2, 3, 10, 100] } else { &[] };
            for size in sizes {
                assert_eq!(
                    whole,
                    listen(row, &sample, &split(&sample.turns, || *size)),
                    "{name} by {size}"
                );
            }
            for seed in 1..200 {
                let mut random = Random(seed);
                // The probe of a row for midway sees one segment, which holds its marks.
                let mut first = !sample.from_start;
                let pieces = split(&sample.turns, || {
                    if std::mem::take(&mut first) {
                        60
                    } else {
                        1 + random.below(90)
                    }
                });
                assert_eq!(whole, listen(row, &sample, &pieces), "{name}, seed {seed}");
            }
        }
    }
}

/// Every place for one cut, where random pieces may miss one.
#[test]
fn every_cut_in_two_tells_what_the_whole_tells() {
    for row in PROTOCOLS.iter().filter(|row| row.transport == Transport::Tcp) {
        for sample in samples(row).into_iter().filter(|sample| sample.from_start) {
            let whole = listen(row, &sample, &sample.turns);
            for (turn, (dir, piece)) in sample.turns.iter().enumerate() {
                let Piece::Bytes(bytes) = piece else { continue };
                for at in 1..bytes.len() {
                    let mut turns = sample.turns.clone();
                    let (head, tail) = bytes.split_at(at);
                    turns.splice(
                        turn..=turn,
                        [head, tail].map(|part| (*dir, Piece::Bytes(part.to_vec()))),
                    );
                    let told = listen(row, &sample, &turns);
                    assert_eq!(whole, told, "{}, {}, turn {turn} at {at}", row.name, sample.name);
                }
            }
        }
    }
}
