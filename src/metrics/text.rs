//! The text format of Prometheus, version 0.0.4.

use std::fmt::{self, Write as _};

use crate::metrics::{Found, Health, State};
use crate::model::flow::Why;

/// A family's samples: labels and value.
type Samples<'a> = Vec<(Vec<(&'static str, &'a str)>, u64)>;

/// A state as text.
pub(super) fn write(state: &State, health: &Health) -> String {
    let mut out = Text(String::new());
    about(&mut out, state, health);
    traffic(&mut out, state);
    blind(&mut out, state);
    found(&mut out, &state.found);
    sinks(&mut out, state);
    out.0
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: Samples<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP shadowtap_{name} {help}\n# TYPE shadowtap_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "shadowtap_{name}{} {value}", Labels(&labels));
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help, vec![(Vec::new(), value)]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, vec![(Vec::new(), value)]);
    }

    /// One counter with a label.
    fn counters(&mut self, name: &str, help: &str, label: &'static str, values: &[(&str, u64)]) {
        let samples = values.iter().map(|(word, value)| (vec![(label, *word)], *value));
        self.family(name, "counter", help, samples.collect());
    }
}

/// `{name="value",...}`, or nothing.
struct Labels<'a>(&'a [(&'static str, &'a str)]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if nth == 0 { "{" } else { "," })?;
            write!(f, "{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => f.write_char(c)?,
                }
            }
            f.write_char('"')?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

fn about(out: &mut Text, state: &State, health: &Health) {
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    out.family("build_info", "gauge", "The program that runs.", vec![(version, 1)]);
    out.gauge("start_time_seconds", "When it began.", state.began.unsigned_abs());
    out.gauge("healthy", "Its workers make progress.", health.sick.is_empty().into());
    out.gauge(
        "ready",
        "It captures, and its sinks take what it sends.",
        health.unready.is_empty().into(),
    );
    if let Some(bytes) = state.resident_bytes {
        out.gauge("resident_memory_bytes", "Memory of the process.", bytes);
    }
    let (load, bounds) = (state.load, state.bounds);
    out.gauge("open_flows", "Flows in the tables.", load.flows);
    out.gauge("open_flows_limit", "Bound of open_flows: flow.max_flows.", bounds.flows);
    out.gauge(
        "reassembly_bytes",
        "Bytes that wait for a gap to close.",
        load.reassembly_bytes,
    );
    out.gauge(
        "reassembly_bytes_limit",
        "Bound of reassembly_bytes: reassembly.max_bytes.",
        bounds.reassembly_bytes,
    );
}

fn traffic(out: &mut Text, state: &State) {
    let counters = &state.capture.counters;
    out.counter("packets_total", "Packets captured.", counters.packets);
    out.counter("bytes_total", "Their bytes on the wire.", counters.bytes);
    out.counter("flows_total", "Flows opened.", counters.flows);
    out.counter("messages_total", "Messages read as JSON-RPC.", counters.messages);
    if let Some((_, last)) = state.capture.seen {
        let seconds = last.nanos().div_euclid(1_000_000_000).unsigned_abs();
        out.gauge("last_packet_timestamp_seconds", "Time of the last packet.", seconds);
    }
    let interface = |value: fn(&super::InterfaceState) -> u64| -> Samples<'_> {
        let states = state.interfaces.iter();
        states
            .map(|state| (vec![("interface", &*state.name)], value(state)))
            .collect()
    };
    let up = interface(|state| state.up.into());
    out.family("interface_up", "gauge", "The interface is captured on.", up);
    let drops = interface(|state| state.kernel_drops);
    out.family(
        "interface_drops_total",
        "counter",
        "Packets that the kernel or the card dropped.",
        drops,
    );
    let lost = &counters.lost;
    out.counters(
        "lost_total",
        "What was lost, by place.",
        "place",
        &[
            ("kernel", lost.kernel_drops),
            ("queue", lost.queue_drops),
            ("truncated", lost.truncated_packets),
            ("undecodable", lost.undecodable_packets),
            ("orphan_fragment", lost.orphan_fragments),
            ("evicted_fragment", lost.evicted_fragments),
            ("conflicting_fragment", lost.conflicting_fragments),
            ("evicted_flow", lost.evicted_flows),
            ("shed_event", lost.shed_events),
            ("forgotten_name", lost.forgotten_names),
        ],
    );
    out.counter(
        "gap_bytes_total",
        "Stream bytes that were sent and not captured.",
        lost.gap_bytes,
    );
}

fn blind(out: &mut Text, state: &State) {
    let (counters, blind) = (&state.capture.counters, &state.capture.counters.blind);
    out.counters(
        "blind_flows_total",
        "Flows that could not be read, by reason.",
        "reason",
        &[
            ("encrypted", blind.encrypted_flows),
            ("one_sided", blind.one_sided_flows),
            ("hidden_name", blind.ech_hellos),
            ("encrypted_dns", blind.encrypted_dns_flows),
            ("no_secrets", blind.flows_without_secrets),
            ("wrong_secrets", blind.flows_with_wrong_secrets),
        ],
    );
    out.counter("encrypted_bytes_total", "Their payload bytes.", blind.encrypted_bytes);
    out.counter(
        "decrypted_flows_total",
        "Flows that key material opened.",
        blind.decrypted_flows,
    );
    let bypassed = Why::ALL.map(|why| (why.word(), counters.bypassed.get(why.index()).copied().unwrap_or(0)));
    out.counters(
        "bypassed_flows_total",
        "Flows no longer looked into, by reason.",
        "reason",
        &bypassed,
    );
}

/// Gauges: what was found may be forgotten, and judged anew.
fn found(out: &mut Text, found: &Found) {
    let [approved, others] = found.servers;
    let samples = [("true", approved), ("false", others)].map(|(word, count)| (vec![("approved", word)], count));
    out.family("servers", "gauge", "MCP servers known.", samples.to_vec());
    out.gauge("clients", "Clients known.", found.clients);
    out.gauge("sessions", "Sessions known.", found.sessions);
    let findings = found.findings.iter();
    let samples = findings.map(|((kind, severity), count)| (vec![("kind", *kind), ("severity", *severity)], *count));
    out.family(
        "findings",
        "gauge",
        "Findings known, by kind and severity.",
        samples.collect(),
    );
}

fn sinks(out: &mut Text, state: &State) {
    if state.sinks.is_empty() {
        return;
    }
    let mut samples: Samples<'_> = Vec::new();
    for tally in &state.sinks {
        for (outcome, count) in [
            ("offered", tally.offered),
            ("delivered", tally.delivered),
            ("shed", tally.shed),
            ("rejected", tally.rejected),
            ("undelivered", tally.undelivered),
        ] {
            samples.push((vec![("sink", &*tally.name), ("outcome", outcome)], count));
        }
    }
    out.family(
        "sink_events_total",
        "counter",
        "Events to each sink, by what became of them.",
        samples,
    );
    let each = |value: fn(&crate::sink::runner::Tally) -> u64| -> Samples<'_> {
        let tallies = state.sinks.iter();
        tallies
            .map(|tally| (vec![("sink", &*tally.name)], value(tally)))
            .collect()
    };
    let retries = each(|tally| tally.retries);
    out.family("sink_retries_total", "counter", "Tries that were repeated.", retries);
    let failing = each(|tally| tally.failing.into());
    out.family("sink_failing", "gauge", "The last try failed.", failing);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::InterfaceState;
    use crate::sink::runner::Tally;
    use crate::store::fixture;

    /// Every line is a comment, or a name with labels and a number; every family is announced once, before its samples.
    #[test]
    fn the_text_is_what_prometheus_reads() {
        let view = fixture::view();
        let state = State {
            capture: view.capture.clone(),
            interfaces: vec![InterfaceState {
                name: "eth\"0\\\n".to_owned(),
                up: true,
                kernel_drops: 7,
            }],
            found: Found::of(&view),
            sinks: vec![Tally {
                name: "store".to_owned(),
                delivered: 3,
                ..Tally::default()
            }],
            ..State::default()
        };
        let text = write(&state, &Health::default());
        let mut families: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let (name, kind) = head.split_once(' ').unwrap();
                assert!(!families.contains(&name), "{name} twice");
                assert!(matches!(kind, "counter" | "gauge"));
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                families.push(name);
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                assert_eq!(families.last(), Some(&bare), "{line}");
                assert!(value.parse::<u64>().is_ok(), "{line}");
            }
        }
        assert!(
            text.contains("shadowtap_interface_drops_total{interface=\"eth\\\"0\\\\\\n\"} 7\n"),
            "{text}"
        );
        assert!(
            text.contains("shadowtap_sink_events_total{sink=\"store\",outcome=\"delivered\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("shadowtap_findings{kind=\""), "{text}");
        assert!(text.contains("shadowtap_healthy 1\nshadowtap_") || text.contains("shadowtap_healthy 1\n# HELP"));
    }
}
