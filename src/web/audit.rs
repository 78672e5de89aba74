//! What people do, as lines of JSON beside the store: appended, never changed, mode 0600.
//!
//! The file is opened for each line, so that it may be rotated away at any time.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::stamp::Timestamp;
use crate::report::display;

/// Bytes of the end of the file that are read for the page.
const TAIL_MAX_BYTES: u64 = 256 * 1_024;

/// Characters of what is told.
const ABOUT_MAX_CHARS: usize = 5_000;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Entry {
    /// When, by the clock on the wall.
    pub at: String,
    /// Name of the token; `unknown` for one that is wrong.
    pub who: String,
    /// What they may do.
    pub role: String,
    /// From where.
    pub peer: String,
    /// `sign-in`, `sign-in-refused`, `sign-out`, `export`, `decision`.
    pub action: String,
    /// What was done, and to what.
    pub about: String,
}

impl Entry {
    /// A line.
    pub fn new(at: Timestamp, who: &str, role: &str, peer: IpAddr, action: &str, about: &str) -> Self {
        Self {
            at: at.to_string(),
            who: who.to_owned(),
            role: role.to_owned(),
            peer: peer.to_string(),
            action: action.to_owned(),
            about: display::plain(about, ABOUT_MAX_CHARS).into_owned(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    /// Beside what it tells of.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line, in one write.
    ///
    /// # Errors
    /// Those of the file system; what cannot be audited is not done.
    pub fn note(&self, entry: &Entry) -> io::Result<()> {
        let mut line = Vec::new();
        display::json_line(&mut line, entry)?;
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(&self.path)?.write_all(&line)
    }

    /// The latest lines, the newest first.
    ///
    /// # Errors
    /// Those of the file system, but none where there is no file yet.
    pub fn last(&self, max: usize) -> io::Result<Vec<Entry>> {
        let mut file = match OpenOptions::new().read(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_MAX_BYTES)))?;
        let mut text = Vec::new();
        file.take(TAIL_MAX_BYTES).read_to_end(&mut text)?;
        // The first line may be a part of one; it does not parse, and is left off.
        let text = String::from_utf8_lossy(&text);
        let entries = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
        Ok(entries.take(max).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn lines_are_added_and_read_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::new(&folder.path().join("audit"));
        assert!(audit.last(5).unwrap().is_empty());
        let entry = |about: &str| {
            Entry::new(
                Timestamp::default(),
                "a\nb",
                "viewer",
                [10, 0, 0, 1].into(),
                "export",
                about,
            )
        };
        for nth in 0..5_000 {
            audit.note(&entry(&format!("row {nth}"))).unwrap();
        }
        let last = audit.last(2).unwrap();
        assert_eq!(last, [entry("row 4999"), entry("row 4998")]);
        let text = std::fs::read_to_string(audit.path()).unwrap();
        assert_eq!(text.lines().count(), 5_000);
        let mode = std::fs::metadata(audit.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
