//! Pauses within one encrypted connection that the server ends with little, without being asked: what tells an event stream
//! from slow answers, and from a text that is written word by word.

use crate::model::stamp::Timestamp;

/// Pauses of a second and more, each ended by the server with little, that make a trickle: so many beyond the first that
/// follows a request, which may be one slow answer in two parts.
const PAUSES_MIN: u32 = 2;
/// Records of a server that may follow each such pause at once: a message, not a text that is written word by word.
const BURST_MAX: u32 = 4;
/// Requests between the pauses of a stream that is one of several things on one connection.
const MEANWHILE_MIN: u32 = 2;
/// Times that little comes as long after the one before as that came after its own, whatever is asked between them.
const BEATS_MIN: u32 = 2;
/// Two spans are the same when they differ by less than this part of the longer one.
const SAME_PART: u64 = 20;

/// Pauses that the server ended with little, unasked.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    all: u32,
    /// Since the client asked last.
    streak: u32,
    /// Without the first ones after a request.
    beyond: u32,
    /// Records that followed at once.
    burst: u32,
    /// Requests since the first pause.
    meanwhile: u32,
    beat: Beat,
    /// One that the server has just ended, with the time of the request before it.
    fresh: Option<[Timestamp; 2]>,
}

/// The pulse of an event stream between requests: keep-alives come by the clock, slow answers by the request before them.
#[derive(Debug, Default)]
struct Beat {
    last: Option<Timestamp>,
    /// Nanoseconds between the last two.
    interval: u64,
    /// Nanoseconds from the request before the last one.
    phase: u64,
    count: u32,
}

impl Beat {
    fn note(&mut self, now: Timestamp, asked: Timestamp) {
        let interval = self.last.map_or(0, |last| now.since(last));
        let phase = now.since(asked);
        let by_the_clock = same(interval, self.interval) && !same(phase, self.phase);
        self.count = self.count.saturating_add(u32::from(by_the_clock));
        (self.last, self.interval, self.phase) = (Some(now), interval, phase);
    }
}

fn same(one: u64, other: u64) -> bool {
    one.abs_diff(other) < one.max(other) / SAME_PART
}

impl Pauses {
    /// Whether they make an event stream.
    pub(super) fn is_trickle(&self) -> bool {
        (self.beyond >= PAUSES_MIN || self.beat.count >= BEATS_MIN) && self.burst <= self.all.saturating_mul(BURST_MAX)
    }

    /// Whether the client asked other things meanwhile.
    pub(super) fn is_one_of_several(&self) -> bool {
        self.meanwhile >= MEANWHILE_MIN
    }

    /// The server ended a pause with little. Counts when it is [settled](Self::settle).
    pub(super) fn end(&mut self, now: Timestamp, asked: Timestamp) {
        self.fresh = Some([asked, now]);
    }

    /// Something follows, or nothing any more: `answered` when the client says as little at once. Then it was a ping, which
    /// keeps the connection alive and not a stream on it (RFC 9113, section 6.7; RFC 6455, section 5.5.2).
    pub(super) fn settle(&mut self, answered: bool) {
        let Some([asked, now]) = self.fresh.take().filter(|_| !answered) else {
            return;
        };
        self.beat.note(now, asked);
        self.all = self.all.saturating_add(1);
        self.streak = self.streak.saturating_add(1);
        self.beyond = self.beyond.saturating_add(u32::from(self.streak > 1));
    }

    /// The server goes on without a pause.
    pub(super) fn go_on(&mut self) {
        self.burst = self.burst.saturating_add(u32::from(self.streak > 0));
    }

    /// The client asks.
    pub(super) fn ask(&mut self) {
        self.streak = 0;
        self.meanwhile = self.meanwhile.saturating_add(u32::from(self.all > 0));
    }
}
