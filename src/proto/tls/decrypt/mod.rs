//! Opening of TLS 1.3 and TLS 1.2 connections whose operator has logged their secrets: records in, the stream inside out.
//!
//! ```text
//!  chunks ─► Assembly: whole records ─► Half (tls13, tls12): under which key ─► Protection ─► the stream above
//!               │ a record that cannot be read yet stays, and what follows it is held, within bounds
//! ```
//!
//! Reads records on its own, from the first byte; what the hellos settle it is told ([`Terms`]). A direction waits for the
//! ServerHello, for a secret that may still come, and early data for the word of the server. What will never be opened
//! ends the flow: it has no secrets, or wrong ones. A lost record is told to the stream above as a gap; when more than
//! one was lost, the next one is found by trying, a bounded number of times.
//!
//! Plaintext is read out of the buffer in which it was opened, and never leaves it but to the stream above. Does not read
//! compressed records, CCM, ciphers older than AES, and versions older than TLS 1.2.

mod assembly;
mod cbc;
pub(in crate::proto) mod derive;
mod held;
mod loss;
mod protect;
mod side;
mod suite;
#[cfg(test)]
mod tests;
mod tls12;
mod tls13;

use self::assembly::{RECORD_MIN_BYTES, Taken};
use self::held::Held;
use self::side::{Around, Half, Heard, Side};
use crate::model::chunk::{Chunk, Data};
use crate::model::flow::Why;
use crate::model::net::Direction;
use crate::model::observation::{Cover, Fact};
use crate::model::server::Encryption;
use crate::model::stamp::{Stamp, Timestamp};
use crate::proto::tls::Terms;
use crate::proto::tls::frame::APPLICATION_DATA;
use crate::stream::layer::{Step, Up};
use crate::stream::secrets::Keys;

/// Records in a row that do not open under keys that have opened others, before the flow is given up.
const FAILED_MAX_RECORDS: u32 = 3;

/// How long a flow waits for its secrets, in nanoseconds of packet time.
const PENDING_MAX_NANOS: u64 = 30_000_000_000;

/// One connection.
pub(super) struct Opener {
    keys: Keys,
    sides: [Side; 2],
    held: Held,
    /// What waiting directions waited with: nothing is tried again before this has changed.
    tried: Option<Known>,
    /// The key material names this connection.
    named: bool,
    /// When the first chunk came.
    began: Option<Timestamp>,
    /// The stream above was announced.
    told: bool,
    shut: Option<Why>,
}

/// What decides whether a waiting direction is worth another try.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    settled: bool,
    secrets: u64,
    early: Option<bool>,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    Blocked,
    Shut(Why),
}

impl Opener {
    /// `None` where there is no key material, and none is expected.
    pub(super) fn new(keys: &Keys) -> Option<Box<Self>> {
        let opener = || Self {
            keys: keys.clone(),
            sides: Default::default(),
            held: Held::default(),
            tried: None,
            named: false,
            began: None,
            told: false,
            shut: None,
        };
        keys.secrets.is_in_use().then(|| Box::new(opener()))
    }

    /// Takes the next chunk. `over` says that nothing more will be learnt of the terms.
    pub(super) fn push(&mut self, chunk: Chunk<'_>, terms: &Terms, over: bool, up: &mut Up<'_>) -> Step {
        if self.shut.is_none() {
            self.shut = self.lookup(chunk.at, terms, over);
        }
        if self.shut.is_none() {
            let flow = self.feed(chunk, terms, up);
            let flow = self.resume(flow, true, terms, up);
            self.settle(flow);
        }
        self.step(over, up)
    }

    /// The flow has ended: what waits is read as far as it can be.
    pub(super) fn finish(&mut self, terms: &Terms, up: &mut Up<'_>) -> Step {
        if self.shut.is_none() {
            self.tried = None;
            let flow = self.resume(Flow::Next, true, terms, up);
            let flow = self.resume(flow, false, terms, up);
            self.settle(flow);
            let [one, two] = &self.sides;
            if !self.told && self.shut.is_none() && (one.blocked || two.blocked) {
                self.shut = Some(Why::NoSecrets);
            }
        }
        self.step(true, up)
    }

    fn step(&self, over: bool, up: &Up<'_>) -> Step {
        match self.shut {
            Some(why) if over => Step::Bypass(why),
            Some(_) => Step::Continue,
            None => up.step(),
        }
    }

    fn settle(&mut self, flow: Flow) {
        if let Flow::Shut(why) = flow {
            self.shut = Some(why);
            self.held.clear(&self.keys);
        }
    }

    /// Whether there is nothing to open this connection with.
    fn lookup(&mut self, at: Stamp, terms: &Terms, over: bool) -> Option<Why> {
        let began = *self.began.get_or_insert(at.time);
        if over && (terms.client_random.is_none() || terms.server_random.is_none()) {
            return Some(Why::Opaque);
        }
        if self.named || terms.client_random.is_none() {
            return None;
        }
        let secrets = &self.keys.secrets;
        let patient = secrets.grows() && at.time.since(began) < PENDING_MAX_NANOS;
        if patient && !self.held.is_empty() {
            // Asked again when there is something new.
            return None;
        }
        self.named = terms.client_random.is_some_and(|random| secrets.knows(&random));
        (!self.named && !patient).then_some(Why::NoSecrets)
    }

    /// A chunk of a direction that reads on, or one that is held.
    fn feed(&mut self, chunk: Chunk<'_>, terms: &Terms, up: &mut Up<'_>) -> Flow {
        let Chunk { at, dir, data, .. } = chunk;
        if self.side(dir).blocked {
            return self.hold(at, dir, data);
        }
        let Data::Bytes(rest) = data else {
            return self.hole(at, dir, data, terms, up);
        };
        self.go_on(at, dir, rest, true, terms, up)
    }

    fn hold(&mut self, at: Stamp, dir: Direction, data: Data<'_>) -> Flow {
        if self.held.push(at, dir, data, &self.keys) {
            Flow::Blocked
        } else {
            self.full()
        }
    }

    /// There is no room to wait any longer.
    fn full(&self) -> Flow {
        Flow::Shut(if self.told { Why::Memory } else { Why::NoSecrets })
    }

    /// Directions that waited go on when something has come that they may have waited for. `waits` is false at the end.
    fn resume(&mut self, mut flow: Flow, waits: bool, terms: &Terms, up: &mut Up<'_>) -> Flow {
        loop {
            let [one, two] = &self.sides;
            if matches!(flow, Flow::Shut(_)) || !(one.blocked || two.blocked) {
                return flow;
            }
            let known = self.known(terms);
            if waits && self.tried == Some(known) {
                return Flow::Next;
            }
            let tried = self.tried.replace(known);
            if waits && tried.is_some_and(|tried| self.is_of_others(tried, known, terms)) {
                return Flow::Next;
            }
            for dir in [Direction::ToServer, Direction::ToClient] {
                if std::mem::take(&mut self.side(dir).blocked) {
                    let assembly = &self.side(dir).assembly;
                    let (at, len) = (assembly.at(), assembly.len());
                    self.held.unpin(len, &self.keys);
                    flow = self.read(at, dir, &mut &[][..], waits, terms, up);
                }
                if matches!(flow, Flow::Shut(_)) {
                    return flow;
                }
            }
            for piece in self.held.take(&self.keys) {
                flow = self.feed_held(&piece, waits, terms, up);
                if matches!(flow, Flow::Shut(_)) {
                    return flow;
                }
            }
            let [one, two] = &self.sides;
            if !waits && (one.blocked || two.blocked) && self.known(terms) == known {
                return Flow::Next;
            }
        }
    }

    /// Whether all that is new are secrets of other connections. A busy key log gives some with every packet, and another
    /// try copies all that is held.
    fn is_of_others(&self, tried: Known, known: Known, terms: &Terms) -> bool {
        let same = Known {
            secrets: known.secrets,
            ..tried
        };
        same == known
            && terms
                .client_random
                .is_some_and(|random| !self.keys.secrets.knows(&random))
    }

    fn feed_held(&mut self, piece: &held::Piece, waits: bool, terms: &Terms, up: &mut Up<'_>) -> Flow {
        let chunk = piece.chunk();
        if waits || self.side(chunk.dir).blocked {
            return self.feed(chunk, terms, up);
        }
        match chunk.data {
            Data::Bytes(rest) => self.go_on(chunk.at, chunk.dir, rest, false, terms, up),
            data => self.hole(chunk.at, chunk.dir, data, terms, up),
        }
    }

    fn known(&self, terms: &Terms) -> Known {
        Known {
            settled: terms.server_random.is_some(),
            secrets: self.keys.secrets.changes(),
            early: self.early_accepted(),
        }
    }

    fn early_accepted(&self) -> Option<bool> {
        match &self.sides {
            [
                _,
                Side {
                    half: Half::Tls13(server),
                    ..
                },
            ] => server.early_accepted,
            _ => None,
        }
    }

    fn side(&mut self, dir: Direction) -> &mut Side {
        let [to_server, to_client] = &mut self.sides;
        match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    /// Reads records for as long as there are any.
    fn read(
        &mut self,
        at: Stamp,
        dir: Direction,
        input: &mut &[u8],
        waits: bool,
        terms: &Terms,
        up: &mut Up<'_>,
    ) -> Flow {
        loop {
            let flow = match self.side(dir).assembly.take(at, input) {
                Taken::More => return Flow::Next,
                Taken::Whole => self.record(dir, waits, terms, up),
                Taken::Lost(kind, bytes) => self.lost(at, dir, (kind, bytes), terms, up),
                Taken::Window => match self.search(dir, terms, up) {
                    Ok(rest) => self.go_on(at, dir, &rest, waits, terms, up),
                    Err(flow) => flow,
                },
                Taken::Wrong => Flow::Shut(self.misread(dir)),
            };
            if flow != Flow::Next {
                return flow;
            }
        }
    }

    /// Reads what stands behind a record that was found; what has to wait is held.
    fn go_on(
        &mut self,
        at: Stamp,
        dir: Direction,
        mut rest: &[u8],
        waits: bool,
        terms: &Terms,
        up: &mut Up<'_>,
    ) -> Flow {
        match self.read(at, dir, &mut rest, waits, terms, up) {
            Flow::Blocked if !rest.is_empty() => self.hold(at, dir, Data::Bytes(rest)),
            flow => flow,
        }
    }

    /// A whole record.
    fn record(&mut self, dir: Direction, waits: bool, terms: &Terms, up: &mut Up<'_>) -> Flow {
        let accepted = self.early_accepted();
        let Self { keys, sides, held, .. } = self;
        let around = Around::new(terms, keys, waits);
        let [to_server, to_client] = sides;
        let side = match dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let heard = match side.read(dir, accepted, around.as_ref()) {
            Ok(heard) => heard,
            Err(why) => return Flow::Shut(why),
        };
        if matches!(heard, Heard::Blocked) {
            side.blocked = held.pin(side.assembly.len(), keys);
            return if side.blocked { Flow::Blocked } else { self.full() };
        }
        self.heard(dir, heard, terms, up)
    }

    /// What follows from what a record came to.
    fn heard(&mut self, dir: Direction, heard: Heard, terms: &Terms, up: &mut Up<'_>) -> Flow {
        let side = self.side(dir);
        let at = side.assembly.at();
        match heard {
            Heard::Closed | Heard::Data(_) | Heard::Opened => (side.opened, side.failed) = (true, 0),
            Heard::Dark => side.dark = true,
            Heard::Failed => {
                side.failed = side.failed.saturating_add(1);
                if !side.opened {
                    return Flow::Shut(Why::WrongSecrets);
                }
                if side.failed > FAILED_MAX_RECORDS {
                    return Flow::Shut(Why::Desync);
                }
            }
            Heard::Refused => return Flow::Shut(Why::Opaque),
            Heard::Blocked | Heard::Missed | Heard::Nothing => {}
        }
        let bytes = side.assembly.len() as u64;
        match &heard {
            Heard::Data(place) if !place.is_empty() => self.announce(at, up),
            Heard::Closed => return self.close(at, dir, up),
            Heard::Failed => {
                side.assembly.done();
                return self.lost(at, dir, (APPLICATION_DATA, bytes), terms, up);
            }
            Heard::Missed => {
                side.assembly.done();
                return self.gap(at, dir, bytes.saturating_sub(RECORD_MIN_BYTES), up);
            }
            _ => {}
        }
        let [one, two] = &self.sides;
        if one.dark && two.dark {
            return Flow::Shut(Why::NoSecrets);
        }
        let side = self.side(dir);
        if let Heard::Data(place) = heard
            && let Some(content) = side.assembly.body().get(place).filter(|content| !content.is_empty())
        {
            up.stream(Chunk {
                at,
                dir,
                lane: 0,
                data: Data::Bytes(content),
            });
        }
        side.assembly.done();
        pass_on(up)
    }

    fn announce(&mut self, at: Stamp, up: &mut Up<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            up.fact(at, Fact::Uncovered(Cover::Opened(Encryption::Tls)));
        }
    }

    /// Nothing follows in this direction.
    fn close(&mut self, at: Stamp, dir: Direction, up: &mut Up<'_>) -> Flow {
        let told = self.told;
        let side = self.side(dir);
        side.assembly.done();
        if !std::mem::replace(&mut side.closed, true) && told {
            up.stream(Chunk {
                at,
                dir,
                lane: 0,
                data: Data::End,
            });
        }
        pass_on(up)
    }

    /// Why a flow is given up in which no record stands where one should.
    fn misread(&mut self, dir: Direction) -> Why {
        if self.side(dir).opened {
            Why::Desync
        } else {
            Why::Opaque
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.held.clear(&self.keys);
    }
}

/// What the stream above says ends the flow.
fn pass_on(up: &Up<'_>) -> Flow {
    match up.step() {
        Step::Bypass(why) => Flow::Shut(why),
        Step::Anew | Step::Continue | Step::Desync => Flow::Next,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
