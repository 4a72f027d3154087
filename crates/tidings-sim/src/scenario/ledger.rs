//! Who got what: every message once, in order, unforged.

use std::collections::BTreeMap;

use tidings_proto::identity::NodeId;
use tidings_proto::pubsub::Delivery;
use tidings_proto::time::Time;

/// One published message.
pub(super) struct Sent {
    pub(super) by: u32,
    pub(super) at: Time,
    pub(super) payload: Vec<u8>,
    pub(super) measured: bool,
    pub(super) delivered: usize,
    pub(super) last: Time,
    pub(super) hops: u16,
    /// Its share of the batch it travels in, as the author made it.
    pub(super) bytes: usize,
}

/// The scenario's books.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) sent: Vec<Sent>,
    /// Messages by author and place in its stream.
    got: Vec<Vec<u64>>,
    last: BTreeMap<(u32, NodeId), (u64, u64)>,
    pub(super) latencies_us: Vec<u32>,
    pub(super) deliveries: u64,
    pub(super) gaps: u64,
    pub(super) late: u64,
    /// Deliveries of what no author published.
    pub(super) forged: u64,
    pub(super) broken: Vec<String>,
}

/// The payload of message `index`.
pub(super) fn payload(index: usize, size: usize) -> Vec<u8> {
    let mut p = vec![0x5a; size.max(8)];
    p[..8].copy_from_slice(&(index as u64).to_le_bytes());
    p
}

/// Which message a payload is of.
fn index(payload: &[u8]) -> Option<usize> {
    payload.first_chunk::<8>().map(|b| u64::from_le_bytes(*b) as usize)
}

impl Ledger {
    pub(super) fn publish(&mut self, by: u32, at: Time, size: usize, measured: bool) -> Vec<u8> {
        let payload = payload(self.sent.len(), size);
        self.sent.push(Sent {
            by,
            at,
            payload: payload.clone(),
            measured,
            delivered: 0,
            last: at,
            hops: 0,
            bytes: size,
        });
        payload
    }

    /// A node was started again: what it got before it may not get again, but its order begins anew.
    pub(super) fn restarted(&mut self, node: u32) {
        let keys: Vec<_> = self.last.range((node, NodeId([0; 32]))..).take_while(|(k, _)| k.0 == node).collect();
        let keys: Vec<_> = keys.into_iter().map(|(k, _)| *k).collect();
        for k in keys {
            self.last.remove(&k);
        }
    }

    pub(super) fn deliver(&mut self, node: u32, now: Time, d: &Delivery, author: impl Fn(&NodeId) -> Option<u32>) {
        if d.own() {
            let each = d.batch().bytes().len() / d.len();
            for m in d.messages() {
                let sent = index(&m.payload).and_then(|i| self.sent.get_mut(i));
                sent.into_iter().for_each(|s| s.bytes = each);
            }
            return;
        }
        let by = author(&d.author());
        for m in d.messages() {
            let index = index(&m.payload).unwrap_or(usize::MAX);
            let Some(s) = self.sent.get_mut(index).filter(|s| Some(s.by) == by && s.payload[..] == m.payload[..])
            else {
                self.forged += 1;
                self.broken.push(format!("node {node} was given a message that its author never published"));
                continue;
            };
            if d.is_history() {
                continue;
            }
            if self.got.len() <= node as usize {
                self.got.resize(node as usize + 1, Vec::new());
            }
            let seen = &mut self.got[node as usize];
            if seen.len() <= index / 64 {
                seen.resize(index / 64 + 1, 0);
            }
            let bit = 1 << (index % 64);
            if seen[index / 64] & bit != 0 {
                self.broken.push(format!("node {node} was given message {index} twice"));
                continue;
            }
            seen[index / 64] |= bit;
            s.delivered += 1;
            s.last = now;
            s.hops = s.hops.max(d.hop());
            if s.measured {
                self.deliveries += 1;
                self.latencies_us.push(u32::try_from(now.since(s.at).0).unwrap_or(u32::MAX));
            }
            let place = (d.epoch(), m.seq);
            let last = self.last.entry((node, d.author())).or_insert((0, 0));
            if d.late() {
                self.late += 1;
            } else if place <= *last {
                self.broken.push(format!("node {node} was given {place:?} of one author after {last:?}"));
            } else {
                *last = place;
            }
        }
    }

    pub(super) fn has(&self, node: u32, index: usize) -> bool {
        self.got.get(node as usize).and_then(|g| g.get(index / 64)).is_some_and(|w| w >> (index % 64) & 1 == 1)
    }
}
