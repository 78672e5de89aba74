//! What `[[sinks]]` means: every section checked and built, or told with line and cure.
//!
//! Certificates, keys and tokens are read here, once, before a sensor gives its rights up. Nothing is connected yet.

mod checks;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use rustls::pki_types::ServerName;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use crate::model::defect::Defect;
use crate::model::finding::{Kind, Severity};
use crate::model::stamp::Timestamp;
use crate::sink::config::{Config, Protocol, Type};
use crate::sink::elastic::Elastic;
use crate::sink::file::{Lines, Rotation, Standard};
use crate::sink::http::Progress;
use crate::sink::remote::{Deliver, Remote};
use crate::sink::secret::Secret;
use crate::sink::settings::checks::{Section, Wrong};
use crate::sink::siem::format::Format;
use crate::sink::siem::format::syslog::Head;
use crate::sink::siem::gate::{Filter, Gate};
use crate::sink::siem::notice::{Sensor, What, hex};
use crate::sink::siem::template::Template;
use crate::sink::siem::{Forward, Shape};
use crate::sink::splunk::Splunk;
use crate::sink::syslog::{Carrier, Framing, Syslog};
use crate::sink::webhook::Webhook;

/// Bytes of a syslog message: what receivers must take over UDP is far less, and most take this (RFC 5424, section 6.1).
const DATAGRAM_MAX_BYTES: usize = 2_048;
/// Bytes of a syslog message over TCP and TLS.
const MESSAGE_MAX_BYTES: usize = 8_192;
/// Bytes of an event elsewhere.
const EVENT_MAX_BYTES: usize = 65_536;
const TIMEOUT_MS: u64 = 10_000;
const ROTATE_BYTES: u64 = 100 << 20;
const ROTATE_KEEP: u32 = 7;
/// Facility "log audit".
const FACILITY: u8 = 13;
/// The number that stands for examples (RFC 5612).
const ENTERPRISE: u32 = 32_473;

/// A sink that can be started.
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Sensors that it is for; empty for all.
    pub sensors: Vec<String>,
    /// Whether replays are told.
    pub replay: bool,
    /// Where it connects to.
    pub end: Option<End>,
    /// The folder that it writes in.
    pub folder: Option<PathBuf>,
    /// Whether it writes on standard output.
    pub stdout: bool,
    sensor: Sensor,
    filter: Filter,
    shape: Shape,
    deliver: Box<dyn Deliver>,
}

/// For people: its name, and where it goes.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        match (&self.end, &self.folder) {
            (Some(end), _) => write!(f, ", to {} port {}", end.host, end.port)?,
            (None, Some(folder)) => write!(f, ", into {}", folder.display())?,
            (None, None) => write!(f, ", on standard output")?,
        }
        let ours = if self.is_ours() { "" } else { ", for other sensors" };
        let replay = if self.replay { ", of replays, too" } else { "" };
        write!(f, "{ours}{replay}")
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting({self})")
    }
}

/// Where a sink connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Over UDP, and not TCP.
    pub datagrams: bool,
}

impl End {
    /// Its address, where it is written as one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl Setting {
    /// Whether this sink hears of this sensor.
    pub fn is_ours(&self) -> bool {
        self.sensors.is_empty() || self.sensors.iter().any(|name| **name == *self.sensor.name)
    }

    /// The sink; until `baseline` it is told of what is new once a day. `clock` is that of a live sensor,
    /// and `folder` where it keeps what was told.
    pub fn remote(
        self,
        baseline: Option<Timestamp>,
        clock: Option<fn() -> Timestamp>,
        folder: Option<&Path>,
    ) -> Remote {
        let kept = folder.map(|folder| folder.join(format!("{}.told", self.name)));
        let gate = Gate::new(self.filter, self.sensor.name.clone());
        let gate = gate.with_baseline(baseline).with_clock(clock);
        Remote {
            name: self.name.into(),
            seal: Box::new(Forward::new(gate, self.sensor, self.shape, kept)),
            deliver: self.deliver,
        }
    }
}

/// Where sections stand, and who reads them.
pub struct Context<'t> {
    /// The configuration file.
    pub file: &'t Path,
    /// Its text.
    pub text: &'t str,
    /// A path as it is meant there.
    pub beside: &'t dyn Fn(&Path) -> PathBuf,
    /// Who tells.
    pub sensor: &'t Sensor,
}

/// Checks and builds every sink.
///
/// # Errors
/// Every mistake.
pub fn resolve(written: &[Spanned<Config>], context: &Context<'_>) -> Result<Vec<Setting>, Vec<Defect>> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut defects = Vec::new();
    for spanned in written {
        let section = Section::new(spanned, context);
        match section.check_keys().and_then(|()| build(&section)) {
            Ok(setting) if settings.iter().any(|other| other.name == setting.name) => {
                let what = format!("two sinks are named `{}`", setting.name);
                defects.push(section.defect(Wrong::of("name", what, "give each a `name` of its own")));
            }
            Ok(setting) => settings.push(setting),
            Err(wrong) => defects.push(section.defect(wrong)),
        }
    }
    if defects.is_empty() { Ok(settings) } else { Err(defects) }
}

fn build(section: &Section<'_>) -> Result<Setting, Wrong> {
    let config = section.config;
    let name = config.name.clone().unwrap_or_else(|| config.kind.word().to_owned());
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let what = format!("`{name}` is no name for a sink");
        return Err(Wrong::of("name", what, "use up to 64 letters, digits, `-` and `_`"));
    }
    let filter = filter(config)?;
    let made = match config.kind {
        Type::Elasticsearch => elasticsearch(section)?,
        Type::File => file(section)?,
        Type::Splunk => splunk(section)?,
        Type::Stdout => Made::near(Shape::Plain(format(config, Format::Json), EVENT_MAX_BYTES), Standard),
        Type::Syslog => syslog(section)?,
        Type::Webhook => webhook(section)?,
    };
    Ok(Setting {
        name,
        sensors: config.sensors.clone().unwrap_or_default(),
        replay: config.replay.unwrap_or(false),
        end: made.end,
        folder: made.folder,
        stdout: config.kind == Type::Stdout,
        sensor: section.context.sensor.clone(),
        filter,
        shape: made.shape,
        deliver: made.deliver,
    })
}

/// What is particular to a type.
struct Made {
    shape: Shape,
    deliver: Box<dyn Deliver>,
    end: Option<End>,
    folder: Option<PathBuf>,
}

impl Made {
    fn near(shape: Shape, deliver: impl Deliver + 'static) -> Self {
        Self {
            shape,
            deliver: Box::new(deliver),
            end: None,
            folder: None,
        }
    }

    fn far(shape: Shape, deliver: impl Deliver + 'static, end: End) -> Self {
        Self {
            end: Some(end),
            ..Self::near(shape, deliver)
        }
    }
}

fn filter(config: &Config) -> Result<Filter, Wrong> {
    let usual = [
        What::Digest,
        What::Finding,
        What::SensorHealth,
        What::Server,
        What::ToolChange,
    ];
    let events = config.events.clone().unwrap_or_else(|| usual.to_vec());
    if events.is_empty() {
        return Err(Wrong::of(
            "events",
            "no event would go",
            "name some, or leave the key out",
        ));
    }
    let kinds = config.kinds.iter().flatten().map(|word| {
        Kind::parse(word).ok_or_else(|| {
            let what = format!("`{word}` is no kind of finding");
            Wrong::of("kinds", what, "`shadowtap schema --events` lists them")
        })
    });
    let severity = config.severity.as_deref().unwrap_or("info");
    Ok(Filter {
        events,
        kinds: kinds.collect::<Result<_, _>>()?,
        severity: Severity::parse(severity).ok_or_else(|| {
            let what = format!("`{severity}` is no severity");
            Wrong::of("severity", what, "write info, low, medium, high or critical")
        })?,
    })
}

fn format(config: &Config, usual: Format) -> Format {
    config.format.unwrap_or(usual)
}

fn timeout(config: &Config) -> Duration {
    Duration::from_millis(config.timeout_ms.unwrap_or(TIMEOUT_MS).max(100))
}

fn file(section: &Section<'_>) -> Result<Made, Wrong> {
    let config = section.config;
    let path = config.path.as_deref().map(section.context.beside);
    let path = path.ok_or_else(|| Wrong::missing("path", "name the file, such as /var/log/shadowtap/events.ndjson"))?;
    let folder = path
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or_else(|| Path::new("."));
    let rotation = Rotation {
        max_bytes: config.rotate_bytes.unwrap_or(ROTATE_BYTES),
        max_age: config
            .rotate_hours
            .map(|hours| Duration::from_secs(u64::from(hours) * 3_600)),
        keep: config.rotate_keep.unwrap_or(ROTATE_KEEP),
    };
    let shape = match format(config, Format::Json) {
        Format::Rfc5424 => Shape::Syslog(head(config)?, Format::Rfc5424, EVENT_MAX_BYTES),
        format => Shape::Plain(format, EVENT_MAX_BYTES),
    };
    Ok(Made {
        folder: Some(folder.to_owned()),
        ..Made::near(shape, Lines::new(path, rotation))
    })
}

fn head(config: &Config) -> Result<Head, Wrong> {
    let facility = config.facility.unwrap_or(FACILITY);
    if facility > 23 {
        let what = format!("{facility} is no facility");
        return Err(Wrong::of(
            "facility",
            what,
            "write a number from 0 to 23, such as 13 (log audit) or 16 (local0)",
        ));
    }
    Ok(Head {
        facility,
        enterprise: config.enterprise.unwrap_or(ENTERPRISE),
    })
}

fn syslog(section: &Section<'_>) -> Result<Made, Wrong> {
    let config = section.config;
    let protocol = config.protocol.unwrap_or(Protocol::Tcp);
    let port = if protocol == Protocol::Tls { 6_514 } else { 514 };
    let address = config.address.as_deref();
    let address =
        address.ok_or_else(|| Wrong::missing("address", "name the receiver, such as siem.example.com:6514"))?;
    let (host, port) = checks::host_and_port(address, port).ok_or_else(|| {
        Wrong::of(
            "address",
            format!("`{address}` is no host and port"),
            "write it as host:6514 or [::1]:6514",
        )
    })?;
    let carrier = match protocol {
        Protocol::Udp => Carrier::Udp,
        Protocol::Tcp => Carrier::Tcp(config.framing.unwrap_or(Framing::OctetCounting)),
        Protocol::Tls => {
            let name = config.server_name.clone().unwrap_or_else(|| host.clone());
            let name = ServerName::try_from(name.clone()).map_err(|_| {
                let what = format!("`{name}` is no name that a certificate can have");
                Wrong::of("server_name", what, "write the receiver's DNS name or address")
            })?;
            let trust = section.trust()?;
            let config = trust.client().map_err(|error| Wrong::file("key", &error))?;
            Carrier::Tls { config, name }
        }
    };
    let encrypted = protocol == Protocol::Tls;
    section.may_be_clear(encrypted, &host, "address", "set protocol = \"tls\"")?;
    let most = if protocol == Protocol::Udp {
        DATAGRAM_MAX_BYTES
    } else {
        MESSAGE_MAX_BYTES
    };
    let shape = Shape::Syslog(
        head(config)?,
        format(config, Format::Rfc5424),
        config.message_max_bytes.unwrap_or(most).clamp(480, EVENT_MAX_BYTES),
    );
    let confirm = config.confirm.unwrap_or(true);
    let sink = Syslog::new(host.clone(), port, carrier, timeout(config), confirm);
    let datagrams = protocol == Protocol::Udp;
    Ok(Made::far(shape, sink, End { host, port, datagrams }))
}

fn splunk(section: &Section<'_>) -> Result<Made, Wrong> {
    let config = section.config;
    let (url, end) = section.url()?;
    let base = checks::without_path(url.reveal());
    let token = section.secret("token", (&config.token_file, &config.token_env))?;
    let token =
        token.ok_or_else(|| Wrong::missing("token_file", "name a file of mode 0600 with the collector's token"))?;
    let headers = vec![(
        "Authorization".to_owned(),
        Secret::new(format!("Splunk {}", token.reveal())),
    )];
    let format = format(config, Format::Json);
    let channel = config.acknowledge.unwrap_or(false).then(|| channel(&token));
    let sink = Splunk {
        client: section.client(&base, headers)?,
        base,
        host: section.context.sensor.name.to_string(),
        index: config.index.clone(),
        is_json: format.is_json(),
        channel,
        patience: timeout(config) * 6,
        progress: Progress::default(),
    };
    Ok(Made::far(Shape::Plain(format, EVENT_MAX_BYTES), sink, end))
}

/// A channel that is the same after a new start: a UUID of version 8 (RFC 9562) that a token cannot be read from.
fn channel(token: &Secret) -> String {
    let mut bytes: Vec<u8> = Sha256::digest(format!("shadowtap channel {}", token.reveal())).to_vec();
    bytes.truncate(16);
    for (at, (keep, set)) in [(6, (0x0f, 0x80)), (8, (0x3f, 0x80))] {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = (*byte & keep) | set;
        }
    }
    let text = hex(&bytes);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

fn elasticsearch(section: &Section<'_>) -> Result<Made, Wrong> {
    let config = section.config;
    let (url, end) = section.url()?;
    let base = checks::without_path(url.reveal());
    let key = section.secret("token", (&config.token_file, &config.token_env))?;
    let password = section.secret("password", (&config.password_file, &config.password_env))?;
    let authorization = match (key, &config.user, password) {
        (Some(key), None, None) => Some(format!("ApiKey {}", key.reveal())),
        (None, Some(user), Some(password)) => {
            let pair = format!("{user}:{}", password.reveal());
            Some(format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            ))
        }
        (None, None, None) => None,
        _ => {
            let cure = "give `user` and `password_file`, or `token_file` with an API key";
            return Err(Wrong::of("user", "who it is, is told in two ways or by half", cure));
        }
    };
    let format = format(config, Format::Ecs);
    if !format.is_json() {
        return Err(Wrong::of(
            "format",
            "Elasticsearch takes JSON alone",
            "write ecs, ocsf or json",
        ));
    }
    let headers = authorization.map(|value| ("Authorization".to_owned(), Secret::new(value)));
    let sink = Elastic {
        client: section.client(&base, headers.into_iter().collect())?,
        base,
        index: config
            .index
            .clone()
            .unwrap_or_else(|| "logs-shadowtap.{event}-default".to_owned()),
        progress: Progress::default(),
    };
    Ok(Made::far(Shape::Plain(format, EVENT_MAX_BYTES), sink, end))
}

fn webhook(section: &Section<'_>) -> Result<Made, Wrong> {
    let config = section.config;
    let (url, end) = section.url()?;
    let token = section.secret("token", (&config.token_file, &config.token_env))?;
    let headers = token.map(|token| {
        (
            "Authorization".to_owned(),
            Secret::new(format!("Bearer {}", token.reveal())),
        )
    });
    let template = config
        .template
        .as_deref()
        .map(|name| template(section, name))
        .transpose()?;
    let format = format(config, Format::Json);
    if !format.is_json() {
        return Err(Wrong::of(
            "format",
            "a webhook takes JSON alone",
            "write json, ecs or ocsf",
        ));
    }
    let single = template.is_some();
    let sink = Webhook {
        client: section.client(url.reveal(), headers.into_iter().collect())?,
        url,
        key: section.secret("signing_key", (&config.signing_key_file, &config.signing_key_env))?,
        single,
        progress: Progress::default(),
    };
    let shape = template.map_or(Shape::Plain(format, EVENT_MAX_BYTES), Shape::Template);
    Ok(Made::far(shape, sink, end))
}

/// A chat tool by its name, or a file.
fn template(section: &Section<'_>, name: &str) -> Result<Template, Wrong> {
    if let Some(template) = Template::named(name) {
        return Ok(template);
    }
    let cure = "name slack, mattermost, teams or discord, or a JSON file with places such as {title}";
    let file = (section.context.beside)(Path::new(name));
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Wrong::of("template", format!("{}: cannot be read: {error}", file.display()), cure))?;
    Template::parse(&text).map_err(|why| Wrong::of("template", format!("{}: {why}", file.display()), cure))
}

/// Keys that are set in a section, as TOML has them.
fn set_keys(config: &Config) -> Vec<String> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
