//! Which accounts are one server.
//!
//! The contract: a server is (address, port, hostname, endpoint path); the two paths of HTTP+SSE are one endpoint, and
//! entries differ by path only where identity or tools differ. So the accounts of one address and port are merged as
//! long as nothing they say contradicts it. Everything runs in sorted order, so that the result depends on the accounts
//! alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::inventory::account::Account;
use crate::model::finding::SiteKey;
use crate::model::observation::Proof;

/// Accounts that are one server.
#[derive(Debug)]
pub(super) struct Group {
    /// Canonical site: the path that gave most answers.
    pub(super) key: SiteKey,
    /// All accounts joined.
    pub(super) account: Account,
    /// Sites that were merged into it.
    pub(super) members: Vec<SiteKey>,
    /// Whether an MCP server is proven here.
    pub(super) proven: bool,
    /// Answers given by the account that lends its path.
    weight: (bool, u64),
}

/// Merges the accounts of one address and port, sorted by key, into servers.
pub(super) fn group(accounts: Vec<(SiteKey, Account)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // Named paths first: what has no path joins what has one.
    let (named, headless): (Vec<_>, Vec<_>) = accounts.into_iter().partition(|(key, _)| key.path.is_some());
    for (key, account) in named.into_iter().chain(headless) {
        // What is neither asked in MCP's words nor answers in them is another service on the same port.
        if account.proof == 0 && account.echoed == 0 && account.aliases.is_empty() {
            continue;
        }
        // Behind a lost head there may be another page of the same tools.
        let only = key.path.is_none() && groups.len() == 1 && groups.iter().all(|group| same_name(group, &account));
        let taken = groups.iter().position(|group| group.takes(&key, &account));
        match taken.or_else(|| only.then_some(0)) {
            Some(at) => groups[at].absorb(key, account),
            None => groups.push(Group::new(key, account)),
        }
    }
    fold_nameless(groups)
}

/// A group without hostname joins the only named one that it does not contradict.
fn fold_nameless(groups: Vec<Group>) -> Vec<Group> {
    let (mut named, nameless): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.key.hostname.is_some());
    let hostnames: BTreeSet<Option<Arc<str>>> = named.iter().map(|group| group.key.hostname.clone()).collect();
    let mut rest = Vec::new();
    for group in nameless {
        let fits = |other: &Group| agree(&other.account, &group.account);
        match named.iter().position(fits).filter(|_| hostnames.len() == 1) {
            Some(at) => {
                for member in group.members {
                    named[at].members.push(member);
                }
                named[at].account.join(group.account);
                named[at].proven |= group.proven;
            }
            None => rest.push(group),
        }
    }
    rest.extend(named);
    rest
}

impl Group {
    fn new(key: SiteKey, account: Account) -> Self {
        let (proven, weight) = (proves(&account), weight(&account));
        Self {
            members: vec![key.clone()],
            key,
            account,
            proven,
            weight,
        }
    }

    /// Whether an account belongs here.
    fn takes(&self, key: &SiteKey, account: &Account) -> bool {
        if key.hostname != self.key.hostname && key.path.is_some() {
            return false;
        }
        let paths = |members: &[SiteKey], aliases: &BTreeSet<String>| {
            members
                .iter()
                .any(|member| member.path.as_deref().is_some_and(|path| aliases.contains(path)))
        };
        paths(&self.members, &account.aliases)
            || paths(std::slice::from_ref(key), &self.account.aliases)
            || agree(&self.account, account)
    }

    fn absorb(&mut self, key: SiteKey, account: Account) {
        let weight = weight(&account);
        self.proven |= proves(&account);
        let better = key.path.is_some() && weight > self.weight;
        self.account.join(account);
        // The announced POST address of HTTP+SSE never names the endpoint: the stream's path does.
        let alias = |key: &SiteKey| {
            key.path
                .as_deref()
                .is_some_and(|path| self.account.aliases.contains(path))
        };
        if (better || alias(&self.key)) && !alias(&key) && key.path.is_some() {
            self.key = key.clone();
            self.weight = weight;
        }
        self.members.push(key);
        // A request accepted with 202 at the address that an event stream announced (M9).
        self.proven |= !self.account.aliases.is_empty() && self.account.accepted > 0;
    }
}

/// Rank of an account as the one that names the endpoint.
fn weight(account: &Account) -> (bool, u64) {
    (account.proof & Proof::SERVER != 0, account.messages.responses)
}

/// A server is proven when it answered in MCP's words, or when clients echo what only it gives and are not refused.
fn proves(account: &Account) -> bool {
    account.proof & Proof::SERVER != 0 || account.echoed > account.refused
}

/// Whether nothing in two accounts says that they are two servers: a common name or one without a name, and common
/// tools or one without tools.
fn agree(one: &Account, two: &Account) -> bool {
    let tools = |account: &Account| {
        account
            .tools
            .keys()
            .map(|(name, _)| name.clone())
            .collect::<BTreeSet<_>>()
    };
    meet(&names(one), &names(two)) && meet(&tools(one), &tools(two))
}

/// Whether an account bears the name of a group, or either has none.
fn same_name(group: &Group, account: &Account) -> bool {
    meet(&names(&group.account), &names(account))
}

fn names(account: &Account) -> BTreeSet<String> {
    account.identities.keys().map(|(name, _)| name.clone()).collect()
}

fn meet(one: &BTreeSet<String>, two: &BTreeSet<String>) -> bool {
    one.is_empty() || two.is_empty() || !one.is_disjoint(two)
}
