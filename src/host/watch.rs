//! The process that looks: a snapshot as a line of JSON each time that something changed, else an empty line, which finds
//! out whether anybody still listens.
//!
//! Cost per look: a few small files a process; the open files of a process are read only when a socket is new.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::host::proc::{Id, Proc, pids};
use crate::host::sockets::{listener, own_v4, own_v6};
use crate::host::{Gone, Listener, Program, Snapshot, Space};

/// Processes that are looked at.
const PROGRAMS_MAX: usize = 32_768;
/// Sockets that listen, and namespaces, that are looked at.
const LISTENERS_MAX: usize = 16_384;
const SPACES_MAX: usize = 1_024;
/// Sockets that are remembered when they are gone.
const GONE_MAX: usize = 256;
/// Longest line that is sent.
pub(super) const LINE_MAX_BYTES: usize = 64 << 20;

/// Looks every so often and writes what it saw, until nobody reads it any more.
///
/// # Errors
/// When nobody reads it.
pub fn watch(out: &mut impl Write, interval: Duration) -> io::Result<()> {
    let mut looker = Looker::new(Path::new("/proc"));
    let mut last = String::new();
    loop {
        let line = serde_json::to_string(&looker.look())?;
        if line != last && line.len() < LINE_MAX_BYTES {
            out.write_all(line.as_bytes())?;
            last = line;
        }
        out.write_all(b"\n")?;
        out.flush()?;
        thread::sleep(interval);
    }
}

struct Looker {
    proc: Proc,
    /// By process, so that what does not change is read once.
    programs: HashMap<Id, Program>,
    /// Who has a socket open, by its number.
    owners: HashMap<u64, Id>,
    /// Sockets that nobody was seen to have, and how many processes there were then.
    ownerless: HashSet<u64>,
    /// Sockets of the last look, by their number.
    before: HashMap<u64, Gone>,
    gone: VecDeque<Gone>,
}

impl Looker {
    fn new(root: &Path) -> Self {
        Self {
            proc: Proc::new(root),
            programs: HashMap::new(),
            owners: HashMap::new(),
            ownerless: HashSet::new(),
            before: HashMap::new(),
            gone: VecDeque::new(),
        }
    }

    fn look(&mut self) -> Snapshot {
        let all = pids(self.proc.of(0).parent().unwrap_or_else(|| Path::new("/proc")));
        let mut left_out = all.len().saturating_sub(PROGRAMS_MAX) as u64;
        let ids: Vec<Id> = all
            .iter()
            .take(PROGRAMS_MAX)
            .filter_map(|pid| self.proc.id(*pid))
            .collect();
        let fresh = self.learn(&ids);
        let (mut spaces, numbers) = self.spaces(&ids, &mut left_out);
        self.find_owners(&ids, &numbers, fresh);
        for (space, numbers) in spaces.iter_mut().zip(&numbers) {
            for (listener, inode) in space.listeners.iter_mut().zip(numbers) {
                listener.pid = self.owners.get(inode).map(|id| id.pid);
            }
        }
        self.part(&spaces, &numbers);
        let mut programs: Vec<Program> = self.programs.values().cloned().collect();
        programs.sort_by_key(|program| program.pid);
        Snapshot {
            spaces,
            programs,
            gone: self.gone.iter().cloned().collect(),
            left_out,
        }
    }

    /// Remembers sockets that were there at the last look and are no more.
    fn part(&mut self, spaces: &[Space], numbers: &[Vec<u64>]) {
        let mut present = HashMap::new();
        for (nth, (space, numbers)) in spaces.iter().zip(numbers).enumerate() {
            for (listener, inode) in space.listeners.iter().zip(numbers) {
                let program = self.owners.get(inode).and_then(|id| self.programs.get(id));
                let state = Gone {
                    own: nth == 0,
                    space: Space {
                        addresses: space.addresses.clone(),
                        listeners: vec![listener.clone()],
                    },
                    program: program.cloned(),
                };
                present.insert(*inode, state);
            }
        }
        let before = std::mem::replace(&mut self.before, present);
        let mut left: Vec<(u64, Gone)> = before
            .into_iter()
            .filter(|(inode, _)| !self.before.contains_key(inode))
            .collect();
        left.sort_by_key(|(inode, _)| *inode);
        for (_, gone) in left {
            self.gone.push_front(gone);
        }
        self.gone.truncate(GONE_MAX);
    }

    /// Forgets processes that are gone, and reads those that are new; whether there were any.
    fn learn(&mut self, ids: &[Id]) -> bool {
        let present: HashSet<Id> = ids.iter().copied().collect();
        self.programs.retain(|id, _| present.contains(id));
        self.owners.retain(|_, id| present.contains(id));
        let mut fresh = false;
        for id in ids {
            if let Some(program) = self.proc.program(*id) {
                // A process becomes another program (execve(2)) and stays the same process.
                fresh |= self.programs.insert(*id, program.clone()).as_ref() != Some(&program);
            }
        }
        fresh
    }

    /// Every namespace, the own one first, with the numbers of its sockets in their order.
    fn spaces(&self, ids: &[Id], left_out: &mut u64) -> (Vec<Space>, Vec<Vec<u64>>) {
        let own = self.proc.space(std::process::id());
        let mut first = BTreeMap::new();
        for id in ids {
            if let Some(number) = self.proc.space(id.pid) {
                first.entry((Some(number) != own, number)).or_insert(id.pid);
            }
        }
        *left_out += first.len().saturating_sub(SPACES_MAX) as u64;
        first
            .values()
            .take(SPACES_MAX)
            .map(|pid| self.one_space(*pid, left_out))
            .unzip()
    }

    fn one_space(&self, pid: u32, left_out: &mut u64) -> (Space, Vec<u64>) {
        let read = |name: &str| fs::read_to_string(self.proc.of(pid).join("net").join(name)).unwrap_or_default();
        let mut addresses = own_v4(&read("fib_trie"));
        addresses.extend(own_v6(&read("if_inet6")));
        let (mut listeners, mut numbers) = (Vec::new(), Vec::new());
        for (at, inode) in [read("tcp"), read("tcp6")]
            .iter()
            .flat_map(|text| text.lines().filter_map(listener))
        {
            if listeners.len() < LISTENERS_MAX {
                listeners.push(Listener { at, pid: None });
                numbers.push(inode);
            } else {
                *left_out += 1;
            }
        }
        (Space { addresses, listeners }, numbers)
    }

    /// Looks into open files where a socket is new, or where whoever has it may be.
    fn find_owners(&mut self, ids: &[Id], numbers: &[Vec<u64>], fresh: bool) {
        let wanted: HashSet<u64> = numbers.iter().flatten().copied().collect();
        self.owners.retain(|inode, _| wanted.contains(inode));
        let known = |inode: &u64| self.owners.contains_key(inode) || (!fresh && self.ownerless.contains(inode));
        if wanted.iter().all(known) {
            return;
        }
        // The first one in the order of numbers: whoever opened it began before those that it handed it to.
        for id in ids {
            for inode in self.proc.sockets(id.pid) {
                if wanted.contains(&inode) {
                    self.owners.entry(inode).or_insert(*id);
                }
            }
        }
        self.ownerless = wanted
            .into_iter()
            .filter(|inode| !self.owners.contains_key(inode))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_this_process_is_found_with_its_owner_and_remembered() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let this = std::process::id();
        let mut looker = Looker::new(Path::new("/proc"));
        let snapshot = looker.look();
        let pid = |snapshot: &Snapshot| snapshot.find(at).map(|(_, program)| program.map(|program| program.pid));
        assert_eq!(pid(&snapshot), Some(Some(this)));
        assert!(snapshot.program(this).is_some() && snapshot.listens(this) && snapshot.gone.is_empty());
        let line = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&line).unwrap(), snapshot);
        drop(listener);
        let after = looker.look();
        assert!(after.spaces[0].listener(at).is_none());
        assert_eq!(pid(&after), Some(Some(this)), "it is remembered");
    }

    #[test]
    fn it_ends_when_nobody_reads() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        assert!(watch(&mut writer, Duration::from_millis(1)).is_err());
    }
}
