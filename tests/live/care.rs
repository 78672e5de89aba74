//! A sensor under care: a scraper, a service manager and a log reader watch it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use serde_json::Value;

use crate::{Config, Net, PATIENCE, ip};

const METRICS: &str = "127.0.0.1:9470";

/// Asks everything there is to ask; runs inside a namespace.
pub(crate) fn scrape() {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let mut stream = TcpStream::connect(METRICS).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {METRICS}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        println!("{path}\n{answer}");
    }
}

/// What the service manager hears until a word comes.
fn hears(socket: &UnixDatagram, word: &str) -> String {
    let mut all = String::new();
    while !all.contains(word) {
        let mut text = [0; 4096];
        let read = socket
            .recv(&mut text)
            .unwrap_or_else(|error| panic!("{word} never came: {error}: {all}"));
        all.push_str(&String::from_utf8_lossy(&text[..read]));
        all.push('\n');
    }
    all
}

#[test]
fn whoever_watches_over_it_knows_how_it_is() {
    let Some(net) = Net::new() else { return };
    ip(&["-n", &net.here, "link", "set", "lo", "up"]).unwrap();
    let config = Config::new();
    let text = format!("[metrics]\nlisten = '{METRICS}'\n[log]\nformat = 'json'\n[store]\ninterval_ms = 200\n");
    std::fs::write(&config.path, text).unwrap();
    let manager = config.folder.path().join("notify");
    let socket = UnixDatagram::bind(&manager).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let store = config.folder.path().join("live.db").display().to_string();
    let environment = [
        ("NOTIFY_SOCKET", manager.to_str().unwrap()),
        ("WATCHDOG_USEC", "30000000"),
    ];
    let line = ["-i", "v0", "--store", &store, "--config", &config.path];
    let mut sensor = net.sensor_under(&line, &environment);
    hears(&socket, "READY=1\nSTATUS=listening on v0");
    hears(&socket, "WATCHDOG=1\nSTATUS=packets: ");
    net.talk();
    sensor.hears("MCP server seen: weather");
    // The state is posted once a second.
    hears(&socket, "servers: 1;");
    let output = net.peer(&net.here, "scrape").wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("/healthz\nHTTP/1.1 200 OK\r\n"), "{told}");
    assert!(told.contains("/readyz\nHTTP/1.1 200 OK\r\n"), "{told}");
    for line in [
        "shadowtap_servers{approved=\"false\"} 1",
        "shadowtap_interface_up{interface=\"v0\"} 1",
        "shadowtap_findings{kind=\"unapproved-server\",severity=\"medium\"} 1",
        "shadowtap_lost_total{place=\"kernel\"} 0",
        "shadowtap_healthy 1",
    ] {
        assert!(told.contains(&format!("\n{line}\n")), "{line}: {told}");
    }
    let number = |name: &str| -> u64 {
        let line = told.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().parse().unwrap_or(0)
    };
    assert!(
        number("shadowtap_messages_total ") == 7 && number("shadowtap_resident_memory_bytes ") > 0,
        "{told}"
    );

    ip(&["-n", &net.here, "link", "del", "v0"]).unwrap();
    sensor.hears("v0: capture ended");
    sensor.signal("HUP");
    let reload = hears(&socket, "STATUS=reloaded");
    assert!(reload.contains("RELOADING=1\nMONOTONIC_USEC="), "{reload}");
    let output = net.peer(&net.here, "scrape").wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("/readyz\nHTTP/1.1 503 "), "{told}");
    assert!(told.contains("v0: is not captured on\n"), "{told}");
    sensor.signal("TERM");
    hears(&socket, "STOPPING=1");
    let (_, _, log) = sensor.ends();
    for line in &log {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(
            ["time", "level", "kind", "message"]
                .iter()
                .all(|key| object[*key].is_string()),
            "{line}"
        );
    }
}
