//! What an event costs from the queue to the acknowledged batch: CPU of this process, all threads, outbox included.
//!
//! Into the embedded store, into the outbox alone, and into a real ClickHouse engine (`clickhouse-front.py`; its own CPU is
//! not counted). Without a Python that has `chdb` (`SHADOWTAP_TEST_PYTHON`, else `target/venv`) the last is left out.

#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use shadowtap::model::event::Event;
use shadowtap::model::server::Lookup;
use shadowtap::model::stamp::{Span, Stamp, Timestamp};
use shadowtap::sink::SinkError;
use shadowtap::sink::outbox::{self, Outbox};
use shadowtap::sink::remote::{Batch, Deliver, Origin, Remote};
use shadowtap::sink::runner::{Config, Pressure, Runner, Tally};
use shadowtap::store::clickhouse::{self, Address, Layout, Retention, Server};
use shadowtap::store::sqlite::Writer;

const EVENTS: u32 = 400_000;
const GRACE: Duration = Duration::from_secs(600);

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    println!("{:24} {:>10} {:>12} {:>12}", "into", "events", "CPU us/event", "wall s");
    measure("embedded store", EVENTS / 4, || {
        let writer = Writer::open(&folder.path().join("store.db"), "bench").expect("a store");
        Runner::start(Box::new(writer), Config::default(), Pressure::Wait).expect("a thread")
    });
    let nowhere = Address::parse("http://127.0.0.1:1").expect("an address");
    measure("outbox alone", EVENTS, || {
        far(&folder.path().join("none"), nowhere, true)
    });
    match engine(&folder.path().join("data")) {
        Ok((mut child, address)) => {
            measure("ClickHouse", EVENTS, || {
                far(&folder.path().join("spool"), address, false)
            });
            let _ = child.kill();
            let _ = child.wait();
        }
        Err(why) => println!("ClickHouse: left out: {why}"),
    }
}

/// Takes everything and keeps nothing.
struct Nothing;

impl Deliver for Nothing {
    fn deliver(&mut self, _batch: &Batch) -> Result<(), SinkError> {
        Ok(())
    }
}

fn far(spool: &Path, address: Address, alone: bool) -> Runner {
    let origin = Origin {
        sensor: "bench".into(),
        run: "bench".into(),
        began: now(),
    };
    let server = Server {
        address,
        tls: None,
        user: "default".to_owned(),
        password: None,
        timeout_ms: 60_000,
        layout: Layout {
            database: "bench".to_owned(),
            cluster: None,
            retention: Retention::default(),
        },
        migrate: true,
    };
    let mut remote: Remote = clickhouse::remote(server, &origin, now).expect("a runtime");
    if alone {
        remote.deliver = Box::new(Nothing);
    }
    let (outbox, _) = Outbox::open(spool, "clickhouse", outbox::Config::default(), now()).expect("an outbox");
    let config = Config {
        batch_max_events: 5_000,
        ..Config::default()
    };
    Runner::remote(remote, outbox, &origin, config, Pressure::Wait).expect("threads")
}

fn measure(name: &str, count: u32, start: impl FnOnce() -> Runner) {
    let events: Vec<Event> = (0..count).map(event).collect();
    let runner = start();
    let (cpu, begun) = (cpu(), Instant::now());
    for event in events {
        runner.send(event);
    }
    let tally: Tally = runner.close(GRACE);
    assert!(tally.lost() == 0 && tally.waiting == 0, "{tally:?}");
    let micros = (self::cpu() - cpu) * 1e6 / f64::from(count);
    println!(
        "{name:24} {count:10} {micros:12.2} {:12.2}",
        begun.elapsed().as_secs_f64()
    );
}

fn event(number: u32) -> Event {
    let seen = Stamp {
        time: Timestamp::from_parts(1_795_000_000 + i64::from(number / 1_000), i64::from(number)),
        source: 0,
        packet: number.into(),
    };
    Event::Lookup(Box::new(Lookup {
        name: format!("mcp-{}.example.test", number % 50_000),
        kind: Some("AAAA".to_owned()),
        signature: "smithery".into(),
        category: "registry",
        via: "dns",
        client: Ipv4Addr::from_bits(0x0a00_0000 + number / 50_000).into(),
        connected: None,
        count: 1,
        seen: Span {
            first: seen,
            last: seen,
        },
    }))
}

/// The engine and its address.
fn engine(data: &Path) -> Result<(std::process::Child, Address), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::var_os("SHADOWTAP_TEST_PYTHON").map(PathBuf::from);
    let mut child = Command::new(given.unwrap_or_else(|| root.join("target/venv/bin/python")))
        .arg(root.join("tests/interop/clickhouse-front.py"))
        .args(["--port", "0", "--leash", "--path"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut line = String::new();
    let _ = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
    let address = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let address = Address::parse(&address).map_err(|_| format!("the engine said {line:?}"))?;
    Ok((child, address))
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("own usage");
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum()
}

fn now() -> Timestamp {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}
