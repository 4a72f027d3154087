//! The loop between the core and the world: one task a node.
//!
//! A turn takes what is at hand (bounded), hands it to the core under one reading of the clock, and carries out
//! what comes back. The order within a turn: links, requests, publishes, storage, timers; then outputs until there
//! are none. Nothing in a turn waits; the loop waits between turns for any of them at once. Invariants:
//!
//! 1. Events for the program are one queue entry a batch; a full queue costs its subscriber, never the loop.
//! 2. Every command is answered once: by the core, or by the end of the run.
//! 3. Messages of a topic reach the core in the order they were queued, refused ones included.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tidings_proto::Node;
use tidings_proto::identity::Addr;
use tidings_proto::io::{Command, Input, Output, Reply};
use tidings_proto::node::Reason;
use tidings_proto::pubsub::{Delivery, TopicTerms};
use tidings_proto::time::{Now, Span, Time};
use tidings_proto::wire::Lane;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::authors::Authors;
use super::clock::Clock;
use super::disk::Disk;
use super::downloads::Downloads;
use super::first::First;
use super::log::LogPort;
use super::pending::{Pending, Waiting};
use super::publishing::Publishing;
use super::run::{Control, Run, Told};
use super::subscribers::Subscribers;
use crate::subscription::{History, Queue};
use crate::transport::{Inbound, Inbox, Transport};

mod telling;

/// Inputs from links in one turn: enough that a busy node's batches form, few enough that publishes get their turn
/// within a millisecond or so (a guess).
const INBOUND_BURST: usize = 256;
/// Requests in one turn.
const CONTROL_BURST: usize = 64;
/// Turns without a pause after which other tasks get theirs.
const TURNS: u32 = 4;
/// How often the transport's addresses are compared with those the core knows (a guess: a change of network takes
/// longer to settle).
const ADDRS_EVERY: Span = Span::from_secs(5);
/// How often the transport is asked at most who acknowledged packets: that is how much older than said the news may be.
const ACKNOWLEDGED_EVERY: Span = Span::from_millis(100);
/// Time for what is being stored to be stored, and answered, before a goodbye.
const LAST_ROUND: Duration = Duration::from_millis(75);
/// Time for the transport to say goodbye, and for the store to reach the medium, within the second a shutdown has.
const DETACH: Duration = Duration::from_millis(650);
const LAST_SYNC: Duration = Duration::from_millis(250);

/// What a look at the node sees.
pub(crate) struct View<'a> {
    pub(crate) node: &'a Node,
    pub(crate) subscribers: &'a Subscribers,
    pub(crate) run: &'a Run,
    pub(crate) dropped_frames: u64,
    pub(crate) uptime: Span,
}

/// What ended a wait.
enum Woken {
    Inbound(Option<Inbound>),
    Asked,
    Timer,
}

/// The driver of one run.
pub(crate) struct Driver {
    node: Node,
    transport: Arc<dyn Transport>,
    inbox: Inbox,
    inbox_ended: bool,
    run: Arc<Run>,
    controls: mpsc::Receiver<Control>,
    told: Told,
    disk: Disk,
    log: LogPort,
    pending: Pending,
    publishing: Publishing,
    subscribers: Subscribers,
    downloads: Downloads,
    authors: Authors,
    first: First,
    clock: Clock,
    timer: Pin<Box<Sleep>>,
    armed: Option<Time>,
    /// There may be requests.
    asked: bool,
    addrs: Vec<Addr>,
    addrs_at: Time,
    acknowledged_at: Time,
    dropped_frames: u64,
}

/// The parts a driver is put together from.
pub(crate) struct Parts {
    pub(crate) run: Arc<Run>,
    pub(crate) controls: mpsc::Receiver<Control>,
    pub(crate) told: Told,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) inbox: Inbox,
    pub(crate) disk: Disk,
    pub(crate) log: LogPort,
}

impl Driver {
    /// A driver for the node that `make` makes at the time it is given.
    pub(crate) fn new(parts: Parts, make: impl FnOnce(Now) -> Node) -> Driver {
        let clock = Clock::start();
        Driver {
            node: make(clock.now()),
            transport: parts.transport,
            inbox: parts.inbox,
            inbox_ended: false,
            run: parts.run,
            controls: parts.controls,
            told: parts.told,
            disk: parts.disk,
            log: parts.log,
            pending: Pending::default(),
            publishing: Publishing::default(),
            subscribers: Subscribers::default(),
            downloads: Downloads::default(),
            authors: Authors::default(),
            first: First::default(),
            clock,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
            asked: true,
            addrs: Vec::new(),
            addrs_at: Time::default(),
            acknowledged_at: Time::default(),
            dropped_frames: 0,
        }
    }

    /// Drives the node until it is asked to stop, then says goodbye.
    pub(crate) async fn run(mut self) {
        let mut turns = 0;
        loop {
            let more = self.turn();
            if self.run.is_stopping() || self.inbox_ended {
                break;
            }
            turns += 1;
            if more && turns < TURNS {
                continue;
            }
            if more {
                tokio::task::yield_now().await;
            } else {
                self.wait().await;
            }
            turns = 0;
        }
        if self.inbox_ended {
            tracing::warn!(node = %self.run.node_id.short(), "another driver took over the transport");
        }
        self.goodbye().await;
    }

    /// One turn. Whether there is more to do at once.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        let mut more = self.take_inbound(now);
        if std::mem::take(&mut self.asked) | self.run.work.take() {
            more |= self.take_controls(now);
        }
        self.publishing.turn(&self.run, &mut self.pending, |ticket, command| {
            hand_in(&mut self.node, now, Input::Command { ticket, command });
        });
        if let Err(error) = self.disk.turn(now.mono) {
            self.storage_failed(error.0);
        }
        for answer in self.log.answers() {
            hand_in(&mut self.node, now, answer);
        }
        self.check_addrs(now);
        if let Some((_, reason)) = self.node.deadline().filter(|(at, _)| *at <= now.mono) {
            // Asking every connection is not cheap, and only the detector wants to know.
            if matches!(reason, Reason::Swim(_)) {
                self.check_acknowledged(now);
            }
            hand_in(&mut self.node, now, Input::Tick);
        }
        self.carry_out(now);
        more | self.publishing.settle()
    }

    fn take_inbound(&mut self, now: Now) -> bool {
        for _ in 0..INBOUND_BURST {
            let Some(inbound) = self.inbox.try_recv() else { return false };
            self.inbound(now, inbound);
        }
        true
    }

    fn inbound(&mut self, now: Now, inbound: Inbound) {
        self.first.on(&*self.transport, &inbound);
        let input = match inbound {
            Inbound::Frame { from, lane, bytes, budget } => {
                hand_in(&mut self.node, now, Input::Frame { from, lane, bytes });
                drop(budget);
                return;
            }
            Inbound::Datagram { from, bytes } => Input::Datagram { from, bytes },
            Inbound::LinkUp { peer, addr, outbound, rtt } => {
                Input::LinkUp { peer, addr, outbound, rtt: Some(rtt.into()) }
            }
            Inbound::LinkDown { peer, reason } => Input::LinkDown { peer, reason },
            Inbound::DialFailed { peer, reason } => Input::DialFailed { peer, reason },
            Inbound::Credit { peer, lane, bytes } => Input::SendCredit { peer, lane, bytes },
        };
        hand_in(&mut self.node, now, input);
    }

    fn take_controls(&mut self, now: Now) -> bool {
        if self.run.take_reap() {
            let reaped = self.subscribers.reap();
            for topic in reaped.left {
                self.command(now, Command::Unsubscribe { topic }, Waiting::Nobody);
            }
            for topic in reaped.unkept {
                self.command(now, Command::KeepLog { topic, keep: false }, Waiting::Nobody);
            }
        }
        for _ in 0..CONTROL_BURST {
            let Ok(control) = self.controls.try_recv() else { return false };
            match control {
                Control::Command(command, done) => self.command(now, command, Waiting::Done(done)),
                Control::Subscribe(queue, done) if queue.durable() => {
                    let topic = queue.topic;
                    self.unlock(now, &queue);
                    if self.subscribers.add_durable(queue) {
                        self.command(now, Command::Subscribe { topic }, Waiting::Subscribe(topic));
                    }
                    self.command(now, Command::KeepLog { topic, keep: true }, Waiting::Done(done));
                }
                Control::Subscribe(queue, done) => {
                    let topic = queue.topic;
                    self.unlock(now, &queue);
                    if self.subscribers.add(queue.clone(), done) {
                        self.command(now, Command::Subscribe { topic }, Waiting::Subscribe(topic));
                    }
                    if let Some(query) = queue.history() {
                        self.command(now, Command::History { topic, query }, Waiting::Beginning(queue));
                    }
                }
                Control::History(topic, query, asked) => {
                    self.command(now, Command::History { topic, query }, Waiting::History(asked));
                }
                Control::Reconcile(topic, asked) => {
                    self.command(now, Command::Reconcile { topic }, Waiting::Reconcile(asked));
                }
                Control::Grant(command, asked) => self.command(now, command, Waiting::Capability(asked)),
                Control::Send(command, asked) => self.command(now, command, Waiting::Send(asked)),
                Control::Search(command, asked) => self.command(now, command, Waiting::Search(asked)),
                Control::Unsubscribe(topic, done) => {
                    self.subscribers.end(&topic);
                    self.command(now, Command::Unsubscribe { topic }, Waiting::Done(done));
                }
                Control::Content(id, done) => drop(done.send(self.downloads.find(&self.node, &id))),
                Control::Inspect(look) => look(&View {
                    node: &self.node,
                    subscribers: &self.subscribers,
                    run: &self.run,
                    dropped_frames: self.dropped_frames,
                    uptime: self.clock.uptime(),
                }),
            }
        }
        self.asked = true;
        true
    }

    fn command(&mut self, now: Now, command: Command, waiting: Waiting) {
        let ticket = self.pending.add(waiting);
        hand_in(&mut self.node, now, Input::Command { ticket, command });
    }

    fn check_addrs(&mut self, now: Now) {
        if self.addrs_at > now.mono {
            return;
        }
        self.addrs_at = now.mono + ADDRS_EVERY;
        let addrs = self.transport.local_addrs();
        if addrs != self.addrs {
            self.addrs.clone_from(&addrs);
            self.command(now, Command::SetAddrs { addrs }, Waiting::Nobody);
        }
    }

    /// Before a timer fires that may be a ping's: has the transport seen for itself who is there?
    fn check_acknowledged(&mut self, now: Now) {
        if self.acknowledged_at > now.mono {
            return;
        }
        self.acknowledged_at = now.mono + ACKNOWLEDGED_EVERY;
        let peers = self.transport.acknowledged();
        if !peers.is_empty() {
            hand_in(&mut self.node, now, Input::Acknowledged { peers });
        }
    }

    fn carry_out(&mut self, now: Now) {
        loop {
            self.carry_out_all(now);
            // Most frames are written at once: a turn for their credit would be half of all turns.
            let Some(mut credit) = self.inbox.try_credit() else { return };
            loop {
                self.inbound(now, credit);
                let Some(next) = self.inbox.try_credit() else { break };
                credit = next;
            }
        }
    }

    fn carry_out_all(&mut self, now: Now) {
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { peer, lane, frame } => {
                    let bytes = frame.len();
                    if let Err(error) = self.transport.try_send_frame(peer, lane, frame) {
                        self.dropped_frames += 1;
                        tracing::debug!(peer = %peer.short(), ?lane, %error, "a frame was dropped");
                        // It takes up no room: without a link the core hears so from the inbox.
                        hand_in(&mut self.node, now, Input::SendCredit { peer, lane, bytes });
                    }
                }
                Output::Datagram { peer, bytes } => {
                    if self.transport.try_send(peer, Lane::Probe, bytes).is_err() {
                        self.dropped_frames += 1;
                    }
                }
                Output::Dial { peer, addrs, first } => self.first.dial(&*self.transport, peer, addrs, first),
                Output::Close { peer, reason } => self.transport.close(peer, reason),
                Output::Event(event) => self.event(event),
                Output::Reply { ticket, reply } => match self.pending.take(ticket) {
                    Some(Waiting::Publish(outbox, unsent)) => self.publishing.answered(outbox, unsent, reply),
                    Some(Waiting::Subscribe(topic)) => self.subscribers.answered(&topic, &reply),
                    Some(Waiting::Beginning(queue)) => queue.begin(&self.history(reply)),
                    // Whoever asked may have gone meanwhile.
                    Some(Waiting::History(asked)) => drop(asked.send(self.history(reply))),
                    Some(Waiting::Reconcile(asked)) => {
                        if let Reply::Reconciled(stats) = reply {
                            let _ = asked.send(stats);
                        }
                    }
                    Some(Waiting::Capability(asked)) => match reply {
                        Reply::Capability(issued) => drop(asked.send(Ok(issued))),
                        Reply::Refused(why) => drop(asked.send(Err(why))),
                        _ => {}
                    },
                    Some(Waiting::Send(asked)) => drop(asked.send(super::pending::sent(reply))),
                    Some(Waiting::Search(asked)) => drop(asked.send(super::pending::search(reply))),
                    Some(Waiting::Done(done)) => drop(done.send(super::pending::done(reply))),
                    Some(Waiting::Nobody) | None => {}
                },
                Output::Store { ticket, records } => {
                    let stored = self.disk.write(now.mono, ticket, &records);
                    hand_in(&mut self.node, now, stored);
                }
                Output::Load { ticket, prefix } => {
                    let loaded = self.disk.load(ticket, &prefix);
                    hand_in(&mut self.node, now, loaded);
                }
                Output::Append { ticket, topic, records, sync } => {
                    if let Some(refused) = self.log.append(ticket, topic, records, sync) {
                        hand_in(&mut self.node, now, refused);
                    }
                }
                Output::ReadLog { ticket, topic, query } => {
                    if let Some(refused) = self.log.read(ticket, topic, query) {
                        hand_in(&mut self.node, now, refused);
                    }
                }
            }
        }
    }

    /// A private topic is opened, and a policy known, before anything of it can come.
    fn unlock(&mut self, now: Now, queue: &Queue) {
        if queue.terms != TopicTerms::default() {
            let (topic, terms) = (queue.topic, queue.terms.clone());
            self.command(now, Command::Unlock { topic, terms }, Waiting::Nobody);
        }
    }

    fn history(&mut self, reply: Reply) -> History {
        let Reply::History(batches) = reply else { return Vec::new() };
        let with_contents = |d: Delivery| {
            let contents = self.downloads.of(&self.node, &d);
            let author = self.authors.of(&self.node, &d);
            (d, contents, author)
        };
        batches.into_iter().map(with_contents).collect()
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) {
        let addrs = self.addrs_at;
        let due =
            [self.node.deadline().map(|(at, _)| at), self.disk.deadline(), Some(addrs)].into_iter().flatten().min();
        self.arm(due);
        let woken = poll_fn(|cx| {
            if let Poll::Ready(inbound) = self.inbox.poll_recv(cx) {
                return Poll::Ready(Woken::Inbound(inbound));
            }
            if self.run.work.poll(cx) {
                return Poll::Ready(Woken::Asked);
            }
            self.timer.as_mut().poll(cx).map(|()| Woken::Timer)
        });
        match woken.await {
            Woken::Inbound(Some(inbound)) => self.inbound(self.clock.now(), inbound),
            Woken::Inbound(None) => self.inbox_ended = true,
            Woken::Asked => self.asked = true,
            Woken::Timer => self.armed = None,
        }
    }

    /// Sets the timer if it would ring too late. A ring too early does no harm, and setting it costs more.
    fn arm(&mut self, due: Option<Time>) {
        let Some(due) = due else { return };
        if self.armed.is_none_or(|at| due < at) {
            self.armed = Some(due);
            let at = self.clock.instant(due);
            self.timer.as_mut().reset(at.into());
        }
    }

    /// Leaves, flushes, detaches, and forces what was written to the medium.
    async fn goodbye(mut self) {
        // Late answers find nobody.
        let _ = tokio::time::timeout(LAST_ROUND, self.settle_log()).await;
        let now = self.clock.now();
        self.command(now, Command::Leave, Waiting::Nobody);
        self.carry_out(now);
        if tokio::time::timeout(DETACH, self.transport.detach()).await.is_err() {
            tracing::warn!("the transport took too long to say goodbye");
        }
        match tokio::time::timeout(LAST_SYNC, self.disk.end()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last sync failed"),
            Err(_) => tracing::warn!("the last sync goes on behind the shutdown"),
        }
    }
}

impl Driver {
    async fn settle_log(&mut self) {
        while self.log.is_storing() {
            poll_fn(|cx| if self.run.work.poll(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
            let now = self.clock.now();
            for answer in self.log.answers() {
                hand_in(&mut self.node, now, answer);
            }
            self.carry_out(now);
        }
    }
}

impl Drop for Driver {
    /// Whatever ended the driver, nobody waits for it any longer.
    fn drop(&mut self) {
        self.subscribers.end_all();
        self.downloads.end();
        self.authors.end();
        self.run.end();
    }
}

/// What was wrong with an input is counted by the core.
fn hand_in(node: &mut Node, now: Now, input: Input) {
    if let Err(error) = node.handle(now, input) {
        tracing::debug!(%error, "dropped");
    }
}
