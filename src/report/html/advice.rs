//! What a kind of finding means, and what to do first: two sentences for whoever is woken by it.

use crate::model::finding::Kind;

/// What it means, and what to do first.
pub const fn of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::AuthViolation => (
            "A sign-in to an MCP server breaks the specification in a way that lets tokens be stolen or used elsewhere.",
            "Update client or server; until then treat its tokens as exposed.",
        ),
        Kind::BehaviourAnomaly => (
            "A client or server does what it did not do before.",
            "Ask the owner; a sweep or a new upstream that nobody planned is an incident.",
        ),
        Kind::CleartextMcp => (
            "Whoever is on the path can read and change every message.",
            "Put TLS in front of the server; where credentials crossed, replace them.",
        ),
        Kind::DnsRebinding => (
            "A page in somebody's browser can drive this server.",
            "Make the server check Host and Origin, and bind it to loopback.",
        ),
        Kind::ExposedBind => (
            "A server that seems meant for one machine answers others.",
            "Bind it to loopback, or approve it with `expose = true` and require a credential.",
        ),
        Kind::GatewayBypass => (
            "What the gateway checks and logs was gone around.",
            "Allow connections to the server from the gateway alone.",
        ),
        Kind::InjectionInResult => (
            "What a tool returned tries to steer the model that reads it.",
            "Find out where that text comes from, and look at what the client called afterwards.",
        ),
        Kind::KnownMalicious => (
            "A package, host or address of attackers is in use.",
            "Isolate the client, and replace every credential that it could reach.",
        ),
        Kind::KnownVulnerable => (
            "The product has a published vulnerability; the references name it.",
            "Update it; a sign of exploitation is an incident.",
        ),
        Kind::PiiInTransit => (
            "Personal data leaves through a tool.",
            "Ask whether this server may process it, and what it keeps.",
        ),
        Kind::PolicyViolation => (
            "A client calls, or a server offers, what the policy does not allow.",
            "Ask the client's owner; change the policy or take the right away.",
        ),
        Kind::ProtocolViolation => (
            "A message that no version of the specification allows, in a way that can fool checks.",
            "Find out which program sent it, and what read it otherwise than meant.",
        ),
        Kind::ProviderConnector => (
            "The cloud of a model's provider calls this MCP server, out of sight of this network.",
            "Ask whether the provider may see what the server holds.",
        ),
        Kind::RedirectHijack => (
            "An MCP or install address leads to somebody else's domain.",
            "Do not use the address; find out what was loaded through it.",
        ),
        Kind::RegistryLookup => (
            "Somebody looks for MCP servers to install.",
            "Expect a new server on this client soon.",
        ),
        Kind::RemoteEndpoint => (
            "A known remote MCP server is in use without an approval.",
            "Approve it, or block its name.",
        ),
        Kind::SecretInTransit => (
            "A credential is inside a message, so that server, client and model have it.",
            "Replace the credential, then find out how it got there.",
        ),
        Kind::SensorHealth => (
            "The sensor sees less than it should.",
            "Look at the page of the sensors: what is not seen is not found.",
        ),
        Kind::TokenInUrl => (
            "A token in an address ends up in logs and histories.",
            "Replace it, and send it in the header Authorization.",
        ),
        Kind::TokenPassthrough => (
            "A server hands the token that it was given to another host.",
            "Make it use a token of its own; declare the backend where this is meant.",
        ),
        Kind::ToolDrift => (
            "A tool is no longer what was seen, pinned or approved.",
            "Read the difference; where nobody announced it, stop the clients that called it since.",
        ),
        Kind::ToolEquivocation => (
            "The server shows different clients different definitions of a tool.",
            "Compare them: one may be aimed at somebody.",
        ),
        Kind::ToolPoisoning => (
            "A description gives orders to the model that reads it.",
            "Stop the clients of this server until somebody has read the definition.",
        ),
        Kind::ToolShadowing => (
            "A tool takes the name of, or gives orders about, another server's tool.",
            "Find out which of the two the client calls.",
        ),
        Kind::TunnelExposure => (
            "A local server is published to the internet.",
            "Close the tunnel, or put a credential in front.",
        ),
        Kind::UnapprovedServer => (
            "Nobody has approved this MCP server.",
            "Find its owner; approve it with `shadowtap approve`, or stop it.",
        ),
        Kind::UnauthenticatedServer => (
            "Whoever reaches the server may use its tools.",
            "Require a credential, or approve it with `auth = \"none\"`.",
        ),
        Kind::UnpinnedPackage => (
            "Whatever version is newest is run, also one of an attacker's.",
            "Name a version where the server is started.",
        ),
    }
}
