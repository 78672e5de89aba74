//! QUIC over datagrams: any bytes, and packets that are sealed here around any frames, so that what lies behind the
//! protection is reached, too: hellos, streams, HTTP/3.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::{Direction, Transport};
use shadowtap::model::observation::Fact;
use shadowtap::proto::quic::PROTOCOL;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Output, Step};
use shadowtap::stream::secrets::{Config, Keys, Label, Secret, Secrets};
use shadowtap_fuzz::{Decisions, settings};

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../it/seal.rs"]
mod seal;

use seal::{AES_128, By, Cipher, Head, V1, V2, crypto, hello, initial, varint};

static ENV: LazyLock<Env> = LazyLock::new(|| {
    let mut env = settings().env;
    let secrets = Secrets::new(10, false);
    for (label, byte) in [(Label::ClientTraffic, 0), (Label::ServerTraffic, 1)] {
        // The random is that of `seal::hello`.
        secrets.add([9; 32], label, Secret::new(&[byte; 32]).expect("a secret"));
    }
    env.keys = Some(Keys::new(&Arc::new(secrets), &Config::default(), 1));
    env.protocols = std::slice::from_ref(&PROTOCOL);
    env
});

/// Connection ids that the fuzzer may choose from, so that attempts meet again.
const ORIGINS: [&[u8]; 3] = [
    b"\x83\x94\xc8\xf0\x3e\x51\x57\x08",
    b"\xf0\x67\xa5\x50\x2a\x42\x62\xb5",
    b"other id",
];

/// Which way a datagram goes, and what it is.
fn datagram(decisions: &mut Decisions<'_>) -> (Direction, Vec<u8>) {
    let dir = decisions.direction();
    let how = decisions.byte();
    let (by, ids) = match dir {
        Direction::ToServer => (By::Client, [ORIGINS[1], ORIGINS[2]]),
        Direction::ToClient => (By::Server, [ORIGINS[2], ORIGINS[1]]),
    };
    let origin = ORIGINS[usize::from(how >> 3) % ORIGINS.len()];
    let version = if how & 0x80 == 0 { V1 } else { V2 };
    let frames = match how & 7 {
        0 => return (dir, decisions.piece().to_vec()),
        1 => decisions.piece().to_vec(),
        2 => crypto(decisions.word() as usize % 5_000, decisions.piece()),
        3 => crypto(0, &hello("mcp.example.test", 400)),
        4 => decisions.piece().to_vec(),
        _ => {
            let (id, offset) = (decisions.byte(), decisions.word() as usize % 3_000);
            let data = decisions.piece();
            let mut frame = vec![0x0e | how >> 6 & 1];
            for value in [usize::from(id & 0x3f), offset, data.len()] {
                varint(value, &mut frame);
            }
            [&frame, data].concat()
        }
    };
    let number = decisions.word() % 300;
    let padded = |mut frames: Vec<u8>| {
        frames.resize(frames.len().max(40), 0);
        frames
    };
    if how & 7 < 4 {
        let head = Head {
            version,
            destination: origin,
            source: ids[1],
            token: b"",
        };
        return (dir, initial(&head, origin, by, number, &padded(frames)));
    }
    let mut cipher = Cipher::new(AES_128, version, &[dir.index() as u8; 32]);
    if how & 0x20 != 0 {
        cipher.update();
    }
    (dir, cipher.short(ids[0], number, &padded(frames)))
}

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let flags = decisions.byte();
    let ports = [40_000, if flags & 1 == 0 { 443 } else { 8_443 }];
    let mut stream = Stream::outer(Transport::Udp, true, ports);
    let (mut answered, mut swapped) = (0, false);
    while decisions.more() {
        let (dir, bytes) = datagram(&mut decisions);
        if bytes.is_empty() {
            continue;
        }
        let chunk = Chunk {
            at: decisions.stamp(),
            dir: if swapped { dir.flip() } else { dir },
            lane: 0,
            data: Data::Bytes(&bytes),
        };
        let step = stream.push(chunk, &ENV, &mut |output: Output<'_>| match output {
            Output::Fact(_, Fact::Tls(tls)) => assert!(tls.sni.is_none_or(|name| (1..=253).contains(&name.len()))),
            Output::Fact(_, Fact::TlsAnswer(_)) => answered += 1,
            Output::Swap => swapped = true,
            other => _ = std::hint::black_box(format!("{other:?}")),
        });
        if step != Step::Continue {
            break;
        }
    }
    assert!(answered <= 1, "told once");
});
