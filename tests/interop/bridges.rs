//! The TypeScript SDK's client and server, with software between them that passes MCP on: `mcp-remote`, which turns
//! standard input and output into HTTP, and the proxy of the MCP Inspector.

use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::{Capture, Running, attempt, beside, free_port, listens, packages, program, run};

/// A script beside this file, with the folder of the packages, which need Node 20.
fn script(name: &str) -> Result<Command, String> {
    let node = program("node")?;
    let said = Command::new(&node).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let major = said.trim_start_matches('v').split('.').next();
    if major.and_then(|major| major.parse::<u32>().ok()) < Some(20) {
        return Err(format!("node is {}, and 20 is needed", said.trim()));
    }
    let mut command = Command::new(node);
    command.arg(beside(name)).arg(packages()?);
    Ok(command)
}

/// A capture, the server on a port, and its folder.
fn server(also: u16) -> Result<(TempDir, u16, Running, Capture), String> {
    let (folder, port) = (TempDir::new().unwrap(), free_port());
    let mut command = script("mcp_server.js")?;
    command.arg(port.to_string());
    let running = Running::start(&command, &folder.path().join("server.log"))?;
    listens(port);
    let capture = Capture::of(&folder, &format!("port {port} or port {also}"))?;
    Ok((folder, port, running, capture))
}

/// What was said over HTTP before the client's own session: `mcp-remote` tries a session of its own, and asks twice for a
/// stream without one, which the server answers with an error.
#[derive(Clone, Copy, Default)]
struct Probes {
    sessions: u64,
    errors: u64,
}

/// The server of a port says all that the client of this folder made it say.
fn check(report: &Value, port: u16, (path, transport): (&str, &str), probes: Probes) {
    let Probes { sessions, errors } = probes;
    let servers = report["servers"].as_array().unwrap();
    let Some(server) = servers.iter().find(|server| server["port"] == port) else {
        panic!("no server on {port}: {report:#}");
    };
    let messages = json!({
        "requests": 4 + sessions, "responses": 4 + sessions + errors, "errors": errors, "notifications": 1 + sessions,
        "by_method": {
            "initialize": 1 + sessions, "notifications/initialized": 1 + sessions, "tools/list": 1, "tools/call": 2,
        },
    });
    for (key, expect) in [
        ("path", json!(path)),
        ("transport", json!(transport)),
        ("evidence", json!("message")),
        ("server_name", json!("weather")),
        ("server_version", json!("2.1")),
        ("sessions", json!(1 + sessions)),
        ("messages", messages),
    ] {
        assert_eq!(server[key], expect, "{key}: {server:#}");
    }
    let tools: Vec<_> = server["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(tools, ["forecast", "tides"]);
    assert_eq!(report["capture"]["lost"]["shed_events"], 0);
}

#[test]
fn mcp_remote_before_a_server() {
    attempt(|| {
        let tried = Probes { sessions: 1, errors: 2 };
        for (path, transport, strategy, probes) in [
            ("/mcp", "streamable-http", "http-only", tried),
            ("/sse", "http-sse", "sse-only", Probes::default()),
        ] {
            let (folder, port, _running, capture) = server(0)?;
            let mut client = script("mcp_client.js")?;
            client.env("MCP_REMOTE_CONFIG_DIR", folder.path().join("remote"));
            client.arg("stdio").arg(program("node")?);
            client.arg(packages()?.join("node_modules/mcp-remote/dist/proxy.js"));
            run(client
                .arg(format!("http://127.0.0.1:{port}{path}"))
                .args(["--transport", strategy]));
            let report = capture.report();
            check(&report, port, (path, transport), probes);
            let mut clients = report["clients"].as_array().unwrap().iter();
            let ours = |client: &Value| {
                let name = client["client_name"].as_str().unwrap();
                name.starts_with("interop-client (via mcp-remote ")
            };
            assert!(clients.any(ours), "{report:#}");
        }
        Ok(())
    });
}

/// The proxy asks the server what the client asked the proxy, under the same ids; it is a server and a client.
#[test]
fn the_proxy_of_the_inspector() {
    attempt(|| {
        for (form, path, transport) in [("http", "/mcp", "streamable-http"), ("sse", "/sse", "http-sse")] {
            let (middle, token) = (free_port(), "interop-proxy-token");
            let (folder, port, _running, capture) = server(middle)?;
            let mut proxy = Command::new(program("node")?);
            let place = "node_modules/@modelcontextprotocol/inspector-server/build/index.js";
            proxy.arg(packages()?.join(place));
            let settings = [("HOST", "127.0.0.1"), ("MCP_PROXY_AUTH_TOKEN", token)];
            proxy.env("SERVER_PORT", middle.to_string()).envs(settings);
            let _proxy = Running::start(&proxy, &folder.path().join("proxy.log"))?;
            listens(middle);
            let kind = transport.trim_start_matches("http-");
            let url = format!("http://127.0.0.1:{middle}{path}?transportType={kind}&url=http://127.0.0.1:{port}{path}");
            run(script("mcp_client.js")?.args([form, &url, token]));
            let report = capture.report();
            assert_eq!(report["servers"].as_array().unwrap().len(), 2, "{report:#}");
            for port in [port, middle] {
                check(&report, port, (path, transport), Probes::default());
            }
            let text = report.to_string();
            assert!(!text.contains(token), "{text}");
        }
        Ok(())
    });
}
