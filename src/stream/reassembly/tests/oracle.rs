//! Reassembly against an oracle that knows every byte: streams are cut, lost, repeated, reordered and interleaved.

use proptest::prelude::*;

use super::*;

/// One thing that happens on the wire of a direction.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// Place in the order of the wire.
    order: u32,
    from: usize,
    to: usize,
    captured: bool,
    fin: bool,
}

#[derive(Clone, Debug)]
struct Stream {
    isn: u32,
    bytes: Vec<u8>,
    sent: Vec<Sent>,
}

/// A stream cut into segments, with losses of the capture, retransmissions, and reordering by up to `jitter` segments.
fn stream(salt: u64, jitter: u32, loss: bool) -> impl Strategy<Value = Stream> {
    let isn = prop_oneof![any::<u32>(), (0u32..4000).prop_map(|below| u32::MAX - below)];
    let cuts = prop::collection::vec((1usize..300, 0..=jitter, 0u8..20, any::<bool>()), 0..24);
    let again = prop::collection::vec((0usize..3000, 1usize..600, 0u32..40), 0..8);
    (isn, cuts, again, any::<bool>()).prop_map(move |(isn, cuts, again, fin)| {
        let (mut sent, mut lost, mut from) = (Vec::new(), Vec::new(), 0);
        for (index, (len, late, dice, twice)) in cuts.iter().enumerate() {
            let captured = !loss || *dice > 3;
            let one = Sent {
                order: 4 * (index as u32 + late),
                from,
                to: from + len,
                captured,
                fin: false,
            };
            sent.push(one);
            if *twice {
                sent.push(Sent {
                    order: one.order + 1,
                    ..one
                });
            }
            if !captured {
                lost.push(from..from + len);
            }
            from += len;
        }
        for (start, len, order) in again {
            let (start, end) = (start.min(from), (start + len).min(from));
            // A copy that only the receiver gets would make it acknowledge what the capture sees later: no gap could
            // be exact then.
            if !lost.iter().any(|lost| lost.start < end && start < lost.end) {
                sent.push(Sent {
                    order: 4 * order + 2,
                    from: start,
                    to: end,
                    captured: true,
                    fin: false,
                });
            }
        }
        if fin {
            sent.push(Sent {
                order: 4 * cuts.len() as u32,
                from,
                to: from,
                captured: true,
                fin: true,
            });
        }
        sent.sort_by_key(|one| one.order);
        let bytes = (0..from as u64)
            .map(|at| ((at ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect();
        Stream { isn, bytes, sent }
    })
}

/// What the receiver of a stream has, and what the capture has.
struct Progress {
    received: Vec<bool>,
    captured: Vec<bool>,
    fin_seen: bool,
}

/// Plays both streams into a flow. The receivers acknowledge what they have, whether captured or not.
fn play(streams: &[Stream; 2], picks: &[bool], syn: bool, acks: bool, budget: Budget) -> (Bench, [Progress; 2]) {
    let mut bench = Bench::new(budget);
    let mut progress = [0, 1].map(|dir: usize| Progress {
        received: vec![false; streams[dir].bytes.len()],
        captured: vec![false; streams[dir].bytes.len()],
        fin_seen: false,
    });
    if syn {
        bench.push(TO_SERVER, streams[0].isn, None, Flags::SYN, b"");
        bench.push(
            TO_CLIENT,
            streams[1].isn,
            acks.then(|| streams[0].isn.wrapping_add(1)),
            Flags::SYN,
            b"",
        );
    }
    let mut queues = [0, 1].map(|dir: usize| streams[dir].sent.iter().copied().peekable());
    let mut picks = picks.iter().copied().cycle();
    loop {
        let pick = usize::from(picks.next().unwrap_or_default());
        let dir = if queues[pick].peek().is_some() { pick } else { 1 - pick };
        let Some(sent) = queues[dir].next() else { break };
        let stream = &streams[dir];
        progress[dir].received[sent.from..sent.to].fill(true);
        if !sent.captured {
            continue;
        }
        progress[dir].captured[sent.from..sent.to].fill(true);
        progress[dir].fin_seen |= sent.fin;
        let theirs = progress[1 - dir].received.iter().take_while(|have| **have).count();
        let ack = acks.then(|| streams[1 - dir].isn.wrapping_add(1 + theirs as u32));
        let seq = stream.isn.wrapping_add(1 + sent.from as u32);
        let flags = if sent.fin { Flags::FIN } else { 0 };
        let toward = if dir == 0 { TO_SERVER } else { TO_CLIENT };
        bench.push(toward, seq, ack, flags, &stream.bytes[sent.from..sent.to]);
        assert!(bench.budget.held_bytes <= bench.budget.max_bytes.min(bench.budget.flow_max_bytes));
    }
    bench.finish();
    assert_eq!(bench.budget.held_bytes, 0);
    (bench, progress)
}

/// Walks what came out from `start`; checks every byte; returns where it ended and, for each byte, whether it came.
fn walk(out: &[Out], stream: &Stream, start: usize) -> (usize, Vec<bool>) {
    let (mut at, mut came) = (start, vec![false; stream.bytes.len()]);
    for (index, one) in out.iter().enumerate() {
        match one {
            Out::Bytes(bytes) => {
                assert_eq!(bytes, &stream.bytes[at..at + bytes.len()], "at {at}");
                came[at..at + bytes.len()].fill(true);
                at += bytes.len();
            }
            Out::Gap(bytes) => at += usize::try_from(*bytes).unwrap(),
            Out::End => assert_eq!(index, out.len() - 1),
        }
    }
    assert_eq!(out.last(), Some(&Out::End));
    (at, came)
}

fn reach(progress: &Progress) -> usize {
    let last = progress
        .captured
        .iter()
        .rposition(|have| *have)
        .map_or(0, |last| last + 1);
    if progress.fin_seen {
        progress.captured.len()
    } else {
        last
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_loss_everything_comes(
        client in stream(1, 6, false), server in stream(2, 6, false),
        picks in prop::collection::vec(any::<bool>(), 1..40), acks in any::<bool>(),
    ) {
        let streams = [client, server];
        let (bench, _) = play(&streams, &picks, true, acks, AMPLE);
        for (out, stream) in bench.out.iter().zip(&streams) {
            prop_assert!(!out.iter().any(|one| matches!(one, Out::Gap(_))));
            prop_assert_eq!(walk(out, stream, 0).0, stream.bytes.len());
        }
    }

    #[test]
    fn gaps_are_exactly_what_was_not_captured(
        client in stream(1, 6, true), server in stream(2, 6, true),
        picks in prop::collection::vec(any::<bool>(), 1..40), acks in any::<bool>(),
    ) {
        let streams = [client, server];
        let (mut bench, progress) = play(&streams, &picks, true, acks, AMPLE);
        let mut told = 0;
        for ((out, stream), progress) in bench.out.iter().zip(&streams).zip(&progress) {
            let (end, came) = walk(out, stream, 0);
            prop_assert_eq!(end, reach(progress));
            prop_assert_eq!(&came, &progress.captured);
            told += came[..end].iter().filter(|came| !**came).count() as u64;
        }
        prop_assert_eq!(bench.flow.take_tally(), Tally { gap_bytes: told, ..Tally::default() });
    }

    #[test]
    fn small_budgets_lose_bytes_but_never_the_place(
        client in stream(1, 12, true), server in stream(2, 12, true),
        picks in prop::collection::vec(any::<bool>(), 1..40), max_bytes in 0usize..4000,
    ) {
        let streams = [client, server];
        let budget = Budget { held_bytes: 0, max_bytes, flow_max_bytes: 3000, overlap: Overlap::First };
        let (bench, progress) = play(&streams, &picks, true, true, budget);
        for ((out, stream), progress) in bench.out.iter().zip(&streams).zip(&progress) {
            let (end, came) = walk(out, stream, 0);
            prop_assert_eq!(end, reach(progress));
            prop_assert!(came.iter().zip(&progress.captured).all(|(came, captured)| !came || *captured));
        }
    }

    /// Segments that contradict each other wait behind a hole; each byte is the one that the policy chose, segment by
    /// segment.
    #[test]
    fn contradictions_are_settled_byte_by_byte(
        segments in prop::collection::vec((1usize..40, 1usize..20), 1..12),
        overlap in prop::sample::select(vec![Overlap::Bsd, Overlap::First, Overlap::Last, Overlap::Linux]),
    ) {
        let mut bench = Bench { budget: Budget { overlap, ..AMPLE }, ..opened() };
        let mut kept: Vec<Option<(Extent, u8)>> = vec![None; 60];
        for (number, (start, len)) in (b'a'..).zip(&segments) {
            let mine = Extent { start: *start as u64, end: (start + len) as u64 };
            for slot in &mut kept[*start..start + len] {
                if slot.is_none_or(|(theirs, _)| overlap.later_wins(mine, theirs)) {
                    *slot = Some((mine, number));
                }
            }
            bench.client(100 + *start as u32, &vec![number; *len]);
        }
        bench.finish();
        let mut expected = String::new();
        let last = kept.iter().rposition(Option::is_some).unwrap();
        let mut hole = 0;
        for slot in &kept[..=last] {
            match slot {
                None => hole += 1,
                Some((_, byte)) => {
                    if hole > 0 {
                        expected.push_str(&format!("-{}-", std::mem::take(&mut hole)));
                    }
                    expected.push(char::from(*byte));
                }
            }
        }
        prop_assert_eq!(bench.text(TO_SERVER), expected + ".");
        prop_assert_eq!(bench.budget.held_bytes, 0);
    }

    #[test]
    fn midway_starts_find_the_true_place(
        client in stream(1, 3, true), server in stream(2, 3, true), skip in 0usize..10,
        picks in prop::collection::vec(any::<bool>(), 1..40), acks in any::<bool>(),
    ) {
        let mut streams = [client, server];
        for stream in &mut streams {
            stream.sent.drain(..skip.min(stream.sent.len()));
        }
        let (bench, progress) = play(&streams, &picks, false, acks, AMPLE);
        for ((out, stream), progress) in bench.out.iter().zip(&streams).zip(&progress) {
            let covered = out.iter().map(|one| match one {
                Out::Bytes(bytes) => bytes.len(),
                Out::Gap(bytes) => usize::try_from(*bytes).unwrap(),
                Out::End => 0,
            });
            let start = reach(progress).saturating_sub(covered.sum());
            let (_, came) = walk(out, stream, start);
            prop_assert_eq!(&came[start..], &progress.captured[start..]);
        }
    }
}
