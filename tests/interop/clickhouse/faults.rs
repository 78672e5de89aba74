//! What a server, a network and a clock do to a sensor that writes to it: nothing is lost, nothing doubled, nobody waits,
//! and each is told.

use std::thread;
use std::time::{Duration, Instant};

use shadowtap::model::server::View;
use shadowtap::model::stamp::Timestamp;
use shadowtap::sink::hub::Hub;
use shadowtap::sink::outbox::{self, Outbox};
use shadowtap::sink::remote::Origin;
use shadowtap::sink::runner::{Config, Pressure, Runner, Tally};
use shadowtap::sink::secret::Secret;
use shadowtap::store::clickhouse::{self, Server};
use shadowtap::store::memory::Memory;
use shadowtap::store::{Question, Store as _, Word};
use tempfile::TempDir;

use super::answers::view;
use super::engine::{Database, Engine, events};
use crate::tools::attempt;

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sensor with its outbox on disk; each start is one more of the same.
struct Sensor {
    folder: TempDir,
    server: Server,
    view: View,
    starts: i64,
}

impl Sensor {
    fn new(database: &Database) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: database.server(),
            view: view("rugpull_two_sessions.pcap"),
            starts: 0,
        }
    }

    fn start(&mut self) -> Hub {
        self.starts += 1;
        let now = Timestamp::from_parts(1_795_000_000 + self.starts, 0);
        let origin = Origin {
            sensor: "s".into(),
            run: "run".into(),
            began: now,
        };
        let (outbox, _) = Outbox::open(self.folder.path(), "clickhouse", outbox::Config::default(), now).unwrap();
        let remote = clickhouse::remote(self.server.clone(), &origin, || Timestamp::from_parts(1_795_000_000, 0));
        let config = Config {
            batch_wait_ms: 20,
            retry_first_ms: 20,
            retry_max_ms: 100,
            ..Config::default()
        };
        let mut hub = Hub::default();
        hub.add(Runner::remote(remote.unwrap(), outbox, &origin, config, Pressure::Shed).unwrap());
        hub
    }

    /// A start that writes everything it knows.
    fn writes(&mut self) -> Hub {
        let mut hub = self.start();
        let begun = Instant::now();
        assert!(
            hub.settle(events(&self.view), false),
            "the queue has room for all of it"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "whoever sends never waits for a sink"
        );
        hub
    }

    /// What the server has is what the sensor saw, each row once.
    fn is_there(&self, database: &Database) {
        for word in [
            Word::Findings,
            Word::Servers,
            Word::Tools,
            Word::Clients,
            Word::Captures,
        ] {
            let expect = Memory::new(&self.view).ask(&Question::all(word)).unwrap().rows;
            assert!(database.all(word).rows == expect, "{} differ", word.name());
        }
        // Rows as they lie there: a version is one row, and was inserted once.
        for table in ["servers_raw", "findings_raw", "clients_raw", "runs_raw"] {
            let doubled = database.sql(&format!(
                "SELECT count() - uniqExact(sensor, run, version) FROM {table}"
            ));
            assert_eq!(doubled, "0", "{table}");
        }
    }
}

fn tally(hub: &Hub) -> Tally {
    hub.tallies().remove(0)
}

fn until(hub: &Hub, what: &str, holds: impl Fn(&Tally) -> bool) -> Tally {
    let end = Instant::now() + PATIENCE;
    loop {
        let tally = tally(hub);
        if holds(&tally) {
            return tally;
        }
        assert!(Instant::now() < end, "{what}: {tally:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn close(hub: Hub) -> Tally {
    let tally = hub.close(PATIENCE).remove(0);
    assert_eq!((tally.lost(), tally.shed), (0, 0), "{tally:?}");
    tally
}

#[test]
fn a_server_that_answers_wrongly_or_not_at_all_gets_everything_once() {
    attempt(|| {
        let engine = Engine::start(&[])?;
        for fault in [
            "mode=status&status=500&count=3",
            "mode=status&status=503&count=2&match=INSERT",
            "mode=reset&count=3&match=INSERT",
            "mode=lost_ack&count=4&match=INSERT",
            "mode=delay&ms=3000&count=1&match=INSERT",
        ] {
            let database = Database::new(&engine.address);
            let mut sensor = Sensor::new(&database);
            sensor.server.timeout_ms = if fault.contains("delay") { 1_000 } else { 30_000 };
            engine.fault(fault);
            let hub = sensor.writes();
            let failed = until(&hub, fault, |tally| tally.retries > 0);
            assert!(failed.last_error.is_some_and(|error| error.contains(&engine.address)));
            until(&hub, fault, |tally| tally.waiting == 0 && tally.delivered > 0);
            assert!(!close(hub).failing);
            sensor.is_there(&database);
        }
        Ok(())
    });
}

#[test]
fn a_server_that_stops_gets_the_rest_when_it_is_back() {
    attempt(|| {
        let mut engine = Engine::start(&[])?;
        let database = Database::new(&engine.address);
        let mut sensor = Sensor::new(&database);
        // Killed in the middle of a batch: some tables have it, others not.
        engine.fault("mode=delay&ms=60000&count=1&match=INSERT%20INTO%20findings_raw");
        let hub = sensor.writes();
        let end = Instant::now() + PATIENCE;
        while engine.fired() == 0 {
            assert!(Instant::now() < end, "{:?}", tally(&hub));
            thread::sleep(Duration::from_millis(20));
        }
        engine.kill();
        until(&hub, "it is away", |tally| tally.failing && tally.waiting > 0);
        // The sensor stops while it is away, too.
        let first = close(hub);
        assert!(first.waiting > 0 && first.last_error.is_some(), "{first:?}");
        let hub = sensor.writes();
        until(&hub, "it is still away", |tally| {
            tally.failing && tally.waiting > first.waiting
        });
        engine.restart();
        until(&hub, "it is back", |tally| tally.waiting == 0);
        assert!(!close(hub).failing);
        sensor.is_there(&database);
        Ok(())
    });
}

#[test]
fn a_wrong_password_is_told_and_loses_nothing() {
    attempt(|| {
        let engine = Engine::start(&["--user", "tap", "--password", "right"])?;
        let database = Database::new(&engine.address);
        let mut sensor = Sensor::new(&database);
        sensor.server.user = "tap".to_owned();
        for password in ["", "wrong"] {
            sensor.server.password = Some(Secret::new(password));
            let hub = sensor.writes();
            let refused = until(&hub, "it is refused", |tally| tally.failing);
            let told = refused.last_error.unwrap();
            assert!(told.contains("clickhouse.password_file"), "{told}");
            assert!(close(hub).waiting > 0);
        }
        sensor.server.password = Some(Secret::new("right"));
        let hub = sensor.start();
        until(&hub, "it is right", |tally| tally.waiting == 0);
        close(hub);
        let reader = clickhouse::Reader::open(sensor.server.clone()).unwrap();
        let findings = reader.ask(&Question::all(Word::Findings)).unwrap();
        assert_eq!(findings.rows.len(), sensor.view.findings.len());
        Ok(())
    });
}

#[test]
fn a_schema_that_is_not_ours_is_told_and_waited_for() {
    attempt(|| {
        let engine = Engine::start(&[])?;
        let database = Database::new(&engine.address);
        let mut sensor = Sensor::new(&database);
        // Not made, and not to be made by the sensor.
        sensor.server.migrate = false;
        let hub = sensor.writes();
        let told = until(&hub, "there is none", |tally| tally.failing).last_error.unwrap();
        assert!(
            told.contains("schema 0 is there, and 2 is needed") && told.contains("schema --print"),
            "{told}"
        );
        // An administrator applies what the program prints.
        let system = Database {
            name: "default".to_owned(),
            ..database.clone()
        };
        system.sql(&format!("CREATE DATABASE {}", database.name));
        for statement in clickhouse::statements(&sensor.server.layout) {
            database.sql(&statement);
        }
        until(&hub, "it is there", |tally| tally.waiting == 0);
        close(hub);
        sensor.is_there(&database);
        // Again is as well as once.
        for statement in clickhouse::statements(&sensor.server.layout) {
            database.sql(&statement);
        }
        sensor.is_there(&database);
        // Somebody went on to a newer shadowtap.
        database.sql("INSERT INTO migrations_raw (version) VALUES (99)");
        let hub = sensor.writes();
        let told = until(&hub, "it is newer", |tally| tally.failing).last_error.unwrap();
        assert!(told.contains("schema 99 is newer"), "{told}");
        let refused = clickhouse::Reader::open(sensor.server.clone()).unwrap_err().to_string();
        assert!(refused.contains("schema 99 is newer"), "{refused}");
        assert!(close(hub).waiting > 0);
        Ok(())
    });
}
