//! The inventory is a join: whoever reports first, and in whatever lots, the view is the same.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use shadowtap::engine::Shard;
use shadowtap::engine::settings::Settings;
use shadowtap::inventory::Inventory;
use shadowtap::inventory::admission::{Admission, InventoryConfig};
use shadowtap::inventory::tally::{Redact, Tally};
use shadowtap::model::flow::FlowInfo;
use shadowtap::model::mcp::{Auth, JsonRpc, McpTransport, Revision, RpcKind, Site};
use shadowtap::model::net::{Direction, Endpoint, FiveTuple, Transport};
use shadowtap::model::observation::{Fact, Implementation, Listing, Mcp, Observation, Offer, Proof, ToolDef};
use shadowtap::model::server::Capture;
use shadowtap::model::stamp::{Span, Stamp, Timestamp};
use shadowtap::policy::Policy;

use crate::conversations;
use crate::run;
use crate::talk::{self, Ends, PLAIN, Random};
use crate::workers;

/// Steps several shards in random turns, each through all packets, as threads of their own would go.
fn race(frames: &run::Frames, settings: &Settings, count: usize, seed: u64) -> String {
    let shared = run::shared(settings.clone(), Policy::default());
    let mut shards: Vec<Shard> = (0..count).map(|index| Shard::new(&shared, index, count)).collect();
    let mut random = Random(seed);
    let mut next = vec![0; count];
    // One step past the last packet ends the flows.
    while next.iter().any(|at| *at <= frames.len()) {
        let index = random.below(count);
        for _ in 0..=random.below(8) {
            match next[index].cmp(&frames.len()) {
                std::cmp::Ordering::Less => shards[index].packet(&run::raw(frames, next[index])),
                std::cmp::Ordering::Equal => shards[index].drain(),
                std::cmp::Ordering::Greater => break,
            }
            next[index] += 1;
        }
    }
    run::text(&run::close(&shared, &mut shards))
}

fn tight(eager: bool) -> Settings {
    let mut settings = run::settings();
    settings.eager = eager;
    settings.inventory = run::tight_inventory();
    settings
}

/// A session of HTTP+SSE lives on two flows; here they lie on two shards.
#[test]
fn a_session_on_two_shards_is_one_whoever_comes_first() {
    let session = conversations::http_sse();
    // Ports that put the two flows on different shards of two.
    let frames = (0..50)
        .map(|offset| {
            let place = |ends: Ends| Ends {
                client: (ends.client.0, ends.client.1 * 3 + offset),
                ..ends
            };
            talk::packets(&session.moved(place), &PLAIN)
        })
        .find(|frames| {
            let shared = run::shared(run::settings(), Policy::default());
            let mut shards: Vec<Shard> = (0..2).map(|index| Shard::new(&shared, index, 2)).collect();
            shards.iter_mut().all(|shard| {
                (0..frames.len()).for_each(|at| shard.packet(&run::raw(frames, at)));
                shard.counters().flows == 1
            })
        })
        .unwrap();
    let eager = Settings {
        eager: true,
        ..run::settings()
    };
    for settings in [run::settings(), eager, tight(false), tight(true)] {
        let (expect, report) = run::frames_with(&frames, settings.clone(), 1);
        let servers = report["servers"].as_array().unwrap();
        assert_eq!((servers.len(), &servers[0]["transport"]), (1, &"http-sse".into()));
        for seed in 1..=1000 {
            assert!(
                expect == race(&frames, &settings, 2, seed),
                "schedule {seed} gives another report"
            );
        }
    }
}

#[test]
fn a_crowd_is_the_same_on_any_schedule() {
    let frames = workers::crowd(120);
    for settings in [run::settings(), tight(false), tight(true)] {
        let (expect, _) = run::frames_with(&frames, settings.clone(), 1);
        for seed in 1..=12 {
            assert!(
                expect == race(&frames, &settings, 4, seed),
                "schedule {seed} gives another report"
            );
        }
    }
}

/// An observation as data.
#[derive(Clone, Debug)]
struct Said {
    stamp: (i64, u64),
    client: u8,
    server: u8,
    path: Option<bool>,
    kind: u8,
    to_server: bool,
    tool: Option<(bool, u8)>,
    session: Option<u8>,
    name: Option<u8>,
    auth: Option<bool>,
    proof: u8,
    text: u8,
    flags: u8,
}

fn said() -> impl Strategy<Value = Said> {
    let place = (0..40_i64, 0..40_u64, 0..3_u8, 0..2_u8, any::<Option<bool>>());
    let message = (
        0..5_u8,
        any::<bool>(),
        proptest::option::of((any::<bool>(), 0..3_u8)),
        proptest::option::of(0..3_u8),
    );
    let rest = (
        proptest::option::of(0..2_u8),
        any::<Option<bool>>(),
        0..16_u8,
        0..3_u8,
        any::<u8>(),
    );
    (place, message, rest).prop_map(
        |((time, packet, client, server, path), (kind, to_server, tool, session), (name, auth, proof, text, flags))| {
            Said {
                stamp: (time, packet),
                client,
                server,
                path,
                kind,
                to_server,
                tool,
                session,
                name,
                auth,
                proof,
                text,
                flags,
            }
        },
    )
}

impl Said {
    fn learn(&self, tally: &mut Tally) {
        let at = Stamp {
            time: Timestamp::from_nanos(self.stamp.0),
            source: 0,
            packet: self.stamp.1,
        };
        let end = |host: u8, port| Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port);
        let info = FlowInfo {
            id: u64::from(self.client) * 10 + u64::from(self.server),
            tuple: FiveTuple {
                transport: Transport::Tcp,
                client: end(self.client + 100, 40_000),
                server: end(self.server, 8000),
            },
            seen: Span::at(at),
            packets: [1; 2],
            bytes: [1; 2],
            from_start: true,
            encryption: shadowtap::model::server::Encryption::None,
        };
        let kinds = [
            RpcKind::Request,
            RpcKind::Notification,
            RpcKind::Success,
            RpcKind::Error,
        ];
        let rpc = kinds.get(usize::from(self.kind)).map(|kind| JsonRpc {
            kind: *kind,
            method: ["tools/call", "initialize", "made/up"][usize::from(self.text)],
            id: Some("1"),
            params: None,
            result: None,
            error: None,
            bytes: 0,
            cut: false,
            odd: shadowtap::model::mcp::Odd::default(),
        });
        let bit = |number: u8| self.flags & (1 << number) != 0;
        let implementation = |name: u8| Implementation {
            name: Cow::Owned(format!("name-{name}")),
            version: Cow::Borrowed(if bit(0) { "1" } else { "2" }),
        };
        let mcp = Mcp {
            rpc,
            dir: if self.to_server {
                Direction::ToServer
            } else {
                Direction::ToClient
            },
            site: Site {
                endpoint: info.tuple.server,
                hostname: bit(1).then_some("shelf.example"),
                path: self.path.map(|one| if one { "/mcp" } else { "/sse" }),
            },
            transport: bit(2).then_some(if bit(3) {
                McpTransport::HttpSse
            } else {
                McpTransport::StreamableHttp
            }),
            transaction: None,
            call: None,
            name: self.name.map(|name| Cow::Owned(format!("tool-{name}"))),
            scheme: None,
            session: self.session.map(u64::from),
            auth: self.auth.map(|bearer| if bearer { Auth::Bearer } else { Auth::None }),
            revision: bit(4).then(|| Revision::parse("2025-11-25").unwrap()),
            client: self.name.map(implementation),
            server: self.name.filter(|_| !self.to_server).map(implementation),
            instructions: bit(5).then_some(Cow::Borrowed("be kind")),
            listing: self.tool.map(|(last, tool)| Listing {
                cursor: None,
                next: (!last).then_some(1),
                tools: vec![ToolDef {
                    name: Cow::Owned(format!("tool-{tool}")),
                    sha256: [tool * 2 + u8::from(bit(6)); 32],
                    description_sha256: None,
                    canonical: format!("{{\"tool\":{tool},\"new\":{}}}", bit(6)),
                }],
            }),
            offers: if bit(7) {
                vec![(Offer::Prompt, u64::from(self.text))]
            } else {
                Vec::new()
            },
            proof: Proof(self.proof),
            success: !bit(0),
            gives: bit(1),
            wants_input: false,
            relevant: true,
            request_head: false,
            response_head: false,
            alias: (bit(2) && bit(3) && bit(4)).then_some("/messages"),
        };
        let observation = Observation {
            at,
            flow: &info,
            fact: Fact::Mcp(&mcp),
        };
        let redact = Redact {
            text: &str::to_owned,
            definition: &|_| None,
        };
        tally.learn(&observation, redact);
    }
}

/// The view of these observations, cut into lots behind the marked ones.
fn view(said: &[Said], cuts: &[bool]) -> String {
    let inventory = Inventory::default();
    let mut admission = Admission::new(&InventoryConfig::default());
    let mut tally = Tally::default();
    for (at, one) in said.iter().enumerate() {
        one.learn(&mut tally);
        if cuts.get(at).copied().unwrap_or_default() {
            inventory.join(&mut tally, &mut admission);
        }
    }
    inventory.join(&mut tally, &mut admission);
    format!("{:#?}", inventory.view(Capture::default()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_grouping_is_the_same_view(
        said in vec(said(), 1..24),
        swaps in vec((any::<Index>(), any::<Index>()), 0..40),
        cuts in vec(any::<bool>(), 24),
    ) {
        let expect = view(&said, &[]);
        let mut other = said.clone();
        for (one, two) in swaps {
            other.swap(one.index(said.len()), two.index(said.len()));
        }
        prop_assert_eq!(expect, view(&other, &cuts));
    }
}
