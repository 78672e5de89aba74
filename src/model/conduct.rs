//! How the ends of a session behave: what a review of single sessions looks at.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::mcp::{Abilities, Auth, Revision};
use crate::model::server::Mark;
use crate::model::stamp::Stamp;

/// Client addresses of a session that are remembered: the earliest.
pub const HOLDERS_MAX: usize = 4;

/// A record of one session that joins: every field is a minimum, a maximum or a union.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Client addresses that got answers under the id of the session, at most [`HOLDERS_MAX`].
    pub holders: BTreeMap<IpAddr, Holder>,
    /// Strongest credential on an answered request.
    pub auth: Option<Auth>,
    /// Tools, resources or prompts were given to a request without a credential.
    pub bare: Option<Mark>,
    /// What the client said that it can be asked for.
    pub able: Option<Abilities>,
    /// What the server asked for, by the bit of [`Abilities`].
    pub asked: BTreeMap<u8, Mark>,
    /// Revision that the client offered, and when.
    pub offered: Option<(Stamp, Revision)>,
}

/// A client address of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Earliest answer.
    pub first: Mark,
    /// The session was opened from there.
    pub opened: bool,
}

impl Conduct {
    /// A client address got an answer.
    pub fn hold(&mut self, client: IpAddr, holder: Holder) {
        let known = self.holders.entry(client).or_insert(holder);
        known.first = known.first.min(holder.first);
        known.opened |= holder.opened;
        if self.holders.len() > HOLDERS_MAX {
            let latest = self.holders.iter().max_by_key(|(addr, holder)| (holder.first, **addr));
            if let Some(addr) = latest.map(|(addr, _)| *addr) {
                self.holders.remove(&addr);
            }
        }
    }

    /// Joins another record of the same session. The order does not matter.
    pub fn join(&mut self, other: Self) {
        for (client, holder) in other.holders {
            self.hold(client, holder);
        }
        self.auth = self.auth.max(other.auth);
        self.bare = least(self.bare, other.bare);
        self.able = match (self.able, other.able) {
            (Some(one), Some(two)) => Some(Abilities(one.0 | two.0)),
            (one, two) => one.or(two),
        };
        for (bit, mark) in other.asked {
            self.asked
                .entry(bit)
                .and_modify(|known| *known = mark.min(*known))
                .or_insert(mark);
        }
        self.offered = least(self.offered, other.offered);
    }
}

/// The lesser of two that are there.
fn least<T: Ord>(one: Option<T>, two: Option<T>) -> Option<T> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}
