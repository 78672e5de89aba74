//! The methods of every revision, in one table (specification 2024-11-05 to 2026-07-28, and the tasks extension).

use crate::model::net::Direction::{self, ToClient, ToServer};

/// How much a method name says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Names MCP alone, when the named parameter is there.
    Mcp,
    /// MCP-shaped; parameters, the result or the context must settle it.
    Shaped,
    /// Generic.
    Generic,
}

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// As on the wire.
    pub name: &'static str,
    /// How much it says.
    pub certainty: Certainty,
    /// Who sends it; `None` when both do.
    pub sender: Option<Direction>,
    /// Parameter that a message of certainty `Mcp` must have; empty when it needs none.
    pub needs: &'static str,
}

const fn row(name: &'static str, certainty: Certainty, sender: Option<Direction>, needs: &'static str) -> Method {
    Method {
        name,
        certainty,
        sender,
        needs,
    }
}

use Certainty::{Generic, Mcp, Shaped};

/// Every method, by name.
pub const METHODS: &[Method] = &[
    row("completion/complete", Shaped, Some(ToServer), ""),
    row("elicitation/create", Mcp, Some(ToClient), "message"),
    row("initialize", Shaped, Some(ToServer), ""),
    row("logging/setLevel", Shaped, Some(ToServer), ""),
    row("notifications/cancelled", Mcp, None, "requestId"),
    row(
        "notifications/elicitation/complete",
        Mcp,
        Some(ToClient),
        "elicitationId",
    ),
    row("notifications/initialized", Mcp, Some(ToServer), ""),
    row("notifications/message", Mcp, Some(ToClient), "level"),
    row("notifications/progress", Mcp, None, "progressToken"),
    row("notifications/prompts/list_changed", Mcp, Some(ToClient), ""),
    row("notifications/resources/list_changed", Mcp, Some(ToClient), ""),
    row("notifications/resources/updated", Mcp, Some(ToClient), "uri"),
    row("notifications/roots/list_changed", Mcp, Some(ToServer), ""),
    row("notifications/subscriptions/acknowledged", Mcp, Some(ToClient), ""),
    row("notifications/tasks", Mcp, Some(ToClient), "taskId"),
    row("notifications/tasks/status", Mcp, None, "taskId"),
    row("notifications/tools/list_changed", Mcp, Some(ToClient), ""),
    row("ping", Generic, None, ""),
    row("prompts/get", Shaped, Some(ToServer), ""),
    row("prompts/list", Shaped, Some(ToServer), ""),
    row("resources/list", Shaped, Some(ToServer), ""),
    row("resources/read", Shaped, Some(ToServer), ""),
    row("resources/subscribe", Shaped, Some(ToServer), ""),
    row("resources/templates/list", Shaped, Some(ToServer), ""),
    row("resources/unsubscribe", Shaped, Some(ToServer), ""),
    row("roots/list", Shaped, Some(ToClient), ""),
    row("sampling/createMessage", Mcp, Some(ToClient), "messages"),
    row("server/discover", Shaped, Some(ToServer), ""),
    row("subscriptions/listen", Shaped, Some(ToServer), ""),
    row("tasks/cancel", Shaped, None, ""),
    row("tasks/get", Shaped, None, ""),
    row("tasks/list", Shaped, None, ""),
    row("tasks/result", Shaped, None, ""),
    row("tasks/update", Shaped, Some(ToServer), ""),
    row("tools/call", Shaped, Some(ToServer), ""),
    row("tools/list", Shaped, Some(ToServer), ""),
];

/// The method of that name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS
        .binary_search_by(|method| method.name.cmp(name))
        .ok()
        .and_then(|at| METHODS.get(at))
}

/// Whether a successful answer to this method gives away what the server offers: the methods that
/// `unauthenticated-server` is about.
pub fn discloses(name: &str) -> bool {
    name.starts_with("tools/") || name.starts_with("resources/") || name.starts_with("prompts/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_by_name_and_found() {
        assert!(METHODS.is_sorted_by_key(|method| method.name));
        assert!(
            METHODS
                .iter()
                .all(|method| find(method.name).is_some_and(|found| found.name == method.name))
        );
        assert!(find("tools/List").is_none() && find("").is_none());
    }
}
