//! How suspicious a definition reads: by the rules, and at the score, that also alarm without a change.
//!
//! A definition that is changed into a text worth a record is alarming already; one that was always so is not.

use std::sync::Arc;

use serde_json::Value;

use crate::detect::poison::texts;
use crate::detect::signature::Signatures;
use crate::detect::signature::poison::Score;

/// The rules about wording.
pub struct Suspicion(Arc<Signatures>);

impl Suspicion {
    /// From the rules in force.
    pub fn new(signatures: &Arc<Signatures>) -> Self {
        Self(Arc::clone(signatures))
    }

    /// Every string of a tool definition, together.
    pub fn of_definition(&self, tool: &Value) -> Score {
        texts::of_definition(tool, &self.0.poison).score
    }
}
