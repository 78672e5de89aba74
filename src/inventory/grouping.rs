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

/// Groups of one address and port that an account is held against. A gateway may have hundreds of servers; whoever
/// invents a path and a name for each request must not make the review of his address quadratic. Accounts beyond it
/// stand for themselves.
const GROUPS_MAX: usize = 512;

/// Sessions of an account that are looked for in each group: one tells as much as all.
const SESSIONS_MAX: usize = 16;

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
    says: Says,
    /// Of all members.
    paths: BTreeSet<Arc<str>>,
}

/// What an account says that tells servers apart.
#[derive(Debug, Default)]
struct Says {
    names: BTreeSet<String>,
    tools: BTreeSet<String>,
}

impl Says {
    fn of(account: &Account) -> Self {
        Self {
            names: account.identities.keys().map(|(name, _)| name.clone()).collect(),
            tools: account.tools.keys().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Whether nothing says that these are two servers: a common name or one without a name, and common tools or one
    /// without tools.
    fn agrees(&self, other: &Self) -> bool {
        meet(&self.names, &other.names) && meet(&self.tools, &other.tools)
    }

    fn extend(&mut self, other: Self) {
        self.names.extend(other.names);
        self.tools.extend(other.tools);
    }
}

/// Merges the accounts of one address and port, sorted by key, into servers.
pub(super) fn group(accounts: Vec<(SiteKey, Account)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // Named paths first: what has no path joins what has one. And what says who it is before what does not: the place that
    // only takes what is posted belongs to the stream that answers.
    let (named, headless): (Vec<_>, Vec<_>) = accounts.into_iter().partition(|(key, _)| key.path.is_some());
    let (telling, silent): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, account)| tells(account));
    for (key, account) in telling.into_iter().chain(silent).chain(headless) {
        // What is neither asked in MCP's words nor answers in them is another service on the same port.
        if account.proof == 0 && account.echoed == 0 && account.aliases.is_empty() {
            continue;
        }
        let says = Says::of(&account);
        // Behind a lost head there may be another page of the same tools.
        let only = key.path.is_none() && groups.len() == 1;
        let fits = |group: &Group| group.takes(&key, &account, &says) || (only && meet(&group.says.names, &says.names));
        let known = || groups.iter().take(GROUPS_MAX);
        let owned = (!tells(&account)).then(|| known().position(|group| group.owns(&key, &account)));
        match owned.flatten().or_else(|| known().position(fits)) {
            Some(at) => groups[at].absorb(key, account, says),
            None => groups.push(Group::new(key, account, says)),
        }
    }
    fold_nameless(groups)
}

/// A group without hostname joins the only named one that it does not contradict. A name under which nobody ever
/// answered is not the server's: who asked with it, and was refused, asked the nameless one.
fn fold_nameless(groups: Vec<Group>) -> Vec<Group> {
    let (mut named, mut nameless): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| group.key.hostname.is_some());
    if nameless.iter().any(|group| group.proven) {
        let (proven, unproven): (Vec<_>, Vec<_>) = named.into_iter().partition(|group| group.proven);
        named = proven;
        for group in unproven {
            let fits = |other: &Group| other.proven && other.says.agrees(&group.says);
            match nameless.iter().take(GROUPS_MAX).position(fits) {
                Some(at) => nameless[at].swallow(group),
                None => named.push(group),
            }
        }
    }
    let hostnames: BTreeSet<Option<Arc<str>>> = named.iter().map(|group| group.key.hostname.clone()).collect();
    let mut rest = Vec::new();
    for group in nameless {
        let fits = |other: &Group| other.says.agrees(&group.says);
        match named
            .iter()
            .take(GROUPS_MAX)
            .position(fits)
            .filter(|_| hostnames.len() == 1)
        {
            Some(at) => named[at].swallow(group),
            None => rest.push(group),
        }
    }
    rest.extend(named);
    rest
}

impl Group {
    fn new(key: SiteKey, account: Account, says: Says) -> Self {
        let (proven, weight) = (proves(&account), weight(&account));
        Self {
            members: vec![key.clone()],
            paths: key.path.iter().cloned().collect(),
            key,
            account,
            proven,
            weight,
            says,
        }
    }

    /// Takes another group in; the place stays.
    fn swallow(&mut self, other: Self) {
        self.members.extend(other.members);
        self.paths.extend(other.paths);
        self.account.join(other.account);
        self.says.extend(other.says);
        self.proven |= other.proven;
    }

    /// Whether an account that does not say who it is surely belongs here: its path was announced here, or its sessions
    /// are of this server, whatever a proxy has made of the path.
    fn owns(&self, key: &SiteKey, account: &Account) -> bool {
        let announced = key
            .path
            .as_deref()
            .is_some_and(|path| self.account.aliases.contains(path));
        let shared = |session: &u64| self.account.sessions.contains_key(session);
        (key.hostname == self.key.hostname || key.path.is_none())
            && (announced || account.sessions.keys().take(SESSIONS_MAX).any(shared))
    }

    /// Whether an account belongs here.
    fn takes(&self, key: &SiteKey, account: &Account, says: &Says) -> bool {
        if key.hostname != self.key.hostname && key.path.is_some() {
            return false;
        }
        let announced =
            |path: Option<&Arc<str>>, aliases: &BTreeSet<String>| path.is_some_and(|path| aliases.contains(&**path));
        account.aliases.iter().any(|alias| self.paths.contains(&**alias))
            || announced(key.path.as_ref(), &self.account.aliases)
            || self.says.agrees(says)
    }

    fn absorb(&mut self, key: SiteKey, account: Account, says: Says) {
        self.says.extend(says);
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
        self.paths.extend(key.path.iter().cloned());
        self.members.push(key);
        // A request accepted with 202 at the address that an event stream announced (M9).
        self.proven |= !self.account.aliases.is_empty() && self.account.accepted > 0;
    }
}

/// Whether an account says who it is, or is the stream that announces where to post.
fn tells(account: &Account) -> bool {
    !(account.identities.is_empty() && account.tools.is_empty() && account.aliases.is_empty())
}

/// Rank of an account as the one that names the endpoint.
fn weight(account: &Account) -> (bool, u64) {
    (account.proof & Proof::SERVER != 0, account.messages.responses)
}

/// A server is proven when it answered in MCP's words, or when clients echo what only it gives and are not refused.
fn proves(account: &Account) -> bool {
    account.proof & Proof::SERVER != 0 || account.echoed > account.refused
}

fn meet(one: &BTreeSet<String>, two: &BTreeSet<String>) -> bool {
    one.is_empty() || two.is_empty() || !one.is_disjoint(two)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::model::net::{Endpoint, FiveTuple, Transport};
    use crate::model::server::Mark;
    use crate::model::stamp::{Span, Stamp};

    /// (host, path, name, answered) to (host, path, members).
    fn groups(sites: &[(Option<&str>, &str, &str, bool)]) -> Vec<(Option<String>, String, usize, bool)> {
        let account = |(host, path, name, answered): &(Option<&str>, &str, &str, bool)| {
            let key = SiteKey {
                endpoint: Endpoint::new(IpAddr::from([10, 0, 0, 5]), 8000),
                hostname: host.map(Arc::from),
                path: Some(Arc::from(*path)),
            };
            let mut account = Account {
                proof: if *answered { Proof::SERVER } else { Proof::CLIENT },
                ..Account::default()
            };
            if !name.is_empty() {
                let at = Stamp::default();
                let flow = FiveTuple {
                    transport: Transport::Tcp,
                    client: key.endpoint,
                    server: key.endpoint,
                };
                let mark = Mark {
                    at,
                    flow,
                    session: None,
                };
                account
                    .identities
                    .insert(((*name).to_owned(), String::new()), (Span::at(at), mark));
            }
            (key, account)
        };
        let mut accounts: Vec<_> = sites.iter().map(account).collect();
        accounts.sort_by(|a, b| a.0.cmp(&b.0));
        let shown = |group: Group| {
            let path = group.key.path.unwrap_or_default().to_string();
            (
                group.key.hostname.map(|name| name.to_string()),
                path,
                group.members.len(),
                group.proven,
            )
        };
        group(accounts).into_iter().map(shown).collect()
    }

    #[test]
    fn a_refused_name_is_not_the_servers() {
        assert_eq!(
            groups(&[(None, "/mcp", "a", true), (Some("evil.test"), "/mcp", "", false)]),
            [(None, "/mcp".to_owned(), 2, true)]
        );
        assert_eq!(
            groups(&[(None, "/mcp", "a", true), (Some("mcp.test"), "/mcp", "a", true)]),
            [(Some("mcp.test".to_owned()), "/mcp".to_owned(), 2, true)]
        );
    }

    #[test]
    fn one_path_each_does_not_merge_by_name() {
        let one = groups(&[(None, "/mcp", "", false), (None, "/mcp/", "a", true)]);
        assert_eq!(one, [(None, "/mcp/".to_owned(), 2, true)]);
        assert_eq!(groups(&[(None, "/a", "a", true), (None, "/b", "b", true)]).len(), 2);
    }

    #[test]
    fn many_invented_servers_cost_no_square() {
        let names: Vec<String> = (0..20_000).map(|number| format!("/{number}")).collect();
        let sites: Vec<_> = names
            .iter()
            .map(|name| (None, name.as_str(), name.as_str(), true))
            .collect();
        assert_eq!(groups(&sites).len(), names.len());
    }
}
