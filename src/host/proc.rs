//! Processes, as the kernel shows them (proc(5)). They come and go meanwhile: whatever is gone is left out, and a number
//! that belongs to another process by now is told by when that one began.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::host::Program;

/// Bytes of a command line that are looked at.
const COMMAND_MAX_BYTES: u64 = 4_096;
/// Open files of one process that are looked at.
const FILES_MAX: usize = 65_536;
/// Names of users that are remembered.
const USERS_MAX: usize = 4_096;

/// Numbers of processes that are there, ascending.
pub(super) fn pids(root: &Path) -> Vec<u32> {
    let entries = fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// A process by number and by when it began, in ticks since the machine did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub(super) pid: u32,
    pub(super) began: u64,
}

/// See the module.
pub(super) struct Proc {
    root: PathBuf,
    users: HashMap<u32, String>,
}

impl Proc {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            users: HashMap::new(),
        }
    }

    pub(super) fn of(&self, pid: u32) -> PathBuf {
        self.root.join(pid.to_string())
    }

    /// Who has this number now.
    pub(super) fn id(&self, pid: u32) -> Option<Id> {
        let stat = fs::read_to_string(self.of(pid).join("stat")).ok()?;
        // The name before it may hold anything, brackets too.
        let (_, rest) = stat.rsplit_once(')')?;
        let began = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Id { pid, began })
    }

    /// Number of its network namespace.
    pub(super) fn space(&self, pid: u32) -> Option<u64> {
        numbered(&fs::read_link(self.of(pid).join("ns/net")).ok()?, "net")
    }

    /// Numbers of the sockets that it has open.
    pub(super) fn sockets(&self, pid: u32) -> Vec<u64> {
        let files = fs::read_dir(self.of(pid).join("fd")).into_iter().flatten();
        let links = files.filter_map(Result::ok).take(FILES_MAX);
        links
            .filter_map(|file| numbered(&fs::read_link(file.path()).ok()?, "socket"))
            .collect()
    }

    /// What there is to know of it; `None` for threads of the kernel and for what is gone.
    pub(super) fn program(&mut self, id: Id) -> Option<Program> {
        let folder = self.of(id.pid);
        let mut line = Vec::new();
        let file = fs::File::open(folder.join("cmdline")).ok()?;
        file.take(COMMAND_MAX_BYTES).read_to_end(&mut line).ok()?;
        let line = String::from_utf8_lossy(&line);
        let arguments: Vec<String> = line.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
        let uid = fs::metadata(&folder).ok()?.uid();
        let exe = fs::read_link(folder.join("exe")).ok();
        let input = fs::read_link(folder.join("fd/0")).ok();
        let program = Program {
            pid: id.pid,
            exe: exe.map(|exe| exe.to_string_lossy().into_owned()),
            user: self.user(uid),
            unit: fs::read_to_string(folder.join("cgroup"))
                .ok()
                .and_then(|text| unit(&text)),
            piped: input.is_some_and(|input| ["pipe", "socket"].iter().any(|kind| numbered(&input, kind).is_some())),
            arguments,
        };
        (!line.is_empty() && self.id(id.pid) == Some(id)).then_some(program)
    }

    fn user(&mut self, uid: u32) -> String {
        if self.users.len() >= USERS_MAX {
            self.users.clear();
        }
        let name = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        };
        self.users.entry(uid).or_insert_with(name).clone()
    }
}

/// The number in `kind:[number]`.
fn numbered(link: &Path, kind: &str) -> Option<u64> {
    let rest = link.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?;
    rest.strip_suffix(']')?.parse().ok()
}

/// Container or service out of the control groups of a process: the last part that is either.
fn unit(groups: &str) -> Option<String> {
    let parts = groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'));
    let name = |part: &str| {
        let bare = part.strip_suffix(".scope").unwrap_or(part);
        let id = bare.rsplit(['-', ':']).next().unwrap_or_default();
        if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return id.get(..12).map(|id| format!("container {id}"));
        }
        let service = part.ends_with(".service") && !part.starts_with("user@");
        service.then(|| part.to_owned())
    };
    parts.filter_map(name).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_is_seen() {
        let mut proc = Proc::new(Path::new("/proc"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = std::os::fd::AsFd::as_fd(&listener).try_clone_to_owned().unwrap();
        let inode = fs::File::from(inode).metadata().unwrap().ino();
        let id = proc.id(std::process::id()).unwrap();
        let program = proc.program(id).unwrap();
        assert!(program.arguments[0].contains("shadowtap"), "{program:?}");
        assert_eq!(program.exe.map(PathBuf::from), std::env::current_exe().ok());
        assert!(proc.sockets(id.pid).contains(&inode));
        assert!(proc.space(id.pid).is_some() && pids(Path::new("/proc")).contains(&id.pid));
        let other = Id {
            began: id.began + 1,
            ..id
        };
        assert!(proc.program(other).is_none(), "another process of the same number");
    }

    #[test]
    fn units_are_containers_and_services() {
        let id = "ab".repeat(32);
        for (groups, expect) in [
            ("0::/system.slice/nginx.service\n".to_owned(), Some("nginx.service")),
            (
                format!("0::/system.slice/docker-{id}.scope\n"),
                Some("container abababababab"),
            ),
            (format!("1:cpu:/docker/{id}\n"), Some("container abababababab")),
            (
                format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope\n"),
                Some("container abababababab"),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/mcp.service\n".to_owned(),
                Some("mcp.service"),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/init.scope\n".to_owned(),
                None,
            ),
            ("0::/\n".to_owned(), None),
        ] {
            assert_eq!(unit(&groups).as_deref(), expect, "{groups}");
        }
    }
}
