//! `make soak`: endless traffic through one process, whose memory must stay flat.
//!
//! Takes the binary, seconds and a folder of captures. Their packets go through standard input as one capture without an
//! end, round after round, with addresses and times shifted, so that every round is new flows between new machines. The
//! bounds in `CONFIG` are small, so that each of them is reached in the first minutes. Prints resident memory, and
//! fails when the last quarter of the run needs more than the second one did.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use shadowtap::model::packet::LinkType;
use shadowtap::source::{Pull, open_file};

const CONFIG: &str = "\
[flow]
max_flows = 16384
[inventory]
max_servers = 2048
max_suspects = 2048
max_details = 16384
max_tools = 16384
tool_text_max_bytes = 16777216
max_findings = 16384
[reassembly]
max_bytes = 33554432
";

/// Shifts of addresses before the first one comes again.
const SHIFTS: u64 = 4_096;
/// Quiet packet time between two rounds, in microseconds.
const PAUSE_US: u64 = 1_000_000;
/// What is measured, at most so often.
const SAMPLES: u64 = 120;
/// What the allocator may do on its own, in KiB.
const SLACK_KIB: u64 = 16 << 10;

/// A packet, and its time since the first one of its capture.
struct Frame {
    after_us: u64,
    data: Vec<u8>,
}

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (Some(binary), Some(seconds), Some(folder)) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: soak SHADOWTAP SECONDS FOLDER");
    };
    let seconds: u64 = seconds.parse().context("SECONDS is a number")?;
    let frames = load(Path::new(&folder))?;
    println!("soak: {seconds} s, {} packets a round", frames.len());

    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), CONFIG)?;
    let mut child = Command::new(&binary)
        .args(["replay", "-", "--store", "none", "--format", "json", "--config"])
        .arg(config.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| binary.clone())?;
    let input = child.stdin.take().context("standard input of the child")?;
    let (stop, packets) = (AtomicBool::new(false), AtomicU64::new(0));
    let (sent, samples) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| send(input, &frames, &stop, &packets));
        let samples = watch(child.id(), seconds, &packets);
        stop.store(true, Ordering::Relaxed);
        (writer.join(), samples)
    });
    let status = child.wait()?;
    match sent {
        Ok(sent) => sent.context("shadowtap stopped reading")?,
        Err(_) => bail!("the writer failed"),
    }
    // 4: something was lost to a bound, as is meant here.
    if !matches!(status.code(), Some(0 | 4)) {
        bail!("shadowtap ended with {status}");
    }
    Ok(judge(&samples))
}

/// Ethernet packets of every capture of a folder.
fn load(folder: &Path) -> anyhow::Result<Vec<Frame>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "pcap" || end == "pcapng"));
    paths.sort();
    let mut frames = Vec::new();
    for path in paths {
        let mut source = open_file(&path.to_string_lossy(), 0)?;
        let mut first = None;
        loop {
            match source.pull() {
                Pull::Packet(packet) if packet.link == LinkType::Ethernet => {
                    let first = *first.get_or_insert(packet.at.time);
                    frames.push(Frame {
                        after_us: packet.at.time.since(first) / 1_000,
                        data: packet.data.to_vec(),
                    });
                }
                Pull::Packet(_) | Pull::Idle | Pull::Passed | Pull::Failed(_) | Pull::Secrets(_) => {}
                Pull::End => break,
            }
        }
    }
    if frames.is_empty() {
        bail!("no Ethernet packets in the captures of {}", folder.display());
    }
    frames.sort_by_key(|frame| frame.after_us);
    Ok(frames)
}

/// Writes rounds of packets as one capture until it is told to stop.
fn send(input: ChildStdin, frames: &[Frame], stop: &AtomicBool, packets: &AtomicU64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, input);
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let span = frames.last().map_or(0, |frame| frame.after_us);
    let mut start = 1_795_168_800_000_000_u64;
    let mut scratch = Vec::new();
    for round in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for frame in frames {
            let at = start + frame.after_us;
            scratch.clone_from(&frame.data);
            shift(&mut scratch, round % SHIFTS);
            let len = u32::try_from(scratch.len()).unwrap_or(u32::MAX);
            let seconds = u32::try_from(at / 1_000_000).unwrap_or(u32::MAX);
            for word in [seconds, (at % 1_000_000) as u32, len, len] {
                out.write_all(&word.to_le_bytes())?;
            }
            out.write_all(&scratch)?;
        }
        packets.fetch_add(frames.len() as u64, Ordering::Relaxed);
        start += span + PAUSE_US;
    }
    out.flush()
}

/// Moves both ends of an IP packet to another network; checksums are not looked at by default.
fn shift(data: &mut [u8], by: u64) {
    let (high, low) = ((by / 64) as u8, (by % 64) as u8);
    let places: &[usize] = match data.get(12..14) {
        Some([0x08, 0x00]) => &[26, 30],
        Some([0x86, 0xdd]) => &[22 + 6, 38 + 6],
        _ => &[],
    };
    for place in places {
        if let Some([_, second, third, ..]) = data.get_mut(*place..) {
            *second = second.wrapping_add(high);
            *third = third.wrapping_add(low);
        }
    }
}

/// Samples of resident memory, in KiB.
#[expect(
    clippy::disallowed_methods,
    reason = "a soak runs for so long by the clock on the wall"
)]
fn watch(pid: u32, seconds: u64, packets: &AtomicU64) -> Vec<u64> {
    let pause = Duration::from_secs((seconds / SAMPLES).max(1));
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(pause);
        let Some(kib) = resident_kib(pid) else { break };
        samples.push(kib);
        println!(
            "{:6} s  {:9} packets  {:7.1} MiB",
            start.elapsed().as_secs(),
            packets.load(Ordering::Relaxed),
            kib as f64 / 1024.0
        );
    }
    samples
}

/// `VmRSS` of a process (proc(5)); `None` when it is gone.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn judge(samples: &[u64]) -> ExitCode {
    let quarter = samples.len() / 4;
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
    let (early, late) = (
        most(&samples[quarter..2 * quarter]),
        most(&samples[samples.len() - quarter..]),
    );
    if quarter == 0 {
        println!("soak: too short to judge: {} samples", samples.len());
        return ExitCode::FAILURE;
    }
    let flat = late <= early + early / 20 + SLACK_KIB;
    println!(
        "soak: {} (second quarter {} KiB, last quarter {} KiB)",
        if flat { "memory stays flat" } else { "MEMORY GROWS" },
        early,
        late
    );
    if flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
