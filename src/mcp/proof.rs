//! What one message proves: the rules M1 to M11.
//!
//! A server is only proven by what it said itself, or by what only its answer explains. A request alone makes its
//! target a suspect: a client that asks a web server for `tools/list` and gets a 404 has found no MCP server.

use crate::mcp::method::{self, Certainty};
use crate::mcp::shape::{self, Params, ResultShape};
use crate::model::mcp::Revision;
use crate::model::mcp::{JsonRpc, RpcKind};
use crate::model::message::{Field, Transaction};
use crate::model::net::Direction;
use crate::model::observation::{Call, Proof};

/// What a request or notification proves.
pub(super) fn of_request(
    rpc: &JsonRpc<'_>,
    params: &Params<'_>,
    dir: Direction,
    transaction: Option<&Transaction>,
) -> Proof {
    let Some(known) = method::find(rpc.method) else {
        // Methods of extensions and of revisions to come: the statement in `_meta` or the header counts.
        let stateless = params.stateless && dir == Direction::ToServer;
        return Proof(if stateless || version_header(transaction) {
            Proof::CLIENT
        } else {
            0
        });
    };
    let mut proof = 0;
    let fits = rpc
        .params
        .is_some_and(|raw| rpc.cut || known.needs.is_empty() || shape::has(raw, known.needs));
    let fits = fits || known.needs.is_empty();
    let way = known.sender.is_none_or(|sender| sender == dir);
    if known.certainty == Certainty::Mcp && fits && way {
        proof |= if dir == Direction::ToServer {
            Proof::CLIENT
        } else {
            Proof::SERVER
        };
    }
    if dir == Direction::ToServer {
        let handshake =
            rpc.method == "initialize" && params.revision.is_some() && params.capabilities && params.client.is_some();
        if handshake || params.stateless || version_header(transaction) {
            proof |= Proof::CLIENT;
        }
        if rpc.method == "notifications/initialized" && rpc.kind == RpcKind::Notification {
            proof |= Proof::ECHO;
        }
        if session_header(transaction) && (proof & Proof::CLIENT != 0 || known.certainty != Certainty::Generic) {
            proof |= Proof::ECHO | Proof::CLIENT;
        }
    } else if params.subscription {
        proof |= Proof::SERVER;
    }
    if proof == 0 && known.certainty == Certainty::Shaped && rpc.params.is_none_or(|raw| raw.starts_with('{')) {
        proof = Proof::SUSPECT;
    }
    Proof(proof)
}

/// What a response proves. `tools_shaped` says that every entry of `result.tools` has MCP's shape; `asked` is the
/// request, and whether that proved its client.
pub(super) fn of_response(
    rpc: &JsonRpc<'_>,
    result: &ResultShape<'_>,
    tools_shaped: bool,
    asked: Option<(Call<'_>, bool)>,
    dir: Direction,
    transaction: Option<&Transaction>,
) -> Proof {
    if dir == Direction::ToServer {
        // The client's answer to `sampling/createMessage` and the like.
        return Proof(0);
    }
    let proven = match rpc.kind {
        RpcKind::Success => {
            let handshake = result.revision.is_some() && result.capabilities && result.server.is_some();
            let discovery = result.supported && result.capabilities;
            let called = asked.is_some_and(|(call, _)| call.method == "tools/call" && call.name.is_some());
            // A success that answers a request which named its MCP revision.
            let named = asked.is_some_and(|(_, client)| client);
            // Last, for it reads all of the content once more.
            let answered = || called && (result.input_required || result.content.is_some_and(shape::blocks));
            handshake || discovery || result.meta || tools_shaped || named || answered()
        }
        RpcKind::Error => {
            let raw = rpc.error.unwrap_or_default();
            let mismatch = shape::error(raw).0 == Some(-32020)
                && transaction.is_some_and(|t| {
                    t.response.as_ref().is_some_and(|r| r.status == 400)
                        && t.request.as_ref().is_some_and(|r| r.headers.has(Field::McpMethod))
                });
            mismatch || shape::is_mcp_error(raw)
        }
        RpcKind::Notification | RpcKind::Request => false,
    };
    Proof(if proven { Proof::SERVER } else { 0 })
}

/// M11: `MCP-Protocol-Version` with a date, in the exchange of a JSON-RPC body.
fn version_header(transaction: Option<&Transaction>) -> bool {
    let request = transaction.and_then(|transaction| transaction.request.as_ref());
    let value = request.and_then(|request| request.headers.text(Field::McpProtocolVersion));
    value.is_some_and(|value| Revision::parse(value.trim()).is_some())
}

fn session_header(transaction: Option<&Transaction>) -> bool {
    let request = transaction.and_then(|transaction| transaction.request.as_ref());
    request.is_some_and(|request| {
        request
            .headers
            .get(Field::McpSessionId)
            .is_some_and(|value| !value.is_empty())
    })
}
