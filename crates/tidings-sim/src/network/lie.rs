//! Nodes that run the real core and lie: about the contents of large messages, as holders of the index, or as relays. What they send is
//! changed on its way out.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidings_proto::discovery::Whereabouts;
use tidings_proto::identity::NodeId;
use tidings_proto::time::UnixMillis;
use tidings_proto::wire::{Frame, Holds, Lane, Message};

use super::Network;

/// The tag of what holders answer with.
const HOLDS: u8 = 95;

/// What a holder of the index does with the statements it ought to answer with.
#[derive(Clone, Debug)]
pub enum HolderLie {
    /// It has none.
    Empty,
    /// It answers with the oldest there is that can still be believed.
    Stale(BTreeMap<([u8; 32], NodeId), Vec<Bytes>>),
}

impl HolderLie {
    fn tell(&mut self, now: UnixMillis, frame: Frame) -> Frame {
        let Ok(Some((Message::Holds(mut m), payload))) = Message::parse(frame.to_bytes()) else { return frame };
        match self {
            HolderLie::Empty => return Message::from(Holds { id: m.id, statements: Vec::new() }).frame(),
            HolderLie::Stale(seen) => {
                for s in &mut m.statements {
                    let Ok(w) = Whereabouts::parse(Bytes::copy_from_slice(s)) else { continue };
                    let all = seen.entry((w.subject(), w.node())).or_default();
                    all.retain(|o| Whereabouts::parse(o.clone()).is_ok_and(|o| o.in_time(now)));
                    if !all.contains(w.bytes()) {
                        all.push(w.bytes().clone());
                    }
                    *s = all[0].to_vec().into();
                }
            }
        }
        Message::from(m).frame_with(payload)
    }
}

/// A relay that acknowledges what it is given and drops some of it.
#[derive(Clone, Debug)]
pub(crate) struct RelayLie {
    /// One in so many envelopes is dropped; 1 drops all.
    every: u64,
    count: u64,
    /// By sender, what was dropped.
    dropped: BTreeMap<NodeId, u64>,
}

/// The tag of what relays carry.
const ENVELOPE: u8 = 112;

impl RelayLie {
    fn drops(&mut self, me: NodeId, frame: &Frame) -> bool {
        let Ok(Some((Message::Envelope(m), _))) = Message::parse(frame.to_bytes()) else { return false };
        if m.from == me {
            return false;
        }
        self.count += 1;
        let drops = self.count.is_multiple_of(self.every);
        if drops && m.kind == 0 {
            *self.dropped.entry(m.from).or_default() += 1;
        }
        drops
    }
}

/// What a node does with the chunks it ought to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Sends other bytes.
    WrongBytes,
    /// Sends nothing.
    Nothing,
}

impl Network {
    /// From now on a node lies.
    pub fn lie(&mut self, n: u32, lie: Lie) {
        self.slots[n as usize].lie = Some(lie);
    }

    /// From now on a node lies as a holder of the index.
    pub fn lie_as_holder(&mut self, n: u32, lie: HolderLie) {
        self.slots[n as usize].holder_lie = Some(lie);
    }

    /// From now on a node drops one in so many of the envelopes that it says it has taken.
    pub fn lie_as_relay(&mut self, n: u32, every: u64) {
        self.slots[n as usize].relay_lie = Some(RelayLie { every: every.max(1), count: 0, dropped: BTreeMap::new() });
    }

    /// By sender, how many envelopes a lying relay has dropped.
    pub fn dropped_by(&self, n: u32) -> BTreeMap<NodeId, u64> {
        self.slots[n as usize].relay_lie.as_ref().map(|l| l.dropped.clone()).unwrap_or_default()
    }

    /// Bytes of contents that all nodes sent so far, packets included.
    pub fn bulk_bytes(&self) -> u64 {
        self.traffic.bulk_bytes
    }

    /// What of a frame leaves node `n`.
    pub(super) fn lied(&mut self, n: u32, lane: Lane, frame: Frame) -> Option<Frame> {
        let now = self.clocks().wall;
        if let Some(lie) = &mut self.slots[n as usize].holder_lie
            && frame.head.get(1) == Some(&HOLDS)
        {
            return Some(lie.tell(now, frame));
        }
        let me = self.slots[n as usize].id;
        if let Some(lie) = &mut self.slots[n as usize].relay_lie
            && frame.head.get(1) == Some(&ENVELOPE)
            && lie.drops(me, &frame)
        {
            return None;
        }
        match self.slots[n as usize].lie.filter(|_| lane == Lane::Bulk) {
            None => Some(frame),
            Some(Lie::Nothing) => None,
            Some(Lie::WrongBytes) => {
                let payload = Bytes::from(vec![0xee; frame.payload.len()]);
                Some(Frame { payload, ..frame })
            }
        }
    }
}
