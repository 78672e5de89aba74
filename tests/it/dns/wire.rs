//! DNS messages and datagrams as bytes.

use std::net::IpAddr;

use crate::talk::End;

pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;
pub(super) const HTTPS: u16 = 65;

pub(super) fn wire_name(name: &str) -> Vec<u8> {
    let labels = name
        .split('.')
        .flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

pub(super) fn message(id: u16, flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let words = [id, flags, counts[0], counts[1], counts[2], counts[3]];
    words
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .chain(body.iter().copied())
        .collect()
}

pub(super) fn ask(name: &str, kind: u16) -> Vec<u8> {
    [&wire_name(name)[..], &kind.to_be_bytes(), &[0, 1]].concat()
}

pub(super) fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    message(id, 0x0100, [1, 0, 0, 0], &ask(name, kind))
}

pub(super) fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let head = [
        &kind.to_be_bytes()[..],
        &[0, 1],
        &ttl.to_be_bytes(),
        &(data.len() as u16).to_be_bytes(),
    ]
    .concat();
    [owner, &head, data].concat()
}

pub(super) fn octets(addr: &str) -> (u16, Vec<u8>) {
    match addr.parse().unwrap() {
        IpAddr::V4(addr) => (A, addr.octets().to_vec()),
        IpAddr::V6(addr) => (AAAA, addr.octets().to_vec()),
    }
}

/// An answer with addresses whose owner is a pointer to the question.
pub(super) fn answer(id: u16, name: &str, ttl: u32, addrs: &[&str]) -> Vec<u8> {
    let records = addrs.iter().flat_map(|addr| {
        let (kind, data) = octets(addr);
        record(&[0xc0, 12], kind, ttl, &data)
    });
    let body: Vec<u8> = ask(name, octets(addrs[0]).0).into_iter().chain(records).collect();
    message(id, 0x8180, [1, addrs.len() as u16, 0, 0], &body)
}

pub(super) fn aliased(id: u16, name: &str, target: &str, addr: &str) -> Vec<u8> {
    let alias = record(&[0xc0, 12], 5, 300, &wire_name(target));
    let last = record(&wire_name(target), A, 60, &octets(addr).1);
    message(id, 0x8180, [1, 2, 0, 0], &[ask(name, A), alias, last].concat())
}

/// An HTTPS record with a key for encrypted hellos.
pub(super) fn with_key(id: u16, name: &str) -> Vec<u8> {
    let data = [&[0, 1, 0][..], &[0, 5, 0, 3], b"key"].concat();
    message(
        id,
        0x8180,
        [1, 1, 0, 0],
        &[ask(name, HTTPS), record(&[0xc0, 12], HTTPS, 300, &data)].concat(),
    )
}

/// A multicast answer: the service, its host and the host's address.
pub(super) fn service(addr: &str) -> Vec<u8> {
    let (instance, host) = (wire_name("shelf._mcp._tcp.local"), wire_name("box.local"));
    let srv = [&[0, 0, 0, 0, 0x1f, 0x90][..], &host].concat();
    let body = [
        record(&wire_name("_mcp._tcp.local"), 12, 4500, &instance),
        record(&instance, 33, 120, &srv),
        record(&instance, 16, 4500, b"\x09path=/mcp"),
        record(&host, A, 120, &octets(addr).1),
    ];
    message(0, 0x8400, [0, 4, 0, 0], &body.concat())
}

pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// A UDP datagram over Ethernet and IPv4.
pub(super) fn datagram(src: End, dst: End, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (src.0, dst.0) else {
        panic!("IPv4 only");
    };
    let length = 8 + payload.len() as u16;
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0];
    out.extend((length + 20).to_be_bytes());
    out.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    out.extend(from.octets());
    out.extend(to.octets());
    out.extend([src.1.to_be_bytes(), dst.1.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat());
    out.extend(payload);
    out
}
