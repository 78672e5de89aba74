//! Runs the detectors: built once per ruleset, shared read-only by all shards.

use std::sync::Arc;

use crate::detect::fingerprint::Fingerprints;
use crate::detect::{Detector, FactMask, Findings};
use crate::model::observation::{Fact, Observation};
use crate::model::server::View;
use crate::policy::Policy;

/// What detectors are built from. Immutable, swapped whole.
#[derive(Clone)]
pub struct Ruleset {
    /// Names, credentials, personal data.
    pub signatures: Arc<crate::detect::signature::Signatures>,
    /// Approvals and home networks.
    pub policy: Arc<Policy>,
    /// Keyed hashes of secrets.
    pub fingerprints: Fingerprints,
}

/// A detector of the table: a name for people, and how to build it.
pub struct Row {
    /// Name.
    pub name: &'static str,
    /// Constructor.
    pub build: fn(&Ruleset) -> Box<dyn Detector>,
}

/// All detectors of one ruleset.
pub struct Panel {
    detectors: Vec<(FactMask, Box<dyn Detector>)>,
    wants: FactMask,
}

impl Panel {
    /// Builds the detectors of a table.
    pub fn new(rows: &[Row], rules: &Ruleset) -> Self {
        let detectors: Vec<_> = rows
            .iter()
            .map(|row| {
                let detector = (row.build)(rules);
                (detector.wants(), detector)
            })
            .collect();
        let wants = detectors
            .iter()
            .fold(FactMask::NONE, |mask, (wants, _)| mask.or(*wants));
        Self { detectors, wants }
    }

    /// Shows one observation to every detector that wants such facts.
    pub fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let mask = match seen.fact {
            Fact::Credential(_) => FactMask::CREDENTIAL,
            Fact::Around(_) => FactMask::AROUND,
            Fact::Dns(_) => FactMask::DNS,
            Fact::Http(_) => FactMask::HTTP,
            // What does not look like MCP is not worth a look into its text.
            Fact::Mcp(mcp) if !mcp.relevant => return,
            Fact::Mcp(_) => FactMask::MCP,
            Fact::Tls(_) => FactMask::TLS,
            Fact::TlsAnswer(_) => FactMask::TLS_ANSWER,
            Fact::Announced(_) | Fact::Resolved(_) | Fact::Uncovered(_) => return,
            Fact::Violation(_) => FactMask::VIOLATION,
        };
        if !self.wants.meets(mask) {
            return;
        }
        for (_, detector) in self.detectors.iter().filter(|(wants, _)| wants.meets(mask)) {
            detector.inspect(seen, out);
        }
    }

    /// Lets every detector review every server, and then the whole.
    pub fn review(&self, view: &View, out: &mut Findings) {
        for server in &view.servers {
            for (_, detector) in &self.detectors {
                detector.review(server, view, out);
            }
        }
        for (_, detector) in &self.detectors {
            detector.review_all(view, out);
        }
    }
}
