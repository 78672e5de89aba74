//! Sinks that follow a script: what a runner does with each answer.

use super::*;

use crate::sink::SinkError;
use crate::store::fixture;

/// A sink that does what its script says, then takes everything; it tells each batch's length.
struct Scripted {
    script: std::vec::IntoIter<Result<(), SinkError>>,
    told: Sender<usize>,
    gate: Option<Receiver<()>>,
}

impl Sink for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn write(&mut self, batch: &[Event]) -> Result<(), SinkError> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        let answer = self.script.next().unwrap_or(Ok(()));
        if answer.is_ok() {
            let _ = self.told.send(batch.len());
        }
        answer
    }
}

const GRACE: Duration = Duration::from_secs(2);
const SHORT: Duration = Duration::from_millis(30);

fn config() -> Config {
    Config {
        queue_max_events: 4,
        batch_max_events: 3,
        batch_wait_ms: 20,
        retry_first_ms: 1,
        retry_max_ms: 4,
        retry_grace_ms: 2_000,
    }
}

fn event() -> Event {
    fixture::events(&fixture::view()).remove(0)
}

fn sink(script: Vec<Result<(), SinkError>>, gate: Option<Receiver<()>>) -> (Box<Scripted>, Receiver<usize>) {
    let (told, hear) = channel();
    (
        Box::new(Scripted {
            script: script.into_iter(),
            told,
            gate,
        }),
        hear,
    )
}

fn retry() -> Result<(), SinkError> {
    Err(SinkError::Retry("away".to_owned()))
}

#[test]
fn a_replay_delivers_all_in_batches() {
    let (sink, hear) = sink(Vec::new(), None);
    let runner = Runner::start(sink, config(), Pressure::Wait).unwrap();
    (0..50).for_each(|_| assert!(runner.send(event())));
    let tally = runner.close(GRACE);
    assert_eq!(
        tally,
        Tally {
            name: "scripted".to_owned(),
            offered: 50,
            delivered: 50,
            ..Tally::default()
        }
    );
    let lengths: Vec<usize> = hear.iter().collect();
    assert_eq!(lengths.iter().sum::<usize>(), 50);
    assert!(lengths.iter().all(|length| *length <= 3));
}

#[test]
fn a_batch_that_is_not_full_goes_after_its_wait() {
    let (sink, hear) = sink(Vec::new(), None);
    let runner = Runner::start(sink, config(), Pressure::Shed).unwrap();
    runner.send(event());
    assert_eq!(hear.recv_timeout(Duration::from_secs(10)), Ok(1));
    assert_eq!(runner.close(GRACE).delivered, 1);
}

#[test]
fn a_full_queue_sheds_and_counts_when_live() {
    let (open, gate) = channel();
    let (sink, _hear) = sink(Vec::new(), Some(gate));
    let runner = Runner::start(sink, config(), Pressure::Shed).unwrap();
    (0..100).for_each(|_| {
        runner.send(event());
    });
    // Four in the queue and three in the batch at hand is the most that can be held.
    assert!(runner.tally().shed >= 93, "{:?}", runner.tally());
    drop(open);
    let tally = runner.close(GRACE);
    assert_eq!((tally.delivered + tally.shed, tally.undelivered), (100, 0));
}

#[test]
fn what_may_go_in_later_is_tried_again() {
    let (sink, hear) = sink(vec![retry(), retry(), retry()], None);
    let runner = Runner::start(sink, config(), Pressure::Wait).unwrap();
    runner.send(event());
    let tally = runner.close(GRACE);
    let expect = Tally {
        name: "scripted".to_owned(),
        offered: 1,
        delivered: 1,
        retries: 3,
        last_error: Some("away".to_owned()),
        ..Tally::default()
    };
    assert_eq!(tally, expect);
    assert_eq!(hear.iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn what_will_never_go_in_is_not_tried_again() {
    let (sink, hear) = sink(vec![Err(SinkError::Reject("no".to_owned()))], None);
    let runner = Runner::start(
        sink,
        Config {
            batch_max_events: 1,
            ..config()
        },
        Pressure::Wait,
    )
    .unwrap();
    (0..3).for_each(|_| {
        runner.send(event());
    });
    let tally = runner.close(GRACE);
    assert_eq!((tally.delivered, tally.rejected, tally.retries), (2, 1, 0));
    assert_eq!(tally.last_error.as_deref(), Some("no"));
    assert_eq!(hear.iter().count(), 2);
}

#[test]
fn a_sink_that_stays_away_is_given_up_within_its_grace() {
    let away = || (0..10_000).map(|_| retry()).collect();
    let (sink, _hear) = sink(away(), None);
    let short = Config {
        retry_grace_ms: 30,
        batch_max_events: 1,
        ..config()
    };
    let runner = Runner::start(sink, short, Pressure::Wait).unwrap();
    (0..2).for_each(|_| {
        runner.send(event());
    });
    let tally = runner.close(GRACE);
    assert_eq!((tally.delivered, tally.undelivered, tally.lost()), (0, 2, 2));

    let (sink, _hear) = self::sink(away(), None);
    let hasty = Config {
        retry_grace_ms: 3_600_000,
        ..config()
    };
    let runner = Runner::start(sink, hasty, Pressure::Wait).unwrap();
    (0..5).for_each(|_| {
        runner.send(event());
    });
    let begun = now();
    let tally = runner.close(SHORT);
    assert_eq!((tally.delivered, tally.undelivered), (0, 5));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_sink_that_hangs_does_not_hold_up_closing() {
    let (open, gate) = channel();
    let (sink, _hear) = sink(Vec::new(), Some(gate));
    let runner = Runner::start(sink, Config { ..config() }, Pressure::Wait).unwrap();
    runner.send(event());
    let tally = runner.close(GRACE);
    assert_eq!((tally.delivered, tally.undelivered), (0, 1));
    assert!(tally.last_error.is_some());
    drop(open);
}
