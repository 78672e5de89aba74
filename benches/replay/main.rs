//! Whole replays: the program as a user runs it, over five corpora, beside libpcap's bare loop in the same run.
//!
//! Each figure is captured bits over CPU seconds of all threads, the median of `RUNS`; the share of
//! `tcpdump -r F -w /dev/null` is what can be compared between machines. The corpora are made once, under `target`.
//! `SHADOWTAP_BENCH_CORPUS=NAME` measures one of them, `SHADOWTAP_BENCH_WORKERS=N` with so many workers.

mod capture;
mod corpora;

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

const RUNS: usize = 5;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpora = corpora::corpora(&root.join("target/bench-corpora"), &root.join("pcaps/bulk")).expect("corpora");
    let only = std::env::var("SHADOWTAP_BENCH_CORPUS").ok();
    let workers = std::env::var("SHADOWTAP_BENCH_WORKERS").unwrap_or_else(|_| "1".to_owned());
    println!(
        "{:12} {:>10} {:>8} {:>8} {:>10} {:>8} {:>8}",
        "corpus", "CPU s", "Gbit/s", "Mpps", "tcpdump s", "share", "target"
    );
    for corpus in corpora
        .iter()
        .filter(|corpus| only.as_ref().is_none_or(|name| name == corpus.name))
    {
        let file = corpus.path.to_string_lossy().into_owned();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut packets, mut bytes) = (0, 0);
        for _ in 0..RUNS {
            theirs.push(seconds(Command::new("tcpdump").args(["-r", &file, "-w", "/dev/null"])).0);
            let (time, report) = seconds(Command::new(env!("CARGO_BIN_EXE_shadowtap")).args([
                "replay",
                &file,
                "--store",
                "none",
                "--format",
                "json",
                "--workers",
                &workers,
            ]));
            ours.push(time);
            let report: serde_json::Value = serde_json::from_slice(&report).expect("one JSON object");
            packets = report["capture"]["packets"].as_u64().expect("packets");
            bytes = report["capture"]["bytes"].as_u64().expect("bytes");
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{:12} {ours:10.3} {:8.2} {:8.2} {theirs:10.3} {:8.2} {:8.2}",
            corpus.name,
            bytes as f64 * 8.0 / ours / 1e9,
            packets as f64 / ours / 1e6,
            theirs / ours,
            corpus.target,
        );
    }
}

/// Runs a program to its end: CPU seconds of all its threads, and what it printed.
fn seconds(command: &mut Command) -> (f64, Vec<u8>) {
    let before = children();
    let output = command.stderr(Stdio::null()).output().expect("a program that starts");
    assert!(
        matches!(output.status.code(), Some(0 | 4)),
        "{command:?} ended with {}",
        output.status
    );
    (children() - before, output.stdout)
}

/// CPU seconds of all children that have ended.
fn children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("Linux");
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
