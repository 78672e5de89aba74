//! Reports held against what is true of each capture (`tests/truth/NAME.json`, counted with other software).
//!
//! What this version does not read yet stands in [`LATER`], with its reason. An exception that is no longer needed fails
//! the test too, so that the table only ever shrinks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shadowtap::policy::Policy;

use crate::run;

/// Capture, check, why it does not hold yet.
const LATER: &[(&str, &[&str], &str)] = &[
    (
        "bridge_mcp_proxy",
        &["transport"],
        "the label names one transport, both are in the capture",
    ),
    (
        "secrets_in_transit",
        &["finding:credit_card", "finding:private_key_pem"],
        "the label wants a masked sample of a card number and of a key block; the contract gives a card none, and the \
         public part of a key block is its head line",
    ),
];

#[test]
fn reports_are_true() {
    let mut checks = 0;
    let mut wrong: BTreeMap<(String, String), String> = BTreeMap::new();
    for capture in run::captures() {
        let name = run::stem(&capture);
        let label: Value = read(&run::folder("tests/truth").join(format!("{name}.json")));
        let files = std::slice::from_ref(&capture);
        let report =
            |policy: Policy| -> Value { serde_json::from_str(&run::files(files, run::settings(), policy, 2)).unwrap() };
        let mut case = Case {
            name: &name,
            checks: &mut checks,
            wrong: &mut wrong,
            partial: label["partial"].as_bool().unwrap_or(false),
        };
        case.compare(
            &label,
            &report(Policy::default()),
            &report(run::policy(&approving(&label))),
        );
    }
    assert!(checks > 1000, "only {checks} checks: labels are not read");
    let later: BTreeSet<(String, String)> = LATER
        .iter()
        .flat_map(|(name, checks, _)| checks.iter().map(|check| ((*name).to_owned(), (*check).to_owned())))
        .collect();
    let failed: BTreeSet<(String, String)> = wrong.keys().cloned().collect();
    let unexpected: Vec<_> = failed.difference(&later).map(|key| (key, &wrong[key])).collect();
    let needless: Vec<_> = later.difference(&failed).collect();
    assert!(unexpected.is_empty(), "reports that are not true: {unexpected:#?}");
    assert!(
        needless.is_empty(),
        "these checks hold now: take them out of LATER: {needless:#?}"
    );
}

/// One capture under comparison.
struct Case<'c> {
    name: &'c str,
    checks: &'c mut u32,
    wrong: &'c mut BTreeMap<(String, String), String>,
    /// The capture shows a part only: what is reported must be true, but not complete.
    partial: bool,
}

impl Case<'_> {
    fn check(&mut self, check: &str, holds: bool, why: impl FnOnce() -> String) {
        *self.checks += 1;
        if !holds {
            self.wrong
                .entry((self.name.to_owned(), check.to_owned()))
                .or_insert_with(why);
        }
    }

    fn compare(&mut self, label: &Value, report: &Value, approved: &Value) {
        let read: Vec<&Value> = list(&report["servers"])
            .filter(|server| server["evidence"] == "message")
            .collect();
        let findings: Vec<&Value> = list(&report["findings"]).collect();
        let mut known: BTreeSet<String> = BTreeSet::new();
        for want in list(&label["servers"]) {
            let endpoint = endpoint(&want["addr"], &want["port"]);
            let got: Vec<&Value> = read
                .iter()
                .copied()
                .filter(|server| self::endpoint(&server["address"], &server["port"]) == endpoint)
                .collect();
            self.check("server", !got.is_empty(), || format!("missed {endpoint}"));
            if !got.is_empty() {
                self.server(want, &got);
                self.verdict(&endpoint, &got, &findings, approved);
            }
            known.insert(endpoint);
        }
        for server in &read {
            let endpoint = endpoint(&server["address"], &server["port"]);
            self.check("no_false_server", known.contains(&endpoint), || {
                format!("invented {endpoint}")
            });
        }
        for finding in findings.iter().filter(|finding| finding["kind"] == "unapproved-server") {
            let server = text(&finding["server"]);
            self.check("no_false_shadow", known.contains(server), || {
                format!("{server} is no server")
            });
        }
        self.clients(label, report);
        self.wanted_findings(label, report, &findings);
        self.unwanted_findings(label, &read, &findings);
    }

    fn server(&mut self, want: &Value, got: &[&Value]) {
        let places: BTreeSet<String> = got
            .iter()
            .map(|server| format!("{} {}", server["hostname"], server["path"]))
            .collect();
        self.check("one_entry", places.len() == got.len(), || {
            format!("listed twice: {got:?}")
        });
        let transports: BTreeSet<&str> = got
            .iter()
            .flat_map(|server| list(&server["transports"]))
            .map(text)
            .collect();
        let wanted: BTreeSet<&str> = match want["transports_seen"].as_array() {
            Some(seen) => seen.iter().map(text).collect(),
            None => BTreeSet::from([text(&want["transport"])]),
        };
        self.check("transport", transports == wanted, || {
            format!("{transports:?}, not {wanted:?}")
        });
        if let Some(tools) = want["tools"].as_array() {
            let wanted: BTreeSet<&str> = tools.iter().map(text).collect();
            let tools: BTreeSet<&str> = got
                .iter()
                .flat_map(|server| list(&server["tools"]))
                .map(|tool| text(&tool["name"]))
                .collect();
            let holds = if self.partial {
                tools.is_subset(&wanted)
            } else {
                tools == wanted
            };
            self.check("tools", holds, || format!("{tools:?}, not {wanted:?}"));
        }
        if want["scope"].is_string() {
            let holds = got.iter().all(|server| server["scope"] == want["scope"]);
            self.check("scope", holds, || format!("not {}", want["scope"]));
        }
        if !self.partial {
            self.whole_server(want, got);
        }
    }

    /// What only a complete capture shows.
    fn whole_server(&mut self, want: &Value, got: &[&Value]) {
        if want["server_name"].is_string() {
            let pair = |name: &Value, version: &Value| (name.clone(), version.clone());
            let names: Vec<(Value, Value)> = match want["names_seen"].as_array() {
                Some(seen) => seen.iter().map(|seen| pair(&seen[0], &seen[1])).collect(),
                None => vec![pair(&want["server_name"], &want["server_version"])],
            };
            let holds = got
                .iter()
                .any(|server| names.contains(&pair(&server["server_name"], &server["server_version"])));
            self.check("server_name", holds, || format!("none of {names:?}"));
        }
        if want["protocol_version"].is_string() {
            let versions: BTreeSet<&str> = got
                .iter()
                .flat_map(|server| list(&server["protocol_versions"]))
                .map(text)
                .collect();
            let holds = versions.contains(text(&want["protocol_version"])) && versions.len() <= 2;
            self.check("protocol", holds, || format!("{versions:?}"));
        }
        if want["auth"].is_string() {
            let auths: BTreeSet<&str> = got.iter().filter_map(|server| server["auth"].as_str()).collect();
            let holds = auths == BTreeSet::from([text(&want["auth"])]);
            self.check("auth", holds, || format!("{auths:?}, not {}", want["auth"]));
        }
        let messages = &want["messages"];
        for kind in ["requests", "responses", "notifications", "errors"] {
            let count: u64 = got
                .iter()
                .map(|server| server["messages"][kind].as_u64().unwrap())
                .sum();
            if let Some(wanted) = messages[kind].as_u64() {
                self.check("count", count == wanted, || format!("{kind}: {count}, not {wanted}"));
            }
        }
        if let Some(wanted) = messages["by_method"].as_object() {
            let mut methods: BTreeMap<&str, u64> = BTreeMap::new();
            for (method, count) in got
                .iter()
                .filter_map(|server| server["messages"]["by_method"].as_object())
                .flatten()
            {
                *methods.entry(method).or_default() += count.as_u64().unwrap();
            }
            let wanted: BTreeMap<&str, u64> = wanted
                .iter()
                .map(|(method, count)| (method.as_str(), count.as_u64().unwrap()))
                .collect();
            self.check("by_method", methods == wanted, || {
                format!("{methods:?}, not {wanted:?}")
            });
        }
    }

    fn verdict(&mut self, endpoint: &str, got: &[&Value], findings: &[&Value], approved: &Value) {
        let shadow = |finding: &&Value| finding["kind"] == "unapproved-server" && finding["server"] == endpoint;
        let count = findings.iter().copied().filter(shadow).count();
        self.check("unapproved", (1..=got.len()).contains(&count), || {
            format!("{count} findings")
        });
        let silent = !list(&approved["findings"]).any(|finding| shadow(&finding));
        let mut entries =
            list(&approved["servers"]).filter(|server| self::endpoint(&server["address"], &server["port"]) == endpoint);
        let holds = silent && entries.all(|server| server["approved"] == true);
        self.check("approval", holds, || format!("{endpoint} is approved by policy"));
    }

    fn clients(&mut self, label: &Value, report: &Value) {
        for want in list(&label["clients"]).filter(|client| client["client_name"].is_string()) {
            let known = list(&report["clients"])
                .any(|got| got["address"] == want["addr"] && got["client_name"] == want["client_name"]);
            if !self.partial {
                self.check("client", known, || format!("missed {want}"));
            }
        }
    }

    fn wanted_findings(&mut self, label: &Value, report: &Value, findings: &[&Value]) {
        let mut used: BTreeSet<usize> = BTreeSet::new();
        for want in list(&label["expect_findings"]) {
            let hit = (0..findings.len()).find(|at| !used.contains(at) && meets(findings[*at], want));
            used.extend(hit);
            // Planted values are told apart by what they are.
            let planted = want["masked"].is_string();
            let check = format!(
                "finding:{}",
                text(if planted { &want["detail"] } else { &want["kinds"][0] })
            );
            self.check(&check, hit.is_some(), || format!("none for {want}"));
            if want["client"].is_string() && want["name"].is_string() {
                let known = list(&report["lookups"]).any(|lookup| {
                    same_name(text(&lookup["name"]), text(&want["name"])) && lookup["client"] == want["client"]
                });
                self.check("lookup", known, || format!("no lookup of {}", want["name"]));
            }
        }
    }

    fn unwanted_findings(&mut self, label: &Value, read: &[&Value], findings: &[&Value]) {
        for rule in list(&label["must_not"]) {
            let kinds = rule["kinds"].as_array();
            let absent = |found: &mut dyn FnMut(&Value) -> bool| !read.iter().any(|server| found(server));
            let holds = match kinds {
                _ if rule["any_server"] == true => read.is_empty(),
                None if rule["server"].is_string() => {
                    absent(&mut |server| rule["server"] == endpoint(&server["address"], &server["port"]).as_str())
                }
                None => absent(&mut |server| server["address"] == rule["address"]),
                Some(kinds) => !findings.iter().any(|finding| {
                    kinds.contains(&finding["kind"])
                        && loud(finding, rule)
                        && (rule["tool"].is_null() || finding["tool"] == rule["tool"])
                        && (rule["name"].is_null() || named(finding, text(&rule["name"])))
                }),
            };
            self.check("must_not", holds, || rule.to_string());
        }
    }
}

fn meets(finding: &Value, want: &Value) -> bool {
    let agrees = |key: &str| want[key].is_null() || finding[key] == want[key];
    let name = want["name"].as_str();
    let mentioned = |name: &str| finding.to_string().to_lowercase().contains(&name.to_lowercase());
    list(&want["kinds"]).any(|kind| *kind == finding["kind"])
        && loud(finding, want)
        && (want["server"].is_null() || text(&finding["server"]).ends_with(text(&want["server"])))
        && agrees("client")
        && agrees("tool")
        && name.is_none_or(|name| named(finding, name) || mentioned(name))
        && want["masked"].as_str().is_none_or(|masked| {
            // A planted value: the sample or the place must agree.
            let place = text(&want["where"]).trim_end_matches(']');
            let last = place
                .rsplit(|c: char| c == '.' || c == '/' || c == '[' || c == ']' || c.is_whitespace())
                .next()
                .unwrap()
                .to_lowercase();
            let head = |text: &str| text.chars().take(3).collect::<String>().to_lowercase();
            let sample = text(&finding["sample"]);
            (sample.len() > 2 && head(sample) == head(masked))
                || (last.len() > 2 && text(&finding["where"]).to_lowercase().contains(&last))
        })
}

fn loud(finding: &Value, rule: &Value) -> bool {
    const RANKS: [&str; 5] = ["info", "low", "medium", "high", "critical"];
    let rank = |word: &Value| RANKS.iter().position(|rank| word == rank).unwrap_or(0);
    rank(&finding["severity"]) >= rank(&rule["min_severity"])
}

fn named(finding: &Value, name: &str) -> bool {
    same_name(text(&finding["where"]), name) || same_name(text(&finding["detail"]["name"]), name)
}

fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.')
        .eq_ignore_ascii_case(other.trim_end_matches('.'))
}

fn approving(label: &Value) -> String {
    list(&label["servers"])
        .map(|server| {
            format!(
                "[[approve]]\naddress = {}\nport = {}\nowner = \"test\"\nreason = \"test\"\n\n",
                server["addr"], server["port"]
            )
        })
        .collect()
}

fn endpoint(addr: &Value, port: &Value) -> String {
    let addr = text(addr);
    if addr.contains(':') {
        format!("[{addr}]:{port}")
    } else {
        format!("{addr}:{port}")
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
