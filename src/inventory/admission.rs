//! What a slice of the flow space may add to the inventory.
//!
//! The inventory is shared and its merges commute, so nothing in it can evict: what is dropped would depend on who came
//! first. Instead each of the fixed slices has its own share of every cap and admits keys in the order of its own
//! packets, which is the same for any number of workers. What is refused is counted.

use std::hash::{DefaultHasher, Hash, Hasher};

use foldhash::HashSet;
use foldhash::HashSetExt;

/// Slices of the flow space.
pub const SLICES: usize = 256;

/// Bounds of the inventory: most distinct keys of each class that all slices together may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct InventoryConfig {
    /// Servers that were proven, counted once per slice that sees them.
    pub max_servers: usize,
    /// Addresses that only look like MCP servers.
    pub max_suspects: usize,
    /// Clients per server, sessions, tools called per session, listings, names, watched connections of suspects: each.
    pub max_details: usize,
    /// Tool definitions, and clients that were given one: each.
    pub max_tools: usize,
    /// Text of tool definitions and of listings, in bytes.
    pub tool_text_max_bytes: usize,
    /// Findings, lookups, and traces that only mean something together: each.
    pub max_findings: usize,
    /// DNS answers that are kept in case that a flow follows them: of names that signatures know, of names that lead to
    /// addresses of one's own, of all others, and encrypted flows without a name: each.
    pub max_names: usize,
    /// Live only: what was not seen for so many hours is forgotten (the store still has it), and shares are dealt anew.
    pub keep_hours: u32,
}

impl InventoryConfig {
    /// `keep_hours` in nanoseconds, at least one hour.
    pub fn keep_nanos(&self) -> i64 {
        i64::from(self.keep_hours.max(1)).saturating_mul(3_600_000_000_000)
    }
}

impl Default for InventoryConfig {
    fn default() -> Self {
        Self {
            max_servers: 65_536,
            max_suspects: 65_536,
            max_details: 524_288,
            max_tools: 1_048_576,
            tool_text_max_bytes: 536_870_912,
            max_findings: 524_288,
            max_names: 131_072,
            keep_hours: 48,
        }
    }
}

/// Classes of keys, each with its own bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is a field or an entry of an account")]
pub enum Class {
    Alias,
    Audience,
    Call,
    Client,
    EncryptedDns,
    Finding,
    Identity,
    Listing,
    Lookup,
    Method,
    Offer,
    Peer,
    Receiver,
    Server,
    Session,
    Suspect,
    Text,
    Tool,
    Trace,
    Visit,
}

const CLASSES: usize = Class::Visit as usize + 1;

/// One slice's share of the caps.
#[derive(Debug)]
pub struct Admission {
    /// Keys of proven sites, and of sites that only look like MCP: what talks JSON-RPC of another kind all day must not
    /// use up the room of the servers.
    known: [[HashSet<u64>; CLASSES]; 2],
    suspect: bool,
    bounds: [usize; CLASSES],
    text_bytes: usize,
    text_max_bytes: usize,
    refused: u64,
    slice: u16,
    max_names: usize,
    forgotten_names: u64,
}

impl Admission {
    /// The share of one slice.
    pub fn new(config: &InventoryConfig) -> Self {
        let share = |total: usize| total.div_ceil(SLICES).max(1);
        let mut bounds = [share(config.max_details); CLASSES];
        for (class, total) in [
            (Class::Server, config.max_servers),
            (Class::Suspect, config.max_suspects),
            (Class::Text, config.max_tools.saturating_add(config.max_details)),
            (Class::Tool, config.max_tools),
            (Class::Receiver, config.max_tools),
            (Class::Finding, config.max_findings),
            (Class::Lookup, config.max_findings),
            (Class::Trace, config.max_findings),
        ] {
            bounds[class as usize] = share(total);
        }
        Self {
            known: [(); 2].map(|()| std::array::from_fn(|_| HashSet::new())),
            suspect: false,
            bounds,
            text_bytes: 0,
            text_max_bytes: share(config.tool_text_max_bytes),
            refused: 0,
            slice: 0,
            max_names: config.max_names,
            forgotten_names: 0,
        }
    }

    /// The same for that slice.
    #[must_use]
    pub const fn of_slice(mut self, slice: u16) -> Self {
        self.slice = slice;
        self
    }

    /// Number of the slice.
    pub const fn slice(&self) -> u16 {
        self.slice
    }

    /// Bound of names, for all slices together.
    pub const fn max_names(&self) -> usize {
        self.max_names
    }

    /// Counts answers and hidden flows that were dropped for younger ones.
    pub fn forgot(&mut self, names: u64) {
        self.forgotten_names += names;
    }

    /// What was dropped so since the last call: a name that leads to a server may be missing.
    pub fn take_forgotten_names(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten_names)
    }

    /// From now on keys belong to a site that only looks like MCP, or to a proven one again.
    pub fn of_suspect(&mut self, suspect: bool) {
        self.suspect = suspect;
    }

    /// Whether the key is known to this slice, or may become so.
    pub fn admit(&mut self, class: Class, key: &impl Hash) -> bool {
        let tier = usize::from(self.suspect);
        let (known, bound) = (&mut self.known[tier][class as usize], self.bounds[class as usize]);
        let hash = hash_of(key);
        if known.contains(&hash) {
            return true;
        }
        if known.len() >= bound {
            self.refused += 1;
            return false;
        }
        known.insert(hash)
    }

    /// Whether the key was admitted before.
    pub fn knows(&self, class: Class, key: &impl Hash) -> bool {
        self.known[usize::from(self.suspect)][class as usize].contains(&hash_of(key))
    }

    /// Whether the text of a key is kept by this slice, or its bytes still may be.
    pub fn admit_text(&mut self, key: &impl Hash, bytes: usize) -> bool {
        if self.knows(Class::Text, key) {
            return true;
        }
        let sum = self.text_bytes.saturating_add(bytes);
        if sum > self.text_max_bytes {
            self.refused += 1;
            return false;
        }
        self.text_bytes = sum;
        self.admit(Class::Text, key)
    }

    /// Deals the share anew: the inventory has forgotten what this slice brought in and has not seen since.
    pub fn renew(&mut self) {
        self.known = [(); 2].map(|()| std::array::from_fn(|_| HashSet::new()));
        self.text_bytes = 0;
    }

    /// Keys refused since the last call: observations that the report does not show.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

/// Fixed keys: the same key is the same number in every run.
fn hash_of(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_up_to_its_share_and_counts_the_rest() {
        let config = InventoryConfig {
            max_servers: SLICES * 2,
            ..InventoryConfig::default()
        };
        let mut admission = Admission::new(&config);
        assert!(admission.admit(Class::Server, &1) && admission.admit(Class::Server, &2));
        assert!(!admission.admit(Class::Server, &3) && admission.admit(Class::Server, &1));
        assert!(admission.admit(Class::Suspect, &3));
        admission.of_suspect(true);
        assert!(admission.admit(Class::Server, &3) && !admission.knows(Class::Server, &1));
        admission.of_suspect(false);
        assert!(!admission.knows(Class::Server, &3));
        assert_eq!((admission.take_refused(), admission.take_refused()), (1, 0));
    }

    #[test]
    fn a_text_that_was_refused_stays_out() {
        let config = InventoryConfig {
            tool_text_max_bytes: SLICES * 100,
            ..InventoryConfig::default()
        };
        let mut admission = Admission::new(&config);
        assert!(admission.admit_text(&1, 60) && !admission.admit_text(&2, 60) && !admission.admit_text(&2, 60));
        assert!(admission.admit_text(&1, 60) && admission.admit_text(&3, 40) && !admission.admit_text(&4, 1));
    }

    #[test]
    fn a_renewed_share_is_a_new_one() {
        let config = InventoryConfig {
            max_servers: 1,
            tool_text_max_bytes: SLICES * 4,
            ..InventoryConfig::default()
        };
        let mut admission = Admission::new(&config);
        assert!(admission.admit(Class::Server, &1) && admission.admit_text(&1, 4));
        assert!(!admission.admit(Class::Server, &2) && !admission.admit_text(&2, 1));
        admission.renew();
        assert!(admission.admit(Class::Server, &2) && admission.admit_text(&3, 4));
        assert!(!admission.knows(Class::Server, &1) && !admission.admit_text(&4, 1));
        assert_eq!(admission.take_refused(), 3);
    }
}
