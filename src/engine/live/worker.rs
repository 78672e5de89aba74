//! The thread of one shard in live capture: batches in, counters out.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use crate::engine::batch::Batch;
use crate::engine::live::{Message, News};
use crate::engine::{Shard, Shared};
use crate::model::stamp::Timestamp;

/// Between two publications of the counters, in nanoseconds.
const PUBLISH_NANOS: u64 = 1_000_000_000;

pub(super) struct Worker {
    index: usize,
    shard: Shard,
    messages: Receiver<Message>,
    /// Where empty batches go back to, by source.
    homes: Vec<Sender<Batch>>,
    tell: Sender<News>,
    ticked: Timestamp,
}

impl Worker {
    pub(super) fn new(
        shared: &Arc<Shared>,
        index: usize,
        count: usize,
        messages: Receiver<Message>,
        homes: Vec<Sender<Batch>>,
        tell: Sender<News>,
    ) -> Self {
        Self {
            index,
            shard: Shard::new(shared, index, count),
            messages,
            homes,
            tell,
            ticked: Timestamp::MIN,
        }
    }

    /// Until every capture thread has gone.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.messages.recv() {
            match message {
                Message::Batch(source, mut batch) => {
                    batch.packets().for_each(|raw| self.shard.packet(&raw));
                    batch.clear();
                    if let Some(home) = self.homes.get(usize::from(source)) {
                        // Its capture thread may have ended.
                        let _ = home.send(batch);
                    }
                }
                Message::Tick(now) => self.tick(now),
            }
        }
        self.shard.drain();
        let counters = self.shard.counters();
        // Nobody listens any more when the grace of stopping was over.
        let _ = self.tell.send(News::Done {
            index: self.index,
            counters,
        });
    }

    /// Several sources tick; once a second is enough. A clock that was set back starts anew.
    fn tick(&mut self, now: Timestamp) {
        if now.nanos().abs_diff(self.ticked.nanos()) < PUBLISH_NANOS {
            return;
        }
        self.ticked = now;
        self.shard.tick(now);
        let counters = self.shard.counters();
        let _ = self.tell.send(News::Shard {
            index: self.index,
            counters,
        });
    }
}
