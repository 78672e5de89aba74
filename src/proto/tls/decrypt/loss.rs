//! What was lost of a connection that is opened: told to the stream above as a gap, and bridged where keys allow it.

use super::assembly::Taken;
use super::side::Around;
use super::{Flow, Opener, pass_on};
use crate::model::chunk::{Chunk, Data};
use crate::model::flow::Why;
use crate::model::net::Direction;
use crate::model::stamp::Stamp;
use crate::proto::tls::Terms;
use crate::stream::layer::Up;

impl Opener {
    /// A record was lost whose place in the sequence is known; so many bytes it had.
    pub(super) fn lost(
        &mut self,
        at: Stamp,
        dir: Direction,
        (kind, bytes): (u8, u64),
        terms: &Terms,
        up: &mut Up<'_>,
    ) -> Flow {
        let side = self.side(dir);
        if !side.half.settle(dir, terms) {
            return Flow::Shut(Why::Opaque);
        }
        let overhead = side.half.overhead_bytes();
        let content = side.half.sequence().is_some();
        side.half.lose(kind);
        if content {
            self.gap(at, dir, bytes.saturating_sub(overhead), up)
        } else {
            Flow::Next
        }
    }

    pub(super) fn gap(&mut self, at: Stamp, dir: Direction, bytes: u64, up: &mut Up<'_>) -> Flow {
        if bytes > 0 {
            self.announce(at, up);
            up.stream(Chunk {
                at,
                dir,
                lane: 0,
                data: Data::Gap(bytes),
            });
        }
        pass_on(up)
    }

    /// A gap, or the end.
    pub(super) fn hole(&mut self, at: Stamp, dir: Direction, data: Data<'_>, terms: &Terms, up: &mut Up<'_>) -> Flow {
        let Data::Gap(bytes) = data else {
            return self.close(at, dir, up);
        };
        if terms.server_random.is_none() {
            return Flow::Shut(Why::Opaque);
        }
        let side = self.side(dir);
        (side.tried, side.searched) = (0, 0);
        match side.assembly.gap(bytes) {
            Some(Taken::Lost(kind, bytes)) => self.lost(at, dir, (kind, bytes), terms, up),
            _ => Flow::Next,
        }
    }

    /// Looks for a record behind a loss that went over the end of one; gives what stands behind the record.
    pub(super) fn search(&mut self, dir: Direction, terms: &Terms, up: &mut Up<'_>) -> Result<Vec<u8>, Flow> {
        let Self { keys, sides, .. } = self;
        let Some(around) = Around::new(terms, keys, true) else {
            return Err(Flow::Shut(Why::Opaque));
        };
        let [to_server, to_client] = sides;
        let side = match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        if !side.half.settle(dir, terms) {
            return Err(Flow::Shut(Why::Opaque));
        }
        let before = side.half.sequence();
        let found = side.find(&around).map_err(Flow::Shut)?;
        let Some((start, len, heard)) = found else {
            return Err(Flow::Next);
        };
        let (wire, rest) = side.assembly.found(start, len);
        let (at, overhead) = (side.assembly.at(), side.half.overhead_bytes());
        let after = side.half.sequence().unwrap_or_default();
        let records = after.saturating_sub(before.unwrap_or_default()).saturating_sub(1);
        let lost = match (records, before) {
            (0, _) => 0,
            // Some of what was lost belonged to the handshake.
            (_, None) => 1,
            (_, Some(_)) => wire.saturating_sub(records.saturating_mul(overhead)).max(1),
        };
        let flow = match self.gap(at, dir, lost, up) {
            Flow::Next => self.heard(dir, heard, terms, up),
            flow => flow,
        };
        if flow == Flow::Next { Ok(rest) } else { Err(flow) }
    }
}
