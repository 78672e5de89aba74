//! Live capture on real interfaces: two network namespaces joined by a virtual cable, a real MCP conversation over it.
//!
//! Needs root and `ip`. Without them the tests that need them say so and pass; `SHADOWTAP_REQUIRE_NETNS=1` makes that a
//! failure. Only namespaces made here are touched, and they go in the end, also when a test fails. The two peers are
//! this very program, run again inside the namespaces.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock on the wall")]

#[path = "live/care.rs"]
mod care;
#[path = "live/check.rs"]
mod check;
#[path = "live/host.rs"]
mod host;
#[path = "live/page.rs"]
mod page;
#[path = "live/peer.rs"]
mod peer;
#[path = "live/rights.rs"]
mod rights;
#[path = "live/tell.rs"]
mod tell;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const SENSOR: &str = env!("CARGO_BIN_EXE_shadowtap");
const CLIENT: &str = "10.77.0.1";
const SERVER: &str = "10.77.0.2";
const PORT: u16 = 8000;
const PATIENCE: Duration = Duration::from_secs(30);

/// Two namespaces with a cable: `v0` here, `v1` there.
struct Net {
    here: String,
    there: String,
}

impl Net {
    /// `None` where it cannot be; the reason is told.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("shadowtap-{}-{nth}-{side}", std::process::id());
        let net = Self {
            here: name("a"),
            there: name("b"),
        };
        match net.build() {
            Ok(()) => Some(net),
            Err(why) if std::env::var_os("SHADOWTAP_REQUIRE_NETNS").is_some() => panic!("no namespaces: {why}"),
            Err(why) => {
                eprintln!("skipped: needs root and network namespaces: {why}");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let (here, there) = (&*self.here, &*self.there);
        ip(&["netns", "add", here])?;
        ip(&["netns", "add", there])?;
        self.wire()
    }

    /// The cable of the conversation.
    fn wire(&self) -> Result<(), String> {
        let (here, there) = (&*self.here, &*self.there);
        self.cable("v0", "v1")?;
        ip(&["-n", here, "addr", "add", &format!("{CLIENT}/24"), "dev", "v0"])?;
        ip(&["-n", there, "addr", "add", &format!("{SERVER}/24"), "dev", "v1"])
    }

    fn cable(&self, one: &str, two: &str) -> Result<(), String> {
        let (here, there) = (&*self.here, &*self.there);
        ip(&[
            "-n", here, "link", "add", one, "type", "veth", "peer", "name", two, "netns", there,
        ])?;
        ip(&["-n", here, "link", "set", one, "up"])?;
        ip(&["-n", there, "link", "set", two, "up"])
    }

    /// This program as a peer in a namespace.
    fn peer(&self, namespace: &str, role: &str) -> Child {
        self.peer_under(namespace, role, &[])
    }

    /// With variables of its environment.
    fn peer_under(&self, namespace: &str, role: &str, environment: &[(&str, &str)]) -> Child {
        let this = std::env::current_exe().unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(this);
        command.args(["--exact", "peer::runs", "--nocapture"]).env("PEER", role);
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// One whole conversation over the cable.
    fn talk(&self) {
        let (server, ready) = self.serve(&self.there, &[]);
        let client = self.peer(&self.here, "client").wait();
        end(server);
        assert!(ready && client.unwrap().success());
    }

    /// A server in a namespace, and whether it listens.
    fn serve(&self, namespace: &str, environment: &[(&str, &str)]) -> (Child, bool) {
        let mut server = self.peer_under(namespace, "server", environment);
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line.contains("ready"));
        (server, ready)
    }

    fn sensor(&self, args: &[&str]) -> Sensor {
        self.sensor_under(args, &[])
    }

    /// With variables of its environment.
    fn sensor_under(&self, args: &[&str], environment: &[(&str, &str)]) -> Sensor {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.here, SENSOR, "live"]).args(args);
        command.envs(environment.iter().copied());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, told) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        let mut sensor = Sensor {
            child: Some(child),
            told,
            log: Vec::new(),
        };
        sensor.hears("listening on");
        sensor
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.here]);
        let _ = ip(&["netns", "del", &self.there]);
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    let told = || {
        format!(
            "ip {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    };
    output.status.success().then_some(()).ok_or_else(told)
}

/// A configuration under which a sensor does not wait long.
struct Config {
    folder: tempfile::TempDir,
    path: String,
}

impl Config {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shadowtap.toml");
        std::fs::write(&file, "[store]\ninterval_ms = 200\n").unwrap();
        let path = file.display().to_string();
        Self { folder, path }
    }
}

/// A sensor that runs.
struct Sensor {
    child: Option<Child>,
    told: Receiver<String>,
    log: Vec<String>,
}

impl Sensor {
    /// Waits for a line.
    fn hears(&mut self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left) {
                Ok(line) => {
                    let found = line.contains(part);
                    self.log.push(line);
                    if found {
                        return;
                    }
                }
                Err(_) => panic!("{part:?} was never told: {:?}", self.log),
            }
        }
    }

    /// `ip netns exec` becomes the sensor, so that its id is the sensor's.
    fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Exit code, report, and everything that was told.
    fn ends(mut self) -> (i32, String, Vec<String>) {
        let Output { status, stdout, .. } = self.child.take().unwrap().wait_with_output().unwrap();
        self.log.extend(self.told.iter());
        (
            status.code().unwrap(),
            String::from_utf8(stdout).unwrap(),
            std::mem::take(&mut self.log),
        )
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The answer of `shadowtap report`, once there is one with rows.
fn asked(store: &str, word: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let args = ["report", word, "--store", store, "--format", "json"];
        let output = Command::new(SENSOR).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        if answer["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
            return answer;
        }
        assert!(Instant::now() < deadline, "no {word} in the store");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_conversation_is_seen_stored_and_reported() {
    for workers in ["1", "3"] {
        let Some(net) = Net::new() else { return };
        let config = Config::new();
        let store = config.folder.path().join("live.db").display().to_string();
        let line = [
            "-i",
            "v0",
            "--store",
            &store,
            "--config",
            &config.path,
            "--format",
            "json",
            "--workers",
            workers,
        ];
        let mut sensor = net.sensor(&line);
        net.talk();

        sensor.hears("MCP server seen: weather, 10.77.0.2:8000, streamable-http, not approved");
        let servers = asked(&store, "servers");
        assert_eq!(servers["rows"][0]["server"], "10.77.0.2:8000", "{servers}");
        assert!(
            sensor.child.as_mut().unwrap().try_wait().unwrap().is_none(),
            "it still runs"
        );
        sensor.signal("USR1");
        sensor.hears("servers: 1; dropped by the kernel: 0");
        sensor.signal("TERM");
        let (code, report, log) = sensor.ends();
        assert_eq!(code, 0, "{log:?}");

        let report: Value = serde_json::from_str(&report).unwrap();
        let server = &report["servers"][0];
        assert_eq!(report["servers"].as_array().map(Vec::len), Some(1), "{report}");
        assert_eq!((&server["address"], &server["port"]), (&json!(SERVER), &json!(PORT)));
        assert_eq!(server["clients"], json!([CLIENT]));
        let messages = json!({
            "requests": 3, "responses": 3, "errors": 0, "notifications": 1,
            "by_method": {"initialize": 1, "notifications/initialized": 1, "tools/call": 1, "tools/list": 1},
        });
        assert_eq!(server["messages"], messages);
        assert_eq!(
            (&server["sessions"], &server["tools"][0]["name"]),
            (&json!(1), &json!("get_forecast"))
        );
        for (name, number) in report["capture"]["lost"].as_object().unwrap() {
            assert_eq!(number, 0, "{name}");
        }
        assert_eq!(report["capture"]["sources"], json!(["v0"]));
        let findings = report["findings"].as_array().unwrap();
        assert!(findings.iter().any(|finding| finding["kind"] == "unapproved-server"));
        assert!(findings.iter().all(|finding| finding["packet"].is_null()), "{report}");
        // What was stored last is what was reported.
        let stored = asked(&store, "captures");
        assert_eq!(stored["rows"][0]["packets"], report["capture"]["packets"]);
        assert_eq!(
            asked(&store, "findings")["rows"].as_array().map(Vec::len),
            Some(findings.len())
        );
    }
}

#[test]
fn it_stops_by_itself_and_sees_nothing_that_is_left_out() {
    let Some(net) = Net::new() else { return };
    let exclude = format!("{SERVER}:{PORT}");
    let sensor = net.sensor(&[
        "-i",
        "v0",
        "--store",
        "none",
        "--format",
        "json",
        "--duration",
        "4s",
        "--exclude",
        &exclude,
    ]);
    net.talk();
    let (code, report, log) = sensor.ends();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["servers"]), (0, &json!([])), "{log:?}");
}

#[test]
fn an_interface_goes_and_the_others_stay() {
    let Some(net) = Net::new() else { return };
    net.cable("w0", "w1").unwrap();
    let config = Config::new();
    let mut sensor = net.sensor(&[
        "-i",
        "w0",
        "v0",
        "--store",
        "none",
        "--format",
        "json",
        "--config",
        &config.path,
    ]);
    ip(&["-n", &net.here, "link", "del", "w0"]).unwrap();
    sensor.hears("w0: ");
    net.talk();
    // The kernel's ring goes with the interface: what was not yet read would be lost.
    sensor.hears("MCP server seen");
    sensor.signal("TERM");
    let (code, report, log) = sensor.ends();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (code, &report["servers"][0]["server_name"]),
        (4, &json!("weather")),
        "{log:?}"
    );
    assert_eq!(
        log.iter().filter(|line| line.contains("w0: capture ended")).count(),
        1,
        "{log:?}"
    );
}

#[test]
fn an_interface_that_is_back_is_captured_again() {
    for workers in ["1", "2"] {
        let Some(net) = Net::new() else { return };
        let config = Config::new();
        let line = ["-i", "v0", "--store", "none", "--format", "json", "--workers", workers];
        let mut sensor = net.sensor(&[&line[..], &["--config", &config.path]].concat());
        // Down and up again is nothing to a handle; a new interface of the old name needs new ones.
        ip(&["-n", &net.here, "link", "set", "v0", "down"]).unwrap();
        ip(&["-n", &net.here, "link", "set", "v0", "up"]).unwrap();
        net.talk();
        sensor.hears("MCP server seen");
        ip(&["-n", &net.here, "link", "del", "v0"]).unwrap();
        sensor.hears("v0: capture ended");
        net.wire().unwrap();
        sensor.hears("v0: is back");
        net.talk();
        sensor.signal("TERM");
        let (code, report, log) = sensor.ends();
        let report: Value = serde_json::from_str(&report).unwrap();
        // What was sent meanwhile is lost, and that is told.
        assert_eq!(code, 4, "{log:?}");
        assert_eq!(report["servers"][0]["messages"]["requests"], 6, "{report}");
    }
}

#[test]
fn rules_are_reloaded_and_wrong_ones_are_not() {
    let Some(net) = Net::new() else { return };
    let config = Config::new();
    let policy = config.folder.path().join("policy.toml");
    std::fs::write(&policy, "").unwrap();
    let line = [
        "-i",
        "v0",
        "--store",
        "none",
        "--format",
        "json",
        "--config",
        &config.path,
    ];
    let mut sensor = net.sensor(&line);
    net.talk();
    sensor.hears("not approved");

    std::fs::write(&policy, "[[approve]]\nadress = '10.77.0.2'\n").unwrap();
    sensor.signal("HUP");
    sensor.hears("policy.toml:2: ");
    sensor.hears("the rules from before stay in force");

    std::fs::write(&policy, format!("[[approve]]\naddress = '{SERVER}'\nowner = 'us'\n")).unwrap();
    std::fs::write(&config.path, "[store]\ninterval_ms = 300\n").unwrap();
    sensor.signal("HUP");
    sensor.hears(
        "policy and signatures are reloaded; changed as well, and in force only after a new start: store.interval_ms",
    );
    sensor.signal("TERM");
    let (code, report, log) = sensor.ends();
    assert_eq!(code, 0, "{log:?}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["servers"][0]["approved"], true, "{report}");
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.iter().all(|finding| finding["kind"] != "unapproved-server"),
        "{report}"
    );
}

#[test]
fn a_wrong_interface_is_told_with_the_right_ones() {
    let output = Command::new(SENSOR)
        .args(["live", "-i", "no-such-0", "--store", "none"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("no-such-0: there is no such interface; use one of "),
        "{told}"
    );
    assert!(told.contains("lo"), "{told}");
}
