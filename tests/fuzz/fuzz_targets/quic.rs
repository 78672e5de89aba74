//! QUIC over datagrams: any bytes, and Initials that are sealed here around any frames, so that what lies behind the
//! protection is reached, too.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::{Direction, Transport};
use shadowtap::model::observation::Fact;
use shadowtap::proto::quic::PROTOCOL;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Output, Step};
use shadowtap_fuzz::{Decisions, settings};

#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../it/seal.rs"]
mod seal;

use seal::{By, Head, V1, V2, crypto, initial};

static ENV: LazyLock<Env> = LazyLock::new(|| {
    let mut env = settings().env;
    env.protocols = std::slice::from_ref(&PROTOCOL);
    env
});

/// Connection ids that the fuzzer may choose from, so that attempts meet again.
const ORIGINS: [&[u8]; 3] = [b"\x83\x94\xc8\xf0\x3e\x51\x57\x08", b"\xf0\x67\xa5\x50\x2a\x42\x62\xb5", b"other id"];

/// A datagram, and which way it goes.
fn datagram(decisions: &mut Decisions<'_>) -> (Direction, Vec<u8>) {
    let dir = decisions.direction();
    let how = decisions.byte();
    if how & 3 == 0 {
        return (dir, decisions.piece().to_vec());
    }
    let by = if dir == Direction::ToServer { By::Client } else { By::Server };
    let origin = ORIGINS[usize::from(how >> 2) % ORIGINS.len()];
    let head = Head {
        version: if how & 0x80 == 0 { V1 } else { V2 },
        destination: origin,
        source: ORIGINS[1],
        token: b"",
    };
    let offset = if how & 3 == 2 { decisions.word() as usize % 5_000 } else { 0 };
    let piece = decisions.piece();
    let mut frames = if how & 3 == 1 { piece.to_vec() } else { crypto(offset, piece) };
    frames.resize(frames.len().max(40), 0);
    (dir, initial(&head, origin, by, u32::from(how), &frames))
}

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let flags = decisions.byte();
    let ports = [40_000, if flags & 1 == 0 { 443 } else { 8_443 }];
    let mut stream = Stream::outer(Transport::Udp, true, ports);
    let (mut asked, mut answered, mut swapped) = (0, 0, false);
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
            Output::Fact(_, Fact::Tls(tls)) => {
                assert!(tls.sni.is_none_or(|name| (1..=253).contains(&name.len())));
                asked += 1;
            }
            Output::Fact(_, Fact::TlsAnswer(_)) => answered += 1,
            Output::Swap => swapped = true,
            other => panic!("{other:?}"),
        });
        if step != Step::Continue {
            break;
        }
    }
    assert!(asked <= 6 && answered <= 1, "told once for each attempt");
});
