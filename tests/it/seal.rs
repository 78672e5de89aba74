//! Writes QUIC packets: seals what the product is to open, by RFC 9001 and RFC 9369 and by code of its own.

use ring::aead::quic::{self, HeaderProtectionKey};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{self, KeyType, Prk, Salt};

pub(crate) const V1: u32 = 1;
pub(crate) const V2: u32 = 0x6b33_43cf;
pub(crate) const DRAFT_29: u32 = 0xff00_001d;

/// Who seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Client,
    Server,
}

/// What a long header says besides its packet number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) version: u32,
    pub(crate) destination: &'a [u8],
    pub(crate) source: &'a [u8],
    pub(crate) token: &'a [u8],
}

/// A ClientHello of this length, filled up by a key share behind the name.
pub(crate) fn hello(name: &str, length: usize) -> Vec<u8> {
    let size = |value: usize| u16::try_from(value).unwrap().to_be_bytes();
    let extension = |kind: u8, data: &[u8]| [&[0, kind][..], &size(data.len()), data].concat();
    let entry = [&size(name.len() + 3)[..], &[0], &size(name.len()), name.as_bytes()].concat();
    let mut extensions = [
        extension(0, &entry),
        extension(16, b"\0\x03\x02h3"),
        extension(43, &[2, 3, 4]),
    ]
    .concat();
    let fixed = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 0x01, 1, 0]].concat();
    let share = length - 4 - fixed.len() - 2 - extensions.len() - 4;
    extensions.extend(extension(51, &vec![7; share]));
    let body = [&fixed[..], &size(extensions.len()), &extensions].concat();
    [&[1, 0][..], &size(body.len()), &body].concat()
}

/// A ServerHello: version 1.3, AES-128.
pub(crate) fn answer() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([5; 32]);
    body.extend([0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
    [&[2, 0, 0, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

/// An Initial with these frames, whose keys come from `origin`.
pub(crate) fn initial(head: &Head<'_>, origin: &[u8], by: By, number: u32, frames: &[u8]) -> Vec<u8> {
    let salt = match head.version {
        V2 => "0dede3def700a6db819381be6e269dcbf9bd2ed9",
        DRAFT_29 => "afbfec289993d24c9e9786f19c6111e04390a899",
        _ => "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
    };
    let common = Salt::new(hkdf::HKDF_SHA256, &hex(salt)).extract(origin);
    let name = if by == By::Client { "client in" } else { "server in" };
    let secret = expand(&common, name, 32);
    let mut out = vec![0xc3 | if head.version == V2 { 0x10 } else { 0 }];
    out.extend(head.version.to_be_bytes());
    ids(head, &mut out);
    varint(head.token.len(), &mut out);
    out.extend(head.token);
    varint(4 + frames.len() + 16, &mut out);
    Cipher::new(AES_128, head.version, &secret).seal(out, number, frames)
}

/// A cipher suite: hash, cipher, header protection, length of its keys.
pub(crate) type Suite = (
    &'static hkdf::Algorithm,
    &'static aead::Algorithm,
    &'static quic::Algorithm,
    usize,
);

pub(crate) const AES_128: Suite = (&hkdf::HKDF_SHA256, &aead::AES_128_GCM, &quic::AES_128, 16);
pub(crate) const AES_256: Suite = (&hkdf::HKDF_SHA384, &aead::AES_256_GCM, &quic::AES_256, 32);
pub(crate) const CHACHA_20: Suite = (&hkdf::HKDF_SHA256, &aead::CHACHA20_POLY1305, &quic::CHACHA20, 32);

/// Keys of one direction.
pub(crate) struct Cipher {
    suite: Suite,
    prefix: &'static str,
    secret: Vec<u8>,
    header: HeaderProtectionKey,
    phase: bool,
    /// The fixed bit is not set in every other packet (RFC 9287).
    pub(crate) greased: bool,
}

impl Cipher {
    pub(crate) fn new(suite: Suite, version: u32, secret: &[u8]) -> Self {
        let prefix = if version == V2 { "quicv2" } else { "quic" };
        let header = expand(&Prk::new_less_safe(*suite.0, secret), &format!("{prefix} hp"), suite.3);
        Self {
            suite,
            prefix,
            secret: secret.to_vec(),
            header: HeaderProtectionKey::new(suite.2, &header).unwrap(),
            phase: false,
            greased: false,
        }
    }

    fn derive(&self, what: &str, length: usize) -> Vec<u8> {
        let secret = Prk::new_less_safe(*self.suite.0, &self.secret);
        expand(&secret, &format!("{} {what}", self.prefix), length)
    }

    /// From now on with the next keys.
    pub(crate) fn update(&mut self) {
        self.secret = self.derive("ku", self.secret.len());
        self.phase = !self.phase;
    }

    /// A packet with a short header.
    pub(crate) fn short(&self, destination: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
        let fixed = if self.greased && number % 2 == 1 { 0 } else { 0x40 };
        let first = fixed | 3 | if self.phase { 4 } else { 0 };
        self.seal([&[first][..], destination].concat(), number, frames)
    }

    /// Closes a header with the packet number, and protects the packet.
    fn seal(&self, mut out: Vec<u8>, number: u32, frames: &[u8]) -> Vec<u8> {
        let (mut nonce, key) = (self.derive("iv", 12), self.derive("key", self.suite.3));
        let number_at = out.len();
        out.extend(number.to_be_bytes());
        for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        let key = LessSafeKey::new(UnboundKey::new(self.suite.1, &key).unwrap());
        let mut payload = frames.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        key.seal_in_place_append_tag(nonce, Aad::from(&out), &mut payload)
            .unwrap();
        out.extend(payload);
        let mask = self.header.new_mask(&out[number_at + 4..number_at + 20]).unwrap();
        out[0] ^= mask[0] & if out[0] & 0x80 == 0 { 0x1f } else { 0x0f };
        out[number_at..]
            .iter_mut()
            .zip(&mask[1..])
            .for_each(|(byte, mask)| *byte ^= mask);
        out
    }
}

/// A packet of another kind than Initial, by its bits in version 1: nobody can open it.
pub(crate) fn opaque(head: &Head<'_>, kind: u8, length: u8) -> Vec<u8> {
    let bits = if head.version == V2 { (kind + 1) & 3 } else { kind };
    let mut out = vec![0xc0 | bits << 4 | 5];
    out.extend(head.version.to_be_bytes());
    ids(head, &mut out);
    varint(usize::from(length), &mut out);
    out.extend((0..length).map(|byte| byte.wrapping_mul(151) ^ 0x5a));
    out
}

/// A Retry; its tag is wrong.
pub(crate) fn retry(head: &Head<'_>) -> Vec<u8> {
    let mut out = vec![if head.version == V2 { 0xc0 } else { 0xf0 }];
    out.extend(head.version.to_be_bytes());
    ids(head, &mut out);
    out.extend(head.token);
    out.extend([9; 16]);
    out
}

/// The server names its versions.
pub(crate) fn negotiation(head: &Head<'_>, versions: &[u32]) -> Vec<u8> {
    let mut out = vec![0x80, 0, 0, 0, 0];
    ids(head, &mut out);
    out.extend(versions.iter().flat_map(|version| version.to_be_bytes()));
    out
}

/// A CRYPTO frame.
pub(crate) fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    let mut out = vec![6];
    varint(offset, &mut out);
    varint(data.len(), &mut out);
    out.extend(data);
    out
}

/// An Ethernet frame with a UDP datagram.
pub(crate) fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let size = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    out.extend(size(28 + payload.len()));
    out.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    out.extend(from.0);
    out.extend(to.0);
    out.extend(from.1.to_be_bytes());
    out.extend(to.1.to_be_bytes());
    out.extend(size(8 + payload.len()));
    out.extend([0, 0]);
    out.extend(payload);
    out
}

/// A variable-length integer.
pub(crate) fn varint(value: usize, out: &mut Vec<u8>) {
    match value {
        0..64 => out.push(value as u8),
        64..16_384 => out.extend((value as u16 | 0x4000).to_be_bytes()),
        _ => out.extend((value as u32 | 0x8000_0000).to_be_bytes()),
    }
}

/// The bytes that hexadecimal digits say.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn ids(head: &Head<'_>, out: &mut Vec<u8>) {
    for id in [head.destination, head.source] {
        out.push(u8::try_from(id.len()).unwrap());
        out.extend(id);
    }
}

fn expand(secret: &Prk, label: &str, length: usize) -> Vec<u8> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let label = format!("tls13 {label}");
    let info = [&[0, length as u8, label.len() as u8][..], label.as_bytes(), &[0]].concat();
    let mut out = vec![0; length];
    secret.expand(&[&info], Length(length)).unwrap().fill(&mut out).unwrap();
    out
}
