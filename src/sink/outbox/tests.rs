//! An outbox against what a sink, a disk and a restart do to it.

use super::*;

const SECOND: i64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(1_795_000_000 * SECOND + seconds * SECOND)
}

fn part(rows: u64, bytes: usize) -> Part {
    Part {
        rows,
        bytes: vec![u8::try_from(rows).unwrap(); bytes],
    }
}

fn config() -> Config {
    Config {
        batch_max_rows: 10,
        batch_max_bytes: 1_000,
        max_bytes: 10_000,
        max_age_hours: 1,
        dead_max_bytes: 500,
        ..Config::default()
    }
}

fn open(folder: &tempfile::TempDir) -> Outbox {
    let (outbox, damaged) = Outbox::open(folder.path(), "x", config(), at(0)).unwrap();
    assert_eq!(damaged, None);
    outbox
}

/// Rows of each batch, in the order in which they go.
fn drain(outbox: &mut Outbox) -> Vec<(Class, Vec<u64>)> {
    let mut all = Vec::new();
    while let Some((id, batch)) = outbox.next("s-1", at(0), |_| 0).unwrap() {
        all.push((batch.class, batch.parts.iter().map(|part| part.rows).collect()));
        outbox.done(id).unwrap();
    }
    assert_eq!(outbox.stock(), Stock::default());
    all
}

#[test]
fn what_is_worth_most_goes_first_and_in_order() {
    let mut outbox = Outbox::in_memory(config()).unwrap();
    for rows in 1..=4 {
        outbox.put(&[(Class::Record, part(rows, 10))], at(0)).unwrap();
    }
    outbox.put(&[(Class::Finding, part(5, 10))], at(0)).unwrap();
    outbox.put(&[(Class::Record, part(50, 2_000))], at(0)).unwrap();
    outbox.put(&[(Class::Record, part(6, 10))], at(0)).unwrap();
    assert_eq!((outbox.stock().rows, outbox.stock().bytes), (71, 2_060));
    let expect = [
        (Class::Finding, vec![5]),
        (Class::Record, vec![1, 2, 3, 4]),
        // One part is never torn, however large.
        (Class::Record, vec![50]),
        (Class::Record, vec![6]),
    ];
    assert_eq!(drain(&mut outbox), expect);
}

#[test]
fn a_batch_stays_the_same_over_tries_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(&folder);
    outbox.put(&[(Class::Record, part(1, 10))], at(0)).unwrap();
    let first = outbox.next("s-1", at(1), |_| 0).unwrap().unwrap();
    assert_eq!((&*first.1.token, first.1.sealed), ("s-1-1", at(1)));
    // What comes later is of the next batch, whatever it is worth.
    outbox
        .put(&[(Class::Finding, part(2, 10)), (Class::Record, part(3, 10))], at(2))
        .unwrap();
    assert_eq!(outbox.next("s-1", at(3), |_| 0).unwrap().as_ref(), Some(&first));
    drop(outbox);
    let mut outbox = open(&folder);
    assert_eq!(outbox.stock().rows, 6);
    assert_eq!(outbox.next("s-2", at(9), |_| 0).unwrap().as_ref(), Some(&first));
    outbox.done(first.0).unwrap();
    let second = outbox.next("s-2", at(9), |_| 0).unwrap().unwrap();
    assert_eq!((&*second.1.token, second.1.class), ("s-2-2", Class::Finding));
    outbox.done(second.0).unwrap();
    drop(outbox);
    // No number comes twice, also when everything has gone.
    let third = open(&folder).next("s-2", at(9), |_| 0).unwrap().unwrap();
    assert_eq!(third.1.token, "s-2-3");
}

#[test]
fn rows_wait_for_more_until_their_time_or_a_batch_is_full() {
    let mut outbox = Outbox::in_memory(config()).unwrap();
    let wait = |class| if class == Class::Record { 5_000 } else { 0 };
    outbox.put(&[(Class::Record, part(4, 10))], at(0)).unwrap();
    assert_eq!(outbox.next("s", at(4), wait).unwrap(), None);
    outbox.put(&[(Class::Record, part(4, 10))], at(4)).unwrap();
    outbox.put(&[(Class::Record, part(4, 10))], at(4)).unwrap();
    let (id, full) = outbox.next("s", at(4), wait).unwrap().unwrap();
    assert_eq!(full.rows(), 8, "twelve are more than a batch takes");
    outbox.done(id).unwrap();
    assert_eq!(outbox.next("s", at(8), wait).unwrap(), None);
    assert!(outbox.next("s", at(9), wait).unwrap().is_some());
    outbox.put(&[(Class::Record, part(1, 10))], at(9)).unwrap();
    let mut set_back = Outbox::in_memory(config()).unwrap();
    set_back.put(&[(Class::Record, part(1, 10))], at(100)).unwrap();
    assert!(
        set_back.next("s", at(0), wait).unwrap().is_some(),
        "a clock that was set back makes nobody wait"
    );
}

#[test]
fn the_oldest_of_the_cheapest_go_when_it_is_full_and_never_the_batch_at_hand() {
    let mut outbox = Outbox::in_memory(config()).unwrap();
    let put = |outbox: &mut Outbox, class, rows| outbox.put(&[(class, part(rows, 2_000))], at(0)).unwrap();
    assert_eq!(put(&mut outbox, Class::Record, 1), 0);
    let (at_hand, _) = outbox.next("s", at(0), |_| 0).unwrap().unwrap();
    for (class, rows) in [
        (Class::Finding, 2),
        (Class::Record, 3),
        (Class::Record, 4),
        (Class::Finding, 5),
    ] {
        assert_eq!(put(&mut outbox, class, rows), 0);
    }
    assert_eq!(outbox.stock().bytes, 10_000);
    assert_eq!(put(&mut outbox, Class::Finding, 6), 3);
    assert_eq!(put(&mut outbox, Class::Record, 7), 4);
    assert_eq!(put(&mut outbox, Class::Finding, 8), 7);
    assert_eq!(put(&mut outbox, Class::Finding, 9), 2, "then the oldest finding");
    assert_eq!(outbox.stock().bytes, 10_000);
    outbox.done(at_hand).unwrap();
    let left: Vec<u64> = drain(&mut outbox).into_iter().flat_map(|(_, rows)| rows).collect();
    assert_eq!(left, [5, 6, 8, 9]);
}

#[test]
fn what_is_too_old_goes() {
    let mut outbox = Outbox::in_memory(config()).unwrap();
    outbox.put(&[(Class::Finding, part(1, 10))], at(0)).unwrap();
    outbox.put(&[(Class::Record, part(2, 10))], at(10)).unwrap();
    assert_eq!(outbox.put(&[(Class::Record, part(3, 10))], at(3_600)).unwrap(), 0);
    assert_eq!(outbox.put(&[(Class::Record, part(4, 10))], at(3_601)).unwrap(), 1);
    assert_eq!(outbox.stock().oldest, Some(at(10)));
}

#[test]
fn what_is_refused_is_kept_apart_within_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(&folder);
    for rows in 1..=3 {
        outbox.put(&[(Class::Record, part(rows, 200))], at(0)).unwrap();
        let (id, _) = outbox.next("s", at(0), |_| 0).unwrap().unwrap();
        outbox.bury(id, "no such column").unwrap();
    }
    assert_eq!(outbox.stock(), Stock::default());
    let mut dead = outbox
        .connection
        .prepare("SELECT rows, token, why FROM dead ORDER BY seq")
        .unwrap();
    let dead: Vec<(i64, String, String)> = dead
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let why = "no such column".to_owned();
    assert_eq!(dead, [(2, "s-2".to_owned(), why.clone()), (3, "s-3".to_owned(), why)]);
}

#[test]
fn one_process_delivers_what_several_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sensor, mut replay) = (open(&folder), open(&folder));
    assert_eq!(sensor.next("s", at(0), |_| 0).unwrap(), None);
    assert!(sensor.delivers());
    replay.put(&[(Class::Record, part(1, 10))], at(0)).unwrap();
    assert_eq!(replay.next("r", at(0), |_| 0).unwrap(), None);
    assert!(!replay.delivers());
    let (id, batch) = sensor.next("s", at(0), |_| 0).unwrap().unwrap();
    assert_eq!(batch.rows(), 1);
    sensor.done(id).unwrap();
    sensor.put(&[(Class::Record, part(2, 10))], at(0)).unwrap();
    drop(sensor);
    assert_eq!(
        replay.next("r", at(0), |_| 0).unwrap().unwrap().1.token,
        "r-2",
        "who is left takes over"
    );
}

#[test]
fn a_damaged_file_is_put_aside_and_nobody_elses_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).put(&[(Class::Record, part(1, 10))], at(0)).unwrap();
    for content in [
        &b"nothing of a database, and longer than its header would be: "[..],
        &[0xff; 8192],
    ] {
        std::fs::write(folder.path().join("x.db"), content).unwrap();
        let (outbox, damaged) = Outbox::open(folder.path(), "x", config(), at(7)).unwrap();
        let aside = damaged.unwrap().path;
        assert_eq!(std::fs::read(&aside).unwrap(), content);
        assert_eq!(outbox.stock(), Stock::default());
    }
    let foreign = Connection::open(folder.path().join("y.db")).unwrap();
    foreign
        .execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    drop(foreign);
    let (_, damaged) = Outbox::open(folder.path(), "y", config(), at(8)).unwrap();
    let theirs = Connection::open(damaged.unwrap().path).unwrap();
    assert_eq!(
        theirs.query_row("SELECT x FROM theirs", [], |row| row.get::<_, i64>(0)),
        Ok(1)
    );
}

#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().join("spool");
    let (mut outbox, _) = Outbox::open(&within, "x", config(), at(0)).unwrap();
    outbox.put(&[(Class::Record, part(1, 10))], at(0)).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&within), 0o700);
    for file in std::fs::read_dir(&within).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let refused = Outbox::open(&within.join("x.db"), "y", config(), at(0)).unwrap_err();
    assert!(refused.to_string().contains("spool.dir"), "{refused}");
}
