//! Record protection: one record of one direction under one key (RFC 8446, section 5.2; RFC 5246, section 6.2.3;
//! RFC 5288; RFC 7905). Opens in place, in the buffer that the record was put together in. Seals nothing.

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::Prk;

use super::cbc::Cbc;
use super::derive::{KeyBlock, Length, expand, prf};
use super::suite::{Cipher12, Suite12, Suite13};
use crate::proto::tls::Terms;
use crate::proto::tls::frame::RECORD_HEADER_LEN;
use crate::stream::secrets::Secret;

/// Length of the nonce of an AEAD cipher, in bytes.
const NONCE_BYTES: usize = 12;
/// The part of it that GCM in TLS 1.2 sends along, in bytes (RFC 5288, section 3).
const EXPLICIT_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// First five bytes of a record: type, version, length.
pub(super) type Header = [u8; RECORD_HEADER_LEN];

/// Where an opened record's content lies in its body, and of what type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) kind: u8,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Keys of one direction.
pub(super) enum Protection {
    Cbc(Box<Cbc>),
    /// TLS 1.2.
    ChaCha20 {
        key: LessSafeKey,
        iv: [u8; NONCE_BYTES],
    },
    /// TLS 1.2.
    Gcm {
        key: LessSafeKey,
        salt: [u8; 4],
    },
    Tls13 {
        key: LessSafeKey,
        iv: [u8; NONCE_BYTES],
    },
}

impl Protection {
    /// RFC 8446, section 7.3.
    pub(super) fn tls13(suite: Suite13, secret: &Secret) -> Option<Self> {
        let secret = Prk::new_less_safe(suite.hash, secret.bytes());
        let key = expand(&secret, "key", suite.cipher, |okm| Some(UnboundKey::from(okm)))?;
        let mut iv = [0; NONCE_BYTES];
        expand(&secret, "iv", Length(NONCE_BYTES), |okm| okm.fill(&mut iv).ok())?;
        Some(Self::Tls13 {
            key: LessSafeKey::new(key),
            iv,
        })
    }

    /// Of client and server, in this order (RFC 5246, section 6.3).
    pub(super) fn tls12(suite: Suite12, master: &Secret, terms: &Terms) -> Option<[Self; 2]> {
        let (mac_bytes, key_bytes, iv_bytes) = match suite.cipher {
            // The initialisation vector is sent along with every record.
            Cipher12::Cbc { key_bytes, mac } => (mac.digest_algorithm().output_len(), key_bytes, 0),
            Cipher12::ChaCha20 => (0, aead::CHACHA20_POLY1305.key_len(), NONCE_BYTES),
            Cipher12::Gcm(cipher) => (0, cipher.key_len(), 4),
        };
        let each = mac_bytes.checked_add(key_bytes)?.checked_add(iv_bytes)?;
        let mut block = KeyBlock(vec![0; each.checked_mul(2)?]);
        let randoms = [&terms.server_random?[..], &terms.client_random?[..]];
        prf(suite.prf, master.bytes(), b"key expansion", randoms, &mut block.0);
        let (macs, rest) = block.0.split_at_checked(mac_bytes.checked_mul(2)?)?;
        let (keys, ivs) = rest.split_at_checked(key_bytes.checked_mul(2)?)?;
        let half = |bytes: &'_ [u8], len: usize, server: bool| -> Option<Vec<u8>> {
            let start = if server { len } else { 0 };
            Some(bytes.get(start..start.checked_add(len)?)?.to_vec())
        };
        let one = |server: bool| -> Option<Self> {
            let mac_key = KeyBlock(half(macs, mac_bytes, server)?);
            let key = KeyBlock(half(keys, key_bytes, server)?);
            let iv = half(ivs, iv_bytes, server)?;
            let aead = |cipher| UnboundKey::new(cipher, &key.0).ok().map(LessSafeKey::new);
            Some(match suite.cipher {
                Cipher12::Cbc { mac, .. } => {
                    let cbc = Cbc::new(&key.0, mac, &mac_key.0, terms.encrypt_then_mac)?;
                    Self::Cbc(Box::new(cbc))
                }
                Cipher12::ChaCha20 => Self::ChaCha20 {
                    key: aead(&aead::CHACHA20_POLY1305)?,
                    iv: iv.try_into().ok()?,
                },
                Cipher12::Gcm(cipher) => Self::Gcm {
                    key: aead(cipher)?,
                    salt: iv.try_into().ok()?,
                },
            })
        };
        Some([one(false)?, one(true)?])
    }

    /// Opens the record with this sequence number; `None` when it was not made so. Then the body is spoilt.
    pub(super) fn open(&self, sequence: u64, header: Header, body: &mut [u8]) -> Option<Opened> {
        match self {
            Self::Cbc(cbc) => cbc.open(sequence, header, body),
            Self::ChaCha20 { key, iv } => {
                let aad = described(sequence, header, body.len().checked_sub(TAG_BYTES)?)?;
                let opened = key.open_in_place(nonce(*iv, sequence), Aad::from(aad), body).ok()?;
                Some(Opened {
                    kind: header[0],
                    start: 0,
                    end: opened.len(),
                })
            }
            Self::Gcm { key, salt } => {
                let aad = described(sequence, header, body.len().checked_sub(EXPLICIT_BYTES + TAG_BYTES)?)?;
                let (explicit, sealed) = body.split_at_mut_checked(EXPLICIT_BYTES)?;
                let mut nonce = [0; NONCE_BYTES];
                nonce
                    .iter_mut()
                    .zip(salt.iter().chain(&*explicit))
                    .for_each(|(place, byte)| *place = *byte);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let opened = key.open_in_place(nonce, Aad::from(aad), sealed).ok()?;
                Some(Opened {
                    kind: header[0],
                    start: EXPLICIT_BYTES,
                    end: opened.len().checked_add(EXPLICIT_BYTES)?,
                })
            }
            Self::Tls13 { key, iv } => {
                let opened = key.open_in_place(nonce(*iv, sequence), Aad::from(header), body).ok()?;
                // Zeros fill up the record behind its type (RFC 8446, section 5.4).
                let end = opened.iter().rposition(|byte| *byte != 0)?;
                let kind = *opened.get(end)?;
                Some(Opened { kind, start: 0, end })
            }
        }
    }

    /// Bytes of a record that are no content, its header included; of CBC the least that there can be, of TLS 1.3 those
    /// without padding.
    pub(super) fn overhead_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Cbc(cbc) => cbc.overhead_bytes(),
            Self::ChaCha20 { .. } => TAG_BYTES,
            Self::Gcm { .. } => EXPLICIT_BYTES + TAG_BYTES,
            Self::Tls13 { .. } => TAG_BYTES + 1,
        };
        bytes.saturating_add(RECORD_HEADER_LEN) as u64
    }
}

/// The sequence number, filled up in front, over the initialisation vector (RFC 8446, section 5.3).
fn nonce(mut iv: [u8; NONCE_BYTES], sequence: u64) -> Nonce {
    for (byte, part) in iv.iter_mut().rev().zip(sequence.to_le_bytes()) {
        *byte ^= part;
    }
    Nonce::assume_unique_for_key(iv)
}

/// What TLS 1.2 authenticates besides the content (RFC 5246, section 6.2.3.3).
pub(super) fn described(sequence: u64, header: Header, len: usize) -> Option<[u8; 13]> {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sequence.to_be_bytes();
    let [kind, major, minor, ..] = header;
    let [high, low] = u16::try_from(len).ok()?.to_be_bytes();
    Some([s0, s1, s2, s3, s4, s5, s6, s7, kind, major, minor, high, low])
}
