//! One of the fixed slices of the flow space: its flows, and its share of every cap.
//!
//! A slice sees its packets in capture order, whoever works on it, so that what it evicts and refuses is the same for
//! any number of workers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::detect::Findings;
use crate::engine::Shared;
use crate::engine::conversation::{Conversation, Outcome, Surroundings};
use crate::engine::settings::Settings;
use crate::flow::role::sender_is_client;
use crate::flow::{Class, Ended, Flow, Table};
use crate::inventory::admission::{Admission, SLICES};
use crate::model::counters::{Counters, Load};
use crate::model::flow::{FlowInfo, Why};
use crate::model::message_seen::MessageSeen;
use crate::model::net::{FiveTuple, Transport};
use crate::model::packet::{Datagram, Flags, Outer, RawPacket, Segment};
use crate::model::stamp::{Stamp, Timestamp};
use crate::packet::steer::FlowKey;
use crate::stream::layer::{Env, Step};
use crate::stream::reassembly::{Budget, Reassembly};
use crate::stream::secrets::{Keys, Secrets};

/// What a flow is to the engine.
enum State {
    /// TCP that carried nothing yet: a scan, or a handshake under way. With what was around its first packet.
    Opening(Box<(Reassembly, Option<Outer>)>),
    Talking(Box<Conversation>),
    /// Counted only. `None` when it simply ended.
    Silent(Option<Why>),
}

pub(super) struct Slice {
    table: Table<FlowKey, State>,
    keep: Keep,
}

/// All of a slice but its table, so that flows can end while the table is at work.
struct Keep {
    env: Env,
    budget: Budget,
    admission: Admission,
    /// When the share was dealt; `None` until the first tick.
    dealt: Option<Timestamp>,
    counters: Counters,
    findings: Findings,
    /// Messages that flows have handed over since they were taken last.
    messages: Vec<MessageSeen>,
}

/// A packet of a flow.
#[derive(Clone, Copy)]
enum Item<'a> {
    Segment(&'a Segment<'a>),
    Datagram(&'a Datagram<'a>),
}

impl Slice {
    pub(super) fn new(shared: &Shared, number: u16, secrets: &Arc<Secrets>) -> Self {
        let settings = &shared.settings;
        let keys = Keys::new(secrets, &settings.tls, SLICES);
        Self {
            table: Table::new(&settings.flow, SLICES),
            keep: Keep {
                env: Env {
                    keys: Some(keys),
                    ..settings.env.clone()
                },
                budget: settings.reassembly.budget(SLICES),
                admission: Admission::new(&settings.inventory).of_slice(number),
                dealt: None,
                counters: Counters::default(),
                findings: Findings::default(),
                messages: Vec::new(),
            },
        }
    }

    /// Adds this slice's counters since the last call.
    pub(super) fn take_counters(&mut self, sum: &mut Counters) {
        self.keep.counters.lost.evicted_flows = 0;
        self.keep.counters.lost.shed_events += self.keep.admission.take_refused();
        self.keep.counters.lost.forgotten_names += self.keep.admission.take_forgotten_names();
        sum.add(&std::mem::take(&mut self.keep.counters));
    }

    /// What it holds.
    pub(super) fn load(&self) -> Load {
        Load {
            flows: self.table.len() as u64,
            reassembly_bytes: self.keep.budget.held_bytes as u64,
        }
    }

    /// Messages that flows have handed over since the last call.
    pub(super) fn messages(&mut self) -> &mut Vec<MessageSeen> {
        &mut self.keep.messages
    }

    /// Flows evicted since the start.
    pub(super) fn evicted(&self) -> u64 {
        self.table.evicted()
    }

    /// Counts a packet of this slice.
    pub(super) fn count(&mut self, raw: &RawPacket<'_>) {
        self.keep.counters.count(raw);
    }

    pub(super) fn segment(
        &mut self,
        key: FlowKey,
        from_low: bool,
        segment: &Segment<'_>,
        outer: Option<Outer>,
        shared: &Shared,
    ) {
        let open = || {
            let client = sender_is_client(Transport::Tcp, segment.src, segment.dst, segment.flags);
            let tuple = tuple(Transport::Tcp, segment.src, segment.dst, client);
            let from_start = segment.flags.has(Flags::SYN);
            let state = State::Opening(Box::new((Reassembly::default(), outer)));
            Flow::new(tuple, client == from_low, from_start, segment.at, state)
        };
        let replaces = |flow: &Flow<State>| flow.handshake.reuses(flow.direction(from_low), segment);
        self.packet(
            key,
            from_low,
            segment.at,
            replaces,
            open,
            Item::Segment(segment),
            shared,
        );
    }

    pub(super) fn datagram(
        &mut self,
        key: FlowKey,
        from_low: bool,
        datagram: &Datagram<'_>,
        outer: Option<Outer>,
        shared: &Shared,
    ) {
        let open = || {
            let client = sender_is_client(Transport::Udp, datagram.src, datagram.dst, Flags::default());
            let tuple = tuple(Transport::Udp, datagram.src, datagram.dst, client);
            let silent = State::Silent(None);
            let mut flow = Flow::new(tuple, client == from_low, true, datagram.at, silent);
            flow.state = State::Talking(Box::new(Conversation::new(&flow.info, Reassembly::default(), outer)));
            flow
        };
        self.packet(
            key,
            from_low,
            datagram.at,
            |_| false,
            open,
            Item::Datagram(datagram),
            shared,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "one packet, taken apart once")]
    fn packet(
        &mut self,
        key: FlowKey,
        from_low: bool,
        at: Stamp,
        replaces: impl FnOnce(&Flow<State>) -> bool,
        open: impl FnOnce() -> Flow<State>,
        item: Item<'_>,
        shared: &Shared,
    ) {
        let Self { table, keep } = self;
        let mut entry = table.touch(key, at, replaces, open, &mut |flow, _| keep.end(flow, shared));
        let dir = entry.flow.direction(from_low);
        keep.counters.flows += u64::from(entry.fresh);
        let bytes = match item {
            Item::Segment(segment) => {
                entry.flow.handshake.note(dir, segment);
                (segment.payload.len() as u64) + u64::from(segment.missing)
            }
            Item::Datagram(datagram) => (datagram.payload.len() as u64) + u64::from(datagram.missing),
        };
        entry.flow.info.count(at, dir, bytes);
        let Flow {
            info, state, handshake, ..
        } = &mut *entry.flow;
        if let (State::Opening(opening), Item::Segment(segment)) = (&mut *state, item) {
            let (reassembly, outer) = &mut **opening;
            if carries_nothing(segment) {
                reassembly.push(dir, segment, &mut keep.budget, &mut |_| {});
                return;
            }
            let talk = Conversation::new(info, std::mem::take(reassembly), *outer);
            *state = State::Talking(Box::new(talk));
        }
        let State::Talking(talk) = state else {
            if handshake.has_ended() {
                entry.set_class(Class::Closed);
            }
            return;
        };
        let mut around = Surroundings {
            shared,
            env: &keep.env,
            budget: &mut keep.budget,
            findings: &mut keep.findings,
        };
        let mut converse = || match item {
            Item::Segment(segment) => talk.segment(info, dir, segment, &mut around),
            Item::Datagram(datagram) => talk.datagram(info, dir, datagram, &mut around),
        };
        let outcome = if shared.settings.fence {
            let panicked = Outcome {
                step: Step::Bypass(Why::Panicked),
                swapped: false,
            };
            catch_unwind(AssertUnwindSafe(converse)).unwrap_or(panicked)
        } else {
            converse()
        };
        if outcome.swapped {
            entry.flow.swap_roles();
        }
        let class = keep.settle(entry.flow, outcome.step, shared);
        if class != entry.class() {
            entry.set_class(class);
        }
    }

    /// Ends what has been idle at this moment of packet time.
    pub(super) fn tick(&mut self, now: Timestamp, shared: &Shared) {
        let Self { table, keep } = self;
        table.reclaim(now, &mut |flow, _| keep.end(flow, shared));
        keep.renew(now, &shared.settings);
    }

    /// The capture is over: every flow ends.
    pub(super) fn drain(&mut self, shared: &Shared) {
        let Self { table, keep } = self;
        table.drain(&mut |flow, _: Ended| keep.end(flow, shared));
    }
}

impl Keep {
    /// Deals the slice's share of the inventory anew when a keep period of packet time has passed.
    fn renew(&mut self, now: Timestamp, settings: &Settings) {
        let dealt = *self.dealt.get_or_insert(now);
        let over = now.since(dealt) >= settings.inventory.keep_nanos().unsigned_abs();
        if settings.forgets && over {
            self.admission.renew();
            self.dealt = Some(now);
        }
    }

    /// What follows from a packet: hand over, bypass, reclassify.
    fn settle(&mut self, flow: &mut Flow<State>, step: Step, shared: &Shared) -> Class {
        let tcp = flow.info.tuple.transport == Transport::Tcp;
        let ended = flow.handshake.has_ended();
        let State::Talking(talk) = &mut flow.state else {
            return Class::Bypassed;
        };
        if let Step::Bypass(why) = step {
            if why.is_encryption() {
                talk.close(&flow.info, shared);
            }
            self.hand_over(talk, shared);
            talk.reassembly.abandon(&mut self.budget);
            self.counters.bypass(why);
            flow.state = State::Silent(Some(why));
            return if ended { Class::Closed } else { Class::Bypassed };
        }
        if talk.tally.is_full() || (shared.settings.eager && !talk.tally.is_empty()) {
            self.hand_over(talk, shared);
        }
        if ended && talk.reassembly.has_ended() {
            // Late copies of its bytes would be passed over: there is nothing left to wait for.
            if let State::Talking(mut talk) = std::mem::replace(&mut flow.state, State::Silent(None)) {
                self.conclude(&mut talk, &mut flow.info, shared);
            }
            return Class::Closed;
        }
        match (tcp, ended, talk.precious) {
            (true, true, _) => Class::Closed,
            _ if talk.is_watched() => Class::Bypassed,
            (_, _, true) => Class::Precious,
            (false, ..) => Class::Datagrams,
            (true, ..) if flow.info.bytes == [0, 0] => Class::Opening,
            (true, ..) => Class::Open,
        }
    }

    /// A flow has ended.
    fn end(&mut self, mut flow: Flow<State>, shared: &Shared) {
        let info = flow.info;
        if info.tuple.transport == Transport::Tcp {
            // A connection attempt that nobody answered shows no blind side.
            let carried = info.bytes[0] > 0 || info.bytes[1] > 0;
            self.counters.blind.one_sided_flows += u64::from(carried && info.one_sided());
        }
        match &mut flow.state {
            State::Talking(talk) => self.conclude(talk, &mut flow.info, shared),
            State::Silent(Some(why)) => self.counters.hide(*why, &info),
            State::Opening(_) | State::Silent(None) => {}
        }
    }

    /// A conversation is over: what it holds comes out, and its memory is given back.
    fn conclude(&mut self, talk: &mut Conversation, info: &mut FlowInfo, shared: &Shared) {
        let mut around = Surroundings {
            shared,
            env: &self.env,
            budget: &mut self.budget,
            findings: &mut self.findings,
        };
        let mut finish = || talk.finish(info, &mut around);
        let step = if shared.settings.fence {
            let panicked = Step::Bypass(Why::Panicked);
            catch_unwind(AssertUnwindSafe(finish)).unwrap_or(panicked)
        } else {
            finish()
        };
        if let Step::Bypass(why) = step {
            if why.is_encryption() {
                talk.close(info, shared);
            }
            self.counters.bypass(why);
            self.counters.hide(why, info);
        }
        self.hand_over(talk, shared);
        talk.reassembly.abandon(&mut self.budget);
    }

    /// Joins what a conversation has shown into the inventory, and its counts into the counters.
    fn hand_over(&mut self, talk: &mut Conversation, shared: &Shared) {
        let (messages, shed) = talk.take_counts();
        self.counters.messages += messages;
        self.counters.lost.shed_events += shed + talk.tally.take_messages(&mut self.messages);
        self.counters.lost.gap_bytes += talk.reassembly.take_tally().gap_bytes;
        self.counters.blind.ech_hellos += std::mem::take(&mut talk.ech_hellos);
        self.counters.blind.decrypted_flows += u64::from(std::mem::take(&mut talk.opened));
        if !talk.tally.is_empty() {
            shared.inventory.join(&mut talk.tally, &mut self.admission);
        }
    }
}

/// Whether a segment gives no stream anything to tell: neither bytes nor an end.
const fn carries_nothing(segment: &Segment<'_>) -> bool {
    segment.payload.is_empty() && segment.missing == 0 && !segment.flags.has(Flags::FIN | Flags::RST)
}

fn tuple(
    transport: Transport,
    src: crate::model::net::Endpoint,
    dst: crate::model::net::Endpoint,
    sender_is_client: bool,
) -> FiveTuple {
    let (client, server) = if sender_is_client { (src, dst) } else { (dst, src) };
    FiveTuple {
        transport,
        client,
        server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::detect::panel::Ruleset;
    use crate::detect::signature::Signatures;
    use crate::inventory::admission::Class as Key;

    /// A live slice may add again what was forgotten; in a replay a share is dealt once.
    #[test]
    fn shares_are_dealt_anew_only_when_live() {
        for forgets in [true, false] {
            let settings = Settings {
                forgets,
                ..Settings::default()
            };
            let keep = settings.inventory.keep_nanos();
            let rules = Ruleset {
                signatures: Arc::new(Signatures::builtin()),
                policy: Arc::default(),
                fingerprints: crate::detect::fingerprint::Fingerprints::random(),
            };
            let shared = Shared::new(settings, rules);
            let secrets = Arc::new(Secrets::new(1, false));
            let mut slice = Slice::new(&shared, 0, &secrets);
            let start = Timestamp::from_parts(1_795_168_800, 0);
            slice.keep.admission.admit(Key::Server, &1);
            let mut knows = |nanos: i64| {
                slice.tick(start.plus_nanos(nanos), &shared);
                slice.keep.admission.knows(Key::Server, &1)
            };
            assert!(knows(0) && knows(keep - 1));
            assert_eq!(knows(keep), !forgets);
        }
    }
}
