//! Tokens that people and programs sign in with: a TOML file of mode 0600 that holds their SHA-256.
//!
//! A token is 256 random bits, so that its hash needs no salt and cannot be guessed. The file is read again when it
//! changes: a token that is taken out counts no longer, nor does what was signed in with it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::model::defect::Defect;
use crate::model::stamp::Timestamp;
use crate::web::access::Role;

/// Tokens of one file.
const MAX_TOKENS: usize = 1_000;

/// What a token starts with, so that scanners for leaked secrets find it.
const PREFIX: &str = "shadowtap_";

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Whose it is.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Hash of the token: 64 hex digits.
    sha256: String,
    /// When it was made.
    #[serde(default, rename = "made")]
    _made: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    token: Vec<Known>,
}

/// The tokens of a file, as they were when it was read last.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    state: Option<(SystemTime, u64)>,
    known: Vec<Known>,
}

impl Tokens {
    /// Reads the file; none are known while it is not there.
    ///
    /// # Errors
    /// When it cannot be read, is wrong, or others may read it.
    pub fn load(path: &Path) -> Result<Self, Defect> {
        let mut tokens = Self {
            path: path.to_owned(),
            state: None,
            known: Vec::new(),
        };
        tokens.read()?;
        Ok(tokens)
    }

    /// Reads the file again where it has changed. One that is wrong leaves what was known before in force, and is told.
    pub fn refresh(&mut self) {
        if state(&self.path) == self.state {
            return;
        }
        if let Err(defect) = self.read() {
            eprintln!("shadowtap: {defect}; the tokens from before stay in force");
        }
    }

    fn read(&mut self) -> Result<(), Defect> {
        self.state = state(&self.path);
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known.clear();
                return Ok(());
            }
            Err(error) => return Err(self.defect(format!("cannot be read: {error}"), "check its owner and mode")),
        };
        private(&self.path)?;
        let file: File = toml::from_str(&text).map_err(|error| {
            Defect::from_toml(
                &self.path,
                &text,
                &error,
                "make it with `shadowtap serve token --role ROLE --name NAME`",
            )
        })?;
        if file.token.len() > MAX_TOKENS {
            return Err(self.defect(
                format!("more than {MAX_TOKENS} tokens"),
                "take out those that nobody uses",
            ));
        }
        let whole =
            |known: &Known| known.sha256.len() == 64 && known.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(known) = file.token.iter().find(|known| !whole(known)) {
            let what = format!("the sha256 of `{}` is not 64 hex digits", known.name);
            return Err(self.defect(what, "make it anew with `shadowtap serve token`"));
        }
        self.known = file.token;
        Ok(())
    }

    /// Whether anybody can sign in.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The token of this text. Every token is compared to its end, whatever fits before.
    pub fn find(&self, text: &str) -> Option<Known> {
        let digest = hash(text);
        let mut found = None;
        for known in &self.known {
            if bool::from(known.sha256.to_ascii_lowercase().as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(known.clone());
            }
        }
        found
    }

    /// Whether a token is still what it was.
    pub fn holds(&self, token: &Known) -> bool {
        self.known.contains(token)
    }

    fn defect(&self, what: impl Into<String>, cure: &str) -> Defect {
        Defect {
            file: self.path.clone(),
            line: None,
            what: what.into(),
            cure: cure.to_owned(),
        }
    }
}

/// Makes a token, adds its hash to the file, and gives the token: it is known to nobody else and cannot be read again.
///
/// # Errors
/// When the name is taken or empty, or the file is wrong or cannot be written.
pub fn add(path: &Path, name: &str, role: Role, now: Timestamp) -> Result<String, Defect> {
    let known = Tokens::load(path)?;
    let name = name.trim();
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(known.defect(
            "a token needs a name of at most 64 bytes",
            "say whose it is with --name",
        ));
    }
    if known.known.iter().any(|known| known.name == name) {
        let what = format!("there is a token of `{name}` already");
        return Err(known.defect(what, "take another name, or take the old one out of the file"));
    }
    let failed = |error: io::Error| known.defect(format!("cannot be written: {error}"), "check the path and the disk");
    let mut bytes = [0_u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| failed(io::Error::other("the system gives no random numbers")))?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let entry = format!(
        "\n[[token]]\nname = {}\nrole = \"{}\"\nsha256 = \"{}\"\nmade = \"{now}\"\n",
        toml::Value::String(name.to_owned()),
        role.word(),
        hash(&token)
    );
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(entry.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(token)
}

/// Changes when the file does.
fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn private(path: &Path) -> Result<(), Defect> {
    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o7777);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Defect {
        file: path.to_owned(),
        line: None,
        what: format!("tokens that others may read (mode {mode:04o})"),
        cure: format!("run `chmod 600 {}`", path.display()),
    })
}

/// SHA-256 of a text in lower-case hex.
pub(crate) fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut out, byte| {
            use std::fmt::Write as _;
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(0);

    #[test]
    fn a_token_is_known_by_its_hash_until_it_is_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.tokens");
        let mut tokens = Tokens::load(&path).unwrap();
        assert!(tokens.is_empty());
        let token = add(&path, "al\"ice", Role::Analyst, NOW).unwrap();
        let other = add(&path, "bob", Role::Viewer, NOW).unwrap();
        assert!(token.len() > 40 && token != other);
        assert!(!fs::read_to_string(&path).unwrap().contains(&token));
        tokens.refresh();
        let known = tokens.find(&token).unwrap();
        assert_eq!((known.name.as_str(), known.role), ("al\"ice", Role::Analyst));
        assert_eq!(tokens.find(&other).unwrap().role, Role::Viewer);
        assert!(tokens.find("").is_none() && tokens.find(&token[1..]).is_none());
        assert!(
            add(&path, "bob", Role::Admin, NOW)
                .unwrap_err()
                .to_string()
                .contains("already")
        );
        assert!(tokens.holds(&known));
        fs::write(&path, "").unwrap();
        tokens.refresh();
        assert!(!tokens.holds(&known) && tokens.is_empty());
    }

    #[test]
    fn a_wrong_file_names_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.tokens");
        add(&path, "a", Role::Viewer, NOW).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Tokens::load(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for (text, what) in [
            ("[[token]]\nname = \"a\"\nrole = \"king\"\nsha256 = \"\"", "king"),
            (
                "[[token]]\nname = \"a\"\nrole = \"viewer\"\nsha256 = \"12\"",
                "64 hex digits",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let said = Tokens::load(&path).unwrap_err().to_string();
            assert!(said.contains(what) && said.contains("web.tokens"), "{said}");
        }
    }
}
