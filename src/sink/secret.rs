//! Secrets of sinks (tokens, passwords, keys): from a file that nobody else may read, or from the environment; never from the
//! command line or the configuration itself, and never shown.

use std::fmt;
use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

/// Bytes of a secret's file: a bound for one that is named by mistake.
const FILE_MAX_BYTES: u64 = 65_536;

/// A value that `Debug` does not show and that is wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value, to be sent where it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The first line of a file that only its owner may read.
    ///
    /// # Errors
    /// What is wrong, and the cure.
    pub fn from_file(file: &Path) -> Result<Self, (String, String)> {
        let wrong = |what: String, cure: &str| (what, cure.to_owned());
        let length = fs::metadata(file)
            .map_err(|error| wrong(format!("cannot be read: {error}"), "check the path and who may read it"))?
            .len();
        if let Some(mode) = open_to_others(file) {
            let what = format!("a secret that others may read (mode {mode:04o})");
            return Err((what, format!("run `chmod 600 {}`", file.display())));
        }
        if length > FILE_MAX_BYTES {
            let what = format!("has {length} bytes, and {FILE_MAX_BYTES} is the most");
            return Err(wrong(what, "name the file that holds the secret alone"));
        }
        let text = fs::read_to_string(file)
            .map(Zeroizing::new)
            .map_err(|error| wrong(format!("cannot be read: {error}"), "check who may read it"))?;
        let value = text.lines().next().unwrap_or_default().trim();
        if value.is_empty() {
            return Err(wrong("is empty".to_owned(), "write the secret into its first line"));
        }
        Ok(Self::new(value))
    }

    /// A variable of the environment.
    ///
    /// # Errors
    /// What is wrong, and the cure.
    pub fn from_environment(name: &str) -> Result<Self, (String, String)> {
        match std::env::var(name) {
            Ok(value) if !value.trim().is_empty() => Ok(Self::new(value.trim())),
            _ => Err((
                format!("the environment variable {name} is not set"),
                format!("set {name}, or name a file of mode 0600 instead"),
            )),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The permissions of a file that others than its owner may use.
#[cfg(unix)]
pub fn open_to_others(file: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(file).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The permissions of a file that others than its owner may use.
#[cfg(not(unix))]
pub fn open_to_others(_file: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_secret_is_its_owners_alone_and_never_shown() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(Secret::from_file(&file).unwrap_err().0.starts_with("cannot be read"));
        fs::write(&file, " s3cret \nmore").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let (what, cure) = Secret::from_file(&file).unwrap_err();
        assert_eq!(what, "a secret that others may read (mode 0640)");
        assert!(cure.starts_with("run `chmod 600 "), "{cure}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let secret = Secret::from_file(&file).unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}")), ("s3cret", "…".to_owned()));
        fs::write(&file, "\n").unwrap();
        assert_eq!(Secret::from_file(&file).unwrap_err().0, "is empty");
        assert!(Secret::from_environment("SHADOWTAP_NO_SUCH_VARIABLE").is_err());
    }
}
