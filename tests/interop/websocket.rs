//! MCP over WebSocket, between both ends of the Python package `websockets`: in clear, and compressed with and without
//! windows that are kept.

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::tools::{Capture, attempt, beside, free_port, python, run};

/// Calls that the client makes.
const CALLS: u64 = 40;

#[test]
fn websockets_in_every_form() {
    attempt(|| {
        let program = python("python")?;
        for form in ["plain", "packed", "fresh"] {
            let (folder, port) = (TempDir::new().unwrap(), free_port());
            let capture = Capture::start(&folder, port)?;
            let mut talk = Command::new(&program);
            run(talk.arg(beside("sockets.py")).args([&port.to_string(), form]));
            let report = capture.report();
            let servers = report["servers"].as_array().unwrap();
            assert_eq!(servers.len(), 1, "{form}: {report:#}");
            let server = &servers[0];
            for (key, expect) in [
                ("port", json!(port)),
                ("path", json!("/message")),
                ("transport", json!("websocket")),
                ("evidence", json!("message")),
                ("auth", json!("bearer")),
                ("server_name", json!("weather")),
                ("sessions", json!(1)),
            ] {
                assert_eq!(server[key], expect, "{form}, {key}: {server:#}");
            }
            let messages = json!({
                "requests": CALLS + 2, "responses": CALLS + 2, "errors": 0, "notifications": 1,
                "by_method": {
                    "initialize": 1, "notifications/initialized": 1, "tools/call": CALLS, "tools/list": 1,
                },
            });
            assert_eq!(server["messages"], messages, "{form}: {server:#}");
            assert_eq!(server["tools"].as_array().unwrap().len(), 2, "{form}");
            assert_eq!(report["clients"][0]["client_name"], "interop-client", "{form}");
            assert_eq!(report["capture"]["lost"]["shed_events"], 0, "{form}");
        }
        Ok(())
    });
}
