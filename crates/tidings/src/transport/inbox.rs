//! The driver's lossless queue, and the budgets that keep it bounded without losing anything.
//!
//! Frames wait here until the driver takes them, and count against their peer's lane until the driver drops their
//! [`Budget`]. A reader whose lane is over budget stops reading; nobody else's reader notices. Credit is kept as a
//! sum per lane with at most one entry in the queue, so a slow driver finds one credit, not thousands.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking::{Mutex, lock};
use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::wire::{Lane, LinkRefusal};
use tokio::sync::Notify;

use super::LinkLimits;

/// What a queued frame costs beside its bytes: about the size of its entry in the queue.
const FRAME_OVERHEAD: usize = 64;

/// Datagrams of one peer that may wait unread; more are dropped, as datagrams may be (a guess: several probe rounds).
const MAX_DATAGRAMS: usize = 256;

/// A drained queue that grew past this many entries gives its memory back.
const KEEP_ENTRIES: usize = 256;

/// A lock that a panic elsewhere does not poison: the state behind it is only ever changed in whole steps.
pub(super) mod parking {
    pub(in crate::transport) use std::sync::Mutex;
    use std::sync::{MutexGuard, PoisonError};

    /// Takes the lock.
    pub(in crate::transport) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thing that happened, in the order it happened.
#[derive(Debug)]
pub enum Inbound {
    /// A complete frame.
    Frame {
        /// From whom, as their handshake proved.
        from: NodeId,
        /// On which stream lane.
        lane: Lane,
        /// Header, body and payload, in memory of its own: keeping it pins nothing else.
        bytes: Bytes,
        /// Drop it when the frame has been dealt with: the peer may then send more.
        budget: Budget,
    },
    /// A datagram.
    Datagram {
        /// From whom, as their handshake proved.
        from: NodeId,
        /// What.
        bytes: Bytes,
    },
    /// A link came up.
    LinkUp {
        /// With whom, as their handshake proved.
        peer: NodeId,
        /// The remote socket, if there is one.
        addr: Option<Addr>,
        /// Did this node dial it?
        outbound: bool,
        /// Round-trip time as the handshake measured it.
        rtt: Duration,
    },
    /// A link ended; nothing comes from this peer until its next `LinkUp`.
    LinkDown {
        /// With whom.
        peer: NodeId,
        /// Why.
        reason: LinkRefusal,
    },
    /// A dial of ours came to nothing.
    DialFailed {
        /// Who was dialed.
        peer: NodeId,
        /// Why.
        reason: LinkRefusal,
    },
    /// Bytes that left a lane's queue since its last credit.
    Credit {
        /// Whose lane.
        peer: NodeId,
        /// Which.
        lane: Lane,
        /// How many, headers included.
        bytes: usize,
    },
}

/// What one lane of a link holds in the inbox, and owes in credit.
#[derive(Debug)]
struct LaneFlow {
    limit: usize,
    unread: AtomicUsize,
    freed: Notify,
    credit: AtomicUsize,
}

/// A link as the inbox knows it: small, and not keeping the connection alive.
#[derive(Debug)]
pub(super) struct Flow {
    /// With whom.
    pub(super) peer: NodeId,
    down: AtomicBool,
    draining: AtomicBool,
    /// Nothing is read, as if the program were stuck.
    held: AtomicBool,
    datagrams: AtomicUsize,
    lanes: [LaneFlow; 3],
}

impl Flow {
    /// A link's flow, up, with nothing in it.
    pub(super) fn new(peer: NodeId, limits: &LinkLimits, held: bool) -> Flow {
        let lanes = Lane::STREAMS.map(|lane| LaneFlow {
            limit: limits.lane_budget(lane),
            unread: AtomicUsize::new(0),
            freed: Notify::new(),
            credit: AtomicUsize::new(0),
        });
        Flow { peer, down: false.into(), draining: false.into(), held: held.into(), datagrams: 0.into(), lanes }
    }

    fn lane(&self, lane: Lane) -> Option<&LaneFlow> {
        self.lanes.get(lane as usize)
    }

    /// Has `LinkDown` been reported?
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// Waits until the lane may be read further. One reader a lane.
    pub(super) async fn may_read(&self, lane: Lane) {
        let Some(flow) = self.lane(lane) else { return };
        let full = || flow.unread.load(Ordering::Acquire) >= flow.limit || self.held.load(Ordering::Acquire);
        while full() && !self.draining.load(Ordering::Acquire) {
            flow.freed.notified().await;
        }
    }

    /// From now on nothing is read, or everything again.
    pub(super) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
        for lane in &self.lanes {
            lane.freed.notify_one();
        }
    }

    /// The connection is gone: what it still holds is bounded by its windows and may be read over budget.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for lane in &self.lanes {
            lane.freed.notify_one();
        }
    }

    fn charge(&self, lane: Lane, bytes: usize) {
        if let Some(flow) = self.lane(lane) {
            flow.unread.fetch_add(bytes + FRAME_OVERHEAD, Ordering::AcqRel);
        }
    }

    fn release(&self, lane: Lane, bytes: usize) {
        let Some(flow) = self.lane(lane) else { return };
        let cost = bytes + FRAME_OVERHEAD;
        let before = flow.unread.fetch_sub(cost, Ordering::AcqRel);
        if before >= flow.limit && before - cost < flow.limit {
            flow.freed.notify_one();
        }
    }
}

/// A frame's claim on its peer's inbox budget, given back when dropped.
#[derive(Debug)]
pub struct Budget {
    flow: Option<Arc<Flow>>,
    lane: Lane,
    bytes: usize,
}

impl Budget {
    /// A budget nobody waits for: for frames a test makes up.
    pub fn none() -> Budget {
        Budget { flow: None, lane: Lane::Control, bytes: 0 }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        if let Some(flow) = &self.flow {
            flow.release(self.lane, self.bytes);
        }
    }
}

enum Entry {
    Frame { budget: Budget, bytes: Bytes },
    Datagram { flow: Arc<Flow>, bytes: Bytes },
    Credit { flow: Arc<Flow>, lane: Lane },
    Event(Inbound),
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    waker: Option<Waker>,
    ended: bool,
}

/// The sending side of an [`Inbox`], shared by every link of one attachment.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
}

impl Queue {
    fn push(&self, entries: impl FnOnce(&mut VecDeque<Entry>)) {
        let waker = {
            let mut state = lock(&self.state);
            if state.ended {
                return;
            }
            entries(&mut state.entries);
            if state.entries.is_empty() { None } else { state.waker.take() }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// `LinkUp`, or a failed dial.
    pub(super) fn event(&self, event: Inbound) {
        self.push(|entries| entries.push_back(Entry::Event(event)));
    }

    /// `LinkDown`, once; nothing of this link is queued after it. Says whether it was the first.
    pub(super) fn down(&self, flow: &Flow, reason: LinkRefusal) -> bool {
        let mut first = false;
        self.push(|entries| {
            first = !flow.down.swap(true, Ordering::AcqRel);
            if first {
                entries.push_back(Entry::Event(Inbound::LinkDown { peer: flow.peer, reason }));
            }
        });
        // After the end of the queue nobody is told, but the link must still go down.
        first || !flow.down.swap(true, Ordering::AcqRel)
    }

    /// Frames of one lane, in order. They are charged to the lane's budget.
    pub(super) fn frames(&self, flow: &Arc<Flow>, lane: Lane, frames: impl Iterator<Item = Bytes>) {
        self.push(|entries| {
            if flow.is_down() {
                return;
            }
            entries.extend(frames.map(|bytes| {
                flow.charge(lane, bytes.len());
                Entry::Frame { budget: Budget { flow: Some(flow.clone()), lane, bytes: bytes.len() }, bytes }
            }));
        });
    }

    /// A datagram; `false` if it had to be dropped.
    pub(super) fn datagram(&self, flow: &Arc<Flow>, bytes: Bytes) -> bool {
        let mut room = false;
        self.push(|entries| {
            room = !flow.is_down() && flow.datagrams.load(Ordering::Relaxed) < MAX_DATAGRAMS;
            if room {
                flow.datagrams.fetch_add(1, Ordering::Relaxed);
                entries.push_back(Entry::Datagram { flow: flow.clone(), bytes });
            }
        });
        room
    }

    /// Credit for bytes that left a lane's queue.
    pub(super) fn credit(&self, flow: &Arc<Flow>, lane: Lane, bytes: usize) {
        let Some(owed) = flow.lane(lane) else { return };
        if owed.credit.fetch_add(bytes, Ordering::AcqRel) == 0 {
            self.push(|entries| {
                if !flow.is_down() {
                    entries.push_back(Entry::Credit { flow: flow.clone(), lane });
                }
            });
        }
    }

    /// Has the attachment ended, or its inbox been dropped?
    pub(super) fn is_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// What is queued can still be taken, nothing is added.
    pub(super) fn end(&self) {
        let waker = {
            let mut state = lock(&self.state);
            state.ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Where everything arrives that happens on any link. One per attachment.
pub struct Inbox {
    queue: Arc<Queue>,
    taken: VecDeque<Entry>,
}

impl Inbox {
    pub(super) fn new(queue: Arc<Queue>) -> Inbox {
        Inbox { queue, taken: VecDeque::new() }
    }

    /// The next thing that happened; `None` after the attachment ended and everything was taken. Cancel safe.
    pub async fn recv(&mut self) -> Option<Inbound> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Inbox::recv`], for a driver that polls by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        if let Some(next) = self.take_local() {
            return Poll::Ready(Some(next));
        }
        let ended = {
            let mut state = lock(&self.queue.state);
            std::mem::swap(&mut state.entries, &mut self.taken);
            if self.taken.is_empty() && !state.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            state.ended
        };
        match self.take_local() {
            Some(next) => Poll::Ready(Some(next)),
            None if ended => Poll::Ready(None),
            // Entries that came to nothing were taken without leaving a waker: look once more.
            None => self.poll_again(cx),
        }
    }

    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let mut state = lock(&self.queue.state);
        if state.entries.is_empty() && !state.ended {
            state.waker = Some(cx.waker().clone());
        } else {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The next thing that happened, if there is one already: to drain many at a time.
    pub fn try_recv(&mut self) -> Option<Inbound> {
        self.take_local().or_else(|| {
            std::mem::swap(&mut lock(&self.queue.state).entries, &mut self.taken);
            self.take_local()
        })
    }

    /// As [`Inbox::try_recv`], but only if it is credit, which what was just sent may have brought.
    pub(crate) fn try_credit(&mut self) -> Option<Inbound> {
        if self.taken.is_empty() {
            std::mem::swap(&mut lock(&self.queue.state).entries, &mut self.taken);
        }
        matches!(self.taken.front(), Some(Entry::Credit { .. })).then(|| self.take_local()).flatten()
    }

    fn take_local(&mut self) -> Option<Inbound> {
        while let Some(entry) = self.taken.pop_front() {
            match entry {
                Entry::Frame { budget, bytes } => {
                    let from = budget.flow.as_ref()?.peer;
                    return Some(Inbound::Frame { from, lane: budget.lane, bytes, budget });
                }
                Entry::Datagram { flow, bytes } => {
                    flow.datagrams.fetch_sub(1, Ordering::Relaxed);
                    return Some(Inbound::Datagram { from: flow.peer, bytes });
                }
                Entry::Credit { flow, lane } => {
                    let bytes = flow.lane(lane)?.credit.swap(0, Ordering::AcqRel);
                    if bytes > 0 {
                        return Some(Inbound::Credit { peer: flow.peer, lane, bytes });
                    }
                }
                Entry::Event(event) => return Some(event),
            }
        }
        if self.taken.capacity() > KEEP_ENTRIES {
            self.taken = VecDeque::new();
        }
        None
    }
}

impl Drop for Inbox {
    /// Without a driver nothing more is kept; the links themselves end with [`super::Transport::detach`].
    fn drop(&mut self) {
        self.queue.end();
        lock(&self.queue.state).entries = VecDeque::new();
    }
}
