//! What can be wrong in a section, and where it stands in the file.

use std::net::IpAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::{Context, End, set_keys, timeout};
use crate::model::defect::Defect;
use crate::sink::config::{Config, Type};
use crate::sink::http::Client;
use crate::sink::secret::Secret;
use crate::sink::tls::{TlsError, Trust};

/// Keys that every type has.
const COMMON: &[&str] = &[
    "type",
    "name",
    "format",
    "events",
    "kinds",
    "severity",
    "sensors",
    "replay",
    "timeout_ms",
];
/// Keys of what goes over HTTP.
const HTTP: &[&str] = &[
    "allow_plaintext",
    "url",
    "url_file",
    "url_env",
    "token_file",
    "token_env",
    "gzip",
    "ca",
    "certificate",
    "key",
];

/// Keys that a type has beside [`COMMON`].
const fn keys(kind: Type) -> [&'static [&'static str]; 2] {
    match kind {
        Type::Elasticsearch => [HTTP, &["user", "password_file", "password_env", "index"]],
        Type::File => [
            &[
                "path",
                "rotate_bytes",
                "rotate_hours",
                "rotate_keep",
                "facility",
                "enterprise",
            ],
            &[],
        ],
        Type::Splunk => [HTTP, &["index", "acknowledge"]],
        Type::Stdout => [&[], &[]],
        Type::Syslog => [
            &[
                "address",
                "protocol",
                "framing",
                "facility",
                "enterprise",
                "confirm",
                "message_max_bytes",
            ],
            &["allow_plaintext", "ca", "certificate", "key", "server_name"],
        ],
        Type::Webhook => [HTTP, &["signing_key_file", "signing_key_env", "template"]],
    }
}

/// What is wrong with a key.
#[derive(Debug)]
pub(super) struct Wrong {
    key: String,
    what: String,
    cure: String,
}

impl Wrong {
    pub(super) fn of(key: &str, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            what: what.into(),
            cure: cure.into(),
        }
    }

    pub(super) fn missing(key: &str, cure: &str) -> Self {
        Self::of(key, format!("`{key}` is missing"), cure)
    }

    pub(super) fn file(key: &str, error: &TlsError) -> Self {
        let what = format!("{}: {}", error.file.display(), error.what);
        Self::of(key, what, error.cure.clone())
    }
}

/// One `[[sinks]]` and where it stands.
pub(super) struct Section<'t> {
    pub(super) config: &'t Config,
    pub(super) context: &'t Context<'t>,
    start: usize,
}

impl<'t> Section<'t> {
    pub(super) fn new(written: &'t Spanned<Config>, context: &'t Context<'t>) -> Self {
        Self {
            config: written.get_ref(),
            context,
            start: written.span().start,
        }
    }

    /// A mistake with the line of its key, or of the section where the key is not written.
    pub(super) fn defect(&self, wrong: Wrong) -> Defect {
        let first = Defect::line_of(self.context.text, self.start);
        let rest = self.context.text.lines().enumerate().skip(first);
        let own = rest.take_while(|(_, line)| !line.trim_start().starts_with('['));
        let written = |line: &str| {
            let (key, _) = line.split_once('=').unwrap_or_default();
            key.trim().trim_matches(['"', '\'']) == wrong.key
        };
        let mut own = own.filter(|(_, line)| written(line));
        Defect {
            file: self.context.file.to_owned(),
            line: Some(own.next().map_or(first, |(before, _)| before + 1)),
            what: wrong.what,
            cure: wrong.cure,
        }
    }

    /// Whether every key that is set means something to the type.
    pub(super) fn check_keys(&self) -> Result<(), Wrong> {
        let kind = self.config.kind;
        let known = |key: &str| COMMON.contains(&key) || keys(kind).iter().any(|keys| keys.contains(&key));
        match set_keys(self.config).into_iter().find(|key| !known(key)) {
            None => Ok(()),
            Some(key) => {
                let what = format!("`{key}` means nothing to a sink of type {}", kind.word());
                let known: Vec<&str> = keys(kind).concat();
                let cure = match &known[..] {
                    [] => "remove it".to_owned(),
                    known => format!("remove it; this type has {}", known.join(", ")),
                };
                Err(Wrong::of(&key, what, cure))
            }
        }
    }

    /// A secret from a file or the environment; `None` when neither is named.
    pub(super) fn secret(
        &self,
        name: &str,
        (file, variable): (&Option<PathBuf>, &Option<String>),
    ) -> Result<Option<Secret>, Wrong> {
        match (file, variable) {
            (None, None) => Ok(None),
            (Some(file), None) => {
                let file = (self.context.beside)(file);
                Secret::from_file(&file).map(Some).map_err(|(what, cure)| {
                    Wrong::of(&format!("{name}_file"), format!("{}: {what}", file.display()), cure)
                })
            }
            (None, Some(variable)) => Secret::from_environment(variable)
                .map(Some)
                .map_err(|(what, cure)| Wrong::of(&format!("{name}_env"), what, cure)),
            (Some(_), Some(_)) => {
                let what = format!("`{name}_file` and `{name}_env` are both given");
                Err(Wrong::of(&format!("{name}_env"), what, "keep one of them"))
            }
        }
    }

    /// The address and where it leads.
    pub(super) fn url(&self) -> Result<(Secret, End), Wrong> {
        let config = self.config;
        let given = config.url.as_deref().map(Secret::new);
        let url = match (given, self.secret("url", (&config.url_file, &config.url_env))?) {
            (Some(url), None) | (None, Some(url)) => url,
            (None, None) => return Err(Wrong::missing("url", "write it as https://host:port")),
            (Some(_), Some(_)) => return Err(Wrong::of("url", "the address is given twice", "keep one of them")),
        };
        // The address itself is not shown: it may be a secret.
        let wrong = || {
            Wrong::of(
                "url",
                "the address is no http:// or https:// URL",
                "write it as https://host:port/path",
            )
        };
        let (scheme, rest) = url.reveal().split_once("://").ok_or_else(wrong)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            let cure = "remove it, and name a file with the password or token";
            return Err(Wrong::of("url", "the address holds a user or password", cure));
        }
        let port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(wrong()),
        };
        let (host, port) = host_and_port(authority, port).ok_or_else(wrong)?;
        self.may_be_clear(scheme == "https", &host, "url", "use https://")?;
        let end = End {
            host,
            port,
            datagrams: false,
        };
        Ok((url, end))
    }

    /// Events in clear do not leave the machine unless that is said to be right.
    pub(super) fn may_be_clear(&self, encrypted: bool, host: &str, key: &str, cure: &str) -> Result<(), Wrong> {
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback());
        if encrypted || here || self.config.allow_plaintext == Some(true) {
            return Ok(());
        }
        let what = format!("events would go to {host} in clear");
        Err(Wrong::of(
            key,
            what,
            format!("{cure}, or set allow_plaintext = true if that is meant"),
        ))
    }

    /// What is trusted and shown.
    pub(super) fn trust(&self) -> Result<Trust, Wrong> {
        let config = self.config;
        let place = |path: &Option<PathBuf>| path.as_deref().map(self.context.beside);
        let (ca, certificate, key) = (place(&config.ca), place(&config.certificate), place(&config.key));
        let identity = match (&certificate, &key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((&**certificate, &**key)),
            (Some(_), None) => return Err(Wrong::of("certificate", "it has no key", "name its key by `key`")),
            (None, Some(_)) => return Err(Wrong::of("key", "it has no certificate", "name it by `certificate`")),
        };
        Trust::load(ca.as_deref(), identity).map_err(|error| {
            let key = match &error.file {
                file if Some(file) == ca.as_ref() => "ca",
                file if Some(file) == certificate.as_ref() => "certificate",
                file if Some(file) == key.as_ref() => "key",
                _ => "ca",
            };
            Wrong::file(key, &error)
        })
    }

    pub(super) fn client(&self, url: &str, headers: Vec<(String, Secret)>) -> Result<Client, Wrong> {
        let trust = url.starts_with("https").then(|| self.trust()).transpose()?;
        let gzip = self.config.gzip.unwrap_or(self.config.kind != Type::Webhook);
        Ok(Client::new(url, headers, trust.as_ref(), timeout(self.config), gzip))
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => usual,
    };
    let fits = |char: char| char.is_ascii_alphanumeric() || ".-_:".contains(char);
    let plain = !host.is_empty() && host.chars().all(fits) && (text.starts_with('[') || !host.contains(':'));
    plain.then(|| (host.to_owned(), port))
}

/// Scheme, host and port of a URL.
pub(super) fn without_path(url: &str) -> String {
    crate::sink::http::place(url)
}
