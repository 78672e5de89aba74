//! TLS between software that others wrote, opened with the key log that it writes: every cipher suite that can be opened,
//! resumed sessions, updated keys, and a key log that is followed while it grows.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::tools::{Capture, Running, attempt, beside, free_port, listens, program, run, sensor, wait};

/// Options of `openssl s_client`: version, cipher suite.
const SUITES: &[(&str, &[&str])] = &[
    ("TLS_AES_128_GCM_SHA256", &["-tls1_3", "-ciphersuites"]),
    ("TLS_AES_256_GCM_SHA384", &["-tls1_3", "-ciphersuites"]),
    ("TLS_CHACHA20_POLY1305_SHA256", &["-tls1_3", "-ciphersuites"]),
    ("ECDHE-RSA-AES128-GCM-SHA256", &["-tls1_2", "-cipher"]),
    ("ECDHE-RSA-AES256-GCM-SHA384", &["-tls1_2", "-cipher"]),
    ("ECDHE-RSA-CHACHA20-POLY1305", &["-tls1_2", "-cipher"]),
    ("AES128-SHA", &["-tls1_2", "-cipher"]),
    ("AES256-SHA256", &["-tls1_2", "-cipher"]),
    ("ECDHE-RSA-AES128-SHA256", &["-tls1_2", "-cipher"]),
    ("ECDHE-RSA-AES256-SHA384", &["-tls1_2", "-cipher"]),
];

/// A TLS server, and where everything of a test lies.
struct Place {
    folder: TempDir,
    port: u16,
    _server: Running,
}

impl Place {
    fn new(options: &[&str]) -> Result<Self, String> {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let mut openssl = Command::new(program("openssl")?);
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=mcp.example.test",
        ]);
        run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert));
        let mut command = Command::new(program("python3")?);
        command
            .arg(beside("tls_server.py"))
            .arg(port.to_string())
            .args([&cert, &key])
            .args(options);
        let server = Running::start(&command, &folder.path().join("server.log"))?;
        listens(port);
        Ok(Self {
            folder,
            port,
            _server: server,
        })
    }

    fn keylog(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn report(&self, capture: Capture) -> Value {
        capture.report_with(&[Path::new("--keylog"), &self.keylog()])
    }
}

/// The one server of a report, opened, with so many calls of each method.
fn check(report: &Value, port: u16, methods: &[(&str, u64)], what: &str) {
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 1, "{what}: {report:#}");
    let server = &servers[0];
    assert_eq!(server["port"], port, "{what}");
    assert_eq!(
        (&server["encryption"], &server["decrypted"]),
        (&"tls".into(), &true.into()),
        "{what}"
    );
    assert_eq!(server["hostname"], "mcp.example.test", "{what}");
    assert_eq!(server["server_name"], "weather", "{what}");
    let mut answers = 0;
    for (method, count) in methods {
        assert_eq!(
            server["messages"]["by_method"][method], *count,
            "{what}: {method} in {server:#}"
        );
        answers += if method.starts_with("notifications/") {
            0
        } else {
            *count
        };
    }
    assert_eq!(server["messages"]["responses"], answers, "{what}: {server:#}");
    let blind = &report["capture"]["blind"];
    assert_eq!(
        (&blind["encrypted_flows"], &blind["flows_with_wrong_secrets"]),
        (&0.into(), &0.into()),
        "{what}"
    );
    assert!(blind["decrypted_flows"].as_u64() > Some(0), "{what}: {blind}");
    let open = |finding: &Value| finding["kind"] == "cleartext-mcp";
    assert!(!report["findings"].as_array().unwrap().iter().any(open), "{what}");
}

fn post(message: &str, connection: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: mcp.example.test\r\nConnection: {connection}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    )
}

/// `openssl s_client` on a leash.
struct Talk {
    child: Child,
    said: PathBuf,
}

impl Talk {
    fn new(place: &Place, name: &str, options: &[&str]) -> Result<Self, String> {
        let said = place.folder.path().join(name);
        let mut command = Command::new(program("openssl")?);
        command.args(["s_client", "-connect", &format!("127.0.0.1:{}", place.port)]);
        command
            .args(["-servername", "mcp.example.test", "-keylogfile"])
            .arg(place.keylog())
            .args(options);
        let file = File::create(&said).unwrap();
        command
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self { child, said })
    }

    /// Sends, and waits until the answer holds a word.
    fn send(&mut self, text: &str, answer: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        let said = self.said.clone();
        wait(answer, || {
            String::from_utf8_lossy(&std::fs::read(&said).unwrap()).contains(answer)
        });
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":101,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"openssl","version":"3"}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":102,"method":"tools/list"}"#;

fn every_suite(options: &[&str], wanted: impl Fn(&str) -> bool) {
    attempt(|| {
        let place = Place::new(options)?;
        for (suite, choose) in SUITES.iter().filter(|(suite, _)| wanted(suite)) {
            let capture = Capture::start(&place.folder, place.port)?;
            let choice = [choose, &[*suite][..]].concat();
            let mut talk = Talk::new(&place, suite, &choice)?;
            talk.send(&post(INITIALIZE, "keep-alive"), "\"id\": 101");
            talk.send(&post(LIST, "close"), "\"id\": 102");
            talk.end();
            check(
                &place.report(capture),
                place.port,
                &[("initialize", 1), ("tools/list", 1)],
                suite,
            );
        }
        Ok(())
    });
}

#[test]
fn every_suite_of_openssl() {
    every_suite(&[], |_| true);
}

/// Without the extension of RFC 7366, which OpenSSL otherwise agrees on.
#[test]
fn block_ciphers_with_the_mac_inside() {
    every_suite(&["no-etm"], |suite| suite.contains("-SHA") && !suite.contains("GCM"));
}

#[test]
fn updated_keys_and_a_resumed_session() {
    attempt(|| {
        let place = Place::new(&[])?;
        let session = place.folder.path().join("session");
        let session = session.to_str().unwrap();
        let capture = Capture::start(&place.folder, place.port)?;
        let mut first = Talk::new(&place, "first", &["-tls1_3", "-sess_out", session])?;
        first.send(&post(INITIALIZE, "keep-alive"), "\"id\": 101");
        // `K` asks the server to update its keys, too.
        first.send("K\n", "KEYUPDATE");
        first.send(&post(LIST, "close"), "\"id\": 102");
        first.end();
        let mut second = Talk::new(&place, "second", &["-tls1_3", "-sess_in", session])?;
        second.send(&post(LIST, "keep-alive"), "\"id\": 102");
        second.send("k\n", "KEYUPDATE");
        second.send(&post(&LIST.replace("102", "103"), "close"), "\"id\": 103");
        second.end();
        let said = std::fs::read_to_string(place.folder.path().join("second")).unwrap();
        assert!(said.contains("Reused, TLSv1.3"), "{said}");
        check(
            &place.report(capture),
            place.port,
            &[("initialize", 1), ("tools/list", 3)],
            "updated",
        );
        Ok(())
    });
}

const CALLS: &[(&str, u64)] = &[
    ("initialize", 1),
    ("notifications/initialized", 1),
    ("tools/list", 1),
    ("tools/call", 3),
];

#[test]
fn python_with_a_resumed_session() {
    attempt(|| {
        for version in ["1.2", "1.3"] {
            let place = Place::new(&[])?;
            let capture = Capture::start(&place.folder, place.port)?;
            let mut client = Command::new(program("python3")?);
            run(client
                .arg(beside("tls_client.py"))
                .arg(place.port.to_string())
                .arg(place.keylog())
                .arg(version));
            check(&place.report(capture), place.port, CALLS, version);
        }
        Ok(())
    });
}

#[test]
fn node_with_its_key_log() {
    attempt(|| {
        let place = Place::new(&[])?;
        let capture = Capture::start(&place.folder, place.port)?;
        let mut client = Command::new(program("node")?);
        client.arg(format!("--tls-keylog={}", place.keylog().display()));
        run(client.arg(beside("tls_client.js")).arg(place.port.to_string()));
        check(&place.report(capture), place.port, CALLS, "node");
        Ok(())
    });
}

/// The key log is not there when the sensor starts.
#[test]
fn a_key_log_is_followed_live() {
    attempt(|| {
        let place = Place::new(&[])?;
        let mut command = sensor();
        command.args(["live", "-i", "lo", "--store", "none", "--format", "json", "--bpf"]);
        command
            .arg(format!("tcp port {}", place.port))
            .arg("--keylog")
            .arg(place.keylog());
        let [said, report] = ["sensor.log", "report.json"].map(|name| place.folder.path().join(name));
        let live = Running::with(&command, File::create(&report).unwrap(), File::create(&said).unwrap())?;
        let text = || std::fs::read_to_string(&said).unwrap();
        wait("the sensor", || {
            text().contains("listening on") || text().contains("permission") || text().contains("no interface")
        });
        if !text().contains("listening on") {
            return Err(text());
        }
        run(Command::new(program("python3")?)
            .arg(beside("tls_client.py"))
            .arg(place.port.to_string())
            .arg(place.keylog())
            .arg("1.3"));
        wait("the server", || text().contains("MCP server seen"));
        std::thread::sleep(std::time::Duration::from_millis(500));
        live.interrupt();
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap())
            .unwrap_or_else(|error| panic!("{error}: {}", text()));
        check(&report, place.port, CALLS, "live");
        Ok(())
    });
}
