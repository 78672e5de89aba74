//! A TLS 1.3 conversation whose secrets are known: what client and server put on the wire, for tests and measurements of
//! the opening. It agrees on nothing, verifies nothing and protects nobody.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk};

pub(crate) const APPLICATION_DATA: u8 = 23;
const HANDSHAKE: u8 = 22;

const RANDOM: [u8; 32] = [0x5a; 32];
/// Of the handshake and of the application, of client and server.
const SECRETS: [(&str, u8); 4] = [
    ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 1),
    ("SERVER_HANDSHAKE_TRAFFIC_SECRET", 2),
    ("CLIENT_TRAFFIC_SECRET_0", 3),
    ("SERVER_TRAFFIC_SECRET_0", 4),
];

/// The key log of every conversation here.
pub(crate) fn keylog() -> String {
    let hex = |byte: u8| format!("{byte:02x}").repeat(32);
    let lines = SECRETS
        .iter()
        .map(|(label, byte)| format!("{label} {} {}\n", hex(RANDOM[0]), hex(*byte)));
    lines.collect()
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// One direction under one secret.
pub(crate) struct Sealer {
    key: LessSafeKey,
    iv: [u8; 12],
    secret: [u8; 32],
    sequence: u64,
}

fn expand(secret: &[u8; 32], label: &str, out: &mut [u8]) {
    let label = format!("tls13 {label}");
    let length = u16::try_from(out.len()).unwrap().to_be_bytes();
    let info = [
        &length[..],
        &[u8::try_from(label.len()).unwrap()],
        label.as_bytes(),
        &[0],
    ];
    let prk = Prk::new_less_safe(HKDF_SHA256, secret);
    prk.expand(&info, Length(out.len())).unwrap().fill(out).unwrap();
}

impl Sealer {
    fn new(secret: [u8; 32]) -> Self {
        let (mut key, mut iv) = ([0; 16], [0; 12]);
        expand(&secret, "key", &mut key);
        expand(&secret, "iv", &mut iv);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        Self {
            key,
            iv,
            secret,
            sequence: 0,
        }
    }

    /// A record of content, its type and so many bytes of padding.
    pub(crate) fn record(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let mut body = [content, &[kind], &vec![0; padding]].concat();
        let [high, low] = u16::try_from(body.len() + 16).unwrap().to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, high, low];
        let mut nonce = self.iv;
        nonce
            .iter_mut()
            .rev()
            .zip(self.sequence.to_le_bytes())
            .for_each(|(byte, part)| *byte ^= part);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(header), &mut body)
            .unwrap();
        self.sequence += 1;
        [&header[..], &body].concat()
    }

    /// The record that updates the keys, and the keys from then on (RFC 8446, section 7.2).
    pub(crate) fn update(&mut self) -> Vec<u8> {
        let record = self.record(HANDSHAKE, &[24, 0, 0, 1, 0], 0);
        let mut next = [0; 32];
        expand(&self.secret, "traffic upd", &mut next);
        *self = Self::new(next);
        record
    }
}

fn plain(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[kind, high, middle, low], body].concat();
    let [high, low] = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&[HANDSHAKE, 3, 3, high, low], &message[..]].concat()
}

/// What the client sends first, what the server answers, what the client ends the handshake with, and the keys of both.
pub(crate) fn handshake() -> ([Vec<u8>; 3], [Sealer; 2]) {
    let name = b"mcp.example.test";
    let size = |len: usize| u16::try_from(len).unwrap().to_be_bytes();
    let names = [&size(name.len() + 3)[..], &[0], &size(name.len()), name].concat();
    let extensions = [&[0, 0][..], &size(names.len()), &names, &[0, 43, 0, 3, 2, 3, 4]].concat();
    let client = [
        &[3, 3][..],
        &RANDOM,
        &[0, 0, 2, 0x13, 1, 1, 0],
        &size(extensions.len()),
        &extensions,
    ]
    .concat();
    let server = [&[3, 3][..], &[0xa5; 32], &[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]].concat();
    let [mut client_handshake, mut server_handshake, client_keys, server_keys] =
        SECRETS.map(|(_, byte)| Sealer::new([byte; 32]));
    // EncryptedExtensions, a certificate that goes over two records, Finished.
    let certificate = [&[11, 0, 6, 0][..], &[7; 1536]].concat();
    let flight = [&[8, 0, 0, 2, 0, 0][..], &certificate, &[20, 0, 0, 32], &[9; 32]].concat();
    let (one, two) = flight.split_at(700);
    let answer = [
        plain(2, &server),
        vec![20, 3, 3, 0, 1, 1],
        server_handshake.record(HANDSHAKE, one, 0),
        server_handshake.record(HANDSHAKE, two, 30),
    ];
    let finished = [&[20, 0, 0, 32][..], &[9; 32]].concat();
    let end = [
        vec![20, 3, 3, 0, 1, 1],
        client_handshake.record(HANDSHAKE, &finished, 0),
    ]
    .concat();
    ([plain(1, &client), answer.concat(), end], [client_keys, server_keys])
}
