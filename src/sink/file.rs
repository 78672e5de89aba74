//! Events as lines of a file, or on standard output, for shippers that read such.
//!
//! The file is rotated by size and time: `events.ndjson` becomes `events.ndjson.1`, that `.2`, and so on. Whoever rotates it
//! himself (logrotate) needs no signal: before every batch it is looked whether the path still leads to the open file. A batch
//! is in the file whole or not at all, and on the disk when it is told as delivered.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::stamp::Timestamp;
use crate::sink::SinkError;
use crate::sink::remote::{Batch, Deliver};
use crate::sink::siem::parcel::unpack;

/// When a file is put aside and how many are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Before it would grow beyond so many bytes.
    pub max_bytes: u64,
    /// When it is this old; `None` for never.
    pub max_age: Option<Duration>,
    /// Files that are kept beside the one that is written.
    pub keep: u32,
}

/// A file that is written.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    rotation: Rotation,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    /// When its first event was sealed, as far as it is known.
    since: Timestamp,
}

impl Lines {
    /// Opens nothing yet.
    pub const fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self {
            path,
            rotation,
            open: None,
        }
    }

    fn write(&mut self, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if leads_to(&self.path, &open.file) => open,
            _ => Open::new(&self.path, now)?,
        };
        let grown = open.bytes.saturating_add(bytes.len() as u64) > self.rotation.max_bytes;
        let old = self
            .rotation
            .max_age
            .is_some_and(|age| now.since(open.since) >= nanos(age));
        if open.bytes > 0 && (grown || old) {
            self.rotate()?;
            open = Open::new(&self.path, now)?;
        }
        if let Err(error) = open.file.write_all(bytes).and_then(|()| open.file.sync_data()) {
            // A part of a batch must not stay: it comes again.
            let _ = open.file.set_len(open.bytes);
            return Err(error);
        }
        open.bytes = open.bytes.saturating_add(bytes.len() as u64);
        self.open = Some(open);
        Ok(())
    }

    /// The oldest goes, and each of the others becomes one older.
    fn rotate(&self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.rotation.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..self.rotation.keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, numbered(1))
    }
}

impl Open {
    fn new(path: &Path, now: Timestamp) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        let modified = file.metadata()?.mtime();
        let since = if bytes == 0 {
            now
        } else {
            Timestamp::from_parts(modified, 0).min(now)
        };
        Ok(Self { file, bytes, since })
    }
}

/// Whether a path still leads to an open file.
fn leads_to(path: &Path, file: &File) -> bool {
    match (fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(here)) => (there.dev(), there.ino()) == (here.dev(), here.ino()),
        _ => false,
    }
}

fn nanos(age: Duration) -> u64 {
    u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
}

/// Every event of a batch on a line of its own.
fn lines(batch: &Batch) -> Result<Vec<u8>, SinkError> {
    let mut bytes = Vec::new();
    for parcel in unpack(batch)? {
        bytes.extend_from_slice(parcel.body.as_bytes());
        bytes.push(b'\n');
    }
    Ok(bytes)
}

impl Deliver for Lines {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let bytes = lines(batch)?;
        let written = self.write(&bytes, batch.sealed);
        written.map_err(|error| SinkError::Retry(format!("{}: {error}", self.path.display())))
    }
}

/// Standard output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

impl Deliver for Standard {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let bytes = lines(batch)?;
        let mut out = io::stdout().lock();
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        written.map_err(|error| SinkError::Retry(format!("standard output: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::sink::remote::{Class, Part};
    use crate::sink::siem::notice::What;
    use crate::sink::siem::parcel::{Parcel, pack};

    fn batch(second: i64, bodies: &[&str]) -> Batch {
        let parcel = |body: &&str| Parcel {
            event_id: String::new(),
            what: What::Finding,
            millis: 0,
            body: (*body).to_owned(),
        };
        let bytes = pack(&bodies.iter().map(parcel).collect::<Vec<_>>());
        Batch {
            token: "t".to_owned(),
            sealed: Timestamp::from_parts(second, 0),
            class: Class::Finding,
            parts: vec![Part { rows: 1, bytes }],
        }
    }

    fn sink(folder: &tempfile::TempDir, max_bytes: u64) -> Lines {
        let rotation = Rotation {
            max_bytes,
            max_age: Some(Duration::from_secs(60)),
            keep: 2,
        };
        Lines::new(folder.path().join("e"), rotation)
    }

    /// The files by name, with what is in them.
    fn found(folder: &tempfile::TempDir) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    fs::read_to_string(entry.path()).unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_file_that_is_full_or_old_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(&folder, 8);
        sink.deliver(&batch(0, &["aa", "bb"])).unwrap();
        sink.deliver(&batch(1, &["c"])).unwrap();
        assert_eq!(found(&folder), pairs(&[("e", "aa\nbb\nc\n")]));
        sink.deliver(&batch(2, &["d"])).unwrap();
        assert_eq!(found(&folder), pairs(&[("e", "d\n"), ("e.1", "aa\nbb\nc\n")]));
        sink.deliver(&batch(62, &["e"])).unwrap();
        sink.deliver(&batch(63, &["f"])).unwrap();
        assert_eq!(
            found(&folder),
            pairs(&[("e", "e\nf\n"), ("e.1", "d\n"), ("e.2", "aa\nbb\nc\n")])
        );
    }

    #[test]
    fn who_rotates_it_himself_needs_no_signal() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(&folder, 1_000);
        sink.deliver(&batch(0, &["a"])).unwrap();
        fs::rename(folder.path().join("e"), folder.path().join("moved")).unwrap();
        sink.deliver(&batch(1, &["b"])).unwrap();
        assert_eq!(found(&folder), pairs(&[("e", "b\n"), ("moved", "a\n")]));
    }

    #[test]
    fn a_folder_is_made_and_what_cannot_be_is_for_later() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("no"), "").unwrap();
        let mut sink = Lines::new(folder.path().join("no/e"), sink(&folder, 8).rotation);
        assert!(matches!(sink.deliver(&batch(0, &["a"])), Err(SinkError::Retry(_))));
        fs::remove_file(folder.path().join("no")).unwrap();
        sink.deliver(&batch(0, &["a"])).unwrap();
    }
}
