//! A TLS 1.3 connection whose secrets are known: records that open and records that do not, in any pieces and with any
//! losses. And the key log itself, which may hold anything.
#![no_main]

#[path = "../../it/tls_peer.rs"]
mod tls_peer;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::Direction::{ToClient, ToServer};
use shadowtap::model::net::Transport;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Env, Output, Step};
use shadowtap::stream::secrets::{Config, Keys, Lines, Secrets};
use shadowtap_fuzz::{Decisions, settings};

/// Small bounds, so that a short input reaches them.
const CONFIG: Config = Config {
    keylog: Vec::new(),
    max_connections: 4,
    pending_max_bytes: 8 << 10,
    pending_total_max_bytes: 16 << 10,
};

fn key_log(decisions: &mut Decisions<'_>) {
    let secrets = Secrets::new(CONFIG.max_connections, false);
    let mut lines = Lines::default();
    while decisions.more() {
        lines.push(decisions.piece(), &secrets);
    }
    lines.end(&secrets);
    assert!(secrets.len() <= CONFIG.max_connections, "the bound is kept");
}

struct Flow {
    env: Env,
    stream: Stream,
    over: bool,
}

impl Flow {
    fn push(&mut self, decisions: &mut Decisions<'_>, dir: shadowtap::model::net::Direction, data: Data<'_>) {
        if self.over || data == Data::Bytes(&[]) {
            return;
        }
        let chunk = Chunk {
            at: decisions.stamp(),
            dir,
            lane: 0,
            data,
        };
        let step = self.stream.push(chunk, &self.env, &mut look);
        assert_ne!(step, Step::Desync, "out of step means unknown again");
        self.over = step != Step::Continue;
    }
}

/// Everything that is given can be looked at.
fn look(output: Output<'_>) {
    std::hint::black_box(format!("{output:?}"));
}

fn connection(decisions: &mut Decisions<'_>) {
    let late = decisions.byte() & 1 == 0;
    let secrets = Arc::new(Secrets::new(CONFIG.max_connections, late));
    let log = tls_peer::keylog();
    if !late {
        secrets.read(log.as_bytes());
    }
    let mut env = settings().env;
    env.keys = Some(Keys::new(&secrets, &CONFIG, 1));
    let stream = Stream::outer(Transport::Tcp, true, [40_000, 443]);
    let mut flow = Flow { env, stream, over: false };
    let ([hello, answer, end], [mut client, mut server]) = tls_peer::handshake();
    for (dir, bytes) in [(ToServer, hello), (ToClient, answer), (ToServer, end)] {
        flow.push(decisions, dir, Data::Bytes(&bytes));
    }
    while decisions.more() {
        let dir = decisions.direction();
        let keys = if dir == ToServer { &mut client } else { &mut server };
        let record = match decisions.byte() % 8 {
            0 => {
                let lost = u64::from(decisions.word()).max(1);
                flow.push(decisions, dir, Data::Gap(lost));
                continue;
            }
            1 => decisions.piece().to_vec(),
            2 => keys.update(),
            3 => {
                secrets.read(log.as_bytes());
                continue;
            }
            kind => {
                let content = decisions.piece();
                let padding = decisions.below(200);
                keys.record(19 + kind.min(5), content, padding)
            }
        };
        let (one, two) = record.split_at(decisions.below(record.len()));
        flow.push(decisions, dir, Data::Bytes(one));
        flow.push(decisions, dir, Data::Bytes(two));
    }
    if !flow.over {
        flow.stream.finish(&flow.env, &mut look);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    if decisions.byte() & 7 == 0 {
        key_log(&mut decisions);
    } else {
        connection(&mut decisions);
    }
});
