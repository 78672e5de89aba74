//! Where the page's answers come from: a store that can be opened again and again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::store::sqlite::{Decision, Reader, Writer};
use crate::store::{Store, StoreError};

/// A store as the page needs it.
pub trait Shelf: Send + Sync + 'static {
    /// Opens it to ask.
    ///
    /// # Errors
    /// Those of the store.
    fn open(&self) -> Result<Box<dyn Store>, StoreError>;

    /// Another number whenever the store has changed; `None` where that is not known.
    fn version(&self) -> Option<u64>;

    /// Keeps what somebody decided about a finding; `false` where there is no such finding.
    ///
    /// # Errors
    /// Those of the store.
    fn decide(&self, finding: &str, decision: &Decision) -> Result<bool, StoreError>;
}

/// The embedded store.
#[derive(Clone, Debug)]
pub struct Embedded {
    path: PathBuf,
}

impl Embedded {
    /// Of a file, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl Shelf for Embedded {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(Reader::open(&self.path)?))
    }

    fn version(&self) -> Option<u64> {
        // What is written goes into the log beside the file, and later into the file.
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let mut hasher = DefaultHasher::new();
        for path in [self.path.as_path(), Path::new(&log)] {
            let state = std::fs::metadata(path)
                .ok()
                .map(|found| (found.modified().ok(), found.len()));
            state.hash(&mut hasher);
        }
        Some(hasher.finish())
    }

    fn decide(&self, finding: &str, decision: &Decision) -> Result<bool, StoreError> {
        Reader::open(&self.path)?;
        Writer::open(&self.path, "web")?.decide(finding, decision)
    }
}
