//! Rules for values: credentials and personal data.

use super::share;
use crate::detect::signature::checks::Check;
use crate::detect::signature::file;
use crate::detect::signature::secrets::{Class, Expression, Find, Place, SampleForm, SecretRule};
use crate::model::finding::{Kind, Severity};

/// Widest window around an anchor.
const MAX_WINDOW_BYTES: usize = 64 * 1024;

fn scope(words: &[String]) -> Result<u8, String> {
    if words.is_empty() {
        return Ok(u8::MAX);
    }
    words.iter().try_fold(0, |bits, word| {
        let (place, _) = Place::ALL
            .iter()
            .find(|(_, known)| known == word)
            .ok_or_else(|| format!("scope {word:?} is not known"))?;
        Ok(bits | place.bit())
    })
}

fn severity(word: &str) -> Result<Severity, String> {
    Severity::parse(word).ok_or_else(|| format!("severity {word:?} is not known"))
}

/// `trusted`: built in, so that a test compiles its expression.
pub(super) fn secret(rule: file::Secret, trusted: bool) -> Result<SecretRule, String> {
    if rule.title.is_empty() {
        return Err("a rule in force needs a title".to_owned());
    }
    let find = match &rule.class {
        Some(word) => Find::Class(class(word, Kind::SecretInTransit)?),
        None => expression(&rule, trusted)?,
    };
    Ok(SecretRule {
        id: rule.id.into(),
        title: rule.title,
        kind: Kind::SecretInTransit,
        severity: severity(&rule.severity)?,
        confidence: share(rule.confidence)?,
        references: rule.refs,
        generic: rule.generic,
        sample: match rule.sample.as_str() {
            "edges" => SampleForm::Edges,
            "head" => SampleForm::Head,
            "none" => SampleForm::None,
            "scheme" => SampleForm::Scheme,
            other => return Err(format!("sample = {other:?}; it is edges, head, scheme or none")),
        },
        anchors: rule.anchors,
        public: rule.public,
        fold: rule.fold,
        find,
        scope: scope(&rule.scope)?,
    })
}

/// How values are found by anchors and an expression.
fn expression(rule: &file::Secret, trusted: bool) -> Result<Find, String> {
    if rule.anchors.is_empty() || rule.anchors.iter().any(|anchor| anchor.len() < 2 || !anchor.is_ascii()) {
        return Err("anchors must be given, of two ASCII characters or more".to_owned());
    }
    if rule.before.max(rule.after) > MAX_WINDOW_BYTES {
        return Err(format!("a window of more than {MAX_WINDOW_BYTES} bytes"));
    }
    let expression = Expression::new(&rule.pattern);
    if !trusted && expression.compile()?.is_match(b"") {
        return Err("the pattern matches the empty text".to_owned());
    }
    let check = |word: &String| Check::parse(word).ok_or_else(|| format!("check {word:?} is not known"));
    Ok(Find::Pattern {
        expression,
        before: rule.before,
        after: rule.after,
        checks: rule.check.iter().map(check).collect::<Result<_, _>>()?,
        word_start: rule.before == 0 && rule.pattern.trim_start_matches("(?i)").starts_with(r"\b"),
    })
}

/// A class of this kind of value.
fn class(word: &str, kind: Kind) -> Result<Class, String> {
    let wanted = |(class, known): &(Class, &str)| {
        *known == word && (*class == Class::UserInfo) == (kind == Kind::SecretInTransit)
    };
    let found = Class::all().find(wanted).map(|(class, _)| class);
    found.ok_or_else(|| format!("class {word:?} is not known"))
}

pub(super) fn personal(rule: file::Pii) -> Result<SecretRule, String> {
    Ok(SecretRule {
        id: rule.id.into(),
        title: rule.title,
        kind: Kind::PiiInTransit,
        severity: severity(&rule.severity)?,
        confidence: share(rule.confidence)?,
        references: rule.refs,
        generic: false,
        sample: SampleForm::None,
        anchors: Vec::new(),
        public: Vec::new(),
        fold: false,
        find: Find::Class(class(&rule.class, Kind::PiiInTransit)?),
        scope: scope(&rule.scope)?,
    })
}
