//! Finds, reads and parses the files of an operator: configuration, policy, privacy key.
//!
//! This is the only place that opens them. Every mistake is a [`Defect`] with file, line where there is one, and cure.
//! Values are not checked here beyond their type; that is their component's business.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{ClientNames, Config};
use crate::model::asset::Assets;
use crate::model::defect::Defect;
use crate::policy::pins::Pins;
use crate::policy::{Policy, assets};
use crate::sink::secret::Secret;
use crate::sink::secret::open_to_others;
use crate::sink::settings::{Context, Setting, resolve};
use crate::sink::siem::notice::Sensor;
use crate::sink::tls::Trust;
use crate::store::clickhouse;

/// Where the configuration is looked for without `--config`, in this order.
const DEFAULT_FILES: [&str; 2] = ["shadowtap.toml", "/etc/shadowtap/shadowtap.toml"];
/// Name of the policy beside the configuration.
const ASSETS_FILE: &str = "assets.csv";
const POLICY_FILE: &str = "policy.toml";
/// Name of the lock file beside the policy.
const PINS_FILE: &str = "shadowtap.lock";
/// Shortest privacy key, in bytes: the output length of SHA-256 (RFC 2104, section 3).
const KEY_MIN_BYTES: usize = 32;

/// A configuration and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// What the file says, or the defaults.
    pub config: Config,
    /// The file; `None` when there is none.
    pub file: Option<PathBuf>,
}

/// Policy and pins, and where they came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rulebook {
    /// The policy with its pins.
    pub policy: Policy,
    /// The policy file; `None` when there is none.
    pub policy_file: Option<PathBuf>,
    /// Where the lock file is, or would be.
    pub pins_file: PathBuf,
}

impl Loaded {
    /// Loads policy and pins. `new_pins`: a lock file that is named need not be there yet.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn rulebook(
        &self,
        policy: Option<&Path>,
        pins: Option<&Path>,
        new_pins: bool,
    ) -> Result<Rulebook, Vec<Defect>> {
        let policy_file = self.policy_file(policy);
        let policy = match &policy_file {
            Some(file) => Policy::parse(file, &read(file).map_err(|defect| vec![defect])?)?,
            None => Policy::default(),
        };
        let beside_policy = |name: &Path| match policy_file.as_ref().and_then(|file| file.parent()) {
            Some(folder) => folder.join(name),
            None => self.beside(name),
        };
        let named = pins
            .map(Path::to_owned)
            .or_else(|| policy.pins_file().map(&beside_policy));
        let must_be_there = named.is_some() && !new_pins;
        let pins_file = named.unwrap_or_else(|| beside_policy(Path::new(PINS_FILE)));
        let pins = if must_be_there || pins_file.exists() {
            Pins::parse(&pins_file, &read(&pins_file).map_err(|defect| vec![defect])?)?
        } else {
            Pins::default()
        };
        Ok(Rulebook {
            policy: policy.with_pins(pins),
            policy_file,
            pins_file,
        })
    }

    /// The policy file that a command writes to: the given one, the configured one, or `policy.toml` beside the
    /// configuration, also where it is not there yet. `None` without any of them.
    pub fn policy_to_write(&self, given: Option<&Path>) -> Option<PathBuf> {
        let beside = || self.file.as_ref().map(|_| self.beside(Path::new(POLICY_FILE)));
        self.policy_file(given).or_else(beside)
    }

    /// Loads the given file, else the first default file that is there, else the defaults.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong, with the cure.
    pub fn load(given: Option<&Path>) -> Result<Self, Defect> {
        Self::load_among(given, &DEFAULT_FILES.map(Path::new))
    }

    fn load_among(given: Option<&Path>, defaults: &[&Path]) -> Result<Self, Defect> {
        let Some(file) = given.or_else(|| defaults.iter().copied().find(|file| file.exists())) else {
            return Ok(Self::default());
        };
        let text = read(file)?;
        let config: Config = toml::from_str(&text).map_err(|error| {
            Defect::from_toml(file, &text, &error, "`shadowtap check --print` shows the right form")
        })?;
        if config.privacy.clients == ClientNames::Keyed && config.privacy.key.is_none() {
            let line = text.lines().position(|line| line.trim_start().starts_with("clients"));
            return Err(Defect {
                file: file.to_owned(),
                line: line.map(|line| line + 1),
                what: "pseudonyms of clients need a key".to_owned(),
                cure: "name one below it: key = \"privacy.key\", made with `openssl rand -hex 32 > privacy.key`"
                    .to_owned(),
            });
        }
        Ok(Self {
            config,
            file: Some(file.to_owned()),
        })
    }

    /// The policy file: the given one, else the configured one, else `policy.toml` beside the configuration.
    pub fn policy_file(&self, given: Option<&Path>) -> Option<PathBuf> {
        if let Some(given) = given {
            return Some(given.to_owned());
        }
        if let Some(configured) = &self.config.policy.path {
            return Some(self.beside(configured));
        }
        self.file
            .as_ref()
            .map(|_| self.beside(Path::new(POLICY_FILE)))
            .filter(|file| file.exists())
    }

    /// Whose addresses are: the configured list, else `assets.csv` beside the configuration, else nothing.
    ///
    /// # Errors
    /// When the list cannot be read, or is wrong.
    pub fn assets(&self) -> Result<Assets, Defect> {
        let configured = self.config.assets.path.as_ref().map(|path| self.beside(path));
        let beside = || self.file.as_ref().map(|_| self.beside(Path::new(ASSETS_FILE)));
        let file = configured.or_else(|| beside().filter(|file| file.exists()));
        file.map_or_else(|| Ok(Assets::default()), |file| assets::parse(&file, &read(&file)?))
    }

    /// The organisation's key for keyed hashes; `None` when none is configured.
    ///
    /// # Errors
    /// When the file cannot be read, may be read by others, or is too short.
    pub fn privacy_key(&self) -> Result<Option<Vec<u8>>, Defect> {
        self.privacy_key_file().map(|key| read_key(&key)).transpose()
    }

    /// Where the organisation's key is, if one is configured.
    pub fn privacy_key_file(&self) -> Option<PathBuf> {
        self.config.privacy.key.as_ref().map(|key| self.beside(key))
    }

    /// Folders of the operator's own rules.
    pub fn signature_dirs(&self) -> Vec<PathBuf> {
        self.config.signatures.dirs.iter().map(|dir| self.beside(dir)).collect()
    }

    /// Key log files: the given ones, else the configured ones.
    pub fn keylogs(&self, given: &[PathBuf]) -> Vec<PathBuf> {
        if given.is_empty() {
            self.config.tls.keylog.iter().map(|path| self.beside(path)).collect()
        } else {
            given.to_owned()
        }
    }

    /// The store as configured, if it is.
    pub fn store_file(&self) -> Option<PathBuf> {
        self.config.store.path.as_ref().map(|path| self.beside(path))
    }

    /// The ClickHouse server as configured, with its password; `None` when there is none.
    ///
    /// # Errors
    /// What is wrong with the section, or the file with the password.
    pub fn clickhouse(&self) -> Result<Option<clickhouse::Server>, Defect> {
        let config = &self.config.clickhouse;
        let address = config.address().map_err(|wrong| self.defect_in("clickhouse", wrong))?;
        address.map(|address| self.clickhouse_at(address)).transpose()
    }

    /// A ClickHouse server at another address, as the section says for the rest.
    ///
    /// # Errors
    /// What is wrong with a file that is named there.
    pub fn clickhouse_at(&self, address: clickhouse::Address) -> Result<clickhouse::Server, Defect> {
        let config = &self.config.clickhouse;
        let password = match &config.password_file {
            Some(file) => {
                let file = self.beside(file);
                Some(Secret::from_file(&file).map_err(|(what, cure)| defect(&file, what, cure))?)
            }
            None => Secret::from_environment(clickhouse::PASSWORD_VARIABLE).ok(),
        };
        let tls = address.encrypted.then(|| self.clickhouse_trust()).transpose()?;
        let user = std::env::var(clickhouse::USER_VARIABLE)
            .ok()
            .filter(|user| !user.is_empty());
        Ok(clickhouse::Server {
            address,
            tls,
            user: user.unwrap_or_else(|| config.user.clone()),
            password,
            timeout_ms: config.timeout_ms,
            layout: config.layout(),
            migrate: config.migrate,
        })
    }

    fn clickhouse_trust(&self) -> Result<Arc<rustls::ClientConfig>, Defect> {
        let config = &self.config.clickhouse;
        let place = |path: &Option<PathBuf>| path.as_ref().map(|path| self.beside(path));
        let (ca, certificate, key) = (place(&config.ca), place(&config.certificate), place(&config.key));
        let identity = match (&certificate, &key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((&**certificate, &**key)),
            _ => {
                let what = "a certificate needs its key, and a key its certificate".to_owned();
                return Err(self.defect_in("clickhouse", ("certificate", what, "name both, or neither".to_owned())));
            }
        };
        let trust = Trust::load(ca.as_deref(), identity).and_then(|trust| trust.client());
        trust.map_err(|error| defect(&error.file, error.what, error.cure))
    }

    /// A mistake in a value, with the line of its key.
    fn defect_in(&self, section: &str, (key, what, cure): clickhouse::Wrong) -> Defect {
        let file = self.file.clone().unwrap_or_else(|| PathBuf::from("configuration"));
        let text = fs::read_to_string(&file).unwrap_or_default();
        Defect {
            line: line_of(&text, section, key),
            ..defect(&file, what, cure)
        }
    }

    /// The folder of outboxes as configured, if it is.
    pub fn spool_dir(&self) -> Option<PathBuf> {
        self.config.spool.dir.as_ref().map(|path| self.beside(path))
    }

    /// Every configured sink that is far away, checked and built; `host` is the sensor's name where none is configured.
    ///
    /// # Errors
    /// Every mistake.
    pub fn sinks(&self, host: &str) -> Result<Vec<Setting>, Vec<Defect>> {
        let Some(file) = &self.file else {
            return Ok(Vec::new());
        };
        // Once more, for the lines of what is wrong.
        let text = read(file).map_err(|defect| vec![defect])?;
        let context = Context {
            file,
            text: &text,
            beside: &|path| self.beside(path),
            sensor: &Sensor {
                name: self.config.sensor.name.as_deref().unwrap_or(host).into(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
        };
        resolve(&self.config.sinks, &context)
    }

    /// A path as the configuration means it: relative to the folder that the configuration is in.
    pub(crate) fn beside(&self, path: &Path) -> PathBuf {
        let folder = self.file.as_ref().and_then(|file| file.parent());
        folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

impl Policy {
    /// Reads a policy file. Stands here because `policy` opens no files.
    ///
    /// # Errors
    /// The first mistake; [`Policy::parse`] gives all.
    pub fn load(file: &Path) -> Result<Self, Defect> {
        let parsed = Self::parse(file, &read(file)?);
        parsed.map_err(|defects| {
            defects
                .into_iter()
                .next()
                .unwrap_or_else(|| defect(file, "is wrong", "run `shadowtap check`"))
        })
    }
}

/// Reads a text file of the operator's.
///
/// # Errors
/// When it is not there, may not be read, or is no text.
pub fn read(file: &Path) -> Result<String, Defect> {
    fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

/// Line of a key within its section, from 1.
fn line_of(text: &str, section: &str, key: &str) -> Option<usize> {
    let header = format!("[{section}]");
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.trim() != header);
    let at = lines.find(|(_, line)| line.split('=').next().is_some_and(|name| name.trim() == key));
    at.map(|(nth, _)| nth + 1)
}

fn read_key(file: &Path) -> Result<Vec<u8>, Defect> {
    let key = fs::read(file).map_err(|error| unreadable(file, &error))?;
    if let Some(mode) = open_to_others(file) {
        let what = format!("a key that others may read (mode {mode:04o})");
        return Err(defect(file, what, format!("run `chmod 600 {}`", file.display())));
    }
    let key = key.trim_ascii();
    if key.len() < KEY_MIN_BYTES {
        let what = format!("a key of {} bytes, and {KEY_MIN_BYTES} is the least", key.len());
        return Err(defect(
            file,
            what,
            format!("make one with `openssl rand -hex 32 > {}`", file.display()),
        ));
    }
    Ok(key.to_owned())
}

fn unreadable(file: &Path, error: &io::Error) -> Defect {
    let (what, cure) = match error.kind() {
        io::ErrorKind::InvalidData => ("is not UTF-8", "save it as UTF-8 text"),
        io::ErrorKind::IsADirectory => ("is a folder", "name the file in it"),
        io::ErrorKind::NotFound => ("does not exist", "check the path, or leave it out to go without"),
        io::ErrorKind::PermissionDenied => ("may not be read by this user", "change its owner or mode"),
        _ => return defect(file, format!("cannot be read: {error}"), "check the path and the disk"),
    };
    defect(file, what, cure)
}

fn defect(file: &Path, what: impl Into<String>, cure: impl Into<String>) -> Defect {
    Defect {
        file: file.to_owned(),
        line: None,
        what: what.into(),
        cure: cure.into(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    /// The message without the folder's name.
    fn told(folder: &TempDir, defect: &Defect) -> String {
        defect.to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn every_mistake_has_file_line_and_cure() {
        for (text, message) in [
            (&b"[polcy]"[..], "c.toml:1: unknown key `polcy`; did you mean `policy`?"),
            (
                b"\n[policy]\n\npth = 'x'",
                "c.toml:4: unknown key `pth`; did you mean `path`?",
            ),
            (
                b"[x]",
                "c.toml:1: unknown key `x`; known here: alerts, assets, capture, clickhouse, engine, flow, host, inventory, live, log, metrics, packet, policy, privacy, reassembly, run, sensor, signatures, sinks, spool, store, tls, web",
            ),
            (
                b"[policy]\npath = 1",
                "c.toml:2: invalid type: integer `1`, expected path string; put the value in quotes",
            ),
            (
                b"policy = 1",
                "c.toml:1: invalid type: integer `1`, expected struct Config; \
                 `shadowtap check --print` shows the right form",
            ),
            (
                b"[policy]\npath = 'a'\npath = 'b'",
                "c.toml:3: duplicate key; `shadowtap check --print` shows the right form",
            ),
            (
                b"[policy\n",
                "c.toml:1: unclosed table, expected `]`; `shadowtap check --print` shows the right form",
            ),
            (b"\xff", "c.toml: is not UTF-8; save it as UTF-8 text"),
        ] {
            let folder = folder(&[("c.toml", text)]);
            let defect = Loaded::load(Some(&folder.path().join("c.toml"))).unwrap_err();
            assert_eq!(told(&folder, &defect), message);
        }
    }

    #[test]
    fn a_given_file_must_be_there() {
        let folder = folder(&[]);
        let missing = Loaded::load(Some(&folder.path().join("c.toml"))).unwrap_err();
        assert_eq!(
            told(&folder, &missing),
            "c.toml: does not exist; check the path, or leave it out to go without"
        );
        let no_file = Loaded::load(Some(folder.path())).unwrap_err();
        assert!(
            no_file.to_string().ends_with(": is a folder; name the file in it"),
            "{no_file}"
        );
    }

    #[test]
    fn the_first_default_file_counts_and_none_is_needed() {
        let folder = folder(&[("a.toml", b"[policy]\npath = 'a'"), ("b.toml", b"[policy]\npath = 'b'")]);
        let [a, b, none] = ["a.toml", "b.toml", "none.toml"].map(|name| folder.path().join(name));
        let loaded = |given: Option<&Path>, defaults: &[&Path]| Loaded::load_among(given, defaults).unwrap();
        assert_eq!(loaded(None, &[&none, &b, &a]).file.as_ref(), Some(&b));
        assert_eq!(loaded(None, &[&a, &b]).config.policy.path, Some("a".into()));
        assert_eq!(loaded(Some(&b), &[&a]).file, Some(b));
        assert_eq!(loaded(None, &[&none]), Loaded::default());
    }

    #[test]
    fn the_policy_is_given_or_configured_or_beside() {
        let folder = folder(&[
            ("c.toml", b""),
            ("set.toml", b"[policy]\npath = 'sub/p.toml'"),
            ("policy.toml", b""),
        ]);
        let at = |name: &str| folder.path().join(name);
        let beside = Loaded::load(Some(&at("c.toml"))).unwrap();
        let set = Loaded::load(Some(&at("set.toml"))).unwrap();
        assert_eq!(beside.policy_file(None), Some(at("policy.toml")));
        assert_eq!(set.policy_file(None), Some(at("sub/p.toml")));
        assert_eq!(set.policy_file(Some(Path::new("x.toml"))), Some("x.toml".into()));
        assert_eq!(Loaded::default().policy_file(None), None);
        fs::remove_file(at("policy.toml")).unwrap();
        assert_eq!(beside.policy_file(None), None);
    }

    #[test]
    fn a_policy_is_loaded_with_its_first_mistake() {
        let folder = folder(&[
            ("good.toml", b"[[approve]]\nport = 1"),
            ("bad.toml", b"\n[[approve]]\n[[approve]]\n"),
        ]);
        assert!(Policy::load(&folder.path().join("good.toml")).is_ok());
        let defect = Policy::load(&folder.path().join("bad.toml")).unwrap_err();
        assert!(
            told(&folder, &defect).starts_with("bad.toml:2: approve #1 would cover every server; "),
            "{defect}"
        );
        assert!(Policy::load(&folder.path().join("none.toml")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_privacy_key_is_long_and_nobody_elses() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder(&[("c.toml", b"[privacy]\nkey = 'privacy.key'")]);
        let loaded = Loaded::load(Some(&folder.path().join("c.toml"))).unwrap();
        let key = folder.path().join("privacy.key");
        let chmod = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();

        assert!(told(&folder, &loaded.privacy_key().unwrap_err()).starts_with("privacy.key: does not exist; "));
        fs::write(&key, [&[b'k'; 31][..], b"\n"].concat()).unwrap();
        chmod(0o600);
        assert_eq!(
            told(&folder, &loaded.privacy_key().unwrap_err()),
            "privacy.key: a key of 31 bytes, and 32 is the least; make one with `openssl rand -hex 32 > privacy.key`"
        );
        fs::write(&key, [&[b'k'; 32][..], b"\n"].concat()).unwrap();
        assert_eq!(loaded.privacy_key(), Ok(Some(vec![b'k'; 32])));
        chmod(0o640);
        assert_eq!(
            told(&folder, &loaded.privacy_key().unwrap_err()),
            "privacy.key: a key that others may read (mode 0640); run `chmod 600 privacy.key`"
        );
        assert_eq!(Loaded::default().privacy_key(), Ok(None));
    }
}
