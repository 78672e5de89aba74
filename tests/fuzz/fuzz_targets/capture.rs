//! Reading of a capture file: pcap, pcapng, gzip, zstd, or what claims to be one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadowtap::source::{Pull, open_file};
use shadowtap_fuzz::file;

/// Most packets of one input: a packed file unpacks to far more than it is.
const PACKETS_MAX: u32 = 100_000;

fuzz_target!(|data: &[u8]| {
    let file = file(data);
    let Ok(mut source) = open_file(&file.path().to_string_lossy(), 0) else {
        return;
    };
    let mut last = 0;
    for _ in 0..PACKETS_MAX {
        match source.pull() {
            Pull::Packet(packet) => {
                assert!(packet.at.packet > last, "packets are numbered in order");
                last = packet.at.packet;
            }
            Pull::Idle | Pull::Passed | Pull::Failed(_) | Pull::Secrets(_) => {}
            Pull::End => {
                assert!(matches!(source.pull(), Pull::End), "the end is the end");
                return;
            }
        }
    }
});
