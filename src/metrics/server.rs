//! A server for three addresses: as much of HTTP/1.1 (RFC 9112) as a scraper needs. One request a connection, bounded in
//! bytes, time and number.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::metrics::Board;

/// Longest request head, in bytes.
const HEAD_MAX_BYTES: usize = 8 << 10;
/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 16;
/// Longest wait for the next byte of a request, and for room for an answer.
const WAIT: Duration = Duration::from_secs(2);

/// Answers on threads of its own, for as long as the process lives.
///
/// # Errors
/// When the system gives no thread.
pub fn serve(listener: TcpListener, board: &Arc<Board>) -> io::Result<()> {
    let board = Arc::clone(board);
    let open = Arc::new(AtomicUsize::new(0));
    let run = move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (board, done) = (Arc::clone(&board), Arc::clone(&open));
            let answer = move || {
                // Whoever asked is gone.
                let _ = answer(stream, &board);
                done.fetch_sub(1, Ordering::Relaxed);
            };
            if thread::Builder::new()
                .name("metrics-answer".to_owned())
                .spawn(answer)
                .is_err()
            {
                open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    thread::Builder::new().name("metrics".to_owned()).spawn(run).map(|_| ())
}

fn answer(mut stream: TcpStream, board: &Board) -> io::Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let mut head = Vec::new();
    let mut block = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut block)?;
        if read == 0 || head.len() + read > HEAD_MAX_BYTES {
            return Ok(());
        }
        head.extend_from_slice(block.get(..read).unwrap_or_default());
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let answer = respond(&String::from_utf8_lossy(line), board);
    stream.write_all(answer.as_bytes())
}

/// The whole answer to a request line.
fn respond(line: &str, board: &Board) -> String {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let shown = board.shown();
    let told = |why: &[String]| {
        if why.is_empty() {
            ("200 OK", "ok\n".to_owned())
        } else {
            ("503 Service Unavailable", why.join("\n") + "\n")
        }
    };
    let (status, body) = match (method, target.split('?').next().unwrap_or_default()) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", shown.metrics.clone()),
        ("GET" | "HEAD", "/healthz") => told(&shown.health.sick),
        ("GET" | "HEAD", "/readyz") => told(&shown.health.unready),
        ("GET" | "HEAD", _) => ("404 Not Found", "there are /metrics, /healthz and /readyz\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method == "HEAD" { head } else { head + &body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Health, State};

    fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_says_how_the_sensor_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let board = Arc::new(Board::default());
        serve(listener, &board).unwrap();
        let health = Health {
            sick: Vec::new(),
            unready: vec!["eth0 is down".to_owned()],
        };
        board.post(&State::default(), health);
        let get = |path: &str| ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(get("/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
        let unready = get("/readyz");
        assert!(
            unready.starts_with("HTTP/1.1 503 ") && unready.ends_with("\r\n\r\neth0 is down\n"),
            "{unready}"
        );
        assert!(get("/metrics?x=1").contains("\nshadowtap_ready 0\n"));
        assert!(get("/").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(address, "HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(2 * HEAD_MAX_BYTES));
        let mut stream = TcpStream::connect(address).unwrap();
        // It may be closed before all of it is written.
        let _ = stream.write_all(long.as_bytes());
        let mut answer = Vec::new();
        assert!(stream.read_to_end(&mut answer).is_err() || answer.is_empty());
    }
}
