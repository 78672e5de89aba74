//! Messages of one worker that wait for the edge: a bounded list that nobody else looks into.
//!
//! A replay keeps the earliest, so that what is left out at the bound is the same for any number of workers; live, where
//! the list is emptied every second, the latest are left out.

use crate::engine::settings::Settings;
use crate::model::message_seen::MessageSeen;

/// See the module.
#[derive(Debug)]
pub(super) struct Messages {
    rows: Vec<MessageSeen>,
    max: usize,
    /// The earliest are kept.
    earliest: bool,
    shed: u64,
}

impl Messages {
    pub(super) const fn new(settings: &Settings) -> Self {
        Self {
            rows: Vec::new(),
            max: settings.messages_max,
            earliest: !settings.eager,
            shed: 0,
        }
    }

    /// Takes over what a slice has. Called for each packet: most have nothing.
    pub(super) fn collect(&mut self, new: &mut Vec<MessageSeen>) {
        if new.is_empty() {
            return;
        }
        if !self.earliest {
            let room = self.max.saturating_sub(self.rows.len());
            let over = new.len().saturating_sub(room);
            new.truncate(room);
            self.shed += over as u64;
        }
        self.rows.append(new);
        if self.rows.len() >= self.max.saturating_mul(2) {
            self.shed += earliest(&mut self.rows, self.max);
        }
    }

    pub(super) fn take(&mut self) -> Vec<MessageSeen> {
        std::mem::take(&mut self.rows)
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Messages left out since the last call.
    pub(super) fn take_shed(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }
}

/// Puts messages in order and leaves the first `max`; gives the number of those left out.
pub(super) fn earliest(rows: &mut Vec<MessageSeen>, max: usize) -> u64 {
    rows.sort_unstable_by_key(MessageSeen::order);
    let over = rows.len().saturating_sub(max);
    rows.truncate(max);
    over as u64
}
