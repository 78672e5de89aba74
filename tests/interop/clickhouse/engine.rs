//! The engine behind HTTP, databases in it, and what lies in their tables.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use shadowtap::model::event::Event;
use shadowtap::model::server::View;
use shadowtap::model::stamp::Timestamp;
use shadowtap::sink::remote::{Batch, Class, Origin, Remote};
use shadowtap::store::clickhouse::{self, Address, Layout, Reader, Server};
use shadowtap::store::{Question, Rows, Store as _, Word};
use tempfile::TempDir;

use crate::tools;

/// An engine in a process of its own. It ends with whoever started it.
pub(super) struct Engine {
    pub(super) address: String,
    pub(super) folder: TempDir,
    child: Option<(Child, ChildStdin)>,
    options: Vec<String>,
}

/// A Python with the packages, or why there is none.
fn python() -> Result<PathBuf, String> {
    let given = std::env::var_os("SHADOWTAP_TEST_PYTHON").map(PathBuf::from);
    let python = given.map_or_else(|| tools::python("python"), Ok)?;
    let has_engine = Command::new(&python).args(["-c", "import chdb, pyarrow"]).output();
    match has_engine {
        Ok(output) if output.status.success() => Ok(python),
        _ => Err(format!("no chdb and pyarrow in {}: run .ci/venv", python.display())),
    }
}

impl Engine {
    pub(super) fn start(options: &[&str]) -> Result<Self, String> {
        let mut engine = Self {
            address: String::new(),
            folder: tempfile::tempdir().unwrap(),
            child: None,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        engine.run("0")?;
        Ok(engine)
    }

    fn run(&mut self, port: &str) -> Result<(), String> {
        let mut child = Command::new(python()?)
            .arg(tools::beside("clickhouse-front.py"))
            .args(["--port", port, "--faults", "--leash", "--path"])
            .arg(self.folder.path().join("data"))
            .args(&self.options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let leash = child.stdin.take().unwrap();
        self.child = Some((child, leash));
        let address = line
            .split(' ')
            .nth(1)
            .ok_or_else(|| format!("the engine said {line:?}"))?;
        address.clone_into(&mut self.address);
        Ok(())
    }

    /// Kills it: no answer is finished.
    pub(super) fn kill(&mut self) {
        let (mut child, _leash) = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again at the same address, with what it has on disk.
    pub(super) fn restart(&mut self) {
        let port = self.address.rsplit(':').next().unwrap().to_owned();
        self.run(&port).unwrap();
    }

    /// How often armed faults have fired.
    pub(super) fn fired(&self) -> u64 {
        let (_, body) = http(&self.address, "GET", "/_fault", "");
        let state: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let faults = state.as_array().into_iter().flatten();
        faults.filter_map(|fault| fault["fired"].as_u64()).sum()
    }

    /// Arms a fault for statements that contain a text.
    pub(super) fn fault(&self, query: &str) {
        let (status, body) = http(&self.address, "POST", &format!("/_fault?{query}"), "");
        assert_eq!(status, 200, "{body}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// One request over a connection of its own.
fn http(address: &str, method: &str, target: &str, body: &str) -> (u16, String) {
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0),
        body.to_owned(),
    )
}

/// The engine that all tests share which break nothing.
pub(super) fn shared() -> Result<String, String> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    if let Ok(address) = std::env::var("SHADOWTAP_TEST_CLICKHOUSE") {
        return Ok(address);
    }
    match ENGINE.get_or_init(|| Engine::start(&[])) {
        Ok(engine) => Ok(engine.address.clone()),
        Err(why) => Err(why.clone()),
    }
}

/// A database of one test.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) address: String,
    pub(super) name: String,
}

impl Database {
    pub(super) fn new(address: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            address: address.to_owned(),
            name: format!("shadowtap_test_{}_{nth}", std::process::id()),
        }
    }

    pub(super) fn server(&self) -> Server {
        Server {
            address: Address::parse(&self.address).unwrap(),
            tls: None,
            user: "default".to_owned(),
            password: None,
            timeout_ms: 30_000,
            layout: Layout {
                database: self.name.clone(),
                cluster: None,
                retention: clickhouse::Retention::default(),
            },
            migrate: true,
        }
    }

    /// The answer to a statement, as tab-separated text.
    pub(super) fn sql(&self, sql: &str) -> String {
        let (status, answer) = http(&self.address, "POST", &format!("/?database={}", self.name), sql);
        assert_eq!(status, 200, "{sql}: {answer}");
        answer.trim().to_owned()
    }

    pub(super) fn ask(&self, question: &Question) -> Rows {
        Reader::open(self.server()).unwrap().ask(question).unwrap()
    }

    pub(super) fn all(&self, word: Word) -> Rows {
        self.ask(&Question::all(word))
    }
}

/// A sensor that writes into a database without an outbox.
pub(super) struct Pen {
    remote: Remote,
    batches: u32,
    origin: Origin,
}

impl Pen {
    pub(super) fn new(database: &Database, sensor: &str, run: &str, began: i64) -> Self {
        let origin = Origin {
            sensor: sensor.into(),
            run: run.into(),
            began: Timestamp::from_parts(1_795_000_000 + began, 0),
        };
        Self {
            remote: clickhouse::remote(database.server(), &origin, now).unwrap(),
            batches: 0,
            origin,
        }
    }

    pub(super) fn write(&mut self, events: &[Event]) {
        self.batches += 1;
        let batch = Batch {
            token: format!("{}-{}-{}", self.origin.sensor, self.origin.began.nanos(), self.batches),
            sealed: now(),
            class: Class::Record,
            parts: self.remote.seal.seal(events).into_iter().collect(),
        };
        self.remote.deliver.deliver(&batch).unwrap();
    }
}

fn now() -> Timestamp {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_nanos(now.as_nanos().try_into().unwrap())
}

/// Every record and message of a view, as a sensor sends them.
pub(super) fn events(view: &View) -> Vec<Event> {
    let messages = view.messages.iter().cloned().map(|row| Event::Message(Box::new(row)));
    shadowtap::cli::setup::events(view)
        .into_iter()
        .chain(messages)
        .collect()
}
