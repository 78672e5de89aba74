//! A rule, whichever table it stands in.

use super::{Bad, Endpoint, Gateway, Lexicon, Pii, Poison, Registry, Resolver, Secret};

/// A rule of any table.
#[derive(Clone, Debug)]
pub(in crate::detect::signature) enum AnyRule {
    Bad(Bad),
    Endpoint(Endpoint),
    Gateway(Gateway),
    Lexicon(Lexicon),
    Pii(Pii),
    Poison(Poison),
    Registry(Registry),
    Resolver(Resolver),
    Secret(Secret),
}

impl AnyRule {
    pub(in crate::detect::signature) fn id(&self) -> &str {
        match self {
            Self::Bad(rule) => &rule.id,
            Self::Endpoint(rule) => &rule.id,
            Self::Gateway(rule) => &rule.id,
            Self::Lexicon(rule) => &rule.id,
            Self::Pii(rule) => &rule.id,
            Self::Poison(rule) => &rule.id,
            Self::Registry(rule) => &rule.id,
            Self::Resolver(rule) => &rule.id,
            Self::Secret(rule) => &rule.id,
        }
    }

    /// Name of its table.
    pub(in crate::detect::signature) const fn table(&self) -> &'static str {
        match self {
            Self::Bad(_) => "bad",
            Self::Endpoint(_) => "endpoint",
            Self::Gateway(_) => "gateway",
            Self::Lexicon(_) => "lexicon",
            Self::Pii(_) => "pii",
            Self::Poison(_) => "poison",
            Self::Registry(_) => "registry",
            Self::Resolver(_) => "resolver",
            Self::Secret(_) => "secret",
        }
    }

    pub(in crate::detect::signature) const fn enabled(&self) -> bool {
        match self {
            Self::Bad(rule) => rule.enabled,
            Self::Endpoint(rule) => rule.enabled,
            Self::Gateway(rule) => rule.enabled,
            Self::Lexicon(rule) => rule.enabled,
            Self::Pii(rule) => rule.enabled,
            Self::Poison(rule) => rule.enabled,
            Self::Registry(rule) => rule.enabled,
            Self::Resolver(rule) => rule.enabled,
            Self::Secret(rule) => rule.enabled,
        }
    }
}
