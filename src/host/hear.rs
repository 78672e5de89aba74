//! The sensor's side: hears what the process that looks has seen, on a thread of its own.

use std::io::{self, BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::host::watch::LINE_MAX_BYTES;
use crate::host::{Config, Snapshot};

#[expect(
    clippy::disallowed_types,
    reason = "taken once a look and once a round; never by a packet"
)]
type Slot = std::sync::Mutex<Option<Arc<Snapshot>>>;

/// The process that looks, and what it saw last.
#[derive(Debug)]
pub struct Host {
    child: Child,
    seen: Arc<Slot>,
    gone: Arc<AtomicBool>,
    /// The first look was told of.
    told: AtomicBool,
}

impl Host {
    /// Starts this program again to look at the machine. To be called before rights are given up.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(config: &Config, user: Option<&str>, confined: bool) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["host-watch", "--interval-ms", &config.interval_ms.max(200).to_string()]);
        if let Some(user) = user {
            command.args(["--user", user]);
        }
        if !confined {
            command.arg("--no-confine");
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Self {
            child,
            seen: Arc::default(),
            gone: Arc::default(),
            told: AtomicBool::default(),
        })
    }

    /// Listens from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn listen(&mut self) -> io::Result<()> {
        let Some(out) = self.child.stdout.take() else {
            return Ok(());
        };
        let (seen, gone) = (Arc::clone(&self.seen), Arc::clone(&self.gone));
        let run = move || {
            hear(out, &seen);
            gone.store(true, Ordering::Relaxed);
        };
        thread::Builder::new().name("host".to_owned()).spawn(run).map(|_| ())
    }

    /// What was seen last; `None` before the first look.
    pub fn seen(&self) -> Option<Arc<Snapshot>> {
        self.seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// What the first look showed, once.
    pub fn first_look(&self) -> Option<Arc<Snapshot>> {
        let seen = self.seen()?;
        (!self.told.swap(true, Ordering::Relaxed)).then_some(seen)
    }

    /// Whether nobody looks any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// Until the other side has gone, or sends what nobody would send.
fn hear(out: impl Read, seen: &Slot) {
    let mut out = BufReader::new(out);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut out).take(LINE_MAX_BYTES as u64).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || line.last() != Some(&b'\n') {
            return;
        }
        if line.len() > 1 {
            let Ok(snapshot) = serde_json::from_slice(&line) else {
                return;
            };
            *seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(snapshot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_snapshot_counts_and_nonsense_ends_it() {
        let seen = Slot::default();
        let snapshot = |left_out| {
            serde_json::to_string(&Snapshot {
                left_out,
                ..Snapshot::default()
            })
            .unwrap()
        };
        let text = format!("{}\n\n{}\n\nnonsense\n{}\n", snapshot(1), snapshot(2), snapshot(3));
        hear(text.as_bytes(), &seen);
        assert_eq!(seen.lock().unwrap().as_ref().unwrap().left_out, 2);
    }
}
