//! Timers as keyed slots: arming one again replaces it, and nothing fires that was not armed.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Time;

/// The timers of a node. Setting a key replaces its time; the earliest is the node's one deadline.
#[derive(Debug)]
pub struct Deadlines<K> {
    by_key: BTreeMap<K, Time>,
    by_time: BTreeSet<(Time, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Arms `key` for `at`, replacing what it was armed for.
    pub fn set(&mut self, key: K, at: Time) {
        if let Some(old) = self.by_key.insert(key, at) {
            if old == at {
                return;
            }
            self.by_time.remove(&(old, key));
        }
        self.by_time.insert((at, key));
    }

    /// Arms `key` for `at` unless it is armed for an earlier time.
    pub fn set_no_later(&mut self, key: K, at: Time) {
        if self.by_key.get(&key).is_none_or(|t| *t > at) {
            self.set(key, at);
        }
    }

    /// Disarms `key`.
    pub fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Whether `key` is armed.
    pub fn armed(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// The earliest deadline and what it is for.
    pub fn next(&self) -> Option<(Time, K)> {
        self.by_time.first().copied()
    }

    /// Takes one timer that is due.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_key.remove(&key);
        Some(key)
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
}
