//! AES in cipher block chaining with an HMAC, as TLS 1.2 has it (RFC 5246, section 6.2.3.2): the MAC over the content,
//! encrypted along with it, or over what was encrypted (RFC 7366). TLS 1.1 protects its records in the same way.

use aes::cipher::{Array, BlockModeDecrypt as _, InnerIvInit as _, KeyInit as _};
use aes::{Aes128, Aes256};
use ring::hmac;

use super::protect::{Header, Opened, described};

const BLOCK_BYTES: usize = 16;

pub(super) struct Cbc {
    cipher: Aes,
    mac: hmac::Key,
    mac_bytes: usize,
    encrypt_then_mac: bool,
}

enum Aes {
    Bits128(Box<Aes128>),
    Bits256(Box<Aes256>),
}

impl Cbc {
    pub(super) fn new(key: &[u8], mac: hmac::Algorithm, mac_key: &[u8], encrypt_then_mac: bool) -> Option<Self> {
        let cipher = match key.len() {
            16 => Aes::Bits128(Box::new(Aes128::new_from_slice(key).ok()?)),
            32 => Aes::Bits256(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        };
        Some(Self {
            cipher,
            mac: hmac::Key::new(mac, mac_key),
            mac_bytes: mac.digest_algorithm().output_len(),
            encrypt_then_mac,
        })
    }

    /// See [`Protection::open`](super::protect::Protection::open).
    pub(super) fn open(&self, sequence: u64, header: Header, body: &mut [u8]) -> Option<Opened> {
        let sealed = if self.encrypt_then_mac {
            let end = body.len().checked_sub(self.mac_bytes)?;
            let (sealed, tag) = body.split_at_checked(end)?;
            self.verify(sequence, header, sealed, tag)?;
            end
        } else {
            body.len()
        };
        self.decrypt(body.get_mut(..sealed)?)?;
        let padding = *body.get(..sealed)?.last()?;
        let end = sealed.checked_sub(usize::from(padding).checked_add(1)?)?;
        let filled = body.get(end..sealed)?.iter().all(|byte| *byte == padding);
        let content_end = if self.encrypt_then_mac {
            end
        } else {
            end.checked_sub(self.mac_bytes)?
        };
        let content = body.get(BLOCK_BYTES..content_end)?;
        if !filled {
            return None;
        }
        if !self.encrypt_then_mac {
            self.verify(sequence, header, content, body.get(content_end..end)?)?;
        }
        Some(Opened {
            kind: header[0],
            start: BLOCK_BYTES,
            end: content_end,
        })
    }

    /// Whether the tag is that of the covered bytes.
    fn verify(&self, sequence: u64, header: Header, covered: &[u8], tag: &[u8]) -> Option<()> {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(&described(sequence, header, covered.len())?);
        context.update(covered);
        (context.sign().as_ref() == tag).then_some(())
    }

    /// Decrypts whole blocks behind their initialisation vector.
    fn decrypt(&self, body: &mut [u8]) -> Option<()> {
        let (iv, sealed) = body.split_first_chunk_mut::<BLOCK_BYTES>()?;
        let iv = Array::from(*iv);
        let (blocks, rest) = Array::slice_as_chunks_mut(sealed);
        if blocks.is_empty() || !rest.is_empty() {
            return None;
        }
        match &self.cipher {
            Aes::Bits128(cipher) => cbc::Decryptor::inner_iv_init(cipher.as_ref().clone(), &iv).decrypt_blocks(blocks),
            Aes::Bits256(cipher) => cbc::Decryptor::inner_iv_init(cipher.as_ref().clone(), &iv).decrypt_blocks(blocks),
        }
        Some(())
    }

    /// Bytes of a record's body that are no content, at least.
    pub(super) const fn overhead_bytes(&self) -> usize {
        // The initialisation vector, and one byte of padding.
        self.mac_bytes.saturating_add(BLOCK_BYTES + 1)
    }
}
