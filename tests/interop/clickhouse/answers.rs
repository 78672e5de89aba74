//! Memory, SQLite and ClickHouse give the same rows, for every word and every capture.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shadowtap::detect::fingerprint::Fingerprints;
use shadowtap::detect::panel::Ruleset;
use shadowtap::detect::signature::Signatures;
use shadowtap::engine::Shared;
use shadowtap::engine::replay::{Input, replay};
use shadowtap::engine::settings::Settings;
use shadowtap::model::finding::{Kind, Severity};
use shadowtap::model::server::View;
use shadowtap::policy::Policy;
use shadowtap::sink::Sink as _;
use shadowtap::store::clickhouse::Reader;
use shadowtap::store::memory::Memory;
use shadowtap::store::sqlite;
use shadowtap::store::{Filter, Question, Store, Word};

use super::engine::{Database, Pen, events, shared};
use crate::tools::attempt;

pub(super) fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".pcap"))
        .collect();
    files.sort();
    assert!(files.len() > 30);
    files
}

fn replayed(shared: &Arc<Shared>, file: &Path) -> View {
    let input = Input {
        files: vec![file.display().to_string()],
        ..Input::default()
    };
    replay(shared, &input, 1, &mut |_, _| {}).unwrap().view
}

fn fresh(rules: &Ruleset) -> Arc<Shared> {
    Arc::new(Shared::new(Settings::default(), rules.clone()))
}

fn rules() -> Ruleset {
    Ruleset {
        signatures: Arc::new(Signatures::builtin()),
        policy: Arc::new(Policy::default()),
        fingerprints: Fingerprints::random(),
    }
}

/// What one of the captures shows.
pub(super) fn view(name: &str) -> View {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps").join(name);
    replayed(&fresh(&rules()), &file)
}

/// A store in memory, one on disk, and one in the engine, with the same records.
struct Three {
    view: View,
    sqlite: sqlite::Reader,
    clickhouse: Reader,
}

impl Three {
    /// The rows of a question, which all three agree on.
    fn agree(&self, question: &Question, about: &str) -> usize {
        let memory = Memory::new(&self.view).ask(question).unwrap();
        let answers: [(&str, &dyn Store); 2] = [("SQLite", &self.sqlite), ("ClickHouse", &self.clickhouse)];
        for (name, store) in answers {
            let rows = store
                .ask(question)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
                .rows;
            assert_eq!(rows.len(), memory.rows.len(), "{about}: {name} {question:?}");
            for (row, expect) in rows.iter().zip(&memory.rows) {
                for ((column, cell), expect) in memory.columns.iter().zip(row).zip(expect) {
                    assert_eq!(cell, expect, "{about}: {name} {}.{}", question.word.name(), column.name);
                }
            }
        }
        memory.rows.len()
    }
}

/// Questions about what a view holds.
fn questions(view: &View) -> Vec<Question> {
    let mut filters = vec![Filter {
        limit: Some(1),
        ..Filter::default()
    }];
    if let Some((first, last)) = view.capture.seen {
        let middle = first.plus_nanos(i64::try_from(last.since(first) / 2).unwrap());
        filters.push(Filter {
            since: Some(middle),
            ..Filter::default()
        });
        filters.push(Filter {
            until: Some(middle),
            ..Filter::default()
        });
    }
    let servers = view.servers.first().into_iter().flat_map(|server| {
        [
            server.id.clone(),
            server.endpoint.to_string(),
            server.server_name.clone().unwrap_or_default(),
        ]
    });
    filters.extend(servers.map(|name| Filter {
        server: Some(name),
        ..Filter::default()
    }));
    filters.push(Filter {
        client: view.clients.first().map(|client| client.addr.to_string()),
        severity: Some(Severity::Medium),
        ..Filter::default()
    });
    filters.push(Filter {
        unapproved: true,
        ..Filter::default()
    });
    filters.push(Filter {
        kind: Some(Kind::UnapprovedServer),
        ..Filter::default()
    });
    let all = kept().flat_map(|word| filters.iter().map(move |filter| (word, filter.clone())));
    let asked = all.map(|(word, filter)| Question { word, filter });
    let memory = Memory::new(view);
    // A filter that says nothing about a word is refused, by whichever store.
    asked.filter(|question| memory.ask(question).is_ok()).collect()
}

/// Words that ClickHouse knows.
fn kept() -> impl Iterator<Item = Word> {
    Word::ALL
        .into_iter()
        .filter(|word| !matches!(word, Word::Messages | Word::Usage))
}

#[test]
fn all_stores_say_the_same_of_every_capture() {
    attempt(|| {
        let database = Database::new(&shared()?);
        let folder = tempfile::tempdir().unwrap();
        let rules = rules();
        let (mut rows, mut asked) = (0, 0);
        for (nth, file) in captures().iter().enumerate() {
            let view = replayed(&fresh(&rules), file);
            let about = file.file_name().unwrap().to_string_lossy().into_owned();
            let path = folder.path().join(format!("{nth}.db"));
            let mut writer = sqlite::Writer::open(&path, "run").unwrap();
            writer.write(&events(&view)).unwrap();
            // One database for all: making it takes longer than asking it.
            Pen::new(&database, "s", "run", nth.try_into().unwrap()).write(&events(&view));
            let three = Three {
                view,
                sqlite: sqlite::Reader::open(&path).unwrap(),
                clickhouse: Reader::open(database.server()).unwrap(),
            };
            for word in kept() {
                rows += three.agree(&Question::all(word), &about);
            }
            // Filters are the same for all captures: a few of the richer ones stand for them.
            if three.view.findings.len() > 8 && asked < 150 {
                let questions = questions(&three.view);
                asked += questions.len();
                questions.iter().for_each(|question| _ = three.agree(question, &about));
            }
            for table in database
                .sql("SHOW TABLES LIKE '%_raw'")
                .lines()
                .filter(|table| *table != "migrations_raw")
            {
                database.sql(&format!("TRUNCATE TABLE {table}"));
            }
        }
        assert!(rows > 1_000 && asked >= 150, "{rows} rows, {asked} filters");
        Ok(())
    });
}
