//! What is told of a record that changes.

use super::*;

use crate::store::fixture;

const HOUR: i64 = 3_600;

fn gate() -> Gate {
    let filter = Filter {
        events: What::ALL.iter().map(|(what, _)| *what).collect(),
        kinds: Vec::new(),
        severity: Severity::Info,
    };
    Gate::new(filter, "edge".into())
}

fn told(gate: &mut Gate, events: &[Event]) -> Vec<(What, Action)> {
    gate.pass(events)
        .iter()
        .map(|notice| (notice.what, notice.action))
        .collect()
}

fn finding(severity: Severity, count: u64, second: i64) -> Event {
    let mut reported = fixture::finding("f1", Kind::ToolDrift, severity, None);
    reported.finding.count = count;
    reported.finding.seen.last = fixture::at(second, 1);
    Event::Finding(Box::new(reported))
}

fn capture(second: i64, drops: u64) -> Event {
    let mut view = fixture::view();
    view.capture.seen = Some((fixture::at(0, 1).time, fixture::at(second, 1).time));
    view.capture.counters.lost.kernel_drops = drops;
    Event::Capture(Box::new(view.capture))
}

#[test]
fn everything_is_told_once() {
    let mut gate = gate();
    let events = fixture::events(&fixture::view());
    let first = told(&mut gate, &events);
    let count = |what: What| first.iter().filter(|told| told.0 == what).count();
    assert_eq!(
        [What::Finding, What::Server, What::Lookup, What::SensorHealth].map(count),
        [3, 2, 2, 1]
    );
    assert!(first.iter().all(|told| told.1 == Action::New));
    assert_eq!(told(&mut gate, &events), []);
}

#[test]
fn a_finding_says_who_its_server_and_client_are() {
    let events = fixture::events(&fixture::view());
    let notices = gate().pass(&events);
    let found = notices.iter().find(|notice| notice.id == "f3").unwrap();
    assert_eq!(found.server_name.as_deref(), Some("weather"));
    assert_eq!(found.approved, Some(false));
    assert_eq!(found.user_agent.as_deref(), Some("agent/1"));
}

#[test]
fn counts_go_by_the_hour_and_a_severity_at_once() {
    let mut gate = gate();
    let new = [(What::Finding, Action::New)];
    let update = [(What::Finding, Action::Update)];
    assert_eq!(told(&mut gate, &[finding(Severity::Low, 1, 0)]), new);
    assert_eq!(told(&mut gate, &[finding(Severity::Low, 2, 60)]), []);
    assert_eq!(told(&mut gate, &[finding(Severity::High, 3, 120)]), update);
    assert_eq!(told(&mut gate, &[finding(Severity::High, 9, 240)]), []);
    // Whatever is heard next brings the time in which the last counts are due.
    let due = gate.pass(&[capture(120 + HOUR, 0)]);
    let found: Vec<u64> = due
        .iter()
        .filter(|told| told.what == What::Finding)
        .map(|told| told.count)
        .collect();
    assert_eq!(found, [9]);
    assert_eq!(told(&mut gate, &[finding(Severity::High, 9, 240)]), []);
}

#[test]
fn equal_states_have_equal_ids_and_others_do_not() {
    let id = |event: Event| gate().pass(&[event]).remove(0).event_id;
    let first = id(finding(Severity::Low, 1, 0));
    assert_eq!(first, id(finding(Severity::Low, 1, 0)));
    for other in [
        finding(Severity::High, 1, 0),
        finding(Severity::Low, 2, 0),
        finding(Severity::Low, 1, 1),
    ] {
        assert_ne!(first, id(other));
    }
}

#[test]
fn a_server_goes_again_when_it_says_something_else() {
    let mut gate = gate();
    let mut server = fixture::server("s1", "10.0.0.5:8000");
    server.tools = vec![fixture::tool("sum", 1)];
    let event = |server: &Server| [Event::Server(Box::new(server.clone()))];
    assert_eq!(told(&mut gate, &event(&server)), [(What::Server, Action::New)]);
    server.messages.requests += 10;
    assert_eq!(told(&mut gate, &event(&server)), []);
    server.approval = Some("approve #1".to_owned());
    assert_eq!(told(&mut gate, &event(&server)), [(What::Server, Action::Update)]);
    server.tools = vec![fixture::tool("sum", 2)];
    assert_eq!(told(&mut gate, &event(&server)), [(What::ToolChange, Action::New)]);
    server.tools[0].gone = true;
    let gone = gate.pass(&event(&server));
    assert_eq!(gone[0].text("change"), Some("went"));
    assert_eq!(gone[0].text("sha256_before"), Some(&*"02".repeat(32)));
}

#[test]
fn a_filter_lets_through_what_is_asked_for() {
    let filter = Filter {
        events: vec![What::Finding],
        kinds: vec![Kind::SecretInTransit, Kind::RegistryLookup],
        severity: Severity::High,
    };
    let notices = Gate::new(filter, "edge".into()).pass(&fixture::events(&fixture::view()));
    let ids: Vec<&str> = notices.iter().map(|notice| &*notice.id).collect();
    assert_eq!(ids, ["f3"]);
}

#[test]
fn health_goes_each_minute_and_at_once_when_data_was_lost() {
    let mut gate = gate();
    let sent = |gate: &mut Gate, second, drops| gate.pass(&[capture(second, drops)]).len();
    assert_eq!(
        [sent(&mut gate, 0, 0), sent(&mut gate, 30, 0), sent(&mut gate, 60, 0)],
        [1, 0, 1]
    );
    assert_eq!(sent(&mut gate, 61, 5), 1);
}

/// While a baseline is made, only what is critical goes at once, and the rest comes as one event a day.
#[test]
fn the_first_weeks_come_as_digests() {
    let day = 86_400;
    let mut gate = gate().with_baseline(Some(fixture::at(2 * day, 0).time));
    let server = Event::Server(Box::new(fixture::server("s1", "10.0.0.5:8000")));
    let quiet = [server.clone(), finding(Severity::High, 1, 0)];
    assert_eq!(told(&mut gate, &quiet), []);
    let mut critical = fixture::finding("f2", Kind::KnownMalicious, Severity::Critical, None);
    critical.finding.seen.last = fixture::at(1, 1);
    let critical = [Event::Finding(Box::new(critical))];
    assert_eq!(told(&mut gate, &critical), [(What::Finding, Action::New)]);

    let next = gate.pass(&[capture(day, 0)]);
    let digest = next.iter().find(|notice| notice.what == What::Digest).unwrap();
    assert_eq!(digest.count, 1);
    assert_eq!(digest.fields["servers"][0]["server"], "10.0.0.5:8000");
    assert_eq!(digest.fields["findings"]["tool-drift"]["high"], 1);

    // Afterwards what goes on is told, as new; the server was.
    let later = told(
        &mut gate,
        &[capture(3 * day, 0), server, finding(Severity::High, 2, 3 * day)],
    );
    assert_eq!(later, [(What::SensorHealth, Action::New), (What::Finding, Action::New)]);
}

#[test]
fn what_is_taken_back_is_closed_once() {
    let mut gate = gate();
    let gone = [Event::Gone(Record::Finding("f1".to_owned()))];
    assert_eq!(told(&mut gate, &gone), []);
    told(&mut gate, &[finding(Severity::Low, 1, 0)]);
    assert_eq!(told(&mut gate, &gone), [(What::Finding, Action::Close)]);
    assert_eq!(told(&mut gate, &gone), []);
}

/// A wire without packets is no reason to be silent.
#[test]
fn a_live_sensor_is_heard_by_the_clock() {
    use std::sync::atomic::{AtomicI64, Ordering};
    static SECONDS: AtomicI64 = AtomicI64::new(1_800_000_000);
    let mut gate = gate().with_clock(Some(|| Timestamp::from_parts(SECONDS.load(Ordering::Relaxed), 0)));
    let mut heard = |seconds: i64| {
        SECONDS.fetch_add(seconds, Ordering::Relaxed);
        let notices = gate.pass(&[capture(0, 0)]);
        notices.into_iter().map(|notice| (notice.last, notice.event_id)).next()
    };
    let (at, id) = heard(0).unwrap();
    assert_eq!(at, Timestamp::from_parts(1_800_000_000, 0));
    assert_eq!(heard(59), None);
    let (later, other) = heard(1).unwrap();
    assert_eq!(later, Timestamp::from_parts(1_800_000_060, 0));
    assert_ne!(id, other);
}

/// A sensor that starts anew tells what is new alone.
#[test]
fn what_was_told_is_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("soc.told");
    let events = fixture::events(&fixture::view());
    let mut first = gate();
    assert!(first.pass(&events).len() > 5);
    first.keep(&file).unwrap();
    let mut second = gate();
    second.recall(&file);
    // Its own health is always news.
    assert_eq!(told(&mut second, &events), [(What::SensorHealth, Action::New)]);
    assert_eq!(told(&mut second, &[finding(Severity::High, 1, 0)]).len(), 1);
    let critical = [finding(Severity::Critical, 1, 0)];
    assert_eq!(told(&mut second, &critical), [(What::Finding, Action::Update)]);
    for broken in [&b""[..], b"\x01\xff\xff\xff\xff", b"\x09"] {
        std::fs::write(&file, broken).unwrap();
        let mut third = gate();
        third.recall(&file);
        assert_eq!(third.pass(&events).len(), gate().pass(&events).len());
    }
}
