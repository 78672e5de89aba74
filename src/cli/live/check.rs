//! `shadowtap live --check TIME`: looks only, and says what this sensor can see, what it cannot, and what to do about it.
//!
//! The report's own counters say what was encrypted, one-sided and dropped; beside them every packet is looked at for what
//! counts only here: copies, VLANs, tunnels, cuts, clocks. Nothing is stored or sent.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::live::Args;
use crate::cli::replay::Format;
use crate::config::load::Loaded;
use crate::confine::Plan;
use crate::engine::Shared;
use crate::engine::live::{Handles, Live};
use crate::engine::look::{Ledger, Look, Watched};
use crate::model::server::Capture;
use crate::report::display;
use crate::source::Source;

/// Flows, and packets, below which shares mean little.
const ENOUGH_FLOWS: u64 = 30;
const ENOUGH_PACKETS: u64 = 300;

/// One thing that was looked at.
#[derive(Debug, Serialize, PartialEq)]
struct Point {
    /// What.
    name: &'static str,
    /// `good`, `note` or `bad`.
    state: &'static str,
    /// What was seen.
    seen: String,
    /// What to do about it; empty where nothing need be done.
    advice: &'static str,
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
struct Answer {
    schema: u32,
    sources: Vec<String>,
    seconds: u64,
    packets: u64,
    bytes: u64,
    flows: u64,
    points: Vec<Point>,
}

/// Runs the command on interfaces that are open.
///
/// # Errors
/// When rights cannot be given up, or the answer cannot be written.
pub(super) fn run(
    args: &Args,
    loaded: &Loaded,
    shared: &Arc<Shared>,
    sources: Vec<Handles>,
    time: Duration,
) -> anyhow::Result<ExitCode> {
    let run = &loaded.config.run;
    if run.confine && !args.no_confine {
        let plan = Plan {
            user: run.user.clone(),
            ..Plan::default()
        };
        plan.apply()?;
    }
    let ledger = Ledger::default();
    let watch = |source| -> Box<dyn Source> { Box::new(Watched::new(source, &loaded.config.packet, &ledger)) };
    let sources = sources
        .into_iter()
        .map(|handles| handles.into_iter().map(watch).collect())
        .collect();
    eprintln!("shadowtap: looking for {} s; nothing is stored or sent", time.as_secs());
    let mut live = Live::start(shared, sources, args.workers.get(), &loaded.config.live)?;
    let mut failures = Vec::new();
    let mut left = time;
    while !left.is_zero() && !live.has_ended() {
        let step = left.min(Duration::from_secs(1));
        thread::sleep(step);
        left -= step;
        failures.extend(live.hear());
    }
    failures.extend(live.stop());
    for failure in failures {
        eprintln!("shadowtap: {failure}");
    }
    let capture = live.capture();
    drop(live);
    let snap = args.snap_len.unwrap_or(loaded.config.capture.snap_len_bytes);
    let answer = answer(&capture, &ledger.sum(), time.as_secs().max(1), snap);
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json | Format::Ndjson => display::json_line(&mut out, &answer),
        _ => out.write_all(text(&answer).as_bytes()),
    }
    .context("cannot write what was seen")?;
    Ok(ExitCode::SUCCESS)
}

fn answer(capture: &Capture, look: &Look, seconds: u64, snap: u32) -> Answer {
    let counters = &capture.counters;
    Answer {
        schema: 1,
        sources: capture.sources.clone(),
        seconds,
        packets: counters.packets,
        bytes: counters.bytes,
        flows: counters.flows,
        points: points(capture, look, seconds, snap),
    }
}

fn points(capture: &Capture, look: &Look, seconds: u64, snap: u32) -> Vec<Point> {
    let (counters, lost, blind) = (&capture.counters, &capture.counters.lost, &capture.counters.blind);
    let (packets, flows) = (counters.packets, counters.flows);
    let mut points = vec![point(
        "traffic",
        [packets == 0, packets < ENOUGH_PACKETS],
        format!(
            "{} packets/s, {} kbit/s, {flows} flows",
            packets / seconds,
            counters.bytes / 125 / seconds
        ),
        "check that the mirror port is configured and the right interface is named; a quiet hour is looked at longer",
    )];
    if packets == 0 {
        return points;
    }
    let drops = lost.kernel_drops + lost.queue_drops;
    points.extend([
        point(
            "drops",
            [drops > 0, false],
            format!("{} lost ({})", drops, share(drops, packets + drops)),
            "more workers (--workers), a larger ring (--buffer-bytes), or a filter (--bpf) that leaves out what is not of interest",
        ),
        point(
            "one-sided connections",
            [blind.one_sided_flows * 2 > flows && flows >= ENOUGH_FLOWS, blind.one_sided_flows * 20 > flows],
            format!("{} of {flows} ({})", blind.one_sided_flows, share(blind.one_sided_flows, flows)),
            "mirror both directions to this interface, or name both with -i; connections cut by the start of the look count, too",
        ),
        point(
            "copies",
            [look.copies * 10 > look.carrying * 2, look.copies * 50 > look.carrying],
            format!("{} of packets come twice", share(look.copies, look.carrying)),
            "mirror ports or VLANs rather than both sides of a switch; copies cost time and are not counted twice",
        ),
        point(
            "cut packets",
            [look.cut * 100 > packets, look.cut > 0],
            format!("{} ({}); longest {} bytes, snap length {snap}", look.cut, share(look.cut, packets), look.longest),
            "raise --snap-len, or have whoever mirrors send whole packets",
        ),
        point(
            "encrypted connections",
            [false, blind.encrypted_flows * 2 > flows],
            format!("{} of {flows} ({})", blind.encrypted_flows, share(blind.encrypted_flows, flows)),
            "names are still read; for your own servers give the key log (--keylog), or tap behind what ends TLS",
        ),
        point("VLANs and tunnels", [false; 2], format!("{} in VLANs, {} in tunnels", share(look.vlan, packets), share(look.tunnel, packets)), ""),
        point(
            "undecodable packets",
            [lost.undecodable_packets * 100 > packets, lost.undecodable_packets > 0],
            format!("{} ({})", lost.undecodable_packets, share(lost.undecodable_packets, packets)),
            "the link type or a tunnel may be unknown: `tcpdump -i IFACE -c 10 -e` shows what they are",
        ),
        point(
            "clock",
            [look.skew_nanos > 2_000_000_000, look.skew_nanos > 500_000_000],
            format!("packets are stamped within {} ms of this machine's clock", look.skew_nanos / 1_000_000),
            "synchronise the clocks of the sensor and of the card that stamps (NTP, PTP), or findings bear wrong times",
        ),
        point(
            "MCP",
            [false; 2],
            format!("{} messages read", counters.messages),
            "",
        ),
    ]);
    points
}

/// What was looked at; the first that holds of `[bad, note]` is its state.
fn point(name: &'static str, [bad, note]: [bool; 2], seen: String, advice: &'static str) -> Point {
    let state = match () {
        () if bad => "bad",
        () if note => "note",
        () => "good",
    };
    Point {
        name,
        state,
        seen,
        advice: if state == "good" { "" } else { advice },
    }
}

fn share(part: u64, whole: u64) -> String {
    let thousandths = part.saturating_mul(1_000).checked_div(whole).unwrap_or(0);
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

fn text(answer: &Answer) -> String {
    let names: Vec<String> = answer
        .sources
        .iter()
        .map(|name| display::terminal(name).to_string())
        .collect();
    let mut out = format!("What can be seen on {} ({} s)\n\n", names.join(", "), answer.seconds);
    for point in &answer.points {
        out.push_str(&format!("  {:<5} {:<22} {}\n", point.state, point.name, point.seen));
        if !point.advice.is_empty() {
            out.push_str(&format!("        {}\n", point.advice));
        }
    }
    out.push_str("\n  Never seen from packets: MCP servers over stdio (`live --host` names those of this machine).\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(change: impl FnOnce(&mut Capture, &mut Look)) -> Vec<(&'static str, &'static str)> {
        let (mut capture, mut look) = (Capture::default(), Look::default());
        (capture.counters.packets, capture.counters.flows, look.carrying) = (10_000, 100, 5_000);
        change(&mut capture, &mut look);
        let points = points(&capture, &look, 10, 262_144);
        assert!(
            points
                .iter()
                .all(|point| (point.state == "good") == point.advice.is_empty() || point.name == "MCP")
        );
        let odd = points.into_iter().filter(|point| point.state != "good");
        odd.map(|point| (point.name, point.state)).collect()
    }

    #[test]
    fn every_ill_is_told_with_its_cure() {
        assert_eq!(states(|_, _| {}), []);
        assert_eq!(states(|capture, _| capture.counters.packets = 0), [("traffic", "bad")]);
        assert_eq!(
            states(|capture, _| capture.counters.lost.kernel_drops = 1),
            [("drops", "bad")]
        );
        assert_eq!(
            states(|capture, _| capture.counters.blind.one_sided_flows = 60),
            [("one-sided connections", "bad")]
        );
        assert_eq!(states(|_, look| look.copies = 2_500), [("copies", "bad")]);
        assert_eq!(states(|_, look| look.cut = 5), [("cut packets", "note")]);
        assert_eq!(states(|_, look| look.skew_nanos = 3_000_000_000), [("clock", "bad")]);
        assert_eq!(
            states(|capture, _| capture.counters.blind.encrypted_flows = 80),
            [("encrypted connections", "note")]
        );
    }
}
