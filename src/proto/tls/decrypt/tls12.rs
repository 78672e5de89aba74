//! One direction of TLS 1.2 (RFC 5246): clear up to ChangeCipherSpec, then under keys from the master secret, which is
//! the same whether a session is new or resumed.
//!
//! A renegotiation would need the hellos inside; it is refused, as nearly every peer does.

use super::protect::{Header, Opened, Protection};
use super::side::{Around, Heard};
use super::suite::Suite12;
use crate::proto::tls::frame::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE};
use crate::proto::tls::hello::{CLIENT_HELLO, SERVER_HELLO};
use crate::stream::secrets::Label;

/// One direction.
pub(super) struct Half {
    client: bool,
    suite: Suite12,
    /// ChangeCipherSpec has gone by.
    sealed: bool,
    protection: Option<Protection>,
    sequence: u64,
    scratch: Vec<u8>,
}

impl Half {
    pub(super) fn new(client: bool, suite: Suite12) -> Self {
        Self {
            client,
            suite,
            sealed: false,
            protection: None,
            sequence: 0,
            scratch: Vec::new(),
        }
    }

    /// A record, opened in place.
    pub(super) fn open(&mut self, header: Header, body: &mut [u8], around: &Around<'_>) -> Heard {
        match (header[0], self.sealed) {
            (CHANGE_CIPHER_SPEC, true) => return Heard::Refused,
            (CHANGE_CIPHER_SPEC, false) => {
                self.sealed = true;
                return Heard::Nothing;
            }
            (_, false) => return Heard::Nothing,
            (_, true) => {}
        }
        if let Some(heard) = self.derive(around) {
            return heard;
        }
        let opened = self
            .protection
            .as_ref()
            .and_then(|keys| keys.open(self.sequence, header, body));
        match opened {
            Some(opened) => {
                self.sequence = self.sequence.saturating_add(1);
                hear(opened, body)
            }
            None => Heard::Failed,
        }
    }

    /// Derives the keys when there are none; what keeps from it.
    fn derive(&mut self, around: &Around<'_>) -> Option<Heard> {
        if self.protection.is_some() {
            return None;
        }
        let Some(master) = around.secret(Label::Master) else {
            return Some(if around.patient { Heard::Blocked } else { Heard::Dark });
        };
        let keys = Protection::tls12(self.suite, &master, around.terms);
        self.protection = keys.map(|[client, server]| if self.client { client } else { server });
        None
    }

    /// A record that stands behind a loss of at most `reach` records.
    pub(super) fn recover(
        &mut self,
        header: Header,
        body: &mut [u8],
        reach: u64,
        around: &Around<'_>,
    ) -> Option<Heard> {
        if header[0] == CHANGE_CIPHER_SPEC || self.derive(around).is_some() {
            return None;
        }
        let keys = self.protection.as_ref()?;
        for ahead in 0..reach {
            let sequence = self.sequence.saturating_add(ahead);
            self.scratch.clear();
            self.scratch.extend_from_slice(body);
            if let Some(opened) = keys.open(sequence, header, &mut self.scratch) {
                body.copy_from_slice(&self.scratch);
                self.sequence = sequence.saturating_add(1);
                self.sealed = true;
                return Some(hear(opened, body));
            }
        }
        None
    }

    /// A record was lost, and its place in the sequence is known.
    pub(super) fn lose(&mut self, kind: u8) {
        if kind == CHANGE_CIPHER_SPEC {
            self.sealed = true;
        } else if self.sealed {
            self.sequence = self.sequence.saturating_add(1);
        }
    }

    /// Sequence number of the next record that may have content: the first one ends the handshake.
    pub(super) fn sequence(&self) -> Option<u64> {
        self.sequence.checked_sub(1)
    }

    /// Bytes of a record that are no content.
    pub(super) fn overhead_bytes(&self) -> u64 {
        self.protection.as_ref().map_or(0, Protection::overhead_bytes)
    }
}

fn hear(opened: Opened, body: &[u8]) -> Heard {
    let content = body.get(opened.start..opened.end).unwrap_or_default();
    match (opened.kind, content) {
        (APPLICATION_DATA, _) => Heard::Data(opened.start..opened.end),
        (ALERT, [_, 0]) => Heard::Closed,
        (HANDSHAKE, [CLIENT_HELLO | SERVER_HELLO, ..]) => Heard::Refused,
        _ => Heard::Opened,
    }
}
