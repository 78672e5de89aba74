//! The web page in a real browser: every page at two sizes, in light and in dark, by clicking. Screenshots lie in `web-shots`
//! below the target folder.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::chromium::{ACCESS, Browser, CONTRAST, shots};
use crate::tools::{Running, attempt, free_port, listens, program, sensor};

/// Name, width, height, whether it is a phone.
const SIZES: [(&str, u32, u32, bool); 2] = [("phone", 390, 844, true), ("desk", 1440, 900, false)];

/// Replays bundled captures into a store.
fn replay(folder: &TempDir, names: &[&str]) {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let files = names.iter().map(|name| captures.join(format!("{name}.pcap")));
    let mut command = sensor();
    command
        .arg("replay")
        .args(files)
        .arg("--store")
        .arg(folder.path().join("a.db"));
    let output = command.output().unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 4)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn serve(folder: &TempDir) -> Result<(Running, String), String> {
    let port = free_port();
    let mut command = sensor();
    command
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--store"])
        .arg(folder.path().join("a.db"));
    let running = Running::start(&command, &folder.path().join("serve.log"))?;
    listens(port);
    Ok((running, format!("http://127.0.0.1:{port}")))
}

const MENU: [&str; 11] = [
    "/",
    "/servers",
    "/clients",
    "/tools",
    "/findings",
    "/drift",
    "/graph",
    "/lookups",
    "/sessions",
    "/timeline",
    "/sensors",
];

#[test]
fn every_page_is_fit_to_be_used() {
    attempt(|| {
        program("chromium")?;
        let folder = tempfile::tempdir().unwrap();
        let several = [
            "secrets_in_transit",
            "rugpull_two_sessions",
            "dns_registries_udp",
            "token_passthrough",
        ];
        replay(&folder, &several);
        let (_running, origin) = serve(&folder)?;
        let mut browser = Browser::start(&origin)?;
        for (size, width, height, phone) in SIZES {
            browser.size(width, height, phone);
            for scheme in ["light", "dark"] {
                browser.scheme(scheme);
                browser.open("/");
                for address in MENU {
                    browser.click(&format!("nav a[href=\"{address}\"]"));
                    let page = if address == "/" { "overview" } else { &address[1..] };
                    browser.look(&format!("{page}-{size}-{scheme}"));
                }
                // Into the first thing of each list, by its link.
                for list in ["servers", "clients", "findings", "sessions"] {
                    browser.open(&format!("/{list}"));
                    browser.click(&format!("td.lead a[href^=\"/{list}/\"]"));
                    assert!(
                        browser
                            .evaluate("location.pathname")
                            .as_str()
                            .unwrap()
                            .starts_with(&format!("/{list}/"))
                    );
                    browser.look(&format!("{list}-one-{size}-{scheme}"));
                }
            }
        }
        // What is looked for would be found.
        let spoil = "const text = document.createElement('p'); text.textContent = 'faint'; text.style.color = '#e5e5e5'; \
                     const field = document.createElement('input'); document.getElementById('main').append(text, field)";
        browser.evaluate(spoil);
        browser.scheme("light");
        assert_eq!(browser.evaluate(CONTRAST).as_array().unwrap().len(), 1);
        assert!(browser.evaluate(ACCESS).to_string().contains("no label"));
        // Without the mouse: the first stop is the link that skips the menu.
        browser.open("/servers?approved=no");
        for kind in ["rawKeyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            browser.call("Input.dispatchKeyEvent", key);
        }
        assert_eq!(browser.evaluate("document.activeElement.className"), "skip");
        // What was chosen stands in the form and in the address.
        assert_eq!(
            browser.evaluate("document.querySelector('select[name=approved]').value"),
            "no"
        );
        browser.click("th a[href*=\"sort=tools\"]");
        assert_eq!(
            browser.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"),
            "descending"
        );
        assert!(
            browser
                .evaluate("location.search")
                .as_str()
                .unwrap()
                .contains("approved=no")
        );
        Ok(())
    });
}

#[test]
fn an_open_page_follows_the_store() {
    attempt(|| {
        program("chromium")?;
        let folder = tempfile::tempdir().unwrap();
        replay(&folder, &["py_streamable_stateful"]);
        let (_running, origin) = serve(&folder)?;
        let mut browser = Browser::start(&origin)?;
        browser.size(1440, 900, false);
        browser.open("/");
        let line = "document.querySelector('.lead-line').textContent";
        let before = browser.evaluate(line);
        // So that the page has asked once, and knows what it knows.
        let asked = "new Promise((done) => { const look = () => document.getElementById('fresh-said').textContent ? done(true) : setTimeout(look, 50); look(); })";
        browser.evaluate(asked);
        browser.evaluate("window.stayed = true");
        replay(&folder, &["rugpull_two_sessions"]);
        let change = format!(
            "new Promise((done) => {{ const was = {before}; const look = () => {line} !== was ? done({line}) : setTimeout(look, 50); look(); }})"
        );
        let after = browser.evaluate(&change);
        assert_ne!(before, after);
        assert_eq!(browser.evaluate("window.stayed"), true, "it was loaded anew");
        assert!(
            browser
                .evaluate("document.querySelector('#news').textContent")
                .as_str()
                .unwrap()
                .contains("ledger-buddy")
        );
        browser.look("followed-desk-light");
        Ok(())
    });
}

#[test]
fn an_analyst_signs_in_decides_and_signs_out() {
    attempt(|| {
        program("chromium")?;
        let folder = tempfile::tempdir().unwrap();
        replay(&folder, &["rugpull_two_sessions"]);
        let mut command = sensor();
        command.args(["serve", "token", "--role", "analyst", "--name", "alice", "--store"]);
        let token = command.arg(folder.path().join("a.db")).output().unwrap().stdout;
        let token = String::from_utf8(token).unwrap();
        let (_running, origin) = serve(&folder)?;
        let mut browser = Browser::start(&origin)?;
        browser.size(390, 844, true);
        browser.open("/findings?kind=tool-drift");
        // The browser tells that this was refused, and it should.
        let complaints = std::mem::take(&mut browser.complaints);
        assert!(
            complaints.len() == 1 && complaints.iter().all(|one| one.contains("401")),
            "{complaints:?}"
        );
        browser.shoot("sign-in-phone");
        let token = json!(token.trim());
        browser.evaluate(&format!("document.querySelector('input[name=token]').value = {token}"));
        browser.load("document.querySelector('form.sign-in button').click()");
        assert_eq!(
            browser.evaluate("location.pathname + location.search"),
            "/findings?kind=tool-drift"
        );
        assert_eq!(browser.evaluate("document.cookie"), "", "scripts see the session");
        browser.click("td.lead a");
        browser.look("decide-phone-light");
        browser.evaluate("document.querySelector('input[name=why]').value = 'asked <the> team'");
        browser.evaluate("document.querySelector('select[name=verb]').value = 'close'");
        browser.load("document.querySelector('form.decide button').click()");
        let said = browser.evaluate("document.querySelector('#decide .facts').textContent");
        let said = said.as_str().unwrap();
        assert!(said.contains("closed") && said.contains("asked <the> team"), "{said}");
        browser.look("decided-phone-light");
        browser.load("document.querySelector('.who form button').click()");
        assert!(
            browser
                .evaluate("document.querySelector('form.sign-in') !== null")
                .as_bool()
                .unwrap()
        );
        browser.complaints.clear();
        browser.open("/findings");
        assert!(
            browser
                .evaluate("document.querySelector('form.sign-in') !== null")
                .as_bool()
                .unwrap()
        );
        Ok(())
    });
}

/// Adds servers to a store, each with a tool and a finding.
fn multiply(store: &Path, servers: u32) {
    let database = rusqlite::Connection::open(store).unwrap();
    let columns = |table: &str, own: &[(&str, &str)]| -> String {
        let mut names = database
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .unwrap();
        let names: Vec<String> = names
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let value = |name: &String| {
            let given = own.iter().find(|(known, _)| known == name);
            given.map_or_else(|| format!("t.\"{name}\""), |(_, value)| (*value).to_owned())
        };
        let values: Vec<String> = names.iter().map(value).collect();
        format!(
            "INSERT OR IGNORE INTO {table} WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {servers}) \
             SELECT {} FROM n, (SELECT * FROM {table} LIMIT 1) AS t",
            values.join(", ")
        )
    };
    let id = ("id", "printf('%016x', n)");
    let server_id = ("server_id", "printf('%016x', n)");
    let place = [
        id,
        ("server", "printf('10.%d.%d.5:8000', n / 256, n % 256)"),
        ("address", "printf('10.%d.%d.5', n / 256, n % 256)"),
        ("address_key", "printf('4:0a%02x%02x05', n / 256, n % 256)"),
        ("port", "8000"),
        ("server_name", "printf('server %05d', n)"),
        ("approval", "CASE n % 3 WHEN 0 THEN 'policy.toml:1' END"),
    ];
    for (table, own) in [
        ("servers_raw", &place[..]),
        ("server_sets_raw", &[server_id]),
        ("tools_raw", &[server_id]),
        ("definitions_raw", &[server_id]),
        ("findings_raw", &[("id", "printf('%016x', n)"), server_id]),
    ] {
        database.execute_batch(&columns(table, own)).unwrap();
    }
}

#[test]
fn ten_thousand_servers_are_as_easy_as_ten() {
    attempt(|| {
        program("chromium")?;
        let folder = tempfile::tempdir().unwrap();
        replay(&folder, &["secrets_in_transit"]);
        multiply(&folder.path().join("a.db"), 10_000);
        let (_running, origin) = serve(&folder)?;
        let mut browser = Browser::start(&origin)?;
        browser.size(1440, 900, false);
        for (path, name) in [
            ("/", "overview"),
            ("/servers", "servers"),
            ("/graph", "graph"),
            ("/findings", "findings"),
        ] {
            browser.open(path);
            browser.look(&format!("{name}-of-many-desk-light"));
            // However much there is, a page stays one that a person can read and a phone can load.
            let bytes = page_bytes(&origin, path);
            assert!(bytes < 400_000, "{path}: {bytes} bytes");
            assert!(
                browser
                    .evaluate("document.querySelectorAll('tr').length")
                    .as_u64()
                    .unwrap()
                    < 600,
                "{path}"
            );
        }
        browser.open("/servers");
        browser.click("a[rel=next]");
        assert!(
            browser
                .evaluate("document.querySelector('caption').textContent")
                .as_str()
                .unwrap()
                .contains("101 to 200 of 10,")
        );
        browser.evaluate("document.querySelector('input[name=q]').value = 'server 09876'");
        browser.load("document.querySelector('form.filters').requestSubmit()");
        assert_eq!(browser.evaluate("document.querySelectorAll('tbody tr').length"), 1);
        browser.size(390, 844, true);
        browser.open("/servers");
        browser.look("servers-of-many-phone-light");
        Ok(())
    });
}

fn page_bytes(origin: &str, path: &str) -> usize {
    let address = origin.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    text.len()
}

#[test]
fn the_report_in_one_file_stands_alone_and_prints() {
    attempt(|| {
        program("chromium")?;
        let folder = tempfile::tempdir().unwrap();
        let several = [
            "secrets_in_transit",
            "rugpull_two_sessions",
            "dns_registries_udp",
            "token_passthrough",
        ];
        replay(&folder, &several);
        let file = folder.path().join("report.html");
        let mut command = sensor();
        command
            .args(["report", "--format", "html", "--store"])
            .arg(folder.path().join("a.db"));
        assert!(command.stdout(File::create(&file).unwrap()).status().unwrap().success());
        let origin = format!("file://{}", file.display());
        let mut browser = Browser::start(&origin)?;
        for (size, width, height, phone) in SIZES {
            browser.size(width, height, phone);
            browser.open("");
            browser.shoot(&format!("report-{size}"));
            assert_eq!(browser.evaluate(CONTRAST), json!([]));
            assert_eq!(
                browser.evaluate("document.documentElement.scrollWidth <= innerWidth"),
                true,
                "{size}"
            );
            assert_eq!(
                browser.evaluate("document.scripts.length + document.querySelectorAll('a[href], img, link').length"),
                0
            );
            assert!(
                browser.evaluate("getComputedStyle(document.body).fontSize") == "14px",
                "the style is not let in"
            );
        }
        let printed = browser.call(
            "Page.printToPDF",
            json!({ "preferCSSPageSize": true, "printBackground": true }),
        );
        let bytes = STANDARD.decode(printed["data"].as_str().unwrap()).unwrap();
        assert!(bytes.starts_with(b"%PDF-"));
        std::fs::write(shots().join("report.pdf"), bytes).unwrap();
        assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
        Ok(())
    });
}
