//! Reports for people over real captures: each as it is shown, in `tests/reports/`, and the same from memory and SQLite.
//!
//! `UPDATE=1 cargo test --test it reports` rewrites them; the review reads the difference.

use shadowtap::engine::settings::Settings;
use shadowtap::model::event::Event;
use shadowtap::model::server::View;
use shadowtap::model::stamp::Timestamp;
use shadowtap::policy::Policy;
use shadowtap::report::document::Document;
use shadowtap::report::grid::Style;
use shadowtap::report::{change, drift, impact, story, weekly};
use shadowtap::sink::Sink as _;
use shadowtap::store::memory::Memory;
use shadowtap::store::sqlite::{Reader, Writer};
use shadowtap::store::{Question, Store, Word};

use crate::run;

const STYLE: Style = Style {
    width: 100,
    color: false,
};

const CAPTURES: [&str; 5] = [
    "everything_http",
    "old_2024_11_05_sse",
    "rugpull_two_sessions",
    "secrets_in_transit",
    "token_passthrough",
];

fn view(capture: &str) -> View {
    let settings = Settings {
        messages_max: 1 << 20,
        ..run::settings()
    };
    let file = run::folder(&format!("pcaps/{capture}.pcap"));
    run::view(&[file], settings, Policy::default(), 1)
}

/// Every report about everything that a store knows.
fn reports(store: &dyn Store, view: &View) -> Vec<(String, Document)> {
    let (first, last) = view.capture.seen.unwrap();
    let middle = Timestamp::from_nanos(first.nanos() / 2 + last.nanos() / 2);
    let end = last.plus_nanos(1_000_000);
    let mut all = vec![
        ("weekly".to_owned(), weekly::weekly(store, end).unwrap()),
        (
            "diff".to_owned(),
            change::change(store, (first, middle), (middle, end)).unwrap(),
        ),
    ];
    for server in &view.servers {
        let document = impact::impact(store, &server.id, None).unwrap().unwrap();
        all.push((format!("impact {}", server.id), document));
    }
    for session in &view.sessions {
        let document = story::story(store, &session.id).unwrap().unwrap();
        all.push((format!("session {}", session.id), document));
    }
    all
}

#[test]
fn every_report_reads_as_it_did() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for capture in CAPTURES {
        let view = view(capture);
        let memory = Memory::new(&view);
        let mut text = String::new();
        for (name, document) in reports(&memory, &view) {
            text.push_str(&format!("== {name} ==\n\n{}\n", document.table(STYLE)));
        }
        let rows = memory.ask(&Question::all(Word::Drift)).unwrap();
        text.push_str(&format!("== drift ==\n\n{}", drift::table(&rows, STYLE)));
        let golden = run::folder("tests/reports").join(format!("{capture}.txt"));
        if update {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &text).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(capture);
        }
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(
            widest <= Some(STYLE.width),
            "{capture}: a line has {widest:?} characters"
        );
    }
    assert!(wrong.is_empty(), "reports differ from tests/reports/: {wrong:?}");
}

#[test]
fn the_store_tells_the_same_story_in_every_format() {
    for capture in CAPTURES {
        let view = view(capture);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut events = shadowtap::cli::setup::events(&view);
        events.extend(view.messages.iter().cloned().map(|row| Event::Message(Box::new(row))));
        Writer::open(&path, "run").unwrap().write(&events).unwrap();
        let reader = Reader::open(&path).unwrap();
        let (memory, store) = (reports(&Memory::new(&view), &view), reports(&reader, &view));
        assert_eq!(memory, store, "{capture}");
        for (name, document) in &store {
            let mut json = Vec::new();
            document.json(&mut json).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let (mut lines, mut csv) = (Vec::new(), Vec::new());
            document.ndjson(&mut lines).unwrap();
            document.csv(&mut csv).unwrap();
            let rows: usize = document.sections.iter().map(|section| section.rows.rows.len()).sum();
            assert_eq!(String::from_utf8(lines).unwrap().lines().count(), rows, "{name}");
            assert!(String::from_utf8(csv).unwrap().lines().count() >= rows, "{name}");
            assert_eq!(json["sections"].as_object().unwrap().len(), document.sections.len());
            let markdown = document.markdown();
            assert_eq!(markdown.matches("\n## ").count(), document.sections.len(), "{name}");
        }
    }
}
