//! Tests of the detector: what is found, where, and how it is shown.

use super::*;
use crate::detect::signature::generate;
use crate::model::flow::FlowInfo;
use crate::model::mcp::{McpTransport, Odd, RpcKind, Site};
use crate::model::message::{HttpMethod, Transaction};
use crate::model::net::{Endpoint, FiveTuple, Transport};
use crate::model::observation::Proof;
use crate::model::stamp::Stamp;

/// Findings as `kind rule place sample`, of a request with this target and these fields, or of a result.
fn run(dir: Direction, json: Option<&str>, target: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let end = |addr: &str, port| Endpoint::new(addr.parse().unwrap(), port);
    let tuple = FiveTuple {
        transport: Transport::Tcp,
        client: end("10.0.0.9", 40_000),
        server: end("10.0.0.5", 8000),
    };
    let (at, mut headers) = (Stamp::default(), Headers::default());
    for (name, value) in fields {
        headers.push(name.as_bytes(), value.as_bytes());
    }
    let request = Request {
        at,
        method: HttpMethod::Post,
        target: target.into(),
        headers,
    };
    let transaction = Transaction {
        number: 0,
        request: Some(request),
        response: None,
    };
    let (params, result) = if dir == Direction::ToServer {
        (json, None)
    } else {
        (None, json)
    };
    let rpc = JsonRpc {
        kind: RpcKind::Request,
        method: "tools/call",
        id: None,
        params,
        result,
        error: None,
        bytes: 0,
        cut: false,
        odd: Odd::default(),
    };
    let mcp = Mcp {
        rpc: Some(rpc),
        dir,
        site: Site {
            endpoint: tuple.server,
            hostname: None,
            path: Some("/mcp"),
        },
        transport: Some(McpTransport::StreamableHttp),
        transaction: Some(&transaction),
        call: None,
        name: Some("deploy".into()),
        scheme: None,
        session: None,
        auth: None,
        revision: None,
        client: None,
        server: None,
        instructions: None,
        listing: None,
        offers: Vec::new(),
        proof: Proof::default(),
        success: false,
        gives: false,
        wants_input: false,
        relevant: true,
        request_head: dir == Direction::ToServer,
        response_head: dir == Direction::ToClient,
        alias: None,
    };
    let flow = FlowInfo {
        id: 1,
        tuple,
        seen: Span::at(at),
        packets: [1, 1],
        bytes: [1, 1],
        from_start: true,
        encryption: crate::model::server::Encryption::None,
    };
    let mut out = Findings::default();
    thread_local!(static SIGNATURES: Arc<Signatures> = Arc::new(Signatures::builtin()));
    let scan = SecretScan::new(SIGNATURES.with(Clone::clone), Fingerprints::random());
    scan.inspect(
        &Observation {
            at,
            flow: &flow,
            fact: Fact::Mcp(&mcp),
        },
        &mut out,
    );
    let show = |finding: &Finding| {
        let sample = finding.evidence.sample.as_ref().map_or("-", |sample| sample.as_str());
        let key = &finding.key;
        format!(
            "{} {} {} {sample} x{}",
            key.kind.word(),
            key.rule,
            key.place.as_deref().unwrap_or("-"),
            finding.count
        )
    };
    out.findings.iter().map(show).collect()
}

#[test]
fn bodies_name_their_place() {
    let token = generate("glpat-{alnum:20}");
    let inner =
        serde_json::json!({"dsn": generate("mysql://svc:{alnum:18}@db.corp.test:3306/a_database_with_a_long_name")})
            .to_string();
    let json =
        serde_json::json!({"arguments": {"env": {"T": token, "list": [1, inner]}}, "note": format!("line\n{token}")});
    assert_eq!(
        run(Direction::ToServer, Some(&json.to_string()), "/mcp", &[]),
        [
            "secret-in-transit sec-gitlab-pat params.arguments.env.T glpat-… x1",
            "secret-in-transit sec-db-uri params.arguments.env.list[1] mysql://… x1",
            "secret-in-transit sec-gitlab-pat params.note glpat-… x1",
        ]
    );
}

#[test]
fn personal_data_has_no_sample() {
    let json =
        serde_json::json!({"content": [{"text": "{\"mail\": \"dana.marsh@corp.test\", \"ssn\": \"219-45-8812\"}"}]});
    assert_eq!(
        run(Direction::ToClient, Some(&json.to_string()), "/mcp", &[]),
        [
            "pii-in-transit pii-email result.content[0].text - x1",
            "pii-in-transit pii-us-ssn result.content[0].text - x1"
        ]
    );
}

#[test]
fn escaped_slashes_do_not_hide() {
    let secret = generate("{[A-Za-z0-9]:12}/{[A-Za-z0-9+]:27}");
    let json = format!("{{\"aws_secret_access_key\":\"{}\"}}", secret.replace('/', "\\/"));
    let tail = &secret[secret.len() - 4..];
    let expected = format!("secret-in-transit sec-aws-secret params.aws_secret_access_key …{tail} x1");
    assert_eq!(run(Direction::ToServer, Some(&json), "/mcp", &[]), [expected]);
}

#[test]
fn a_key_that_is_a_secret_is_no_place() {
    let token = generate("glpat-{alnum:20}");
    let json = format!("{{\"{token}\":1}}");
    assert_eq!(
        run(Direction::ToServer, Some(&json), "/mcp", &[]),
        ["secret-in-transit sec-gitlab-pat params.{secret} glpat-… x1"]
    );
}

#[test]
fn headers() {
    let (token, jwt, key) = (generate("glpat-{alnum:20}"), generate("{jwt}"), generate("{alnum:32}"));
    let wrapped = format!(
        "=?base64?{}?=",
        base64::engine::general_purpose::STANDARD.encode(&token)
    );
    let bearer = format!("Bearer {jwt}");
    let found = run(
        Direction::ToServer,
        None,
        "/mcp",
        &[
            ("X-Gitlab-Token", &token),
            ("Authorization", &bearer),
            ("Mcp-Param-Key", &wrapped),
            ("x-api-key", &key),
            ("Mcp-Session-Id", &jwt),
            ("X-CSRF-Token", &key),
            ("X-Request-Id", "123e4567-e89b-42d3-a456-426614174000"),
        ],
    );
    let tail = &jwt[jwt.len() - 4..];
    let key_tail = &key[key.len() - 4..];
    assert_eq!(
        found,
        [
            "secret-in-transit sec-gitlab-pat header X-Gitlab-Token glpat-… x1".to_owned(),
            "secret-in-transit sec-gitlab-pat header Mcp-Param-Key glpat-… x1".to_owned(),
            format!("secret-in-transit sec-header-apikey header x-api-key …{key_tail} x1"),
            format!("secret-in-transit sec-jwt header Authorization eyJ…{tail} x1"),
        ]
    );
    assert_eq!(
        run(
            Direction::ToServer,
            None,
            "/mcp",
            &[("Authorization", &format!("Bearer {key}"))]
        ),
        [""; 0]
    );
}

#[test]
fn targets() {
    let (google, key) = (generate("AIza{b64url:34}x"), generate("{alnum:32}"));
    for (target, found) in [
        (
            format!("/mcp?api_key={google}&x=1"),
            vec!["token-in-url sec-gcp-apikey query api_key"],
        ),
        (
            format!("/mcp?access_token={key}"),
            vec!["token-in-url sec-url-apikey query access_token"],
        ),
        (
            format!("/mcp?session_id={key}&sessionId={key}&v={key}&page_token={key}"),
            vec![],
        ),
        ("/mcp?api_key=demo".to_owned(), vec![]),
        (format!("/{google}/mcp"), vec!["token-in-url sec-gcp-apikey path"]),
    ] {
        let told = run(Direction::ToServer, None, &target, &[]);
        assert_eq!(told.len(), found.len(), "{told:?}");
        assert!(
            told.iter().zip(found).all(|(told, found)| told.starts_with(found)),
            "{told:?}"
        );
    }
    let zapier = format!("/api/mcp/s/{}/mcp", generate("{b64url:40}"));
    let told = run(Direction::ToServer, None, &zapier, &[("Host", "mcp.zapier.com")]);
    assert!(
        told.len() == 1 && told[0].starts_with("token-in-url sec-zapier-mcp path"),
        "{told:?}"
    );
}

#[test]
fn repeats_are_counted() {
    let token = generate("glpat-{alnum:20}");
    assert_eq!(
        run(
            Direction::ToServer,
            Some(&format!("{{\"a\":\"{token} {token}\"}}")),
            "/",
            &[]
        ),
        ["secret-in-transit sec-gitlab-pat params.a glpat-… x2"]
    );
}

/// Whatever a rule finds, in whatever place, nothing of it but its sample is told.
#[test]
fn no_finding_holds_its_value() {
    thread_local!(static SIGNATURES: Arc<Signatures> = Arc::new(Signatures::builtin()));
    let signatures = SIGNATURES.with(Clone::clone);
    let positives = signatures.positives();
    assert!(positives.len() > 300);
    for (id, text) in positives {
        let mut values = Vec::new();
        for place in [
            Place::Arguments,
            Place::Header,
            Place::Metadata,
            Place::Result,
            Place::Url,
        ] {
            signatures.secrets.scan(text.as_bytes(), place, &mut |hit| {
                let value = &hit.text[hit.value.clone()];
                values.push((
                    String::from_utf8_lossy(value).into_owned(),
                    hit.rule.public_prefix(value),
                ));
            });
        }
        assert!(!values.is_empty(), "{id} finds nothing in its example");
        let json = serde_json::json!({ "arguments": { "key": text } }).to_string();
        let line = text.replace(['\n', '\r'], " ");
        let told = [
            run(Direction::ToServer, Some(&json), "/mcp", &[("X-Note", &line)]),
            run(
                Direction::ToServer,
                None,
                &format!("/{line}/mcp?key={line}"),
                &[("Authorization", &line)],
            ),
            run(Direction::ToClient, Some(&json), "/mcp", &[]),
        ]
        .concat();
        for (value, public) in values.iter().filter(|(value, _)| value.len() >= 8) {
            let shown = told.iter().find(|told| told.contains(value.as_str()));
            assert!(shown.is_none(), "{id}: {shown:?}");
            let pieces: Vec<char> = value.chars().collect();
            for piece in pieces.windows(16).skip(public.saturating_sub(15)) {
                let piece: String = piece.iter().collect();
                let known = value.get(..*public).unwrap_or_default().contains(&piece);
                let shown = told.iter().find(|told| told.contains(&piece));
                assert!(shown.is_none() || known, "{id}: {piece} in {shown:?}");
            }
        }
    }
}
