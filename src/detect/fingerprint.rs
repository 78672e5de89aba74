//! Keyed hashes: the same secret is recognised in two places without being kept (contract, 'Samples').

use std::fmt;

use ring::hmac;
use ring::rand::SystemRandom;

/// Makes fingerprints: HMAC-SHA-256 (RFC 2104), of which the first 128 bits are kept.
///
/// With the organisation's key two sensors give the same fingerprint; without one each run has a random key, and nothing
/// that a report shows may depend on a fingerprint or on an order of them.
#[derive(Clone)]
pub struct Fingerprints(hmac::Key);

impl Fingerprints {
    /// With the organisation's key.
    pub fn keyed(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// With a key of this run alone. Where the system gives no random bytes fingerprints are those of an empty key: they
    /// never leave the process, so that costs secrecy of nothing that is written.
    pub fn random() -> Self {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_or_else(|_| Self::keyed(&[]), Self)
    }

    /// The fingerprint of a secret: two secrets share one with a chance of 2^-128.
    pub fn of(&self, secret: &[u8]) -> u128 {
        let tag = hmac::sign(&self.0, secret);
        tag.as_ref()
            .iter()
            .take(16)
            .fold(0, |number, byte| number << 8 | u128::from(*byte))
    }
}

impl Default for Fingerprints {
    fn default() -> Self {
        Self::random()
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprints")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, section 4.3.
    #[test]
    fn it_is_hmac_sha_256() {
        let fingerprint = Fingerprints::keyed(b"Jefe").of(b"what do ya want for nothing?");
        assert_eq!(fingerprint, 0x5bdc_c146_bf60_754e_6a04_2426_0895_75c7);
    }

    #[test]
    fn runs_without_a_key_have_nothing_in_common() {
        let (one, other) = (Fingerprints::random(), Fingerprints::random());
        assert_eq!(one.of(b"secret"), one.of(b"secret"));
        assert_ne!(one.of(b"secret"), one.of(b"other"));
        assert_ne!(one.of(b"secret"), other.of(b"secret"));
    }
}
