//! The policy file as it is written (TOML), and every mistake in it with its line and its cure.
//!
//! Unknown keys, values of the wrong type and damaged TOML end the reading at the first of them; everything that is
//! wrong with what the values say is told together.

use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use crate::model::defect::Defect;
use crate::model::stamp::Timestamp;
use crate::policy::{Approval, Pattern, Policy, network};

const DAY_SECONDS: i64 = 86_400;
const HOST_NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    home: Home,
    approve: Vec<Spanned<Approve>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Home {
    networks: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Approve {
    address: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    hostname: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    server_name: Option<Spanned<String>>,
    tools_sha256: Option<Spanned<String>>,
    clients: Option<Spanned<Vec<Spanned<String>>>>,
    owner: Option<String>,
    reason: Option<String>,
    expires: Option<Spanned<Datetime>>,
    expose: bool,
    auth: Option<Spanned<String>>,
    cleartext: bool,
}

impl Policy {
    /// Reads the text of a policy file; `file` is for the messages.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Defect>> {
        let written: Written = toml::from_str(text).map_err(|error| {
            vec![Defect::from_toml(
                file,
                text,
                &error,
                "see the README's policy file for its form",
            )]
        })?;
        let mut defects = Defects {
            file,
            text,
            found: Vec::new(),
        };
        let home = match &written.home.networks {
            Some(networks) => defects.networks(networks),
            None => network::private(),
        };
        let approvals = written
            .approve
            .iter()
            .zip(1_usize..)
            .map(|(approve, number)| defects.approval(approve, number))
            .collect();
        if defects.found.is_empty() {
            Ok(Self { home, approvals })
        } else {
            defects.found.sort_by_key(|defect| defect.line);
            Err(defects.found)
        }
    }
}

/// Mistakes found so far. Where a value is wrong its reader gives something to go on with, which nobody will see.
struct Defects<'t> {
    file: &'t Path,
    text: &'t str,
    found: Vec<Defect>,
}

impl Defects<'_> {
    fn add<T>(&mut self, at: &Spanned<T>, (what, cure): (String, String)) {
        let line = Some(Defect::line_of(self.text, at.span().start));
        self.found.push(Defect {
            file: self.file.to_owned(),
            line,
            what,
            cure,
        });
    }

    /// Checks a value, if it is given.
    fn check<T, U>(&mut self, value: Option<&Spanned<T>>, check: impl FnOnce(&T) -> Checked<U>) -> Option<U> {
        let value = value?;
        check(value.get_ref()).map_err(|mistake| self.add(value, mistake)).ok()
    }

    fn networks(&mut self, written: &Spanned<Vec<Spanned<String>>>) -> Vec<IpNet> {
        if written.get_ref().is_empty() {
            self.add(
                written,
                (
                    "an empty list of networks".to_owned(),
                    "name one, or leave the key out".to_owned(),
                ),
            );
        }
        written
            .get_ref()
            .iter()
            .filter_map(|text| self.check(Some(text), |text| network::parse(text)))
            .collect()
    }

    fn approval(&mut self, written: &Spanned<Approve>, number: usize) -> Approval {
        let approve = written.get_ref();
        let approval = Approval {
            rule: rule(number, approve),
            address: self.check(approve.address.as_ref(), |text| network::parse(text)),
            port: self.check(approve.port.as_ref(), |port| check_port(*port)),
            hostname: self.check(approve.hostname.as_ref(), |text| check_hostname(text)),
            path: self.check(approve.path.as_ref(), |text| check_path(text)),
            server_name: self.check(approve.server_name.as_ref(), |text| check_server_name(text)),
            tools_sha256: self.check(approve.tools_sha256.as_ref(), |text| check_hash(text)),
            clients: approve.clients.as_ref().map(|clients| self.networks(clients)),
            until: self.check(approve.expires.as_ref(), check_expires),
            expose: approve.expose,
            unauthenticated_ok: self.check(approve.auth.as_ref(), |text| check_auth(text)).is_some(),
            cleartext_ok: approve.cleartext,
        };
        let criteria = [
            approve.address.is_some(),
            approve.port.is_some(),
            approve.hostname.is_some(),
            approve.path.is_some(),
            approve.server_name.is_some(),
            approve.tools_sha256.is_some(),
            approve.clients.is_some(),
        ];
        if !criteria.contains(&true) {
            let cure = "say what it covers: address, port, hostname, path, server_name, tools_sha256 or clients";
            self.add(
                written,
                (format!("approve #{number} would cover every server"), cure.to_owned()),
            );
        }
        approval
    }
}

/// A checked value, or what is wrong and how to mend it.
type Checked<T> = Result<T, (String, String)>;

fn wrong<T>(what: impl Into<String>, cure: impl Into<String>) -> Checked<T> {
    Err((what.into(), cure.into()))
}

/// `approve #2: platform team — weather for the chat bot`.
fn rule(number: usize, approve: &Approve) -> Arc<str> {
    let told: Vec<&str> = [&approve.owner, &approve.reason]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if told.is_empty() {
        return format!("approve #{number}").into();
    }
    format!("approve #{number}: {}", told.join(" — ")).into()
}

fn check_port(port: u16) -> Checked<u16> {
    if port == 0 {
        wrong(
            "port 0 is no port",
            "write a port from 1 to 65535, or leave the key out for any",
        )
    } else {
        Ok(port)
    }
}

fn check_hostname(text: &str) -> Checked<Pattern> {
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

fn check_path(text: &str) -> Checked<Pattern> {
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

fn check_server_name(text: &str) -> Checked<String> {
    if text.is_empty() {
        return wrong(
            "an empty server_name",
            "write the name that the server gives itself, or leave the key out",
        );
    }
    Ok(text.to_owned())
}

fn check_hash(text: &str) -> Checked<[u8; 32]> {
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
fn check_expires(written: &Datetime) -> Checked<Timestamp> {
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

fn check_auth(text: &str) -> Checked<()> {
    if text == "none" {
        return Ok(());
    }
    wrong(
        format!("auth = \"{text}\" means nothing"),
        "write auth = \"none\" for a server without credentials, or leave it out",
    )
}
