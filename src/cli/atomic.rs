//! Files that an operator relies on are replaced whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a text in place of what is there. Whoever reads meanwhile sees the old text or the new one.
///
/// # Errors
/// Those of the file system; what was there stays.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Through a symbolic link its target is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "is no file name"))?;
    let mut trial = std::ffi::OsString::from(".");
    trial.push(name);
    trial.push(format!(".{}", std::process::id()));
    let trial = path.with_file_name(trial);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&trial)?;
        file.write_all(text.as_bytes())?;
        if let Ok(known) = fs::metadata(&path) {
            file.set_permissions(known.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&trial, &path)
    };
    write().inspect_err(|_| {
        // What was begun is of no use to anyone.
        let _ = fs::remove_file(&trial);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        for text in ["one\n", "two\n"] {
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(replace(&folder.path().join("none/a.toml"), "x").is_err());
    }
}
