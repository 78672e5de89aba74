//! Keys out of secrets: HKDF-Expand-Label (RFC 8446, section 7.1) and the PRF of TLS 1.2 (RFC 5246, section 5).

use ring::hkdf::{self, KeyType, Prk};
use ring::hmac;
use zeroize::Zeroize as _;

/// HKDF-Expand-Label with an empty context.
pub(in crate::proto) fn expand<L: KeyType, T>(
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
pub(in crate::proto) struct Length(pub(in crate::proto) usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills `out` by the PRF of TLS 1.2 with the HMAC of the cipher suite.
pub(super) fn prf(algorithm: hmac::Algorithm, secret: &[u8], label: &[u8], seeds: [&[u8]; 2], out: &mut [u8]) {
    let key = hmac::Key::new(algorithm, secret);
    let signed = |first: &[u8], more: &[&[u8]]| {
        let mut context = hmac::Context::with_key(&key);
        context.update(first);
        more.iter().for_each(|part| context.update(part));
        context.sign()
    };
    let [one, two] = seeds;
    let mut turn = signed(label, &[one, two]);
    for block in out.chunks_mut(algorithm.digest_algorithm().output_len()) {
        let bytes = signed(turn.as_ref(), &[label, one, two]);
        block
            .iter_mut()
            .zip(bytes.as_ref())
            .for_each(|(place, byte)| *place = *byte);
        turn = signed(turn.as_ref(), &[]);
    }
}

/// Key material that is wiped when it was used.
pub(super) struct KeyBlock(pub(super) Vec<u8>);

impl Drop for KeyBlock {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::proto::tls::decrypt::hex;

    /// Test vectors of the IETF TLS working group's mailing list (27 July 2010), for the PRF of TLS 1.2.
    #[test]
    fn the_prf_gives_what_is_published() {
        for (algorithm, secret, seed, expected) in [
            (
                hmac::HMAC_SHA256,
                "9bbe436ba940f017b17652849a71db35",
                "a0ba9f936cda311827a6f796ffd5198c",
                "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af\
                 0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
                 87347b66",
            ),
            (
                hmac::HMAC_SHA384,
                "b80b733d6ceefcdc71566ea48e5567df",
                "cd665cf6a8447dd6ff8b27555edb7465",
                "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0\
                 e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259\
                 b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d\
                 73e56f",
            ),
        ] {
            let expected = hex(expected);
            let mut out = vec![0; expected.len()];
            prf(algorithm, &hex(secret), b"test label", [&hex(seed), b""], &mut out);
            assert_eq!(out, expected);
        }
    }
}
