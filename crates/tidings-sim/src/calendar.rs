//! The event queue: a calendar of one-millisecond days, so that an event costs the same however many wait.
//!
//! Order is exact: by time, then by the order of scheduling.

use std::collections::BinaryHeap;

/// Length of a day in microseconds, and days in the ring: some sixteen seconds ahead. What lies further waits in a
/// heap; only a node's slow timers do.
const DAY: u64 = 1_000;
const DAYS: usize = 16_384;

struct Entry<T> {
    at: u64,
    order: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    /// Reversed: the earliest is the greatest, for a heap's top and a list's end.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Events in order of time, then of scheduling.
pub(crate) struct Calendar<T> {
    ring: Vec<Vec<Entry<T>>>,
    /// The day being worked through, earliest last.
    today: Vec<Entry<T>>,
    day: u64,
    /// Entries in the ring, today's not counted.
    ahead: usize,
    later: BinaryHeap<Entry<T>>,
    order: u64,
}

impl<T> Calendar<T> {
    pub(crate) fn new() -> Self {
        Calendar {
            ring: (0..DAYS).map(|_| Vec::new()).collect(),
            today: Vec::new(),
            day: 0,
            ahead: 0,
            later: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Schedules `item`, after everything scheduled before for the same time. Times before the last popped one count
    /// as now.
    pub(crate) fn push(&mut self, at: u64, item: T) {
        self.order += 1;
        self.place(Entry { at, order: self.order, item });
    }

    fn place(&mut self, e: Entry<T>) {
        let day = e.at / DAY;
        if day <= self.day {
            let place = self.today.partition_point(|x| *x < e);
            self.today.insert(place, e);
        } else if day - self.day < DAYS as u64 {
            self.ring[day as usize % DAYS].push(e);
            self.ahead += 1;
        } else {
            self.later.push(e);
        }
    }

    /// When the next event is due.
    pub(crate) fn peek(&mut self) -> Option<u64> {
        while self.today.is_empty() {
            if self.ahead == 0 {
                // Nothing within the ring: on to the first of the later ones.
                self.day = self.later.peek()?.at / DAY;
            } else {
                self.day += 1;
                let slot = &mut self.ring[self.day as usize % DAYS];
                self.ahead -= slot.len();
                // The day's own list, not swapped for the old one: a busy day's room is given back.
                self.today = std::mem::take(slot);
                self.today.sort_unstable();
            }
            while let Some(e) = self.later.peek().filter(|e| e.at / DAY < self.day + DAYS as u64) {
                let _ = e;
                if let Some(e) = self.later.pop() {
                    self.place(e);
                }
            }
        }
        self.today.last().map(|e| e.at)
    }

    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        self.peek()?;
        self.today.pop().map(|e| (e.at, e.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_proto::rng::Rng;

    #[test]
    fn events_come_in_order_of_time_then_of_scheduling() {
        let mut rng = Rng::derive(&[1; 32], "calendar", &[]);
        let mut calendar = Calendar::new();
        let mut expected = Vec::new();
        let (mut now, mut popped) = (0, Vec::new());
        for i in 0..20_000u64 {
            // Near, same instant, next days, and far beyond the ring.
            let ahead = [0, 1, 700, 5_000, 3_000_000, 40_000_000][rng.below(6)];
            let at = now + rng.between(0, ahead + 1);
            calendar.push(at, i);
            expected.push((at, i));
            if rng.below(3) == 0 {
                let (at, i) = calendar.pop().expect("one was just pushed");
                assert!(at >= now, "time never runs backwards");
                now = at;
                popped.push((at, i));
            }
        }
        while let Some(e) = calendar.pop() {
            popped.push(e);
        }
        // Sorting by time alone is stable: what was scheduled first comes first.
        expected.sort_by_key(|e| e.0);
        assert_eq!(popped, expected);
    }
}
