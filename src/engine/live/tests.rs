//! Live capture without an interface: scripted sources.

use super::*;

use std::sync::mpsc::Sender;

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
        start: capture::clock(),
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

fn start(sources: Vec<Script>, workers: usize, config: &Config) -> Live {
    let sources = sources
        .into_iter()
        .map(|source| Box::new(source) as Box<dyn Source>)
        .collect();
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
        let begun = capture::clock();
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
            live.capture().counters.packets == 4_000 && live.sources.iter().all(|source| source.seen.is_some())
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

/// A worker that does not come is a queue that fills up: nobody waits, and every packet is in one place or the other.
#[test]
fn a_full_queue_drops_and_counts() {
    let (queue, messages) = sync_channel(2);
    let (_home, returned) = channel();
    let (tell, news): (Sender<News>, _) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let config = Config {
        batch_max_bytes: 10 * datagram(1).len(),
        ..Config::default()
    };
    let mut steps: Vec<Step> = (0..100).map(|_| Step::Packet(datagram(1))).collect();
    steps.push(Step::Fail);
    let source = Box::new(Script {
        drops: 7,
        ..script(0, steps)
    });
    let tap = Tap::new(
        0,
        source,
        vec![Lane::new(queue)],
        returned,
        &shared(),
        &config,
        (&stop, &tell),
    );
    let thread = thread::spawn(move || tap.run());
    let mut state = Tapped::default();
    let mut failed = false;
    // The last batch waits for room, because nothing is captured any more: there is none until something is taken.
    while !failed {
        failed = matches!(news.recv().unwrap(), News::Failed { .. });
    }
    let mut received = 0;
    for message in messages {
        if let Message::Batch(0, batch) = message {
            received += batch.len() as u64;
        }
    }
    thread.join().unwrap();
    while let Ok(news) = news.try_recv() {
        if let News::Source { state: last, .. } = news {
            state = last;
        }
    }
    assert_eq!(received + state.queue_drops, 100);
    assert!(received <= 30, "{received}");
    assert!(state.ended && state.kernel_drops == 7);
}

#[test]
fn without_a_worker_there_is_nothing_to_do() {
    let (queue, messages) = sync_channel(2);
    drop(messages);
    let (_home, returned) = channel();
    let (tell, news) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let source = Box::new(script(0, vec![Step::Packet(datagram(1))]));
    let lanes = vec![Lane::new(queue)];
    Tap::new(
        0,
        source,
        lanes,
        returned,
        &shared(),
        &Config::default(),
        (&stop, &tell),
    )
    .run();
    let told: Vec<News> = news.try_iter().collect();
    assert!(told.iter().any(|news| matches!(news, News::Failed { .. })));
    assert!(matches!(told.last(), Some(News::Source { state, .. }) if state.queue_drops == 1 && state.ended));
}

#[test]
fn one_source_fails_and_the_other_goes_on() {
    let broken = script(0, vec![Step::Fail]);
    let steps = vec![Step::Idle(5), Step::Packet(datagram(1)), Step::Idle(2)];
    let mut live = start(vec![broken, script(1, steps)], 2, &Config::default());
    let told = until(&mut live, |live| live.capture().counters.packets == 1);
    assert_eq!(told, ["eth0: it is gone; bring it back"]);
    assert!(live.has_worked() && live.has_failed() && !live.has_ended());
    assert_eq!(live.stop(), Vec::<String>::new());

    let mut live = start(vec![script(0, vec![Step::Fail])], 1, &Config::default());
    until(&mut live, Live::has_ended);
    assert!(!live.has_worked());
}
