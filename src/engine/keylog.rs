//! Key log files of the operator: read whole before a replay, followed while they grow in live capture.
//!
//! A followed file may come later than the sensor, be cut or be replaced by another one; then it is read anew. It is
//! asked a few times a second, because the flow that waits for it holds what it has meanwhile. Nothing here shows a
//! secret, and buffers that held some are wiped.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use zeroize::Zeroize as _;

use crate::source::SourceError;
use crate::stream::secrets::{Lines, Secrets};

/// Bytes of one `read()`.
const BLOCK_BYTES: usize = 64 << 10;

/// Between two looks at a followed file.
const PAUSE: Duration = Duration::from_millis(50);

/// Reads a key log into a store, and tells how many secrets were in it.
///
/// # Errors
/// When it cannot be read.
pub fn load(path: &Path, secrets: &Secrets) -> Result<u64, SourceError> {
    let mut lines = Lines::default();
    File::open(path)
        .and_then(|mut file| drain(&mut file, &mut lines, secrets))
        .map_err(|error| SourceError::Unreadable {
            name: path.display().to_string(),
            what: format!("the key log cannot be read: {error}"),
            cure: "check the path, and that this user may read it".to_owned(),
        })?;
    lines.end(secrets);
    Ok(lines.added)
}

/// Follows key logs on a thread of its own, for as long as anybody uses the store.
///
/// # Errors
/// When the system gives no thread.
pub fn follow(paths: Vec<PathBuf>, secrets: &Arc<Secrets>) -> io::Result<()> {
    let secrets = Arc::downgrade(secrets);
    let mut logs: Vec<Followed> = paths.into_iter().map(Followed::new).collect();
    let run = move || {
        while let Some(secrets) = Weak::upgrade(&secrets) {
            logs.iter_mut().for_each(|log| log.look(&secrets));
            drop(secrets);
            thread::sleep(PAUSE);
        }
    };
    thread::Builder::new().name("keylog".to_owned()).spawn(run).map(|_| ())
}

/// Gives everything up to the present end of a file to its lines; how many bytes that was.
fn drain(file: &mut File, lines: &mut Lines, secrets: &Secrets) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut all = 0;
    let ended = loop {
        match file.read(&mut block) {
            Ok(0) => break Ok(all),
            Ok(read) => {
                lines.push(&block[..read], secrets);
                all += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    block.zeroize();
    ended
}

/// A key log that is being written.
struct Followed {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: File,
    lines: Lines,
    read_bytes: u64,
    /// Device and number of the file.
    identity: (u64, u64),
}

impl Followed {
    const fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Reads what is new. What cannot be read now is tried again with the next look.
    fn look(&mut self, secrets: &Secrets) {
        let Ok(present) = self.path.metadata() else { return };
        let replaced = |open: &mut Open| {
            open.identity != (present.dev(), present.ino()) || (present.is_file() && present.len() < open.read_bytes)
        };
        if let Some(mut old) = self.open.take_if(replaced) {
            // What was written before it was replaced, and its last line.
            let _ = drain(&mut old.file, &mut old.lines, secrets);
            old.lines.end(secrets);
        }
        if self.open.is_none() {
            self.open = Open::new(&self.path).ok();
        }
        if let Some(open) = &mut self.open
            && let Ok(read) = drain(&mut open.file, &mut open.lines, secrets)
        {
            open.read_bytes += read;
        }
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        Ok(Self {
            file,
            lines: Lines::default(),
            read_bytes: 0,
            identity: (found.dev(), found.ino()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn line(random: u8) -> String {
        format!(
            "CLIENT_RANDOM {} {}\n",
            format!("{random:02x}").repeat(32),
            "ab".repeat(48)
        )
    }

    #[test]
    fn a_followed_file_comes_late_grows_is_cut_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let secrets = Secrets::new(100, true);
        let mut log = Followed::new(path.clone());
        let known = |log: &mut Followed| -> Vec<u8> {
            log.look(&secrets);
            (0..9)
                .filter(|random| secrets.knows(&[*random; 32]))
                .collect::<Vec<u8>>()
        };
        assert!(known(&mut log).is_empty());
        fs::write(&path, line(1) + &line(2)[..50]).unwrap();
        assert_eq!(known(&mut log), [1]);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&line(2).as_bytes()[50..]).unwrap();
        assert_eq!(known(&mut log), [1, 2]);
        fs::write(&path, line(3)).unwrap();
        assert_eq!(known(&mut log), [1, 2, 3]);
        file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        // A last line without an end, and a new file in its place.
        file.write_all(line(4).trim_end().as_bytes()).unwrap();
        assert_eq!(known(&mut log), [1, 2, 3]);
        fs::rename(&path, folder.path().join("old")).unwrap();
        assert_eq!(known(&mut log), [1, 2, 3]);
        fs::write(&path, line(5) + &line(6)).unwrap();
        assert_eq!(known(&mut log), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_with_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let secrets = Secrets::new(100, false);
        let error = load(&path, &secrets).unwrap_err().to_string();
        assert!(
            error.contains("the key log cannot be read") && error.contains("check the path"),
            "{error}"
        );
        fs::write(&path, line(1) + "# nothing\n" + line(2).trim_end()).unwrap();
        assert_eq!(load(&path, &secrets).unwrap(), 2);
    }
}
