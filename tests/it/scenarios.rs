//! Each conversation shows what it is, and nothing changes when the network is unkind without losing bytes. What is
//! lost takes only itself away.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::conversations::{Expect, Scenario, all, here, http_sse, streamable};
use crate::run;
use crate::talk::{self, Act, PLAIN, Script, Side, UNKIND, Wire};

/// What a report says about servers, clients and findings, but for times, packet numbers and what was around them.
pub(crate) fn essence(report: &Value) -> Value {
    let mut essence = report.clone();
    let tree = essence.as_object_mut().unwrap();
    tree.remove("capture");
    for list in ["servers", "clients", "lookups", "findings"] {
        for entry in tree[list].as_array_mut().unwrap() {
            for key in ["first_seen", "last_seen", "outer", "packet"] {
                entry.as_object_mut().unwrap().remove(key);
            }
        }
    }
    // First evidence decides the order of findings of one severity, and packets differ.
    let findings = tree["findings"].as_array_mut().unwrap();
    findings.sort_by_key(|finding| finding["id"].to_string());
    essence
}

fn check(name: &str, report: &Value, expect: &Expect) {
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 1, "{name}: {servers:#?}");
    let server = &servers[0];
    let texts = |list: &Value| -> BTreeSet<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|entry| entry.as_str().unwrap().to_owned())
            .collect()
    };
    let tools: BTreeSet<&str> = server["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    let messages = &server["messages"];
    let counts = ["requests", "responses", "errors", "notifications"].map(|kind| messages[kind].as_u64().unwrap());
    let clients: BTreeSet<&str> = report["clients"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|client| client["client_name"].as_str())
        .collect();
    assert_eq!(server["transport"], expect.transport, "{name}");
    assert_eq!(server["evidence"], "message", "{name}");
    assert_eq!(server["server_name"].as_str(), expect.name, "{name}");
    assert_eq!(
        texts(&server["protocol_versions"]),
        expect.revisions.iter().map(|text| (*text).to_owned()).collect(),
        "{name}"
    );
    assert_eq!(tools, expect.tools.iter().copied().collect(), "{name}");
    assert_eq!(counts, expect.counts, "{name}: {messages}");
    assert_eq!(clients, expect.clients.iter().copied().collect(), "{name}");
    let shadow = |finding: &&Value| finding["kind"] == "unapproved-server";
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.iter().filter(shadow).count(), 1, "{name}");
}

#[test]
fn each_conversation_shows_what_it_is() {
    for Scenario { name, script, expect } in all() {
        let report = run::frames(&talk::packets(&script, &PLAIN));
        check(name, &report, &expect);
    }
}

#[test]
fn an_unkind_network_that_loses_nothing_changes_nothing() {
    for Scenario { name, script, .. } in all() {
        let plain = essence(&run::frames(&talk::packets(&script, &PLAIN)));
        for (how, wire) in UNKIND {
            let disturbed = essence(&run::frames(&talk::packets(&script, wire)));
            assert_eq!(plain, disturbed, "{name}, {how}");
        }
    }
}

#[test]
fn random_cuts_and_orders_change_nothing() {
    let script = streamable(here()).chain(http_sse());
    let plain = essence(&run::frames(&talk::packets(&script, &PLAIN)));
    for seed in 1..200 {
        let kinds = [
            talk::Unkind::Not,
            talk::Unkind::Reordered,
            talk::Unkind::Lossy,
            talk::Unkind::Resent,
        ];
        let wire = Wire {
            mss: [0, 1, 7, 64, 500][usize::try_from(seed % 5).unwrap()],
            unkind: kinds[usize::try_from(seed % 4).unwrap()],
            seed,
            ..PLAIN
        };
        let disturbed = essence(&run::frames(&talk::packets(&script, &wire)));
        assert_eq!(plain, disturbed, "seed {seed}: {wire:?}");
    }
}

/// What one direction shows is right, as far as it goes.
#[test]
fn one_sided_captures_are_proven_by_what_only_an_answer_explains() {
    for Scenario { name, script, expect } in all() {
        for side in [Side::ToServer, Side::ToClient] {
            let wire = Wire { side, ..PLAIN };
            let report = run::frames(&talk::packets(&script, &wire));
            let servers = report["servers"].as_array().unwrap();
            // A request that was accepted and one that was not look the same where nothing of a session is echoed.
            let unproven = side == Side::ToServer && name == "stateless session";
            if unproven {
                assert!(servers.is_empty(), "{name}, {side:?}: {servers:#?}");
                continue;
            }
            assert_eq!(servers.len(), 1, "{name}, {side:?}: {servers:#?}");
            let messages = &servers[0]["messages"];
            let [requests, responses, ..] = expect.counts;
            let seen = (messages["requests"].as_u64(), messages["responses"].as_u64());
            let wanted = if side == Side::ToServer {
                (requests, 0)
            } else {
                (0, responses)
            };
            assert_eq!(seen, (Some(wanted.0), Some(wanted.1)), "{name}, {side:?}");
            assert!(
                report["capture"]["blind"]["one_sided_flows"].as_u64() > Some(0),
                "{name}, {side:?}"
            );
        }
    }
}

/// A capture that starts after any number of packets never invents a server, and finds what later messages prove.
#[test]
fn a_late_start_finds_what_comes_after_it() {
    for Scenario { name, script, .. } in all() {
        let frames = talk::packets(&script, &PLAIN);
        for start in 0..frames.len() {
            let report = run::frames(&frames[start..]);
            for server in report["servers"].as_array().unwrap() {
                assert_eq!(server["port"], 8000, "{name} from packet {start}: {server:#?}");
            }
        }
    }
    let frames = talk::packets(&streamable(here()), &PLAIN);
    let listing = frames
        .iter()
        .position(|(_, data)| data.windows(10).any(|bytes| bytes == b"tools/list"))
        .unwrap();
    let report = run::frames(&frames[listing..]);
    assert_eq!(report["servers"][0]["tools"][0]["name"], "find_book");
}

/// Each packet lost in turn: the server is still found, and nothing is invented.
#[test]
fn one_lost_packet_loses_no_server() {
    for Scenario { name, script, .. } in all() {
        let wire = Wire { mss: 400, ..PLAIN };
        let frames = talk::packets(&script, &wire);
        for lost in 0..frames.len() {
            let mut rest = frames.clone();
            rest.remove(lost);
            let report = run::frames(&rest);
            let servers = report["servers"].as_array().unwrap();
            assert_eq!(servers.len(), 1, "{name} without packet {lost}: {servers:#?}");
        }
    }
}

/// What one side sent at once and nobody captured takes its own messages away, and is counted in bytes.
#[test]
fn what_is_lost_takes_only_itself_away() {
    for Scenario { name, script, expect } in all() {
        for lost in 0..script.acts.len() {
            let mut script: Script = script.clone();
            let act = &mut script.acts[lost].1;
            let bytes = match act.clone() {
                Act::Up(bytes) => {
                    *act = Act::UnseenUp(bytes.clone());
                    bytes
                }
                Act::Down(bytes) => {
                    *act = Act::UnseenDown(bytes.clone());
                    bytes
                }
                _ => continue,
            };
            let what = format!("{name} without act {lost}");
            let report = run::frames(&talk::packets(&script, &PLAIN));
            let servers = report["servers"].as_array().unwrap();
            assert_eq!(servers.len(), 1, "{what}: {servers:#?}");
            let messages = &servers[0]["messages"];
            for (kind, most) in ["requests", "responses", "errors", "notifications"]
                .into_iter()
                .zip(expect.counts)
            {
                assert!(messages[kind].as_u64() <= Some(most), "{what}: {messages}");
            }
            let told = ["requests", "responses", "notifications"].map(|kind| messages[kind].as_u64().unwrap());
            let all: u64 = expect.counts[0] + expect.counts[1] + expect.counts[3];
            // A batch, a pipelined turn and an event stream hold several.
            let many = [
                "batch",
                "pipelined",
                "chunked body without an end",
                "Streamable HTTP with event streams",
            ];
            let most_lost = match name {
                // What refers to the lost text cannot be read either: a whole direction.
                "WebSocket, compressed" => 4,
                name if many.contains(&name) => 3,
                // Nothing else on its connection says what an answer without its request is.
                "a request for each connection" => 2,
                _ => 1,
            };
            assert!(told.iter().sum::<u64>() + most_lost >= all, "{what}: {messages}");
            // A tail behind which its sender says nothing more is not told: a reset has no number of its own.
            let resets = script.acts.iter().any(|(_, act)| matches!(act, Act::Reset));
            let told = &report["capture"]["lost"]["gap_bytes"];
            assert!(
                *told == bytes.len() || (resets && *told == 0),
                "{what}: {told} of {}",
                bytes.len()
            );
        }
    }
}

/// Two segments that give the same bytes differently are told where the connection carries MCP, whenever that shows;
/// elsewhere they are nobody's business.
#[test]
fn contradicting_segments_are_told() {
    let forked = |script: &Script, act: usize| {
        let mut script = script.clone();
        let Act::Up(bytes) = &script.acts[act].1 else {
            panic!("act {act} is the client's");
        };
        let mut other = bytes.clone();
        let last = other.len() - 3;
        other[last] ^= 1;
        script.acts[act].1 = Act::Forked(other, bytes.clone());
        run::frames(&talk::packets(&script, &PLAIN))
    };
    let told = |report: &Value| -> Vec<Value> {
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .filter(|finding| finding["rule"] == "ambiguous-overlap")
            .cloned()
            .collect()
    };
    let script = streamable(here());
    assert!(told(&run::frames(&talk::packets(&script, &PLAIN))).is_empty());
    // The very first message, which shows only later what the connection carries; and one in the middle.
    for act in [1, 5] {
        let report = forked(&script, act);
        let told = told(&report);
        assert_eq!(told.len(), 1, "{report:#}");
        let finding = &told[0];
        let wanted = ("protocol-violation", "low", "client-to-server");
        assert_eq!(
            (&finding["kind"], &finding["severity"], &finding["direction"]),
            (&wanted.0.into(), &wanted.1.into(), &wanted.2.into())
        );
        assert_eq!(finding["server_id"], report["servers"][0]["id"]);
        assert_eq!(finding["client"], report["servers"][0]["clients"][0]);
    }
    let plain = Script::default()
        .then(here(), Act::Open)
        .up(here(), "GET /index.html HTTP/1.1\r\nHost: www.example\r\n\r\n")
        .down(here(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert!(told(&forked(&plain, 1)).is_empty());
}
