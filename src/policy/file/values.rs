//! The values of a policy file, one by one: what each may be, and the cure where it is not.

use toml::value::Datetime;

use crate::model::finding::{Kind, Severity};
use crate::model::net::Direction;
use crate::model::stamp::Timestamp;
use crate::policy::criteria::Pattern;

const DAY_SECONDS: i64 = 86_400;
const HOST_NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;

/// A checked value, or what is wrong and how to mend it.
pub(super) type Checked<T> = Result<T, (String, String)>;

fn wrong<T>(what: impl Into<String>, cure: impl Into<String>) -> Checked<T> {
    Err((what.into(), cure.into()))
}

pub(super) fn port(port: u16) -> Checked<u16> {
    if port == 0 {
        wrong(
            "port 0 is no port",
            "write a port from 1 to 65535, or leave the key out for any",
        )
    } else {
        Ok(port)
    }
}

pub(super) fn hostname(text: &str) -> Checked<Pattern> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    let (name, wildcard) = match name.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    if !name.is_ascii() {
        return wrong(
            format!("hostname `{text}` is not as DNS carries it"),
            "write its xn-- form",
        );
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=LABEL_MAX_BYTES).contains(&label.len()) && label.bytes().all(plain);
    if name.len() > HOST_NAME_MAX_BYTES || !name.split('.').all(label) {
        let cure = "write a name without scheme, port and path, such as mcp.example.com or *.example.com";
        return wrong(format!("`{text}` is no host name"), cure);
    }
    Ok(if wildcard {
        Pattern::Suffix(format!(".{name}"))
    } else {
        Pattern::Exact(name.to_owned())
    })
}

pub(super) fn path(text: &str) -> Checked<Pattern> {
    let (path, wildcard) = match text.strip_suffix('*') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if !path.starts_with('/') {
        return wrong(
            format!("path `{text}` does not start with /"),
            "write the path of the URL, such as /mcp or /mcp*",
        );
    }
    if path.contains(['*', '?', '#']) {
        return wrong(
            format!("path `{text}` is more than a path"),
            "leave out query and fragment; * stands at the end only",
        );
    }
    Ok(if wildcard {
        Pattern::Prefix(path.to_owned())
    } else {
        Pattern::Exact(path.to_owned())
    })
}

pub(super) fn server_name(text: &str) -> Checked<String> {
    if text.is_empty() {
        return wrong(
            "an empty server_name",
            "write the name that the server gives itself, or leave the key out",
        );
    }
    Ok(text.to_owned())
}

pub(super) fn hash(text: &str) -> Checked<[u8; 32]> {
    let digits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        let Some(parsed) = text
            .get(at..at + 2)
            .filter(|_| digits)
            .and_then(|two| u8::from_str_radix(two, 16).ok())
        else {
            return wrong("tools_sha256 is no SHA-256", "write its 64 hexadecimal digits");
        };
        *byte = parsed;
    }
    Ok(hash)
}

/// A date counts to its end, in UTC.
pub(super) fn expires(written: &Datetime) -> Checked<Timestamp> {
    let Datetime {
        date: Some(date),
        time: None,
        offset: None,
    } = written
    else {
        return wrong(
            format!("expires = {written} is no date"),
            "write a date without time, such as 2027-01-31",
        );
    };
    let month = time::Month::try_from(date.month).ok();
    let day = month.and_then(|month| time::Date::from_calendar_date(i32::from(date.year), month, date.day).ok());
    match day {
        Some(day) => Ok(Timestamp::from_parts(
            day.midnight().assume_utc().unix_timestamp().saturating_add(DAY_SECONDS),
            0,
        )),
        None => wrong(
            format!("{date} is no day of the calendar"),
            "write a date such as 2027-01-31",
        ),
    }
}

pub(super) fn auth(text: &str) -> Checked<()> {
    if text == "none" {
        return Ok(());
    }
    wrong(
        format!("auth = \"{text}\" means nothing"),
        "write auth = \"none\" for a server without credentials, or leave it out",
    )
}

/// A tool's name with at most one `*`, at one end; `*` alone is every tool.
pub(super) fn tool(text: &str) -> Checked<Pattern> {
    let inner = text.trim_matches('*');
    let stars = text.len() - inner.len();
    if text.is_empty() || stars > 1 || inner.contains('*') {
        return wrong(
            format!("`{text}` is no tool pattern"),
            "write a tool's name, or one with * at one end, such as get_*",
        );
    }
    Ok(if text.ends_with('*') {
        Pattern::Prefix(inner.to_owned())
    } else if text.starts_with('*') {
        Pattern::Suffix(inner.to_owned())
    } else {
        Pattern::Exact(text.to_owned())
    })
}

pub(super) fn kind(text: &str) -> Checked<Kind> {
    let known = || Kind::ALL.map(|(_, word)| word).join(", ");
    Kind::parse(text).map_or_else(
        || {
            wrong(
                format!("`{text}` is no kind of finding"),
                format!("write one of {}", known()),
            )
        },
        Ok,
    )
}

pub(super) fn severity(text: &str) -> Checked<Severity> {
    let known = || Severity::ALL.map(Severity::word).join(", ");
    Severity::parse(text).map_or_else(
        || wrong(format!("`{text}` is no severity"), format!("write one of {}", known())),
        Ok,
    )
}

pub(super) fn direction(text: &str) -> Checked<Direction> {
    let all = [Direction::ToServer, Direction::ToClient];
    all.into_iter().find(|direction| direction.word() == text).map_or_else(
        || {
            wrong(
                format!("`{text}` is no direction"),
                "write client-to-server or server-to-client",
            )
        },
        Ok,
    )
}

/// A name that people give: a group, a rule of a finding.
pub(super) fn name(text: &str) -> Checked<String> {
    if text.trim().is_empty() {
        return wrong("an empty name", "write one, or leave the key out");
    }
    Ok(text.to_owned())
}

/// Why something is held back: whoever reads the file in a year has to know.
pub(super) fn reason(text: &str) -> Checked<()> {
    if text.trim().is_empty() {
        return wrong("an empty reason", "say why");
    }
    Ok(())
}

/// How many alike findings are told one by one.
pub(super) fn bound(written: i64) -> Checked<usize> {
    match usize::try_from(written) {
        Ok(bound @ 1..) => Ok(bound),
        _ => wrong(
            format!("max_same = {written} tells nothing"),
            "write a number from 1, or leave the key out",
        ),
    }
}
