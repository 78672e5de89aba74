//! Least privilege, proved from inside: this program gives up its rights as a sensor does and tries what an intruder would.
//!
//! Rights go for good, for a thread and what it starts, so that every attempt is a process of its own: this program run
//! again with a role. It has no test harness, which would have started threads before.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shadowtap::confine::{Confined, Plan};

const ROLE: &str = "CONFINE_ROLE";
const FOLDER: &str = "CONFINE_FOLDER";
const PORTS: &str = "CONFINE_PORTS";
/// An attempt that did not come out as it must.
const WRONG: i32 = 9;
/// The kernel has no such restriction.
const ABSENT: i32 = 77;

type Attempt = (&'static str, fn(&Tried), Ends);

/// What is tried, and how it must end.
const ATTEMPTS: &[Attempt] = &[
    ("a_file_outside_is_not_read", outside_is_not_read, Ends::Well),
    ("nothing_is_written_outside", outside_is_not_written, Ends::Well),
    ("a_folder_outside_is_not_listed", outside_is_not_listed, Ends::Well),
    ("own_folders_are_read_and_written", own_folders, Ends::Well),
    ("threads_are_started_and_processes_are_not", no_processes, Ends::Well),
    ("another_program_ends_it", another_program, Ends::Killed),
    ("looking_into_another_process_ends_it", another_process, Ends::Killed),
    ("ports_that_are_not_named_are_shut", ports, Ends::Well),
    ("without_a_use_for_ip_there_are_no_sockets", no_sockets, Ends::Well),
    ("no_right_is_left", no_rights, Ends::Well),
    ("threads_that_run_already_are_told", late, Ends::Well),
    ("another_user_is_taken_on", another_user, Ends::Well),
    ("an_unknown_user_is_told", unknown_user, Ends::Well),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    /// By SIGSYS.
    Killed,
}

/// Where an attempt is made.
struct Tried {
    folder: PathBuf,
    /// A port that is named, and one that is not; somebody listens on both.
    ports: [u16; 2],
}

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        let (_, attempt, _) = ATTEMPTS.iter().find(|(name, ..)| *name == role).unwrap();
        let ports = std::env::var(PORTS).unwrap();
        let ports: Vec<u16> = ports.split(',').map(|port| port.parse().unwrap()).collect();
        attempt(&Tried {
            folder: std::env::var(FOLDER).unwrap().into(),
            ports: [ports[0], ports[1]],
        });
        return;
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let mut failed = 0;
    for (name, _, ends) in ATTEMPTS {
        if filter.as_ref().is_none_or(|filter| name.contains(filter)) {
            failed += usize::from(!passes(name, *ends));
        }
    }
    assert_eq!(failed, 0, "attempts that did not end as they must");
}

fn passes(name: &str, ends: Ends) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners
        .each_ref()
        .map(|listener| listener.local_addr().unwrap().port());
    let output = Command::new(std::env::current_exe().unwrap())
        .env(ROLE, name)
        .env(FOLDER, folder.path())
        .env(PORTS, format!("{},{}", ports[0], ports[1]))
        .output()
        .unwrap();
    let Output { status, stderr, .. } = &output;
    let said = String::from_utf8_lossy(stderr);
    let (passes, word) = match ends {
        _ if status.code() == Some(ABSENT) => (std::env::var_os("SHADOWTAP_REQUIRE_INTEROP").is_none(), "skipped"),
        Ends::Well => (status.success(), "ok"),
        Ends::Killed => (status.signal() == Some(libc::SIGSYS), "ok"),
    };
    println!("test {name} ... {}", if passes { word } else { "FAILED" });
    if !passes || word == "skipped" {
        println!("{status}: {}", said.trim());
    }
    passes
}

impl Tried {
    fn plan(&self) -> Plan {
        Plan {
            write: vec![self.folder.clone()],
            ..Plan::default()
        }
    }

    /// Confined as planned; where the kernel cannot, the attempt says so.
    fn confine(&self, plan: &Plan) -> Confined {
        plan.prepare().unwrap();
        let confined = plan.apply().unwrap_or_else(|error| panic!("{error}"));
        needs(confined.files.is_some(), "Landlock");
        needs(confined.calls, "seccomp");
        confined
    }
}

fn needs(there: bool, what: &str) {
    if !there {
        eprintln!("this kernel has no {what}");
        std::process::exit(ABSENT);
    }
}

fn holds(holds: bool, what: &str) {
    if !holds {
        eprintln!("{what}");
        std::process::exit(WRONG);
    }
}

fn refused<T>(result: std::io::Result<T>, what: &str) {
    let kind = result.err().map(|error| error.kind());
    holds(kind == Some(ErrorKind::PermissionDenied), &format!("{what}: {kind:?}"));
}

fn outside_is_not_read(tried: &Tried) {
    tried.confine(&tried.plan());
    refused(fs::read("/etc/passwd"), "/etc/passwd");
    refused(fs::read("/proc/self/environ"), "/proc/self/environ");
    // A detour through a link of ours leads to where it points.
    std::os::unix::fs::symlink("/etc/passwd", tried.folder.join("link")).unwrap_err();
}

fn outside_is_not_written(tried: &Tried) {
    let beside = tempfile::tempdir().unwrap().keep();
    let victim = beside.join("victim");
    fs::write(&victim, "kept").unwrap();
    let check = victim.clone();
    tried.confine(&tried.plan());
    refused(fs::write(beside.join("new"), "x"), "a new file");
    refused(fs::OpenOptions::new().append(true).open(&victim), "an old file");
    refused(fs::remove_file(&victim), "to remove a file");
    holds(
        fs::metadata(&check).is_ok_and(|found| found.len() == 4),
        "the file is whole",
    );
}

fn outside_is_not_listed(tried: &Tried) {
    tried.confine(&tried.plan());
    refused(fs::read_dir("/etc"), "/etc");
    refused(fs::read_dir("/proc"), "/proc");
}

fn own_folders(tried: &Tried) {
    let rules = tempfile::tempdir().unwrap();
    fs::write(rules.path().join("policy.toml"), "x").unwrap();
    let plan = Plan {
        read: vec![rules.path().to_owned(), PathBuf::from("/no/such/folder")],
        ..tried.plan()
    };
    tried.confine(&plan);
    let file = tried.folder.join("store.db");
    fs::write(&file, "x").unwrap();
    fs::rename(&file, tried.folder.join("older.db")).unwrap();
    fs::remove_file(tried.folder.join("older.db")).unwrap();
    holds(fs::read(rules.path().join("policy.toml")).is_ok(), "rules are read");
    refused(fs::write(rules.path().join("policy.toml"), "y"), "rules are written");
}

fn no_processes(tried: &Tried) {
    tried.confine(&tried.plan());
    let thread = std::thread::spawn(|| fs::read("/etc/passwd").map(drop));
    refused(thread.join().unwrap(), "a thread is confined, too");
    let error = Command::new("/bin/true").spawn().map(drop).unwrap_err();
    holds(
        error.kind() == ErrorKind::PermissionDenied,
        &format!("a process: {error}"),
    );
}

fn another_program(tried: &Tried) {
    tried.confine(&tried.plan());
    let error = Command::new("/bin/true").exec();
    eprintln!("it goes on: {error}");
}

fn another_process(tried: &Tried) {
    tried.confine(&tried.plan());
    let error = nix::sys::ptrace::traceme();
    eprintln!("it goes on: {error:?}");
}

fn ports(tried: &Tried) {
    let [named, other] = tried.ports;
    let plan = Plan {
        connect: vec![named],
        listen: vec![0],
        ..tried.plan()
    };
    let confined = tried.confine(&plan);
    needs(confined.ports, "ports in Landlock");
    holds(
        TcpStream::connect(("127.0.0.1", named)).is_ok(),
        "the port that is named",
    );
    refused(TcpStream::connect(("127.0.0.1", other)), "a port that is not named");
    holds(TcpListener::bind("127.0.0.1:0").is_ok(), "any free port to listen on");
    refused(TcpListener::bind("127.0.0.1:47470"), "another one to listen on");
}

fn no_sockets(tried: &Tried) {
    tried.confine(&tried.plan());
    refused(TcpStream::connect(("127.0.0.1", tried.ports[0])), "TCP");
    refused(UdpSocket::bind("127.0.0.1:0"), "UDP");
    refused(
        std::os::unix::net::UnixDatagram::bind("/tmp/shadowtap-no-socket"),
        "a name for a socket",
    );
}

fn no_rights(tried: &Tried) {
    let confined = tried.confine(&tried.plan());
    holds(confined.capabilities.is_empty(), "no capability is named");
    // Its own state is the one thing that it may not even read.
    refused(fs::read("/proc/self/status"), "/proc/self/status");
    for set in [
        caps::CapSet::Effective,
        caps::CapSet::Permitted,
        caps::CapSet::Inheritable,
    ] {
        holds(
            caps::read(None, set).is_ok_and(|held| held.is_empty()),
            "the set is empty",
        );
    }
    refused(
        fs::set_permissions("/etc/passwd", std::os::unix::fs::PermissionsExt::from_mode(0o644)),
        "chmod",
    );
}

fn late(tried: &Tried) {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || held.recv().is_err());
    let told = tried.plan().apply().unwrap_err().to_string();
    holds(told.starts_with("2 threads run already"), &told);
    drop(release);
    thread.join().unwrap();
}

fn another_user(tried: &Tried) {
    needs(nix::unistd::Uid::effective().is_root(), "root to start it");
    let folder = tried.folder.join("store");
    fs::set_permissions(&tried.folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let plan = Plan {
        user: Some("nobody".to_owned()),
        capture: true,
        write: vec![folder.clone()],
        ..Plan::default()
    };
    let confined = tried.confine(&plan);
    holds(
        confined.user == "nobody" && confined.capabilities == ["CAP_NET_RAW"],
        "user and rights",
    );
    fs::write(folder.join("file"), "x").unwrap();
    holds(owner(&folder.join("file")) != 0, "it is the user's");
    holds(
        nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_err(),
        "there is no way back",
    );
}

fn owner(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap())
}

fn unknown_user(tried: &Tried) {
    let plan = Plan {
        user: Some("no-such-user".to_owned()),
        ..tried.plan()
    };
    let told = plan.apply().unwrap_err().to_string();
    holds(told.contains("useradd --system no-such-user"), &told);
}
