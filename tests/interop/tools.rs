//! What the tests share: servers and clients that go when the test does, a capture, and the report of it.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
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

/// Where `.ci/npm` installs the Node packages.
pub(crate) fn packages() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/npm");
    let there = folder.join("installed.json").exists();
    there
        .then_some(folder)
        .ok_or_else(|| "no packages in target/npm: run .ci/npm".to_owned())
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

/// Starts a program, interrupts it at a word, and ends its whole process group when nobody holds the other end of standard
/// input any more: neither a failed test nor a killed one leaves the workers of a server behind.
const LEASH: &str = r#""$@" </dev/null & read -r word && kill -INT $! && wait $!; kill -KILL 0"#;

/// A program that is ended with its owner, with all that it started.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &Command, log: &Path) -> Result<Self, String> {
        let log = File::create(log).unwrap();
        Self::with(command, log.try_clone().unwrap(), log)
    }

    /// Output and errors of the program go to these files.
    pub(crate) fn with(command: &Command, output: File, errors: File) -> Result<Self, String> {
        let mut leash = Command::new("sh");
        leash.args(["-c", LEASH, "sh"]).arg(command.get_program());
        leash.args(command.get_args()).process_group(0);
        leash.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            leash.current_dir(folder);
        }
        leash.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let child = leash.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self(child))
    }

    /// Interrupts the program, and waits for its end.
    pub(crate) fn interrupt(mut self) {
        let mut leash = self.0.stdin.take().unwrap();
        leash.write_all(b"stop\n").unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
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
    listens_at(Ipv4Addr::LOCALHOST, port);
}

/// As [`listens`], at another address.
pub(crate) fn listens_at(addr: Ipv4Addr, port: u16) {
    wait("a server", || TcpStream::connect((addr, port)).is_ok());
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

/// A capture of the loopback interface.
pub(crate) struct Capture {
    running: Running,
    file: PathBuf,
    marker: u16,
}

impl Capture {
    /// Of one port.
    pub(crate) fn start(folder: &TempDir, port: u16) -> Result<Self, String> {
        Self::of(folder, &format!("port {port}"))
    }

    /// Starts one of what a filter lets through, and waits until it sees packets.
    pub(crate) fn of(folder: &TempDir, filter: &str) -> Result<Self, String> {
        let (file, log) = (folder.path().join("capture.pcap"), folder.path().join("tcpdump.log"));
        let marker = free_port();
        let mut command = Command::new(program("tcpdump")?);
        command
            .args(["-i", "lo", "-U", "--immediate-mode", "-s", "0", "-B", "16384", "-w"])
            .arg(&file);
        command.arg(format!("{filter} or udp port {marker}"));
        let capture = Self {
            running: Running::start(&command, &log)?,
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
