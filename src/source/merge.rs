//! Several sources as one, in the order of time; of equal times the source given first comes first.
//!
//! Compares the next packets of all sources, as mergecap does: within a source the order of the file stays. Each source
//! holds one packet in a buffer that is used again and again. One source alone, from the start or because the
//! others have ended, is passed through without a copy. Meant for replay: live sources have a thread each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{KeyLog, Pull, Source};
use crate::model::packet::{LinkType, RawPacket};
use crate::model::stamp::{Stamp, Timestamp};

/// Merges by time. A source that fails is told once, and the others go on.
pub fn merge(mut sources: Vec<Box<dyn Source>>) -> Box<dyn Source> {
    match sources.pop() {
        Some(only) if sources.is_empty() => only,
        last => {
            sources.extend(last);
            Box::new(Merge::new(sources))
        }
    }
}

struct Merge {
    name: String,
    inputs: Vec<Input>,
    /// Time of the packet that each full input holds, and its index.
    heap: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Inputs that hold no packet and have not ended.
    hungry: Vec<usize>,
    /// Secrets of an input, copied: packets of others are held meanwhile.
    secrets: Vec<u8>,
}

struct Input {
    source: Box<dyn Source>,
    held: Held,
}

/// A packet of a source, copied.
struct Held {
    at: Stamp,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

impl Merge {
    fn new(sources: Vec<Box<dyn Source>>) -> Self {
        let inputs = sources
            .into_iter()
            .map(|source| {
                let held = Held {
                    at: Stamp::default(),
                    link: LinkType::Ethernet,
                    wire_len: 0,
                    data: Vec::new(),
                };
                Input { source, held }
            })
            .collect::<Vec<_>>();
        Self {
            name: inputs
                .iter()
                .map(|input| input.source.name())
                .collect::<Vec<_>>()
                .join(", "),
            heap: BinaryHeap::with_capacity(inputs.len()),
            // Asked from the back.
            hungry: (0..inputs.len()).rev().collect(),
            secrets: Vec::new(),
            inputs,
        }
    }
}

impl Source for Merge {
    fn pull(&mut self) -> Pull<'_> {
        if let ([alone], true) = (self.hungry.as_slice(), self.heap.is_empty()) {
            let alone = *alone;
            return match self
                .inputs
                .get_mut(alone)
                .map_or(Pull::End, |input| input.source.pull())
            {
                Pull::End => {
                    self.hungry.clear();
                    Pull::End
                }
                other => other,
            };
        }
        while let Some(index) = self.hungry.pop() {
            let Some(input) = self.inputs.get_mut(index) else {
                continue;
            };
            match input.source.pull() {
                Pull::Packet(packet) => {
                    input.held.keep(&packet);
                    self.heap.push(Reverse((packet.at.time, index)));
                }
                Pull::Secrets(KeyLog(text)) => {
                    self.secrets.clear();
                    self.secrets.extend_from_slice(text);
                    self.hungry.push(index);
                    return Pull::Secrets(KeyLog(&self.secrets));
                }
                Pull::Idle => {
                    self.hungry.push(index);
                    break;
                }
                Pull::Passed => self.hungry.push(index),
                Pull::End => {}
                Pull::Failed(error) => return Pull::Failed(error),
            }
        }
        match self.heap.pop() {
            Some(Reverse((_, index))) => {
                self.hungry.push(index);
                self.inputs
                    .get(index)
                    .map_or(Pull::End, |input| Pull::Packet(input.held.lend()))
            }
            None if self.hungry.is_empty() => Pull::End,
            None => Pull::Idle,
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn kernel_drops(&mut self) -> u64 {
        self.inputs.iter_mut().map(|input| input.source.kernel_drops()).sum()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.inputs.iter().try_fold((0, 0), |(read, total), input| {
            let (more_read, more_total) = input.source.progress()?;
            Some((read + more_read, total + more_total))
        })
    }
}

impl Held {
    fn keep(&mut self, packet: &RawPacket<'_>) {
        (self.at, self.link, self.wire_len) = (packet.at, packet.link, packet.wire_len);
        self.data.clear();
        self.data.extend_from_slice(packet.data);
    }

    fn lend(&self) -> RawPacket<'_> {
        RawPacket {
            at: self.at,
            link: self.link,
            data: &self.data,
            wire_len: self.wire_len,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::SourceError;
    use super::*;

    /// Packets at given times, then the end or a failure.
    struct Script {
        index: u16,
        times: Vec<i64>,
        next: usize,
        fails: bool,
        data: [u8; 8],
    }

    impl Source for Script {
        fn pull(&mut self) -> Pull<'_> {
            let Some(time) = self.times.get(self.next) else {
                let failed = SourceError::Damaged {
                    name: self.name().to_owned(),
                    packets: 0,
                    offset: 0,
                    what: "".into(),
                };
                return if std::mem::take(&mut self.fails) {
                    Pull::Failed(failed)
                } else {
                    Pull::End
                };
            };
            self.next += 1;
            self.data = time.to_be_bytes();
            let at = Stamp {
                time: Timestamp::from_nanos(*time),
                source: self.index,
                packet: self.next as u64,
            };
            Pull::Packet(RawPacket {
                at,
                link: LinkType::Ethernet,
                data: &self.data,
                wire_len: 8,
            })
        }

        fn name(&self) -> &str {
            if self.index == 0 { "first" } else { "other" }
        }

        fn progress(&self) -> Option<(u64, u64)> {
            Some((self.next as u64, self.times.len() as u64))
        }
    }

    fn scripts(times: &[Vec<i64>], fails: &[bool]) -> Vec<Box<dyn Source>> {
        let script = |(index, times): (usize, &Vec<i64>)| -> Box<dyn Source> {
            let fails = fails.get(index).copied().unwrap_or_default();
            Box::new(Script {
                index: index as u16,
                times: times.clone(),
                next: 0,
                fails,
                data: [0; 8],
            })
        };
        times.iter().enumerate().map(script).collect()
    }

    proptest! {
        #[test]
        fn as_a_stable_sort(
            mut times in prop::collection::vec(prop::collection::vec(0..20_i64, 0..20), 0..6),
            fails in prop::collection::vec(any::<bool>(), 6),
        ) {
            times.iter_mut().for_each(|times| times.sort_unstable());
            let mut expected = Vec::new();
            for (index, times) in times.iter().enumerate() {
                expected.extend(times.iter().enumerate().map(|(packet, time)| (*time, index as u16, packet as u64 + 1)));
            }
            expected.sort_by_key(|(time, index, _)| (*time, *index));
            let mut merged = merge(scripts(&times, &fails));
            let (mut seen, mut failed) = (Vec::new(), 0);
            loop {
                match merged.pull() {
                    Pull::Packet(packet) => {
                        prop_assert_eq!(packet.data, packet.at.time.nanos().to_be_bytes());
                        seen.push((packet.at.time.nanos(), packet.at.source, packet.at.packet));
                    }
                    Pull::Failed(_) => failed += 1,
                    Pull::Idle | Pull::Passed | Pull::Secrets(_) => prop_assert!(false),
                    Pull::End => break,
                }
            }
            prop_assert!(matches!(merged.pull(), Pull::End));
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(failed, times.iter().zip(&fails).filter(|(_, fails)| **fails).count());
            let total = times.iter().map(|times| times.len() as u64).sum();
            prop_assert_eq!(merged.progress(), Some((total, total)));
        }
    }

    #[test]
    fn names_the_damaged_one() {
        let mut merged = merge(scripts(&[vec![1, 2], vec![1]], &[false, true]));
        assert_eq!(merged.name(), "first, other");
        let failed = std::iter::from_fn(|| match merged.pull() {
            Pull::End => None,
            Pull::Failed(error) => Some(error.to_string()),
            _ => Some(String::new()),
        });
        assert_eq!(failed.filter(|text| text.starts_with("other: damaged")).count(), 1);
    }
}
