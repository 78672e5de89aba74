//! The web page beside capture, after the sensor has given up its rights.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Config, Net, PATIENCE, ip};

const PAGE: &str = "127.0.0.1:8470";

fn get(path: &str) -> String {
    let mut stream = TcpStream::connect(PAGE).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {PAGE}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until the page knows the server, and takes a file; runs inside a namespace.
pub(crate) fn browse() {
    let deadline = Instant::now() + PATIENCE;
    while !get("/servers").contains("weather") {
        assert!(Instant::now() < deadline, "the page does not show the server");
        thread::sleep(Duration::from_millis(100));
    }
    println!("{}\n{}", get("/"), get("/servers?format=csv"));
}

#[test]
fn the_page_shows_what_is_captured() {
    let Some(net) = Net::new() else { return };
    ip(&["-n", &net.here, "link", "set", "lo", "up"]).unwrap();
    let config = Config::new();
    let store = config.folder.path().join("live.db").display().to_string();
    std::fs::write(&config.path, "[store]\ninterval_ms = 200\n").unwrap();
    let line = ["-i", "v0", "--store", &store, "--config", &config.path, "--web", PAGE];
    let mut sensor = net.sensor(&line);
    sensor.hears("the web page is at http://127.0.0.1:8470/");
    net.talk();
    let output = net.peer(&net.here, "browse").wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("1 MCP server, 1 not approved; 1 client;"), "{told}");
    assert!(
        told.contains("attachment; filename=\"shadowtap-servers.csv\""),
        "{told}"
    );
    // What is taken away is written down, also without rights.
    let audit = std::fs::read_to_string(format!("{store}.audit.ndjson")).unwrap();
    assert!(
        audit.contains("\"action\":\"export\"") && audit.contains("/servers?format=csv"),
        "{audit}"
    );
    sensor.signal("TERM");
    assert_eq!(sensor.ends().0, 0);
}
