//! The wiring: the only folder that knows threads.
//!
//! A replay with one worker runs source, decode and shard in one thread; with N workers each reads the files itself and
//! keeps its own slices of the flow space, because moving a packet to another core costs more than handling it there.
//! Live capture does the same with handles over which the kernel spreads the flows. The shard is the same in all of them.

pub mod batch;
mod conversation;
pub mod hosting;
pub mod keylog;
pub mod live;
pub mod look;
mod messages;
pub mod replay;
pub mod review;
pub mod settings;
mod shard;
mod slice;
mod suspects;
mod vigil;

pub use shard::{Elsewhere, Shard, Share};

use std::sync::Arc;

use crate::detect::panel::{Panel, Ruleset};
use crate::detect::{DETECTORS, redact};
use crate::engine::settings::Settings;
use crate::inventory::Inventory;

/// What all shards of a run share: immutable, but for the inventory, whose merges commute.
pub struct Shared {
    /// Detectors.
    pub panel: Panel,
    /// What is known.
    pub inventory: Arc<Inventory>,
    /// Signatures and policy.
    pub rules: Ruleset,
    /// How the engine runs.
    pub settings: Settings,
}

impl Shared {
    /// For one run.
    pub fn new(settings: Settings, rules: Ruleset) -> Self {
        let rows = if settings.inspect { DETECTORS } else { &[] };
        Self {
            panel: Panel::new(rows, &rules),
            inventory: Arc::default(),
            rules,
            settings,
        }
    }

    /// The same run under other rules: what is known stays.
    #[must_use]
    pub fn under(&self, rules: Ruleset) -> Self {
        Self {
            inventory: Arc::clone(&self.inventory),
            ..Self::new(self.settings.clone(), rules)
        }
    }

    /// A tool definition without the credentials and personal data in it.
    pub(crate) fn redact(&self, text: &str) -> String {
        redact::replace_hits(text, &self.rules.signatures)
    }
}
