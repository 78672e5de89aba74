//! What one message adds to the conduct of its session. Cost: a look at the direction for most messages, one entry in a
//! small map for an answer.

use std::net::IpAddr;

use crate::mcp::method;
use crate::model::conduct::{Conduct, Holder};
use crate::model::mcp::{Abilities, Auth, JsonRpc, RpcKind};
use crate::model::net::Direction;
use crate::model::observation::Mcp;
use crate::model::server::Mark;

/// Adds a message.
pub(super) fn note(conduct: &mut Conduct, (mcp, rpc): (&Mcp<'_>, &JsonRpc<'_>), (client, mark): (IpAddr, Mark)) {
    if mcp.dir != Direction::ToClient {
        return;
    }
    let ability = Abilities::needed(rpc.method);
    if rpc.kind == RpcKind::Request && ability != 0 {
        let known = conduct.asked.entry(ability).or_insert(mark);
        *known = mark.min(*known);
    }
    let Some(call) = mcp.call.filter(|_| rpc.kind == RpcKind::Success && mcp.success) else {
        return;
    };
    let opened = call.method == "initialize";
    if mcp.transaction.is_some() {
        conduct.hold(client, Holder { first: mark, opened });
        conduct.auth = conduct.auth.max(Some(call.auth));
    }
    if opened {
        let able = call
            .able
            .map(|able| Abilities(able.0 | conduct.able.map_or(0, |known| known.0)));
        conduct.able = able.or(conduct.able);
        let offered = call.offered.map(|offered| (mark.at, offered));
        conduct.offered = match (conduct.offered, offered) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }
    if mcp.transaction.is_some() && call.auth == Auth::None && method::discloses(call.method) {
        conduct.bare = Some(conduct.bare.map_or(mark, |known| known.min(mark)));
    }
}
