//! HTTP/3 between client and server of aioquic: what both say in clear, and with their secrets the whole session.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::{Capture, attempt, beside, free_port, python, run};

/// A session with these options, captured: its report without secrets, or with them.
fn session(options: &[&str], opened: bool) -> Result<(Value, u16), String> {
    let folder = TempDir::new().unwrap();
    let port = free_port();
    let keylog = folder.path().join("secrets.log");
    let program = python("python")?;
    let capture = Capture::start(&folder, port)?;
    let mut command = Command::new(program);
    command
        .arg(beside("quic.py"))
        .arg(port.to_string())
        .arg(&keylog)
        .args(options);
    run(&mut command);
    let arguments = [Path::new("--keylog"), &keylog];
    let report = capture.report_with(if opened { &arguments } else { &[] });
    Ok((report, port))
}

fn reads(options: &[&str]) {
    attempt(|| {
        let (report, port) = session(options, true)?;
        let server = &report["servers"][0];
        assert_eq!(report["servers"].as_array().unwrap().len(), 1, "{report:#}");
        let expected = json!({
            "port": port, "path": "/mcp", "hostname": "quic.example.test", "transport": "streamable-http",
            "encryption": "quic", "decrypted": true, "evidence": "message",
            "server_name": "quic-weather", "server_version": "3.1", "protocol_versions": ["2025-11-25"],
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&server[key], value, "{options:?}: {key}");
        }
        let messages = json!({
            "requests": 7, "responses": 7, "errors": 0, "notifications": 1,
            "by_method": {"initialize": 1, "notifications/initialized": 1, "tools/list": 3, "tools/call": 3},
        });
        assert_eq!(server["messages"], messages, "{options:?}");
        assert_eq!(server["tools"][0]["name"], "get_forecast");
        assert_eq!(report["clients"][0]["client_name"], "quic-probe");
        assert_eq!(report["capture"]["blind"]["decrypted_flows"], 1);
        assert_eq!(report["capture"]["lost"]["shed_events"], 0);
        Ok(())
    });
}

#[test]
fn a_session_of_version_1() {
    reads(&[]);
}

#[test]
fn a_session_of_version_2() {
    reads(&["v2"]);
}

#[test]
fn a_session_behind_a_retry() {
    reads(&["retry"]);
    reads(&["retry", "v2"]);
}

#[test]
fn a_session_whose_keys_are_updated() {
    reads(&["update"]);
}

/// Without secrets the name is all there is.
#[test]
fn a_name_alone() {
    for options in [&[][..], &["v2"], &["retry"]] {
        attempt(|| {
            let (report, _) = session(&[options, &["name=mcp.linear.app"]].concat(), false)?;
            let lookup = &report["lookups"][0];
            assert_eq!(
                (&lookup["name"], &lookup["via"]),
                (&json!("mcp.linear.app"), &json!("quic-sni"))
            );
            let server = &report["servers"][0];
            assert_eq!(
                (&server["encryption"], &server["decrypted"]),
                (&json!("quic"), &json!(false))
            );
            assert_eq!(report["capture"]["blind"]["encrypted_flows"], 1);
            Ok(())
        });
    }
}
