//! What the tests share: servers and clients that go when the test does, a capture, and the report of it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const SENSOR: &str = env!("CARGO_BIN_EXE_shadowtap");
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test, or tells why it cannot be run here.
pub(crate) fn attempt(test: impl FnOnce() -> Result<(), String>) {
    match test() {
        Ok(()) => {}
        Err(why) if std::env::var_os("SHADOWTAP_REQUIRE_INTEROP").is_some() => panic!("{why}"),
        Err(why) => eprintln!("skipped: {why}"),
    }
}

/// A file beside this one.
pub(crate) fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

/// A program of the Python packages that `.ci/venv` installs.
pub(crate) fn python(name: &str) -> Result<PathBuf, String> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin").join(name);
    let there = program.exists();
    there
        .then_some(program)
        .ok_or_else(|| format!("no {name} in target/venv: run .ci/venv"))
}

/// A program of the system.
pub(crate) fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut found = folders.map(|folder| folder.join(name)).filter(|file| file.exists());
    found.next().ok_or_else(|| format!("no {name}: run .ci/deps {name}"))
}

/// A port that nobody uses.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A program that is ended with its owner.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        let log = File::create(log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self(child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for something to become true.
pub(crate) fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until somebody listens on a port.
pub(crate) fn listens(port: u16) {
    wait("a server", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
}

/// The sensor under test.
pub(crate) fn sensor() -> Command {
    Command::new(SENSOR)
}

/// Runs a client to its end.
pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// A capture of one port of the loopback interface.
pub(crate) struct Capture {
    running: Running,
    file: PathBuf,
    marker: u16,
}

impl Capture {
    /// Starts it, and waits until it sees packets.
    pub(crate) fn start(folder: &TempDir, port: u16) -> Result<Self, String> {
        let (file, log) = (folder.path().join("capture.pcap"), folder.path().join("tcpdump.log"));
        let marker = free_port();
        let mut command = Command::new(program("tcpdump")?);
        command
            .args(["-i", "lo", "-U", "--immediate-mode", "-s", "0", "-B", "16384", "-w"])
            .arg(&file);
        command.arg(format!("port {port} or udp port {marker}"));
        let capture = Self {
            running: Running::start(&mut command, &log)?,
            file,
            marker,
        };
        let start = Instant::now();
        while !std::fs::read_to_string(&log).unwrap().contains("listening on") {
            if start.elapsed() > Duration::from_secs(5) {
                let why = std::fs::read_to_string(&log).unwrap();
                return Err(format!("tcpdump does not capture: {}", why.trim()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(capture)
    }

    /// The report of what was captured so far.
    pub(crate) fn report(self) -> Value {
        self.report_with(&[])
    }

    /// As [`Self::report`], with more arguments.
    pub(crate) fn report_with(self, arguments: &[&Path]) -> Value {
        let mark = b"shadowtap-interop-mark";
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        wait("the capture", || {
            socket.send_to(mark, (Ipv4Addr::LOCALHOST, self.marker)).unwrap();
            let seen = std::fs::read(&self.file).unwrap_or_default();
            seen.windows(mark.len()).any(|window| window == mark)
        });
        drop(self.running);
        let mut command = sensor();
        command
            .args(["replay", "--format", "json", "--store", "none"])
            .arg(&self.file)
            .args(arguments);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}
