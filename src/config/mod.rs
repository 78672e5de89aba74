//! The configuration: one TOML file, every key with a default, so that no file is needed.
//!
//! [`Config`] only composes the sections; each lives next to the component that it configures. To add one, add a field
//! here and, for `shadowtap check --print`, a row per key to `COMMENTS`. What the values mean is checked where they
//! are used; `load.rs` finds, reads and parses files and names file, line and cure of every mistake.

pub mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::engine::{live, settings as engine};
use crate::inventory::admission::InventoryConfig;
use crate::sink::config as sink;
use crate::sink::outbox;
use crate::store::clickhouse;
use crate::store::sqlite::Retention;
use crate::stream::{reassembly, secrets};
use crate::{confine, flow, host, log, metrics, packet, policy, source, web};

/// What a configuration file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How loud the first weeks are.
    pub alerts: sink::Alerts,
    /// Whose addresses are.
    pub assets: Assets,
    /// How interfaces are captured.
    pub capture: source::live::Config,
    /// The ClickHouse server that records go to.
    pub clickhouse: clickhouse::Config,
    /// Checksums and the size of messages.
    pub engine: engine::Config,
    /// Bounds of the flow tables.
    pub flow: flow::Config,
    /// Sockets and processes of the own machine.
    pub host: host::Config,
    /// Bounds of what is known.
    pub inventory: InventoryConfig,
    /// Queues of live capture.
    pub live: live::Config,
    /// What a live sensor tells its operator.
    pub log: log::Config,
    /// Numbers and health over HTTP.
    pub metrics: metrics::Config,
    /// Ports of tunnels and bounds of fragments.
    pub packet: packet::Config,
    /// Home networks and approvals.
    pub policy: policy::Config,
    /// How values are kept apart without being kept.
    pub privacy: Privacy,
    /// Bounds of TCP reassembly.
    pub reassembly: reassembly::Config,
    /// What a live sensor gives up before it looks into packets.
    pub run: confine::Config,
    /// What this sensor is called.
    pub sensor: Sensor,
    /// The operator's own rules.
    pub signatures: Signatures,
    /// Who is told, and how.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<Spanned<sink::Config>>,
    /// What waits for sinks that are far away.
    pub spool: outbox::Config,
    /// The embedded store.
    pub store: Store,
    /// Key material of connections that the operator owns.
    pub tls: secrets::Config,
    /// The web page.
    pub web: web::Config,
}

/// The section `[sensor]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sensor {
    /// Its name, by which many sensors are told apart.
    pub name: Option<String>,
}

/// The section `[assets]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assets {
    /// List of addresses and networks: `address,owner,team,tag`; a relative path starts at the configuration's folder.
    pub path: Option<PathBuf>,
}

/// The section `[signatures]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signatures {
    /// Folders with rule files (`*.toml`), read in this order after the built-in ones; a relative path starts at the
    /// configuration's folder.
    pub dirs: Vec<PathBuf>,
}

/// The section `[store]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// File of the store.
    pub path: Option<PathBuf>,
    /// How often a live sensor writes what has changed, in milliseconds.
    pub interval_ms: u64,
    /// How long and how much is kept.
    pub retention: Retention,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: None,
            interval_ms: 5_000,
            retention: Retention::default(),
        }
    }
}

/// The section `[privacy]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Privacy {
    /// How client addresses stand in stores, reports and sinks.
    pub clients: ClientNames,
    /// File with the organisation's key for HMAC-SHA-256; a relative path starts at the configuration's folder.
    pub key: Option<PathBuf>,
}

/// How client addresses stand in what leaves the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientNames {
    /// As pseudonyms, by the organisation's key.
    Keyed,
    /// As they are.
    #[default]
    Plain,
}

/// Comments of the keys, in the order in which keys that are not set are shown.
const COMMENTS: &[(&str, &str, &str)] = &[
    (
        "host",
        "enabled",
        "Whether live capture also looks at sockets and processes of its own machine, as --host does.",
    ),
    (
        "alerts",
        "baseline_days",
        "Days from the first start in which sinks are told of new servers once a day, and at once of critical findings only.",
    ),
    ("log", "format", "Form of the lines on standard error: text or json."),
    (
        "log",
        "max_same_per_minute",
        "Lines of one kind in a minute; what comes on top is counted.",
    ),
    (
        "metrics",
        "listen",
        "Address and port for /metrics (Prometheus), /healthz and /readyz, as \"127.0.0.1:9470\". Without it: none.",
    ),
    (
        "clickhouse",
        "url",
        "Address of ClickHouse's HTTP interface, such as https://clickhouse.example.com:8443. Without it nothing is sent.",
    ),
    (
        "clickhouse",
        "user",
        "User; SHADOWTAP_CLICKHOUSE_USER in the environment wins.",
    ),
    (
        "clickhouse",
        "password_file",
        "File (mode 0600) with the password. Without it: SHADOWTAP_CLICKHOUSE_PASSWORD in the environment, else none.",
    ),
    (
        "clickhouse",
        "ca",
        "Certificates (PEM) that the server's must rest on. Without it: those of the system.",
    ),
    (
        "clickhouse",
        "certificate",
        "Certificate (PEM) that the sensor shows, if the server asks for one.",
    ),
    ("clickhouse", "key", "Key (PEM, mode 0600) of that certificate."),
    (
        "clickhouse",
        "cluster",
        "Name of the cluster, for replicated and distributed tables. Without it: a single node.",
    ),
    (
        "clickhouse",
        "migrate",
        "Whether a sensor makes the tables. Off where it may only insert: `shadowtap schema --print` shows the statements.",
    ),
    (
        "assets",
        "path",
        "CSV file with a line `address,owner,team,tag` for each address or network; reports show whose an address is. \
         Without it: assets.csv beside this file, if there is one.",
    ),
    (
        "packet",
        "vxlan_ports",
        "UDP destination ports whose datagrams are opened when they are the tunnel in every field; an empty list opens \
         none.",
    ),
    ("packet", "teredo_ports", "UDP ports of either side."),
    (
        "packet",
        "fragments_max_bytes",
        "IP fragments that wait for the rest of their datagrams; the oldest datagram is dropped, and counted.",
    ),
    (
        "policy",
        "path",
        "Policy file with home networks and approvals. Without it: policy.toml beside this file, if there is one.",
    ),
    (
        "privacy",
        "clients",
        "plain, or keyed: client addresses become stable pseudonyms (of 100::/64) in stores, reports and sinks; needs `key`.",
    ),
    (
        "privacy",
        "key",
        "File (mode 0600, 32 bytes or more) with the key by which the same secret is recognised in two places. \
         Without it: a random key for each run.",
    ),
    (
        "run",
        "user",
        "User that a live sensor becomes once its interfaces are open. Without it: it stays who started it.",
    ),
    (
        "run",
        "confine",
        "Whether a live sensor gives up all rights that it does not need before it looks into packets.",
    ),
    (
        "run",
        "reopen",
        "Whether CAP_NET_RAW is kept, so that an interface that went is captured again when it is back.",
    ),
    (
        "sensor",
        "name",
        "Name of this sensor on everything that it sends. Without it: the name of this machine.",
    ),
    (
        "spool",
        "dir",
        "Folder of what waits for sinks that are away; \"none\" keeps it in memory. Without it: spool beside the default \
         store.",
    ),
    (
        "tls",
        "keylog",
        "Key log files (NSS format, as SSLKEYLOGFILE makes them) of connections that you own, so that they can be read. \
         Secrets are kept in memory only.",
    ),
    (
        "web",
        "listen",
        "Address and port of the web page; where it is set, `live` shows it, too. Any but loopback needs tokens and TLS.",
    ),
    (
        "web",
        "hosts",
        "Names by which the page is called, beside addresses and localhost; others are refused.",
    ),
    (
        "web",
        "tokens",
        "File (mode 0600) with the hashes of tokens. Without it: web.tokens beside the store.",
    ),
    ("web", "certificate", "Certificate chain of the page (PEM)."),
    ("web", "key", "Private key of the certificate (PEM)."),
];

impl Config {
    /// Keys whose values differ, as `section.key`, ascending.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let tables = [self, other].map(|config| toml::Table::try_from(config).unwrap_or_default());
        let keys = |table: &toml::Table| -> BTreeMap<String, toml::Value> {
            let sections = table.iter().flat_map(|(section, value)| match value {
                toml::Value::Table(keys) => keys
                    .iter()
                    .map(|(key, value)| (format!("{section}.{key}"), value.clone()))
                    .collect(),
                value => vec![(section.clone(), value.clone())],
            });
            sections.collect()
        };
        let [one, two] = tables.each_ref().map(keys);
        let all: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
        all.into_iter()
            .filter(|key| one.get(*key) != two.get(*key))
            .cloned()
            .collect()
    }

    /// The effective configuration as a TOML file with comments. Keys that are not set stand in comments.
    pub fn render(&self) -> String {
        // Sections are plain structs with string keys; they always serialise (held by a test).
        let text = toml::to_string(self).unwrap_or_default();
        let set = toml::Table::try_from(self).unwrap_or_default();
        let is_set = |section: &str, key: &str| set.get(section).is_some_and(|table| table.get(key).is_some());
        let mut out = String::new();
        let mut section = "";
        for line in text.lines() {
            let header = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
            let key = line.split_once(" = ").map(|(key, _)| key);
            for (_, _, comment) in COMMENTS.iter().filter(|row| (row.0, Some(row.1)) == (section, key)) {
                out.extend(["# ", comment, "\n"]);
            }
            out.extend([line, "\n"]);
            if let Some(header) = header {
                section = header;
                for (_, key, comment) in COMMENTS
                    .iter()
                    .filter(|row| row.0 == section && !is_set(section, row.1))
                {
                    // Writing to a String cannot fail.
                    let _ = writeln!(out, "# {comment}\n# {key} is not set");
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_with_comments_what_parses_to_the_same() {
        let set = Config {
            assets: Assets {
                path: Some("assets.csv".into()),
            },
            policy: policy::Config {
                path: Some("p.toml".into()),
            },
            privacy: Privacy {
                clients: ClientNames::Keyed,
                key: Some("/etc/shadowtap/privacy.key".into()),
            },
            metrics: metrics::Config {
                listen: Some(([127, 0, 0, 1], 9470).into()),
            },
            run: confine::Config {
                user: Some("shadowtap".into()),
                ..confine::Config::default()
            },
            web: web::Config {
                listen: Some(([127, 0, 0, 1], 8470).into()),
                tokens: Some("web.tokens".into()),
                certificate: Some("web.pem".into()),
                key: Some("web.key".into()),
                ..web::Config::default()
            },
            ..Config::default()
        };
        for config in [Config::default(), set.clone()] {
            assert_eq!(toml::from_str::<Config>(&config.render()).unwrap(), config);
        }
        let text = set.render();
        let at = text.find("path = \"p.toml\"\n").unwrap();
        assert!(text[..at].ends_with("if there is one.\n"), "{text}");
        let unset = |config: &Config| config.render().matches("is not set").count();
        assert!(unset(&set) < unset(&Config::default()));
    }

    #[test]
    fn changed_keys_are_named() {
        let other = Config {
            policy: policy::Config {
                path: Some("p.toml".into()),
            },
            store: Store {
                interval_ms: 1,
                ..Store::default()
            },
            ..Config::default()
        };
        assert_eq!(Config::default().changed(&other), ["policy.path", "store.interval_ms"]);
        assert!(other.changed(&other).is_empty());
    }

    #[test]
    fn shows_keys_that_are_not_set() {
        let text = Config::default().render();
        assert!(text.contains("[policy]\n# Policy file"), "{text}");
        assert!(text.contains("\n# path is not set\n"), "{text}");
        assert!(text.contains("\n# key is not set\n"), "{text}");
    }

    /// A comment of a key that is no longer there would mislead.
    #[test]
    fn every_comment_belongs_to_a_key() {
        for (section, key, _) in COMMENTS {
            let error = toml::from_str::<Config>(&format!("[{section}]\n{key} = {{}}")).unwrap_err();
            assert!(
                !error.message().starts_with("unknown field"),
                "{section}.{key}: {error}"
            );
        }
    }
}
