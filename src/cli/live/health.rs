//! `sensor-health`: what a sensor finds out about itself. Looked at once a minute, by what changed in it.
//!
//! A finding stays once it was made; the next bad minute counts it up, and makes it worse where that minute was worse.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::counters::{Counters, InterfaceState};
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::server::Capture;
use crate::model::stamp::{Span, Stamp, Timestamp};
use crate::sink::runner::Tally;

/// Flows of a minute below which shares mean nothing.
const FLOWS_MIN: u64 = 50;
/// Quiet minutes after which a wire that carried something is silent.
const SILENT_MINUTES: u32 = 5;
/// Difference of the clocks that stamp packets and that look at them, in nanoseconds.
const SKEW_NANOS: u64 = 10_000_000_000;

/// Shares in thousandths: of packets dropped, medium and high; of packets cut; of flows one-sided; more of encrypted flows.
const DROPPED: [u64; 2] = [1, 10];
const CUT: u64 = 10;
const ONE_SIDED: u64 = 500;
const MORE_ENCRYPTED: u64 = 300;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Checkup {
    before: Option<Counters>,
    lost: BTreeMap<String, u64>,
    quiet_minutes: u32,
    /// Share of encrypted flows in thousandths as it was, slowly following.
    encrypted: Option<u64>,
    findings: BTreeMap<FindingKey, Finding>,
}

impl Checkup {
    /// A minute is over: whether it was worse than good.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        capture: &Capture,
        interfaces: &[InterfaceState],
        sinks: &[Tally],
    ) -> bool {
        let made = self.symptoms(now, capture, interfaces, sinks);
        let any = !made.is_empty();
        for symptom in made {
            self.note(now, symptom);
        }
        any
    }

    /// Everything that was found so far.
    pub(super) fn findings(&self) -> Vec<Finding> {
        self.findings.values().cloned().collect()
    }

    fn symptoms(
        &mut self,
        now: Timestamp,
        capture: &Capture,
        interfaces: &[InterfaceState],
        sinks: &[Tally],
    ) -> Vec<Symptom> {
        let mut made = Vec::new();
        if let Some(before) = self.before.replace(capture.counters) {
            self.traffic(&Minute::between(&before, &capture.counters), now, capture, &mut made);
        }
        for interface in interfaces.iter().filter(|interface| !interface.up) {
            made.push(Symptom {
                subject: Some(interface.name.clone()),
                ..symptom(
                    "interface-down",
                    Severity::High,
                    "An interface is not captured on",
                    String::new(),
                )
            });
        }
        for sink in sinks {
            let lost = sink.rejected + sink.undelivered;
            let before = self.lost.insert(sink.name.clone(), lost).unwrap_or(0);
            let made_of = |rule, severity, title, amount| Symptom {
                subject: Some(sink.name.clone()),
                ..symptom(rule, severity, title, amount)
            };
            if lost > before {
                let amount = format!("{} records", lost - before);
                made.push(made_of(
                    "sink-lost",
                    Severity::High,
                    "Records for a sink are lost",
                    amount,
                ));
            } else if sink.failing {
                made.push(made_of(
                    "sink-fails",
                    Severity::Medium,
                    "A sink does not take records",
                    String::new(),
                ));
            }
        }
        made
    }

    fn traffic(&mut self, minute: &Minute, now: Timestamp, capture: &Capture, made: &mut Vec<Symptom>) {
        let Minute { packets, flows, .. } = *minute;
        self.quiet_minutes = if packets > 0 {
            0
        } else {
            self.quiet_minutes.saturating_add(1)
        };
        if self.quiet_minutes == SILENT_MINUTES && capture.counters.packets > 0 {
            let title = "No packet came for five minutes: is the mirror still there?";
            made.push(symptom("silent", Severity::Medium, title, String::new()));
        }
        let dropped = thousandths(minute.dropped, packets + minute.dropped);
        if minute.dropped > 0 {
            let severity = match () {
                () if dropped >= DROPPED[1] => Severity::High,
                () if dropped >= DROPPED[0] => Severity::Medium,
                () => Severity::Low,
            };
            let amount = format!("{} packets, {}", minute.dropped, percent(dropped));
            made.push(symptom(
                "dropped",
                severity,
                "Packets were lost before they were looked into",
                amount,
            ));
        }
        if minute.evicted > 0 {
            let title = "A memory bound was reached, and what was over it was not looked into";
            let amount = format!("{} flows, fragments and records", minute.evicted);
            made.push(symptom("bound", Severity::Medium, title, amount));
        }
        let cut = thousandths(minute.cut, packets);
        if cut >= CUT {
            let title = "Packets are cut by the snap length, or by whoever mirrors them";
            made.push(symptom("cut", Severity::Medium, title, percent(cut)));
        }
        if flows >= FLOWS_MIN {
            self.shares(minute, made);
        }
        let skew = capture.seen.map_or(0, |(_, last)| last.nanos().abs_diff(now.nanos()));
        if packets > 0 && skew > SKEW_NANOS && self.quiet_minutes == 0 && minute.busy() {
            let title = "Packets are stamped by a clock that differs from this machine's";
            made.push(symptom(
                "clock",
                Severity::Medium,
                title,
                format!("{} s", skew / 1_000_000_000),
            ));
        }
    }

    fn shares(&mut self, minute: &Minute, made: &mut Vec<Symptom>) {
        let one_sided = thousandths(minute.one_sided, minute.flows);
        if one_sided >= ONE_SIDED {
            let title = "Of most connections only one direction is seen";
            made.push(symptom("one-sided", Severity::Medium, title, percent(one_sided)));
        }
        let encrypted = thousandths(minute.encrypted, minute.flows);
        let usual = *self.encrypted.get_or_insert(encrypted);
        if encrypted > usual + MORE_ENCRYPTED {
            let title = "More connections are encrypted than before, and cannot be read";
            let amount = format!("{}, before {}", percent(encrypted), percent(usual));
            made.push(symptom("encrypted", Severity::Low, title, amount));
        }
        self.encrypted = Some((usual * 15 + encrypted) / 16);
    }

    fn note(&mut self, now: Timestamp, symptom: Symptom) {
        let at = Stamp {
            time: now,
            source: 0,
            packet: 0,
        };
        let key = FindingKey {
            kind: Kind::SensorHealth,
            rule: Arc::from(format!("sensor-{}", symptom.rule)),
            site: None,
            client: None,
            tool: None,
            direction: None,
            place: None,
            subject: symptom.subject.clone(),
        };
        let finding = self.findings.entry(key.clone()).or_insert_with(|| Finding {
            key,
            severity: symptom.severity,
            confidence: 1.0,
            title: symptom.title.to_owned(),
            references: Vec::new(),
            count: 0,
            seen: Span::at(at),
            evidence: Evidence::default(),
            detail: BTreeMap::new(),
        });
        finding.count += 1;
        finding.seen.last = at;
        finding.severity = finding.severity.max(symptom.severity);
        if let Some(subject) = symptom.subject {
            finding.detail.insert("name".to_owned(), subject);
        }
        if !symptom.amount.is_empty() {
            finding.detail.insert("last_minute".to_owned(), symptom.amount);
        }
    }
}

/// What a minute was bad in.
struct Symptom {
    rule: &'static str,
    severity: Severity,
    title: &'static str,
    subject: Option<String>,
    amount: String,
}

fn symptom(rule: &'static str, severity: Severity, title: &'static str, amount: String) -> Symptom {
    Symptom {
        rule,
        severity,
        title,
        subject: None,
        amount,
    }
}

/// What came in a minute.
struct Minute {
    packets: u64,
    flows: u64,
    dropped: u64,
    evicted: u64,
    cut: u64,
    one_sided: u64,
    encrypted: u64,
}

impl Minute {
    fn between(before: &Counters, after: &Counters) -> Self {
        let more = |count: fn(&Counters) -> u64| count(after).saturating_sub(count(before));
        Self {
            packets: more(|it| it.packets),
            flows: more(|it| it.flows),
            dropped: more(|it| it.lost.kernel_drops + it.lost.queue_drops),
            evicted: more(|it| it.lost.evicted_flows + it.lost.evicted_fragments + it.lost.shed_events),
            cut: more(|it| it.lost.truncated_packets),
            one_sided: more(|it| it.blind.one_sided_flows),
            encrypted: more(|it| it.blind.encrypted_flows),
        }
    }

    /// So many packets that the last one is surely young.
    const fn busy(&self) -> bool {
        self.packets >= 600
    }
}

const fn thousandths(part: u64, whole: u64) -> u64 {
    match part.saturating_mul(1_000).checked_div(whole) {
        Some(share) => share,
        None => 0,
    }
}

fn percent(thousandths: u64) -> String {
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    fn capture(packets: u64, change: impl FnOnce(&mut Counters), last: i64) -> Capture {
        let mut capture = Capture::default();
        capture.counters.packets = packets;
        change(&mut capture.counters);
        capture.seen = Some((at(0), at(last)));
        capture
    }

    fn rules(checkup: &Checkup) -> Vec<(String, Severity, u64)> {
        let told = checkup.findings();
        told.into_iter()
            .map(|it| (it.key.rule.to_string(), it.severity, it.count))
            .collect()
    }

    #[test]
    fn a_good_minute_says_nothing() {
        let mut checkup = Checkup::default();
        assert!(!checkup.look(at(0), &capture(1_000, |_| {}, 0), &[], &[]));
        assert!(!checkup.look(at(60), &capture(9_000, |it| it.flows = 200, 60), &[], &[]));
        assert!(checkup.findings().is_empty());
    }

    #[test]
    fn each_bad_minute_counts_and_the_worst_one_decides() {
        let mut checkup = Checkup::default();
        let mut look = |minute: i64, packets: u64, drops: u64| {
            let capture = capture(packets, |it| it.lost.kernel_drops = drops, minute * 60);
            checkup.look(at(minute * 60), &capture, &[], &[]);
            rules(&checkup)
        };
        look(0, 0, 0);
        let dropped = |severity, count| vec![("sensor-dropped".to_owned(), severity, count)];
        assert_eq!(look(1, 100_000, 1), dropped(Severity::Low, 1));
        assert_eq!(look(2, 200_000, 20_001), dropped(Severity::High, 2));
        assert_eq!(look(3, 300_000, 20_002), dropped(Severity::High, 3));
        assert_eq!(look(4, 400_000, 20_002), dropped(Severity::High, 3));
    }

    #[test]
    fn every_symptom_has_its_rule() {
        let mut checkup = Checkup::default();
        checkup.look(at(0), &capture(1_000, |it| it.flows = 100, 0), &[], &[]);
        checkup.look(at(60), &capture(2_000, |it| it.flows = 200, 60), &[], &[]);
        let worse = |it: &mut Counters| {
            it.flows = 300;
            it.lost.truncated_packets = 500;
            it.lost.evicted_flows = 3;
            it.blind.one_sided_flows = 60;
            it.blind.encrypted_flows = 70;
        };
        let interface = InterfaceState {
            name: "eth0".to_owned(),
            ..InterfaceState::default()
        };
        let sinks = [("a", 4, false), ("b", 0, true), ("c", 0, false)].map(|(name, rejected, failing)| Tally {
            name: name.to_owned(),
            rejected,
            failing,
            ..Tally::default()
        });
        assert!(checkup.look(at(120), &capture(3_000, worse, 20), &[interface], &sinks));
        let names: Vec<String> = rules(&checkup).into_iter().map(|(rule, ..)| rule).collect();
        let expect = [
            "bound",
            "clock",
            "cut",
            "encrypted",
            "interface-down",
            "one-sided",
            "sink-fails",
            "sink-lost",
        ];
        assert_eq!(names, expect.map(|rule| format!("sensor-{rule}")));
    }

    #[test]
    fn silence_is_told_once() {
        let mut checkup = Checkup::default();
        checkup.look(at(0), &capture(10, |_| {}, 0), &[], &[]);
        let told: Vec<bool> = (1..9)
            .map(|minute| checkup.look(at(minute * 60), &capture(10, |_| {}, 0), &[], &[]))
            .collect();
        assert_eq!(told, [false, false, false, false, true, false, false, false]);
    }
}
