//! Live capture without an interface: scripted sources.

use super::*;

use std::sync::atomic::AtomicU64;

use crate::detect::panel::Ruleset;
use crate::engine::settings::Settings;
use crate::model::packet::{LinkType, RawPacket};
use crate::model::stamp::Stamp;
use crate::source::{Pull, SourceError};

/// What a source does next.
enum Step {
    Packet(Vec<u8>),
    /// So many quiet moments; then the next step.
    Idle(u32),
    Fail,
    /// What it says after that.
    End,
}

struct Script {
    name: String,
    index: u16,
    steps: Vec<Step>,
    /// Of the first packet. Live packets are of now; flows of another time would be idle.
    start: Timestamp,
    at: usize,
    quiet: u32,
    buffer: Vec<u8>,
    drops: u64,
}

fn script(index: u16, steps: Vec<Step>) -> Script {
    Script {
        name: format!("eth{index}"),
        index,
        steps,
        start: clock(),
        at: 0,
        quiet: 0,
        buffer: Vec::new(),
        drops: 0,
    }
}

impl Source for Script {
    fn pull(&mut self) -> Pull<'_> {
        let at = self.at;
        self.at += 1;
        match self.steps.get(at) {
            Some(Step::Packet(data)) => {
                self.buffer.clone_from(data);
                Pull::Packet(RawPacket {
                    at: Stamp {
                        time: self.start.plus_nanos(at as i64 * 1_000),
                        source: self.index,
                        packet: 0,
                    },
                    link: LinkType::RawIp,
                    data: &self.buffer,
                    wire_len: self.buffer.len() as u32,
                })
            }
            Some(Step::Idle(moments)) => {
                if self.quiet < *moments {
                    (self.quiet, self.at) = (self.quiet + 1, at);
                } else {
                    self.quiet = 0;
                }
                thread::sleep(Duration::from_millis(1));
                Pull::Idle
            }
            Some(Step::Fail) => Pull::Failed(SourceError::Unreadable {
                name: self.name.clone(),
                what: "it is gone".to_owned(),
                cure: "bring it back".to_owned(),
            }),
            Some(Step::End) => Pull::End,
            // A wire that stays quiet.
            None => {
                thread::sleep(Duration::from_millis(1));
                Pull::Idle
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn kernel_drops(&mut self) -> u64 {
        self.drops
    }

    fn revive(&mut self) -> bool {
        true
    }
}

/// One IPv4 UDP datagram; the port makes the flow.
fn datagram(port: u16) -> Vec<u8> {
    let payload = b"nothing of interest";
    let len = 28 + payload.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(port.to_be_bytes());
    packet.extend(9_999_u16.to_be_bytes());
    packet.extend((len - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

fn shared() -> Arc<Shared> {
    let settings = Settings {
        eager: true,
        forgets: true,
        fence: false,
        ..Settings::default()
    };
    let rules = Ruleset {
        signatures: Arc::new(crate::detect::signature::Signatures::builtin()),
        policy: Arc::default(),
        fingerprints: crate::detect::fingerprint::Fingerprints::random(),
    };
    Arc::new(Shared::new(settings, rules))
}

fn boxed(script: Script) -> Box<dyn Source> {
    Box::new(script)
}

/// Interfaces with one handle each.
fn start(sources: Vec<Script>, workers: usize, config: &Config) -> Live {
    let sources = sources.into_iter().map(|source| vec![boxed(source)]).collect();
    Live::start(&shared(), sources, workers, config).unwrap()
}

/// Hears until something is so, for a while.
fn until(live: &mut Live, so: impl Fn(&Live) -> bool) -> Vec<String> {
    let deadline = now() + Duration::from_secs(20);
    let mut told = Vec::new();
    while !so(live) {
        assert!(now() < deadline, "{:?}", live.capture());
        told.extend(live.hear());
        thread::sleep(Duration::from_millis(1));
    }
    told
}

#[test]
fn every_packet_arrives_whatever_the_number_of_workers() {
    for workers in [1, 3] {
        let begun = clock();
        let flow = |first: u16| -> Vec<Step> {
            let ports = (0..2_000_u16).map(|nth| Step::Packet(datagram(first + nth % 500)));
            ports.collect()
        };
        let config = Config {
            queue_max_batches: 10_000,
            batch_max_bytes: 1_000,
            ..Config::default()
        };
        let mut live = start(vec![script(0, flow(1_000)), script(1, flow(1_250))], workers, &config);
        until(&mut live, |live| {
            live.capture().counters.packets == 4_000 && live.handles().all(|handle| handle.seen.is_some())
        });
        assert_eq!(live.stop(), Vec::<String>::new());
        let capture = live.capture();
        let bytes = datagram(1).len() as u64;
        let counters = capture.counters;
        assert_eq!(
            (counters.packets, counters.bytes, counters.flows),
            (4_000, 4_000 * bytes, 750)
        );
        assert_eq!(counters.lost, crate::model::counters::Lost::default());
        assert_eq!(capture.sources, ["eth0", "eth1"]);
        let (first, last) = capture.seen.unwrap();
        assert!(first >= begun && last.since(first) >= 1_999_000, "{first} {last}");
        assert!(!live.has_failed());
    }
}

/// Both fragments of a datagram of [`datagram`], the last one first; the identification is the port.
fn in_two(port: u16) -> [Vec<u8>; 2] {
    let whole = datagram(port);
    let (header, payload) = whole.split_at(20);
    [(24, 0_u16), (0, 0x2000)].map(|(from, more)| {
        let data = if more == 0 { &payload[from..] } else { &payload[..24] };
        let mut packet = header.to_vec();
        packet[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&port.to_be_bytes());
        packet[6..8].copy_from_slice(&(more | (from as u16 / 8)).to_be_bytes());
        packet.extend(data);
        packet
    })
}

/// Fragments have no ports: they are put together before they are steered, and counted once.
#[test]
fn fragments_meet_whatever_the_number_of_workers() {
    for workers in [1, 3] {
        let whole = (0..300_u16).flat_map(|nth| in_two(1_000 + nth));
        // The rest of the last one never comes.
        let steps = whole.chain(in_two(9).into_iter().take(1)).map(Step::Packet).collect();
        let config = Config {
            queue_max_batches: 10_000,
            ..Config::default()
        };
        let mut live = start(vec![script(0, steps)], workers, &config);
        until(&mut live, |live| live.capture().counters.packets == 601);
        assert_eq!(live.stop(), Vec::<String>::new());
        let counters = live.capture().counters;
        let bytes = 300 * (datagram(1).len() as u64 + 20) + in_two(9)[0].len() as u64;
        assert_eq!((counters.packets, counters.bytes, counters.flows), (601, bytes, 300));
        assert_eq!(counters.lost.orphan_fragments, 1, "{workers}");
        assert_eq!(counters.lost.undecodable_packets, 0, "{workers}");
    }
}

#[test]
fn a_quiet_wire_hands_over_what_it_has() {
    let steps = vec![Step::Packet(datagram(1)), Step::Idle(2)];
    let mut live = start(vec![script(0, steps)], 1, &Config::default());
    until(&mut live, |live| live.capture().counters.packets == 1);
    assert!(live.has_worked() && !live.has_ended());
    assert_eq!(live.stop(), Vec::<String>::new());
}

/// The same in a tunnel (RFC 2003), between ends of another worker's choice.
fn tunnelled(port: u16, end: u8) -> Vec<u8> {
    let inner = datagram(port);
    let mut packet = vec![0x45, 0];
    packet.extend((20 + inner.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 4, 0, 0, 192, 0, 2, end, 192, 0, 2, 1]);
    packet.extend(inner);
    packet
}

/// What the kernel gives to a worker stays there, and what is in a tunnel meets its other half.
#[test]
fn flows_stay_where_the_kernel_puts_them_but_for_tunnels() {
    let workers = 3;
    let steps = |nth: u8| -> Vec<Step> {
        // Flows of its own, and the same ones within tunnels as everybody.
        let own = (0..100).map(|port| datagram(1_000 * (1 + u16::from(nth)) + port));
        let common = (0..100).map(|port| tunnelled(9_000 + port, nth));
        own.chain(common).map(Step::Packet).collect()
    };
    let handles = (0..3).map(|nth| boxed(script(0, steps(nth)))).collect();
    let config = Config {
        queue_max_batches: 10_000,
        batch_max_bytes: 1_000,
        ..Config::default()
    };
    let mut live = Live::start(&shared(), vec![handles], workers, &config).unwrap();
    until(&mut live, |live| live.capture().counters.packets == 600);
    assert_eq!(live.stop(), Vec::<String>::new());
    let capture = live.capture();
    assert_eq!((capture.counters.packets, capture.counters.flows), (600, 300 + 100));
    assert_eq!(capture.counters.lost, crate::model::counters::Lost::default());
    assert_eq!(capture.sources, ["eth0"]);
}

/// A worker that does not come is a queue that fills up: nobody waits, and every packet is in one place or the other.
#[test]
fn a_full_queue_drops_and_counts() {
    let config = Config {
        batch_max_bytes: 10 * datagram(1).len(),
        queue_max_batches: 2,
        ..Config::default()
    };
    let mut lanes = lanes::between(2, &config);
    let (other, mut own) = (lanes.pop().unwrap(), lanes.pop().unwrap());
    let data = datagram(1);
    let raw = RawPacket {
        at: Stamp::default(),
        link: LinkType::RawIp,
        data: &data,
        wire_len: data.len() as u32,
    };
    (0..100).for_each(|_| own.push(1, &raw, None));
    own.flush();
    assert_eq!(own.dropped, 80);
    // Nothing is captured any more: what is left waits for room.
    (0..25).for_each(|_| own.push(1, &raw, None));
    let received = AtomicU64::new(0);
    let take = || {
        while let Ok(parcel) = other.receive() {
            received.fetch_add(parcel.batch.len() as u64, Ordering::Relaxed);
            other.give_back(parcel.from, parcel.batch);
        }
    };
    own.finish(&mut |_| take());
    take();
    assert_eq!(received.into_inner() + own.dropped, 125);
    assert!(other.wait(Duration::ZERO).is_err() && !own.orphaned);
}

#[test]
fn a_worker_that_has_gone_is_told() {
    let mut lanes = lanes::between(2, &Config::default());
    drop(lanes.pop());
    let mut own = lanes.pop().unwrap();
    let data = datagram(1);
    let raw = RawPacket {
        at: Stamp::default(),
        link: LinkType::RawIp,
        data: &data,
        wire_len: data.len() as u32,
    };
    own.push(1, &raw, None);
    own.finish(&mut |_| panic!("there is nobody to wait for"));
    assert!(own.orphaned && own.dropped == 1);
}

/// A bug outside of every fence ends one worker; the others go on, and it is told.
#[test]
fn a_worker_that_panics_is_told() {
    struct Broken;
    impl Source for Broken {
        fn pull(&mut self) -> Pull<'_> {
            panic!("as the test wants")
        }
        fn name(&self) -> &'static str {
            "broken"
        }
    }
    let steps = vec![Step::Idle(5), Step::Packet(datagram(1)), Step::Idle(2)];
    let sources: Vec<Handles> = vec![vec![Box::new(Broken)], vec![boxed(script(1, steps))]];
    let config = Config {
        shutdown_grace_ms: 20_000,
        ..Config::default()
    };
    let mut live = Live::start(&shared(), sources, 2, &config).unwrap();
    let told = until(&mut live, Live::has_failed);
    let told = [told, live.hear(), live.stop()].concat();
    assert!(
        told.iter().any(|line| line.starts_with("a worker ended in a bug")),
        "{told:?}"
    );
}

#[test]
fn one_source_fails_and_the_other_goes_on() {
    let broken = script(0, vec![Step::Fail, Step::End]);
    let steps = vec![Step::Idle(5), Step::Packet(datagram(1)), Step::Idle(2)];
    let mut live = start(vec![broken, script(1, steps)], 2, &Config::default());
    let told = until(&mut live, |live| live.capture().counters.packets == 1);
    assert_eq!(told, ["eth0: it is gone; bring it back"]);
    assert!(live.has_worked() && live.has_failed() && !live.has_ended());
    assert_eq!(live.stop(), Vec::<String>::new());

    let mut live = start(vec![script(0, vec![Step::Fail, Step::End])], 1, &Config::default());
    until(&mut live, Live::has_ended);
    assert!(!live.has_worked());
}

#[test]
fn an_interface_that_is_back_goes_on() {
    let steps = vec![
        Step::Packet(datagram(1)),
        Step::Fail,
        Step::Idle(1_200),
        Step::Packet(datagram(2)),
    ];
    let mut live = start(vec![script(0, steps)], 1, &Config::default());
    let told = until(&mut live, |live| live.capture().counters.packets == 2);
    assert_eq!(told, ["eth0: it is gone; bring it back", "eth0: is back"]);
    assert!(live.has_failed() && !live.has_ended());
    assert_eq!(live.stop(), Vec::<String>::new());
}
