//! Many sensors in one database: what several saw is one, and is not added up where it is the same traffic.

use std::net::IpAddr;

use shadowtap::model::event::{Event, Record};
use shadowtap::model::server::View;
use shadowtap::store::{Rows, Value, Word};

use super::answers::view;
use super::engine::{Database, Pen, events, shared};
use crate::tools::attempt;

fn column(rows: &Rows, name: &str) -> Vec<Value> {
    let at = rows.columns.iter().position(|column| column.name == name).unwrap();
    rows.rows.iter().map(|row| row[at].clone()).collect()
}

fn total(rows: &Rows, name: &str) -> i64 {
    let number = |value: &Value| if let Value::Int(number) = value { *number } else { 0 };
    column(rows, name).iter().map(number).sum()
}

/// The same conversations with other clients, as another site sees them.
fn elsewhere(view: &View) -> View {
    let mut view = view.clone();
    let moved = |addr: &IpAddr| match addr {
        IpAddr::V4(addr) => IpAddr::V4((addr.to_bits() ^ 0x00ff_0000).into()),
        IpAddr::V6(addr) => IpAddr::V6((addr.to_bits() ^ 0xff).into()),
    };
    for server in &mut view.servers {
        server.clients = server.clients.iter().map(moved).collect();
    }
    view
}

#[test]
fn what_two_sensors_saw_is_one_and_only_other_traffic_adds_up() {
    attempt(|| {
        let database = Database::new(&shared()?);
        let view = view("rugpull_two_sessions.pcap");
        let mut north = Pen::new(&database, "north", "n1", 0);
        north.write(&events(&view));
        let counts = || {
            let (servers, findings) = (database.all(Word::Servers), database.all(Word::Findings));
            (
                (
                    servers.rows.len(),
                    total(&servers, "requests"),
                    total(&servers, "sessions"),
                ),
                (findings.rows.len(), total(&findings, "count")),
                database.all(Word::Sessions).rows.len(),
            )
        };
        let alone = counts();
        assert!(alone.0.1 > 0 && alone.1.0 > 0 && alone.2 > 0);
        Pen::new(&database, "south", "s1", 10).write(&events(&view));
        assert_eq!(counts(), alone, "the same traffic on two taps");
        let sensors =
            |table: &str| database.sql(&format!("SELECT DISTINCT arrayStringConcat(sensors, ',') FROM {table}"));
        assert_eq!(
            (sensors("findings_agg"), sensors("servers_agg")),
            ("north,south".to_owned(), "north,south".to_owned())
        );
        // The same sensor in another run: other traffic.
        Pen::new(&database, "north", "n2", 20).write(&events(&view));
        let twice = counts();
        assert_eq!((twice.0.0, twice.0.1, twice.1.0), (alone.0.0, alone.0.1 * 2, alone.1.0));
        let apart = Database::new(&database.address);
        Pen::new(&apart, "north", "n1", 0).write(&events(&view));
        Pen::new(&apart, "east", "e1", 0).write(&events(&elsewhere(&view)));
        let servers = apart.all(Word::Servers);
        assert_eq!(
            (servers.rows.len(), total(&servers, "requests")),
            (alone.0.0, alone.0.1 * 2),
            "other clients"
        );
        Ok(())
    });
}

#[test]
fn a_replay_counts_once_and_forgets_what_its_rules_no_longer_find() {
    attempt(|| {
        let database = Database::new(&shared()?);
        let whole = view("rugpull_two_sessions.pcap");
        let mut less = whole.clone();
        let dropped = less.findings.pop().unwrap().id;
        let ids = || column(&database.all(Word::Findings), "id");
        Pen::new(&database, "s", "replay-1", 0).write(&events(&whole));
        assert_eq!(ids().len(), whole.findings.len());
        Pen::new(&database, "s", "replay-1", 1).write(&events(&less));
        assert_eq!(ids().len(), less.findings.len());
        assert!(!ids().contains(&Value::Text(dropped)));
        assert_eq!(database.all(Word::Captures).rows.len(), 1);
        Ok(())
    });
}

#[test]
fn what_turned_out_to_be_part_of_another_goes_for_that_run_alone() {
    attempt(|| {
        let database = Database::new(&shared()?);
        let view = view("rugpull_two_sessions.pcap");
        let server = view.servers[0].id.clone();
        let finding = view.findings[0].id.clone();
        let gone = [
            Event::Gone(Record::Server(server)),
            Event::Gone(Record::Finding(finding)),
        ];
        let mut pen = Pen::new(&database, "s", "live-1", 0);
        pen.write(&events(&view));
        pen.write(&gone);
        assert_eq!(database.all(Word::Servers).rows.len(), view.servers.len() - 1);
        assert_eq!(database.all(Word::Findings).rows.len(), view.findings.len() - 1);
        assert!(view.servers.len() > 1 || database.all(Word::Tools).rows.is_empty());
        Pen::new(&database, "s", "live-2", 1).write(&events(&view));
        pen.write(&gone);
        assert_eq!(database.all(Word::Findings).rows.len(), view.findings.len());
        Ok(())
    });
}
