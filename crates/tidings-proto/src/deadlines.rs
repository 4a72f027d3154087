//! Timers as keyed slots: arming one again replaces it, and nothing fires that was not armed.
//!
//! Most timers are armed anew before they fire, some with each packet. So what was armed before is left in the heap, and passed
//! over when it comes up: arming costs one place in a map and one in the heap, not a search for the old one.
//!
//! Invariants: the first of the heap is armed for that time; of one key and time there may be several, of which one fires; the heap
//! holds no more than `STALE` and twice what is armed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::time::Time;

/// So many times that were replaced are not worth clearing away.
const STALE: usize = 16;

/// The timers of a node. Setting a key replaces its time; the earliest is the node's one deadline.
#[derive(Debug)]
pub struct Deadlines<K> {
    by_key: BTreeMap<K, Time>,
    by_time: BinaryHeap<Reverse<(Time, K)>>,
}

impl<K: Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { by_key: BTreeMap::new(), by_time: BinaryHeap::new() }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Arms `key` for `at`, replacing what it was armed for.
    pub fn set(&mut self, key: K, at: Time) {
        match self.by_key.insert(key, at) {
            Some(old) if old == at => {}
            old => {
                self.by_time.push(Reverse((at, key)));
                if old.is_some() {
                    self.tidy();
                }
            }
        }
    }

    /// Arms `key` for `at` unless it is armed for an earlier time.
    pub fn set_no_later(&mut self, key: K, at: Time) {
        if self.by_key.get(&key).is_none_or(|t| *t > at) {
            self.set(key, at);
        }
    }

    /// Disarms `key`.
    pub fn cancel(&mut self, key: K) {
        if self.by_key.remove(&key).is_some() {
            self.tidy();
        }
    }

    /// Whether `key` is armed.
    pub fn armed(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// The earliest deadline and what it is for.
    pub fn next(&self) -> Option<(Time, K)> {
        self.by_time.peek().map(|Reverse(first)| *first)
    }

    /// Takes one timer that is due.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let (_, key) = self.next().filter(|(at, _)| *at <= now)?;
        self.by_time.pop();
        self.by_key.remove(&key);
        self.tidy();
        Some(key)
    }

    /// Restores the invariants.
    fn tidy(&mut self) {
        let by_key = &self.by_key;
        if self.by_time.len() > STALE + 2 * by_key.len() {
            self.by_time = by_key.iter().map(|(key, at)| Reverse((*at, *key))).collect();
        }
        while let Some(Reverse((at, key))) = self.by_time.peek() {
            if by_key.get(key) == Some(at) {
                return;
            }
            self.by_time.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_a_key_again_replaces_its_time() {
        let mut d = Deadlines::default();
        d.set("a", Time(10));
        d.set("a", Time(30));
        d.set("b", Time(20));
        assert_eq!(d.next(), Some((Time(20), "b")));
        assert_eq!(d.pop_due(Time(19)), None);
        assert_eq!(d.pop_due(Time(25)), Some("b"));
        assert_eq!(d.pop_due(Time(25)), None, "the replaced time must not fire");
        assert_eq!(d.pop_due(Time(30)), Some("a"));
    }

    #[test]
    fn a_cancelled_timer_does_not_fire() {
        let mut d = Deadlines::default();
        d.set(1, Time(1));
        d.cancel(1);
        assert_eq!(d.pop_due(Time(100)), None);
        assert!(!d.armed(&1));
    }

    #[test]
    fn set_no_later_only_brings_a_timer_forward() {
        let mut d = Deadlines::default();
        d.set(1, Time(10));
        d.set_no_later(1, Time(20));
        assert_eq!(d.next(), Some((Time(10), 1)));
        d.set_no_later(1, Time(5));
        assert_eq!(d.next(), Some((Time(5), 1)));
    }

    /// Against the plainest there is: a map that is searched.
    #[test]
    fn whatever_is_done_they_fire_in_order_and_once_and_leave_nothing_behind() {
        let mut rng = crate::rng::Rng::derive(&[1; 32], "deadlines", &[]);
        let (mut d, mut plain, mut now) = (Deadlines::default(), BTreeMap::new(), 0);
        for _ in 0..20_000 {
            let (key, at) = (rng.below(40), Time(now + rng.below(50) as u64));
            match rng.below(8) {
                0 => {
                    d.cancel(key);
                    plain.remove(&key);
                }
                1 => {
                    d.set_no_later(key, at);
                    plain.entry(key).and_modify(|t: &mut Time| *t = at.min(*t)).or_insert(at);
                }
                2..6 => {
                    d.set(key, at);
                    plain.insert(key, at);
                }
                _ => now += rng.below(3) as u64,
            }
            let first = plain.iter().map(|(k, t)| (*t, *k)).min();
            assert_eq!(d.next(), first);
            let due = first.filter(|(t, _)| t.0 <= now).map(|(_, k)| k);
            assert_eq!(d.pop_due(Time(now)), due);
            due.map(|k| plain.remove(&k));
            assert!(d.by_time.len() <= STALE + 2 * plain.len());
        }
    }

    #[test]
    fn one_that_is_armed_for_the_same_time_as_before_fires_once() {
        let mut d = Deadlines::default();
        for at in [10, 20, 10] {
            d.set("a", Time(at));
        }
        assert_eq!(d.pop_due(Time(30)), Some("a"));
        assert_eq!((d.pop_due(Time(30)), d.next()), (None, None));
    }
}
