//! How an encrypted flow goes on: sizes, directions and times of its next records, without anything of what is in them.
//!
//! Only for flows that a name made suspicious. Bounded in records and in packet time; of QUIC and DTLS, whose records do
//! not show, a datagram stands for a record. A gap, or a start within a record, costs the records up to the next segment
//! that begins with one.

mod pauses;

use crate::model::chunk::{Chunk, Data};
use crate::model::net::Direction;
use crate::model::stamp::Timestamp;
use crate::model::suspect::{GAP_BOUNDS_MS, SIZE_BOUNDS, Shape};
use crate::proto::tls::frame::{RECORD_HEADER_LEN, record_length};
use crate::proto::tls::watch::pauses::Pauses;

/// Records of one flow that are watched.
pub const RECORDS_MAX: u32 = 512;
/// How long one flow is watched, in nanoseconds of packet time: ten minutes.
pub const WINDOW_MAX_NANOS: u64 = 600 * NANOS_PER_SECOND;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Largest record of a server that counts as little, in bytes: a comment, a notification, the start of an answer.
const LITTLE_MAX_BYTES: usize = 1_024;
/// Largest record of a client that asks for nothing, in bytes: what HTTP/2 says about itself.
const IDLE_MAX_BYTES: usize = 64;

/// One flow under watch.
#[derive(Debug, Default)]
pub struct Watch {
    /// Indexed by [`Direction::index`].
    sides: [Side; 2],
    /// Whether chunks are datagrams.
    datagrams: bool,
    since: Option<Timestamp>,
    until: Timestamp,
    /// The last record.
    last: Option<Timestamp>,
    /// Who sent the last record that says something.
    spoke: Option<Direction>,
    records: u32,
    asked: Option<[Timestamp; 2]>,
    asks: u32,
    patience: u64,
    pauses: Pauses,
    shape: Shape,
}

/// What a watch has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Counts of records.
    pub shape: Shape,
    /// When the client asked, first and last; `None` when it never did.
    pub asked: Option<[Timestamp; 2]>,
    /// Times that it asked.
    pub asks: u32,
    /// Longest time from a request to the first of what answered it, in nanoseconds.
    pub patience: u64,
    /// The last packet.
    pub ended: Timestamp,
    /// The server went on sending little, unasked.
    pub trickled: bool,
    /// And the client asked other things meanwhile.
    pub mixed: bool,
}

/// Where one direction stands.
#[derive(Debug, Default)]
struct Side {
    header: Vec<u8>,
    /// Bytes of the present record that have not come.
    missing: usize,
    aligned: bool,
}

impl Watch {
    /// Of records, or of datagrams.
    pub fn new(datagrams: bool) -> Self {
        Self {
            datagrams,
            ..Self::default()
        }
    }

    /// Takes the next chunk; tells whether to go on.
    pub fn push(&mut self, chunk: &Chunk<'_>) -> bool {
        let since = *self.since.get_or_insert(chunk.at.time);
        self.until = self.until.max(chunk.at.time);
        if chunk.at.time.since(since) > WINDOW_MAX_NANOS {
            return false;
        }
        match chunk.data {
            Data::Bytes(bytes) if self.datagrams => self.record(chunk, bytes.len()),
            Data::Bytes(bytes) => self.walk(chunk, bytes),
            Data::Gap(_) | Data::End => self.side(chunk.dir).aligned = false,
        }
        self.records < RECORDS_MAX
    }

    /// What was seen; `None` when no record was.
    pub fn finish(mut self) -> Option<Watched> {
        self.pauses.settle(false);
        let trickled = self.pauses.is_trickle();
        self.shape.flows = 1;
        self.shape.trickles = u64::from(trickled);
        (self.records > 0).then_some(Watched {
            shape: self.shape,
            asked: self.asked,
            asks: self.asks,
            patience: self.patience,
            ended: self.until,
            trickled,
            mixed: trickled && self.pauses.is_one_of_several(),
        })
    }

    fn side(&mut self, dir: Direction) -> &mut Side {
        let [to_server, to_client] = &mut self.sides;
        match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    fn walk(&mut self, chunk: &Chunk<'_>, mut bytes: &[u8]) {
        let side = self.side(chunk.dir);
        if !side.aligned {
            (side.missing, side.aligned) = (0, true);
            side.header.clear();
        }
        while !bytes.is_empty() && self.records < RECORDS_MAX {
            let side = self.side(chunk.dir);
            if side.missing > 0 {
                let (body, rest) = bytes.split_at_checked(side.missing).unwrap_or((bytes, &[]));
                side.missing = side.missing.saturating_sub(body.len());
                bytes = rest;
                continue;
            }
            let wanted = RECORD_HEADER_LEN.saturating_sub(side.header.len());
            let (now, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
            side.header.extend_from_slice(now);
            bytes = rest;
            let Some(header) = side.header.first_chunk::<RECORD_HEADER_LEN>() else {
                return;
            };
            let length = record_length(*header);
            side.header.clear();
            side.missing = length.unwrap_or(0);
            side.aligned = length.is_some();
            let Some(length) = length else { return };
            self.record(chunk, length);
        }
    }

    fn record(&mut self, chunk: &Chunk<'_>, size: usize) {
        self.records = self.records.saturating_add(1);
        let before = self.last.replace(chunk.at.time).unwrap_or(chunk.at.time);
        let nanos = chunk.at.time.since(before);
        let pause = nanos >= NANOS_PER_SECOND;
        let idle = chunk.dir == Direction::ToServer && size <= IDLE_MAX_BYTES;
        // Of datagrams every one is acknowledged.
        self.pauses.settle(idle && !pause && !self.datagrams);
        let spoke = if idle {
            self.spoke
        } else {
            self.spoke.replace(chunk.dir)
        };
        match (chunk.dir, spoke) {
            (Direction::ToClient, Some(Direction::ToClient)) if !pause => self.pauses.go_on(),
            (Direction::ToClient, Some(Direction::ToClient)) if size <= LITTLE_MAX_BYTES => {
                let asked = self.asked.map_or(before, |[_, last]| last);
                self.pauses.end(chunk.at.time, asked);
            }
            (Direction::ToClient, Some(Direction::ToServer)) => self.patience = self.patience.max(nanos),
            (Direction::ToServer, _) if !idle => {
                let before = self.asked.unwrap_or([chunk.at.time; 2]);
                self.asked = Some([before[0], chunk.at.time]);
                // Head and body of one request may be two records.
                if pause || spoke != Some(Direction::ToServer) {
                    self.asks = self.asks.saturating_add(1);
                    self.pauses.ask();
                }
            }
            _ => {}
        }
        let class_of_size = SIZE_BOUNDS.iter().filter(|bound| size > **bound).count();
        let millis = nanos / 1_000_000;
        let class_of_gap = GAP_BOUNDS_MS.iter().filter(|bound| millis >= **bound).count();
        let at = chunk.dir.index();
        count(&mut self.shape.sizes, at, class_of_size);
        count(&mut self.shape.gaps, at, class_of_gap);
    }
}

fn count<const N: usize>(table: &mut [[u64; N]; 2], row: usize, class: usize) {
    if let Some(slot) = table.get_mut(row).and_then(|row| row.get_mut(class)) {
        *slot = slot.saturating_add(1);
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::stamp::Stamp;
    use Direction::{ToClient, ToServer};

    /// Direction, seconds, size of a record.
    type Step = (Direction, i64, usize);

    fn record(size: usize) -> Vec<u8> {
        let length = u16::try_from(size).unwrap().to_be_bytes();
        [&[23, 3, 3][..], &length, &vec![0xaa; size]].concat()
    }

    fn chunk(dir: Direction, seconds: i64, data: Data<'_>) -> Chunk<'_> {
        let at = Stamp {
            time: Timestamp::from_nanos(seconds * 1_000_000_000),
            ..Stamp::default()
        };
        Chunk { at, dir, lane: 0, data }
    }

    fn watched(steps: &[Step], piece: usize) -> Watched {
        let mut watch = Watch::new(false);
        for (dir, seconds, size) in steps {
            for part in record(*size).chunks(piece) {
                assert!(watch.push(&chunk(*dir, *seconds, Data::Bytes(part))));
            }
        }
        watch.finish().unwrap()
    }

    #[test]
    fn counts_records_whatever_carries_them() {
        let steps = [
            (ToServer, 0, 300),
            (ToClient, 0, 64),
            (ToClient, 2, 16_400),
            (ToServer, 90, 20),
        ];
        let expected = watched(&steps, usize::MAX);
        assert_eq!(expected.shape.sizes, [[1, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 1]]);
        assert_eq!(expected.shape.gaps, [[1, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0]]);
        for piece in [1, 4, 5, 6, 1_000] {
            assert_eq!(watched(&steps, piece), expected, "{piece}");
        }
    }

    #[test]
    fn tells_a_trickle() {
        let stream = [
            (ToServer, 0, 400),
            (ToClient, 0, 200),
            (ToClient, 15, 40),
            (ToServer, 20, 30),
            (ToClient, 30, 40),
            (ToClient, 45, 40),
            (ToClient, 60, 40),
        ];
        assert_eq!(watched(&stream, usize::MAX).shape.trickles, 1);
        let calls: Vec<Step> = (0..20)
            .flat_map(|n| [(ToServer, n * 5, 400), (ToClient, n * 5 + 2, 300)])
            .collect();
        assert_eq!(watched(&calls, usize::MAX).shape.trickles, 0);
        let download: Vec<Step> = (0..20).map(|n| (ToClient, n * 2, 16_384)).collect();
        assert_eq!(watched(&download, usize::MAX).shape.trickles, 0);
    }

    /// What comes by the clock is a stream of its own, whatever is asked meanwhile; what follows each request is not.
    #[test]
    fn tells_a_stream_among_requests() {
        let asks = [2, 9, 21, 26, 37, 48, 52, 68].map(|at| vec![(ToServer, at, 300), (ToClient, at, 500)]);
        let beats = [15, 30, 45, 60, 75].map(|at| vec![(ToClient, at, 60)]);
        let mut both: Vec<Step> = asks.iter().chain(&beats).flatten().copied().collect();
        both.sort_by_key(|(_, at, _)| *at);
        let seen = watched(&both, usize::MAX);
        assert!(seen.trickled && seen.mixed);
        assert_eq!((seen.asks, seen.patience), (8, 0));
        let slow: Vec<Step> = (0..12)
            .flat_map(|n| {
                [
                    (ToServer, n * 9, 300),
                    (ToClient, n * 9, 80),
                    (ToClient, n * 9 + 3, 500),
                ]
            })
            .collect();
        assert!(!watched(&slow, usize::MAX).trickled, "each answer in two parts");
        let pings: Vec<Step> = (0..9)
            .flat_map(|n| [(ToClient, n * 15, 34), (ToServer, n * 15, 34)])
            .collect();
        assert!(!watched(&pings, usize::MAX).trickled, "the connection is kept alive");
        let words: Vec<Step> = (0..60).map(|n| (ToClient, n / 10 * 2, 90)).collect();
        assert!(!watched(&words, usize::MAX).trickled, "a text in pieces");
    }

    #[test]
    fn finds_records_again_and_comes_to_an_end() {
        let mut watch = Watch::new(false);
        let (one, two) = (record(500), record(100));
        for data in [
            Data::Bytes(&one[300..]),
            Data::Bytes(&two),
            Data::Gap(40),
            Data::Bytes(&one[7..]),
            Data::Bytes(&two),
        ] {
            assert!(watch.push(&chunk(ToClient, 0, data)));
        }
        assert_eq!(watch.records, 2);
        assert!(!watch.push(&chunk(ToClient, 601, Data::Bytes(&two))));
        let mut watch = Watch::new(true);
        let mut left = 2 * RECORDS_MAX;
        while watch.push(&chunk(ToServer, 0, Data::Bytes(&[7; 1_200]))) && left > 0 {
            left -= 1;
        }
        assert_eq!(watch.finish().unwrap().shape.sizes[0][3], u64::from(RECORDS_MAX));
        assert_eq!(Watch::new(true).finish(), None);
    }
}
