//! Which algorithms a cipher suite names: those that can be opened here. The numbers are those of IANA's registry, as the
//! crate `tls-parser` knows it.

use ring::{aead, hkdf, hmac};
use tls_parser::{TlsCipherEnc, TlsCipherEncMode, TlsCipherMac, TlsCipherSuite, TlsPRF};

/// Algorithms of TLS 1.3.
#[derive(Clone, Copy)]
pub(super) struct Suite13 {
    pub(super) cipher: &'static aead::Algorithm,
    pub(super) hash: hkdf::Algorithm,
}

impl Suite13 {
    /// RFC 8446, appendix B.4. CCM is left out.
    pub(super) fn of(number: u16) -> Option<Self> {
        let (cipher, hash) = match number {
            0x1301 => (&aead::AES_128_GCM, hkdf::HKDF_SHA256),
            0x1302 => (&aead::AES_256_GCM, hkdf::HKDF_SHA384),
            0x1303 => (&aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256),
            _ => return None,
        };
        Some(Self { cipher, hash })
    }
}

/// Algorithms of TLS 1.2.
#[derive(Clone, Copy)]
pub(super) struct Suite12 {
    pub(super) cipher: Cipher12,
    pub(super) prf: hmac::Algorithm,
}

/// How TLS 1.2 protects a record.
#[derive(Clone, Copy)]
pub(super) enum Cipher12 {
    /// AES in cipher block chaining.
    Cbc { key_bytes: usize, mac: hmac::Algorithm },
    /// RFC 7905.
    ChaCha20,
    /// RFC 5288.
    Gcm(&'static aead::Algorithm),
}

impl Suite12 {
    pub(super) fn of(number: u16) -> Option<Self> {
        let suite = TlsCipherSuite::from_id(number)?;
        let cipher = match (&suite.enc, &suite.enc_mode, suite.enc_size) {
            (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 128) => Cipher12::Gcm(&aead::AES_128_GCM),
            (TlsCipherEnc::Aes, TlsCipherEncMode::Gcm, 256) => Cipher12::Gcm(&aead::AES_256_GCM),
            (TlsCipherEnc::Chacha20_Poly1305, ..) => Cipher12::ChaCha20,
            (TlsCipherEnc::Aes, TlsCipherEncMode::Cbc, bits) => Cipher12::Cbc {
                key_bytes: usize::from(bits) / 8,
                mac: match suite.mac {
                    TlsCipherMac::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    TlsCipherMac::HmacSha256 => hmac::HMAC_SHA256,
                    TlsCipherMac::HmacSha384 => hmac::HMAC_SHA384,
                    _ => return None,
                },
            },
            _ => return None,
        };
        let prf = match suite.prf {
            TlsPRF::Sha384 => hmac::HMAC_SHA384,
            _ => hmac::HMAC_SHA256,
        };
        Some(Self { cipher, prf })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn suites_name_their_algorithms() {
        for (number, cipher, prf) in [
            (0x002f, "AES-128 CBC SHA1", "SHA256"),
            (0x0035, "AES-256 CBC SHA1", "SHA256"),
            (0xc013, "AES-128 CBC SHA1", "SHA256"),
            (0xc014, "AES-256 CBC SHA1", "SHA256"),
            (0x003c, "AES-128 CBC SHA256", "SHA256"),
            (0x003d, "AES-256 CBC SHA256", "SHA256"),
            (0xc027, "AES-128 CBC SHA256", "SHA256"),
            (0xc028, "AES-256 CBC SHA384", "SHA384"),
            (0xc024, "AES-256 CBC SHA384", "SHA384"),
            (0x009c, "AES-128 GCM", "SHA256"),
            (0xc02b, "AES-128 GCM", "SHA256"),
            (0xc02f, "AES-128 GCM", "SHA256"),
            (0x009d, "AES-256 GCM", "SHA384"),
            (0xc02c, "AES-256 GCM", "SHA384"),
            (0xc030, "AES-256 GCM", "SHA384"),
            (0xcca8, "ChaCha20", "SHA256"),
            (0xcca9, "ChaCha20", "SHA256"),
            (0xccaa, "ChaCha20", "SHA256"),
        ] {
            let suite = Suite12::of(number).unwrap();
            let named = match suite.cipher {
                Cipher12::Cbc { key_bytes, mac } => format!("AES-{} CBC {}", key_bytes * 8, hash(mac)),
                Cipher12::ChaCha20 => "ChaCha20".to_owned(),
                Cipher12::Gcm(cipher) => format!("AES-{} GCM", cipher.key_len() * 8),
            };
            assert_eq!((&*named, hash(suite.prf)), (cipher, prf), "{number:04x}");
        }
        // RC4, 3DES, Camellia, CCM, no encryption, no suite.
        for number in [0x0005, 0x000a, 0x0041, 0xc09c, 0x003b, 0x0a0a] {
            assert!(Suite12::of(number).is_none(), "{number:04x}");
        }
        assert!(Suite13::of(0x1304).is_none() && Suite13::of(0xc02f).is_none());
    }

    fn hash(algorithm: hmac::Algorithm) -> &'static str {
        match algorithm.digest_algorithm().output_len() {
            20 => "SHA1",
            32 => "SHA256",
            _ => "SHA384",
        }
    }
}
