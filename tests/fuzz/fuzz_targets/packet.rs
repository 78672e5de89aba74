//! Decoding of one packet, for each link type and checksum policy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadowtap::model::packet::{LinkType, RawPacket};
use shadowtap::packet::{Checksums, decode};
use shadowtap_fuzz::Decisions;

const LINKS: [u32; 7] = [0, 1, 101, 108, 113, 276, 9_999];

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let link = LinkType::from_number(LINKS[decisions.below(LINKS.len())]);
    let checksums = [Checksums::Ignore, Checksums::Verify][decisions.below(2)];
    let (at, cut) = (decisions.stamp(), u32::from(decisions.byte()));
    let data = decisions.rest();
    // A file may also claim a wire length below what it holds.
    let wire_len = (data.len() as u32 + cut).saturating_sub(16);
    let _ = decode(
        &RawPacket {
            at,
            link,
            data,
            wire_len,
        },
        checksums,
    );
});
