//! TLS and DTLS as they stand on the wire: samples for the split and gap tests, and captures of real software.

use shadowtap::model::net::Direction::{ToClient, ToServer};
use shadowtap::proto::tls::hello::ClientHello;
use shadowtap::proto::tls::ja4::Carrier;
use shadowtap::stream::layer::Protocol;

use crate::run;
use crate::splits::{Piece, Sample, client_hello};

/// Conversations of these rows.
pub(crate) fn samples(row: &Protocol) -> Vec<Sample> {
    let sample = |name, turns: &[(shadowtap::model::net::Direction, &[u8])], ports| Sample {
        name,
        turns: turns
            .iter()
            .map(|(dir, bytes)| (*dir, Piece::Bytes(bytes.to_vec())))
            .collect(),
        from_start: true,
        ports,
    };
    let hello = client_hello("registry.example.test");
    if row.name == "dtls" {
        return vec![sample("hello", &[(ToServer, &dtls_hello())], [40_000, 4433])];
    }
    let random = [&[3, 3][..], &[5; 32], &[0]].concat();
    let new = message(2, &[&random[..], &[0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]].concat());
    let old = [
        message(
            2,
            &[&random[..], &[0xc0, 0x2f, 0, 0, 9, 0, 16, 0, 5, 0, 3, 2, b'h', b'2']].concat(),
        ),
        message(11, &[0, 0, 4, 0, 0, 1, 0x30]),
        message(14, &[]),
    ]
    .concat();
    let (one, two) = old.split_at(60);
    vec![
        sample(
            "hello alone",
            &[(ToServer, &hello), (ToClient, &record(21, &[2, 40]))],
            [40_000, 443],
        ),
        sample(
            "TLS 1.3",
            &[
                (ToServer, &hello),
                (
                    ToClient,
                    &[record(22, &new), record(20, &[1]), record(23, &[7; 90])].concat(),
                ),
            ],
            [40_000, 8443],
        ),
        sample(
            "TLS 1.2",
            &[
                (ToServer, &hello),
                (ToClient, &[record(22, one), record(22, two)].concat()),
            ],
            [40_000, 8443],
        ),
    ]
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3][..], &length, body].concat()
}

/// The same hello as one datagram of DTLS 1.2, with an empty cookie behind its empty session id.
fn dtls_hello() -> Vec<u8> {
    let wire = client_hello("registry.example.test");
    // Two records: a hundred bytes, and the rest.
    let plain = [&wire[5..105], &wire[110..]].concat();
    let (head, tail) = plain[4..].split_at(35);
    let body = [head, &[0], tail].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1], &length[1..], &[0; 5], &length[1..], &body].concat();
    let size = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0][..], &size, &message].concat()
}

/// Every ClientHello of the captures, against fingerprints that were computed with another program.
#[test]
fn fingerprints_of_the_captures() {
    let mut seen = 0;
    for (capture, expected) in [
        ("pcapng_dsb.pcapng", "t13d0412h2_16476d049b0b_7f28efdaea70"),
        ("tls12_h1.pcap", "t12d1508h1_d68b136fe8d9_e7e480e5a997"),
        ("tls12_h2_nginx.pcap", "t12d1508h2_d68b136fe8d9_e7e480e5a997"),
        ("tls13_h1.pcap", "t13d0412h1_16476d049b0b_7f28efdaea70"),
        ("tls13_h2.pcap", "t13d0412h2_16476d049b0b_7f28efdaea70"),
        ("tls13_h2_modern_2026.pcap", "t13d0412h2_16476d049b0b_7f28efdaea70"),
    ] {
        let file = std::fs::read(run::folder("pcaps").join(capture)).unwrap();
        for at in 0..file.len() - 9 {
            let [22, 3, 1, high, low, 1, 0, ..] = file[at..] else {
                continue;
            };
            let length = usize::from(u16::from_be_bytes([high, low]));
            let Some(hello) = file.get(at + 9..at + 5 + length).and_then(ClientHello::parse) else {
                continue;
            };
            assert_eq!(hello.sni.as_deref(), Some("mcp.example.test"), "{capture}");
            assert_eq!(hello.ja4(Carrier::Tcp).unwrap().as_str(), expected, "{capture}");
            seen += 1;
        }
    }
    assert!(seen >= 6);
}
