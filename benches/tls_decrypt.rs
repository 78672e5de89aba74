//! Opening of TLS 1.3 with AES-128-GCM through its layer: plaintext per second and core, in segments of an Ethernet and in
//! larger ones, for records of the longest length and for short ones.

#[path = "../tests/it/tls_peer.rs"]
mod tls_peer;

use std::hint::black_box;
use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, main as run};
use shadowtap::engine::settings::Settings;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::Direction::{self, ToClient, ToServer};
use shadowtap::model::net::Transport;
use shadowtap::model::stamp::Stamp;
use shadowtap::proto::tls;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Layer, Probe, Protocol, Step, Up};
use shadowtap::stream::secrets::{Keys, Secrets};
use tls_peer::{APPLICATION_DATA, handshake, keylog};

/// Plaintext of one connection, in bytes.
const PLAIN_BYTES: usize = 4 << 20;

/// Takes what is inside, and looks at none of it.
struct Sink;

impl Layer for Sink {
    fn push(&mut self, chunk: Chunk<'_>, _: &mut Up<'_>) -> Step {
        black_box(&chunk);
        Step::Continue
    }
}

const ROWS: &[Protocol] = &[
    tls::PROTOCOL,
    Protocol {
        name: "sink",
        transport: Transport::Tcp,
        probe: |_| Probe::Yes { server: None },
        open: |_| Box::new(Sink),
    },
];

fn main() {
    run();
}

#[divan::bench(args = [(1_460, 16_384), (65_536, 16_384), (1_460, 1_024)])]
fn aes_128_gcm(bencher: Bencher<'_, '_>, (segment, record): (usize, usize)) {
    let ([hello, answer, end], [_, mut server]) = handshake();
    // What follows is under keys of a later generation, which costs nothing.
    let updated = server.update();
    let plain = vec![b'x'; PLAIN_BYTES];
    let sealed: Vec<u8> = plain
        .chunks(record)
        .flat_map(|content| server.record(APPLICATION_DATA, content, 0))
        .collect();
    let mut talk: Vec<(Direction, &[u8])> = vec![
        (ToServer, &hello),
        (ToClient, &answer),
        (ToServer, &end),
        (ToClient, &updated),
    ];
    talk.extend(sealed.chunks(segment).map(|piece| (ToClient, piece)));
    let secrets = Arc::new(Secrets::new(10, false));
    secrets.read(keylog().as_bytes());
    let settings = Settings::default();
    let mut env = settings.env;
    (env.keys, env.protocols) = (Some(Keys::new(&secrets, &settings.tls, 1)), ROWS);
    bencher.counter(BytesCount::new(PLAIN_BYTES)).bench_local(|| {
        let mut stream = Stream::outer(Transport::Tcp, true, [40_000, 443]);
        for (dir, bytes) in &talk {
            let chunk = Chunk {
                at: Stamp::default(),
                dir: *dir,
                lane: 0,
                data: Data::Bytes(bytes),
            };
            let step = stream.push(chunk, &env, &mut |output| {
                black_box(&output);
            });
            assert_eq!(step, Step::Continue);
        }
    });
}
