//! Messages find their server: known only when the sites were joined.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::inventory::view::scoped;
use crate::model::finding::SiteKey;
use crate::model::message_seen::{MessageRow, MessageSeen, Route};
use crate::model::net::Endpoint;
use crate::model::server::View;

/// The server of a site.
struct Home {
    server_id: Arc<str>,
    server: Endpoint,
    site: Arc<str>,
}

impl View {
    /// Takes out of `waiting` every message whose site belongs to a server, and puts all of them in order. What is left
    /// was said at places where no MCP server is proven yet.
    pub fn place(&mut self, waiting: &mut Vec<MessageSeen>) {
        let mut homes: BTreeMap<&SiteKey, Home> = BTreeMap::new();
        for server in &self.servers {
            let server_id: Arc<str> = Arc::from(server.id.as_str());
            for (key, site) in &server.sites {
                let home = Home {
                    server_id: Arc::clone(&server_id),
                    server: server.endpoint,
                    site: Arc::clone(site),
                };
                homes.insert(key, home);
            }
        }
        let mut rows = Vec::new();
        let mut scopes = Scopes::default();
        let mut last: Option<(Arc<Route>, Option<&Home>)> = None;
        waiting.retain(|seen| {
            let home = match &last {
                Some((route, home)) if Arc::ptr_eq(route, &seen.route) => *home,
                _ => homes.get(&seen.route.site),
            };
            last = Some((Arc::clone(&seen.route), home));
            let Some(home) = home else { return true };
            rows.push(MessageRow {
                server_id: Arc::clone(&home.server_id),
                site: Arc::clone(&home.site),
                server: home.server,
                session: seen.session.map(|id| scopes.scoped(id, &home.server_id)),
                seen: seen.clone(),
            });
            false
        });
        rows.sort_unstable_by_key(|row| row.seen.order());
        self.messages = rows;
    }
}

/// Sessions within their servers, each computed once while its messages follow each other.
#[derive(Default)]
struct Scopes(Option<(u64, Arc<str>, u64)>);

impl Scopes {
    fn scoped(&mut self, session: u64, server_id: &Arc<str>) -> u64 {
        match &self.0 {
            Some((known, server, scoped)) if *known == session && Arc::ptr_eq(server, server_id) => *scoped,
            _ => {
                let scoped = scoped(session, server_id);
                self.0 = Some((session, Arc::clone(server_id), scoped));
                scoped
            }
        }
    }
}
