//! One handle on one interface in live capture: a burst of packets at a time, and what becomes of it when the interface
//! goes.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::engine::live::{News, Tapped, clock, join, now};
use crate::model::packet::RawPacket;
use crate::model::stamp::Timestamp;
use crate::source::{Pull, Source};

/// Packets that are taken from one handle before the next one of the same worker has its turn.
const BURST: usize = 256;

/// Between two tries to open again what has failed.
const RETRY: Duration = Duration::from_secs(1);

/// How long a source that was stopped is asked for what the kernel still gathers: twice the default read time-out.
const GATHER: Duration = Duration::from_millis(200);

/// How long a source that was stopped is read at most, when it holds more than that.
const BACKLOG: Duration = Duration::from_secs(2);

/// How a turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more.
    Busy,
    /// Nothing is there for now.
    Idle,
    /// Nothing will come any more.
    Ended,
}

/// A handle at work.
pub(super) struct Tap {
    /// Of the interface.
    interface: usize,
    /// Of the handle, among those of its interface.
    handle: usize,
    source: Box<dyn Source>,
    pub(super) state: Tapped,
    /// When it failed, or was last tried again. A clock on the wall may be set back.
    down: Option<Instant>,
    /// When it was stopped, by both clocks.
    stopped: Option<(Instant, Timestamp)>,
    tell: Sender<News>,
}

impl Tap {
    pub(super) fn new(interface: usize, handle: usize, source: Box<dyn Source>, tell: &Sender<News>) -> Self {
        Self {
            interface,
            handle,
            source,
            state: Tapped::default(),
            down: None,
            stopped: None,
            tell: tell.clone(),
        }
    }

    /// Takes up to [`BURST`] packets.
    pub(super) fn burst(&mut self, take: &mut dyn FnMut(&RawPacket<'_>)) -> Turn {
        if self.state.ended {
            return Turn::Ended;
        }
        self.revive();
        let mut last = None;
        let mut turn = Turn::Busy;
        for _ in 0..BURST {
            match self.source.pull() {
                Pull::Packet(raw) => {
                    self.state.worked = true;
                    let (first, _) = self.state.seen.unwrap_or((raw.at.time, raw.at.time));
                    last = Some(raw.at.time);
                    self.state.seen = join(self.state.seen, Some((first, raw.at.time)));
                    take(&raw);
                    continue;
                }
                // An interface has none; a file that is given in place of one is for a replay.
                Pull::Secrets(_) | Pull::Passed => continue,
                Pull::Idle => {
                    self.state.worked |= self.down.is_none();
                    turn = Turn::Idle;
                }
                Pull::End => turn = Turn::Ended,
                Pull::Failed(error) => {
                    self.down = Some(now());
                    self.say(&error.to_string(), true);
                    turn = Turn::Idle;
                }
            }
            break;
        }
        if turn == Turn::Ended || self.has_been_read(turn, last) {
            self.state.ended = true;
            self.publish();
            return Turn::Ended;
        }
        turn
    }

    /// Capture is to end: what was sent before is still in the ring, or gathered by the kernel.
    pub(super) fn stop(&mut self) {
        self.stopped.get_or_insert_with(|| (now(), clock()));
    }

    fn has_been_read(&self, turn: Turn, last: Option<Timestamp>) -> bool {
        let Some((since, at)) = self.stopped else { return false };
        let waited = since.elapsed();
        let over = waited >= BACKLOG || self.down.is_some();
        let read = (turn == Turn::Idle && waited >= GATHER) || last.is_some_and(|last| last > at);
        if over && !read && turn == Turn::Busy {
            let name = self.source.name();
            self.say(
                &format!("{name}: packets still waited when capture ended, and are lost"),
                true,
            );
        }
        over || read
    }

    /// An interface that went may be back.
    fn revive(&mut self) {
        let Some(since) = self.down else { return };
        if since.elapsed() < RETRY {
            return;
        }
        self.down = Some(now());
        if self.source.revive() {
            self.down = None;
            self.say(&format!("{}: is back", self.source.name()), false);
        }
    }

    fn say(&self, text: &str, failed: bool) {
        let news = News::Said {
            interface: self.interface,
            text: text.to_owned(),
            failed,
        };
        // Nobody listens any more when the grace of stopping was over.
        let _ = self.tell.send(news);
    }

    /// Tells what it has given so far.
    pub(super) fn publish(&mut self) {
        self.state.kernel_drops = self.source.kernel_drops();
        // Nobody listens any more when the grace of stopping was over.
        let _ = self.tell.send(News::Source {
            interface: self.interface,
            handle: self.handle,
            state: self.state,
        });
    }
}
