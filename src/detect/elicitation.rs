//! `protocol-violation`: a server that asks the user for a secret, or for what the client cannot be asked for.
//!
//! Forms must not ask for passwords, keys, tokens and payment data (elicitation, 2025-06-18 and later; a browser address
//! is the way for those), and a server may only ask what the client said it can. Reads requests of a server, and those
//! that a result of the stateless revision carries.

use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::mcp::scan;
use crate::model::finding::{Kind, Severity};
use crate::model::mcp::{Abilities, RpcKind};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Mcp, Observation};

/// Fields of one form, and requests of one result, that are looked at.
const ITEMS_MAX: usize = 64;
/// Longest name of a field that is shown, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// Words that name a secret whatever stands around them.
const SECRET_WORDS: [&str; 9] = [
    "passwd",
    "password",
    "passphrase",
    "passcode",
    "cvv",
    "cvc",
    "ssn",
    "otp",
    "apikey",
];
/// Two words, one after the other, that name a secret.
const SECRET_PAIRS: [(&str, &str); 15] = [
    ("access", "key"),
    ("access", "token"),
    ("api", "key"),
    ("api", "token"),
    ("auth", "token"),
    ("bearer", "token"),
    ("card", "number"),
    ("client", "secret"),
    ("credit", "card"),
    ("pin", "code"),
    ("private", "key"),
    ("recovery", "code"),
    ("secret", "key"),
    ("security", "code"),
    ("seed", "phrase"),
];
/// Names that are a secret when they are all there is.
const SECRET_NAMES: [&str; 4] = ["credentials", "pin", "secret", "token"];
/// Words behind which a secret is only spoken of.
const HARMLESS: [&str; 10] = [
    "count", "enabled", "expiry", "hint", "id", "length", "limit", "name", "policy", "type",
];

/// See the module.
pub struct Elicitation {
    signatures: Arc<Signatures>,
}

impl Elicitation {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    /// One request of a server.
    fn ask(
        &self,
        (seen, mcp): (&Observation<'_>, &Mcp<'_>),
        (method, params, able): (&str, &str, Option<Abilities>),
        out: &mut Findings,
    ) {
        let needed = Abilities::needed(method);
        if needed == 0 {
            return;
        }
        if able.is_some_and(|able| !able.has(needed)) {
            let about = (Kind::ProtocolViolation, "unsolicited-request");
            let mut finding = about::moment(about, seen, mcp, &self.signatures, Severity::Low);
            finding.key.place = Some(method.to_owned());
            finding.title = format!("MCP server asks {method} of a client that cannot be asked for it");
            finding.references = vec!["MCP, client capabilities".to_owned()];
            out.findings.push(finding);
        }
        if needed != Abilities::ELICITATION {
            return;
        }
        let Some(field) = secret_field(params) else { return };
        let end = field.floor_char_boundary(NAME_MAX_BYTES);
        let field = redact::blank_hits(field.get(..end).unwrap_or_default(), &self.signatures);
        let about = (Kind::ProtocolViolation, "secret-elicitation");
        let mut finding = about::moment(about, seen, mcp, &self.signatures, Severity::Medium);
        finding.title = format!("MCP server asks the user for a secret in a form: {field}");
        finding.key.place = Some(format!("requestedSchema.properties.{field}"));
        finding.key.tool = mcp
            .call
            .and_then(|call| call.name)
            .map(|name| about::called(name, &self.signatures));
        finding.references = vec![
            "MCP 2025-06-18, elicitation, security considerations".to_owned(),
            "OWASP-MCP01".to_owned(),
        ];
        out.findings.push(finding);
    }
}

impl Detector for Elicitation {
    fn wants(&self) -> FactMask {
        FactMask::MCP
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Mcp(mcp) = &seen.fact else { return };
        let Some(rpc) = mcp.rpc.filter(|rpc| mcp.dir == Direction::ToClient && !rpc.cut) else {
            return;
        };
        match rpc.kind {
            // What the client can be asked for was said elsewhere: the review of its session knows.
            RpcKind::Request => self.ask((seen, mcp), (rpc.method, rpc.params.unwrap_or_default(), None), out),
            RpcKind::Success if mcp.wants_input => {
                let requests = rpc.result.and_then(|result| scan::items(result).find("inputRequests"));
                let able = mcp.call.and_then(|call| call.able);
                for request in scan::items(requests.unwrap_or_default()).take(ITEMS_MAX) {
                    let member = |key| scan::items(request.value).find(key);
                    let method = member("method").and_then(scan::text).unwrap_or_default();
                    let params = member("params").unwrap_or_default();
                    self.ask((seen, mcp), (&method, params, able), out);
                }
            }
            RpcKind::Error | RpcKind::Notification | RpcKind::Success => {}
        }
    }
}

/// The first field of a form that asks for a secret, by its name or title.
fn secret_field(params: &str) -> Option<String> {
    let mode = scan::items(params).find("mode").and_then(scan::text);
    if mode.is_some_and(|mode| mode == "url") {
        return None;
    }
    let schema = scan::items(params).find("requestedSchema")?;
    let fields = scan::items(schema).find("properties")?;
    for field in scan::items(fields).take(ITEMS_MAX) {
        let part = |key| scan::items(field.value).find(key).and_then(scan::text);
        // A choice or a number of things is no secret, even if one is spoken of.
        if part("type").is_some_and(|kind| kind != "string") || scan::items(field.value).find("enum").is_some() {
            continue;
        }
        let name = crate::mcp::escape::unescape(field.key);
        if names_secret(&name) || part("title").is_some_and(|title| names_secret(&title)) {
            return Some(name.into_owned());
        }
    }
    None
}

/// Whether a name or title is that of a secret.
fn names_secret(text: &str) -> bool {
    let words = words(text);
    let last = words.last().map_or("", String::as_str);
    if HARMLESS.contains(&last) {
        return false;
    }
    let pair = |pair: &[String]| {
        pair.first()
            .zip(pair.get(1))
            .is_some_and(|(one, two)| SECRET_PAIRS.contains(&(one.as_str(), two.as_str())))
    };
    words.iter().any(|word| SECRET_WORDS.contains(&word.as_str()))
        || words.windows(2).any(pair)
        || (words.len() == 1 && SECRET_NAMES.contains(&last))
}

/// Words of a name in any convention: `apiKey`, `API_KEY`, `api key`.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in text.chars().take(NAME_MAX_BYTES) {
        let begins = !before.is_alphanumeric() || (before.is_lowercase() && c.is_uppercase());
        if c.is_alphanumeric() {
            if begins {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        before = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in [
            "password",
            "userPassword",
            "API_KEY",
            "apiKey",
            "GitHub access token",
            "token",
            "card-number",
            "Credit card",
            "cvv",
            "private_key",
            "One-time OTP",
        ] {
            assert!(names_secret(name), "{name}");
        }
        for name in [
            "name",
            "maxTokens",
            "token_count",
            "tokens",
            "api_key_name",
            "password_policy",
            "secretary",
            "card",
            "key",
            "pin_board",
            "passport",
            "shopping cart number",
        ] {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn forms() {
        let form = |properties: &str| {
            secret_field(&format!(
                r#"{{"message":"m","requestedSchema":{{"type":"object","properties":{properties}}}}}"#
            ))
        };
        assert_eq!(
            form(r#"{"user":{"type":"string"},"password":{"type":"string"}}"#).as_deref(),
            Some("password")
        );
        assert_eq!(
            form(r#"{"x":{"type":"string","title":"Your API key"}}"#).as_deref(),
            Some("x")
        );
        assert_eq!(
            form(r#"{"token":{"type":"integer"},"password":{"type":"boolean"}}"#),
            None
        );
        assert_eq!(form(r#"{"token":{"type":"string","enum":["a","b"]}}"#), None);
        let url =
            r#"{"mode":"url","url":"https://a.example/password","requestedSchema":{"properties":{"password":{}}}}"#;
        assert_eq!(secret_field(url), None);
    }
}
