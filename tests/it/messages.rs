//! One row for each message that is counted, the same for any number of workers, and in the store as in memory.

use std::collections::BTreeMap;

use shadowtap::engine::settings::Settings;
use shadowtap::model::server::View;
use shadowtap::policy::Policy;
use shadowtap::sink::Sink as _;
use shadowtap::store::memory::Memory;
use shadowtap::store::sqlite::{Reader, Writer};
use shadowtap::store::{Question, Store, Word};

use crate::run;

fn keeping(messages_max: usize) -> Settings {
    Settings {
        messages_max,
        ..run::settings()
    }
}

/// Messages by server, as the servers count them.
fn counted(view: &View) -> BTreeMap<&str, u64> {
    let counts = view.servers.iter().map(|server| {
        let messages = &server.messages;
        let all = messages.requests + messages.responses + messages.notifications;
        (server.id.as_str(), all)
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn every_counted_message_has_its_row() {
    let mut total = 0;
    for capture in run::captures() {
        let name = run::stem(&capture);
        let view = |workers| {
            run::view(
                std::slice::from_ref(&capture),
                keeping(1 << 20),
                Policy::default(),
                workers,
            )
        };
        let one = view(1);
        let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
        for row in &one.messages {
            *rows.entry(&row.server_id).or_default() += 1;
        }
        assert_eq!(rows, counted(&one), "{name}");
        assert_eq!(
            one.messages,
            view(4).messages,
            "{name}: four workers give other rows than one"
        );
        assert!(one.messages.is_sorted_by_key(|row| row.seen.order()), "{name}");
        total += one.messages.len();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut writer = Writer::open(&path, "run").unwrap();
        // In batches, and one of them twice: what is there already counts nowhere again.
        let events = shadowtap::cli::setup::events(&one);
        let said: Vec<_> = one
            .messages
            .iter()
            .cloned()
            .map(|row| shadowtap::model::event::Event::Message(Box::new(row)))
            .collect();
        writer.write(&events).unwrap();
        for batch in said.chunks(7) {
            writer.write(batch).unwrap();
            writer.write(batch).unwrap();
        }
        let reader = Reader::open(&path).unwrap();
        for word in [Word::Messages, Word::Usage] {
            let question = Question::all(word);
            assert_eq!(
                reader.ask(&question).unwrap(),
                Memory::new(&one).ask(&question).unwrap(),
                "{name}: {word:?}"
            );
        }
    }
    assert!(total > 500, "captures have hardly any message: {total}");
}

#[test]
fn the_earliest_messages_stay_at_the_bound() {
    let capture = run::folder("pcaps/everything_http.pcap");
    let view = |max, workers| run::view(std::slice::from_ref(&capture), keeping(max), Policy::default(), workers);
    let whole = view(1 << 20, 1).messages;
    assert!(whole.len() > 20);
    for workers in [1, 4] {
        let some = view(5, workers);
        assert_eq!(some.messages, whole[..5]);
        assert_eq!(some.capture.counters.lost.shed_events, whole.len() as u64 - 5);
    }
    assert!(view(0, 1).messages.is_empty());
}
