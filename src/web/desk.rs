//! Answers of the store, kept for as long as the store has not changed: many readers cost it one question.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::store::sqlite::Decision;
use crate::store::{Question, Rows, StoreError};
use crate::web::Lock;
use crate::web::shelf::Shelf;

/// Answers that are kept.
const KEPT_MAX: usize = 32;
/// Rows of all of them together.
const KEPT_MAX_ROWS: usize = 400_000;
/// Rows of one answer; who wants more asks for less time.
pub const ROWS_MAX: u64 = 100_000;
/// An answer is good for at least that long, however often the store changes.
const FRESH: Duration = Duration::from_secs(2);
/// An answer is good for at most that long: some rows change with the clock alone.
const STALE: Duration = Duration::from_secs(60);

struct Kept {
    question: Question,
    version: Option<u64>,
    at: Instant,
    /// How long the store took.
    cost: Duration,
    rows: Arc<Rows>,
}

/// See the module.
pub struct Desk {
    shelf: Box<dyn Shelf>,
    kept: Lock<VecDeque<Kept>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("kept", &self.kept.lock().len())
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// Over a store.
    pub fn new(shelf: Box<dyn Shelf>) -> Self {
        Self {
            shelf,
            kept: Lock::default(),
        }
    }

    /// The answer to a question, of at most [`ROWS_MAX`] rows.
    ///
    /// # Errors
    /// Those of the store.
    pub fn ask(&self, question: &Question) -> Result<Arc<Rows>, StoreError> {
        let mut question = question.clone();
        question.filter.limit = Some(question.filter.limit.unwrap_or(ROWS_MAX).min(ROWS_MAX));
        let (version, now) = (self.shelf.version(), Instant::now());
        let good = |kept: &&Kept| {
            let (age, same) = (now - kept.at, version.is_some() && kept.version == version);
            // However often the store changes, asking takes a quarter of the time at most.
            let fresh = age < FRESH.max(kept.cost * 4);
            kept.question == question && (fresh || same && age < STALE)
        };
        if let Some(kept) = self.kept.lock().iter().find(good) {
            return Ok(Arc::clone(&kept.rows));
        }
        let rows = Arc::new(self.shelf.open()?.ask(&question)?);
        let mut kept = self.kept.lock();
        kept.retain(|old| old.question != question);
        kept.push_back(Kept {
            question,
            version,
            at: Instant::now(),
            cost: now.elapsed(),
            rows: Arc::clone(&rows),
        });
        let held = |kept: &VecDeque<Kept>| kept.iter().map(|kept| kept.rows.rows.len()).sum::<usize>();
        while kept.len() > KEPT_MAX || (kept.len() > 1 && held(&kept) > KEPT_MAX_ROWS) {
            kept.pop_front();
        }
        Ok(rows)
    }

    /// Changes when the store does; without a store that tells, with the time.
    pub fn stamp(&self) -> String {
        self.shelf
            .version()
            .map_or_else(String::new, |version| format!("{version:016x}"))
    }

    /// Keeps what somebody decided, and forgets what was known before.
    ///
    /// # Errors
    /// Those of the store.
    pub fn decide(&self, finding: &str, decision: &Decision) -> Result<bool, StoreError> {
        let decided = self.shelf.decide(finding, decision);
        self.kept.lock().clear();
        decided
    }
}
