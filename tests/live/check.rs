//! `live --check`: what it says of a good wire, and that it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Config, Net, SENSOR};

#[test]
fn a_look_says_what_can_be_seen_and_stores_nothing() {
    let Some(net) = Net::new() else { return };
    let config = Config::new();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &net.here, SENSOR, "live", "-i", "v0", "--check", "5s"]);
    command.args(["--format", "json", "--config", &config.path]);
    command.env("HOME", config.folder.path()).env_remove("XDG_STATE_HOME");
    let store = config.folder.path().join("never.db");
    command.env("SHADOWTAP_STORE", &store);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("looking for 5 s")));
    net.talk();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let point = |name: &str| {
        let points = answer["points"].as_array().unwrap().iter();
        let mut found = points.filter(|point| point["name"] == name);
        found.next().unwrap_or_else(|| panic!("{name}: {answer}")).clone()
    };
    assert_eq!(answer["sources"], serde_json::json!(["v0"]));
    assert!(answer["packets"].as_u64() > Some(10), "{answer}");
    for name in ["drops", "copies", "cut packets", "clock", "encrypted connections"] {
        assert_eq!(
            (&point(name)["state"], &point(name)["advice"]),
            (&"good".into(), &"".into()),
            "{answer}"
        );
    }
    assert_eq!(point("MCP")["seen"], "7 messages read", "{answer}");
    // So few packets say little.
    assert_eq!(point("traffic")["state"], "note", "{answer}");
    assert!(!store.exists());
}
