//! One protocol, or the whole table, over any chunks: bytes, gaps and ends in both directions.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::Transport;
use shadowtap::proto::PROTOCOLS;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Layer, Output, Step, Up};
use shadowtap_fuzz::{Decisions, settings};

static ENV: LazyLock<Env> = LazyLock::new(|| settings().env);

/// What is under test: one layer without identification, or a stream that finds out.
enum Target {
    Layer(Box<dyn Layer>, Option<Box<Stream>>),
    Stream(Stream),
}

impl Target {
    fn new(decisions: &mut Decisions<'_>) -> Self {
        let index = decisions.below(PROTOCOLS.len() + 1);
        let flags = decisions.byte();
        match PROTOCOLS.get(index) {
            Some(row) if flags & 1 == 0 => Self::Layer((row.open)(&ENV), None),
            row => {
                let transport = row.map_or(Transport::Tcp, |row| row.transport);
                let ports = [[40_000, 53], [40_000, 8_000]][usize::from(flags >> 2 & 1)];
                Self::Stream(Stream::outer(transport, flags & 2 == 0, ports))
            }
        }
    }

    fn push(&mut self, chunk: Chunk<'_>) -> Step {
        let mut listener = |output: Output<'_>| {
            // Everything that is given can be looked at.
            std::hint::black_box(format!("{output:?}"));
        };
        match self {
            Self::Layer(layer, above) => layer.push(chunk, &mut Up::new(&ENV, &mut listener, above)),
            Self::Stream(stream) => {
                let step = stream.push(chunk, &ENV, &mut listener);
                assert_ne!(step, Step::Desync, "out of step means unknown again");
                step
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let mut target = Target::new(&mut decisions);
    let mut ended = [false; 2];
    while decisions.more() {
        let dir = decisions.direction();
        let data = match decisions.byte() {
            0 => Data::End,
            1..=4 => Data::Gap(u64::from(decisions.word()).max(1)),
            _ => Data::Bytes(decisions.piece()),
        };
        let ended = &mut ended[dir.index()];
        if *ended || data == Data::Bytes(&[]) {
            continue;
        }
        *ended = data == Data::End;
        let chunk = decisions.chunk(dir, data);
        if target.push(chunk) != Step::Continue {
            return;
        }
    }
});
