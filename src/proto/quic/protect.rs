//! Packet protection (RFC 9001, section 5): keys from a secret, header protection, packet numbers, and the opening of
//! a packet. The secrets of Initial packets come from what everybody can see.
//!
//! Seals nothing, and keeps no secret longer than it takes to derive keys from it; the next secret of a key update is
//! kept by the caller.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use ring::aead::quic::{self, HeaderProtectionKey};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{self, Prk, Salt};
use zeroize::Zeroizing;

use super::version::{Use, Version};
use crate::model::net::Direction;
use crate::proto::tls::decrypt::derive::{Length, expand};
use crate::stream::secrets::{SECRET_MAX_BYTES, Secret};

const IV_BYTES: usize = 12;
/// Where the sample of header protection begins, behind the first byte of the packet number.
const SAMPLE_AT: usize = 4;
const SAMPLE_BYTES: usize = 16;
/// Length of the secret of an Initial packet: the output of SHA-256.
const SECRET_BYTES: usize = 32;
const AES_128_KEY_BYTES: usize = 16;
const AES_BLOCK_BYTES: usize = 16;
const LONG: u8 = 0x80;
/// In the first byte of a short header: which keys of an update protect it (RFC 9001, section 6).
const KEY_PHASE: u8 = 0x04;

/// A cipher suite of TLS 1.3, as far as QUIC allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    Aes128,
    Aes256,
    ChaCha20,
}

impl Suite {
    /// Those with secrets of this length.
    pub(super) const fn of_secret(length: usize) -> &'static [Self] {
        match length {
            32 => &[Self::Aes128, Self::ChaCha20],
            48 => &[Self::Aes256],
            _ => &[],
        }
    }

    fn hash(self) -> hkdf::Algorithm {
        match self {
            Self::Aes128 | Self::ChaCha20 => hkdf::HKDF_SHA256,
            Self::Aes256 => hkdf::HKDF_SHA384,
        }
    }

    const fn packet(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128 => &aead::AES_128_GCM,
            Self::Aes256 => &aead::AES_256_GCM,
            Self::ChaCha20 => &aead::CHACHA20_POLY1305,
        }
    }

    const fn header(self) -> &'static quic::Algorithm {
        match self {
            Self::Aes128 => &quic::AES_128,
            Self::Aes256 => &quic::AES_256,
            Self::ChaCha20 => &quic::CHACHA20,
        }
    }
}

/// Keys of one direction at one encryption level.
pub(super) struct Keys {
    header: HeaderProtectionKey,
    pub(super) packet: PacketKey,
}

/// What opens the payload of packets.
pub(super) struct PacketKey {
    key: LessSafeKey,
    iv: [u8; IV_BYTES],
}

/// A packet without its protection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened<'b> {
    /// Packet number, whole.
    pub(super) number: u64,
    /// Frames.
    pub(super) payload: &'b [u8],
}

/// A packet without header protection, in the buffer that it was put into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bare {
    /// Packet number, whole.
    pub(super) number: u64,
    /// Key phase of a short header.
    pub(super) phase: bool,
    header_len: usize,
}

impl Keys {
    /// Keys of the Initial packets that travel in `dir` (RFC 9001, section 5.2). `origin` is the connection id that the
    /// client chose for the server: of its first packet, or of the first one behind a Retry.
    pub(super) fn initial(version: Version, origin: &[u8], dir: Direction) -> Option<Self> {
        Self::derive(version, Suite::Aes128, &initial_secret(version, origin, dir)?)
    }

    /// Keys from a secret of the handshake.
    pub(super) fn derive(version: Version, suite: Suite, secret: &[u8]) -> Option<Self> {
        let prk = Prk::new_less_safe(suite.hash(), secret);
        let header = expand(&prk, version.label(Use::HeaderProtection), suite.header(), |okm| {
            Some(HeaderProtectionKey::from(okm))
        })?;
        let packet = PacketKey::derive(version, suite, secret)?;
        Some(Self { header, packet })
    }

    /// Takes the protection off a packet, into `buffer`; `None` when these are not its keys. `number_at` is where its
    /// packet number begins, `largest` the highest number of that direction and level so far.
    pub(super) fn open<'b>(
        &self,
        whole: &[u8],
        number_at: usize,
        largest: Option<u64>,
        buffer: &'b mut Vec<u8>,
    ) -> Option<Opened<'b>> {
        let bare = self.bare(whole, number_at, largest, buffer)?;
        self.packet.open(&bare, buffer)
    }

    /// Takes the protection off the header of a packet, into `buffer`.
    pub(super) fn bare(
        &self,
        whole: &[u8],
        number_at: usize,
        largest: Option<u64>,
        buffer: &mut Vec<u8>,
    ) -> Option<Bare> {
        let sample_at = number_at.checked_add(SAMPLE_AT)?;
        let sample = whole.get(sample_at..sample_at.checked_add(SAMPLE_BYTES)?)?;
        let [mask, number_mask @ ..] = self.header.new_mask(sample).ok()?;
        buffer.clear();
        buffer.extend_from_slice(whole);
        let first = buffer.first_mut()?;
        // Of a long header four bits are protected, of a short one five (RFC 9001, section 5.4.1).
        *first ^= mask & if *first & LONG == 0 { 0x1f } else { 0x0f };
        let phase = *first & KEY_PHASE != 0;
        let length = usize::from(*first & 3).checked_add(1)?;
        let header_len = number_at.checked_add(length)?;
        let mut truncated = 0_u32;
        for (byte, mask) in buffer.get_mut(number_at..header_len)?.iter_mut().zip(number_mask) {
            *byte ^= mask;
            truncated = truncated << 8 | u32::from(*byte);
        }
        Some(Bare {
            number: whole_number(truncated, length, largest),
            phase,
            header_len,
        })
    }
}

impl PacketKey {
    /// From a secret of the handshake or of a key update.
    pub(super) fn derive(version: Version, suite: Suite, secret: &[u8]) -> Option<Self> {
        let prk = Prk::new_less_safe(suite.hash(), secret);
        let mut iv = [0; IV_BYTES];
        expand(&prk, version.label(Use::Iv), Length(IV_BYTES), |okm| {
            okm.fill(&mut iv).ok()
        })?;
        let key = expand(&prk, version.label(Use::Packet), suite.packet(), |okm| {
            Some(UnboundKey::from(okm))
        })?;
        Some(Self {
            key: LessSafeKey::new(key),
            iv,
        })
    }

    /// Takes the protection off the payload. What is in the buffer is of no more use when that fails.
    pub(super) fn open<'b>(&self, bare: &Bare, buffer: &'b mut [u8]) -> Option<Opened<'b>> {
        let (header, payload) = buffer.split_at_mut_checked(bare.header_len)?;
        let nonce = Nonce::assume_unique_for_key(self.nonce(bare.number));
        let payload = self.key.open_in_place(nonce, Aad::from(&*header), payload).ok()?;
        Some(Opened {
            number: bare.number,
            payload,
        })
    }

    fn nonce(&self, number: u64) -> [u8; IV_BYTES] {
        let mut nonce = self.iv;
        for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        nonce
    }
}

/// What came of an Initial that the capture has cut, into `buffer`. The tag is missing, so that nothing proves the keys
/// but what comes out.
pub(super) fn peek<'b>(
    (version, origin, dir): (Version, &[u8], Direction),
    whole: &[u8],
    number_at: usize,
    buffer: &'b mut Vec<u8>,
) -> Option<&'b [u8]> {
    let secret = initial_secret(version, origin, dir)?;
    let keys = Keys::derive(version, Suite::Aes128, &secret)?;
    let bare = keys.bare(whole, number_at, None, buffer)?;
    let prk = Prk::new_less_safe(hkdf::HKDF_SHA256, &secret);
    let mut key = [0; AES_128_KEY_BYTES];
    expand(&prk, version.label(Use::Packet), Length(AES_128_KEY_BYTES), |okm| {
        okm.fill(&mut key).ok()
    })?;
    let cipher = Aes128::new(&key.into());
    let nonce = keys.packet.nonce(bare.number);
    let payload = buffer.get_mut(bare.header_len..)?;
    // GCM counts from 2 (NIST SP 800-38D, section 7.1).
    for (piece, counter) in payload.chunks_mut(AES_BLOCK_BYTES).zip(2_u32..) {
        let mut block = [0; AES_BLOCK_BYTES];
        let place = block.iter_mut();
        place
            .zip(nonce.into_iter().chain(counter.to_be_bytes()))
            .for_each(|(to, from)| *to = from);
        let mut block = block.into();
        cipher.encrypt_block(&mut block);
        piece.iter_mut().zip(block).for_each(|(byte, mask)| *byte ^= mask);
    }
    Some(payload)
}

/// The secret of the Initial packets that travel in `dir`.
fn initial_secret(version: Version, origin: &[u8], dir: Direction) -> Option<[u8; SECRET_BYTES]> {
    let label = match dir {
        Direction::ToServer => "client in",
        Direction::ToClient => "server in",
    };
    let common = Salt::new(hkdf::HKDF_SHA256, version.salt()).extract(origin);
    let mut secret = [0; SECRET_BYTES];
    expand(&common, label, Length(SECRET_BYTES), |okm| okm.fill(&mut secret).ok())?;
    Some(secret)
}

/// The secret behind this one (RFC 9001, section 6.1).
pub(super) fn update(version: Version, suite: Suite, secret: &Secret) -> Option<Secret> {
    let bytes = secret.bytes();
    let mut next = Zeroizing::new([0; SECRET_MAX_BYTES]);
    let out = next.get_mut(..bytes.len())?;
    let prk = Prk::new_less_safe(suite.hash(), bytes);
    expand(&prk, version.label(Use::Update), Length(bytes.len()), |okm| {
        okm.fill(out).ok()
    })?;
    Secret::new(next.get(..bytes.len())?)
}
/// A packet number from its last `length` bytes (RFC 9000, appendix A.3).
fn whole_number(truncated: u32, length: usize, largest: Option<u64>) -> u64 {
    let expected = largest.map_or(0, |largest| largest.saturating_add(1));
    let window = 1_u64 << (length.saturating_mul(8) & 63);
    let half = window >> 1;
    let candidate = expected & !window.wrapping_sub(1) | u64::from(truncated);
    if candidate.saturating_add(half) <= expected && candidate < (1_u64 << 62).saturating_sub(window) {
        candidate.saturating_add(window)
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate.saturating_sub(window)
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::super::vectors::{self, hex};
    use super::*;

    /// RFC 9001 and RFC 9369, appendices A.2 and A.3.
    #[test]
    fn opens_the_published_packets() {
        for (version, client, server) in [
            (Version::V1, vectors::V1_CLIENT, vectors::V1_SERVER),
            (Version::V2, vectors::V2_CLIENT, vectors::V2_SERVER),
        ] {
            for (dir, packet, number, payload) in [
                (Direction::ToServer, client, 2, vectors::CLIENT_PAYLOAD),
                (Direction::ToClient, server, 1, vectors::SERVER_PAYLOAD),
            ] {
                let packet = hex(packet);
                let mut payload = hex(payload);
                payload.resize(
                    packet.len() - (18 + if dir == Direction::ToServer { 4 } else { 2 }) - 16,
                    0,
                );
                let mut buffer = Vec::new();
                let keys = Keys::initial(version, &hex(vectors::DCID), dir).unwrap();
                let opened = keys.open(&packet, 18, None, &mut buffer).unwrap();
                assert_eq!((opened.number, opened.payload), (number, &payload[..]));
                let other = Keys::initial(version, &hex(vectors::DCID), dir.flip()).unwrap();
                assert!(other.open(&packet, 18, None, &mut buffer).is_none());
                for damage in [0, 5, 18, 40, packet.len() - 1] {
                    let mut packet = packet.clone();
                    packet[damage] ^= 4;
                    assert!(keys.open(&packet, 18, None, &mut buffer).is_none());
                }
                for length in 0..60 {
                    assert!(keys.open(&packet[..length], 18, None, &mut buffer).is_none());
                }
            }
        }
    }

    /// RFC 9001 and RFC 9369, appendix A.5, with the secret of the next key phase.
    #[test]
    fn opens_the_published_short_header() {
        let secret = Secret::new(&hex(vectors::CHACHA20_SECRET)).unwrap();
        for (version, packet, next) in [
            (
                Version::V1,
                vectors::V1_CHACHA20,
                "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9",
            ),
            (
                Version::V2,
                vectors::V2_CHACHA20,
                "c69374c49e3d2a9466fa689e49d476db5d0dfbc87d32ceeaa6343fd0ae4c7d88",
            ),
        ] {
            let keys = Keys::derive(version, Suite::ChaCha20, secret.bytes()).unwrap();
            let mut buffer = Vec::new();
            let opened = keys.open(&hex(packet), 1, Some(654_360_563), &mut buffer).unwrap();
            assert_eq!((opened.number, opened.payload), (654_360_564, &[1][..]));
            assert_eq!(update(version, Suite::ChaCha20, &secret).unwrap().bytes(), hex(next));
        }
    }

    #[test]
    fn completes_packet_numbers() {
        // RFC 9000, appendix A.3, and the ends of the range.
        for (truncated, length, largest, number) in [
            (0x9b32, 2, Some(0xa82f_30ea), 0xa82f_9b32),
            (0, 1, None, 0),
            (0xff, 1, None, 0xff),
            (1, 1, Some(254), 257),
            (0xfe, 1, Some(256), 254),
        ] {
            assert_eq!(whole_number(truncated, length, largest), number);
        }
    }
}
