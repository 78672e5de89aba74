//! JA4 against the published description and its variations.

use super::*;

/// Lists of the published example.
const CIPHERS: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f,
    0x0035,
];
const EXTENSIONS: [u16; 16] = [
    0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b,
    0x000a, 0x0015,
];
const ALGORITHMS: [u16; 8] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];

/// The example, with what a test changes of it.
struct Example {
    version: u16,
    versions: Vec<u16>,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    algorithms: Vec<u16>,
    alpn: Vec<Vec<u8>>,
}

impl Default for Example {
    fn default() -> Self {
        Self {
            version: 0x0303,
            versions: vec![0x0303, 0x0304],
            ciphers: CIPHERS.to_vec(),
            extensions: EXTENSIONS.to_vec(),
            algorithms: ALGORITHMS.to_vec(),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

impl Example {
    fn ja4(&self, carrier: Carrier) -> String {
        let pairs = |numbers: &[u16]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_be_bytes()).collect() };
        let extensions: Vec<Vec<u8>> = self
            .extensions
            .iter()
            .map(|kind| {
                let algorithms = pairs(&self.algorithms);
                let versions = pairs(&self.versions);
                let alpn: Vec<u8> = self
                    .alpn
                    .iter()
                    .flat_map(|name| [&[u8::try_from(name.len()).unwrap()], &name[..]].concat())
                    .collect();
                match kind {
                    0 => sni("example.test"),
                    13 => extension(13, &[&size(algorithms.len())[..], &algorithms].concat()),
                    16 => extension(16, &[&size(alpn.len())[..], &alpn].concat()),
                    43 => extension(43, &[&[u8::try_from(versions.len()).unwrap()], &versions[..]].concat()),
                    other => extension(*other, &[]),
                }
            })
            .collect();
        let message = hello_of(self.version, &self.ciphers, &extensions);
        let hello = ClientHello::parse(&message[4..]).unwrap();
        hello.ja4(carrier).unwrap().to_string()
    }
}

#[test]
fn the_published_examples() {
    assert_eq!(
        Example::default().ja4(Carrier::Tcp),
        "t13d1516h2_8daaf6152771_e5627efa2ab1"
    );
    // "If there are no signature algorithms in the hello packet, then the string ends without an underscore."
    let none = Example {
        algorithms: vec![],
        ..Example::default()
    };
    assert_eq!(none.ja4(Carrier::Tcp), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    let nothing = Example {
        ciphers: vec![],
        extensions: vec![],
        ..Example::default()
    };
    assert_eq!(nothing.ja4(Carrier::Tcp), "t12i000000_000000000000_000000000000");
    for (alpn, word) in [
        (&b"\xab"[..], "ab"),
        (b"\xab\xcd", "ad"),
        (b"\x30\xab", "3b"),
        (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
        (b"h", "hh"),
        (b"http/1.1", "h1"),
        (b"", "00"),
    ] {
        let example = Example {
            alpn: vec![alpn.to_vec()],
            ..Example::default()
        };
        assert_eq!(&example.ja4(Carrier::Tcp)[8..10], word, "{alpn:?}");
    }
}

#[test]
fn versions_and_carriers() {
    for (versions, version, carrier, start) in [
        (&[0x0304, 0x0303][..], 0x0303, Carrier::Quic, "q13d"),
        (&[0xfefd, 0xfeff], 0xfefd, Carrier::Dtls, "dd1d"),
        (&[], 0x0301, Carrier::Tcp, "t10d"),
        (&[0xfafa], 0x0302, Carrier::Tcp, "t11d"),
        (&[], 0x0300, Carrier::Tcp, "ts3d"),
        (&[0x7f1c], 0x0303, Carrier::Tcp, "t00d"),
    ] {
        let example = Example {
            version,
            versions: versions.to_vec(),
            ..Example::default()
        };
        assert_eq!(&example.ja4(carrier)[..4], start);
    }
}

#[test]
fn grease_order_and_names_do_not_matter_where_they_should_not() {
    let plain = Example::default().ja4(Carrier::Tcp);
    let mut greased = Example::default();
    greased.versions.insert(0, 0x5a5a);
    greased.ciphers.insert(0, 0x8a8a);
    greased.extensions.insert(0, 0x1a1a);
    greased.extensions.push(0xfafa);
    greased.algorithms.insert(3, 0x2a2a);
    greased.alpn.insert(0, vec![0x3a, 0x3a]);
    greased.ciphers.reverse();
    greased.extensions.reverse();
    assert_eq!(greased.ja4(Carrier::Tcp), plain);
    let mut nameless = Example::default();
    nameless.extensions.retain(|kind| !matches!(kind, 0 | 16));
    assert_eq!(nameless.ja4(Carrier::Tcp), plain.replace("d1516h2", "i151400"));
    let many = Example {
        ciphers: (1..150).collect(),
        ..Example::default()
    };
    assert_eq!(&many.ja4(Carrier::Tcp)[4..6], "99");
}

#[test]
fn a_cut_hello_has_no_fingerprint() {
    let message = hello(&[sni("mcp.example.test")], 32);
    let body = &message[4..];
    assert!(ClientHello::parse(body).unwrap().ja4(Carrier::Tcp).is_some());
    for end in 0..body.len() {
        // Without its extensions a hello is one of an old client.
        let cut = ClientHello::parse(&body[..end]).filter(|hello| !hello.extensions.is_empty());
        assert_eq!(cut.and_then(|hello| hello.ja4(Carrier::Tcp)), None, "{end}");
    }
}

/// Hellos that these runtimes sent, with the values that another implementation gives them.
#[test]
fn real_hellos() {
    for (wire, name, expected) in [
        (
            &include_bytes!("python-3.11.hello")[..],
            "mcp.example.test",
            "t13d1812h1_85036bcba153_d41ae481755e",
        ),
        (
            include_bytes!("node-20.hello"),
            "localhost",
            "t13d5911h1_a33745022dd6_1f22a2ca17c4",
        ),
    ] {
        let hello = ClientHello::parse(&wire[9..]).unwrap();
        assert_eq!(hello.sni.as_deref(), Some(name));
        assert_eq!(hello.ja4(Carrier::Tcp).unwrap().as_str(), expected);
        assert_eq!(hello.alpn, [b"http/1.1"]);
    }
}
