//! Who the process is and what it may: core dumps, user, groups, capabilities (capabilities(7)).

use std::ffi::CString;
use std::fmt::Display;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, chown};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, initgroups, setgroups, setresgid, setresuid};

use super::{ConfineError, Plan};

/// Threads of this process.
pub(super) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Makes the folders to write in that are not there yet, and gives them to the user of the plan.
pub(super) fn make_folders(plan: &Plan) -> Result<(), ConfineError> {
    for folder in plan.write.iter().filter(|folder| !folder.exists()) {
        let failed = |error: std::io::Error| ConfineError::Folder {
            folder: folder.clone(),
            what: error.to_string(),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        if let Some(name) = &plan.user {
            let user = user(name)?;
            chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(failed)?;
        }
    }
    Ok(())
}

fn user(name: &str) -> Result<User, ConfineError> {
    let found = User::from_name(name).ok().flatten();
    found.ok_or_else(|| ConfineError::NoUser(name.to_owned()))
}

/// Becomes the user of the plan with what capabilities it needs, and gives both as words.
pub(super) fn give_up(plan: &Plan) -> Result<(String, Vec<&'static str>), ConfineError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(refused("core dumps"))?;
    let kept = kept(plan)?;
    // Who is nobody special has nothing in it that could be dropped.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        for capability in caps::all().difference(&kept) {
            // What this kernel does not know is not there.
            let _ = caps::drop(None, CapSet::Bounding, *capability);
        }
    }
    let user = match &plan.user {
        Some(name) => {
            become_user(name)?;
            name.clone()
        }
        None => present_user(),
    };
    let set = |set, to: &CapsHashSet| caps::set(None, set, to).map_err(refused("capabilities"));
    // Kernels before 4.3 have no ambient set.
    let _ = caps::clear(None, CapSet::Ambient);
    set(CapSet::Effective, &kept)?;
    set(CapSet::Permitted, &kept)?;
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    prctl::set_no_new_privs().map_err(refused("new privileges"))?;
    // Last of all: a change of user sets it anew. Also bars debuggers and other processes of the same user.
    prctl::set_dumpable(false).map_err(refused("core dumps"))?;
    let words = KEPT.iter().filter(|(capability, ..)| kept.contains(capability));
    Ok((user, words.map(|(_, word, _)| *word).collect()))
}

/// Of what there is, what the plan needs.
fn kept(plan: &Plan) -> Result<CapsHashSet, ConfineError> {
    let there = caps::read(None, CapSet::Permitted).map_err(refused("capabilities"))?;
    let needed = KEPT.iter().filter(|(_, _, needs)| needs(plan));
    Ok(needed
        .map(|(capability, ..)| *capability)
        .filter(|it| there.contains(it))
        .collect())
}

/// What may be kept, its name, and by which plan.
type Kept = (Capability, &'static str, fn(&Plan) -> bool);
const KEPT: [Kept; 3] = [
    (Capability::CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", |plan| {
        plan.processes
    }),
    (Capability::CAP_NET_RAW, "CAP_NET_RAW", |plan| plan.capture),
    (Capability::CAP_SYS_PTRACE, "CAP_SYS_PTRACE", |plan| plan.processes),
];

fn become_user(name: &str) -> Result<(), ConfineError> {
    let user = user(name)?;
    if user.uid == Uid::current() && user.uid == Uid::effective() {
        return Ok(());
    }
    let failed = |error: nix::Error| ConfineError::NotRoot {
        user: name.to_owned(),
        what: error.desc().to_owned(),
    };
    // Else a change of user clears all capabilities at once.
    prctl::set_keepcaps(true).map_err(failed)?;
    let groups = CString::new(name).map_err(|_| ConfineError::NoUser(name.to_owned()))?;
    // A user of a container has no database of groups; then its own one is enough.
    initgroups(&groups, user.gid)
        .or_else(|_| setgroups(&[user.gid]))
        .map_err(failed)?;
    let (gid, uid): (Gid, Uid) = (user.gid, user.uid);
    setresgid(gid, gid, gid).map_err(failed)?;
    setresuid(uid, uid, uid).map_err(failed)?;
    prctl::set_keepcaps(false).map_err(failed)
}

fn present_user() -> String {
    let uid = Uid::effective();
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn refused<E: Display>(what: &'static str) -> impl FnOnce(E) -> ConfineError {
    move |error| ConfineError::Refused {
        what,
        why: error.to_string(),
    }
}
