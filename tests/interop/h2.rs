//! HTTP/2 in clear text: with prior knowledge, by upgrade, and behind a proxy, between software that others wrote.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::{Capture, Running, attempt, beside, free_port, listens, program, python, run};

fn hypercorn(folder: &Path, port: u16) -> Result<Running, String> {
    let mut command = Command::new(python("hypercorn")?);
    command.args(["app:app", "--bind", &format!("127.0.0.1:{port}")]);
    let running = Running::start(command.current_dir(beside("")), &folder.join("hypercorn.log"))?;
    listens(port);
    Ok(running)
}

/// What curl is told for one request: the protocol, the message, the address.
fn request(protocol: &str, message: Option<&Value>, url: &str) -> Vec<String> {
    let mut options = vec![
        "--silent",
        "--show-error",
        "--fail",
        protocol,
        "-H",
        "Mcp-Session-Id: s-1",
        "-H",
    ];
    let text = message.map(Value::to_string);
    match &text {
        Some(text) => options.extend([
            "Accept: application/json, text/event-stream",
            "-H",
            "Content-Type: application/json",
            "-d",
            text,
        ]),
        None => options.push("Accept: text/event-stream"),
    }
    options.push(url);
    options.into_iter().map(str::to_owned).collect()
}

fn messages() -> Vec<Value> {
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "interop-client", "version": "1"},
    });
    vec![
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
        json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "tides"}}),
    ]
}

/// The one server of a report, with what every test here makes it say.
fn server(report: &Value, port: u16, calls: u64) -> Value {
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 1, "{report:#}");
    let server = servers[0].clone();
    assert_eq!(server["port"], port);
    assert_eq!(server["path"], "/mcp");
    assert_eq!(server["transport"], "streamable-http");
    assert_eq!(server["evidence"], "message");
    assert_eq!(
        (&server["server_name"], &server["server_version"]),
        (&json!("weather"), &json!("1.0"))
    );
    let tools: Vec<_> = server["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(tools.len(), 3, "{tools:?}");
    assert_eq!(server["messages"]["by_method"]["tools/call"], calls, "{server:#}");
    assert_eq!(server["messages"]["responses"], calls + 2, "{server:#}");
    assert_eq!(report["clients"][0]["client_name"], "interop-client");
    assert_eq!(report["capture"]["lost"]["shed_events"], 0);
    server
}

#[test]
fn httpx_and_hypercorn_with_prior_knowledge() {
    attempt(|| {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let client = python("python")?;
        let _server = hypercorn(folder.path(), port)?;
        let capture = Capture::start(&folder, port)?;
        run(Command::new(client)
            .arg(beside("client.py"))
            .arg(format!("http://127.0.0.1:{port}/mcp")));
        server(&capture.report(), port, 12);
        Ok(())
    });
}

#[test]
fn curl_and_hypercorn_by_upgrade() {
    attempt(|| {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let mut client = Command::new(program("curl")?);
        let _server = hypercorn(folder.path(), port)?;
        let capture = Capture::start(&folder, port)?;
        let url = format!("http://127.0.0.1:{port}/mcp");
        client.args(request("--http2", None, &url));
        for message in messages() {
            client.arg("--next").args(request("--http2", Some(&message), &url));
        }
        run(&mut client);
        let server = server(&capture.report(), port, 1);
        // The notification came on stream 1, which answers the request in HTTP/1.
        assert_eq!(
            server["messages"]["by_method"]["notifications/tools/list_changed"], 1,
            "{server:#}"
        );
        Ok(())
    });
}

/// A connection for each message: curl of Debian 12 breaks when it uses such a connection again.
#[test]
fn curl_and_hypercorn_with_prior_knowledge() {
    attempt(|| {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let curl = program("curl")?;
        let _server = hypercorn(folder.path(), port)?;
        let capture = Capture::start(&folder, port)?;
        let url = format!("http://127.0.0.1:{port}/mcp");
        for message in messages() {
            run(Command::new(&curl).args(request("--http2-prior-knowledge", Some(&message), &url)));
        }
        server(&capture.report(), port, 1);
        Ok(())
    });
}

#[test]
fn httpx_and_nginx_with_prior_knowledge() {
    attempt(|| {
        let (folder, port, behind) = (TempDir::new().unwrap(), free_port(), free_port());
        let here = folder.path().display();
        let config = format!(
            "daemon off; pid {here}/pid; error_log stderr; events {{}}\n\
             http {{ access_log off; client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c;\n\
             uwsgi_temp_path {here}/d; scgi_temp_path {here}/e; client_body_buffer_size 1m; proxy_buffering off;\n\
             server {{ listen 127.0.0.1:{port} http2; location / {{ proxy_pass http://127.0.0.1:{behind}; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let client = python("python")?;
        let _server = hypercorn(folder.path(), behind)?;
        let mut nginx = Command::new(program("nginx")?);
        let _nginx = Running::start(nginx.arg("-c").arg(&file), &folder.path().join("nginx.log"))?;
        listens(port);
        let capture = Capture::start(&folder, port)?;
        run(Command::new(client)
            .arg(beside("client.py"))
            .arg(format!("http://127.0.0.1:{port}/mcp")));
        server(&capture.report(), port, 12);
        Ok(())
    });
}
