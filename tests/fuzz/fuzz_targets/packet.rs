//! Decoding of packets, for each link type and checksum policy, with fragments that wait from one to the next.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadowtap::model::packet::{LinkType, RawPacket};
use shadowtap::packet::{Checksums, Config, Decoder};
use shadowtap_fuzz::Decisions;

/// A fragment of one of two datagrams of either version, of bytes of which there are few.
fn fragment(decisions: &mut Decisions<'_>) -> Vec<u8> {
    let (v6, id, more) = (decisions.below(2) == 1, decisions.byte() & 1, decisions.below(2) as u16);
    let (units, value) = (decisions.byte() % 12, decisions.byte() & 1);
    let len = 8 * (1 + decisions.below(4)) - if more == 1 { 0 } else { decisions.below(8) };
    let total = len as u16 + if v6 { 8 } else { 20 };
    let [high, low] = total.to_be_bytes();
    let mut packet = if v6 {
        let place = u16::from(units) << 3 | more;
        let head = [[0x60, 0, 0, 0, high, low, 44, 64].as_slice(), &[1; 32], &[17, 0]].concat();
        [&head[..], &place.to_be_bytes(), &[0, 0, 0, id]].concat()
    } else {
        let [p0, p1] = (more << 13 | u16::from(units)).to_be_bytes();
        vec![
            0x45, 0, high, low, 0, id, p0, p1, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]
    };
    packet.resize(packet.len() + len, value);
    packet
}

const LINKS: [u32; 7] = [0, 1, 101, 108, 113, 276, 9_999];

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let link = LinkType::from_number(LINKS[decisions.below(LINKS.len())]);
    let checksums = [Checksums::Ignore, Checksums::Verify][decisions.below(2)];
    // Bounds that a short input reaches.
    let config = Config {
        fragments_max_bytes: 16 << 10,
        fragments_max_datagrams: 4,
        fragments_max_pieces: 8,
        ..Config::default()
    };
    let mut decoder = Decoder::new(&config, checksums);
    let fragments = decisions.below(2) == 1;
    let link = if fragments { LinkType::RawIp } else { link };
    while decisions.more() {
        let (at, cut) = (decisions.stamp(), u32::from(decisions.byte()));
        let data = &if fragments {
            fragment(&mut decisions)
        } else {
            decisions.piece().to_vec()
        };
        // A file may also claim a wire length below what it holds.
        let wire_len = (data.len() as u32 + cut).saturating_sub(16);
        let raw = RawPacket {
            at,
            link,
            data,
            wire_len,
        };
        if let Ok(decoded) = decoder.decode(&raw)
            && decoded.reassembled
        {
            let whole = decoder.take_whole();
            assert!(whole.len() <= 65_575, "{}", whole.len());
        }
    }
    decoder.drain();
    decoder.take_lost();
});
