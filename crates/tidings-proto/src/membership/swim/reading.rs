//! Whether a neighbour reads: somebody may answer pings and acknowledge packets for years whose program hangs, and what is
//! pushed to it reaches nobody. A node all of whose neighbours are like that would publish to nobody, and not know.
//!
//! Some seconds after something was sent to a neighbour, a ping follows on the control lane, where it is read behind all
//! that was sent there, in one packet with another ping or its answer where there is one. (Where nothing was sent there is
//! nothing to be read.) Whose answer does not come is suspected
//! as anybody who does not answer is: counted no longer, replaced, gone around, and only told of what there is. But it lives:
//! it may take [`ENDURED`] times as long until it is removed, since a program that went to sleep for some seconds wakes up with
//! all that was sent to it. Whoever is stuck becomes nobody's neighbour by asking.
//!
//! Lanes that are full because a link is slow are another matter (`links/lanes.rs`).

use super::Swim;
use super::watched::Doubt;
use crate::identity::NodeId;
use crate::layer::Cx;
use crate::time::Time;
use crate::wire::{Message, Ping};

/// Intervals between two questions at most, while anything is sent, and one less where a ping goes the same way (a guess: what
/// is stuck is noticed within nine seconds).
const EVERY: u64 = 6;
/// Intervals an answer may take (a guess: longer than nodes stand still that are well).
const PATIENCE: u64 = 3;
/// How long somebody stuck is kept, in units of `suspect_timeout` (a guess: half a minute).
pub(super) const ENDURED: u64 = 10;

/// What is known of a neighbour's reading.
#[derive(Debug)]
pub(super) struct Reading {
    /// The number of the ping that is to be answered, and whether it could be sent.
    asked: Option<(u32, bool)>,
    /// When something is to be done.
    pub(super) next: Time,
}

impl Reading {
    pub(super) fn new(next: Time) -> Reading {
        Reading { asked: None, next }
    }
}

impl Swim {
    /// Somebody is well again after all that time: it may have much to read.
    pub(super) fn have_patience(&mut self, cx: &Cx<'_>, peer: &NodeId) {
        let until = cx.now.mono + cx.config.probe_interval_span().times(PATIENCE);
        if let Some(w) = self.watched.get_mut(peer) {
            w.reading.next = w.reading.next.max(until);
        }
    }
}

/// Sends what says itself whether it was read.
pub(super) fn send_unasked(cx: &mut Cx<'_>, to: NodeId, message: impl Into<Message>) -> bool {
    let unread = cx.links.has_unread(&to);
    let sent = cx.send(to, message);
    cx.links.set_unread(&to, unread);
    sent
}

impl Swim {
    /// Asks what is due to be asked, and suspects who has not answered.
    pub(super) fn look_at_reading(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let now = cx.now.mono;
        let interval = cx.config.probe_interval_span();
        let Some(w) = self.watched.get_mut(&peer).filter(|w| w.reading.next <= now) else { return };
        match w.reading.asked {
            None if !cx.links.has_unread(&peer) => w.reading.next = now + interval.times(EVERY),
            None => {
                cx.links.set_unread(&peer, false);
                self.ask_to_read(cx, peer);
            }
            Some((_, sent)) => {
                let suspected = w.suspicion.is_some();
                w.reading.next = now + interval.times(PATIENCE);
                if !sent {
                    self.ask_to_read(cx, peer);
                }
                if !suspected {
                    cx.counters.peers_stuck += 1;
                    // Where the question could not be sent, no answer will clear it.
                    cx.links.set_stuck(&peer, sent);
                    self.suspect(cx, peer, Doubt::Stuck);
                }
            }
        }
    }

    /// A packet is about to go to a peer: a question that will soon be due goes with it.
    pub(super) fn ask_along(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let soon = cx.now.mono + cx.config.probe_interval_span();
        let Some(w) = self.watched.get(&peer) else { return };
        if w.reading.asked.is_none() && w.reading.next <= soon && cx.links.has_unread(&peer) {
            cx.links.set_unread(&peer, false);
            self.ask_to_read(cx, peer);
        }
    }

    fn ask_to_read(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let incarnation = self.incarnation.0;
        let patience = self.health.stretch(cx.config.probe_interval_span().times(PATIENCE));
        let Some(w) = self.watched.get_mut(&peer) else { return };
        let seq = w.next_seq();
        w.reading.next = cx.now.mono + patience;
        let sent = send_unasked(cx, peer, Ping { seq, incarnation, suspected: None });
        w.reading.asked = Some((seq, sent));
    }

    /// A ping of ours came back on the control lane. Returns whether it asked for just that.
    pub(super) fn reads(&mut self, cx: &mut Cx<'_>, from: NodeId, seq: u32) -> bool {
        let now = cx.now.mono;
        let Some(w) = self.watched.get_mut(&from).filter(|w| w.reading.asked.is_some_and(|(s, _)| s == seq)) else {
            // From before it was a neighbour again.
            cx.links.set_stuck(&from, false);
            return false;
        };
        w.reading.asked = None;
        w.reading.next = now + cx.config.probe_interval_span().times(EVERY);
        cx.links.set_stuck(&from, false);
        match w.suspicion.is_some() {
            true => self.recover(cx, from),
            false => self.arm(cx, from),
        }
        true
    }
}
