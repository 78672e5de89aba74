//! Packet protection (RFC 9001, section 5): keys from a secret, header protection, packet numbers, and the opening of
//! a packet. The secrets of Initial packets come from what everybody can see.
//!
//! Seals nothing and keeps no secret longer than it takes to derive keys from it.

use ring::aead::quic::{self, HeaderProtectionKey};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{self, KeyType, Prk, Salt};

use super::version::{Use, Version};
use crate::model::net::Direction;

const IV_BYTES: usize = 12;
/// Where the sample of header protection begins, behind the first byte of the packet number.
const SAMPLE_AT: usize = 4;
const SAMPLE_BYTES: usize = 16;
/// Length of the secret of an Initial packet: the output of SHA-256.
const SECRET_BYTES: usize = 32;

/// Keys of one direction at one encryption level.
pub(super) struct Keys {
    packet: LessSafeKey,
    iv: [u8; IV_BYTES],
    header: HeaderProtectionKey,
}

/// A packet without its protection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened<'b> {
    /// Packet number, whole.
    pub(super) number: u64,
    /// Frames.
    pub(super) payload: &'b [u8],
}

impl Keys {
    /// Keys of the Initial packets that travel in `dir` (RFC 9001, section 5.2). `origin` is the connection id that the
    /// client chose for the server: of its first packet, or of the first one behind a Retry.
    pub(super) fn initial(version: Version, origin: &[u8], dir: Direction) -> Option<Self> {
        let label = match dir {
            Direction::ToServer => "client in",
            Direction::ToClient => "server in",
        };
        let common = Salt::new(hkdf::HKDF_SHA256, version.salt()).extract(origin);
        let mut secret = [0; SECRET_BYTES];
        expand(&common, label, hkdf::HKDF_SHA256, |okm| okm.fill(&mut secret).ok())?;
        let secret = Prk::new_less_safe(hkdf::HKDF_SHA256, &secret);
        Self::derive(version, &secret, &aead::AES_128_GCM, &quic::AES_128)
    }

    fn derive(
        version: Version,
        secret: &Prk,
        packet: &'static aead::Algorithm,
        header: &'static quic::Algorithm,
    ) -> Option<Self> {
        let mut iv = [0; IV_BYTES];
        expand(secret, version.label(Use::Iv), Length(IV_BYTES), |okm| {
            okm.fill(&mut iv).ok()
        })?;
        let packet = expand(secret, version.label(Use::Packet), packet, |okm| {
            Some(UnboundKey::from(okm))
        })?;
        Some(Self {
            packet: LessSafeKey::new(packet),
            iv,
            header: expand(secret, version.label(Use::HeaderProtection), header, |okm| {
                Some(HeaderProtectionKey::from(okm))
            })?,
        })
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
        let sample_at = number_at.checked_add(SAMPLE_AT)?;
        let sample = whole.get(sample_at..sample_at.checked_add(SAMPLE_BYTES)?)?;
        let [mask, number_mask @ ..] = self.header.new_mask(sample).ok()?;
        buffer.clear();
        buffer.extend_from_slice(whole);
        let first = buffer.first_mut()?;
        // Of a long header four bits are protected, of a short one five (RFC 9001, section 5.4.1).
        *first ^= mask & if *first & 0x80 == 0 { 0x1f } else { 0x0f };
        let length = usize::from(*first & 3).checked_add(1)?;
        let (header, payload) = buffer.split_at_mut_checked(number_at.checked_add(length)?)?;
        let mut truncated = 0_u32;
        for (byte, mask) in header.get_mut(number_at..)?.iter_mut().zip(number_mask) {
            *byte ^= mask;
            truncated = truncated << 8 | u32::from(*byte);
        }
        let number = whole_number(truncated, length, largest);
        let nonce = Nonce::assume_unique_for_key(self.nonce(number));
        let payload = self.packet.open_in_place(nonce, Aad::from(&*header), payload).ok()?;
        Some(Opened { number, payload })
    }

    fn nonce(&self, number: u64) -> [u8; IV_BYTES] {
        let mut nonce = self.iv;
        for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        nonce
    }
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

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand<L: KeyType, T>(
    secret: &Prk,
    label: &str,
    length: L,
    take: impl FnOnce(hkdf::Okm<'_, L>) -> Option<T>,
) -> Option<T> {
    const PREFIX: &[u8] = b"tls13 ";
    let bytes = u16::try_from(length.len()).ok()?.to_be_bytes();
    let label_bytes = [u8::try_from(PREFIX.len().saturating_add(label.len())).ok()?];
    let info = [&bytes[..], &label_bytes, PREFIX, label.as_bytes(), &[0]];
    take(secret.expand(&info, length).ok()?)
}

/// So many bytes of output.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
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
