//! TCP reassembly: any segments in any order, with its bounds checked after each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::packet::{Flags, Segment};
use shadowtap::stream::reassembly::{Config, Overlap, Reassembly};
use shadowtap_fuzz::{Decisions, ends};

const BOUNDS: Config = Config {
    max_bytes: 16 << 10,
    flow_max_bytes: 8 << 10,
    overlap: Overlap::Linux,
};

fuzz_target!(|data: &[u8]| {
    let mut decisions = Decisions::new(data);
    let (client, server) = ends();
    let mut budget = BOUNDS.budget(1);
    let mut reassembly = Reassembly::default();
    let mut ended = [false; 2];
    let mut out = |chunk: Chunk<'_>| {
        let ended = &mut ended[chunk.dir.index()];
        assert!(!*ended, "nothing comes after the end");
        match chunk.data {
            Data::Bytes(bytes) => assert!(!bytes.is_empty()),
            Data::Gap(missing) => assert!(missing > 0),
            Data::End => *ended = true,
        }
    };
    let base = decisions.word();
    while decisions.more() {
        let dir = decisions.direction();
        let near = decisions.byte() & 7 != 0;
        // Mostly near each other, so that segments meet; sometimes anywhere.
        let seq = if near {
            base.wrapping_add(decisions.word() % 4_096)
        } else {
            decisions.word()
        };
        let segment = Segment {
            at: decisions.stamp(),
            src: client,
            dst: server,
            seq,
            ack: base.wrapping_add(decisions.word() % 8_192),
            flags: Flags(decisions.byte()),
            missing: u32::from(decisions.byte().saturating_sub(240)),
            payload: decisions.piece(),
        };
        reassembly.push(dir, &segment, &mut budget, &mut out);
        assert!(budget.held_bytes <= BOUNDS.max_bytes, "{budget:?}");
    }
    reassembly.finish(decisions.stamp(), &mut budget, &mut out);
    assert_eq!(budget.held_bytes, 0, "everything was given back");
    assert_eq!(ended, [true; 2]);
});
