//! The table of links: what every implementation shares, whatever carries the bytes.
//!
//! Rules for duplicate connections (a *stamp* is drawn from one counter per transport, so stamps of one instance
//! order what that instance did):
//!
//! 1. A dialer says its instance and the stamp of its dial's beginning, an acceptor its instance and the stamp of
//!    bringing the link up.
//! 2. A connection whose peer stamp is older than the link's, from the same instance, is stale: refused.
//! 3. Every other connection replaces the link: the peer restarted, or has ended that link and dials again.
//! 4. When both dial at once, the node with the smaller id decides: it keeps the other's connection waiting until its
//!    own dial has ended. If that succeeded, the waiting one is stale by rule 2; if not, it is accepted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustls::NamedGroup;
use tidings_proto::identity::{Addr, NodeId};
use tidings_proto::wire::{Frame, Lane, LinkRefusal};
use tokio::sync::{Notify, broadcast};

use super::inbox::parking::{Mutex, lock};
use super::inbox::{Flow, Inbound, Inbox, Queue};
use super::lane_queue::{LaneQueue, Pushed};
use super::stats::{Counters, TransportStats, add};
use super::{LinkLimits, SendError, TransportEvent};

/// Events an observer may lag behind before it loses some (a guess; each costs about a hundred bytes, always).
const EVENTS: usize = 64;

/// Which run of which node, and when in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Drawn anew by every transport.
    pub(super) instance: u64,
    /// Counts up within an instance.
    pub(super) count: u64,
}

/// Why a connection does not become a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is, or was, another one that counts.
    Duplicate,
    /// Anything that can be reported.
    Link(LinkRefusal),
}

/// What carries a link.
pub(super) trait Carrier: Send + Sync {
    /// Sends a datagram, best effort.
    fn datagram(&self, bytes: Bytes) -> Result<(), SendError>;
    /// Writes what a lane's queue holds as far as that can be done at once, and says how many bytes that was. `None` if
    /// it is for the lane's writer to do.
    fn write_now(&self, queue: &LaneQueue) -> Option<usize> {
        let _ = queue;
        None
    }
    /// The last known round-trip time.
    fn rtt(&self) -> Duration;
    /// The remote socket.
    fn addr(&self) -> Option<Addr>;
    /// Bytes (sent, received) on the wire so far.
    fn wire_bytes(&self) -> (u64, u64);
    /// Acknowledgements received so far.
    fn acknowledgements(&self) -> u64 {
        0
    }
    /// The key exchange it was made with, if there was one.
    fn key_exchange(&self) -> Option<NamedGroup> {
        None
    }
}

/// One link that is, or was, up.
pub(super) struct Link {
    pub(super) flow: Arc<Flow>,
    pub(super) queue: Arc<Queue>,
    pub(super) lanes: [LaneQueue; 3],
    pub(super) carrier: Box<dyn Carrier>,
    /// Lanes in need of a writer, or a close to carry out.
    pub(super) wake: Notify,
    work: Mutex<Work>,
    peer_stamp: Stamp,
    /// Acknowledgements that were told of.
    told: AtomicU64,
}

#[derive(Default)]
struct Work {
    lanes: Vec<Lane>,
    close: Option<Refusal>,
    claimed: Vec<Lane>,
}

impl Link {
    /// With whom.
    pub(super) fn peer(&self) -> NodeId {
        self.flow.peer
    }

    /// Asks whoever carries the link to close it; the first reason stays.
    pub(super) fn start_close(&self, reason: Refusal) {
        lock(&self.work).close.get_or_insert(reason);
        self.wake.notify_one();
    }

    /// The peer opens its stream for a lane; `false` if it has one already.
    pub(super) fn claim_stream(&self, lane: Lane) -> bool {
        let mut work = lock(&self.work);
        let new = !work.claimed.contains(&lane);
        if new {
            work.claimed.push(lane);
        }
        new
    }

    /// The lanes that want a writer since the last call, and the reason to close if there is one.
    pub(super) fn take_work(&self) -> (Vec<Lane>, Option<Refusal>) {
        let mut work = lock(&self.work);
        (std::mem::take(&mut work.lanes), work.close)
    }
}

struct Attachment {
    queue: Arc<Queue>,
    limits: LinkLimits,
}

#[derive(Default)]
struct Table {
    attachment: Option<Attachment>,
    links: HashMap<NodeId, Arc<Link>>,
    dials: HashMap<NodeId, Arc<Notify>>,
    stamp: u64,
    running: usize,
    /// No link's streams are read.
    held: bool,
}

/// A dial in progress; belongs to the attachment that asked for it.
pub(super) struct Dial {
    pub(super) peer: NodeId,
    pub(super) stamp: Stamp,
    queue: Arc<Queue>,
    ended: Arc<Notify>,
}

/// Held by whoever carries a link, until it has nothing left to do for it.
pub(super) struct Carried {
    hub: Arc<Hub>,
    pub(super) link: Arc<Link>,
}

impl Carried {
    pub(super) fn new(hub: Arc<Hub>, link: Arc<Link>) -> Carried {
        Carried { hub, link }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.hub.released(&self.link);
    }
}

/// What a connection brings when it asks to become a link.
pub(super) struct Candidate {
    pub(super) peer: NodeId,
    pub(super) peer_stamp: Stamp,
    pub(super) carrier: Box<dyn Carrier>,
}

/// The shared state of one transport.
pub(super) struct Hub {
    pub(super) me: NodeId,
    pub(super) counters: Counters,
    instance: u64,
    events: broadcast::Sender<TransportEvent>,
    table: Mutex<Table>,
    idle: Notify,
}

impl Hub {
    pub(super) fn new(me: NodeId) -> Hub {
        use std::hash::{BuildHasher, Hasher};
        Hub {
            me,
            counters: Counters::default(),
            // Keyed from the operating system's randomness: two runs never draw the same.
            instance: std::hash::RandomState::new().build_hasher().finish(),
            events: broadcast::channel(EVENTS).0,
            table: Mutex::default(),
            idle: Notify::new(),
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<TransportEvent> {
        self.events.subscribe()
    }

    fn tell(&self, event: TransportEvent) {
        // Nobody observing is no error.
        let _ = self.events.send(event);
    }

    /// A new attachment in place of the earlier one.
    pub(super) fn attach(&self, limits: LinkLimits) -> Inbox {
        self.detach();
        let queue = Arc::new(Queue::default());
        lock(&self.table).attachment = Some(Attachment { queue: queue.clone(), limits });
        Inbox::new(queue)
    }

    /// Ends the attachment; the links' goodbyes are then on their way.
    pub(super) fn detach(&self) {
        let (attachment, links) = {
            let mut table = lock(&self.table);
            for (_, ended) in table.dials.drain() {
                ended.notify_waiters();
            }
            (table.attachment.take(), std::mem::take(&mut table.links))
        };
        for link in links.into_values() {
            self.end(&link, LinkRefusal::Goodbye, Refusal::Link(LinkRefusal::Goodbye));
        }
        if let Some(attachment) = attachment {
            attachment.queue.end();
        }
    }

    /// Waits until no link has anything left to do.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if lock(&self.table).running == 0 {
                return;
            }
            idle.await;
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        lock(&self.table).attachment.as_ref().is_some_and(|attachment| !attachment.queue.is_ended())
    }

    /// Begins a dial, unless there is a reason not to.
    pub(super) fn begin_dial(&self, peer: NodeId) -> Option<Dial> {
        let mut table = lock(&self.table);
        let queue = table.attachment.as_ref()?.queue.clone();
        if table.links.contains_key(&peer) || table.dials.contains_key(&peer) {
            return None;
        }
        let ended = Arc::new(Notify::new());
        table.dials.insert(peer, ended.clone());
        add(&self.counters.dials, 1);
        Some(Dial { peer, stamp: self.stamp(&mut table), queue, ended })
    }

    /// A dial became a link (or found that there is one already), or failed.
    pub(super) fn end_dial(&self, dial: &Dial, result: Result<(), Refusal>) {
        let mut table = lock(&self.table);
        if table.dials.get(&dial.peer).is_some_and(|ended| Arc::ptr_eq(ended, &dial.ended)) {
            table.dials.remove(&dial.peer);
            dial.ended.notify_waiters();
        }
        let reason = match result {
            Ok(()) => return,
            Err(_) if table.links.contains_key(&dial.peer) => return,
            Err(Refusal::Duplicate) => LinkRefusal::Closed,
            Err(Refusal::Link(reason)) => reason,
        };
        // Under the lock, so that no link of this peer comes up in between.
        self.counters.dial_failed(reason);
        dial.queue.event(Inbound::DialFailed { peer: dial.peer, reason });
        drop(table);
        self.tell(TransportEvent::DialFailed { peer: dial.peer, reason });
    }

    /// Rule 4: waits while this node, having the smaller id, is dialing the peer itself.
    pub(super) async fn own_dial_ended(&self, peer: NodeId) {
        if self.me > peer {
            return;
        }
        loop {
            let Some(dial) = lock(&self.table).dials.get(&peer).cloned() else { return };
            let ended = dial.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let still = lock(&self.table).dials.get(&peer).is_some_and(|now| Arc::ptr_eq(now, &dial));
            if still {
                ended.await;
            }
        }
    }

    fn stamp(&self, table: &mut Table) -> Stamp {
        table.stamp += 1;
        Stamp { instance: self.instance, count: table.stamp }
    }

    /// Makes a connection this node dialed a link.
    pub(super) fn dialed(&self, dial: &Dial, candidate: Candidate) -> Result<Arc<Link>, Refusal> {
        self.bring_up(candidate, Some(dial)).map(|(link, _)| link)
    }

    /// Makes a connection the peer dialed a link; the stamp is for the answer.
    pub(super) fn accepted(&self, candidate: Candidate) -> Result<(Arc<Link>, Stamp), Refusal> {
        self.bring_up(candidate, None)
    }

    fn bring_up(&self, candidate: Candidate, dial: Option<&Dial>) -> Result<(Arc<Link>, Stamp), Refusal> {
        let Candidate { peer, peer_stamp, carrier } = candidate;
        let mut table = lock(&self.table);
        let Some(Attachment { queue, limits }) = &table.attachment else {
            return Err(Refusal::Link(LinkRefusal::Goodbye));
        };
        if queue.is_ended() || dial.is_some_and(|dial| !Arc::ptr_eq(&dial.queue, queue)) {
            return Err(Refusal::Link(LinkRefusal::Goodbye));
        }
        let flow = Arc::new(Flow::new(peer, limits, table.held));
        let (queue, max_links) = (queue.clone(), limits.max_links);
        let old = table.links.get(&peer).cloned();
        if old.as_ref().is_some_and(|old| {
            old.peer_stamp.instance == peer_stamp.instance && peer_stamp.count < old.peer_stamp.count
        }) {
            return Err(Refusal::Duplicate);
        }
        if old.is_none() && table.links.len() >= max_links {
            return Err(Refusal::Link(LinkRefusal::Full));
        }
        if let Some(old) = old {
            self.end(&old, LinkRefusal::Closed, Refusal::Duplicate);
        }
        let outbound = dial.is_some();
        let link = Arc::new(Link {
            flow,
            queue: queue.clone(),
            lanes: Lane::STREAMS.map(LaneQueue::new),
            carrier,
            wake: Notify::new(),
            work: Mutex::default(),
            peer_stamp,
            told: AtomicU64::new(0),
        });
        table.links.insert(peer, link.clone());
        table.running += 1;
        let stamp = self.stamp(&mut table);
        let (addr, rtt) = (link.carrier.addr(), link.carrier.rtt());
        add(&self.counters.links_up, 1);
        queue.event(Inbound::LinkUp { peer, addr, outbound, rtt });
        drop(table);
        self.tell(TransportEvent::LinkUp { peer, outbound });
        Ok((link, stamp))
    }

    /// Reports the end of a link that is out of the table, and has its carrier close it.
    fn end(&self, link: &Link, reason: LinkRefusal, close: Refusal) {
        if link.queue.down(&link.flow, reason) {
            self.tell(TransportEvent::LinkDown { peer: link.peer(), reason });
        }
        link.start_close(close);
    }

    /// The driver wants the link to end.
    pub(super) fn close(&self, peer: NodeId, reason: LinkRefusal) {
        let mut table = lock(&self.table);
        if let Some(link) = table.links.remove(&peer) {
            self.end(&link, reason, Refusal::Link(reason));
        }
    }

    /// The connection ended by itself. For the link's carrier, once, when its last frame is in the inbox.
    pub(super) fn ended(&self, link: &Arc<Link>, reason: LinkRefusal) {
        let mut table = lock(&self.table);
        if table.links.get(&link.peer()).is_some_and(|now| Arc::ptr_eq(now, link)) {
            table.links.remove(&link.peer());
        }
        self.end(link, reason, Refusal::Link(reason));
        drop(table);
        for lane in &link.lanes {
            lane.finish();
        }
        if reason == LinkRefusal::Protocol || reason == LinkRefusal::Version {
            add(&self.counters.protocol_errors, 1);
        }
    }

    /// The link's carrier has nothing left to do.
    fn released(&self, link: &Link) {
        let (out, into) = link.carrier.wire_bytes();
        add(&self.counters.wire_bytes_out, usize::try_from(out).unwrap_or(usize::MAX));
        add(&self.counters.wire_bytes_in, usize::try_from(into).unwrap_or(usize::MAX));
        lock(&self.table).running -= 1;
        self.idle.notify_waiters();
    }

    /// An incoming connection did not become a link.
    pub(super) fn refused(&self, peer: Option<NodeId>, refusal: Refusal) {
        match refusal {
            Refusal::Duplicate => add(&self.counters.duplicates, 1),
            Refusal::Link(reason) => {
                self.counters.refused(reason);
                self.tell(TransportEvent::Refused { peer, reason });
            }
        }
    }

    /// No link's streams are read any more, those of later links included; or all are again.
    pub(super) fn hold(&self, held: bool) {
        let mut table = lock(&self.table);
        table.held = held;
        for link in table.links.values() {
            link.flow.hold(held);
        }
    }

    pub(super) fn link(&self, peer: NodeId) -> Option<Arc<Link>> {
        lock(&self.table).links.get(&peer).cloned()
    }

    pub(super) fn try_send(&self, peer: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let link = self.link(peer).ok_or(SendError::NotLinked)?;
        let len = frame.len();
        let Some(queue) = link.lanes.get(lane as usize) else {
            link.carrier.datagram(frame.to_bytes())?;
            add(&self.counters.datagrams_out, 1);
            return Ok(());
        };
        match queue.push(frame)? {
            Pushed::First => {
                lock(&link.work).lanes.push(lane);
                link.wake.notify_one();
                queue.wake_writer();
            }
            // Nobody else is woken for what can be written here and now.
            Pushed::Alone => match link.carrier.write_now(queue) {
                Some(0) => {}
                Some(written) => link.queue.credit(&link.flow, lane, written),
                None => queue.wake_writer(),
            },
            Pushed::Behind => {}
        }
        add(&self.counters.frames_out, 1);
        add(&self.counters.frame_bytes_out, len);
        Ok(())
    }

    /// The peers of whom there are more acknowledgements than at the last call.
    pub(super) fn acknowledged(&self) -> Vec<NodeId> {
        let links: Vec<_> = lock(&self.table).links.values().cloned().collect();
        let news = |link: &Arc<Link>| {
            let so_far = link.carrier.acknowledgements();
            link.told.swap(so_far, Ordering::Relaxed) != so_far
        };
        links.into_iter().filter(news).map(|link| link.peer()).collect()
    }

    pub(super) fn stats(&self) -> TransportStats {
        let links: Vec<_> = lock(&self.table).links.values().cloned().collect();
        let mut stats = self.counters.snapshot(links.len());
        for link in links {
            let (out, into) = link.carrier.wire_bytes();
            stats.wire_bytes_out += out;
            stats.wire_bytes_in += into;
        }
        stats
    }
}
