//! How suspicious a text reads that a model takes as description: the poisoning indicators, scored together.
//!
//! The best weight of each group counts once; one word alone never alerts. Used to grade a changed definition.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use regex::RegexSet;
use serde_json::Value;

use crate::detect::signature::Signatures;

/// Sum from which a text is worth a record. Of real descriptions one in two hundred reaches it, so alone it is no alarm;
/// a definition that is changed into such a text is one.
pub const RECORD_SCORE: u32 = 15;

/// Compiled size of all indicators together, in bytes.
const SET_MAX_BYTES: usize = 64 << 20;

/// The compiled indicators.
pub struct Suspicion {
    signatures: Arc<Signatures>,
    /// Built on first use: most runs see no definition change.
    set: OnceLock<RegexSet>,
}

/// What was found in a text.
#[derive(Debug, Default)]
pub struct Score {
    /// Sum of the best weight of each group.
    pub score: u32,
    /// Groups that were hit.
    pub groups: Vec<String>,
}

impl Score {
    /// Whether the text is worth a record.
    pub const fn is_recorded(&self) -> bool {
        self.score >= RECORD_SCORE
    }
}

impl Suspicion {
    /// From the rules in force.
    pub fn new(signatures: &Arc<Signatures>) -> Self {
        Self {
            signatures: Arc::clone(signatures),
            set: OnceLock::new(),
        }
    }

    /// Patterns were compiled one by one when the rules were loaded; should a bound stop all of them together, nothing
    /// alerts.
    fn set(&self) -> &RegexSet {
        self.set.get_or_init(|| {
            let patterns = self.signatures.poison.iter().map(|rule| &rule.pattern);
            regex::RegexSetBuilder::new(patterns)
                .size_limit(SET_MAX_BYTES)
                .build()
                .unwrap_or_else(|_| RegexSet::empty())
        })
    }

    /// Every string of a tool definition, together.
    pub fn of_definition(&self, tool: &Value) -> Score {
        let mut best = BTreeMap::new();
        self.collect(tool, &mut best);
        Score {
            score: best.values().sum(),
            groups: best.into_keys().map(str::to_owned).collect(),
        }
    }

    /// Depth is bounded by the parser that made the value.
    fn collect<'s>(&'s self, value: &Value, best: &mut BTreeMap<&'s str, u32>) {
        match value {
            Value::Array(list) => list.iter().for_each(|inner| self.collect(inner, best)),
            Value::Object(map) => map.values().for_each(|inner| self.collect(inner, best)),
            Value::String(text) => {
                for rule in self
                    .set()
                    .matches(text)
                    .iter()
                    .filter_map(|at| self.signatures.poison.get(at))
                {
                    let slot = best.entry(rule.group.as_str()).or_insert(0);
                    *slot = (*slot).max(u32::from(rule.weight));
                }
            }
            _ => {}
        }
    }
}
