//! A slab of flows, an index over it, and the order in which flows leave.
//!
//! The index holds a slot number and 32 bits of the key's hash, so that it grows without looking at the slots. The hasher
//! is seeded at random, because senders choose the keys; nothing that can be seen depends on the order of the index.
//! Flows are relinked at most once in a second of packet time, which makes the order of eviction that coarse and keeps
//! the links of busy flows out of the way.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use super::order::Order;
use super::{Class, Config, Ended, Flow};
use crate::model::stamp::{Stamp, Timestamp};

/// Packet time between two moves of a flow to the end of its list, and between two searches for idle flows.
const RELINK_NANOS: u64 = 1_000_000_000;
/// One list for each class, and one of the free slots.
const LISTS: usize = Class::ALL.len() + 1;
/// The list of the free slots.
const FREE: usize = Class::ALL.len();

/// Flows of one slice.
pub struct Table<K, S, H = foldhash::fast::RandomState> {
    index: HashTable<Place>,
    slots: Vec<Option<Slot<K, S>>>,
    order: Order<LISTS>,
    hasher: H,
    max_flows: usize,
    /// By class.
    idle_nanos: [u64; Class::ALL.len()],
    /// When idle flows were looked for.
    swept: Timestamp,
    /// For how long none can be idle after that.
    calm_nanos: u64,
    evicted: u64,
}

/// An entry of the index.
#[derive(Clone, Copy)]
struct Place {
    slot: u32,
    tag: u32,
}

impl Place {
    /// The tag as a hash: the index reads the low bits and the topmost seven.
    const fn hash(self) -> u64 {
        (self.tag as u64) << 32 | self.tag as u64
    }
}

/// What every packet reads comes first and fills one cache line.
#[repr(C, align(64))]
struct Slot<K, S> {
    key: K,
    last: Timestamp,
    tag: u32,
    class: Class,
    flow: Flow<S>,
    linked: Timestamp,
}

/// A flow in the table.
pub struct Entry<'t, S> {
    /// The flow.
    pub flow: &'t mut Flow<S>,
    /// Whether this packet opened it.
    pub fresh: bool,
    slot: u32,
    class: &'t mut Class,
    order: &'t mut Order<LISTS>,
}

impl<S> Entry<'_, S> {
    /// What the flow is worth from now on.
    pub fn set_class(&mut self, class: Class) {
        if *self.class != class {
            self.order.remove(*self.class as usize, self.slot);
            self.order.append(class as usize, self.slot);
            *self.class = class;
        }
    }

    /// What the flow is worth.
    pub const fn class(&self) -> Class {
        *self.class
    }
}

impl<K: Copy + Eq + Hash, S> Table<K, S> {
    /// An empty table of one of `slices` slices.
    pub fn new(config: &Config, slices: usize) -> Self {
        Self::with_hasher(config, slices, foldhash::fast::RandomState::default())
    }
}

impl<K: Copy + Eq + Hash, S, H: BuildHasher> Table<K, S, H> {
    /// Same, with a hasher of the caller's choice.
    pub fn with_hasher(config: &Config, slices: usize, hasher: H) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            order: Order::new(),
            hasher,
            max_flows: config
                .max_flows
                .checked_div(slices)
                .unwrap_or(config.max_flows)
                .clamp(1, u32::MAX as usize / 2),
            idle_nanos: Class::ALL.map(|class| config.idle_ms(class).saturating_mul(1_000_000)),
            swept: Timestamp::MIN,
            calm_nanos: 0,
            evicted: 0,
        }
    }

    /// Number of flows.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Flows that had to leave because the table was full.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The flow of a packet: the one that is there, or a new one by `open`. `replaces` tells whether the packet opens
    /// another connection than the flow's; see [`super::role::Handshake::reuses`]. Flows that end now go to `end`.
    pub fn touch(
        &mut self,
        key: K,
        at: Stamp,
        replaces: impl FnOnce(&Flow<S>) -> bool,
        open: impl FnOnce() -> Flow<S>,
        end: &mut dyn FnMut(Flow<S>, Ended),
    ) -> Entry<'_, S> {
        // As unsigned, a step back in time is a long time, too.
        if at.time.nanos().wrapping_sub(self.swept.nanos()).cast_unsigned() >= self.calm_nanos {
            self.reclaim(at.time, end);
        }
        let tag = self.hasher.hash_one(key) as u32;
        let found = {
            let slots = &self.slots;
            let same = |place: &Place| {
                place.tag == tag && matches!(slots.get(place.slot as usize), Some(Some(slot)) if slot.key == key)
            };
            self.index
                .find(Place { slot: 0, tag }.hash(), same)
                .map(|place| place.slot)
        };
        match found {
            Some(slot) => self.revisit(slot, at, replaces, open, end),
            None => self.insert(key, tag, at, open(), end),
        }
    }

    /// Ends flows whose time-out has passed. Called by [`Table::touch`] often enough; for a slice without packets.
    pub fn reclaim(&mut self, now: Timestamp, end: &mut dyn FnMut(Flow<S>, Ended)) {
        // A flow that comes or changes its class in the meantime cannot be idle earlier than this.
        let mut calm = self.idle_nanos.iter().copied().min().unwrap_or_default();
        for class in Class::ALL {
            while let Some((slot, last)) = self.oldest(class) {
                let left = self.idle(class).checked_sub(silence(now, last));
                if let Some(left) = left {
                    calm = calm.min(left);
                    break;
                }
                self.leave(slot, Ended::Idle, end);
            }
        }
        self.swept = now;
        self.calm_nanos = calm.max(RELINK_NANOS);
    }

    /// Ends all flows, in the order of their slots.
    pub fn drain(&mut self, end: &mut dyn FnMut(Flow<S>, Ended)) {
        self.index.clear();
        self.order = Order::new();
        for slot in self.slots.drain(..).flatten() {
            end(slot.flow, Ended::Drained);
        }
    }

    fn revisit(
        &mut self,
        number: u32,
        at: Stamp,
        replaces: impl FnOnce(&Flow<S>) -> bool,
        open: impl FnOnce() -> Flow<S>,
        end: &mut dyn FnMut(Flow<S>, Ended),
    ) -> Entry<'_, S> {
        let limits = &self.idle_nanos;
        let Some(Some(slot)) = self.slots.get_mut(number as usize) else {
            unreachable!("the index points at flows")
        };
        let limit = limits.get(slot.class as usize).copied().unwrap_or(u64::MAX);
        let over = if silence(at.time, slot.last) > limit {
            Some(Ended::Idle)
        } else {
            replaces(&slot.flow).then_some(Ended::Replaced)
        };
        let mut class = slot.class;
        if let Some(why) = over {
            let flow = open();
            class = Class::of(flow.info.tuple.transport);
            end(std::mem::replace(&mut slot.flow, flow), why);
            slot.last = at.time;
        }
        slot.last = slot.last.max(at.time);
        if over.is_some() || silence(slot.last, slot.linked) >= RELINK_NANOS {
            slot.linked = slot.last;
            self.order.remove(slot.class as usize, number);
            self.order.append(class as usize, number);
            slot.class = class;
        }
        Entry {
            flow: &mut slot.flow,
            fresh: over.is_some(),
            slot: number,
            class: &mut slot.class,
            order: &mut self.order,
        }
    }

    #[inline(never)]
    fn insert(
        &mut self,
        key: K,
        tag: u32,
        at: Stamp,
        flow: Flow<S>,
        end: &mut dyn FnMut(Flow<S>, Ended),
    ) -> Entry<'_, S> {
        if self.index.len() >= self.max_flows {
            self.evict(at.time, end);
        }
        let class = Class::of(flow.info.tuple.transport);
        let slot = Slot {
            key,
            tag,
            class,
            last: at.time,
            linked: at.time,
            flow,
        };
        let number = if let Some(free) = self.order.oldest(FREE) {
            self.order.remove(FREE, free);
            free
        } else {
            self.slots.push(None);
            let Some(number) = self.order.grow() else {
                unreachable!("max_flows is below the number of slots")
            };
            number
        };
        self.order.append(class as usize, number);
        let place = Place { slot: number, tag };
        self.index.insert_unique(place.hash(), place, |place| place.hash());
        let Some(home) = self.slots.get_mut(number as usize) else {
            unreachable!("a slot for each link")
        };
        let slot = home.insert(slot);
        Entry {
            flow: &mut slot.flow,
            fresh: true,
            slot: number,
            class: &mut slot.class,
            order: &mut self.order,
        }
    }

    /// Ends the flow that is nearest to its time-out: room is shared by how long each class may be silent, so that a
    /// flood of one class eats mostly itself and new flows always get in.
    #[cold]
    fn evict(&mut self, now: Timestamp, end: &mut dyn FnMut(Flow<S>, Ended)) {
        let mut worst: Option<(u128, u32, Ended)> = None;
        for class in Class::ALL {
            let Some((slot, last)) = self.oldest(class) else {
                continue;
            };
            let (silence, limit) = (silence(now, last), self.idle(class));
            let hurried = u128::from(silence).saturating_mul(u128::from(class.haste())) << 32;
            let age = hurried.checked_div(u128::from(limit)).unwrap_or(u128::MAX);
            if worst.is_none_or(|(oldest, ..)| age > oldest) {
                worst = Some((age, slot, if silence > limit { Ended::Idle } else { Ended::Evicted }));
            }
        }
        if let Some((_, slot, why)) = worst {
            self.evicted = self.evicted.saturating_add(u64::from(why == Ended::Evicted));
            self.leave(slot, why, end);
        }
    }

    fn leave(&mut self, number: u32, why: Ended, end: &mut dyn FnMut(Flow<S>, Ended)) {
        let Some(slot) = self.slots.get_mut(number as usize).and_then(Option::take) else {
            return;
        };
        self.order.remove(slot.class as usize, number);
        self.order.append(FREE, number);
        let hash = Place {
            slot: number,
            tag: slot.tag,
        }
        .hash();
        if let Ok(place) = self.index.find_entry(hash, |place| place.slot == number) {
            place.remove();
        }
        end(slot.flow, why);
    }

    /// The flow of a class that was touched least recently, and when it was.
    fn oldest(&self, class: Class) -> Option<(u32, Timestamp)> {
        let number = self.order.oldest(class as usize)?;
        let slot = self.slots.get(number as usize)?.as_ref()?;
        Some((number, slot.last))
    }

    fn idle(&self, class: Class) -> u64 {
        self.idle_nanos.get(class as usize).copied().unwrap_or(u64::MAX)
    }
}

/// Nanoseconds between two moments. A flow whose last packet lies far ahead has a wrong time; it must not stay for ever.
const fn silence(now: Timestamp, last: Timestamp) -> u64 {
    now.nanos().abs_diff(last.nanos())
}
