//! Wraps frames: VLAN tags, labels, tunnels, fragments. Written from the documents, and knows nothing of the decoder.

use crate::talk::Random;

/// An Ethernet frame of an IP packet, and its number, becomes another frame.
pub(crate) type Wrap = fn(&[u8], u32) -> Vec<u8>;

const MACS: [u8; 12] = [0x02, 0, 0, 0, 0, 0x11, 0x02, 0, 0, 0, 0, 0x22];

/// Every kind. All take any Ethernet frame of an IP packet.
pub(crate) const KINDS: &[(&str, Wrap)] = &[
    ("802.1Q", |frame, _| tagged(frame, &[&[0x81, 0, 0x20, 7]])),
    ("802.1ad", |frame, _| {
        tagged(frame, &[&[0x88, 0xa8, 0, 7], &[0x81, 0, 0, 9]])
    }),
    ("priority tag", |frame, _| tagged(frame, &[&[0x81, 0, 0xa0, 0]])),
    ("three tags", |frame, _| {
        tagged(frame, &[&[0x91, 0, 0, 7], &[0x81, 0, 0, 9], &[0x81, 0, 0, 1]])
    }),
    ("LLC/SNAP", |frame, _| {
        let len = u16::try_from(frame.len() - 14 + 8).unwrap();
        [&MACS, &len.to_be_bytes()[..], &[0xaa, 0xaa, 3, 0, 0, 0], &frame[12..]].concat()
    }),
    ("MPLS", |frame, _| ether(0x8847, &labels(&[100], &frame[14..]))),
    ("MPLS, three labels", |frame, _| {
        ether(0x8848, &labels(&[100, 7, 16_000], &frame[14..]))
    }),
    ("pseudowire", |frame, _| ether(0x8847, &labels(&[100, 200], frame))),
    ("pseudowire with a control word", |frame, number| {
        let word = [0, 0, number.to_be_bytes()[2], number.to_be_bytes()[3]];
        ether(0x8847, &labels(&[200], &[&word, frame].concat()))
    }),
    ("MPLS in IP", |frame, _| v4(137, &labels(&[100], &frame[14..]))),
    ("MPLS in UDP", |frame, _| {
        udp(51_000, 6635, &labels(&[100], &frame[14..]))
    }),
    ("PPPoE", |frame, _| {
        let protocol: [u8; 2] = if is_v6(frame) { [0, 0x57] } else { [0, 0x21] };
        let len = u16::try_from(frame.len() - 14 + 2).unwrap().to_be_bytes();
        let body = [&[0x11, 0, 0x12, 0x34], &len[..], &protocol, &frame[14..], &[0; 6]].concat();
        ether(0x8864, &body)
    }),
    ("GRE", |frame, _| v4(47, &[&[0, 0], &frame[12..]].concat())),
    ("GRE with everything", |frame, number| {
        let number = number.to_be_bytes();
        v4(
            47,
            &summed(
                [
                    &[0xb0, 0],
                    &frame[12..14],
                    &[0; 4],
                    &[1, 2, 3, 4],
                    &number,
                    &frame[14..],
                ]
                .concat(),
            ),
        )
    }),
    ("GRE over IPv6", |frame, _| {
        v6(&[], 47, &[&[0x20, 0], &frame[12..14], &[9; 4], &frame[14..]].concat())
    }),
    ("GRE, bridged", |frame, _| {
        v4(47, &[&[0, 0, 0x65, 0x58], frame].concat())
    }),
    ("NVGRE", |frame, _| {
        v4(47, &[&[0x20, 0, 0x65, 0x58, 0, 0x17, 0x70, 3], frame].concat())
    }),
    ("GRE in UDP", |frame, _| {
        udp(52_000, 4754, &[&[0, 0], &frame[12..]].concat())
    }),
    ("MPLS in GRE", |frame, _| {
        v4(47, &[&[0, 0, 0x88, 0x47][..], &labels(&[5_000], &frame[14..])].concat())
    }),
    ("ERSPAN I", |frame, _| v4(47, &[&[0, 0, 0x88, 0xbe], frame].concat())),
    ("ERSPAN II", |frame, number| {
        let header = [0x10, 0x0a, 0x10, 0x05, 0, 0, 0, 3];
        v4(
            47,
            &[&[0x10, 0, 0x88, 0xbe], &number.to_be_bytes()[..], &header, frame].concat(),
        )
    }),
    ("ERSPAN III", |frame, number| {
        let header = [0x20, 0x0a, 0x10, 0x05, 1, 2, 3, 4, 0, 0, 0x80, 0];
        v4(
            47,
            &[&[0x10, 0, 0x22, 0xeb], &number.to_be_bytes()[..], &header, frame].concat(),
        )
    }),
    ("ERSPAN III with a subheader", |frame, number| {
        let header = [0x20, 0x0a, 0x10, 0x05, 1, 2, 3, 4, 0, 0, 0x83, 0x9d];
        v4(
            47,
            &[
                &[0x10, 0, 0x22, 0xeb],
                &number.to_be_bytes()[..],
                &header,
                &[0x55; 8],
                frame,
            ]
            .concat(),
        )
    }),
    ("VXLAN", |frame, number| {
        udp(port(number), 4789, &[&[8, 0, 0, 0, 0, 0, 31, 0], frame].concat())
    }),
    ("VXLAN over IPv6", |frame, number| {
        let datagram = datagram(port(number), 4789, &[&[8, 0, 0, 0, 1, 2, 3, 0], frame].concat());
        v6(&[], 17, &datagram)
    }),
    ("VXLAN of Linux", |frame, number| {
        udp(port(number), 8472, &[&[8, 0, 0, 0, 0, 0, 1, 0], frame].concat())
    }),
    ("VXLAN with a group policy", |frame, number| {
        udp(
            port(number),
            4789,
            &[&[0x88, 8, 0x12, 0x34, 0, 0, 31, 0], frame].concat(),
        )
    }),
    ("VXLAN-GPE", |frame, number| {
        let next = if is_v6(frame) { 2 } else { 1 };
        udp(
            port(number),
            4790,
            &[&[0x0c, 0, 0, next, 0, 0, 31, 0], &frame[14..]].concat(),
        )
    }),
    ("VXLAN-GPE of Ethernet", |frame, number| {
        udp(port(number), 4790, &[&[0x0c, 0, 0, 3, 0, 0, 31, 0], frame].concat())
    }),
    ("GENEVE", |frame, number| {
        udp(port(number), 6081, &[&[0, 0, 0x65, 0x58, 0, 0, 9, 0], frame].concat())
    }),
    ("GENEVE with options", |frame, number| {
        let options = [1, 8, 1, 1, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0, 0x82, 0];
        let head = [3, 0x40, frame[12], frame[13], 0, 0, 9, 0];
        udp(port(number), 6081, &[&head[..], &options, &frame[14..]].concat())
    }),
    ("IP in IPv4", |frame, _| {
        v4(if is_v6(frame) { 41 } else { 4 }, &frame[14..])
    }),
    ("IP in IPv6", |frame, _| {
        v6(&[], if is_v6(frame) { 41 } else { 4 }, &frame[14..])
    }),
    ("IP in IPv6 behind extensions", |frame, _| {
        let extensions: [(u8, &[u8]); 3] = [
            (0, &[0, 1, 4, 0, 0, 0, 0]),
            (
                43,
                &[2, 4, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            ),
            (60, &[0, 1, 4, 0, 0, 0, 0]),
        ];
        v6(&extensions, if is_v6(frame) { 41 } else { 4 }, &frame[14..])
    }),
    ("IP in AH", |frame, number| {
        let inner = if is_v6(frame) { 41 } else { 4 };
        let number = number.to_be_bytes();
        v4(
            51,
            &[&[inner, 4, 0, 0, 0, 0, 0, 5], &number[..], &[0x77; 12], &frame[14..]].concat(),
        )
    }),
    ("Ethernet in IP", |frame, _| v4(97, &[&[0x30, 0], frame].concat())),
    ("GTP-U", |frame, _| udp(2152, 2152, &gtpu(0x30, &[], &frame[14..]))),
    ("GTP-U with extensions", |frame, number| {
        let [.., high, low] = number.to_be_bytes();
        // A PDU session container (5G), then one of eight bytes.
        let head = [high, low, 0, 0x85, 1, 0x10, 9, 0xc0, 2, 1, 2, 3, 4, 5, 6, 0];
        udp(40_000, 2152, &gtpu(0x36, &head, &frame[14..]))
    }),
];

/// Whether a kind of [`KINDS`] is a tunnel of frames, whatever they carry.
pub(crate) fn bridges(name: &str) -> bool {
    let families = ["ERSPAN", "NVGRE", "GRE, bridged", "Ethernet in IP"];
    let exact = [
        "GENEVE",
        "VXLAN",
        "VXLAN over IPv6",
        "VXLAN of Linux",
        "VXLAN-GPE of Ethernet",
    ];
    families.iter().any(|family| name.starts_with(family)) || exact.contains(&name)
}

/// Teredo around an IPv6 packet whose addresses are Teredo's.
pub(crate) const TEREDO: &[(&str, Wrap)] = &[
    ("Teredo", |frame, _| udp(3544, 50_000, &frame[14..])),
    ("Teredo with headers", |frame, _| {
        let authentication = [&[0, 1, 2, 3][..], b"idkey", &[1, 2, 3, 4, 5, 6, 7, 8, 0]].concat();
        let origin = [0, 0, 0xf2, 0x27, 0x3f, 0xff, 0xfd, 0xd2];
        udp(50_000, 3544, &[&authentication[..], &origin, &frame[14..]].concat())
    }),
];

/// Cuts the datagram of an Ethernet frame into fragments of an MTU of so many bytes.
pub(crate) fn fragments(frame: &[u8], mtu: usize, id: u32) -> Vec<Vec<u8>> {
    let (head, packet) = frame.split_at(14);
    let word = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let (header, len) = match head[12..] {
        [8, 0] => (usize::from(packet[0] & 15) * 4, word(2)),
        [0x86, 0xdd] => (40, 40 + word(4)),
        _ => return vec![frame.to_vec()],
    };
    if len <= mtu {
        return vec![frame.to_vec()];
    }
    let room = (mtu.saturating_sub(header) / 8 * 8).max(8);
    let (header, payload) = (&packet[..header], &packet[header..len]);
    let last = (payload.len() - 1) / room;
    let piece = |(nth, data): (usize, &[u8])| {
        let (offset, more) = (u16::try_from(nth * room).unwrap(), nth < last);
        let header = if header[0] >> 4 == 4 {
            fragment_v4(header, data.len(), offset, more, id)
        } else {
            fragment_v6(header, data.len(), offset, more, id)
        };
        [head, &header, data].concat()
    };
    payload.chunks(room).enumerate().map(piece).collect()
}

fn fragment_v4(header: &[u8], len: usize, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let mut out = header.to_vec();
    out[2..4].copy_from_slice(&u16::try_from(header.len() + len).unwrap().to_be_bytes());
    out[4..6].copy_from_slice(&id.to_be_bytes()[2..]);
    out[6..8].copy_from_slice(&((u16::from(more) << 13) | (offset / 8)).to_be_bytes());
    resum(&mut out);
    out
}

fn fragment_v6(header: &[u8], len: usize, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let mut out = header.to_vec();
    out[4..6].copy_from_slice(&u16::try_from(8 + len).unwrap().to_be_bytes());
    out[6] = 44;
    out.extend([header[6], 0]);
    out.extend((offset | u16::from(more)).to_be_bytes());
    out.extend(id.to_be_bytes());
    out
}

/// Any order, some of them twice.
pub(crate) fn shuffle(frames: &mut Vec<Vec<u8>>, random: &mut Random) {
    for place in 0..frames.len() {
        if random.below(5) == 0 {
            frames.push(frames[place].clone());
        }
    }
    for place in (1..frames.len()).rev() {
        frames.swap(place, random.below(place + 1));
    }
}

pub(crate) fn is_v6(frame: &[u8]) -> bool {
    frame[12..14] == [0x86, 0xdd]
}

fn port(number: u32) -> u16 {
    49_152 + (number % 1_000) as u16
}

fn tagged(frame: &[u8], tags: &[&[u8]]) -> Vec<u8> {
    [&frame[..12], &tags.concat(), &frame[12..]].concat()
}

pub(crate) fn ether(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&MACS, &kind.to_be_bytes()[..], payload].concat()
}

fn labels(labels: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (nth, label) in labels.iter().enumerate() {
        let bottom = u32::from(nth + 1 == labels.len());
        out.extend((label << 12 | bottom << 8 | 64).to_be_bytes());
    }
    out.extend(payload);
    out
}

fn gtpu(flags: u8, head: &[u8], packet: &[u8]) -> Vec<u8> {
    let len = u16::try_from(head.len() + packet.len()).unwrap().to_be_bytes();
    [&[flags, 255][..], &len, &[0, 0, 0x12, 0x34], head, packet].concat()
}

pub(crate) fn datagram(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 8).unwrap();
    [
        &src.to_be_bytes(),
        &dst.to_be_bytes(),
        &len.to_be_bytes(),
        &[0; 2],
        payload,
    ]
    .concat()
}

pub(crate) fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    v4(17, &datagram(src, dst, payload))
}

pub(crate) fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 20).unwrap().to_be_bytes();
    let mut header = [
        0x45, 0, len[0], len[1], 0, 9, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    resum(&mut header);
    ether(0x0800, &[&header, payload].concat())
}

/// With extension headers, each without its first byte.
pub(crate) fn v6(extensions: &[(u8, &[u8])], next: u8, payload: &[u8]) -> Vec<u8> {
    let kinds: Vec<u8> = extensions.iter().map(|extension| extension.0).chain([next]).collect();
    let mut body = Vec::new();
    for ((_, rest), next) in extensions.iter().zip(&kinds[1..]) {
        body.push(*next);
        body.extend(*rest);
    }
    body.extend(payload);
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let addr = |host| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host];
    let head = [0x60, 0, 0, 0, len[0], len[1], kinds[0], 64];
    ether(0x86dd, &[&head[..], &addr(1), &addr(2), &body].concat())
}

fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

fn resum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = sum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// GRE with its checksum filled in.
fn summed(mut gre: Vec<u8>) -> Vec<u8> {
    let sum = sum(&gre);
    gre[4..6].copy_from_slice(&sum.to_be_bytes());
    gre
}
