//! Events in the formats of others, held against what those publish; and whole ways from a capture to a receiver.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::collector::Collector;
use crate::tools::{attempt, beside, free_port, packages, program, python, run, sensor};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A checker of `siem.py`; what it prints.
fn checked(arguments: &[&Path]) -> Result<String, String> {
    let mut command = Command::new(python("python")?);
    command.arg(beside("siem.py")).args(arguments);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn events_fit_their_json_schema() {
    attempt(|| {
        let folder = tempfile::tempdir().unwrap();
        let schemas = folder.path().join("schemas.json");
        let printed = sensor().args(["schema", "--events"]).output().unwrap();
        std::fs::write(&schemas, printed.stdout).unwrap();
        let samples = file("src/sink/siem/schema/samples.ndjson");
        checked(&[Path::new("schema"), &schemas, &samples]).map(drop)
    });
}

#[test]
fn events_are_detection_findings_of_ocsf() {
    attempt(|| checked(&[Path::new("ocsf"), &file("tests/samples/events.ocsf.ndjson")]).map(drop));
}

#[test]
fn events_are_of_the_elastic_common_schema() {
    attempt(|| {
        let mut command = Command::new(program("node")?);
        command
            .arg(beside("ecs.js"))
            .arg(packages()?)
            .arg(file("tests/samples/events.ecs.ndjson"));
        run(&mut command);
        Ok(())
    });
}

/// Every rule is one, and matches the samples of the kinds that it is about and no others.
#[test]
fn sigma_rules_match_the_samples_that_they_are_about() {
    attempt(|| {
        let samples = file("src/sink/siem/schema/samples.ndjson");
        let matched = checked(&[Path::new("sigma"), &file("signatures/sigma"), &samples])?;
        assert_eq!(matched, include_str!("sigma.tsv"));
        Ok(())
    });
}

/// Captures in which much goes wrong, or is out of the ordinary.
const CAPTURES: &[&str] = &[
    "dns_registries_udp",
    "ipv6_streamable",
    "modern_param_headers",
    "poison_tools",
    "rugpull_two_sessions",
    "secrets_in_transit",
    "tls13_h2",
    "token_passthrough",
];

/// One configuration, every kind of receiver that speaks HTTP and a file in each JSON format: all of them get the same events of
/// real captures, and what is written fits what is published.
#[test]
fn real_captures_reach_every_receiver() {
    attempt(|| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let collector = Collector::start(0, |_, request| {
            let items = request.body.lines().count() / 2;
            let created = vec![r#"{"create":{"status":201}}"#; items].join(",");
            match &*request.path {
                "/_bulk" => (200, String::new(), format!(r#"{{"errors":false,"items":[{created}]}}"#)),
                _ => (200, String::new(), r#"{"text":"Success","code":0}"#.to_owned()),
            }
        });
        secret(&at("token"));
        let url = format!("http://127.0.0.1:{}", collector.port);
        let usual = "events = ['finding', 'server', 'lookup', 'tool-change', 'sensor-health']\nreplay = true";
        let mut text = format!(
            "[spool]\ndir = 'spool'\n\
             [[sinks]]\ntype = 'splunk'\nurl = '{url}'\ntoken_file = 'token'\n{usual}\n\
             [[sinks]]\ntype = 'elasticsearch'\nurl = '{url}'\n{usual}\n\
             [[sinks]]\ntype = 'webhook'\nurl = '{url}/hook'\n{usual}\n\
             [[sinks]]\ntype = 'webhook'\nname = 'silent'\nurl = '{url}/silent'\n"
        );
        for format in ["json", "ecs", "ocsf"] {
            text += &format!(
                "[[sinks]]\ntype = 'file'\nname = '{format}'\nformat = '{format}'\npath = '{format}'\n{usual}\n"
            );
        }
        std::fs::write(at("c.toml"), text).unwrap();
        for capture in CAPTURES {
            let mut replay = sensor();
            replay
                .args(["replay", "--store", "none", "--format", "json", "--config"])
                .arg(at("c.toml"));
            run(replay.arg(file(&format!("pcaps/{capture}.pcap"))));
        }
        let lines = |name: &str| -> Vec<Value> {
            let text = std::fs::read_to_string(at(name)).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let ids = |events: &[Value], path: &str| -> Vec<String> {
            let texts = events
                .iter()
                .map(|event| event.pointer(path).unwrap().as_str().unwrap());
            // Findings and records go in batches of their own, in any order.
            let mut ids: Vec<String> = texts.map(str::to_owned).collect();
            ids.sort();
            ids
        };
        let told = ids(&lines("json"), "/event_id");
        assert!(told.len() > 50, "{}", told.len());
        assert_eq!(ids(&lines("ecs"), "/event/id"), told);
        assert_eq!(ids(&lines("ocsf"), "/metadata/uid"), told);
        let seen = collector.seen();
        let at_path = |path: &str| -> Vec<Value> {
            let bodies = seen
                .iter()
                .filter(|request| request.path == path)
                .map(|request| &request.body);
            bodies
                .flat_map(|body| serde_json::Deserializer::from_str(body).into_iter().map(Result::unwrap))
                .collect()
        };
        assert_eq!(ids(&at_path("/services/collector/event"), "/event/event_id"), told);
        let bulk: Vec<Value> = at_path("/_bulk").into_iter().step_by(2).collect();
        assert_eq!(ids(&bulk, "/create/_id"), told);
        let hook: Vec<Value> = at_path("/hook")
            .into_iter()
            .flat_map(|list| list.as_array().unwrap().clone())
            .collect();
        assert_eq!(ids(&hook, "/event_id"), told);
        assert_eq!(
            at_path("/silent"),
            Vec::<Value>::new(),
            "replays are for those that want them"
        );

        let schemas = at("schemas.json");
        std::fs::write(&schemas, sensor().args(["schema", "--events"]).output().unwrap().stdout).unwrap();
        checked(&[Path::new("schema"), &schemas, &at("json")])?;
        checked(&[Path::new("ocsf"), &at("ocsf")])?;
        run(Command::new(program("node")?)
            .arg(beside("ecs.js"))
            .arg(packages()?)
            .arg(at("ecs")));
        Ok(())
    });
}

/// A receiver that is away loses nothing: what waits on disk goes first when it is back.
#[test]
fn an_outage_is_outlived_by_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    let port = free_port();
    let text = format!(
        "[spool]\ndir = 'spool'\n[[sinks]]\ntype = 'webhook'\nname = 'soc'\nurl = 'http://127.0.0.1:{port}/hook'\n\
         events = ['finding']\nreplay = true\n"
    );
    std::fs::write(&config, text).unwrap();
    let replay = |capture: &str| {
        let mut replay = sensor();
        replay
            .args(["replay", "--store", "none", "--format", "json", "--config"])
            .arg(&config);
        replay.arg(file(&format!("pcaps/{capture}.pcap"))).output().unwrap()
    };
    let findings = |output: &std::process::Output| -> Vec<Value> {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["id"].clone())
            .collect()
    };
    let away = replay("secrets_in_transit");
    let collector = Collector::start(port, |_, _| (200, String::new(), String::new()));
    let back = replay("poison_tools");
    let seen = collector.seen();
    let told: Vec<Value> = seen
        .iter()
        .flat_map(|request| serde_json::from_str::<Vec<Value>>(&request.body).unwrap())
        .map(|event| event["id"].clone())
        .collect();
    assert_eq!(told, [findings(&away), findings(&back)].concat());
}

fn secret(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(file, "s3cret").unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
