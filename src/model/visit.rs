//! Connections of one client to one suspect beside and after each other: their rhythm, without anything of what is in them.
//!
//! MCP over HTTP keeps an event stream open while requests go on other connections, and opens it again as soon as it ends.
//! Whoever holds a pool of connections reuses an idle one: a connection that stays quiet while others are opened beside it
//! is no idle one, its client waits for an answer on it.

use std::collections::BTreeSet;

use crate::model::stamp::{Stamp, Timestamp};
use crate::model::suspect::GAP_BOUNDS_MS;
use crate::model::tls::Ja4;

/// Connections of one client to one suspect that are kept; the earliest.
pub const VISITS_MAX: usize = 64;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Shortest wait of a client that is no pause between requests: HTTP libraries that MCP clients are built on close idle
/// connections after 4 to 15 s.
const WAIT_MIN_NANOS: u64 = 40 * NANOS_PER_SECOND;
/// A connection that begins later than this after another began to wait was not opened together with it.
const APART_NANOS: u64 = NANOS_PER_SECOND;
/// How soon after a stream's end clients of event streams come again.
const AGAIN_NANOS: u64 = 5 * NANOS_PER_SECOND;

/// One connection under watch, from the moment on at which nothing of it could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Visit {
    /// Its first packet.
    pub began: Stamp,
    /// The first time that the client asked something, and the last: sent more than what protocols say about themselves.
    pub asked: [Timestamp; 2],
    /// Times that it asked.
    pub asks: u32,
    /// Longest time from a request to the first of what answered it, in nanoseconds.
    pub patience: u64,
    /// End of the connection, or of the watch.
    pub ended: Timestamp,
    /// The server went on sending little, with pauses, without being asked.
    pub trickled: bool,
    /// It did, and the client asked other things meanwhile on the same connection.
    pub mixed: bool,
    /// Fingerprint of the client.
    pub ja4: Option<Ja4>,
}

/// How the connections of clients to one suspect followed each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rhythm {
    /// Connections that were looked at.
    pub visits: u64,
    /// Most of one client at the same time.
    pub at_once: u64,
    /// Those on which a client waited for events: answers trickled, or it opened others beside one that stayed quiet.
    pub streams: u64,
    /// Streams beside which the same client asked other things.
    pub beside: u64,
    /// Streams after whose end the client was back at once.
    pub again: u64,
    /// Connections by the time since the one before began, in the classes of [`GAP_BOUNDS_MS`].
    pub starts: [u64; GAP_BOUNDS_MS.len() + 1],
    /// Connections by how long they lasted, in the same classes.
    pub lasted: [u64; GAP_BOUNDS_MS.len() + 1],
}

impl Visit {
    fn nanos(&self) -> u64 {
        self.ended.since(self.began.time)
    }

    /// How long it stayed open after the client had asked for the last time.
    fn wait(&self) -> u64 {
        self.ended.since(self.asked[1])
    }

    /// Whether a moment lies within the wait, and not at its very beginning.
    fn waits_at(&self, moment: Timestamp) -> bool {
        moment.since(self.asked[1]) > APART_NANOS && moment < self.ended
    }

    /// Whether both can be of one program: the fingerprints name the same cipher suites.
    fn akin(&self, other: &Self) -> bool {
        let ciphers = |visit: &Self| visit.ja4.map(|ja4| ja4.ciphers());
        ciphers(self) == ciphers(other)
    }

    /// Whether the client waited for events on it, as the other connections of its program show.
    fn is_stream(&self, others: &[&Self]) -> bool {
        if self.trickled {
            return true;
        }
        let opened_beside = others.iter().any(|other| self.waits_at(other.began.time));
        // A client that keeps idle connections keeps them all; what ends with the program itself shows nothing.
        let let_go = |other: &&Self| self.ended.since(other.ended) > APART_NANOS && other.wait() < self.wait() / 2;
        let lets_go = others.iter().copied().any(|other| let_go(&other));
        // Nor is it one where answers are held back until something happens, and this is but the last of them.
        let patience = others.iter().map(|other| other.patience).fold(self.patience, u64::max);
        let waits = self.asks > 0 && self.wait() >= WAIT_MIN_NANOS.max(patience.saturating_mul(2));
        waits && opened_beside && lets_go
    }
}

impl Rhythm {
    /// Of one client's connections.
    pub fn of(visits: &BTreeSet<Visit>) -> Self {
        let mut rhythm = Self::default();
        let mut before: Option<&Visit> = None;
        for visit in visits {
            rhythm.visits = rhythm.visits.saturating_add(1);
            let started = before
                .replace(visit)
                .map(|before| visit.began.time.since(before.began.time));
            started.into_iter().for_each(|nanos| count(&mut rhythm.starts, nanos));
            count(&mut rhythm.lasted, visit.nanos());
            let open = visits.iter().filter(|it| **it <= *visit && it.ended > visit.began.time);
            rhythm.at_once = rhythm.at_once.max(open.count() as u64).max(1);
            let others: Vec<&Visit> = visits.iter().filter(|it| *it != visit && it.akin(visit)).collect();
            if visit.mixed || visit.is_stream(&others) {
                rhythm.note_stream(visit, &others);
            }
        }
        rhythm
    }

    fn note_stream(&mut self, stream: &Visit, others: &[&Visit]) {
        let asked = others
            .iter()
            .filter(|other| other.asks > 0)
            .flat_map(|other| other.asked);
        let asked: BTreeSet<Timestamp> = asked.filter(|moment| stream.waits_at(*moment)).collect();
        let back =
            |other: &&Visit| other.began.time >= stream.ended && other.began.time.since(stream.ended) <= AGAIN_NANOS;
        self.streams = self.streams.saturating_add(1);
        self.beside = self.beside.saturating_add(u64::from(stream.mixed || asked.len() >= 2));
        self.again = self
            .again
            .saturating_add(u64::from(others.iter().copied().any(|other| back(&other))));
    }

    /// Adds what was seen of another client.
    pub fn join(&mut self, other: &Self) {
        let add = |mine: &mut [u64], its: &[u64]| {
            for (sum, value) in mine.iter_mut().zip(its) {
                *sum = sum.saturating_add(*value);
            }
        };
        self.visits = self.visits.saturating_add(other.visits);
        self.at_once = self.at_once.max(other.at_once);
        self.streams = self.streams.saturating_add(other.streams);
        self.beside = self.beside.saturating_add(other.beside);
        self.again = self.again.saturating_add(other.again);
        add(&mut self.starts, &other.starts);
        add(&mut self.lasted, &other.lasted);
    }
}

fn count(classes: &mut [u64], nanos: u64) {
    let millis = nanos / 1_000_000;
    let class = GAP_BOUNDS_MS.iter().filter(|bound| millis >= **bound).count();
    if let Some(slot) = classes.get_mut(class) {
        *slot = slot.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JA4: &[u8; 36] = b"t13d1812h1_85036bcba153_d41ae481755e";

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    /// A connection that begins, is asked on for the first and the last time, and ends at these seconds.
    fn visit([began, first, last, ended]: [i64; 4]) -> Visit {
        Visit {
            began: Stamp {
                time: time(began),
                ..Stamp::default()
            },
            asked: [time(first), time(last)],
            asks: 2,
            patience: 0,
            ended: time(ended),
            trickled: false,
            mixed: false,
            ja4: Ja4::from_ascii(*JA4),
        }
    }

    fn trickling(times: [i64; 4]) -> Visit {
        Visit {
            trickled: true,
            ..visit(times)
        }
    }

    /// Streams, those beside which others were asked on, those after which the client was back.
    fn rhythm(visits: &[Visit]) -> [u64; 3] {
        let rhythm = Rhythm::of(&visits.iter().copied().collect());
        [rhythm.streams, rhythm.beside, rhythm.again]
    }

    /// Connections for requests, each let go after five seconds.
    fn requests() -> Vec<Visit> {
        (1..9).map(|n| visit([n * 10, n * 10, n * 10, n * 10 + 5])).collect()
    }

    #[test]
    fn a_stream_beside_requests() {
        for stream in [trickling([0, 0, 0, 100]), visit([0, 0, 0, 100])] {
            let all = [requests(), vec![stream]].concat();
            assert_eq!(rhythm(&all), [1, 1, 0]);
            assert_eq!(Rhythm::of(&all.into_iter().collect()).at_once, 2);
        }
        assert_eq!(rhythm(&requests()), [0, 0, 0]);
        assert_eq!(rhythm(&[trickling([0, 0, 0, 100])]), [1, 0, 0]);
        assert_eq!(rhythm(&[]), [0, 0, 0]);
    }

    #[test]
    fn an_idle_connection_is_no_stream() {
        // Pools that keep what is idle, threads with a pool each.
        let kept = [visit([0, 0, 0, 100]), visit([1, 1, 90, 100]), visit([10, 10, 95, 180])];
        assert_eq!(rhythm(&kept), [0, 0, 0]);
        // The last of many answers that are held back.
        let held = Visit {
            patience: 50_000_000_000,
            ..visit([0, 0, 10, 60])
        };
        assert_eq!(rhythm(&[requests(), vec![held]].concat()), [0, 0, 0]);
        // Another program at the same address.
        let other = Visit {
            ja4: None,
            ..visit([0, 0, 0, 100])
        };
        assert_eq!(rhythm(&[requests(), vec![other]].concat()), [0, 0, 0]);
    }

    #[test]
    fn a_stream_that_is_taken_up_again() {
        let streams: Vec<Visit> = (0..4)
            .map(|n| trickling([n * 61, n * 61, n * 61, n * 61 + 60]))
            .collect();
        assert_eq!(rhythm(&streams), [4, 0, 3]);
        let later: Vec<Visit> = (0..4)
            .map(|n| trickling([n * 90, n * 90, n * 90, n * 90 + 60]))
            .collect();
        assert_eq!(rhythm(&later), [4, 0, 0]);
    }

    #[test]
    fn classes_count_every_connection() {
        let rhythm = Rhythm::of(&requests().into_iter().collect());
        assert_eq!((rhythm.visits, rhythm.at_once), (8, 1));
        assert_eq!(rhythm.lasted, [0, 0, 0, 0, 8, 0, 0]);
        assert_eq!(rhythm.starts, [0, 0, 0, 0, 0, 7, 0]);
        let mut sum = rhythm.clone();
        sum.join(&rhythm);
        assert_eq!((sum.visits, sum.starts[5]), (16, 14));
    }
}
