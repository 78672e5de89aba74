//! HTTP/2 over frames whose lengths are right, so that header blocks, padding, interleaving and gaps inside frames are
//! reached; `layer` feeds it bytes without any such help.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::Data;
use shadowtap::model::net::Direction;
use shadowtap::proto::http::HTTP_2;
use shadowtap::stream::layer::{Env, Output, Step, Up};
use shadowtap_fuzz::{Decisions, settings};

static ENV: LazyLock<Env> = LazyLock::new(|| settings().env);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of few streams; most types are those that carry something.
fn frame(decisions: &mut Decisions<'_>) -> Vec<u8> {
    let kind = [0, 0, 0, 1, 1, 1, 9, 5, 3, 4, 6, 8, 2, 7, 10][decisions.below(15)];
    let flags = decisions.byte();
    let stream = match kind {
        4 | 6 | 7 => 0,
        _ => decisions.below(8) as u32,
    };
    let payload = decisions.piece();
    let len = match kind {
        3 | 8 => 4,
        6 => 8,
        _ => payload.len(),
    };
    let mut payload = payload.to_vec();
    payload.resize(len, 0);
    [
        &(len as u32).to_be_bytes()[1..],
        &[kind, flags],
        &stream.to_be_bytes(),
        &payload,
    ]
    .concat()
}

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let mut layer = (HTTP_2.open)(&ENV);
    let mut above = None;
    let mut listener = |output: Output<'_>| {
        // Everything that is given can be looked at.
        std::hint::black_box(format!("{output:?}"));
    };
    let mut waiting = vec![(Direction::ToServer, PREFACE.to_vec())];
    loop {
        for (dir, bytes) in waiting.drain(..) {
            // A frame is cut in two, and the second part may be lost.
            let (one, two) = bytes.split_at(decisions.below(bytes.len() + 1));
            let two = if decisions.byte() < 8 {
                Data::Gap(two.len() as u64)
            } else {
                Data::Bytes(two)
            };
            for data in [Data::Bytes(one), two] {
                if matches!(data, Data::Bytes([]) | Data::Gap(0)) {
                    continue;
                }
                let chunk = decisions.chunk(dir, data);
                if layer.push(chunk, &mut Up::new(&ENV, &mut listener, &mut above)) != Step::Continue {
                    return;
                }
            }
        }
        if !decisions.more() {
            return;
        }
        waiting.push((decisions.direction(), frame(&mut decisions)));
    }
});
