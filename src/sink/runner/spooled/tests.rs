//! A sink that is far away and follows a script: nothing is lost or doubled but where a bound says so.

use std::sync::mpsc::{Sender, channel};

use super::*;

use crate::model::stamp::Timestamp;
use crate::sink::outbox;
use crate::sink::remote::{Batch, Origin, Part, Remote};
use crate::sink::runner::{Pressure, Runner, Tally};
use crate::store::fixture;

const GRACE: Duration = Duration::from_secs(20);

/// Lines of debug texts; findings alone where asked for.
struct Lines {
    findings_only: bool,
}

impl Seal for Lines {
    fn seal(&mut self, events: &[Event]) -> Option<Part> {
        let wanted = |event: &&Event| !self.findings_only || Class::of(event) == Class::Finding;
        let lines: Vec<String> = events
            .iter()
            .filter(wanted)
            .map(|event| format!("{event:?}\n"))
            .collect();
        (!lines.is_empty()).then(|| Part {
            rows: lines.len() as u64,
            bytes: lines.concat().into_bytes(),
        })
    }
}

/// Answers by the script, then takes everything; tells the token and the lines of what it took.
struct Scripted {
    script: std::vec::IntoIter<Result<(), SinkError>>,
    told: Sender<(String, Vec<String>)>,
    gate: Option<Receiver<()>>,
}

impl Deliver for Scripted {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        let answer = self.script.next().unwrap_or(Ok(()));
        if answer.is_ok() {
            let text: Vec<u8> = batch.parts.iter().flat_map(|part| part.bytes.clone()).collect();
            let lines: Vec<String> = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
            assert_eq!(lines.len() as u64, batch.rows());
            let _ = self.told.send((batch.token.clone(), lines));
        }
        answer
    }
}

fn config() -> Config {
    Config {
        queue_max_events: 64,
        batch_max_events: 4,
        batch_wait_ms: 10,
        retry_first_ms: 1,
        retry_max_ms: 4,
        ..Config::default()
    }
}

struct Sink {
    script: Vec<Result<(), SinkError>>,
    gate: Option<Receiver<()>>,
    findings_only: bool,
}

impl Sink {
    fn following(script: Vec<Result<(), SinkError>>) -> Self {
        Self {
            script,
            gate: None,
            findings_only: false,
        }
    }

    fn start(self, outbox: Outbox) -> (Runner, Receiver<(String, Vec<String>)>) {
        let (told, hear) = channel();
        let origin = Origin {
            sensor: "s".into(),
            run: "r".into(),
            began: Timestamp::from_nanos(0xabc_000),
        };
        let remote = Remote {
            name: "far".into(),
            seal: Box::new(Lines {
                findings_only: self.findings_only,
            }),
            deliver: Box::new(Scripted {
                script: self.script.into_iter(),
                told,
                gate: self.gate,
            }),
        };
        (
            Runner::remote(remote, outbox, &origin, config(), Pressure::Wait).unwrap(),
            hear,
        )
    }
}

fn memory() -> Outbox {
    Outbox::in_memory(outbox::Config::default()).unwrap()
}

fn disk(folder: &tempfile::TempDir) -> Outbox {
    Outbox::open(folder.path(), "far", outbox::Config::default(), wall())
        .unwrap()
        .0
}

fn retry() -> Result<(), SinkError> {
    Err(SinkError::Retry("away".to_owned()))
}

/// Everything of the fixture, sorted, as lines.
fn all() -> Vec<String> {
    let mut all: Vec<String> = fixture::events(&fixture::view())
        .iter()
        .map(|event| format!("{event:?}"))
        .collect();
    all.sort();
    all
}

fn send_all(runner: &Runner) {
    for event in fixture::events(&fixture::view()) {
        assert!(runner.send(event));
    }
}

fn arrived(hear: &Receiver<(String, Vec<String>)>) -> Vec<String> {
    let mut lines: Vec<String> = hear.try_iter().flat_map(|(_, lines)| lines).collect();
    lines.sort();
    lines
}

fn fates(tally: &Tally) -> (u64, u64, u64) {
    (tally.delivered, tally.waiting, tally.lost())
}

#[test]
fn everything_arrives_once_however_often_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    for outbox in [memory(), disk(&folder)] {
        let (runner, hear) = Sink::following((0..5).map(|_| retry()).collect()).start(outbox);
        send_all(&runner);
        // The sink is back before closing begins: a pause is a few milliseconds.
        let (token, first) = hear.recv_timeout(GRACE).unwrap();
        assert!(token.starts_with("s-2bf7-"), "{token}");
        let tally = runner.close(GRACE);
        let mut lines = [first, arrived(&hear)].concat();
        lines.sort();
        assert_eq!(lines, all());
        assert_eq!(fates(&tally), (all().len() as u64, 0, 0));
        assert_eq!(
            (tally.retries, tally.failing, tally.last_error.as_deref()),
            (5, false, Some("away"))
        );
    }
}

#[test]
fn what_did_not_arrive_goes_with_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, hear) = Sink::following((0..10_000).map(|_| retry()).collect()).start(disk(&folder));
    send_all(&runner);
    let tally = runner.close(GRACE);
    assert_eq!(fates(&tally), (0, all().len() as u64, 0));
    assert!(tally.failing && arrived(&hear).is_empty());
    let (runner, hear) = Sink::following(Vec::new()).start(disk(&folder));
    assert_eq!(runner.close(GRACE).delivered, all().len() as u64);
    assert_eq!(arrived(&hear), all());
}

#[test]
fn a_sink_that_hangs_stops_neither_the_queue_nor_closing() {
    let folder = tempfile::tempdir().unwrap();
    let (open, gate) = channel();
    let hanging = Sink {
        gate: Some(gate),
        ..Sink::following(Vec::new())
    };
    let (runner, _hear) = hanging.start(disk(&folder));
    // Far more than the queue holds: the sealer goes on.
    (0..20).for_each(|_| send_all(&runner));
    let tally = runner.close(Duration::from_millis(200));
    assert_eq!((tally.delivered, tally.lost()), (0, 0), "{tally:?}");
    assert_eq!(tally.waiting, 20 * all().len() as u64);
    drop(open);
}

#[test]
fn what_is_refused_is_counted_and_the_rest_goes_on() {
    let (runner, hear) = Sink::following(vec![Err(SinkError::Reject("no".to_owned()))]).start(memory());
    send_all(&runner);
    let tally = runner.close(GRACE);
    let lines = arrived(&hear);
    assert!(tally.rejected > 0);
    assert_eq!(tally.rejected + lines.len() as u64, all().len() as u64);
    assert_eq!((tally.delivered, tally.waiting), (lines.len() as u64, 0));
}

#[test]
fn in_memory_what_never_arrived_is_counted() {
    let (runner, _hear) = Sink::following((0..1_000_000).map(|_| retry()).collect()).start(memory());
    send_all(&runner);
    let tally = runner.close(Duration::from_millis(50));
    assert_eq!((tally.delivered, tally.undelivered), (0, all().len() as u64));
}

#[test]
fn what_is_of_no_interest_is_neither_sent_nor_missed() {
    let picky = Sink {
        findings_only: true,
        ..Sink::following(Vec::new())
    };
    let (runner, hear) = picky.start(memory());
    send_all(&runner);
    let tally = runner.close(GRACE);
    assert_eq!(tally.offered, all().len() as u64);
    assert_eq!(fates(&tally), (3, 0, 0));
    assert!(arrived(&hear).iter().all(|line| line.starts_with("Finding(")));
}

/// Names the folder to the process that is to be killed.
const VICTIM: &str = "SHADOWTAP_TEST_SPOOL";

/// An event that is told apart from every other.
fn numbered(number: u64) -> Event {
    let mut lookup = fixture::view().lookups.remove(0);
    lookup.count = number;
    Event::Lookup(Box::new(lookup))
}

/// Sends without an end to a sink that is away, and says how many are on disk.
fn be_killed(outbox: Outbox) {
    let away = (0..1_000_000).map(|_| retry()).collect();
    let (runner, _hear) = Sink::following(away).start(outbox);
    for sent in 1.. {
        runner.send(numbered(sent));
        println!("\nflushed {}", runner.tally().waiting);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The test is its own victim: it runs itself in a process that it kills.
#[test]
fn a_killed_sensor_loses_at_most_what_was_not_flushed() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    // What has not yet been flushed is of the last second.
    assert!(Config::default().batch_wait_ms <= 1_000);
    if let Some(folder) = std::env::var_os(VICTIM) {
        let folder = std::path::PathBuf::from(folder);
        be_killed(
            Outbox::open(&folder, "far", outbox::Config::default(), wall())
                .unwrap()
                .0,
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "sink::runner::spooled::tests::a_killed_sensor_loses_at_most_what_was_not_flushed";
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(VICTIM, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let flushed = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("flushed ")?.parse::<u64>().ok())
        .find(|flushed| *flushed >= 200)
        .unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let (runner, hear) = Sink::following(Vec::new()).start(disk(&folder));
    let tally = runner.close(GRACE);
    let arrived: Vec<String> = hear.try_iter().flat_map(|(_, lines)| lines).collect();
    assert!(tally.delivered >= flushed, "{tally:?}, {flushed} were on disk");
    // Nothing is missing in between, and the order is that in which they were sent.
    let expect: Vec<String> = (1..=tally.delivered)
        .map(|number| format!("{:?}", numbered(number)))
        .collect();
    assert_eq!(arrived, expect);
}

#[test]
fn a_full_disk_is_told_and_what_has_no_room_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = disk(&folder);
    outbox.fill_disk();
    let (runner, hear) = Sink::following((0..20).map(|_| retry()).collect()).start(outbox);
    for number in 1..=2_000 {
        assert!(runner.send(numbered(number)), "nobody waits for a disk");
    }
    let tally = runner.close(GRACE);
    let told = tally.spool_error.clone().unwrap_or_default();
    assert!(tally.evicted > 0, "{tally:?}");
    assert!(told.contains("full"), "{told}");
    let arrived = hear.try_iter().flat_map(|(_, lines)| lines).count() as u64;
    assert_eq!(tally.evicted + tally.delivered + tally.waiting, 2_000, "{tally:?}");
    assert_eq!(arrived, tally.delivered);
}
