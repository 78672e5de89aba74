//! What a sensor tells its operator, on standard error: a line each, as text or JSON.
//!
//! Where the journal reads along, a line begins with its priority (sd-daemon(3)). A kind of message is told so often a
//! minute and no oftener; how many were left out is told with the next one. Nothing here is per packet or per flow.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::stamp::Timestamp;

/// The section `[log]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Form of a line.
    pub format: Format,
    /// Lines of one kind in a minute; what comes on top is counted.
    pub max_same_per_minute: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::Text,
            max_same_per_minute: 20,
        }
    }
}

/// Form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An object a line: time, level, kind, message.
    Json,
    /// For people.
    #[default]
    Text,
}

/// How much it matters, by the words of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is lost, or does not work.
    Error,
    /// Everything is as it should be.
    Info,
    /// Somebody should look at it.
    Warning,
}

impl Level {
    /// Word and number (RFC 5424, section 6.2.1).
    const fn as_syslog(self) -> (&'static str, u8) {
        match self {
            Self::Error => ("error", 3),
            Self::Info => ("info", 6),
            Self::Warning => ("warning", 4),
        }
    }
}

/// Nanoseconds of the window in which messages of a kind are counted.
const WINDOW_NANOS: u64 = 60_000_000_000;

#[expect(clippy::disallowed_types, reason = "taken once a line of the log; never by a packet")]
type Windows = std::sync::Mutex<BTreeMap<&'static str, Window>>;

struct Log {
    config: Config,
    /// The journal reads along.
    journal: bool,
    windows: Windows,
}

#[derive(Clone, Copy)]
struct Window {
    began: Timestamp,
    told: u32,
    left_out: u64,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Sets the form of the lines, once; before that they are text without bound.
pub fn open(config: &Config) {
    // Whoever comes second finds it set.
    let _ = LOG.set(Log {
        config: config.clone(),
        journal: is_journal(),
        windows: Windows::default(),
    });
}

/// Tells that something does not work.
pub fn error(kind: &'static str, text: impl Display) {
    say(Level::Error, kind, &text);
}

/// Tells how things go.
pub fn info(kind: &'static str, text: impl Display) {
    say(Level::Info, kind, &text);
}

/// Tells what somebody should look at.
pub fn warning(kind: &'static str, text: impl Display) {
    say(Level::Warning, kind, &text);
}

fn say(level: Level, kind: &'static str, text: &dyn Display) {
    let line = match LOG.get() {
        Some(log) => log.line(now(), level, kind, &text.to_string()),
        None => Some(format!("shadowtap: {text}")),
    };
    if let Some(line) = line {
        // Nobody reads it any more.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

impl Log {
    /// The line, unless there were too many of its kind.
    fn line(&self, now: Timestamp, level: Level, kind: &'static str, text: &str) -> Option<String> {
        let left_out = self.admit(now, kind)?;
        let more = match left_out {
            0 => String::new(),
            _ => format!(" ({left_out} like it before were left out)"),
        };
        let (word, number) = level.as_syslog();
        let body = match self.config.format {
            Format::Json => serde_json::json!({
                "time": now.to_string(), "level": word, "kind": kind, "message": format!("{text}{more}"),
            })
            .to_string(),
            Format::Text => format!("shadowtap: {text}{more}"),
        };
        Some(if self.journal {
            format!("<{number}>{body}")
        } else {
            body
        })
    }

    /// How many of its kind were left out before this one; `None` when it is left out, too.
    fn admit(&self, now: Timestamp, kind: &'static str) -> Option<u64> {
        let mut windows = self.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let window = windows.entry(kind).or_insert(Window {
            began: now,
            told: 0,
            left_out: 0,
        });
        // A clock that was set back begins a new one, too.
        if now.nanos().abs_diff(window.began.nanos()) >= WINDOW_NANOS {
            (window.began, window.told) = (now, 0);
        }
        if window.told >= self.config.max_same_per_minute {
            window.left_out += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

/// Whether standard error is the stream that the journal reads (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let owned = std::io::stderr().as_fd().try_clone_to_owned();
    let found = owned.and_then(|fd| std::fs::File::from(fd).metadata());
    found.is_ok_and(|found| stream == format!("{}:{}", found.dev(), found.ino()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "what happens to the sensor is of the clock on the wall"
)]
fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(format: Format, journal: bool) -> Log {
        Log {
            config: Config {
                format,
                max_same_per_minute: 2,
            },
            journal,
            windows: Windows::default(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    #[test]
    fn lines_have_the_form_that_is_asked_for() {
        let text = log(Format::Text, false).line(at(0), Level::Info, "start", "listening");
        assert_eq!(text.as_deref(), Some("shadowtap: listening"));
        let journal = log(Format::Text, true).line(at(0), Level::Warning, "drops", "12");
        assert_eq!(journal.as_deref(), Some("<4>shadowtap: 12"));
        let json = log(Format::Json, false)
            .line(at(0), Level::Error, "sink", "a \"b\"\n")
            .unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["time"], "1970-01-01T00:00:00.000000Z");
        assert_eq!((&json["level"], &json["kind"]), (&"error".into(), &"sink".into()));
        assert_eq!(json["message"], "a \"b\"\n");
    }

    #[test]
    fn a_kind_that_repeats_is_told_so_often_a_minute() {
        let log = log(Format::Text, false);
        let say = |seconds| log.line(at(seconds), Level::Info, "server", "x");
        assert!(say(0).is_some() && say(1).is_some());
        assert!(say(2).is_none() && say(59).is_none());
        assert!(log.line(at(59), Level::Info, "other", "y").is_some());
        let after = say(60);
        assert_eq!(after.as_deref(), Some("shadowtap: x (2 like it before were left out)"));
        assert_eq!(say(61).as_deref(), Some("shadowtap: x"));
    }
}
