//! Hellos by themselves, and whole connections of TLS and DTLS: what is told keeps its bounds.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::observation::Fact;
use shadowtap::proto::tls::hello::{ClientHello, ServerHello};
use shadowtap::proto::tls::ja4::Carrier;
use shadowtap::proto::tls::{PROTOCOL, dtls};
use shadowtap::stream::layer::{Env, Output, Step, Up};
use shadowtap_fuzz::{Decisions, settings};

static ENV: LazyLock<Env> = LazyLock::new(|| settings().env);

/// Longest host name in bytes.
const NAME_MAX_BYTES: usize = 253;

fn named(sni: Option<&str>) {
    let Some(name) = sni else { return };
    assert!((1..=NAME_MAX_BYTES).contains(&name.len()));
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
}

fn hellos(body: &[u8]) {
    if let Some(hello) = ClientHello::parse(body) {
        named(hello.sni.as_deref());
        let ja4 = hello.ja4(Carrier::Quic);
        assert_eq!(ja4.is_some(), hello.whole);
        assert!(ja4.is_none_or(|ja4| ja4.as_str().len() == 36 && ja4.as_str().starts_with('q')));
    }
    if let Some(hello) = ServerHello::parse(body) {
        std::hint::black_box(hello.fact());
    }
}

fn connection(decisions: &mut Decisions<'_>) {
    let row = if decisions.byte() & 1 == 0 { PROTOCOL } else { dtls::PROTOCOL };
    let (mut layer, mut above) = ((row.open)(&ENV), None);
    let (mut asked, mut answered) = (0, 0);
    while decisions.more() {
        let dir = decisions.direction();
        let data = match decisions.byte() {
            0 => Data::Gap(u64::from(decisions.word()).max(1)),
            _ => Data::Bytes(decisions.piece()),
        };
        if data == Data::Bytes(&[]) {
            continue;
        }
        let chunk = Chunk {
            at: decisions.stamp(),
            dir,
            lane: 0,
            data,
        };
        let mut listener = |output: Output<'_>| match output {
            Output::Fact(_, Fact::Tls(tls)) => {
                named(tls.sni);
                asked += 1;
            }
            Output::Fact(_, Fact::TlsAnswer(_)) => answered += 1,
            other => panic!("{other:?}"),
        };
        if layer.push(chunk, &mut Up::new(&ENV, &mut listener, &mut above)) != Step::Continue {
            break;
        }
    }
    assert!(asked <= 1 && answered <= 1, "told once");
}

fuzz_target!(|data: &[u8]| {
    hellos(data);
    connection(&mut Decisions::new(data));
});
