//! Notices in the forms that SIEMs read: pure functions, one file each.
//!
//! Texts come from traffic. Line formats take them as one line without control characters, cut and escaped as the format
//! wants it; JSON keeps the value of every character and writes those that steer a terminal as escapes. No format can be
//! broken out of (property tests read everything back). What a mapping means to a receiver is told by [`super::schema::mapping`].

pub mod cef;
pub mod ecs;
pub mod json;
pub mod leef;
pub mod ocsf;
pub mod syslog;

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::model::finding::Severity;
use crate::model::plain::{is_hostile, plain};
use crate::sink::siem::notice::{Notice, Sensor};

/// Form of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// ArcSight Common Event Format.
    Cef,
    /// Elastic Common Schema 9.
    Ecs,
    /// The words of the report.
    Json,
    /// QRadar Log Event Extended Format 2.0.
    Leef,
    /// Open Cybersecurity Schema Framework 1.5.
    Ocsf,
    /// Structured data of RFC 5424.
    Rfc5424,
}

impl Format {
    /// Whether it is one JSON object.
    pub const fn is_json(self) -> bool {
        matches!(self, Self::Ecs | Self::Json | Self::Ocsf)
    }
}

/// Characters of one text in JSON, and what is tried when the whole is longer than a sink takes.
const TEXT_MAX_CHARS: [usize; 4] = [4_096, 512, 128, 32];

/// Characters of one value in a line format.
pub(super) const VALUE_MAX_CHARS: usize = 256;

/// A notice in a format, in one line of at most about `max_bytes` bytes: texts are cut shorter until it fits, and what is
/// never too long (names, numbers) stays.
pub fn render(notice: &Notice, sensor: &Sensor, format: Format, max_bytes: usize) -> String {
    let object = match format {
        Format::Cef => return cef::render(notice, sensor),
        Format::Leef => return leef::render(notice, sensor),
        Format::Rfc5424 => return plain(&notice.title, VALUE_MAX_CHARS).into_owned(),
        Format::Ecs => ecs::object(notice, sensor),
        Format::Json => json::object(notice, sensor),
        Format::Ocsf => ocsf::object(notice, sensor),
    };
    let mut value = Value::Object(object);
    let mut text = String::new();
    for max_chars in TEXT_MAX_CHARS {
        shorten(&mut value, max_chars);
        text = line(&value);
        if text.len() <= max_bytes {
            break;
        }
    }
    text
}

/// Cuts every text of a value.
fn shorten(value: &mut Value, max_chars: usize) {
    match value {
        Value::String(text) => {
            if text.len() > max_chars
                && let Some((end, _)) = text.char_indices().nth(max_chars)
            {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, max_chars)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, max_chars)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// JSON in one line without a character that could steer a terminal: outside of strings JSON has none.
pub fn line(value: &Value) -> String {
    let text = value.to_string();
    if !text.chars().any(is_hostile) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 64);
    for char in text.chars() {
        if is_hostile(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(char);
        }
    }
    out
}

/// A text as a value of a line format.
fn value(text: &str) -> Cow<'_, str> {
    plain(text, VALUE_MAX_CHARS)
}

/// Sets a value at a dotted path; what is not known is left out.
fn put(fields: &mut Map<String, Value>, path: &str, value: impl Into<Value>) {
    let value = value.into();
    if value.is_null() {
        return;
    }
    match path.split_once('.') {
        None => {
            fields.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = fields
                .entry(head)
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut();
            if let Some(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// One of five values by severity, mildest first.
const fn by_severity<T: Copy>(severity: Severity, values: [T; 5]) -> T {
    match severity {
        Severity::Info => values[0],
        Severity::Low => values[1],
        Severity::Medium => values[2],
        Severity::High => values[3],
        Severity::Critical => values[4],
    }
}

/// References that are numbers of published vulnerabilities.
fn cves(notice: &Notice) -> Vec<&str> {
    let references = notice.fields.get("references").and_then(Value::as_array);
    let texts = references.into_iter().flatten().filter_map(Value::as_str);
    texts.filter(|text| text.starts_with("CVE-")).collect()
}

/// 0 to 100.
fn percent(confidence: f32) -> u64 {
    // A confidence is between 0 and 1; whatever else comes is saturated by the cast.
    (f64::from(confidence) * 100.0).round() as u64
}

#[cfg(test)]
mod tests;
