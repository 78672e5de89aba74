//! Names of certificates.

use super::*;

const NAMED: &[u8] = include_bytes!("server.der");
const NAMELESS: &[u8] = include_bytes!("nameless.der");

/// A handshake message with these certificates.
fn certificates(list: &[&[u8]]) -> Vec<u8> {
    let entry = |der: &&[u8]| [&u32::try_from(der.len()).unwrap().to_be_bytes()[1..], der].concat();
    let list: Vec<u8> = list.iter().flat_map(entry).collect();
    message(
        11,
        &[&u32::try_from(list.len()).unwrap().to_be_bytes()[1..], &list].concat(),
    )
}

fn told(certificate: &[u8]) -> Option<(String, Vec<String>)> {
    let ask = records(&hello(&[sni("mcp.example.test")], 32), &[16_384]);
    let flight = [answer_of([5; 32], 0xc02b, &[]), certificate.to_vec(), message(14, &[])].concat();
    let mut told = Vec::new();
    for sizes in [&[16_384][..], &[50], &[1]] {
        let server = records(&flight, sizes);
        let (facts, step) = read([sent(&ask), answered(&server)]);
        assert_eq!(step, OPAQUE);
        let [_, Said::Answered(2, 0x0303, 0xc02b, None, certificate)] = &facts[..] else {
            panic!("{facts:?}");
        };
        told.push(certificate.clone());
    }
    told.dedup();
    assert_eq!(told.len(), 1);
    told.remove(0)
}

#[test]
fn reads_whom_it_is_for() {
    let names = ["mcp.example.test", "*.mcp.example.test", "10.0.0.5", "fd00::5"].map(str::to_owned);
    assert_eq!(
        told(&certificates(&[NAMED, NAMELESS])),
        Some(("mcp.example.test".to_owned(), names.to_vec()))
    );
    let (subject, names) = told(&certificates(&[NAMELESS, NAMED])).unwrap();
    assert_eq!((subject.as_str(), names.len()), ("O=No Common Name, OU=Lab", 0));
}

#[test]
fn a_bad_certificate_says_nothing() {
    for bad in [
        certificates(&[]),
        certificates(&[b"0"]),
        certificates(&[&NAMED[..NAMED.len() - 1]]),
        certificates(&[&[0x30; 17_000]]),
        message(11, &[]),
        message(11, &[0, 9, 9, 0, 9, 9]),
    ] {
        assert_eq!(told(&bad), None);
    }
}

proptest! {
    #[test]
    fn any_change_does_no_harm(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut der = NAMED.to_vec();
        for (index, value) in flips {
            let place = index.index(der.len());
            der[place] = value;
        }
        der.truncate(der.len() - end.index(20));
        if let Some((subject, names)) = told(&certificates(&[&der])) {
            prop_assert!(subject.len() <= 256 && names.len() <= 128);
        }
    }
}
