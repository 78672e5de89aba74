//! System calls by seccomp (seccomp(2)): a list of those that are allowed, everything else fails with `EPERM`, and what
//! only an intruder would do ends the process.
//!
//! Three filters, for a filter knows two answers. They are all asked, and the strictest answer counts.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition as Condition,
    SeccompFilter, SeccompRule as Rule, TargetArch, apply_filter,
};

use super::{ConfineError, Plan};

/// To run a program, to look into or change another process, to change the kernel or what is mounted: never needed, and
/// the process ends.
const FATAL: &[c_long] = &[
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Allowed whatever the arguments: memory, files (which Landlock holds), time, threads, sockets that are there.
const ALLOWED: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_linkat,
    libc::SYS_listen,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socketpair,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older names of calls above, which younger machines do not have.
#[cfg(target_arch = "x86_64")]
const ALSO_ALLOWED: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getdents,
    libc::SYS_getrlimit,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALSO_ALLOWED: &[c_long] = &[];

/// Types characters into a terminal, as if somebody sat there.
const TIOCSTI: u64 = 0x5412;
/// Pastes into a console.
const TIOCLINUX: u64 = 0x541c;

/// Whether the filters are in force; a machine for which there is no compiler of filters goes without.
pub(super) fn give_up(plan: &Plan) -> Result<bool, ConfineError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(false);
    };
    for filter in filters(plan, arch).map_err(refused)? {
        match apply_filter(&filter) {
            Ok(()) => {}
            // CONFIG_SECCOMP_FILTER is not set.
            Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error))
                if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(true)
}

fn refused(error: impl std::fmt::Display) -> ConfineError {
    ConfineError::Refused {
        what: "system calls",
        why: error.to_string(),
    }
}

type Rules = BTreeMap<c_long, Vec<Rule>>;

fn filters(plan: &Plan, arch: TargetArch) -> Result<Vec<BpfProgram>, seccompiler::Error> {
    let all = |calls: &[c_long]| -> Rules { calls.iter().map(|call| (*call, Vec::new())).collect() };
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let compile = |rules: Rules, hit, miss| -> Result<BpfProgram, seccompiler::Error> {
        let filter = SeccompFilter::new(rules, miss, hit, arch).and_then(TryInto::try_into);
        filter.map_err(seccompiler::Error::Backend)
    };
    // Of two filters that fail a call the last one gives the number: it lets pass what the one before it has an answer to.
    let mut allowed = all(&[ALLOWED, ALSO_ALLOWED, &[libc::SYS_clone3]].concat());
    allowed.extend(conditional(plan).map_err(seccompiler::Error::Backend)?);
    Ok(vec![
        compile(all(FATAL), SeccompAction::KillProcess, SeccompAction::Allow)?,
        // Its flags lie in memory, where no filter sees them; told that it is not there, the C library uses clone(2).
        compile(all(&[libc::SYS_clone3]), errno(libc::ENOSYS), SeccompAction::Allow)?,
        compile(allowed, SeccompAction::Allow, errno(libc::EPERM))?,
    ])
}

/// Calls that are allowed with some arguments only.
fn conditional(plan: &Plan) -> Result<Rules, seccompiler::BackendError> {
    let one = |arg, op, value: u64| -> Result<Rule, seccompiler::BackendError> {
        Rule::new(vec![Condition::new(arg, Len::Qword, op, value)?])
    };
    let word = |arg, op, value: u64| Condition::new(arg, Len::Dword, op, value);
    let flag = |bits: i32| u64::from(bits.unsigned_abs());
    let thread = flag(libc::CLONE_THREAD);
    let (write, execute) = (flag(libc::PROT_WRITE), flag(libc::PROT_EXEC));
    let both = write | execute;
    let mut rules = Rules::from([
        // Threads, and no other processes.
        (libc::SYS_clone, vec![one(0, Op::MaskedEq(thread), thread)?]),
        // No memory is written and run; libraries are mapped to be run as they are.
        (
            libc::SYS_mmap,
            vec![
                one(2, Op::MaskedEq(both), 0)?,
                one(2, Op::MaskedEq(both), write)?,
                one(2, Op::MaskedEq(both), execute)?,
            ],
        ),
        (libc::SYS_mprotect, vec![one(2, Op::MaskedEq(execute), 0)?]),
        (
            libc::SYS_ioctl,
            vec![Rule::new(vec![word(1, Op::Ne, TIOCSTI)?, word(1, Op::Ne, TIOCLINUX)?])?],
        ),
        // Limits are read.
        (libc::SYS_prlimit64, vec![one(2, Op::Eq, 0)?]),
    ]);
    let options = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];
    let named = options
        .iter()
        .map(|option| Rule::new(vec![word(0, Op::Eq, flag(*option))?]));
    rules.insert(libc::SYS_prctl, named.collect::<Result<_, _>>()?);
    let families = families(plan);
    let families = families
        .iter()
        .map(|family| Rule::new(vec![word(0, Op::Eq, flag(*family))?]));
    rules.insert(libc::SYS_socket, families.collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Families of sockets that may be opened. The service manager and a local log are reached over the first one.
fn families(plan: &Plan) -> Vec<i32> {
    let mut families = vec![libc::AF_UNIX];
    if plan.uses_ip() {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if plan.resolve || plan.capture {
        // Which addresses and interfaces this machine has.
        families.push(libc::AF_NETLINK);
    }
    if plan.capture {
        families.push(libc::AF_PACKET);
    }
    families
}
