//! A confined sensor tells its sinks: a receiver that is away at first, a file, and standard output.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;

use serde_json::Value;

use crate::{Config, Net, ip};

const RECEIVER: &str = "127.0.0.1:6601";

/// Prints what is sent to it; runs inside a namespace.
pub(crate) fn receiver() {
    let listener = TcpListener::bind(RECEIVER).unwrap();
    println!("ready");
    for mut stream in listener.incoming().map_while(Result::ok) {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        println!("{text}");
    }
}

#[test]
fn a_confined_sensor_tells_its_sinks() {
    let Some(net) = Net::new() else { return };
    ip(&["-n", &net.here, "link", "set", "lo", "up"]).unwrap();
    let config = Config::new();
    let out = config.folder.path().join("out").join("events.ndjson");
    let text = format!(
        "[store]\ninterval_ms = 200\n[spool]\ndir = 'spool'\n\
         [[sinks]]\ntype = 'file'\npath = '{}'\n\
         [[sinks]]\ntype = 'stdout'\nevents = ['server']\n\
         [[sinks]]\ntype = 'syslog'\naddress = 'localhost:6601'\nevents = ['finding', 'server']\n",
        out.display()
    );
    std::fs::write(&config.path, text).unwrap();
    let store = config.folder.path().join("live.db").display().to_string();
    let mut sensor = net.sensor(&["-i", "v0", "--store", &store, "--config", &config.path]);
    net.talk();
    sensor.hears("MCP server seen: weather");
    sensor.hears("syslog: localhost:6601: Connection refused (os error 111); it is tried again");
    let mut receiver = net.peer(&net.here, "receiver");
    let lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    let parts = ["event=\"server\"", "kind=\"unapproved-server\" rule="];
    let mut all = String::new();
    let told = lines.map_while(Result::ok).any(|line| {
        all.push_str(&line);
        parts.iter().all(|part| all.contains(part))
    });
    assert!(told, "{all}");
    sensor.signal("TERM");
    let (code, printed, log) = sensor.ends();
    let _ = receiver.kill();
    let _ = receiver.wait();
    assert_eq!(code, 0, "{log:?}");
    let events = |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    // No report stands between the events.
    let printed = events(&printed);
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert_eq!(
        (&printed[0]["event"], &printed[0]["server_name"]),
        (&"server".into(), &"weather".into())
    );
    let written = events(&std::fs::read_to_string(out).unwrap());
    for event in ["server", "finding", "sensor-health"] {
        assert!(
            written.iter().any(|told| told["event"] == event),
            "{event}: {written:?}"
        );
    }
    // A finding says whom it is about.
    let about = written.iter().filter(|told| told["kind"] == "unapproved-server");
    assert!(
        about.into_iter().all(|told| told["server_name"] == "weather"),
        "{written:?}"
    );
    // The server of the conversation is what was seen, and not the receiver.
    assert!(
        written
            .iter()
            .all(|told| told["server"].as_str().is_none_or(|server| server == "10.77.0.2:8000"))
    );
}
