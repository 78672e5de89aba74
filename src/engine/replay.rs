//! Replay of capture files: source, decode and shard in one thread for each worker.
//!
//! Every worker reads the files itself and keeps its own slices: no queue, no copy, and the same bytes for any number
//! of workers. Standard input can be read once only, so it has one worker.

use std::sync::Arc;

use crate::engine::messages::earliest;
use crate::engine::review::review;
use crate::engine::{Shard, Shared};
use crate::model::counters::Counters;
use crate::model::message_seen::MessageSeen;
use crate::model::server::{Capture, View};
use crate::model::stamp::Timestamp;
use crate::source::{self, Pull, Source, SourceError};

/// Packets between two reports of progress.
const PROGRESS_PACKETS: u64 = 16_384;

/// What to replay.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Files, or `-` for standard input.
    pub files: Vec<String>,
    /// BPF expression that packets must match.
    pub filter: Option<String>,
    /// Packets before this moment are passed over.
    pub since: Option<Timestamp>,
    /// Packets at or after this moment are passed over.
    pub until: Option<Timestamp>,
}

/// What a replay gives.
pub struct Replayed {
    /// Everything that was seen.
    pub view: View,
    /// Damage that ended a file early, for people.
    pub damage: Vec<String>,
}

/// Replays with so many workers. `progress` hears of bytes read and in all, from one worker.
///
/// # Errors
/// When a file cannot be opened, or is no capture.
pub fn replay(
    shared: &Arc<Shared>,
    input: &Input,
    workers: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Replayed, SourceError> {
    let workers = if input.files.iter().any(|file| file == "-") {
        1
    } else {
        workers.max(1)
    };
    // Opened before any thread starts, so that a wrong name is told at once.
    let sources = (0..workers).map(|_| open(input)).collect::<Result<Vec<_>, _>>()?;
    let mut parts: Vec<Part> = Vec::new();
    std::thread::scope(|scope| {
        let mut sources = sources.into_iter().enumerate();
        let first = sources.next();
        let others: Vec<_> = sources
            .map(|(index, source)| scope.spawn(move || work(shared, input, source, index, workers, &mut |_, _| {})))
            .collect();
        parts.extend(first.map(|(index, source)| work(shared, input, source, index, workers, progress)));
        for other in others {
            match other.join() {
                Ok(part) => parts.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let mut capture = Capture {
        sources: input.files.clone(),
        ..Capture::default()
    };
    let mut damage = Vec::new();
    let mut messages = Vec::new();
    for mut part in parts {
        capture.counters.add(&part.counters);
        messages.append(&mut part.messages);
        if part.seen.is_some() {
            capture.seen = part.seen;
        }
        damage.extend(part.damage);
    }
    capture.counters.lost.shed_events += earliest(&mut messages, shared.settings.messages_max);
    Ok(Replayed {
        view: review(shared, capture, &mut messages),
        damage,
    })
}

/// What one worker brings home.
struct Part {
    counters: Counters,
    seen: Option<(Timestamp, Timestamp)>,
    damage: Vec<String>,
    messages: Vec<MessageSeen>,
}

fn open(input: &Input) -> Result<Box<dyn Source>, SourceError> {
    let mut sources = Vec::with_capacity(input.files.len());
    for (index, file) in input.files.iter().enumerate() {
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        sources.push(match &input.filter {
            Some(filter) => source::open_file_filtered(file, index, filter)?,
            None => source::open_file(file, index)?,
        });
    }
    Ok(source::merge(sources))
}

fn work(
    shared: &Arc<Shared>,
    input: &Input,
    mut source: Box<dyn Source>,
    index: usize,
    count: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Part {
    let mut shard = Shard::new(shared, index, count);
    let mut damage = Vec::new();
    let mut damaged_files = 0;
    let mut packets: u64 = 0;
    loop {
        match source.pull() {
            Pull::Packet(raw) => {
                let early = input.since.is_some_and(|since| raw.at.time < since);
                let late = input.until.is_some_and(|until| raw.at.time >= until);
                if !early && !late {
                    shard.packet(&raw);
                }
            }
            Pull::Secrets(log) => shard.secrets(log),
            Pull::Idle | Pull::Passed => {}
            Pull::End => break,
            Pull::Failed(error) => {
                damaged_files += 1;
                damage.push(error.to_string());
            }
        }
        packets = packets.wrapping_add(1);
        if packets.is_multiple_of(PROGRESS_PACKETS)
            && let Some((done, all)) = source.progress()
        {
            progress(done, all);
        }
    }
    shard.drain();
    let mut counters = shard.counters();
    // Every worker meets the same damage; the leading one tells it.
    if index == 0 {
        counters.lost.damaged_files = damaged_files;
    } else {
        damage.clear();
    }
    Part {
        counters,
        seen: shard.seen(),
        damage,
        messages: shard.take_messages(),
    }
}
