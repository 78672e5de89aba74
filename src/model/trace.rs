//! Traces: what one flow shows that means something only together with other flows.
//!
//! A credential on a request is ordinary; the same credential on a request of the machine that got it is a passthrough.
//! Detectors leave traces in `inspect`, the inventory joins them by key, and `review` reads them all at once.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::finding::SiteKey;
use crate::model::net::Endpoint;
use crate::model::server::Mark;
use crate::model::stamp::Span;

/// What a trace is about: detectors read the topics that they left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A step of sign-in that breaks a rule; `about` is the origin that says whether it is MCP's.
    AuthFault,
    /// Metadata of the authorization server at an origin was read.
    AuthMetadata,
    /// A sign-in whose code goes back to the server at an origin.
    AuthProxy,
    /// A protected resource names the authorization server at an origin.
    AuthServer,
    /// A credential that a request or a message carries.
    Credential,
    /// A client was registered with the authorization server at an origin.
    Registered,
}

/// What makes two traces the same one: they are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceKey {
    /// What it is about.
    pub topic: Topic,
    /// MCP server that the exchange belongs to; `None` outside of MCP.
    pub site: Option<SiteKey>,
    /// Client of the flow, or who it relays for.
    pub client: IpAddr,
    /// Server of the flow.
    pub server: Endpoint,
    /// Where in the message: a JSON path or header name, without secrets.
    pub place: Arc<str>,
    /// What else tells two traces apart and may be shown: a host name, a tool, a product.
    pub about: Option<Arc<str>>,
    /// What is the same in two places: of a secret always a keyed hash (`detect/fingerprint.rs`). It is for comparing
    /// alone: it is never shown, kept or part of an id, and no order that can be seen depends on it.
    pub subject: u128,
}

/// A trace, joined over flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What it is.
    pub key: TraceKey,
    /// First and last time.
    pub seen: Span,
    /// How often.
    pub count: u64,
    /// Earliest evidence.
    pub mark: Mark,
    /// Messages behind it.
    pub messages: Least,
}

/// The least hashes of a set of messages: two sets that share one hold the same message, and of two sets of which one is
/// a fair part of the other the least are likely shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Least(Vec<u64>);

impl Least {
    /// Hashes that are kept.
    const MAX: usize = 16;

    /// Of one message.
    pub fn one(hash: u64) -> Self {
        Self(vec![hash])
    }

    /// Whether both hold the same message.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().any(|hash| other.0.binary_search(hash).is_ok())
    }

    fn join(&mut self, other: &Self) {
        for hash in &other.0 {
            if let Err(at) = self.0.binary_search(hash)
                && at < Self::MAX
            {
                self.0.insert(at, *hash);
                self.0.truncate(Self::MAX);
            }
        }
    }
}

impl Trace {
    /// Seen once.
    pub const fn once(key: TraceKey, mark: Mark, messages: Least) -> Self {
        Self {
            key,
            seen: Span::at(mark.at),
            count: 1,
            mark,
            messages,
        }
    }

    /// Joins another trace of the same key. The order does not matter.
    pub fn join(&mut self, other: &Self) {
        self.seen.join(other.seen);
        self.count = self.count.saturating_add(other.count);
        self.mark = self.mark.min(other.mark);
        self.messages.join(&other.messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_are_kept_in_any_order() {
        let join = |hashes: &mut dyn Iterator<Item = u64>| {
            let mut all = Least::default();
            hashes.for_each(|hash| all.join(&Least::one(hash)));
            all
        };
        let up = join(&mut (0..100));
        assert_eq!(up, join(&mut (0..100).rev()));
        assert!(up.0.len() == Least::MAX && up.meets(&join(&mut (15..90))));
        assert!(!up.meets(&join(&mut (100..200))) && !up.meets(&Least::default()));
    }
}
