//! The embedded store against the memory store, and against killed processes, damaged and foreign files.

use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::model::event::Event;
use crate::model::finding::{Kind, Severity};
use crate::model::server::View;
use crate::sink::{Sink as _, SinkError};
use crate::store::fixture::{self, START, at, events, finding, server, span, tool};
use crate::store::memory::Memory;
use crate::store::schema::Schema;
use crate::store::{Filter, Word};

fn write(path: &Path, run: &str, view: &View) {
    Writer::open(path, run).unwrap().write(&events(view)).unwrap();
}

/// Every word with every filter that it knows.
fn questions() -> Vec<Question> {
    let time = |seconds| Some(at(seconds, 0).time);
    let none = Filter::default;
    let filters = [
        none(),
        Filter {
            since: time(5),
            ..none()
        },
        Filter {
            until: time(5),
            ..none()
        },
        Filter {
            since: time(3),
            until: time(9),
            ..none()
        },
        Filter {
            severity: Some(Severity::Medium),
            ..none()
        },
        Filter {
            kind: Some(Kind::SecretInTransit),
            ..none()
        },
        Filter {
            server: Some("10.0.0.5:8000".to_owned()),
            ..none()
        },
        Filter {
            server: Some("10.0.0.2".to_owned()),
            ..none()
        },
        Filter {
            server: Some("FD88::4".to_owned()),
            ..none()
        },
        Filter {
            server: Some("weather".to_owned()),
            ..none()
        },
        Filter {
            server: Some("mcp.example.test".to_owned()),
            ..none()
        },
        Filter {
            server: Some("id1".to_owned()),
            ..none()
        },
        Filter {
            server: Some("' OR 1=1 --".to_owned()),
            ..none()
        },
        Filter {
            client: Some("10.0.0.9".to_owned()),
            ..none()
        },
        Filter {
            client: Some("10.0.1.1".to_owned()),
            ..none()
        },
        Filter {
            id: Some("i".to_owned()),
            ..none()
        },
        Filter {
            tool: Some("get_forecast".to_owned()),
            ..none()
        },
        Filter {
            session: Some("0000000000005e55".to_owned()),
            ..none()
        },
        Filter {
            unapproved: true,
            ..none()
        },
        Filter {
            unapproved: true,
            severity: Some(Severity::High),
            limit: Some(2),
            ..none()
        },
        Filter {
            limit: Some(1),
            ..none()
        },
        Filter {
            limit: Some(0),
            ..none()
        },
    ];
    let ask = |word| {
        filters.iter().map(move |filter| Question {
            word,
            filter: filter.clone(),
        })
    };
    Word::ALL.into_iter().flat_map(ask).collect()
}

fn assert_same(view: &View, store: &dyn Store) {
    for question in questions() {
        match (Memory::new(view).ask(&question), store.ask(&question)) {
            (Ok(memory), Ok(sqlite)) => assert_eq!(memory.rows, sqlite.rows, "{question:?}"),
            (Err(memory), Err(sqlite)) => assert_eq!(memory.to_string(), sqlite.to_string()),
            (memory, sqlite) => panic!("{question:?}: {memory:?} but {sqlite:?}"),
        }
    }
}

#[test]
fn answers_like_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let view = fixture::view();
    write(&path, "run", &view);
    let reader = Reader::open(&path).unwrap();
    assert_same(&view, &reader);
    // The questions must have something to tell apart.
    for word in Word::ALL {
        assert!(!reader.ask(&Question::all(word)).unwrap().rows.is_empty(), "{word:?}");
    }
    assert_eq!(reader.ask(&Question::all(Word::Drift)).unwrap().rows.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn answers_like_memory_whatever_the_wire_says(view in fixture::views()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = Writer::open(&path, "run").unwrap();
        writer.write(&events(&view)).unwrap();
        assert_same(&view, &writer);
    }
}

#[test]
fn views_have_the_columns_of_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::open(&folder.path().join("a.db"), "run").unwrap();
    for word in Word::ALL {
        let statement = writer
            .connection()
            .prepare(&format!("SELECT * FROM {}", word.name()))
            .unwrap();
        let expect: Vec<_> = Schema::of(word).all().map(|column| column.name).collect();
        assert_eq!(statement.column_names().collect::<Vec<_>>(), expect, "{word:?}");
    }
}

#[test]
fn a_repeated_replay_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut view = fixture::view();
    // Messages are within the time of their capture.
    view.capture.seen = Some((at(0, 1).time, at(5_000, 9).time));
    write(&path, "run", &view);
    write(&path, "run", &view);
    assert_same(&view, &Reader::open(&path).unwrap());

    view.findings.remove(0);
    view.lookups.remove(0);
    Writer::open(&path, "run")
        .unwrap()
        .replacing()
        .write(&events(&view))
        .unwrap();
    assert_same(&view, &Reader::open(&path).unwrap());
}

#[test]
fn runs_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (first, mut second) = (fixture::view(), fixture::view());
    let later = &mut second.servers[0];
    later.server_name = Some("renamed".to_owned());
    later.approval = Some("approve[1]".to_owned());
    later.seen = span(100, 110);
    later.clients = vec!["10.0.0.2".parse().unwrap()];
    later.tools = vec![tool("get_forecast", 77)];
    second.findings[0].finding.seen = span(1, 2);
    second.findings[0].finding.severity = Severity::Critical;
    second.findings[0].finding.key.place = Some("earlier".to_owned());
    write(&path, "second", &second);
    write(&path, "first", &first);
    // Whichever run was begun last judges; identity and evidence do not depend on that order.
    let read = |path| {
        let reader = Reader::open(path).unwrap();
        let text = |word, column: &str, row: usize| {
            let rows = reader.ask(&Question::all(word)).unwrap();
            let at = rows.columns.iter().position(|known| known.name == column).unwrap();
            rows.rows[row][at].clone()
        };
        let server =
            ["server_name", "approved", "requests", "clients", "tools"].map(|name| text(Word::Servers, name, 0));
        let finding = ["severity", "count", "where", "id"].map(|name| text(Word::Findings, name, 0));
        (
            server,
            finding,
            reader.ask(&Question::all(Word::Drift)).unwrap().rows.len(),
        )
    };
    let word = |word: &str| Value::Text(word.to_owned());
    let clients = Value::List(vec!["10.0.0.2".to_owned(), "10.0.0.9".to_owned()]);
    let (server, finding, drifts) = read(&path);
    assert_eq!(
        server,
        [
            word("renamed"),
            Value::Bool(false),
            Value::Int(4),
            clients.clone(),
            Value::Int(2)
        ]
    );
    assert_eq!(finding, [word("high"), Value::Int(4), word("earlier"), word("f3")]);
    assert_eq!(drifts, 3);
    write(&path, "second", &second);
    let (server, finding, _) = read(&path);
    assert_eq!(
        server,
        [
            word("renamed"),
            Value::Bool(true),
            Value::Int(4),
            clients,
            Value::Int(2)
        ]
    );
    assert_eq!(finding, [word("critical"), Value::Int(4), word("earlier"), word("f3")]);
}

#[test]
fn a_killed_writer_loses_nothing_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let view = fixture::view();
    let mut writer = Writer::open(&path, "run").unwrap();
    writer.write(&events(&view)).unwrap();
    // What lies on the disk while the writer still runs, its log not yet folded in, is what a kill leaves behind.
    assert!(beside(&path, "-wal").metadata().unwrap().len() > 0);
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(beside(&path, "-wal"), beside(&copy, "-wal")).unwrap();
    assert_same(&view, &Reader::open(&copy).unwrap());
    assert_same(&view, &Writer::open(&copy, "other").unwrap());
}

#[test]
fn readers_see_whole_batches_while_a_writer_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut writer = Writer::open(&path, "run").unwrap();
    let reader = Reader::open(&path).unwrap();
    let count = || reader.ask(&Question::all(Word::Servers)).unwrap().rows.len();
    assert_eq!(count(), 0);
    writer.write(&events(&fixture::view())).unwrap();
    assert_eq!(count(), 2);
}

#[test]
fn the_file_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/state/a.db");
    let mut writer = Writer::open(&path, "run").unwrap();
    writer.write(&events(&fixture::view())).unwrap();
    for (path, mode) in [
        (path.clone(), 0o600),
        (beside(&path, "-wal"), 0o600),
        (path.parent().unwrap().into(), 0o700),
    ] {
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            mode,
            "{}",
            path.display()
        );
    }
}

#[test]
fn what_is_no_store_is_refused_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty.db"), "").unwrap();
    std::fs::write(path("text.db"), "not a database at all, ".repeat(100)).unwrap();
    Connection::open(path("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    drop(Writer::open(&path("newer.db"), "run").unwrap());
    Connection::open(path("newer.db"))
        .unwrap()
        .pragma_update(None, "user_version", SCHEMA + 1)
        .unwrap();
    drop(Writer::open(&path("torn.db"), "run").unwrap());
    let whole = std::fs::read(path("torn.db")).unwrap();
    std::fs::write(
        path("torn.db"),
        [&whole[..4096], &vec![0x55; whole.len() - 4096]].concat(),
    )
    .unwrap();

    let read = |name: &str| {
        Reader::open(&path(name))
            .map(|reader| reader.ask(&Question::all(Word::Servers)))
            .and_then(|rows| rows)
            .unwrap_err()
    };
    assert!(matches!(read("absent.db"), StoreError::Missing { .. }));
    assert!(matches!(read("empty.db"), StoreError::Missing { .. }));
    assert!(matches!(read("text.db"), StoreError::Corrupt { .. }));
    assert!(matches!(read("other.db"), StoreError::Corrupt { .. }));
    assert!(matches!(read("newer.db"), StoreError::Newer { .. }));
    assert!(matches!(read("torn.db"), StoreError::Corrupt { .. }));
    assert!(read("text.db").to_string().contains("move the file away"));
    assert!(read("absent.db").to_string().contains("--store PATH"));

    let open = |name: &str| Writer::open(&path(name), "run").unwrap_err();
    assert!(matches!(open("text.db"), StoreError::Corrupt { .. }));
    assert!(matches!(open("other.db"), StoreError::Corrupt { .. }));
    assert!(matches!(open("newer.db"), StoreError::Newer { .. }));
    // A refusal leaves the other program's file as it was.
    let theirs: String = Connection::open(path("other.db"))
        .unwrap()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(theirs, "delete");
}

#[test]
fn damage_while_running_is_rejected_not_retried() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut writer = Writer::open(&path, "run").unwrap();
    writer
        .connection
        .execute_batch("DROP VIEW tools; DROP TABLE tools_raw")
        .unwrap();
    assert!(matches!(
        writer.write(&events(&fixture::view())),
        Err(SinkError::Reject(_))
    ));
    // Whole or not at all.
    let servers: i64 = writer
        .connection
        .query_row("SELECT count(*) FROM servers_raw", [], |row| row.get(0))
        .unwrap();
    assert_eq!(servers, 0);
}

#[test]
fn a_locked_store_is_retried() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut writer = Writer::open(&path, "run").unwrap();
    writer
        .connection
        .busy_timeout(std::time::Duration::from_millis(1))
        .unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(
        writer.write(&events(&fixture::view())),
        Err(SinkError::Retry(_))
    ));
    other.execute_batch("ROLLBACK").unwrap();
    writer.write(&events(&fixture::view())).unwrap();
}

#[test]
fn age_is_forgotten_by_kind() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(&folder.path().join("a.db"), "run").unwrap();
    let mut view = fixture::view();
    view.findings
        .push(finding("pii", Kind::PiiInTransit, Severity::Critical, None));
    writer.write(&events(&view)).unwrap();
    let retention = Retention::default();
    let mut after = |days: i64| {
        writer
            .prune(Timestamp::from_nanos(START + days * 86_400_000_000_000), &retention)
            .unwrap()
    };
    assert_eq!(after(30), Pruned::default());
    assert_eq!(
        after(31),
        Pruned {
            messages: 10,
            lookups: 2,
            sessions: 1,
            findings: 1,
            ..Pruned::default()
        }
    );
    assert_eq!(after(31), Pruned::default());
    assert_eq!(
        after(181),
        Pruned {
            usage: 6,
            findings: 3,
            ..Pruned::default()
        }
    );
    let calls: i64 = writer
        .connection
        .query_row("SELECT count(*) FROM session_calls_raw", [], |row| row.get(0))
        .unwrap();
    assert_eq!(calls, 0);
    assert_eq!(writer.ask(&Question::all(Word::Servers)).unwrap().rows.len(), 2);
}

#[test]
fn size_is_held_mildest_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(&folder.path().join("a.db"), "run").unwrap();
    let weather = server("aa", "10.0.0.5:8000");
    let make = |nth: usize| {
        let severity = if nth.is_multiple_of(2) {
            Severity::Info
        } else {
            Severity::Critical
        };
        Event::Finding(Box::new(finding(
            &format!("f{nth}"),
            Kind::RegistryLookup,
            severity,
            Some(&weather),
        )))
    };
    let batch: Vec<_> = (0..6_000).map(make).collect();
    writer.write(&batch).unwrap();
    let now = Timestamp::from_nanos(START);
    let pages = |writer: &Writer| {
        writer
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let bound = pages(&writer).unsigned_abs() * 4_096 * 3 / 4;
    let pruned = writer
        .prune(
            now,
            &Retention {
                max_bytes: bound,
                ..Retention::default()
            },
        )
        .unwrap();
    assert_eq!((pruned.excess_bytes, pruned.findings), (0, pruned.early));
    let left = |severity: &str| {
        let sql = "SELECT count(*) FROM findings_raw WHERE severity = ?";
        writer
            .connection
            .query_row(sql, [severity], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert!(left("info") < 3_000);
    assert_eq!(left("critical"), 3_000);
    assert!(
        pages(&writer).unsigned_abs() * 4_096 <= bound,
        "freed pages are given back"
    );
    let tiny = writer
        .prune(
            now,
            &Retention {
                max_bytes: 1,
                ..Retention::default()
            },
        )
        .unwrap();
    assert!(tiny.excess_bytes > 0, "what cannot be forgotten is told");
}
