//! One direction of TLS 1.3 (RFC 8446): which secret a record is under, and what its handshake messages change.
//!
//! ```text
//!  client   [early data]  ──► handshake ──► application ──► application, updated
//!  server                     handshake ──► application ──► application, updated
//! ```
//!
//! A key log may lack the secrets of the handshake, a server may refuse early data without a word in clear, and records
//! may be lost: so what does not open under one secret is tried under the next one. Handshake messages are followed by
//! their lengths alone, but for those that change keys.

use super::protect::{Header, Opened, Protection};
use super::side::{Around, Heard};
use super::suite::Suite13;
use crate::proto::tls::decrypt::derive::{Length, expand};
use crate::proto::tls::frame::{ALERT, APPLICATION_DATA, HANDSHAKE, MESSAGE_HEADER_LEN};
use crate::stream::secrets::{Label, Secret};
use ring::hkdf::Prk;

/// Handshake messages (RFC 8446, section 4).
const END_OF_EARLY_DATA: u8 = 5;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;

/// Number of the extension `early_data`.
const EARLY_DATA: u16 = 42;

/// Longest EncryptedExtensions that are looked into, in bytes; they are a few hundred at most.
const EXTENSIONS_MAX_BYTES: usize = 4 << 10;

/// Most records that may be passed over because nothing known opens them: refused early data, or a handshake without
/// its secrets.
const PASSED_MAX_RECORDS: u32 = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Early,
    Handshake,
    Application,
}

/// One direction.
pub(super) struct Half {
    client: bool,
    suite: Suite13,
    stage: Stage,
    epoch: Option<Box<Epoch>>,
    messages: Messages,
    /// The client said that it sends early data.
    early_offered: bool,
    /// The server has refused it.
    early_refused: bool,
    /// Server only: whether it takes early data, once it has said so.
    pub(super) early_accepted: Option<bool>,
    passed: u32,
    /// Records that were lost before there were keys for them.
    missed: u64,
    scratch: Vec<u8>,
}

/// Keys under one secret.
struct Epoch {
    protection: Protection,
    sequence: u64,
    secret: Secret,
}

impl Epoch {
    fn new(suite: Suite13, secret: Secret) -> Option<Box<Self>> {
        Some(Box::new(Self {
            protection: Protection::tls13(suite, &secret)?,
            sequence: 0,
            secret,
        }))
    }

    /// RFC 8446, section 7.2.
    fn next(&self, suite: Suite13) -> Option<Box<Self>> {
        let prk = Prk::new_less_safe(suite.hash, self.secret.bytes());
        let mut bytes = self.secret.clone();
        let length = Length(bytes.bytes().len());
        expand(&prk, "traffic upd", length, |okm| okm.fill(bytes.bytes_mut()).ok())?;
        Self::new(suite, bytes)
    }

    /// Opens a copy under so many sequence numbers in turn.
    fn try_open(&mut self, reach: u64, header: Header, body: &mut [u8], scratch: &mut Vec<u8>) -> Option<Opened> {
        for ahead in 0..reach {
            let sequence = self.sequence.saturating_add(ahead);
            scratch.clear();
            scratch.extend_from_slice(body);
            if let Some(opened) = self.protection.open(sequence, header, scratch) {
                body.copy_from_slice(scratch);
                self.sequence = sequence.saturating_add(1);
                return Some(opened);
            }
        }
        None
    }
}

impl Half {
    pub(super) fn new(client: bool, suite: Suite13, early_offered: bool) -> Self {
        Self {
            client,
            suite,
            stage: if client && early_offered {
                Stage::Early
            } else {
                Stage::Handshake
            },
            epoch: None,
            messages: Messages::default(),
            early_offered: client && early_offered,
            early_refused: false,
            early_accepted: None,
            passed: 0,
            missed: 0,
            scratch: Vec::new(),
        }
    }

    /// A record, opened in place. `accepted` is what the server said of early data.
    pub(super) fn open(
        &mut self,
        header: Header,
        body: &mut [u8],
        accepted: Option<bool>,
        around: &Around<'_>,
    ) -> Heard {
        if header[0] != APPLICATION_DATA {
            // Hellos, alerts before there are keys, and what is sent to please middleboxes.
            return Heard::Nothing;
        }
        if self.stage == Stage::Early {
            match self.early(header, body, accepted, around) {
                Heard::Failed => (self.stage, self.epoch) = (Stage::Handshake, None),
                heard => return heard,
            }
        }
        if self.stage == Stage::Handshake {
            return self.handshake(header, body, 1, around);
        }
        if let Some(heard) = self.load(around) {
            return heard;
        }
        let Some(epoch) = &mut self.epoch else {
            return Heard::Dark;
        };
        match epoch.protection.open(epoch.sequence, header, body) {
            Some(opened) => {
                epoch.sequence = epoch.sequence.saturating_add(1);
                self.hear(opened, body)
            }
            None => Heard::Failed,
        }
    }

    /// Finds the keys of the application when there are none; what keeps from it.
    fn load(&mut self, around: &Around<'_>) -> Option<Heard> {
        if self.epoch.is_none() {
            match self.find(Stage::Application, around) {
                Found::Known(epoch) => self.epoch = Some(self.ahead(epoch)),
                Found::MayCome => return Some(Heard::Blocked),
                Found::Unknown => return Some(Heard::Dark),
            }
        }
        None
    }

    /// Keys of the present stage, behind the records that were lost in front of them.
    fn ahead(&mut self, mut epoch: Box<Epoch>) -> Box<Epoch> {
        epoch.sequence = std::mem::take(&mut self.missed);
        epoch
    }

    /// Early data waits for the server's word: what it refuses is sent again.
    fn early(&mut self, header: Header, body: &mut [u8], accepted: Option<bool>, around: &Around<'_>) -> Heard {
        if accepted == Some(false) {
            self.early_refused = true;
            return Heard::Failed;
        }
        if self.epoch.is_none() {
            match self.find(Stage::Early, around) {
                Found::Known(epoch) => self.epoch = Some(epoch),
                // Whoever logs it does so first.
                Found::MayCome if around.secret(Label::ClientHandshakeTraffic).is_none() => return Heard::Blocked,
                Found::MayCome | Found::Unknown => return Heard::Failed,
            }
        }
        if accepted.is_none() && around.waits {
            return Heard::Blocked;
        }
        let Self { epoch, scratch, .. } = self;
        let opened = epoch
            .as_mut()
            .and_then(|epoch| epoch.try_open(1, header, body, scratch));
        opened.map_or(Heard::Failed, |opened| self.hear(opened, body))
    }

    /// A record of the handshake, or the first one behind it where its secrets are not known.
    fn handshake(&mut self, header: Header, body: &mut [u8], reach: u64, around: &Around<'_>) -> Heard {
        let fresh = self.epoch.is_none();
        if fresh {
            match self.find(Stage::Handshake, around) {
                Found::Known(epoch) => self.epoch = Some(self.ahead(epoch)),
                Found::MayCome => return Heard::Blocked,
                Found::Unknown => {}
            }
        }
        let Self { epoch, scratch, .. } = self;
        if let Some(opened) = epoch
            .as_mut()
            .and_then(|epoch| epoch.try_open(reach, header, body, scratch))
        {
            return self.hear(opened, body);
        }
        let unknown = self.epoch.is_none();
        match self.find(Stage::Application, around) {
            Found::Known(mut next) => {
                if let Some(opened) = next.try_open(reach, header, body, &mut self.scratch) {
                    self.enter(Stage::Application, Some(next));
                    return self.hear(opened, body);
                }
            }
            Found::MayCome if unknown => return Heard::Blocked,
            Found::Unknown if unknown => return Heard::Dark,
            Found::MayCome | Found::Unknown => {}
        }
        self.passed = self.passed.saturating_add(1);
        if (unknown || self.early_offered && fresh) && self.passed <= PASSED_MAX_RECORDS {
            if !self.early_offered {
                return Heard::Nothing;
            }
            self.epoch = None;
            // What was refused is sent again, and what was not has carried something.
            return if self.early_refused {
                Heard::Nothing
            } else {
                Heard::Missed
            };
        }
        Heard::Failed
    }

    /// A record that stands behind a loss of at most `reach` records.
    pub(super) fn recover(
        &mut self,
        header: Header,
        body: &mut [u8],
        reach: u64,
        around: &Around<'_>,
    ) -> Option<Heard> {
        if header[0] != APPLICATION_DATA {
            return None;
        }
        if self.stage != Stage::Application {
            (self.stage, self.epoch) = (
                Stage::Handshake,
                self.epoch.take().filter(|_| self.stage == Stage::Handshake),
            );
            self.messages.lose();
            let heard = self.handshake(header, body, reach, around);
            return matches!(heard, Heard::Data(_) | Heard::Closed | Heard::Opened).then_some(heard);
        }
        let _ = self.load(around);
        let Self { epoch, scratch, .. } = self;
        let opened = epoch.as_mut()?.try_open(reach, header, body, scratch)?;
        self.messages = Messages::default();
        Some(self.hear(opened, body))
    }

    /// A record was lost, and its place in the sequence is known.
    pub(super) fn lose(&mut self, kind: u8) {
        if kind != APPLICATION_DATA {
            return;
        }
        if self.stage == Stage::Application {
            // What comes behind the handshake is short: a record begins with a message, as a rule.
            self.messages = Messages::default();
        } else {
            self.messages.lose();
            // Whether early data was taken is not known any more; as a rule it is.
            self.early_accepted.get_or_insert(true);
        }
        let sequence = self
            .epoch
            .as_mut()
            .map_or(&mut self.missed, |epoch| &mut epoch.sequence);
        *sequence = sequence.saturating_add(1);
    }

    /// Sequence number of the next record under the keys of the application.
    pub(super) fn sequence(&self) -> Option<u64> {
        let sequence = self.epoch.as_ref().map_or(self.missed, |epoch| epoch.sequence);
        (self.stage == Stage::Application).then_some(sequence)
    }

    fn find(&self, stage: Stage, around: &Around<'_>) -> Found {
        let label = match (stage, self.client) {
            (Stage::Early, _) => Label::ClientEarlyTraffic,
            (Stage::Handshake, true) => Label::ClientHandshakeTraffic,
            (Stage::Handshake, false) => Label::ServerHandshakeTraffic,
            (Stage::Application, true) => Label::ClientTraffic,
            (Stage::Application, false) => Label::ServerTraffic,
        };
        match around.secret(label) {
            Some(secret) => Epoch::new(self.suite, secret).map_or(Found::Unknown, Found::Known),
            // Who logs what comes later has left this one out.
            None if around.patient && stage == Stage::Handshake => match self.find(Stage::Application, around) {
                Found::Known(_) => Found::Unknown,
                other => other,
            },
            None if around.patient => Found::MayCome,
            None => Found::Unknown,
        }
    }

    fn enter(&mut self, stage: Stage, epoch: Option<Box<Epoch>>) {
        (self.stage, self.epoch) = (stage, epoch);
        (self.messages, self.missed) = (Messages::default(), 0);
    }

    /// What an opened record says.
    fn hear(&mut self, opened: Opened, body: &[u8]) -> Heard {
        let content = body.get(opened.start..opened.end).unwrap_or_default();
        match opened.kind {
            APPLICATION_DATA => Heard::Data(opened.start..opened.end),
            ALERT if content.get(1) == Some(&0) => Heard::Closed,
            HANDSHAKE => {
                let mut changed = None;
                let client = self.client;
                let accepted = &mut self.early_accepted;
                self.messages.read(content, &mut |kind, body| match kind {
                    ENCRYPTED_EXTENSIONS if !client => *accepted = Some(has_early_data(body)),
                    END_OF_EARLY_DATA | FINISHED | KEY_UPDATE => changed = Some(kind),
                    _ => {}
                });
                match (changed, self.stage) {
                    (Some(END_OF_EARLY_DATA), Stage::Early) => {
                        self.early_offered = false;
                        self.enter(Stage::Handshake, None);
                    }
                    (Some(FINISHED), Stage::Handshake) => self.enter(Stage::Application, None),
                    (Some(KEY_UPDATE), Stage::Application) => {
                        let next = self.epoch.as_ref().and_then(|epoch| epoch.next(self.suite));
                        self.enter(Stage::Application, next);
                    }
                    _ => {}
                }
                Heard::Opened
            }
            _ => Heard::Opened,
        }
    }
}

enum Found {
    Known(Box<Epoch>),
    MayCome,
    Unknown,
}

/// Handshake messages over several records, by their lengths.
#[derive(Default)]
struct Messages {
    header: Vec<u8>,
    left: usize,
    /// Of EncryptedExtensions only.
    body: Vec<u8>,
    /// A record was lost: where messages begin is unknown until the next keys.
    lost: bool,
}

impl Messages {
    fn lose(&mut self) {
        self.lost = true;
    }

    /// Tells the messages that end in this piece.
    fn read(&mut self, mut content: &[u8], tell: &mut dyn FnMut(u8, &[u8])) {
        while !self.lost && !content.is_empty() {
            if self.header.len() < MESSAGE_HEADER_LEN {
                let missing = MESSAGE_HEADER_LEN.saturating_sub(self.header.len());
                let (now, later) = content.split_at_checked(missing).unwrap_or((content, &[]));
                self.header.extend_from_slice(now);
                content = later;
                let Some([_, high, middle, low]) = self.header.first_chunk() else {
                    return;
                };
                self.left = usize::try_from(u32::from_be_bytes([0, *high, *middle, *low])).unwrap_or(usize::MAX);
            }
            let (now, later) = content.split_at_checked(self.left).unwrap_or((content, &[]));
            self.left = self.left.saturating_sub(now.len());
            content = later;
            let kind = self.header.first().copied().unwrap_or_default();
            if kind == ENCRYPTED_EXTENSIONS && self.body.len().saturating_add(now.len()) <= EXTENSIONS_MAX_BYTES {
                self.body.extend_from_slice(now);
            }
            if self.left == 0 {
                tell(kind, &self.body);
                self.header.clear();
                self.body.clear();
            }
        }
    }
}

/// Whether EncryptedExtensions (RFC 8446, section 4.3.1) take early data.
fn has_early_data(body: &[u8]) -> bool {
    let mut rest = body.get(2..).unwrap_or_default();
    while let Some(([kind_high, kind_low, high, low], after)) = rest.split_first_chunk() {
        if u16::from_be_bytes([*kind_high, *kind_low]) == EARLY_DATA {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = after.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_message_that_a_loss_broke_off_hides_no_key_update() {
        let mut half = Half::new(false, Suite13::of(0x1301).unwrap(), false);
        half.stage = Stage::Application;
        // A ticket of 200 bytes, of which the rest is lost.
        half.messages.read(&[4, 0, 0, 200, 1, 2, 3], &mut |_, _| {});
        half.lose(APPLICATION_DATA);
        let mut told = Vec::new();
        half.messages
            .read(&[KEY_UPDATE, 0, 0, 1, 0], &mut |kind, _| told.push(kind));
        assert_eq!((told, half.missed), (vec![KEY_UPDATE], 1));
    }
}
