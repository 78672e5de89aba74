//! The web page through the binary: whose requests it hears, what its roles may, that text from traffic stays text.

mod page;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::cli::{Place, stderr, stdout};
use crate::conversations::{INITIALIZED, LIST, here, streamable};
use crate::http::{connection, empty, json, post};
use crate::talk::{self, PLAIN};
use crate::web::page::Page;

/// What must never be markup: in names of servers, tools, clients and programs.
const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\\\"><img src=x onerror=alert(2)>",
    "</title></style><svg onload=alert(3)>",
    "javascript:alert(4)//'",
    "{{7*7}}<!--\\u202e\\u0000",
];

/// A place with the store of one small session.
fn place() -> Place {
    stored(&talk::packets(&streamable(here()), &PLAIN))
}

fn stored(frames: &[(i64, Vec<u8>)]) -> Place {
    let place = Place::new();
    place.file("a.pcap", talk::pcap(frames));
    let output = place.run(&["replay", "a.pcap", "--store", "a.db"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    place
}

fn token(place: &Place, role: &str) -> String {
    let output = place.run(&["serve", "token", "--store", "a.db", "--role", role, "--name", role]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

/// Every page of a store with one server.
fn pages(page: &Page) -> Vec<String> {
    let ids = |path: &str, column: &str| -> Vec<String> {
        let rows = page.get(path).json()["rows"].as_array().unwrap().clone();
        let text = |row: &Value| row[column].as_str().unwrap().to_owned();
        rows.iter().map(text).collect()
    };
    let mut pages: Vec<String> = [
        "/",
        "/servers",
        "/clients",
        "/tools",
        "/findings",
        "/drift",
        "/graph",
        "/lookups",
    ]
    .into_iter()
    .chain(["/sessions", "/timeline", "/sensors"])
    .map(str::to_owned)
    .collect();
    for (word, column) in [
        ("servers", "id"),
        ("clients", "client"),
        ("findings", "id"),
        ("sessions", "id"),
    ] {
        let found = ids(&format!("/api/{word}"), column);
        assert!(!found.is_empty(), "{word}");
        pages.extend(found.iter().map(|id| format!("/{word}/{id}")));
    }
    pages
}

#[test]
fn pages_answer_and_carry_their_headers() {
    let place = place();
    let page = Page::serve(&place, &[]);
    for path in pages(&page) {
        let answer = page.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(
            answer
                .header("Content-Security-Policy")
                .unwrap()
                .starts_with("default-src 'none'; ")
        );
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        // What the policy of content would not let pass is not there in the first place.
        for inline in ["<style", " style=", " onclick", "<script>", "http://", "https://"] {
            assert!(!answer.body.contains(inline), "{path} has {inline}");
        }
        assert_eq!(answer.body.matches("<h1>").count(), 1, "{path}");
        // Whoever has it already is not sent it again.
        let tag = format!("If-None-Match: {}", answer.header("ETag").unwrap());
        let again = page.ask("GET", &path, &["Host: localhost", &tag], "");
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
    }
    for (path, kind) in [
        ("/style.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/sign.svg", "image/svg+xml"),
    ] {
        assert!(page.get(path).header("Content-Type").unwrap().starts_with(kind));
    }
    assert_eq!(page.get("/nothing").status, 404);
    assert_eq!(page.get("/servers/nothing").status, 404);
    assert_eq!(page.get("/servers?severity=bad").status, 400);
    assert_eq!(page.get("/audit").status, 403);
    assert_eq!(
        page.ask(
            "DELETE",
            "/servers",
            &["Host: localhost", "Sec-Fetch-Site: same-origin"],
            ""
        )
        .status,
        405
    );
    // A store that is not there is told with its cure.
    std::fs::remove_file(place.0.path().join("a.db")).unwrap();
    let answer = page.get("/api/servers?since=1d");
    assert_eq!(answer.status, 503);
    assert!(answer.json()["error"].as_str().unwrap().contains("no store here yet"));
}

#[test]
fn rebound_names_and_other_peoples_pages_are_not_heard() {
    let place = place();
    let page = Page::serve(&place, &["--host", "monitor.example"]);
    for (status, headers) in [
        (421, &["Host: evil.example"][..]),
        (421, &["Host: evil.example:8470", "Origin: http://evil.example:8470"]),
        (421, &[]),
        (403, &["Host: localhost", "Origin: http://evil.example"]),
        (
            403,
            &[
                "Host: localhost",
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Mode: no-cors",
            ],
        ),
        (200, &["Host: monitor.example"]),
        (
            200,
            &["Host: localhost", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"],
        ),
    ] {
        for path in ["/", "/api/servers"] {
            let answer = page.ask("GET", path, headers, "");
            assert_eq!(answer.status, status, "{path} {headers:?}");
            assert!(status == 200 || !answer.body.contains("shelf"), "{path} {headers:?}");
            assert!(answer.header("Access-Control-Allow-Origin").is_none());
        }
    }
}

#[test]
fn text_from_traffic_stays_text() {
    let name = |nth: usize| HOSTILE[nth % HOSTILE.len()];
    let welcome = format!(
        r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"{}","version":"{}"}}}}}}"#,
        name(0),
        name(1)
    );
    let initialize = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"{}","version":"{}"}}}}}}"#,
        name(2),
        name(3)
    );
    let tools = |suffix: &str| {
        let list: Vec<String> = HOSTILE
            .iter()
            .map(|name| format!(r#"{{"name":"{name}","description":"{name}{suffix}","inputSchema":{{"type":"object","properties":{{"{name}":{{}}}}}}}}"#))
            .collect();
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#,
            list.join(",")
        )
    };
    let agent = format!("User-Agent: {}\r\n", name(0));
    let script = connection(
        here(),
        &[
            (
                &post("/mcp?x=<script>", &agent, &initialize),
                &json("200 OK", "", &welcome),
            ),
            (&post("/mcp", &agent, INITIALIZED), &empty("202 Accepted", "")),
            (&post("/mcp", &agent, LIST), &json("200 OK", "", &tools(""))),
            (
                &post("/mcp", &agent, LIST),
                &json("200 OK", "", &tools(" and <b>more</b>")),
            ),
        ],
    );
    let place = stored(&talk::packets(&script, &PLAIN));
    let page = Page::serve(&place, &[]);
    let mut shown = String::new();
    let mut texts: Vec<(String, String)> = pages(&page)
        .into_iter()
        .map(|path| (path.clone(), page.get(&path).body))
        .collect();
    let report = place.run(&["report", "--store", "a.db", "--format", "html"]);
    texts.push(("report".to_owned(), stdout(&report)));
    let replay = place.run(&["replay", "a.pcap", "--store", "none", "--format", "html"]);
    texts.push(("replay".to_owned(), stdout(&replay)));
    for (path, body) in &texts {
        for markup in [
            "<script>alert",
            "<img src=x",
            "<svg onload",
            "<b>more",
            "<!--",
            "\u{202e}",
            "\u{0}",
        ] {
            assert!(!body.contains(markup), "{path} has {markup:?}");
        }
        assert!(!body.contains("href=\"javascript:"), "{path}");
        shown.push_str(body);
    }
    for escaped in [
        "&#60;script&#62;alert(1)",
        "&#60;img src=x",
        "&#60;svg onload",
        "&#60;b&#62;more",
        "\\u{202e}",
    ] {
        assert!(shown.contains(escaped), "{escaped} is shown nowhere");
    }
    // What stands in a file for a spreadsheet is no formula, and JSON is the text itself.
    assert!(page.get("/api/tools").body.contains(r#"<script>alert(1)</script>"#));
}

#[test]
fn roles_may_what_they_may_and_it_is_written_down() {
    let place = place();
    let (viewer, analyst, admin) = (
        token(&place, "viewer"),
        token(&place, "analyst"),
        token(&place, "admin"),
    );
    let page = Page::serve(&place, &[]);
    let host = format!("Host: {}", page.address);
    assert_eq!(page.get("/").status, 401);
    assert!(
        page.get("/findings?kind=tool-drift")
            .body
            .contains(r#"name="next" value="/findings?kind=tool-drift""#)
    );
    assert_eq!(page.get("/api/servers").header("WWW-Authenticate"), Some("Bearer"));
    let sign_in = |token: &str| {
        let answer = page.send("/sign-in", "", &format!("token={token}&next=//evil.example/"));
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/")));
        let cookie = answer.header("Set-Cookie").unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    };
    let (looks, decides, reads) = (sign_in(&viewer), sign_in(&analyst), sign_in(&admin));
    let as_who = |path: &str, cookie: &str| page.ask("GET", path, &[&host, &format!("Cookie: {cookie}")], "");
    let bearer = format!("Authorization: Bearer {viewer}");
    assert_eq!(page.ask("GET", "/api/servers", &[&host, &bearer], "").status, 200);
    assert_eq!(as_who("/audit", &decides).status, 403);
    let findings = as_who("/api/findings", &looks).json();
    let id = findings["rows"][0]["id"].as_str().unwrap().to_owned();
    let address = format!("/findings/{id}");
    let csrf = |cookie: &str| {
        let body = as_who(&address, cookie).body;
        let field = body.split("name=\"csrf\" value=\"").nth(1).unwrap();
        field.split('"').next().unwrap().to_owned()
    };
    let form = |csrf: &str| format!("csrf={csrf}&verb=mute&why=known+<b>&until=2099-01-01");
    // Of another role, of another session, without a session, or from another page: nothing happens.
    assert_eq!(page.send(&address, &looks, &form(&csrf(&looks))).status, 403);
    assert_eq!(page.send(&address, &decides, &form(&csrf(&reads))).status, 403);
    assert_eq!(page.send(&address, &decides, "verb=mute&why=x").status, 403);
    assert_eq!(page.send(&address, "", &form(&csrf(&decides))).status, 401);
    let cookie = format!("Cookie: {decides}");
    let foreign = page.ask(
        "POST",
        &address,
        &[&host, "Origin: http://evil.example", &cookie],
        &form(&csrf(&decides)),
    );
    assert_eq!(foreign.status, 403);
    assert_eq!(
        as_who(&format!("{address}?csrf={}&verb=mute&why=x", csrf(&decides)), &decides).status,
        200
    );
    assert_eq!(
        as_who(&format!("/api{address}"), &looks).json()["finding"]["state"],
        "open"
    );
    assert_eq!(
        page.send(&address, &decides, &format!("csrf={}&verb=mute&why=", csrf(&decides)))
            .status,
        400
    );
    // The right one decides.
    assert_eq!(page.send(&address, &decides, &form(&csrf(&decides))).status, 303);
    let finding = as_who(&format!("/api{address}"), &looks).json();
    assert_eq!(finding["finding"]["state"], "muted");
    assert_eq!(finding["finding"]["state_why"], "known <b>");
    assert_eq!(as_who("/servers?format=csv", &looks).status, 200);
    // A wrong token, and then too many.
    let wrong = || page.send("/sign-in", "", "token=wrong").status;
    let tried: Vec<u16> = (0..12).map(|_| wrong()).collect();
    assert_eq!((tried[0], tried[9], tried[11]), (401, 401, 429));
    assert_eq!(as_who("/", &looks).status, 200);
    let out = page.send("/sign-out", &looks, &format!("csrf={}", csrf(&looks)));
    assert_eq!(out.status, 303);
    assert_eq!(as_who("/", &looks).status, 401);
    let audit = as_who("/audit", &reads).body;
    assert!(
        audit.contains("known &#60;b&#62;") && audit.contains("sign-in-refused"),
        "{audit}"
    );
    audited(
        &place.0.path().join("a.db.audit.ndjson"),
        &id,
        &[&viewer, &analyst, &admin],
    );
}

fn audited(log: &Path, id: &str, tokens: &[&String]) {
    assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |action: &str| lines.iter().filter(|line| line["action"] == action).collect::<Vec<_>>();
    assert_eq!(
        (of("sign-in").len(), of("export").len(), of("decision").len()),
        (3, 1, 1)
    );
    assert_eq!((of("sign-in-refused").len(), of("sign-out").len()), (10, 1));
    let decision = &of("decision")[0];
    assert_eq!(
        (decision["who"].as_str(), decision["role"].as_str()),
        (Some("analyst"), Some("analyst"))
    );
    assert!(
        decision["about"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{id} muted until 2099-01-01"))
    );
    assert!(tokens.iter().all(|token| !text.contains(token.as_str())));
}

#[test]
fn other_addresses_need_tokens_and_tls() {
    let place = place();
    let run = |args: &[&str]| {
        let output = place.run(&[&["serve", "--store", "a.db"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        stderr(&output)
    };
    assert!(run(&["--listen", "0.0.0.0:0"]).contains("serve token"));
    token(&place, "viewer");
    assert!(run(&["--listen", "0.0.0.0:0"]).contains("--certificate"));
    assert!(run(&["--listen", "[::]:0"]).contains("--certificate"));
    place.file("no.pem", "");
    let said = run(&["--listen", "0.0.0.0:0", "--certificate", "no.pem", "--key", "no.pem"]);
    assert!(said.contains("no.pem") && said.contains("BEGIN CERTIFICATE"), "{said}");
    for (text, part) in [
        (
            "[web]\nlisten = '0.0.0.0:8470'\n",
            "shadowtap.toml: web.listen can be reached",
        ),
        ("[web]\ncertificate = 'no.pem'\n", "web.certificate stands alone"),
        (
            "[web]\ncertificate = 'no.pem'\nkey = 'no.pem'\n",
            "no.pem: holds no certificate",
        ),
    ] {
        place.file("shadowtap.toml", text);
        let checked = place.run(&["check"]);
        assert_eq!(checked.status.code(), Some(2), "{text}");
        assert!(stderr(&checked).contains(part), "{text}: {}", stderr(&checked));
        assert!(run(&[]).contains(part), "{text}");
    }
    std::fs::remove_file(place.0.path().join("shadowtap.toml")).unwrap();
    let tokens = place.0.path().join("web.tokens");
    assert_eq!(std::fs::metadata(&tokens).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(run(&[]).contains("chmod 600"));
}

#[test]
fn the_document_of_the_api_is_what_there_is() {
    let place = place();
    let page = Page::serve(&place, &[]);
    let document = page.get("/api/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 15);
    let id = |word: &str, column: &str| {
        page.get(&format!("/api/{word}")).json()["rows"][0][column]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (path, operation) in paths {
        let address = match path.as_str() {
            "/api/clients/{id}" => format!("/api/clients/{}", id("clients", "client")),
            path if path.ends_with("/{id}") => {
                let word = path.trim_start_matches("/api/").trim_end_matches("/{id}");
                format!("/api/{word}/{}", id(word, "id"))
            }
            path => path.to_owned(),
        };
        let answer = page.get(&address);
        assert_eq!(answer.status, 200, "{address}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let schema = &operation["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let body = answer.json();
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(body.get(name.as_str().unwrap()).is_some(), "{address} lacks {name}");
        }
        // A row has the columns that the document names, and no others.
        let reference = schema["properties"]["rows"]["items"]["$ref"].as_str();
        if let Some(word) = reference.and_then(|text| text.strip_prefix("#/components/schemas/")) {
            let known = document["components"]["schemas"][word]["properties"]
                .as_object()
                .unwrap();
            for row in body["rows"].as_array().unwrap() {
                assert!(row.as_object().unwrap().keys().eq(known.keys()), "{address}");
            }
        }
        // Every parameter of the document is taken, and no other.
        for parameter in operation["get"]["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["in"] == "query")
        {
            let value = match (&parameter["schema"]["enum"], parameter["schema"]["type"].as_str()) {
                (Value::Array(words), _) => words[0].as_str().unwrap(),
                (_, Some("boolean")) => "true",
                (_, Some("integer")) => "1",
                _ => "24h",
            };
            let asked = format!("{address}?{}={value}", parameter["name"].as_str().unwrap());
            assert_eq!(page.get(&asked).status, 200, "{asked}");
        }
        if reference.is_some() {
            assert_eq!(page.get(&format!("{address}?nonsense=1")).status, 400);
        }
    }
    // Nothing is answered below /api/ that the document does not name.
    assert_eq!(page.get("/api/").status, 404);
    // The words are those of the command line, row for row.
    for word in ["servers", "clients", "tools", "findings", "sessions", "timeline"] {
        let printed = place.run(&["report", word, "--store", "a.db", "--format", "json"]);
        assert_eq!(page.get(&format!("/api/{word}")).body, stdout(&printed), "{word}");
    }
}

#[test]
fn the_report_object_is_that_of_a_replay() {
    let place = place();
    let page = Page::serve(&place, &[]);
    let mut given = page.get("/api/report").json();
    let output = place.run(&["replay", "a.pcap", "--store", "none", "--format", "json"]);
    let mut printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The store keeps no fingerprints, and fewer counters.
    for report in [&mut given, &mut printed] {
        report["clients"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|client| client["ja4"] = Value::Null);
    }
    for part in ["lost", "blind"] {
        let kept = given["capture"][part].as_object().unwrap().clone();
        printed["capture"][part]
            .as_object_mut()
            .unwrap()
            .retain(|name, _| kept.contains_key(name));
    }
    assert_eq!(given, printed);
}
