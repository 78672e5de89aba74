//! MCP over HTTP/3, opened by key material: every suite, any order, key updates, and the loss of each datagram.

use std::sync::Arc;

use shadowtap::engine::settings::Settings;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::flow::Why;
use shadowtap::model::message::Body;
use shadowtap::model::net::{Direction, Transport};
use shadowtap::model::observation::{Cover, Fact};
use shadowtap::model::server::Encryption;
use shadowtap::model::stamp::{Stamp, Timestamp};
use shadowtap::proto::quic::PROTOCOL;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Output, Step};
use shadowtap::stream::secrets::{Config, Keys, Label, Secret, Secrets};

use crate::seal::{
    AES_128, AES_256, By, CHACHA_20, Cipher, Head, Suite, V1, V2, answer, crypto, hello, initial, varint,
};
use crate::talk::Random;

use Direction::{ToClient, ToServer};

const ORIGIN: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
const SERVER_ID: &[u8] = b"\xf0\x67\xa5\x50\x2a\x42\x62\xb5";
const CLIENT_ID: &[u8] = b"\x01\x02\x03";
/// Of the hello that `seal::hello` writes.
const RANDOM: [u8; 32] = [9; 32];
const EXCHANGES: usize = 3;

type Datagrams = Vec<(Direction, Vec<u8>)>;

/// How a connection is protected.
#[derive(Clone, Copy)]
struct How {
    version: u32,
    suite: Suite,
    updates: bool,
    greased: bool,
}

const PLAIN: How = How {
    version: V1,
    suite: AES_128,
    updates: false,
    greased: false,
};

fn secret(dir: Direction, suite: Suite) -> Vec<u8> {
    let length = if suite == AES_256 { 48 } else { 32 };
    vec![10 + dir.index() as u8; length]
}

fn stream(id: usize, offset: usize, ends: bool, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x0e | u8::from(ends)];
    varint(id, &mut out);
    varint(offset, &mut out);
    varint(data.len(), &mut out);
    out.extend(data);
    out
}

fn acknowledge(largest: u32) -> Vec<u8> {
    let mut out = vec![2];
    varint(largest as usize, &mut out);
    out.extend([0, 0]);
    varint(largest as usize, &mut out);
    out
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    varint(payload.len(), &mut out);
    out.extend(payload);
    out
}

/// A field section of what is written out.
fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![0, 0];
    for (name, value) in fields {
        match name.len() {
            length @ 0..7 => out.push(0x20 | length as u8),
            length => out.extend([0x27, length as u8 - 7]),
        }
        out.extend(name.bytes());
        out.push(value.len() as u8);
        out.extend(value.bytes());
    }
    out
}

fn call(number: usize) -> String {
    let padding = "x".repeat(1_500);
    format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"padding":"{padding}"}}}}"#)
}

fn result(number: usize) -> String {
    let padding = "y".repeat(2_500);
    format!(r#"{{"jsonrpc":"2.0","id":{number},"result":{{"content":"{padding}"}}}}"#)
}

/// A connection: hellos, then exchanges in packets of 600 bytes, each acknowledged by the other end's next one.
fn connection(how: How) -> Datagrams {
    let head = |destination, source| Head {
        version: how.version,
        destination,
        source,
        token: b"",
    };
    let mut frames = crypto(0, &hello("mcp.example.test", 400));
    frames.resize(1_180, 0);
    let (asks, answers) = (head(ORIGIN, CLIENT_ID), head(CLIENT_ID, SERVER_ID));
    let mut out = vec![
        (ToServer, initial(&asks, ORIGIN, By::Client, 0, &frames)),
        (
            ToClient,
            initial(&answers, ORIGIN, By::Server, 0, &crypto(0, &answer())),
        ),
    ];
    let mut ends = [(ToServer, SERVER_ID, 0_u32), (ToClient, CLIENT_ID, 0)];
    let mut ciphers = [ToServer, ToClient].map(|dir| Cipher::new(how.suite, how.version, &secret(dir, how.suite)));
    ciphers.iter_mut().for_each(|cipher| cipher.greased = how.greased);
    for number in 0..EXCHANGES {
        let path = format!("/mcp/{number}");
        let request = [
            (":method", "POST"),
            (":path", &path),
            (":authority", "h"),
            ("content-type", "application/json"),
        ];
        let up = [frame(1, &section(&request)), frame(0, call(number).as_bytes())].concat();
        let response = [(":status", "200"), ("content-type", "application/json")];
        let down = [frame(1, &section(&response)), frame(0, result(number).as_bytes())].concat();
        for (side, bytes) in [up, down].iter().enumerate() {
            let pieces = bytes.len().div_ceil(600);
            for (at, piece) in bytes.chunks(600).enumerate() {
                let other = ends[1 - side].2;
                let acks = other.checked_sub(1).map(acknowledge).unwrap_or_default();
                let frames = [acks, stream(4 * number, 600 * at, at + 1 == pieces, piece)].concat();
                let (dir, destination, packet) = &mut ends[side];
                out.push((*dir, ciphers[side].short(destination, *packet, &frames)));
                *packet += 1;
            }
            if how.updates {
                ciphers[side].update();
            }
        }
    }
    // What is sent last is acknowledged, too.
    for side in [0, 1] {
        let (acks, (dir, destination, packet)) = (acknowledge(ends[1 - side].2 - 1), ends[side]);
        out.push((dir, ciphers[side].short(destination, packet, &acks)));
    }
    out
}

fn secrets(suite: Suite) -> Secrets {
    let secrets = Secrets::new(10, false);
    for (dir, label) in [(ToServer, Label::ClientTraffic), (ToClient, Label::ServerTraffic)] {
        secrets.add(RANDOM, label, Secret::new(&secret(dir, suite)).unwrap());
    }
    secrets
}

/// A stream of datagrams and what it told.
struct Listener {
    env: Env,
    stream: Stream,
    told: Vec<String>,
    step: Step,
    at: Stamp,
}

impl Listener {
    fn new(secrets: Arc<Secrets>) -> Self {
        let mut env = Settings::default().env;
        env.keys = Some(Keys::new(&secrets, &Config::default(), 1));
        env.protocols = std::slice::from_ref(&PROTOCOL);
        Self {
            env,
            stream: Stream::outer(Transport::Udp, true, [40_000, 443]),
            told: Vec::new(),
            step: Step::Continue,
            at: Stamp::default(),
        }
    }

    fn push(&mut self, dir: Direction, data: Data<'_>) {
        if self.step != Step::Continue {
            return;
        }
        let (told, at) = (&mut self.told, self.at);
        let chunk = Chunk { at, dir, lane: 0, data };
        self.step = self.stream.push(chunk, &self.env, &mut |output| match output {
            Output::Message(message) => {
                let path = message
                    .transaction
                    .and_then(|it| it.request.as_ref())
                    .map_or("-", |it| it.path());
                told.push(match message.body {
                    Body::Absent => format!("{path} absent"),
                    Body::Cut { .. } => format!("{path} cut"),
                    Body::Whole(bytes) => format!("{path} {}", String::from_utf8_lossy(bytes)),
                });
            }
            Output::Fact(_, Fact::Uncovered(Cover::Opened(Encryption::Quic))) => told.push("opened".to_owned()),
            Output::Fact(..) => {}
            other => panic!("{other:?}"),
        });
    }
}

fn listen(secrets: Secrets, datagrams: &Datagrams) -> (Vec<String>, Step) {
    let mut listener = Listener::new(Arc::new(secrets));
    for (dir, bytes) in datagrams {
        listener.push(*dir, Data::Bytes(bytes));
    }
    listener.push(ToServer, Data::End);
    (listener.told, listener.step)
}

fn expected() -> Vec<String> {
    let exchange = |number| {
        [
            format!("/mcp/{number} {}", call(number)),
            format!("/mcp/{number} {}", result(number)),
        ]
    };
    ["opened".to_owned()]
        .into_iter()
        .chain((0..EXCHANGES).flat_map(exchange))
        .collect()
}

#[test]
fn every_suite_and_version_and_update_is_read() {
    for version in [V1, V2] {
        for suite in [AES_128, AES_256, CHACHA_20] {
            for updates in [false, true] {
                let how = How {
                    version,
                    suite,
                    updates,
                    ..PLAIN
                };
                let told = listen(secrets(suite), &connection(how));
                assert_eq!(told, (expected(), Step::Continue), "{version} {updates}");
            }
        }
    }
}

#[test]
fn a_fixed_bit_that_varies_hides_nothing() {
    let datagrams = connection(How { greased: true, ..PLAIN });
    assert_eq!(listen(secrets(AES_128), &datagrams), (expected(), Step::Continue));
}

#[test]
fn order_and_repeats_do_not_matter() {
    let datagrams = connection(How { updates: true, ..PLAIN });
    for seed in 1..60 {
        let mut random = Random(seed);
        let mut shaken: Vec<(usize, _)> = Vec::new();
        for (at, datagram) in datagrams.iter().enumerate() {
            // The hellos come first; the rest within a window, for an update is only followed one at a time.
            let place = if at < 2 { at } else { at * 10 + random.below(50) };
            shaken.push((place, datagram.clone()));
            if random.below(4) == 0 && at > 1 {
                shaken.push((at * 10 + random.below(60), datagram.clone()));
            }
        }
        shaken.sort_by_key(|(place, _)| *place);
        let shaken = shaken.into_iter().map(|(_, datagram)| datagram).collect();
        let (mut told, step) = listen(secrets(AES_128), &shaken);
        let mut expected = expected();
        told.sort();
        expected.sort();
        assert_eq!((told, step), (expected, Step::Continue), "seed {seed}");
    }
}

#[test]
fn the_loss_of_each_datagram_takes_one_message_at_most() {
    let datagrams = connection(PLAIN);
    // The path may be lost with the head of a request, and the answer is still read.
    let body = |line: &String| {
        line.split_once(' ')
            .map_or_else(String::new, |(_, body)| body.to_owned())
    };
    let expected: Vec<String> = expected().iter().map(body).collect();
    for lost in 2..datagrams.len() {
        let mut left = datagrams.clone();
        left.remove(lost);
        let (told, step) = listen(secrets(AES_128), &left);
        let told: Vec<String> = told.iter().map(body).collect();
        let missing = expected.iter().filter(|body| !told.contains(body)).count();
        assert!(missing <= 1 && step == Step::Continue, "{lost}: {missing}");
        let others = told.iter().filter(|body| !matches!(&***body, "" | "absent" | "cut"));
        assert!(others.clone().all(|body| expected.contains(body)), "{lost}: {told:?}");
    }
}

#[test]
fn secrets_that_do_not_fit_or_never_come_are_told_apart() {
    let datagrams = connection(PLAIN);
    let wrong = Secrets::new(10, false);
    for label in [Label::ClientTraffic, Label::ServerTraffic] {
        wrong.add(RANDOM, label, Secret::new(&[77; 32]).unwrap());
    }
    assert_eq!(listen(wrong, &datagrams), (vec![], Step::Bypass(Why::WrongSecrets)));
    let other = Secrets::new(10, false);
    other.add([1; 32], Label::ClientTraffic, Secret::new(&[77; 32]).unwrap());
    assert_eq!(listen(other, &datagrams), (vec![], Step::Bypass(Why::NoSecrets)));
    assert_eq!(
        listen(Secrets::new(10, false), &datagrams),
        (vec![], Step::Bypass(Why::Opaque))
    );
}

#[test]
fn secrets_that_come_late_open_what_was_held() {
    let datagrams = connection(PLAIN);
    let late = Arc::new(Secrets::new(10, true));
    let mut listener = Listener::new(Arc::clone(&late));
    for (at, (dir, bytes)) in datagrams.iter().enumerate() {
        if at == 9 {
            late.add(
                RANDOM,
                Label::ClientTraffic,
                Secret::new(&secret(ToServer, AES_128)).unwrap(),
            );
        }
        if at == 11 {
            late.add(
                RANDOM,
                Label::ServerTraffic,
                Secret::new(&secret(ToClient, AES_128)).unwrap(),
            );
        }
        listener.push(*dir, Data::Bytes(bytes));
    }
    assert_eq!((listener.told, listener.step), (expected(), Step::Continue));
}

#[test]
fn secrets_that_come_after_the_last_packet_open_what_was_held() {
    let datagrams = connection(PLAIN);
    let both = [(ToServer, Label::ClientTraffic), (ToClient, Label::ServerTraffic)];
    for count in [1, 2] {
        let late = Arc::new(Secrets::new(10, true));
        let mut listener = Listener::new(Arc::clone(&late));
        for (dir, bytes) in &datagrams {
            listener.push(*dir, Data::Bytes(bytes));
        }
        for (dir, label) in &both[..count] {
            late.add(RANDOM, *label, Secret::new(&secret(*dir, AES_128)).unwrap());
        }
        listener.push(ToServer, Data::End);
        let one = |line: &String| count == 2 || !line.contains("result");
        let expected: Vec<String> = expected().into_iter().filter(one).collect();
        assert_eq!((listener.told, listener.step), (expected, Step::Continue), "{count}");
    }
}

#[test]
fn secrets_are_waited_for_for_half_a_minute() {
    let datagrams = connection(PLAIN);
    for (seconds, read) in [(29, true), (30, false)] {
        let late = Arc::new(Secrets::new(10, true));
        late.add([1; 32], Label::ClientTraffic, Secret::new(&[77; 32]).unwrap());
        let mut listener = Listener::new(Arc::clone(&late));
        let (before, behind) = datagrams.split_at(9);
        for (dir, bytes) in before {
            listener.push(*dir, Data::Bytes(bytes));
        }
        listener.at.time = Timestamp::from_parts(seconds, 0);
        listener.push(before[0].0, Data::Bytes(&before[0].1));
        for (dir, label) in [(ToServer, Label::ClientTraffic), (ToClient, Label::ServerTraffic)] {
            late.add(RANDOM, label, Secret::new(&secret(dir, AES_128)).unwrap());
        }
        for (dir, bytes) in behind {
            listener.push(*dir, Data::Bytes(bytes));
        }
        let expected = if read {
            (expected(), Step::Continue)
        } else {
            (vec![], Step::Bypass(Why::NoSecrets))
        };
        assert_eq!((listener.told, listener.step), expected, "{seconds}");
    }
}

/// Both ends have agreed on version 2 on the way (RFC 9368), and a packet of version 1 comes late by another tap.
#[test]
fn a_late_hello_of_another_version_misleads_nobody() {
    let mut datagrams = connection(How { version: V2, ..PLAIN });
    let head = Head {
        version: V1,
        destination: ORIGIN,
        source: CLIENT_ID,
        token: b"",
    };
    let mut frames = crypto(0, &hello("mcp.example.test", 400));
    frames.resize(1_180, 0);
    let first = (ToServer, initial(&head, ORIGIN, By::Client, 0, &frames));
    datagrams[0] = first.clone();
    for at in [2, 3, 8] {
        let mut datagrams = datagrams.clone();
        datagrams.insert(at, first.clone());
        assert_eq!(
            listen(secrets(AES_128), &datagrams),
            (expected(), Step::Continue),
            "{at}"
        );
    }
}

/// However many packets of the other direction come first.
#[test]
fn packets_without_any_secret_are_no_sign_of_wrong_ones() {
    let mut datagrams = connection(PLAIN);
    datagrams[1..].sort_by_key(|(dir, _)| *dir == ToClient);
    assert!(datagrams.iter().filter(|(dir, _)| *dir == ToServer).count() > 8);
    let again = datagrams[1..].iter().filter(|(dir, _)| *dir == ToServer).cloned();
    let again: Datagrams = again.collect();
    datagrams.splice(1..1, again.iter().chain(&again).cloned());
    let alone = Secrets::new(10, false);
    let known = Secret::new(&secret(ToClient, AES_128)).unwrap();
    alone.add(RANDOM, Label::ServerTraffic, known);
    let (told, step) = listen(alone, &datagrams);
    assert_eq!(
        (told.first().map(String::as_str), step),
        (Some("opened"), Step::Continue)
    );
}

#[test]
fn one_direction_is_read_alone() {
    let datagrams: Datagrams = connection(PLAIN)
        .into_iter()
        .filter(|(dir, _)| *dir == ToServer)
        .collect();
    let (told, step) = listen(secrets(AES_128), &datagrams);
    let expected: Vec<String> = expected().into_iter().filter(|line| !line.contains("result")).collect();
    assert_eq!((told, step), (expected, Step::Continue));
}
