//! Builds the sorted [`View`]: the one place where records get their final shape and order.

mod clients;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::clients::{named_clients, note_clients};
use crate::inventory::account::{Account, PageKey, PageSeen, ToolSeen};
use crate::inventory::grouping::{Group, group};
use crate::inventory::merge::join_finding;
use crate::inventory::names::{Join, Wanted};
use crate::inventory::{Inventory, attempts};
use crate::model::finding::{Finding, FindingKey, Kind, SiteKey};
use crate::model::mcp::{McpTransport, Revision};
use crate::model::net::{Endpoint, Scope};
use crate::model::observation::Offer;
use crate::model::server::{
    Audience, Capture, Client, Definition, Encryption, Identity, ListingSeen, Lookup, Reported, Server, ServerEvidence,
    Session, Tool, View,
};
use crate::model::stamp::{Span, Stamp};
use crate::model::trace::Trace;

/// Pages that are chained to one listing: a server whose cursors run in a circle ends here.
pub const LISTING_MAX_PAGES: usize = 256;

impl Inventory {
    /// Everything that is known, sorted, with the findings that single observations gave. Findings of `review` come on
    /// top, by [`View::report`].
    pub fn view(&self, capture: Capture) -> View {
        let mut sites: BTreeMap<Endpoint, BTreeMap<SiteKey, Account>> = BTreeMap::new();
        for entry in &self.accounts {
            sites
                .entry(entry.key().endpoint)
                .or_default()
                .insert(entry.key().clone(), entry.value().clone());
        }
        let mut view = View {
            capture,
            attempts: attempts::of(sites.values()),
            ..View::default()
        };
        let mut clients: BTreeMap<(IpAddr, Option<String>, Option<String>), Client> = BTreeMap::new();
        let mut homes: BTreeMap<SiteKey, SiteKey> = BTreeMap::new();
        let groups: Vec<Vec<Group>> = sites
            .into_values()
            .map(|accounts| group(accounts.into_iter().collect()))
            .collect();
        let join = self.names_of(groups.iter().flatten());
        for mut groups in groups {
            name_nameless(&mut groups, &join);
            for group in groups.into_iter().filter(|group| group.proven) {
                for member in &group.members {
                    homes.insert(member.clone(), group.key.clone());
                }
                let mut server = server(&group);
                let name = group.key.hostname.as_ref();
                server.bound_before = name.and_then(|name| join.bound_before(name, group.key.endpoint.addr));
                view.sessions.extend(sessions(&group, &server.id));
                note_clients(&group, &mut clients);
                view.servers.push(server);
            }
        }
        view.clients = named_clients(clients);
        view.led = join.led();
        view.suspects = self.suspects.iter().map(|entry| entry.value().clone()).collect();
        view.suspects
            .sort_by(|a, b| (a.endpoint, &a.name).cmp(&(b.endpoint, &b.name)));
        view.announced = join.announced();
        let hidden = self.encrypted_dns.iter().map(|entry| (*entry.key(), entry.value().0));
        view.capture.encrypted_dns = hidden.collect();
        view.capture.counters.blind.encrypted_dns_flows = view.capture.encrypted_dns.values().sum();
        view.lookups = self.lookups.iter().map(|entry| entry.value().clone()).collect();
        view.lookups.sort_by(|a, b| lookup_order(a).cmp(&lookup_order(b)));
        view.servers.sort_by(|a, b| server_order(a).cmp(&server_order(b)));
        view.sessions
            .sort_by(|a, b| (a.server, a.seen.first, &a.id).cmp(&(b.server, b.seen.first, &b.id)));
        view.traces = self.traces_at(&homes);
        let mut findings = BTreeMap::new();
        let mut known: Vec<Finding> = self.findings.iter().map(|entry| entry.value().clone()).collect();
        // Two sites of one server may tell the same of one packet: whose evidence stays must not be chance.
        known.sort_by(|a, b| a.key.cmp(&b.key));
        for mut finding in known {
            if let Some(site) = &finding.key.site {
                match homes.get(site) {
                    Some(home) => finding.key.site = Some(home.clone()),
                    // A message that turned out not to be MCP gives no finding; what leads to MCP still does.
                    None if !needs_no_server(finding.key.kind) => continue,
                    None => {}
                }
            }
            join_finding(&mut findings, finding);
        }
        view.report(findings.into_values());
        view
    }
}

impl Inventory {
    /// Traces, those of MCP at the server that their site was joined to.
    fn traces_at(&self, homes: &BTreeMap<SiteKey, SiteKey>) -> Vec<Trace> {
        let mut traces: Vec<Trace> = self.traces.iter().map(|entry| entry.value().clone()).collect();
        for trace in &mut traces {
            let site = &mut trace.key.site;
            *site = site.as_ref().and_then(|site| homes.get(site)).cloned();
        }
        traces.sort_by(|a, b| (a.key.topic, a.mark, &a.key).cmp(&(b.key.topic, b.mark, &b.key)));
        traces
    }

    /// What DNS told about the addresses of these groups that have no name, about the names of those at addresses of one's
    /// own, and about flows that hide theirs.
    fn names_of<'g>(&self, groups: impl Iterator<Item = &'g Group>) -> Join {
        let mut wanted = Wanted::default();
        for group in groups.filter(|group| group.proven) {
            let addr = group.key.endpoint.addr;
            match &group.key.hostname {
                None => {
                    wanted.addresses.insert(addr);
                }
                Some(name) if Scope::of(addr) != Scope::Public => {
                    wanted.own.insert(Arc::clone(name));
                }
                Some(_) => {}
            }
        }
        self.names.iter().for_each(|ledger| ledger.want(&mut wanted));
        let mut join = Join::default();
        // The order of the slices is chance; what the join says does not depend on it.
        self.names.iter().for_each(|ledger| join.add(&ledger, &wanted));
        join.finish();
        join
    }
}

/// A server that nobody called by a name gets the one that DNS led its clients with: of the client whose flow began
/// first, of those that were led by one. What a request said (`Host`) is never overruled, and no two servers get the same
/// name and path.
fn name_nameless(groups: &mut [Group], join: &Join) {
    let mut taken: BTreeSet<_> = groups
        .iter()
        .map(|group| (group.key.hostname.clone(), group.key.path.clone()))
        .collect();
    for Group { key, account, .. } in groups.iter_mut().filter(|group| group.proven) {
        if key.hostname.is_some() {
            continue;
        }
        let mut peers: Vec<(Stamp, IpAddr)> = account
            .peers
            .iter()
            .map(|(client, peer)| (peer.began, *client))
            .collect();
        peers.sort_unstable();
        let addr = key.endpoint.addr;
        let name = peers
            .into_iter()
            .find_map(|(began, client)| join.name(client, addr, began.time));
        if name.is_some() && taken.insert((name.clone(), key.path.clone())) {
            key.hostname = name;
        }
    }
}

impl View {
    /// Adds findings, and puts all of them in order.
    pub fn report(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let mut joined = BTreeMap::new();
        // A tool that comes twice appears once, and that two times.
        findings
            .into_iter()
            .for_each(|finding| join_finding(&mut joined, finding));
        self.findings.extend(joined.into_values().map(|mut finding| {
            let server_id = finding.key.site.as_ref().map(server_id);
            let session = &mut finding.evidence.session;
            *session = session.map(|id| scoped(id, server_id.as_deref().unwrap_or_default()));
            Reported {
                id: finding_id(&finding.key),
                server_id,
                finding,
            }
        }));
        self.order_findings();
    }

    /// Puts findings in the order of the report: severity, first seen, id.
    pub fn order_findings(&mut self) {
        self.findings.sort_by(|a, b| {
            let (one, two) = (&a.finding, &b.finding);
            two.severity
                .cmp(&one.severity)
                .then_with(|| (one.seen.first, &a.id).cmp(&(two.seen.first, &b.id)))
        });
    }
}

fn needs_no_server(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::AuthViolation
            | Kind::KnownMalicious
            | Kind::KnownVulnerable
            | Kind::ProviderConnector
            | Kind::RedirectHijack
            | Kind::RegistryLookup
            | Kind::RemoteEndpoint
            | Kind::SensorHealth
            | Kind::TunnelExposure
            | Kind::UnpinnedPackage
    )
}

fn server_order(server: &Server) -> (Endpoint, Option<&str>, Option<&str>) {
    (server.endpoint, server.hostname.as_deref(), server.path.as_deref())
}

pub(super) fn lookup_order(lookup: &Lookup) -> (&str, IpAddr, &str, Option<&str>, &str) {
    (
        &lookup.name,
        lookup.client,
        lookup.via,
        lookup.kind.as_deref(),
        &lookup.signature,
    )
}

/// Hash of address, port, hostname and endpoint path: 16 hex digits.
pub fn server_id(key: &SiteKey) -> String {
    let text = |part: &Option<Arc<str>>| part.as_deref().unwrap_or("\u{0}").to_owned();
    digest(&[
        "server",
        &key.endpoint.to_string(),
        &text(&key.hostname),
        &text(&key.path),
    ])
}

/// Hash of what makes the finding the same fact; never of when, where from or how often.
pub(super) fn finding_id(key: &FindingKey) -> String {
    let none = "\u{0}";
    digest(&[
        "finding",
        key.kind.word(),
        &key.rule,
        &key.site.as_ref().map_or_else(|| none.to_owned(), server_id),
        &key.client.map_or_else(|| none.to_owned(), |client| client.to_string()),
        key.tool.as_deref().unwrap_or(none),
        key.direction.map_or(none, crate::model::net::Direction::word),
        key.place.as_deref().unwrap_or(none),
        key.subject.as_deref().unwrap_or(none),
    ])
}

/// A session within its server: a gateway may hand the id of one session on to the next server.
pub(super) fn scoped(session: u64, server_id: &str) -> u64 {
    let digest = Sha256::new_with_prefix(session.to_be_bytes())
        .chain_update(server_id)
        .finalize();
    digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn server(group: &Group) -> Server {
    let Group { key, account, .. } = group;
    let latest = account
        .identities
        .iter()
        .max_by_key(|((name, version), (span, _))| (span.last, name.clone(), version.clone()));
    let mut identities: Vec<Identity> = account
        .identities
        .iter()
        .map(|((name, version), (seen, mark))| Identity {
            name: name.clone(),
            version: version.clone(),
            seen: *seen,
            mark: *mark,
        })
        .collect();
    identities.sort_by_key(|identity| (identity.seen.first, identity.seen.last));
    let mut transports: Vec<McpTransport> = account.transports.iter().copied().collect();
    if transports.is_empty() {
        transports.push(McpTransport::StreamableHttp);
    }
    let listings = listings(&account.pages);
    let mut instructions: Vec<Definition> = account
        .instructions
        .iter()
        .map(|(sha256, seen)| Definition {
            sha256: *sha256,
            definition: Arc::clone(&seen.text),
            seen: seen.seen,
            mark: seen.mark,
            given: BTreeMap::new(),
        })
        .collect();
    instructions.sort_by_key(|text| (text.seen.last, text.seen.first, text.sha256));
    let count = |wanted: Offer| account.offers.iter().filter(|(offer, _)| *offer == wanted).count() as u64;
    Server {
        id: server_id(key),
        sites: group
            .members
            .iter()
            .map(|site| (site.clone(), server_id(site).into()))
            .collect(),
        endpoint: key.endpoint,
        hostname: key.hostname.clone(),
        path: key.path.clone(),
        transports,
        encryption: account.encryption,
        outer: account.outer.map(|(_, outer)| outer),
        // Its messages were read.
        decrypted: account.encryption != Encryption::None,
        evidence: ServerEvidence::Message,
        confidence: 1.0,
        inferred: None,
        server_name: latest.map(|((name, _), _)| name.clone()),
        server_version: latest.map(|((_, version), _)| version.clone()),
        instructions_sha256: instructions.last().map(|text| text.sha256),
        protocol_versions: account.revisions.iter().copied().collect::<Vec<Revision>>(),
        tools: tools(&account.tools, &listings),
        resources: count(Offer::Resource),
        prompts: count(Offer::Prompt),
        auth: account.auth,
        any_origin: account.any_origin,
        bound_before: None,
        hosted: None,
        scope: Scope::of(key.endpoint.addr),
        approval: None,
        seen: account.seen.unwrap_or_else(|| Span::at(Stamp::default())),
        sessions: account.sessions.values().filter(|session| session.established).count() as u64,
        clients: account.peers.keys().copied().collect(),
        messages: account.messages.clone(),
        identities,
        instructions,
        peers: peers(account),
        listings,
        calls: account.calls.clone(),
    }
}

/// Peers, with what only two connections of HTTP+SSE together show: a request without credential, and its answer.
fn peers(account: &Account) -> BTreeMap<IpAddr, crate::model::server::Peer> {
    let mut peers = account.peers.clone();
    for session in account.sessions.values() {
        if let (Some(asked), Some(given)) = (session.asked_open, session.disclosed)
            && let Some(peer) = peers.get_mut(&session.client.1)
        {
            let mark = asked.max(given);
            peer.open = Some(peer.open.map_or(mark, |known| known.min(mark)));
        }
    }
    peers
}

/// Tools by name: the definition listed last, and the others.
fn tools(seen: &BTreeMap<(String, [u8; 32]), ToolSeen>, listings: &[ListingSeen]) -> Vec<Tool> {
    let mut by_name: BTreeMap<&str, Vec<(&[u8; 32], &ToolSeen)>> = BTreeMap::new();
    for ((name, sha256), tool) in seen {
        by_name.entry(name).or_default().push((sha256, tool));
    }
    let newest = newest_listings(listings);
    by_name
        .into_iter()
        .filter_map(|(name, mut definitions)| {
            definitions.sort_by_key(|(sha256, tool)| (tool.seen.first, tool.seen.last, **sha256));
            let at = definitions
                .iter()
                .enumerate()
                .max_by_key(|(_, (sha256, tool))| (tool.seen.last, **sha256))?
                .0;
            let (sha256, tool) = definitions.remove(at);
            let earlier = definitions.into_iter().map(|(sha256, tool)| Definition {
                sha256: *sha256,
                definition: tool.definition.clone(),
                seen: tool.seen,
                mark: tool.mark,
                given: tool.given.clone(),
            });
            Some(Tool {
                name: name.to_owned(),
                sha256: *sha256,
                description_sha256: tool.description_sha256,
                gone: !newest.is_empty() && newest.iter().all(|listing| !listing.names.contains(name)),
                definition: tool.definition.clone(),
                seen: tool.seen,
                mark: tool.mark,
                given: tool.given.clone(),
                earlier: earlier.collect(),
            })
        })
        .collect()
}

/// The last listing of each audience.
fn newest_listings(listings: &[ListingSeen]) -> Vec<&ListingSeen> {
    let mut newest: BTreeMap<Audience, &ListingSeen> = BTreeMap::new();
    for listing in listings {
        let slot = newest.entry(listing.audience).or_insert(listing);
        if (listing.seen.last, listing.seen.first) > (slot.seen.last, slot.seen.first) {
            *slot = listing;
        }
    }
    newest.into_values().collect()
}

/// Chains pages to complete listings: from each first page along its cursors.
fn listings(pages: &BTreeMap<PageKey, PageSeen>) -> Vec<ListingSeen> {
    let mut out: BTreeMap<(Audience, BTreeSet<String>), ListingSeen> = BTreeMap::new();
    for (first, seen) in pages.iter().filter(|(key, _)| key.cursor.is_none()) {
        let mut names = first.names.clone();
        let mut next = first.next;
        let mut from = seen.seen.first;
        for _ in 0..LISTING_MAX_PAGES {
            let Some(cursor) = next else { break };
            // The page that was fetched soonest after the one that named its cursor.
            let follow = pages
                .iter()
                .filter(|(key, page)| {
                    key.audience == first.audience && key.cursor == Some(cursor) && page.seen.last >= from
                })
                .min_by_key(|(_, page)| (page.seen.first.max(from), page.seen.last));
            let Some((key, page)) = follow else { break };
            names.extend(key.names.iter().cloned());
            from = page.seen.first.max(from);
            next = key.next;
        }
        if next.is_some() {
            continue;
        }
        let listing = ListingSeen {
            audience: first.audience,
            names: names.clone(),
            clients: seen.clients.clone(),
            seen: seen.seen,
            mark: seen.mark,
        };
        out.entry((first.audience, names))
            .and_modify(|known| {
                known.seen.join(seen.seen);
                known.mark = known.mark.min(seen.mark);
                known.clients.extend(&seen.clients);
            })
            .or_insert(listing);
    }
    let mut listings: Vec<ListingSeen> = out.into_values().collect();
    listings.sort_by(|a, b| (a.audience, a.seen.first, &a.names).cmp(&(b.audience, b.seen.first, &b.names)));
    listings
}

fn sessions(group: &Group, server_id: &str) -> Vec<Session> {
    let known = group.account.sessions.iter().filter(|(_, session)| session.established);
    known
        .map(|(id, session)| Session {
            id: format!("{:016x}", scoped(*id, server_id)),
            server_id: server_id.to_owned(),
            server: group.key.endpoint,
            client: Some(session.client.1),
            client_name: session.client_name.as_ref().map(|(_, name)| name.clone()),
            protocol_version: session.revision.map(|(_, revision)| revision),
            transport: session.transport.unwrap_or(McpTransport::StreamableHttp),
            seen: session.seen,
            messages: session.messages,
            calls: session.calls.clone(),
            conduct: session.conduct.clone(),
        })
        .collect()
}
