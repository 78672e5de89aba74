//! One flow's reassembly, stream, reader and tally: the pipeline as one expression.

use crate::detect::Findings;
use crate::engine::Shared;
use crate::engine::vigil::Vigil;
use crate::inventory::names::Weight;
use crate::inventory::tally::{Redact, Tally};
use crate::mcp::Reader;
use crate::model::chunk::{Chunk, Data};
use crate::model::dns::{Alpns, Resolved};
use crate::model::flow::FlowInfo;
use crate::model::message::{Field, Request};
use crate::model::net::{Direction, Transport};
use crate::model::observation::{Breach, Cover, Fact, Observation, Violation};
use crate::model::packet::{Datagram, Outer, Segment};
use crate::model::server::Encryption;
use crate::model::stamp::Stamp;
use crate::model::suspect::Suspect;
use crate::model::tls::Tls;
use crate::stream::Stream;
use crate::stream::layer::{Env, Output, Step};
use crate::stream::reassembly::{Budget, Reassembly};

/// Port of DNS over TLS (RFC 7858) and over QUIC (RFC 9250).
const ENCRYPTED_DNS: u16 = 853;

/// What a flow that is looked into needs.
pub(super) struct Conversation {
    pub(super) reassembly: Reassembly,
    stream: Stream,
    /// Made for the first message: most flows have none.
    reader: Option<Box<Reader>>,
    pub(super) tally: Tally,
    /// MCP was seen: worth more than other flows when room is needed.
    pub(super) precious: bool,
    pub(super) ech_hellos: u64,
    /// Key material has opened it, and that was not counted yet.
    pub(super) opened: bool,
    /// What layers gave up at a bound.
    shed: u64,
    hello: Hello,
    vigil: Vigil,
    /// Segments contradicted each other: told as soon as the flow proves to be MCP, which it may after the fact.
    contradicted: Option<(Stamp, Direction)>,
}

/// What a conversation needs of its surroundings, lent for one packet.
pub(super) struct Surroundings<'s> {
    pub(super) shared: &'s Shared,
    /// Limits and key material of the slice.
    pub(super) env: &'s Env,
    pub(super) budget: &'s mut Budget,
    /// Scratch of the shard.
    pub(super) findings: &'s mut Findings,
}

/// What a packet did to its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) step: Step,
    /// The first bytes show that client and server were taken for each other.
    pub(super) swapped: bool,
}

impl Conversation {
    /// With what the segments so far say of the order of bytes; `outer` is what was around the first packet.
    pub(super) fn new(info: &FlowInfo, reassembly: Reassembly, outer: Option<Outer>) -> Self {
        let ports = [info.tuple.client.port, info.tuple.server.port];
        Self {
            reassembly,
            stream: Stream::outer(info.tuple.transport, info.from_start, ports),
            reader: None,
            tally: Tally::within(outer.map(|outer| (info.seen.first, outer))),
            precious: false,
            ech_hellos: 0,
            opened: false,
            shed: 0,
            hello: Hello::default(),
            vigil: Vigil::default(),
            contradicted: None,
        }
    }

    /// A TCP segment.
    pub(super) fn segment(
        &mut self,
        info: &mut FlowInfo,
        dir: Direction,
        segment: &Segment<'_>,
        around: &mut Surroundings<'_>,
    ) -> Outcome {
        let Surroundings {
            shared,
            env,
            budget,
            findings,
        } = around;
        let mut pipe = Pipe::new(
            (&mut self.stream, &mut self.vigil),
            &mut self.reader,
            &mut self.tally,
            info,
            (shared, env),
            findings,
        );
        self.reassembly
            .push(dir, segment, budget, &mut |chunk| pipe.push(chunk));
        let (outcome, seen) = pipe.end();
        let outcome = self.note(info, outcome, seen);
        if self.reassembly.take_conflicts() > 0 {
            let dir = if outcome.swapped { dir.flip() } else { dir };
            self.contradicted.get_or_insert((segment.at, dir));
        }
        if self.precious && self.contradicted.is_some() {
            self.tell_contradiction(info, around);
        }
        outcome
    }

    /// Two copies of the same bytes of an MCP connection differ.
    #[cold]
    fn tell_contradiction(&mut self, info: &FlowInfo, around: &mut Surroundings<'_>) {
        let Some((at, dir)) = self.contradicted.take() else {
            return;
        };
        let fact = Fact::Violation(Violation {
            breach: Breach::AmbiguousOverlap,
            dir,
            site: self.reader.get_or_insert_default().site(info),
        });
        let seen = Observation { at, flow: info, fact };
        let (shared, findings) = (around.shared, &mut *around.findings);
        observe(&seen, shared, &mut self.tally, findings, &mut Seen::default());
    }

    /// A UDP datagram.
    pub(super) fn datagram(
        &mut self,
        info: &mut FlowInfo,
        dir: Direction,
        datagram: &Datagram<'_>,
        around: &mut Surroundings<'_>,
    ) -> Outcome {
        let Surroundings {
            shared, env, findings, ..
        } = around;
        let mut pipe = Pipe::new(
            (&mut self.stream, &mut self.vigil),
            &mut self.reader,
            &mut self.tally,
            info,
            (shared, env),
            findings,
        );
        if !datagram.payload.is_empty() {
            pipe.push(Chunk {
                at: datagram.at,
                dir,
                lane: 0,
                data: Data::Bytes(datagram.payload),
            });
        }
        let (outcome, seen) = pipe.end();
        self.note(info, outcome, seen)
    }

    /// The flow has ended: what is held comes out, and every layer hears of it.
    pub(super) fn finish(&mut self, info: &mut FlowInfo, around: &mut Surroundings<'_>) -> Step {
        let Surroundings {
            shared,
            env,
            budget,
            findings,
        } = around;
        let at = info.seen.last;
        let tcp = info.tuple.transport == Transport::Tcp;
        let mut pipe = Pipe::new(
            (&mut self.stream, &mut self.vigil),
            &mut self.reader,
            &mut self.tally,
            info,
            (shared, env),
            findings,
        );
        if tcp {
            self.reassembly.finish(at, budget, &mut |chunk| pipe.push(chunk));
        } else {
            for dir in [Direction::ToServer, Direction::ToClient] {
                pipe.push(Chunk {
                    at,
                    dir,
                    lane: 0,
                    data: Data::End,
                });
            }
        }
        pipe.run(Stream::finish);
        let (mut outcome, seen) = pipe.end();
        if self.vigil.watches() {
            outcome.step = self.vigil.over();
        }
        self.note(info, outcome, seen).step
    }

    fn note(&mut self, info: &FlowInfo, outcome: Outcome, seen: Seen) -> Outcome {
        self.precious |= seen.mcp;
        self.opened |= seen.opened;
        self.shed = self.shed.saturating_add(seen.shed);
        if let Some(hello) = seen.hello {
            self.ech_hellos += u64::from(hello.hides);
            self.hello = hello;
        }
        if outcome.swapped {
            self.reassembly.flip();
        }
        if outcome.step != Step::Continue {
            self.vigil.end(info, &mut self.tally);
        }
        outcome
    }

    /// The flow turned out to be encrypted for good. DNS in there is a blind spot of its own; where a flow hides its name,
    /// the DNS that could be read may tell it.
    pub(super) fn close(&mut self, info: &FlowInfo, shared: &Shared) {
        let (resolvers, server) = (&shared.rules.signatures.resolvers, info.tuple.server);
        let dns = self.hello.dns
            || server.port == ENCRYPTED_DNS
            || self
                .hello
                .shown
                .as_deref()
                .map_or_else(|| resolvers.is_at(server.addr), |name| resolvers.knows(name));
        if dns {
            self.tally.hide_dns(info);
        } else if self.hello.hides || self.hello.shown.is_none() {
            self.tally.hide(info, self.hello.shown.as_deref());
        }
    }

    /// Whether it is encrypted for good, and only watched for how it goes on.
    pub(super) fn is_watched(&self) -> bool {
        self.vigil.watches()
    }

    /// Messages read and left out since the last call.
    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        let (messages, left_out) = self.reader.as_mut().map_or((0, 0), |reader| reader.take_counts());
        (messages, left_out.saturating_add(std::mem::take(&mut self.shed)))
    }
}

/// What a flow's ClientHello said about where it goes; nothing when there was none.
#[derive(Clone, Debug, Default)]
struct Hello {
    /// The name that it shows.
    shown: Option<Box<str>>,
    /// It may hide another name behind that.
    hides: bool,
    /// It offers to speak DNS.
    dns: bool,
}

impl Hello {
    fn of(tls: &Tls<'_>) -> Self {
        let dns = |name: &&[u8]| Alpns::of(name).meets(Alpns::ENCRYPTED_DNS);
        Self {
            shown: tls.sni.map(Into::into),
            hides: tls.ech,
            dns: tls.alpn.iter().any(dns),
        }
    }
}

/// Whether a request carries a DNS message, or asks for one (RFC 8484, section 4.1).
fn carries_dns(request: &Request) -> bool {
    [Field::Accept, Field::ContentType]
        .into_iter()
        .filter_map(|field| request.headers.text(field))
        .any(|kind| kind.to_ascii_lowercase().contains("application/dns-message"))
}

/// What passed through a pipe.
#[derive(Debug, Default)]
struct Seen {
    mcp: bool,
    opened: bool,
    shed: u64,
    hello: Option<Hello>,
    suspect: Option<Box<Suspect>>,
}

/// The hot path of a flow, from chunk to finding.
struct Pipe<'p> {
    stream: &'p mut Stream,
    vigil: &'p mut Vigil,
    reader: &'p mut Option<Box<Reader>>,
    tally: &'p mut Tally,
    info: &'p mut FlowInfo,
    shared: &'p Shared,
    env: &'p Env,
    findings: &'p mut Findings,
    outcome: Outcome,
    seen: Seen,
}

impl<'p> Pipe<'p> {
    fn new(
        (stream, vigil): (&'p mut Stream, &'p mut Vigil),
        reader: &'p mut Option<Box<Reader>>,
        tally: &'p mut Tally,
        info: &'p mut FlowInfo,
        (shared, env): (&'p Shared, &'p Env),
        findings: &'p mut Findings,
    ) -> Self {
        let outcome = Outcome {
            step: Step::Continue,
            swapped: false,
        };
        Self {
            stream,
            vigil,
            reader,
            tally,
            info,
            shared,
            env,
            findings,
            outcome,
            seen: Seen::default(),
        }
    }

    fn push(&mut self, mut chunk: Chunk<'_>) {
        if self.outcome.swapped {
            chunk.dir = chunk.dir.flip();
        }
        if self.outcome.step == Step::Continue && self.vigil.watches() {
            self.outcome.step = self.vigil.push(&chunk);
        }
        self.run(|stream, env, listener| stream.push(chunk, env, listener));
    }

    fn run(&mut self, work: impl FnOnce(&mut Stream, &Env, &mut dyn FnMut(Output<'_>)) -> Step) {
        let Self {
            stream,
            vigil,
            reader,
            tally,
            info,
            shared,
            env,
            findings,
            outcome,
            seen,
        } = self;
        if outcome.step != Step::Continue || vigil.watches() {
            return;
        }
        let swapped = &mut outcome.swapped;
        let step = work(stream, env, &mut |output| match output {
            Output::Shed(count) => seen.shed = seen.shed.saturating_add(count),
            Output::Swap => {
                *swapped = true;
                info.tuple = info.tuple.flipped();
            }
            Output::Message(message) => {
                reader.get_or_insert_default().read(&message, info, &mut |observation| {
                    observe(&observation, shared, tally, findings, seen);
                });
            }
            Output::Fact(at, fact) => {
                match fact {
                    Fact::Tls(tls) => name(reader, tls.sni),
                    Fact::Uncovered(Cover::Opened(encryption)) => {
                        seen.opened |= info.encryption == Encryption::None;
                        info.encryption = encryption;
                    }
                    Fact::Uncovered(Cover::Relayed { client, host }) => {
                        client.into_iter().for_each(|client| tally.asked_by(client));
                        name(reader, host);
                    }
                    Fact::Announced(_)
                    | Fact::Credential(_)
                    | Fact::Around(_)
                    | Fact::Dns(_)
                    | Fact::Http(_)
                    | Fact::Mcp(_)
                    | Fact::Resolved(_)
                    | Fact::TlsAnswer(_)
                    | Fact::Violation(_) => {}
                }
                observe(&Observation { at, flow: info, fact }, shared, tally, findings, seen);
            }
        });
        if let Some(suspect) = seen.suspect.take() {
            vigil.suspect(&suspect);
        }
        outcome.step = vigil.instead(step, info.tuple.transport == Transport::Udp);
    }

    fn end(self) -> (Outcome, Seen) {
        if self.outcome.swapped {
            // The table exchanges everything that is labelled by role, the tuple included.
            self.info.tuple = self.info.tuple.flipped();
        }
        (self.outcome, self.seen)
    }
}

/// A layer below the messages names the host that the flow goes to.
fn name(reader: &mut Option<Box<Reader>>, host: Option<&str>) {
    if host.is_some() {
        reader.get_or_insert_default().named(host);
    }
}

fn observe(
    observation: &Observation<'_>,
    shared: &Shared,
    tally: &mut Tally,
    findings: &mut Findings,
    seen: &mut Seen,
) {
    match observation.fact {
        Fact::Mcp(mcp) => seen.mcp |= mcp.relevant,
        Fact::Tls(tls) => seen.hello = Some(Hello::of(&tls)),
        Fact::Announced(_)
        | Fact::Credential(_)
        | Fact::Around(_)
        | Fact::Dns(_)
        | Fact::Http(_)
        | Fact::Resolved(_)
        | Fact::TlsAnswer(_)
        | Fact::Uncovered(_)
        | Fact::Violation(_) => {}
    }
    let redact = Redact {
        text: &|text| shared.redact(text),
        definition: &|sha256| shared.inventory.definition(sha256),
    };
    tally.learn(observation, redact);
    match &observation.fact {
        Fact::Mcp(mcp) if shared.settings.messages_max > 0 => tally.note_message(observation, mcp, redact.text),
        Fact::Announced(announced) => tally.announce(observation, announced, redact),
        Fact::Http(transaction) if transaction.request.as_ref().is_some_and(carries_dns) => {
            tally.hide_dns(observation.flow);
        }
        Fact::Resolved(told) => tally.resolve(observation, told, weight(told, shared), redact),
        _ => {}
    }
    shared.panel.inspect(observation, findings);
    findings.findings.drain(..).for_each(|finding| tally.add(finding));
    findings.lookups.drain(..).for_each(|lookup| tally.look_up(lookup));
    findings.traces.drain(..).for_each(|trace| tally.leave(trace));
    for suspect in findings.suspects.drain(..) {
        seen.suspect = Some(Box::new(suspect.clone()));
        tally.suspect(suspect);
    }
}

/// What an answer may be worth.
fn weight(told: &Resolved<'_>, shared: &Shared) -> Weight {
    let (host, signatures) = (told.host(), &shared.rules.signatures);
    let known = told.leads_to_dns() || signatures.resolvers.knows(host) || signatures.names.suspicion(host).is_some();
    Weight::of(known, told.addr)
}
