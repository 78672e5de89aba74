//! Speed of the signatures: a pass over text without a hit, a name, and the start-up.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use shadowtap::detect::signature::poison::Scope;
use shadowtap::detect::signature::secrets::Place;
use shadowtap::detect::signature::{Plain, Signatures};

fn main() {
    divan::main();
}

const MIB: usize = 1024 * 1024;

/// Tool listings: prose in JSON.
fn listing() -> String {
    let tool = r#"{"name":"search_issues","description":"Search for issues and pull requests across repositories. Returns title, state, labels and the number of comments; use page and per_page to walk the results.","inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"Words to look for"},"page":{"type":"integer"}},"required":["query"]}},"#;
    tool.repeat(MIB / tool.len())
}

/// Plain English about software.
fn prose() -> String {
    let text = "The service keeps a queue of jobs for every project and hands them to workers in the order in which they came. A worker that does not answer within a minute loses its job to another one, and the owner of the project is told by mail. Set the limit in the settings page; previous limits stay in the history, so that an administrator can see who changed what, and when. Passwords are stored as hashes, and access tokens expire after a day. ";
    text.repeat(MIB / text.len())
}

/// Results: ids, times, digests, escapes.
fn records() -> String {
    let mut text = String::new();
    let mut state: u64 = 7;
    while text.len() < MIB {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!(
            r#"{{\"id\":\"{state:016x}\",\"order\":{},\"at\":\"2026-11-20T10:00:00.123Z\",\"sha\":\"{:032x}\",\"note\":\"line one\nline two\"}},"#,
            state % 10_000_000_000,
            u128::from(state) * 0x9E37_79B9_7F4A_7C15_F39C
        ));
    }
    text
}

#[divan::bench(args = ["listing", "records"])]
fn scan(bencher: Bencher<'_, '_>, what: &str) {
    let signatures = Signatures::builtin();
    let text = if what == "listing" { listing() } else { records() };
    bencher.counter(BytesCount::of_str(&text)).bench(|| {
        let mut hits = 0;
        signatures
            .secrets
            .scan(Plain::of(black_box(&text)).text(), Place::Result, &mut |_| hits += 1);
        assert_eq!(hits, 0);
    });
}

#[divan::bench(args = ["cdn.assets.example.com", "mcp.linear.app", "x.y.registry.smithery.ai"])]
fn name(bencher: Bencher<'_, '_>, name: &str) {
    let signatures = Signatures::builtin();
    bencher.bench(|| signatures.names.find(black_box(name)).is_some());
}

#[divan::bench]
fn start_up() -> Signatures {
    Signatures::builtin()
}

/// Results as the poisoning rules see them.
#[divan::bench(args = ["listing", "records", "prose"])]
fn sift(bencher: Bencher<'_, '_>, what: &str) {
    let signatures = Signatures::builtin();
    let text = match what {
        "listing" => listing(),
        "records" => records(),
        _ => prose(),
    };
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| signatures.poison.sift(black_box(&text), Scope::Result).len());
}

/// A definition, looked through with every rule.
#[divan::bench(args = ["listing", "prose"])]
fn judge(bencher: Bencher<'_, '_>, what: &str) {
    let signatures = Signatures::builtin();
    let text = if what == "listing" { listing() } else { prose() };
    let text = &text[..8 * 1024];
    bencher
        .counter(BytesCount::of_str(text))
        .bench(|| signatures.poison.judge(black_box(text), Scope::Metadata).score);
}
