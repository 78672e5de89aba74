//! Tools as one flow shows them: listed, and called.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Erase, mark};
use crate::inventory::account::{Account, PageKey, PageSeen, ToolSeen, first_of};
use crate::model::mcp::{Auth, JsonRpc, RpcKind};
use crate::model::observation::{Listing, Mcp, Observation};
use crate::model::server::{Audience, Calls};
use crate::model::stamp::Span;

impl Account {
    /// A tool that is called, with or without a session.
    pub(super) fn note_call(&mut self, seen: &Observation<'_>, mcp: &Mcp<'_>, client: IpAddr, erase: &mut Erase<'_>) {
        let (asked, served) = (called(mcp), served(mcp));
        let Some(name) = asked.or(served) else { return };
        let mark = mark(seen, mcp);
        let calls = self.calls.entry((client, erase.name(name))).or_insert_with(|| Calls {
            count: 0,
            seen: Span::at(seen.at),
            mark,
            served: None,
        });
        calls.count += u64::from(asked.is_some());
        calls.seen.join(Span::at(seen.at));
        calls.mark = calls.mark.min(mark);
        calls.served = first_of(calls.served, served.map(|_| mark));
    }

    /// One page of tools.
    pub(super) fn note_listing(
        &mut self,
        seen: &Observation<'_>,
        mcp: &Mcp<'_>,
        (listing, client): (&Listing<'_>, IpAddr),
        erase: &mut Erase<'_>,
    ) {
        let mark = mark(seen, mcp);
        let span = Span::at(seen.at);
        let auth = mcp.call.map(|call| call.auth).or(mcp.auth);
        let mut names = BTreeSet::new();
        for tool in &listing.tools {
            let name = erase.name(&tool.name);
            names.insert(name.clone());
            let known = self.tools.entry((name, tool.sha256)).or_insert_with(|| ToolSeen {
                seen: span,
                mark,
                description_sha256: tool.description_sha256,
                definition: erase.definition(tool),
                given: BTreeMap::new(),
            });
            known.seen.join(span);
            known.given.entry((auth, client)).or_insert(span).join(span);
            if mark < known.mark {
                (known.mark, known.description_sha256) = (mark, tool.description_sha256);
            }
        }
        let holder = auth.is_some_and(|auth| auth != Auth::None).then_some(client);
        let key = PageKey {
            audience: Audience { auth, client: holder },
            cursor: listing.cursor,
            next: listing.next,
            names,
        };
        let known = self.pages.entry(key).or_insert_with(|| PageSeen {
            seen: span,
            mark,
            clients: BTreeSet::new(),
        });
        known.clients.insert(client);
        known.seen.join(span);
        known.mark = known.mark.min(mark);
    }
}

/// Tool whose call a message answers with success.
fn served<'m>(mcp: &'m Mcp<'_>) -> Option<&'m str> {
    let given = |rpc: &JsonRpc<'_>| rpc.kind == RpcKind::Success && mcp.success;
    let call = mcp.call.filter(|call| call.method == "tools/call")?;
    mcp.rpc.as_ref().is_some_and(given).then_some(call.name).flatten()
}

/// Tool that a message calls; empty where the name was not read.
pub(super) fn called<'m>(mcp: &'m Mcp<'_>) -> Option<&'m str> {
    let calls = |rpc: &JsonRpc<'_>| rpc.kind == RpcKind::Request && rpc.method == "tools/call";
    mcp.rpc
        .as_ref()
        .is_some_and(calls)
        .then(|| mcp.name.as_deref().unwrap_or_default())
}
