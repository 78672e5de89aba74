//! The only door from raw text to a [`Sample`], and the eraser for tool metadata that is kept.
//!
//! A sample shows a rule's public prefix and at most the last four characters, together never over a quarter of the
//! value; nothing of short values, passwords and personal data. Whatever is kept of a text passes [`replace_hits`].

use crate::detect::signature::secrets::{Hit, Place, SampleForm};
use crate::detect::signature::{Plain, Signatures};
use crate::model::finding::Sample;

/// Values under this many bytes show nothing.
pub const MIN_VALUE_BYTES: usize = 16;
/// Most characters of the end.
const MAX_TAIL: usize = 4;

/// What may be shown of a hit.
pub fn sample(hit: &Hit<'_, '_>) -> Option<Sample> {
    let value = match hit.rule.sample {
        SampleForm::None => return None,
        SampleForm::Scheme => address(hit)?,
        SampleForm::Edges | SampleForm::Head => std::str::from_utf8(hit.text.get(hit.value.clone())?).ok()?,
    };
    let budget = value.chars().count() / 4;
    if value.len() < MIN_VALUE_BYTES {
        return None;
    }
    let prefix = || head(value, hit.rule.public_prefix(value.as_bytes()).min(budget));
    let shown = match hit.rule.sample {
        SampleForm::None => return None,
        SampleForm::Scheme => format!("{}…", head(value, (value.find("://")? + 3).min(budget))),
        SampleForm::Head => format!("{}…", prefix().trim_end()),
        SampleForm::Edges => {
            let prefix = prefix();
            format!(
                "{prefix}…{}",
                tail(value, MAX_TAIL.min(budget - prefix.chars().count()))
            )
        }
    };
    (shown != "…").then(|| Sample::redacted(shown))
}

/// The whole address around a password: of it only the scheme is shown.
fn address<'t>(hit: &Hit<'_, 't>) -> Option<&'t str> {
    let rest = hit.text.get(hit.span.start..)?;
    let end = |byte: &u8| byte.is_ascii_whitespace() || b"\"'<>`\\".contains(byte);
    std::str::from_utf8(rest.get(..rest.iter().position(end).unwrap_or(rest.len()))?).ok()
}

/// At most the first `bytes` bytes.
fn head(text: &str, bytes: usize) -> &str {
    text.get(..bytes).unwrap_or_default()
}

/// The last `count` characters.
fn tail(text: &str, count: usize) -> &str {
    let start = text
        .char_indices()
        .rev()
        .take(count)
        .last()
        .map_or(text.len(), |(at, _)| at);
    &text[start..]
}

/// The text with every value that a credential or personal-data rule finds replaced by `[rule-id]`.
pub fn replace_hits(text: &str, signatures: &Signatures) -> String {
    replace(text, signatures, |id, out| {
        out.push('[');
        out.push_str(id);
        out.push(']');
    })
}

/// A path or name from traffic with every such value replaced by `{secret}`.
pub fn blank_hits(text: &str, signatures: &Signatures) -> String {
    replace(text, signatures, |_, out| out.push_str("{secret}"))
}

fn replace(text: &str, signatures: &Signatures, write: impl Fn(&str, &mut String)) -> String {
    let plain = Plain::of(text);
    let mut out = String::new();
    let mut copied = 0;
    signatures.secrets.scan(plain.text(), Place::Metadata, &mut |hit| {
        let raw = plain.origin(&hit.value);
        // An escape may have given a part of a character; what is not a whole text stays out.
        if let Some(between) = text.get(copied..raw.start) {
            out.push_str(between);
            write(&hit.rule.id, &mut out);
            copied = raw.end;
        }
    });
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::signature::secrets::Secrets;

    fn samples(secrets: &Secrets, text: &str) -> Vec<(String, String, Option<String>)> {
        let mut out = Vec::new();
        secrets.scan(text.as_bytes(), Place::Arguments, &mut |hit| {
            let value = String::from_utf8(hit.text[hit.value.clone()].to_vec()).unwrap();
            out.push((
                hit.rule.id.to_string(),
                value,
                sample(hit).map(|sample| sample.as_str().to_owned()),
            ));
        });
        out
    }

    #[test]
    fn samples_show_edges_only() {
        let signatures = Signatures::builtin();
        let key = ["AKIA", "QX7RT2MNLW5ZJ3KP"].concat();
        let token = ["glpat", "-Zx81mQpT0aLw93KdYeRb"].concat();
        let url = format!(
            "postgresql://svc:{}@db.internal.corp.test:5432/ledger_of_a_long_name",
            "q8ZtR2vLw0Xy7Bn4"
        );
        let text = format!("{key} {token} {url} ssn 219-45-8812");
        let shown: Vec<_> = samples(&signatures.secrets, &text)
            .into_iter()
            .map(|(_, _, sample)| sample)
            .collect();
        assert_eq!(
            shown,
            [
                Some("AKIA…P".to_owned()),
                Some("glpat-…".to_owned()),
                Some("postgresql://…".to_owned()),
                None
            ]
        );
    }

    #[test]
    fn metadata_keeps_its_form() {
        let signatures = Signatures::builtin();
        let token = ["glpat", "-Zx81mQpT0aLw93KdYeRb"].concat();
        let json = format!(r#"{{"description":"use\n{token}\tor \"{token}\""}}"#);
        assert_eq!(
            replace_hits(&json, &signatures),
            r#"{"description":"use\n[sec-gitlab-pat]\tor \"[sec-gitlab-pat]\""}"#
        );
        assert_eq!(replace_hits("plain ä", &signatures), "plain ä");
        assert_eq!(blank_hits(&format!("a/{token}/b"), &signatures), "a/{secret}/b");
    }

    proptest! {
        #[test]
        fn never_over_a_quarter(body in "[A-Za-z0-9]{8,120}", rule in 0usize..6) {
            thread_local!(static SIGNATURES: Signatures = Signatures::builtin());
            let text = [
                format!("glpat-{body}"), format!("\"api_key\": \"{body}\""), format!("xoxb-{body}"), format!("hvs.{body}"),
                format!("?token={body}"), format!("redis://u:{body}@h"),
            ][rule].clone();
            let found = SIGNATURES.with(|signatures| samples(&signatures.secrets, &text));
            for (_, value, sample) in found {
                if let Some(sample) = sample.filter(|sample| !sample.starts_with("redis")) {
                    prop_assert!(value.len() >= MIN_VALUE_BYTES);
                    prop_assert!((sample.chars().count() - 1) * 4 <= value.len(), "{} of {}", sample, value.len());
                    let (head, tail) = sample.split_once('…').unwrap();
                    prop_assert!(value.starts_with(head) && value.ends_with(tail) && tail.len() <= MAX_TAIL);
                }
            }
        }
    }
}
