//! Real software talks on the loopback interface, a capture of it is replayed, and the report has to know what was said.
//!
//! What is missing on a machine (a program, the Python or the Node packages, the right to capture) is told, and the test passes;
//! `SHADOWTAP_REQUIRE_INTEROP=1` makes that a failure. `make test` installs all of it.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock on the wall")]

#[path = "interop/bridges.rs"]
mod bridges;
#[path = "interop/browser.rs"]
mod browser;
#[path = "interop/chromium.rs"]
mod chromium;
#[path = "interop/clickhouse.rs"]
mod clickhouse;
#[path = "interop/collector.rs"]
mod collector;
#[path = "interop/dns.rs"]
mod dns;
#[path = "interop/h2.rs"]
mod h2;
#[path = "interop/http_sinks.rs"]
mod http_sinks;
#[path = "interop/page.rs"]
mod page;
#[path = "interop/quic.rs"]
mod quic;
#[path = "interop/rsyslog.rs"]
mod rsyslog;
#[path = "interop/siem.rs"]
mod siem;
#[path = "interop/tls.rs"]
mod tls;
#[path = "interop/tools.rs"]
mod tools;
#[path = "interop/websocket.rs"]
mod websocket;
