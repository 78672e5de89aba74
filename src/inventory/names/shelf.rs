//! A bounded table of what clients were told: when it is full, the client with the most entries gives its oldest.
//!
//! So one noisy client cannot use up the room of the others. What goes depends on the entries alone: the same slice
//! drops the same, whoever works on it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::stamp::Timestamp;

/// See the module. A client of `None` stands for everybody.
#[derive(Debug)]
pub(super) struct Shelf<K, V> {
    clients: BTreeMap<Option<IpAddr>, Held<K, V>>,
    /// Every client by what decides who gives: the last one does.
    ranks: BTreeSet<Rank>,
    entries: usize,
}

/// Number of entries, and of equals the oldest of them; then the client.
type Rank = (usize, Reverse<Option<Timestamp>>, Reverse<Option<IpAddr>>);

#[derive(Debug)]
struct Held<K, V> {
    /// With the moment that an entry is as old as.
    entries: BTreeMap<K, (Timestamp, V)>,
    /// The same, oldest first.
    ages: BTreeSet<(Timestamp, K)>,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self {
            clients: BTreeMap::new(),
            ranks: BTreeSet::new(),
            entries: 0,
        }
    }
}

impl<K, V> Held<K, V> {
    fn rank(&self, client: Option<IpAddr>) -> Rank {
        let oldest = self.ages.iter().next().map(|(age, _)| *age);
        (self.entries.len(), Reverse(oldest), Reverse(client))
    }
}

impl<K: Ord + Clone, V> Shelf<K, V> {
    /// Adds an entry, or joins it to the one of the same key, and gives the number of entries dropped for it.
    pub(super) fn put(
        &mut self,
        client: Option<IpAddr>,
        (key, value): (K, V),
        at: Timestamp,
        max_entries: usize,
        join: impl FnOnce(&mut V, V),
    ) -> u64 {
        let held = self.clients.entry(client).or_default();
        let before = held.rank(client);
        match held.entries.get_mut(&key) {
            Some((age, known)) => {
                join(known, value);
                if at > *age {
                    held.ages.remove(&(*age, key.clone()));
                    *age = at;
                    held.ages.insert((at, key));
                }
            }
            None => {
                held.ages.insert((at, key.clone()));
                held.entries.insert(key, (at, value));
                self.entries += 1;
            }
        }
        let now = held.rank(client);
        if now != before {
            self.ranks.remove(&before);
        }
        self.ranks.insert(now);
        let mut dropped = 0;
        while self.entries > max_entries.max(1) && self.drop_one() {
            dropped += 1;
        }
        dropped
    }

    /// Drops the oldest entry of the client that has the most; of equals, of the one whose oldest entry is older.
    fn drop_one(&mut self) -> bool {
        let Some((_, _, Reverse(client))) = self.ranks.pop_last() else {
            return false;
        };
        let Some(held) = self.clients.get_mut(&client) else {
            return false;
        };
        if let Some((_, key)) = held.ages.pop_first() {
            held.entries.remove(&key);
            self.entries -= 1;
        }
        if held.entries.is_empty() {
            self.clients.remove(&client);
        } else {
            let rank = held.rank(client);
            self.ranks.insert(rank);
        }
        true
    }

    /// Drops what is older.
    pub(super) fn forget(&mut self, before: Timestamp) {
        for held in self.clients.values_mut() {
            while held.ages.first().is_some_and(|(age, _)| *age < before) {
                if let Some((_, key)) = held.ages.pop_first() {
                    held.entries.remove(&key);
                    self.entries -= 1;
                }
            }
        }
        self.clients.retain(|_, held| !held.entries.is_empty());
        self.ranks = self.clients.iter().map(|(client, held)| held.rank(*client)).collect();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Option<IpAddr>, &K, &V)> {
        self.clients
            .iter()
            .flat_map(|(client, held)| held.entries.iter().map(|(key, (_, value))| (*client, key, value)))
    }
}

impl<K, V> Default for Held<K, V> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            ages: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, host]))
    }

    fn keys(shelf: &Shelf<u32, u32>) -> Vec<(Option<IpAddr>, u32)> {
        shelf.iter().map(|(client, key, _)| (client, *key)).collect()
    }

    #[test]
    fn the_noisiest_gives_its_oldest() {
        let mut shelf = Shelf::default();
        let mut put = |client, key, seconds| {
            shelf.put(client, (key, 1), Timestamp::from_parts(seconds, 0), 4, |known, more| {
                *known += more;
            })
        };
        assert_eq!(put(addr(1), 1, 10), 0);
        for (key, seconds) in [(1, 5), (2, 4), (3, 6)] {
            assert_eq!(put(addr(2), key, seconds), 0);
        }
        // The same again makes it young, and no more.
        assert_eq!(put(addr(2), 2, 9), 0);
        assert_eq!((put(addr(2), 4, 7), put(addr(3), 9, 1)), (1, 1));
        let (one, two, three) = (addr(1), addr(2), addr(3));
        assert_eq!(keys(&shelf), [(one, 1), (two, 2), (two, 4), (three, 9)]);
        shelf.forget(Timestamp::from_parts(9, 0));
        assert_eq!(keys(&shelf), [(one, 1), (two, 2)]);
        assert_eq!(shelf.entries, 2);
    }
}
