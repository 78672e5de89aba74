//! Host mode: real servers with different binds, in namespaces of their own, and programs that no packet shows.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::{Config, Net, SERVER, Sensor, end, ip};

struct Ending(Option<Child>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(end);
    }
}

/// A sensor that has looked at the machine once.
fn looking(net: &Net, interface: &str, config: &Config) -> Sensor {
    let line = ["-i", interface, "--host", "--store", "none", "--format", "json"];
    let mut sensor = net.sensor(&[&line[..], &["--config", &config.path]].concat());
    sensor.hears("looking at ");
    sensor
}

/// The report of a sensor on an interface that saw one conversation with a server bound so.
fn report(net: &Net, interface: &str, namespace: &str, bind: &str, to: &str) -> (Value, u32) {
    let config = Config::new();
    let (server, ready) = net.serve(namespace, &[("BIND", bind)]);
    let pid = server.id();
    let server = Ending(Some(server));
    assert!(ready);
    let mut sensor = looking(net, interface, &config);
    assert!(
        net.peer_under(&net.here, "client", &[("TO", to)])
            .wait()
            .unwrap()
            .success()
    );
    sensor.hears("MCP server seen: weather");
    // The round that saw the server has asked for what the host showed.
    sensor.signal("TERM");
    let (code, report, log) = sensor.ends();
    assert_eq!(code, 0, "{log:?}");
    drop(server);
    (serde_json::from_str(&report).unwrap(), pid)
}

fn exposed(report: &Value) -> Vec<&Value> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["kind"] == "exposed-bind").collect()
}

#[test]
fn binds_and_processes_of_servers_are_known() {
    let Some(net) = Net::new() else { return };
    ip(&["-n", &net.here, "link", "set", "lo", "up"]).unwrap();
    for (interface, namespace, bind, to, word, severity) in [
        ("v0", &net.there, "0.0.0.0", SERVER, "wildcard", Some("high")),
        ("v0", &net.there, "::", SERVER, "wildcard", Some("high")),
        ("v0", &net.there, SERVER, SERVER, "address", Some("medium")),
        ("lo", &net.here, "127.0.0.1", "127.0.0.1", "loopback", None),
    ] {
        let (report, pid) = report(&net, interface, namespace, bind, to);
        let server = &report["servers"][0];
        assert_eq!(server["bind"], word, "{bind}: {report}");
        let process = &server["process"];
        assert_eq!(
            (&process["pid"], &process["user"]),
            (&json!(pid), &json!("root")),
            "{report}"
        );
        assert!(process["exe"].as_str().unwrap().contains("/live-"), "{process}");
        assert!(
            process["command"].as_str().unwrap().contains("--exact peer::runs"),
            "{process}"
        );
        let exposed = exposed(&report);
        assert_eq!(
            exposed.first().map(|finding| finding["severity"].as_str()),
            severity.map(Some),
            "{bind}: {report}"
        );
        assert!(
            exposed.iter().all(|finding| finding["detail"]["bind"] == word),
            "{report}"
        );
    }
}

#[test]
fn what_no_packet_shows_is_named() {
    let Some(net) = Net::new() else { return };
    let config = Config::new();
    // Programs that wait for their input, by the names that say what they are.
    let _running: Vec<Ending> = [
        ("uvx", &["mcp-server-time", "--api-key", "hunter2-hunter2"][..]),
        ("npx", &["-y", "some-mcp@1.2.3"]),
        ("weather-mcp-server", &["--stdio"]),
        ("notes", &["mcp"]),
    ]
    .iter()
    .map(|(name, arguments)| {
        let path = config.folder.path().join(name);
        std::fs::write(&path, "#!/bin/sh\nread line\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Ending(Some(
            Command::new(path)
                .args(*arguments)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap(),
        ))
    })
    .collect();
    let mut sensor = looking(&net, "v0", &config);
    net.talk();
    sensor.hears("MCP server seen: weather");
    sensor.signal("TERM");
    let (_, report, log) = sensor.ends();
    assert!(!report.contains("hunter2"), "{report}");
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {log:?}"));
    let folder = config.folder.path().display().to_string();
    let mine = |process: &Value| {
        process["command"]
            .as_str()
            .is_some_and(|command| command.contains(&folder))
    };
    let stdio = report["host"]["stdio_servers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| mine(it));
    let mut commands: Vec<String> = stdio
        .map(|it| it["command"].as_str().unwrap().replace(&folder, ""))
        .collect();
    commands.sort();
    let expect = [
        "/bin/sh /npx -y some-mcp@1.2.3",
        "/bin/sh /uvx mcp-server-time --api-key {secret}",
        "/bin/sh /weather-mcp-server --stdio",
    ];
    assert_eq!(commands, expect, "{report}");
    let findings = report["findings"].as_array().unwrap().iter();
    let unpinned: Vec<&Value> = findings
        .filter(|finding| finding["kind"] == "unpinned-package" && mine(&finding["detail"]))
        .collect();
    assert_eq!(unpinned.len(), 1, "{report}");
    assert_eq!(
        (&unpinned[0]["detail"]["name"], &unpinned[0]["severity"]),
        (&json!("mcp-server-time"), &json!("low"))
    );
}
