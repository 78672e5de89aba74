//! One direction of a connection as it is opened: its records, and whatever reads them.

use std::ops::Range;

use super::assembly::{Assembly, RECORD_MIN_BYTES};
use super::protect::Header;
use super::suite::{Suite12, Suite13};
use super::{tls12, tls13};
use crate::model::flow::Why;
use crate::model::net::Direction;
use crate::proto::tls::Terms;
use crate::proto::tls::frame::{ALERT, APPLICATION_DATA, HANDSHAKE, RECORD_HEADER_LEN, record_length};
use crate::proto::tls::hello::TLS_1_3;
use crate::stream::secrets::{Keys, Label, Random, Secret};

const TLS_1_2: u16 = 0x0303;

/// Records that are tried for one loss.
const TRIED_MAX_RECORDS: u32 = 48;

/// One direction.
#[derive(Default)]
pub(super) struct Side {
    pub(super) assembly: Assembly,
    pub(super) half: Half,
    /// A whole record waits, and what follows it is held.
    pub(super) blocked: bool,
    /// No secret opens this direction.
    pub(super) dark: bool,
    /// A record was opened.
    pub(super) opened: bool,
    /// Records in a row that did not open.
    pub(super) failed: u32,
    /// Records that were tried for the present loss, and where to go on in the window.
    pub(super) tried: u32,
    pub(super) searched: usize,
    /// Nothing follows.
    pub(super) closed: bool,
}

/// What reads one direction.
#[derive(Default)]
pub(super) enum Half {
    Tls12(Box<tls12::Half>),
    Tls13(Box<tls13::Half>),
    /// The ServerHello is still to come.
    #[default]
    Unsettled,
}

/// What a record came to.
#[derive(Debug)]
pub(super) enum Heard {
    /// It cannot be read yet.
    Blocked,
    /// Nothing follows.
    Closed,
    /// There is no secret for it, and none will come.
    Dark,
    /// Content for the stream above, at this place of the record's body.
    Data(Range<usize>),
    /// It does not open.
    Failed,
    /// It had content that cannot be read.
    Missed,
    /// It says nothing, and nothing was opened.
    Nothing,
    /// It was opened, and has no content for the stream above.
    Opened,
    /// It begins what is not followed.
    Refused,
}

/// What a direction may look at.
pub(super) struct Around<'a> {
    pub(super) terms: &'a Terms,
    pub(super) random: &'a Random,
    pub(super) keys: &'a Keys,
    /// A secret that is not known may still come.
    pub(super) patient: bool,
    /// More of the connection may still come.
    pub(super) waits: bool,
}

impl Around<'_> {
    pub(super) fn secret(&self, label: Label) -> Option<Secret> {
        self.keys.secrets.find(self.random, label)
    }
}

impl<'a> Around<'a> {
    /// `None` before the ServerHello.
    pub(super) fn new(terms: &'a Terms, keys: &'a Keys, waits: bool) -> Option<Self> {
        let random = terms.client_random.as_ref()?;
        terms.server_random?;
        Some(Self {
            terms,
            random,
            keys,
            patient: waits && keys.secrets.grows(),
            waits,
        })
    }
}

impl Side {
    /// The record that is whole, opened in place.
    pub(super) fn read(
        &mut self,
        dir: Direction,
        accepted: Option<bool>,
        around: Option<&Around<'_>>,
    ) -> Result<Heard, Why> {
        let Some((header, body)) = self.assembly.whole() else {
            return Ok(Heard::Nothing);
        };
        if self.dark {
            return Ok(Heard::Nothing);
        }
        let Some(around) = around else {
            // Hellos, and alerts about them; anything else is protected, in a way that is not known yet.
            return Ok(match header[0] {
                HANDSHAKE | ALERT => Heard::Nothing,
                _ => Heard::Blocked,
            });
        };
        if !self.half.settle(dir, around.terms) {
            return Err(Why::Opaque);
        }
        Ok(match &mut self.half {
            Half::Tls12(half) => half.open(header, body, around),
            Half::Tls13(half) => half.open(header, body, accepted, around),
            Half::Unsettled => Heard::Nothing,
        })
    }

    /// The first record in the window that opens: where it begins, its length, and what it came to. An error when there
    /// were too many that might have been one.
    pub(super) fn find(&mut self, around: &Around<'_>) -> Result<Option<(usize, usize, Heard)>, Why> {
        loop {
            let window = self.assembly.window();
            let Some(header) = window.get(self.searched..).and_then(<[u8]>::first_chunk).copied() else {
                return Ok(None);
            };
            if let Some(len) = plausible(header, around.terms) {
                let total = len.saturating_add(RECORD_HEADER_LEN);
                let place = self.searched..self.searched.saturating_add(total);
                let Some(record) = window.get(place) else {
                    return Ok(None);
                };
                self.tried = self.tried.saturating_add(1);
                if self.tried > TRIED_MAX_RECORDS {
                    return Err(Why::Desync);
                }
                let mut record = record.to_vec();
                let reach = self.assembly.reach(self.searched);
                let body = record.get_mut(RECORD_HEADER_LEN..).unwrap_or_default();
                let heard = match &mut self.half {
                    Half::Tls12(half) => half.recover(header, body, reach, around),
                    Half::Tls13(half) => half.recover(header, body, reach, around),
                    Half::Unsettled => None,
                };
                if let Some(heard) = heard {
                    self.assembly.replace(self.searched, &record);
                    return Ok(Some((self.searched, total, heard)));
                }
            }
            self.searched = self.searched.saturating_add(1);
        }
    }
}

impl Half {
    /// Whether version and cipher suite are some that can be opened.
    pub(super) fn settle(&mut self, dir: Direction, terms: &Terms) -> bool {
        if matches!(self, Self::Unsettled)
            && let Some(settled) = Self::settled(dir == Direction::ToServer, terms)
        {
            *self = settled;
        }
        !matches!(self, Self::Unsettled)
    }

    fn settled(client: bool, terms: &Terms) -> Option<Self> {
        Some(match terms.version {
            TLS_1_2 => Self::Tls12(Box::new(tls12::Half::new(client, Suite12::of(terms.cipher)?))),
            TLS_1_3 => {
                let suite = Suite13::of(terms.cipher)?;
                Self::Tls13(Box::new(tls13::Half::new(client, suite, terms.early_data)))
            }
            _ => return None,
        })
    }

    pub(super) fn sequence(&self) -> Option<u64> {
        match self {
            Self::Tls12(half) => half.sequence(),
            Self::Tls13(half) => half.sequence(),
            Self::Unsettled => None,
        }
    }

    pub(super) fn lose(&mut self, kind: u8) {
        match self {
            Self::Tls12(half) => half.lose(kind),
            Self::Tls13(half) => half.lose(kind),
            Self::Unsettled => {}
        }
    }

    pub(super) fn overhead_bytes(&self) -> u64 {
        match self {
            Self::Tls12(half) => half.overhead_bytes(),
            Self::Tls13(_) => RECORD_MIN_BYTES,
            Self::Unsettled => 0,
        }
    }
}

/// Length of the body, when a record with this header may be a protected one.
fn plausible(header: Header, terms: &Terms) -> Option<usize> {
    let versioned = [header[1], header[2]] == [3, 3];
    let len = record_length(header)?;
    let kind = terms.version < TLS_1_3 || header[0] == APPLICATION_DATA;
    (versioned && kind && (len as u64).saturating_add(RECORD_HEADER_LEN as u64) >= RECORD_MIN_BYTES).then_some(len)
}
