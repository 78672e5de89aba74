//! An HTTP collector for the sinks' tests: it keeps what it was sent, and answers as a test tells it to.

#![expect(clippy::disallowed_types, reason = "a test may lock")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::read::GzDecoder;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) path: String,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// Unpacked.
    pub(crate) body: String,
}

/// Status, further head lines, body.
pub(crate) type Answer = (u16, String, String);

/// See the module. It ends with the test.
pub(crate) struct Collector {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Collector {
    /// Listens on a port (0 for any), and answers what `answer` says to the nth request.
    pub(crate) fn start(port: u16, answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(request) = read(&mut reader) {
                        let nth = {
                            let mut kept = kept.lock().unwrap();
                            kept.push(request.clone());
                            kept.len() - 1
                        };
                        write(&stream, &answer(nth, &request));
                    }
                });
            }
        });
        Self { port, seen }
    }

    /// Everything that came so far, in its order.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("POST"));
    let path = words.next()?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut bytes = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut bytes).ok()?;
    let mut body = String::new();
    if headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
        GzDecoder::new(&bytes[..]).read_to_string(&mut body).ok()?;
    } else {
        body = String::from_utf8(bytes).ok()?;
    }
    Some(Request { path, headers, body })
}

fn write(mut stream: &TcpStream, (status, head, body): &Answer) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} x\r\n{head}content-length: {length}\r\n\r\n{body}");
    // Whoever asked may have gone.
    let _ = stream.write_all(answer.as_bytes());
}
