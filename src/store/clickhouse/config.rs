//! The section `[clickhouse]`: as it is written, and as it is checked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::sink::secret::Secret;
use crate::store::clickhouse::table::{Layout, Retention};

/// Variable of the environment with the password.
pub const PASSWORD_VARIABLE: &str = "SHADOWTAP_CLICKHOUSE_PASSWORD";
/// Variable of the environment with the user, which wins over the configuration.
pub const USER_VARIABLE: &str = "SHADOWTAP_CLICKHOUSE_USER";

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of its HTTP interface; without one nothing is sent.
    pub url: Option<String>,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// File with the password (mode 0600); a relative path starts at the configuration's folder.
    pub password_file: Option<PathBuf>,
    /// Certificates that are trusted (PEM); without it those of the system.
    pub ca: Option<PathBuf>,
    /// Certificate that is shown (PEM).
    pub certificate: Option<PathBuf>,
    /// Key of that certificate (PEM, mode 0600).
    pub key: Option<PathBuf>,
    /// Whether records may leave this machine in clear.
    pub allow_plaintext: bool,
    /// Name of the cluster; without one it is a single node.
    pub cluster: Option<String>,
    /// Whether a sensor makes and changes the tables. Off where it may only insert: `shadowtap schema` prints them.
    pub migrate: bool,
    /// How long the server may take for one batch or question, in milliseconds.
    pub timeout_ms: u64,
    /// How long rows are kept there.
    pub retention: Retention,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            database: "shadowtap".to_owned(),
            user: "default".to_owned(),
            password_file: None,
            ca: None,
            certificate: None,
            key: None,
            allow_plaintext: false,
            cluster: None,
            migrate: true,
            timeout_ms: 30_000,
            retention: Retention::default(),
        }
    }
}

/// A value of the section that cannot be right: key, what is wrong, cure.
pub type Wrong = (&'static str, String, String);

/// A server, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it is: nothing in it is secret.
    pub address: Address,
    /// What is trusted and shown, where it is HTTPS.
    pub tls: Option<Arc<ClientConfig>>,
    /// User.
    pub user: String,
    /// Password, where there is one.
    pub password: Option<Secret>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
    /// Where the tables are.
    pub layout: Layout,
    /// Whether tables are made and changed.
    pub migrate: bool,
}

impl Config {
    /// Sees that names can stand in statements.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check_names(&self) -> Result<(), Wrong> {
        let names = [("database", Some(&self.database)), ("cluster", self.cluster.as_ref())];
        for (key, name) in names {
            let wrong = name.filter(|name| !is_name(name));
            if let Some(name) = wrong {
                let cure = "write letters, digits, `_` and `-` alone";
                return Err((key, format!("`{name}` is no name"), cure.to_owned()));
            }
        }
        Ok(())
    }

    /// The address, taken apart: `None` without one.
    ///
    /// # Errors
    /// What is wrong with the section.
    pub fn address(&self) -> Result<Option<Address>, Wrong> {
        self.check_names()?;
        let Some(url) = &self.url else { return Ok(None) };
        let address = Address::parse(url).map_err(|(what, cure)| ("url", what, cure))?;
        if !address.encrypted && !address.is_here() && !self.allow_plaintext {
            let what = format!("records would go to {} in clear", address.host);
            let cure = "write https://, or set allow_plaintext = true if that is meant";
            return Err(("url", what, cure.to_owned()));
        }
        Ok(Some(address))
    }

    /// Where the tables are.
    pub fn layout(&self) -> Layout {
        Layout {
            database: self.database.clone(),
            cluster: self.cluster.clone(),
            retention: self.retention.clone(),
        }
    }
}

/// Names go into statements, and need no quotes.
fn is_name(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
    !name.is_empty() && name.chars().all(plain)
}

/// An address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host and port.
    pub url: String,
    /// The host alone, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether it is HTTPS.
    pub encrypted: bool,
}

impl Address {
    /// Reads `http(s)://HOST[:PORT]`.
    ///
    /// # Errors
    /// What is wrong, and the cure.
    pub fn parse(url: &str) -> Result<Self, (String, String)> {
        let cure = || "write it as https://HOST:8443, or http://HOST:8123".to_owned();
        let (encrypted, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err((format!("`{}` is no address of ClickHouse", masked(url)), cure())),
        };
        if rest.contains('@') {
            let cure = format!("set clickhouse.user, and clickhouse.password_file or {PASSWORD_VARIABLE}");
            return Err(("the address has a user or password in it".to_owned(), cure));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)),
            None => (rest, Some(if encrypted { 8443 } else { 8123 })),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let proper = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
        let is_host = match host.starts_with('[') {
            true => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            false => !host.is_empty() && host.chars().all(proper),
        };
        let Some(port) = port.filter(|_| is_host) else {
            return Err((format!("`{url}` is no address of ClickHouse"), cure()));
        };
        Ok(Self {
            url: format!("http{}://{host}:{port}", if encrypted { "s" } else { "" }),
            host: bare.to_owned(),
            port,
            encrypted,
        })
    }

    /// Whether it never leaves this machine.
    fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback())
    }
}

/// An address without what may be a password.
fn masked(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (url, expect) in [
            (
                "http://127.0.0.1:8123",
                Some(("http://127.0.0.1:8123", "127.0.0.1", 8123)),
            ),
            (
                "https://ch.example.test",
                Some(("https://ch.example.test:8443", "ch.example.test", 8443)),
            ),
            ("http://localhost/", Some(("http://localhost:8123", "localhost", 8123))),
            ("https://[fd88::4]:9", Some(("https://[fd88::4]:9", "fd88::4", 9))),
            ("https://[fd88::4]", Some(("https://[fd88::4]:8443", "fd88::4", 8443))),
            ("ch.example.test:8123", None),
            ("http://", None),
            ("http://a:0", None),
            ("http://a:x", None),
            ("http://a/db?x=1", None),
            ("http://[x]:1", None),
            ("ftp://a", None),
        ] {
            let read = Address::parse(url).ok();
            let read = read.as_ref().map(|read| (&*read.url, &*read.host, read.port));
            assert_eq!(read, expect, "{url}");
        }
    }

    #[test]
    fn what_would_harm_is_refused() {
        let told = |config: Config| config.address().unwrap_err();
        let with = |url: &str| Config {
            url: Some(url.to_owned()),
            ..Config::default()
        };
        let (key, what, _) = told(with("http://10.0.0.5:8123"));
        assert_eq!((key, &*what), ("url", "records would go to 10.0.0.5 in clear"));
        for url in ["http://u:secret@h:1", "u:secret@h:1"] {
            let (_, what, cure) = told(with(url));
            assert!(!format!("{what}{cure}").contains("secret"), "{what}; {cure}");
        }
        let cluster = Config {
            cluster: Some("a' b".to_owned()),
            ..Config::default()
        };
        assert_eq!(told(cluster).0, "cluster");
        let meant = Config {
            allow_plaintext: true,
            ..with("http://10.0.0.5:8123")
        };
        assert!(meant.address().is_ok() && Config::default().address() == Ok(None));
    }
}
