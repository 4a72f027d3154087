//! The identity layer: this node's own certificate, and everybody else's.
//!
//! A node names its agent's certificate by the first 16 bytes of its hash: to each neighbour over their link (`Certified`), and
//! in the batches it signs. Who does not know it asks the neighbour that brought the name, and nobody else unless that one
//! has it not: along the tree that brought a batch, each node asks its parent once, and the parent answers when its own
//! answer comes. So a certificate crosses each link of the tree once, and a network never asks the author all at once.
//!
//! No paper: what must hold is
//! - nothing is believed that is not verified, nothing verified twice (`certificates.rs`), no message waits for any of it;
//! - names are heeded from the node itself only: by its signature or its link, and `CHANGES` in `A_WHILE` at most,
//!   however many it says;
//! - what is asked for, of whom, how often, and for whom others wait is bounded (`asking.rs`), and what could not be had is
//!   not asked for again at once.
//!
//! Messages: `Certified`, `AskCertificates`, `Certificate`, `NoCertificates`. Timers: `Renew`, `Ask`, `Remember`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::asking::{Allowance, Want};
use super::memory::Memory;
use super::own::Own;
use super::{AgentId, NodeId};
use crate::io::{Event, StoreError};
use crate::layer::{Cx, Done, Layer, RequestTicket, Signal};
use crate::records::sets;
use crate::rng::Rng;
use crate::time::Span;
use crate::wire::{CertificateRef, Certified, Message};

/// A node may name another certificate so often in such a while: it does every few days, when it is started with another
/// agent's key, and when its agent revokes another of its nodes (guesses).
const CHANGES: u8 = 4;
const A_WHILE: Span = Span::from_secs(60);

/// The timers of this layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// See whether the own certificate is due to be renewed.
    Renew,
    /// Somebody has not answered.
    Ask,
    /// Write what is to be remembered of others.
    Remember,
}

/// What this layer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Certify that a node speaks for the own agent no longer.
    Revoke(NodeId),
    /// Renew the own certificate and its prekey now.
    Renew,
    /// A node names a certificate in something it signed, which that neighbour brought.
    Named(NodeId, u64, CertificateRef, NodeId),
}

/// The identity layer.
pub struct Identity {
    pub(super) own: Own,
    pub(super) rng: Rng,
    /// Linked peers that were told of the own certificate.
    pub(super) told: BTreeSet<NodeId>,
    pub(super) wants: BTreeMap<CertificateRef, Want>,
    pub(super) allowances: BTreeMap<NodeId, Allowance>,
    pub(super) memory: Memory,
}

impl Identity {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Identity {
            own: Own::default(),
            rng: Rng::derive(seed, "identity", &[]),
            told: BTreeSet::new(),
            wants: BTreeMap::new(),
            allowances: BTreeMap::new(),
            memory: Memory::default(),
        }
    }

    /// The agent this node speaks for, if it holds one's key.
    pub(crate) fn agent(&self) -> Option<AgentId> {
        self.own.agent
    }

    /// Whether the agent has revoked this node.
    pub(crate) fn is_cast_out(&self) -> bool {
        self.own.cast_out
    }

    pub(crate) fn on_loaded(&mut self, cx: &mut Cx<'_>, result: Result<Vec<(Bytes, Bytes)>, StoreError>) {
        match result {
            Ok(records) => {
                self.recall_others(cx, &records);
                self.recall(cx, &records);
            }
            Err(error) => {
                storage_failed(cx, error);
                self.recall(cx, &[]);
            }
        }
    }

    /// `node` names a certificate in what it signed in an epoch (0 over its link), which `from` brought.
    pub(super) fn named(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        epoch: u64,
        certificate: CertificateRef,
        from: NodeId,
    ) {
        if node == cx.me {
            return;
        }
        let now = cx.now.mono;
        let known = cx.certificates.touch(certificate);
        if let Some(n) = cx.agents.named.get(&node).copied().filter(|n| n.certificate != certificate) {
            let older = match (cx.certificates.serial(certificate), cx.certificates.serial(n.certificate)) {
                (Some(new), Some(old)) => new < old,
                _ => epoch > 0 && epoch < n.epoch,
            };
            if older {
                // Said before the other, whenever it came: good for what was signed with it, and for nothing since.
                if !known {
                    self.want(cx, certificate, node, from);
                }
                return;
            }
            if n.changes >= CHANGES && now < n.since + A_WHILE {
                cx.counters.certificates_limited += 1;
                return;
            }
        }
        let before = cx.agent_of(&node).agent();
        cx.counters.agents_forgotten += cx.agents.note(cx.certificates, node, epoch, certificate, now, A_WHILE) as u64;
        if !known {
            return self.want(cx, certificate, node, from);
        }
        let after = cx.agent_of(&node).agent();
        if epoch > 0 && after.is_some() {
            self.remember(cx, node, certificate);
        }
        if before != after {
            tell(cx, node, after);
        }
    }

    /// Tells a neighbour the own certificate, once.
    fn introduce(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        if let Some(certificate) = cx.agents.own
            && !self.told.contains(&peer)
            && cx.send(peer, Certified { certificate })
        {
            self.told.insert(peer);
        }
    }

    /// The own certificate is another: every peer that knew it hears so.
    pub(super) fn introduce_again(&mut self, cx: &mut Cx<'_>) {
        for peer in std::mem::take(&mut self.told) {
            self.introduce(cx, peer);
        }
    }

    /// A message of a peer, with the raw payload behind it.
    pub(crate) fn on_frame(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, payload: Bytes) {
        match message {
            Message::Certificate(_) => self.on_certificate(cx, from, payload),
            other => self.on_message(cx, from, other),
        }
    }
}

/// Says whose agent a node speaks for now.
pub(super) fn tell(cx: &mut Cx<'_>, node: NodeId, agent: Option<AgentId>) {
    cx.signal(Signal::Agent { node, agent });
    cx.event(Event::Agent { node, agent });
}

pub(super) fn storage_failed(cx: &mut Cx<'_>, error: StoreError) {
    cx.counters.storage_failures += 1;
    cx.event(Event::StorageFailed { error });
}

impl Layer for Identity {
    type Message = Message;
    type Command = Command;
    type Timer = Timer;

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::Certified(m) => self.named(cx, from, 0, m.certificate, from),
            Message::AskCertificates(m) => self.on_ask(cx, from, &m.certificates),
            Message::NoCertificates(m) => self.on_none(cx, from, &m.certificates),
            _ => cx.counters.frames_unexpected += 1,
        }
    }

    fn on_command(&mut self, cx: &mut Cx<'_>, command: Command) {
        match command {
            Command::Revoke(node) => self.revoke(cx, node),
            Command::Renew => self.issue(cx),
            Command::Named(node, epoch, certificate, from) => self.named(cx, node, epoch, certificate, from),
        }
    }

    fn on_signal(&mut self, cx: &mut Cx<'_>, signal: &Signal) {
        match signal {
            Signal::NeighborUp { peer, .. } => self.introduce(cx, *peer),
            Signal::RecordChanged { set: sets::REVOCATIONS, key, change } => self.on_revocations(cx, key, *change),
            Signal::LinkDown { peer, .. } => {
                self.told.remove(peer);
                self.allowances.remove(peer);
                self.gone(cx, peer);
            }
            _ => {}
        }
    }

    fn on_done(&mut self, _: &mut Cx<'_>, _: RequestTicket, _: Done) {}

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::Renew => self.see_to_renewal(cx),
            Timer::Ask => self.ask_others(cx),
            Timer::Remember => self.write_memory(cx),
        }
    }
}

/// What entries of the tables cost beside what they hold, in maps (an estimate from the sizes of the structures).
const ENTRY: usize = 96;

/// Bytes that everybody's certificates take at most, with all that is kept around them; see [`crate::limits`].
pub(crate) fn bytes() -> usize {
    let known = super::MAX_CERTIFICATES * (3 * ENTRY + 16 + size_of::<super::Binding>() + 80);
    let kept = super::MAX_KEPT * super::MAX_CERTIFICATE;
    let named = super::MAX_NAMED * (ENTRY + 32 + size_of::<super::agents::Named>());
    let revoked = super::MAX_REVOKERS * (ENTRY + 80 + super::MAX_REVOKED * size_of::<super::Revoked>());
    known
        + kept
        + named
        + revoked
        + super::asking::bytes()
        + super::agents::LACKED * (ENTRY + 64)
        + super::memory::bytes()
}
