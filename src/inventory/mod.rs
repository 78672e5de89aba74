//! What is known so far, shared by all shards.
//!
//! A join: the order in which flows report never matters, and that is what lets N workers give the same report, byte
//! for byte, as one. Touched when a flow hands over its tally, not per packet and not per message.

mod account;
pub mod admission;
mod attempts;
mod conduct;
mod grouping;
mod kept;
mod merge;
mod messages;
pub mod names;
pub mod pseudonyms;
pub mod tally;
pub mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::inventory::account::Account;
use crate::inventory::admission::{Admission, Class};
use crate::inventory::merge::{join_lookup, merge_finding};
use crate::inventory::names::Ledger;
use crate::inventory::tally::{LookupKey, Tally};
use crate::model::finding::{Finding, FindingKey, SiteKey};
use crate::model::net::Endpoint;
use crate::model::observation::Proof;
use crate::model::server::Lookup;
use crate::model::stamp::Timestamp;
use crate::model::suspect::Suspect;
use crate::model::trace::{Trace, TraceKey};

/// Shared records, keyed; every merge commutes.
#[derive(Debug, Default)]
pub struct Inventory {
    accounts: DashMap<SiteKey, Account, RandomState>,
    findings: DashMap<FindingKey, Finding, RandomState>,
    lookups: DashMap<LookupKey, Lookup, RandomState>,
    suspects: DashMap<(Endpoint, Arc<str>), Suspect, RandomState>,
    traces: DashMap<TraceKey, Trace, RandomState>,
    /// Flows of encrypted DNS by client, and the latest.
    encrypted_dns: DashMap<IpAddr, (u64, Timestamp), RandomState>,
    /// What each slice heard about names. A slice writes its own alone, so that what is dropped is its own affair.
    names: DashMap<u16, Ledger, RandomState>,
    /// Texts of tool definitions by hash: servers and flows share them.
    texts: DashMap<[u8; 32], Arc<str>, RandomState>,
}

impl Inventory {
    /// Joins what a flow showed, as far as its slice's share of the caps allows, and leaves the tally empty.
    pub fn join(&self, tally: &mut Tally, admission: &mut Admission) {
        for (key, account) in tally.accounts.drain(..) {
            let proven = account.proof & (Proof::CLIENT | Proof::SERVER) != 0 || account.echoed > 0;
            let class = if proven { Class::Server } else { Class::Suspect };
            let proven = proven || admission.knows(Class::Server, &key);
            admission.of_suspect(!proven);
            let admitted = admission.admit(class, &key);
            let mut account = account;
            if admitted {
                self.admit(&key, &mut account, admission);
            }
            admission.of_suspect(false);
            if !admitted {
                continue;
            }
            match self.accounts.get_mut(&key) {
                Some(mut known) => known.join(account),
                None => self.accounts.entry(key).or_default().join(account),
            }
        }
        for (key, finding) in std::mem::take(&mut tally.findings) {
            if !admission.admit(Class::Finding, &key) {
                continue;
            }
            match self.findings.entry(key) {
                dashmap::Entry::Occupied(mut slot) => merge_finding(slot.get_mut(), finding),
                dashmap::Entry::Vacant(slot) => {
                    slot.insert(finding);
                }
            }
        }
        for (key, lookup) in std::mem::take(&mut tally.lookups) {
            if !admission.admit(Class::Lookup, &key) {
                continue;
            }
            match self.lookups.entry(key) {
                dashmap::Entry::Occupied(mut slot) => join_lookup(slot.get_mut(), &lookup),
                dashmap::Entry::Vacant(slot) => {
                    slot.insert(lookup);
                }
            }
        }
        if let Some((client, at)) = tally.encrypted_dns.take()
            && admission.admit(Class::EncryptedDns, &client)
        {
            let mut known = self.encrypted_dns.entry(client).or_insert((0, at));
            *known = (known.0 + 1, known.1.max(at));
        }
        if !tally.heard.is_empty() {
            let mut ledger = self.names.entry(admission.slice()).or_default();
            let max_names = admission.max_names();
            tally.heard.drain(..).for_each(|heard| ledger.note(heard, max_names));
            admission.forgot(ledger.take_dropped());
        }
        for suspect in tally.suspects.drain(..) {
            self.join_suspect(suspect, admission);
        }
        for (key, trace) in std::mem::take(&mut tally.traces) {
            if !admission.admit(Class::Trace, &key) {
                continue;
            }
            match self.traces.entry(key) {
                dashmap::Entry::Occupied(mut slot) => slot.get_mut().join(&trace),
                dashmap::Entry::Vacant(slot) => {
                    slot.insert(trace);
                }
            }
        }
        tally.restart();
    }

    /// Suspects have the bound of sites that only look like MCP, and their clients that of clients.
    fn join_suspect(&self, mut suspect: Suspect, admission: &mut Admission) {
        let key = (suspect.endpoint, Arc::clone(&suspect.name));
        if !admission.admit(Class::Suspect, &key) {
            return;
        }
        admission.of_suspect(true);
        suspect
            .clients
            .retain(|client, _| admission.admit(Class::Client, &(&key, client)));
        for (client, visitor) in &mut suspect.clients {
            visitor
                .visits
                .retain(|visit| admission.admit(Class::Visit, &(&key, client, visit.began)));
        }
        admission.of_suspect(false);
        match self.suspects.entry(key) {
            dashmap::Entry::Occupied(mut slot) => slot.get_mut().join(suspect),
            dashmap::Entry::Vacant(slot) => {
                slot.insert(suspect);
            }
        }
    }

    /// Forgets what was not seen since: for a sensor that runs for weeks. Of what goes on, the parts that did not.
    pub fn forget(&self, before: Timestamp) {
        self.accounts.retain(|_, account| account.forget(before));
        self.findings.retain(|_, finding| finding.seen.last.time >= before);
        self.lookups.retain(|_, lookup| lookup.seen.last.time >= before);
        self.suspects.retain(|_, suspect| suspect.forget(before));
        self.traces.retain(|_, trace| trace.seen.last.time >= before);
        self.encrypted_dns.retain(|_, (_, last)| *last >= before);
        self.names.iter_mut().for_each(|mut ledger| ledger.forget(before));
        // A text that only this table holds belongs to no tool any more.
        self.texts.retain(|_, text| Arc::strong_count(text) > 1);
    }

    /// The kept text of a tool definition that was joined before.
    pub fn definition(&self, sha256: &[u8; 32]) -> Option<Arc<str>> {
        self.texts.get(sha256).map(|text| Arc::clone(&text))
    }

    /// Takes out of a partial account what its slice may no longer add.
    fn admit(&self, key: &SiteKey, account: &mut Account, admission: &mut Admission) {
        fn keep<K: Ord + std::hash::Hash, V>(
            map: &mut BTreeMap<K, V>,
            class: Class,
            key: &SiteKey,
            admission: &mut Admission,
        ) {
            map.retain(|inner, _| admission.admit(class, &(key, inner)));
        }
        account
            .messages
            .by_method
            .retain(|name, _| crate::mcp::method::find(name).is_some() || admission.admit(Class::Method, &(key, name)));
        keep(&mut account.identities, Class::Identity, key, admission);
        keep(&mut account.instructions, Class::Identity, key, admission);
        for (sha256, seen) in &mut account.instructions {
            if admission.admit_text(&(key, sha256), seen.text.len()) {
                seen.text = self.shared_text(sha256, &seen.text);
            } else {
                seen.text = Arc::from("");
            }
        }
        keep(&mut account.peers, Class::Peer, key, admission);
        keep(&mut account.clients, Class::Client, key, admission);
        account.pages.retain(|page, seen| {
            seen.clients
                .retain(|client| admission.admit(Class::Audience, &(key, page, client)));
            let bytes = page.names.iter().map(String::len).sum();
            admission.admit(Class::Listing, &(key, page)) && admission.admit_text(&(key, page), bytes)
        });
        keep(&mut account.sessions, Class::Session, key, admission);
        for (id, session) in &mut account.sessions {
            session
                .calls
                .retain(|name, _| admission.admit(Class::Call, &(key, *id, name)));
        }
        keep(&mut account.calls, Class::Call, key, admission);
        account
            .offers
            .retain(|offer| admission.admit(Class::Offer, &(key, offer)));
        account
            .aliases
            .retain(|alias| admission.admit(Class::Alias, &(key, alias)));
        account.tools.retain(|(name, sha256), tool| {
            if !admission.admit(Class::Tool, &(key, name, sha256)) {
                return false;
            }
            tool.given
                .retain(|receiver, _| admission.admit(Class::Receiver, &(key, name, sha256, receiver)));
            if !admission.admit_text(&(key, name, sha256), tool.definition.len()) {
                tool.definition = Arc::from("");
                return true;
            }
            tool.definition = self.shared_text(sha256, &tool.definition);
            true
        });
    }

    /// The one copy of a kept text.
    fn shared_text(&self, sha256: &[u8; 32], text: &Arc<str>) -> Arc<str> {
        self.texts.entry(*sha256).or_insert_with(|| Arc::clone(text)).clone()
    }
}

#[cfg(test)]
mod tests;
