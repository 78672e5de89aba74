//! Findings: the first thing in the pipeline that owns its data, and it can only hold redacted samples.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::net::{Direction, Endpoint, FiveTuple};
use crate::model::stamp::Span;

/// What a finding is about; the contract's `kind`. In alphabetical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the contract's table says what each is")]
pub enum Kind {
    AuthViolation,
    BehaviourAnomaly,
    CleartextMcp,
    DnsRebinding,
    ExposedBind,
    GatewayBypass,
    InjectionInResult,
    KnownMalicious,
    KnownVulnerable,
    PiiInTransit,
    PolicyViolation,
    ProtocolViolation,
    ProviderConnector,
    RedirectHijack,
    RegistryLookup,
    RemoteEndpoint,
    SecretInTransit,
    SensorHealth,
    TokenInUrl,
    TokenPassthrough,
    ToolDrift,
    ToolEquivocation,
    ToolPoisoning,
    ToolShadowing,
    TunnelExposure,
    UnapprovedServer,
    UnauthenticatedServer,
    UnpinnedPackage,
}

impl Kind {
    /// Every kind with the contract's word.
    pub const ALL: [(Self, &'static str); 28] = [
        (Self::AuthViolation, "auth-violation"),
        (Self::BehaviourAnomaly, "behaviour-anomaly"),
        (Self::CleartextMcp, "cleartext-mcp"),
        (Self::DnsRebinding, "dns-rebinding"),
        (Self::ExposedBind, "exposed-bind"),
        (Self::GatewayBypass, "gateway-bypass"),
        (Self::InjectionInResult, "injection-in-result"),
        (Self::KnownMalicious, "known-malicious"),
        (Self::KnownVulnerable, "known-vulnerable"),
        (Self::PiiInTransit, "pii-in-transit"),
        (Self::PolicyViolation, "policy-violation"),
        (Self::ProtocolViolation, "protocol-violation"),
        (Self::ProviderConnector, "provider-connector"),
        (Self::RedirectHijack, "redirect-hijack"),
        (Self::RegistryLookup, "registry-lookup"),
        (Self::RemoteEndpoint, "remote-endpoint"),
        (Self::SecretInTransit, "secret-in-transit"),
        (Self::SensorHealth, "sensor-health"),
        (Self::TokenInUrl, "token-in-url"),
        (Self::TokenPassthrough, "token-passthrough"),
        (Self::ToolDrift, "tool-drift"),
        (Self::ToolEquivocation, "tool-equivocation"),
        (Self::ToolPoisoning, "tool-poisoning"),
        (Self::ToolShadowing, "tool-shadowing"),
        (Self::TunnelExposure, "tunnel-exposure"),
        (Self::UnapprovedServer, "unapproved-server"),
        (Self::UnauthenticatedServer, "unauthenticated-server"),
        (Self::UnpinnedPackage, "unpinned-package"),
    ];

    /// The contract's word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// From the contract's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

/// How bad it is, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words are the contract's")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The contract's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
        }
    }

    /// From the contract's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.word() == word)
    }
}

/// A redacted piece of a value: its rule's public prefix and at most its last four characters.
///
/// `detect/redact.rs` is the only door (held by a test): nothing else may build one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sample(Box<str>);

impl Sample {
    /// Wraps text that is already redacted.
    pub(crate) fn redacted(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// What may be shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Server that a finding is about, before servers are joined: the same parts as [`crate::model::mcp::Site`], owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteKey {
    /// Address and port.
    pub endpoint: Endpoint,
    /// Name that led here.
    pub hostname: Option<Arc<str>>,
    /// Path template; `None` when no request head was read.
    pub path: Option<Arc<str>>,
}

/// A finding. Two findings with equal [`Finding::key`] are the same fact: their counts are summed, and what comes from
/// one piece of evidence is taken whole from the earlier one.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it is.
    pub key: FindingKey,
    /// How bad.
    pub severity: Severity,
    /// 0 to 1: the chance that the title is true.
    pub confidence: f32,
    /// One sentence.
    pub title: String,
    /// CVE, OWASP and specification references.
    pub references: Vec<String>,
    /// How often it was seen.
    pub count: u64,
    /// First and last evidence.
    pub seen: Span,
    /// What the earliest evidence showed.
    pub evidence: Evidence,
    /// Further facts by name; `name` is the DNS name, host or product that the finding is about.
    pub detail: BTreeMap<String, String>,
}

/// What makes two findings the same fact. The finding's `id` is a hash of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// Kind.
    pub kind: Kind,
    /// Rule that made it.
    pub rule: Arc<str>,
    /// Server.
    pub site: Option<SiteKey>,
    /// Client address.
    pub client: Option<IpAddr>,
    /// Tool, prompt or resource.
    pub tool: Option<String>,
    /// Which way the evidence travelled.
    pub direction: Option<Direction>,
    /// JSON path, header name, query key or DNS question.
    pub place: Option<String>,
    /// What else tells two facts of one rule apart: a name, a hash of a definition. Never a hash of a secret.
    pub subject: Option<String>,
}

/// What travels together: taken from the earliest evidence.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Redacted sample.
    pub sample: Option<Sample>,
    /// Session (a hash of its id).
    pub session: Option<u64>,
    /// Flow of the first packet; gives the community id.
    pub flow: Option<FiveTuple>,
}
