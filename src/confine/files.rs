//! Files and TCP ports by Landlock (landlock(7)), as far as the kernel has it: files from 5.13 on, ports from 6.7 on.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, LandlockStatus, NetPort, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{ConfineError, Plan};

/// The newest version whose restrictions were tried here. An older kernel enforces what it knows of it.
const KNOWN: ABI = ABI::V7;
/// From this version on ports are held.
const PORTS: u32 = 4;

/// What every sensor reads.
const ALWAYS_READ: [&str; 4] = [
    "/dev/null",
    "/dev/urandom",
    "/proc/sys/kernel/hostname",
    "/sys/class/net",
];
/// What resolving a name reads: configuration, trusted roots, and the libraries that glibc loads for it.
const RESOLVER_READ: [&str; 18] = [
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/lib",
    "/lib64",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/ca-certificates",
];
/// Where names of services are asked for.
const DNS_PORT: u16 = 53;

/// Version of Landlock in force, and whether it holds ports.
pub(super) fn give_up(plan: &Plan) -> Result<(Option<u32>, bool), ConfineError> {
    let restricted = restrict(plan).map_err(|error| ConfineError::Refused {
        what: "files",
        why: error.to_string(),
    })?;
    Ok((restricted, restricted.is_some_and(|version| version >= PORTS)))
}

fn restrict(plan: &Plan) -> Result<Option<u32>, RulesetError> {
    let resolver = RESOLVER_READ.iter().filter(|_| plan.resolve);
    let fixed = ALWAYS_READ.iter().chain(resolver).map(|path| Path::new(*path));
    let read = fixed.chain(plan.read.iter().map(PathBuf::as_path));
    let ports = |ports: &[u16], access: AccessNet| -> Vec<Result<NetPort, RulesetError>> {
        ports.iter().map(|port| Ok(NetPort::new(*port, access))).collect()
    };
    let resolver = [DNS_PORT];
    let resolver = if plan.resolve { &resolver[..] } else { &[] };
    let connect = [&plan.connect[..], resolver].concat();
    let held = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(&plan.write, writing()))?
        .add_rules(ports(&connect, AccessNet::ConnectTcp))?
        .add_rules(ports(&plan.listen, AccessNet::BindTcp))?
        .restrict_self()?;
    Ok(match held.landlock {
        LandlockStatus::Available { effective_abi, .. } if held.ruleset != RulesetStatus::NotEnforced => {
            Some((effective_abi as u32).min(KNOWN as u32))
        }
        _ => None,
    })
}

/// Files come and go in a folder of ours; nothing in it is ever run, and no device made.
fn writing() -> landlock::BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}
