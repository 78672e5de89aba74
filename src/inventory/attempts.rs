//! Who tried MCP where, whether or not anybody answered.

use std::collections::BTreeMap;

use crate::inventory::account::Account;
use crate::model::finding::SiteKey;
use crate::model::net::Endpoint;
use crate::model::observation::Proof;
use crate::model::server::Attempt;

/// Every attempt, by client and first message. The names under which one place was asked are one place.
pub(super) fn of<'a>(sites: impl Iterator<Item = &'a BTreeMap<SiteKey, Account>>) -> Vec<Attempt> {
    let mut attempts = BTreeMap::new();
    for (site, account) in sites.flatten() {
        if account.proof & (Proof::CLIENT | Proof::SUSPECT | Proof::SERVER) == 0 {
            continue;
        }
        let answers = account.proof & Proof::SERVER != 0;
        let goes_on = account.echoed > account.refused;
        for (client, peer) in &account.peers {
            let key: (_, Endpoint, _) = (*client, site.endpoint, site.path.clone());
            let known = attempts.entry(key).or_insert_with(|| Attempt {
                client: *client,
                endpoint: site.endpoint,
                path: site.path.clone(),
                answered: false,
                seen: peer.seen,
            });
            known.seen.join(peer.seen);
            known.answered |= goes_on || (answers && peer.answered.is_some());
        }
    }
    let mut attempts: Vec<Attempt> = attempts.into_values().collect();
    attempts.sort_by(|a, b| {
        (a.client, a.seen.first, a.endpoint, &a.path).cmp(&(b.client, b.seen.first, b.endpoint, &b.path))
    });
    attempts
}
