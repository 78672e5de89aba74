//! The two ends of the conversation: what runs inside the namespaces.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::{PORT, SERVER};

/// What runs inside a namespace when another test starts this program anew with a role; by itself it does nothing.
#[test]
fn runs() {
    match std::env::var("PEER").as_deref() {
        Ok("client") => client(),
        Ok("receiver") => crate::tell::receiver(),
        Ok("browse") => crate::page::browse(),
        Ok("scrape") => crate::care::scrape(),
        Ok("server") => server(),
        _ => {}
    }
}

fn client() {
    let server = std::env::var("TO").unwrap_or_else(|_| SERVER.to_owned());
    let mut stream = TcpStream::connect((&*server, PORT)).unwrap();
    let initialize = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test-client", "version": "1"},
    });
    for message in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
        json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "get_forecast", "arguments": {}}}),
    ] {
        let body = message.to_string();
        let session = if message["id"] == 1 {
            ""
        } else {
            "Mcp-Session-Id: s-1\r\n"
        };
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {server}:{PORT}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{session}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        read(&mut stream).unwrap();
    }
}

fn server() {
    let bind = std::env::var("BIND").unwrap_or_else(|_| SERVER.to_owned());
    let listener = TcpListener::bind((&*bind, PORT)).unwrap();
    println!("ready");
    let mut stream = listener.accept().unwrap().0;
    while let Some(body) = read(&mut stream) {
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let result = match asked["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "weather", "version": "1.0"},
            }),
            Some("tools/list") => json!({"tools": [
                {"name": "get_forecast", "description": "The forecast.", "inputSchema": {"type": "object"}},
            ]}),
            _ => json!({"content": [{"type": "text", "text": "sunny"}]}),
        };
        let answer = if asked["id"].is_null() {
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else {
            let body = json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s-1\r\n";
            format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
        };
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// The body of the next HTTP message; `None` when the other side has gone.
fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}
