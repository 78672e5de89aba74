//! A real resolver, asked over UDP and TCP: its answers give names to the flows that follow them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::{Capture, Running, attempt, beside, free_port, listens_at, program, python, run};

/// Addresses that only this test uses: the resolver needs the port of DNS.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 53, 4, 1);
const SITE: Ipv4Addr = Ipv4Addr::new(127, 53, 4, 2);
const EDGE: Ipv4Addr = Ipv4Addr::new(127, 53, 4, 3);
/// A listed endpoint of MCP.
const LISTED: &str = "mcp.linear.app";

fn resolver(folder: &Path) -> Result<Running, String> {
    let mut command = Command::new(program("dnsmasq")?);
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--pid-file=",
    ]);
    command.args(["--user=root", "--bind-interfaces", "--local-ttl=60", "--log-facility=-"]);
    command.args(["--port=53", &format!("--listen-address={RESOLVER}")]);
    command.arg(format!("--host-record=site.interop.test,{SITE},fd00::4:2"));
    command.args([
        "--cname=www.interop.test,edge.interop.test",
        "--cname=edge.interop.test,site.interop.test",
    ]);
    command.arg(format!("--host-record={LISTED},{EDGE}"));
    // HTTPS (RFC 9460): 1 . alpn=h2 ipv4hint=EDGE
    let hint: String = EDGE.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    command.arg(format!("--dns-rr={LISTED},65,000100000100030268320004000{}{hint}", "4"));
    let log = folder.join("dnsmasq.log");
    let running = Running::start(&command, &log)?;
    let start = std::time::Instant::now();
    while std::net::TcpStream::connect((RESOLVER, 53)).is_err() {
        if start.elapsed() > std::time::Duration::from_secs(5) {
            return Err(format!(
                "dnsmasq does not serve: {}",
                std::fs::read_to_string(&log).unwrap().trim()
            ));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(running)
}

/// Asks, and gives what the resolver said.
fn dig(options: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program("dig")?);
    command
        .arg(format!("@{RESOLVER}"))
        .args(["+short", "+tries=1", "+time=5"]);
    let output = command.args(options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout).unwrap())
}

fn lookups(report: &Value) -> Vec<Value> {
    let all = report["lookups"].as_array().unwrap().iter();
    all.map(|lookup| json!([lookup["name"], lookup["type"], lookup["via"], lookup["count"]]))
        .collect()
}

#[test]
fn answers_give_names_to_what_follows() {
    attempt(|| {
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        let _resolver = resolver(folder.path())?;
        let mut server = Command::new(python("hypercorn")?);
        server
            .args(["app:app", "--bind", &format!("{SITE}:{port}")])
            .current_dir(beside(""));
        let _server = Running::start(&server, &folder.path().join("hypercorn.log"))?;
        listens_at(SITE, port);
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let openssl = program("openssl")?;
        let request = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=edge.test",
        ];
        run(Command::new(&openssl)
            .args(request)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert));
        let mut edge = Command::new(&openssl);
        edge.args(["s_server", "-quiet", "-www", "-accept", &format!("{EDGE}:{port}")]);
        edge.arg("-cert").arg(&cert).arg("-key").arg(&key);
        let _edge = Running::start(&edge, &folder.path().join("edge.log"))?;
        listens_at(EDGE, port);

        let capture = Capture::of(&folder, &format!("host {RESOLVER} or host {SITE} or host {EDGE}"))?;
        let site = format!("edge.interop.test.\nsite.interop.test.\n{SITE}\n");
        assert_eq!(dig(&["www.interop.test", "A"])?, site);
        assert!(dig(&["+tcp", "www.interop.test", "AAAA"])?.ends_with("fd00::4:2\n"));
        assert_eq!(dig(&["+noedns", LISTED, "A"])?, format!("{EDGE}\n"));
        assert_eq!(dig(&["+tcp", LISTED, "A"])?, format!("{EDGE}\n"));
        assert_eq!(dig(&["+bufsize=512", LISTED, "AAAA"])?, "");
        assert!(dig(&[LISTED, "HTTPS"])?.contains("h2"));
        run(Command::new(python("python")?)
            .arg(beside("client.py"))
            .arg(format!("http://{SITE}:{port}/mcp")));
        run(Command::new(&openssl).args(["s_client", "-noservername", "-connect", &format!("{EDGE}:{port}")]));
        let report = capture.report();

        let expected = [
            json!([LISTED, "A", "dns", 2]),
            json!([LISTED, "AAAA", "dns", 1]),
            json!([LISTED, "HTTPS", "dns", 1]),
        ];
        assert_eq!(lookups(&report), expected, "{report:#}");
        let servers: Vec<_> = report["servers"].as_array().unwrap().iter().collect();
        let told: Vec<_> = servers
            .iter()
            .map(|server| {
                json!([
                    server["address"],
                    server["hostname"],
                    server["evidence"],
                    server["path"]
                ])
            })
            .collect();
        let expected = [
            json!([SITE, "www.interop.test", "message", "/mcp"]),
            json!([EDGE, LISTED, "dns", null]),
        ];
        assert_eq!(told, expected, "{servers:#?}");
        Ok(())
    });
}
