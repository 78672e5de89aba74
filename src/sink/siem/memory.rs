//! A map with a bound: what was not used for long makes room, a half at a time.
//!
//! Two generations of half the bound each. What is used moves to the younger one; when that is full, the older one goes.
//! Constant time, and nothing that anybody asks for regularly is lost.

use std::collections::HashMap;
use std::hash::Hash;

/// See the module.
#[derive(Debug)]
pub(super) struct Memory<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
    /// Entries that made room.
    pub(super) evicted: u64,
}

impl<K: Eq + Hash, V> Memory<K, V> {
    /// At most `max` entries.
    pub(super) fn new(max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (max / 2).max(1),
            evicted: 0,
        }
    }

    /// What is known of a key.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Sets what is known of a key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.evicted = self.evicted.saturating_add(gone.len() as u64);
        }
        self.young.insert(key, value);
    }

    /// Everything that is known, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(&self.old)
    }

    /// Forgets a key, and tells what was known of it.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_bound_and_keeps_what_is_used() {
        let mut memory = Memory::new(10);
        for key in 0..1_000 {
            memory.insert(key, key);
            memory.insert(-1, key);
            assert!(memory.young.len() + memory.old.len() <= 10);
            assert_eq!((memory.get(&-1), memory.get(&key)), (Some(&key), Some(&key)));
        }
        assert!(memory.evicted > 900);
        assert_eq!((memory.remove(&-1), memory.get(&-1)), (Some(999), None));
    }
}
