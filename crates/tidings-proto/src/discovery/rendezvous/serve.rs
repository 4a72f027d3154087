//! This node's own place in the index: being reached by two others, and saying so.
//!
//! Who has reached it, [`crate::discovery::reach`] knows. Two of different places are preferred; in a network that sits in one
//! place any two will do after a while.

use super::{Rendezvous, Timer};
use crate::discovery::Place;
use crate::discovery::advert::{self, ADVERT_LIFE, ATTESTED, Advert};
use crate::discovery::reach::Attestation;
use crate::identity::{Addr, RecordKey};
use crate::io::{Reply, Ticket};
use crate::layer::{Cx, Request, TimerKey};
use crate::records::chain::{Chain, MAX_STEPS};
use crate::records::sets::INDEX;
use crate::records::signed;
use crate::time::{Span, Time};
use crate::wire::Refresh;

/// How often it is looked whether others have reached this node, while too few have.
const LOOK: Span = Span::from_secs(1);
/// After so many looks any two will do.
const CHOOSY: u32 = 8;
/// How often a node looks whether there is room for it in the index: that it is full may be false, as it knows soon.
const FULL: Span = Span::from_secs(30);
/// An advert is refreshed when half its life is over.
const HALF: Span = Span(ADVERT_LIFE.0 / 2);

/// This node's part in the index.
#[derive(Debug, Default)]
pub(super) struct Serving {
    on: bool,
    /// Looks without two that have reached this node.
    looks: u32,
    own: Option<Own>,
}

impl Serving {
    /// Whether there is an advert of this node's.
    pub(super) fn has_own(&self) -> bool {
        self.own.is_some()
    }
}

/// An advert of this node's that is in the set.
#[derive(Debug)]
struct Own {
    place: Place,
    addrs: Vec<Addr>,
    chain: Chain,
    step: u16,
    issued: Time,
}

impl Rendezvous {
    pub(super) fn serve(&mut self, cx: &mut Cx<'_>, ticket: Ticket, on: bool) {
        match on {
            true if !self.serving.on => {
                self.serving.on = true;
                self.serving.looks = 0;
                cx.deadlines.set(TimerKey::Rendezvous(Timer::Serve), cx.now.mono + LOOK);
            }
            true => {}
            false => self.stop_serving(cx),
        }
        cx.reply(ticket, Reply::Done);
    }

    /// The advert is not renewed any more.
    pub(super) fn stop_serving(&mut self, cx: &mut Cx<'_>) {
        self.serving.on = false;
        self.serving.own = None;
        cx.deadlines.cancel(TimerKey::Rendezvous(Timer::Serve));
    }

    pub(super) fn readvertise(&mut self, cx: &mut Cx<'_>) {
        if self.serving.on {
            self.serving.looks = 0;
            cx.deadlines.set_no_later(TimerKey::Rendezvous(Timer::Serve), cx.now.mono + LOOK);
        }
    }

    /// Gets attested, gets in, stays in.
    pub(super) fn tend_advert(&mut self, cx: &mut Cx<'_>) {
        if !self.serving.on {
            return;
        }
        let now = cx.now.mono;
        let next = match cx.own_addrs.first().copied() {
            None => now + LOOK,
            Some(addr) => self.tend_advert_at(cx, addr),
        };
        cx.deadlines.set(TimerKey::Rendezvous(Timer::Serve), next);
    }

    fn tend_advert_at(&mut self, cx: &mut Cx<'_>, addr: Addr) -> Time {
        let now = cx.now.mono;
        let place = Place::of(&cx.me, &addr);
        let key = RecordKey::from(cx.me);
        if let Some(own) = &mut self.serving.own {
            let there = cx.records.get(INDEX, &key).is_some_and(|r| r.from.is_none());
            if there && own.place == place && own.addrs == cx.own_addrs && own.step < MAX_STEPS {
                let due = own.issued + HALF.times(u64::from(own.step) + 1);
                if due > now {
                    return due;
                }
                own.step += 1;
                if let Some(value) = own.chain.value(own.step) {
                    cx.request(Request::RefreshRecord(INDEX, key, Refresh { step: own.step, value }));
                }
                return own.issued + HALF.times(u64::from(own.step) + 1);
            }
            self.serving.own = None;
        }
        let Some(attested) = self.attested(cx, &addr) else { return now + LOOK };
        if !self.index.has_room(&cx.me, place, advert::SLOTS.into(), cx.now.wall) {
            return now + FULL;
        }
        let mut secret = [0; 32];
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&self.rng.next_u64().to_le_bytes());
        }
        let chain = Chain::new(&key, &secret);
        let version = cx.records.get(INDEX, &key).map_or(cx.now.wall.0, |r| cx.now.wall.0.max(r.claim.version + 1));
        let said = signed::Statement { version, issued: cx.now.wall, life: ADVERT_LIFE, anchor: chain.anchor() };
        let record = Advert { node: cx.own_address(), attested }.sign(&self.network, &said, INDEX, cx.crypto);
        cx.request(Request::PutRecord(INDEX, record));
        self.serving.own = Some(Own { place, addrs: cx.own_addrs.to_vec(), chain, step: 0, issued: now });
        now + HALF
    }

    /// Two attestations of this node's address: of different places, or after a while of any.
    fn attested(&mut self, cx: &Cx<'_>, addr: &Addr) -> Option<Vec<Attestation>> {
        let any = self.serving.looks >= CHOOSY;
        self.serving.looks = self.serving.looks.saturating_add(1);
        let mut by = cx.attestations.of(cx.now.wall, addr, cx.own_addrs, cx.topology, any);
        by.truncate(ATTESTED);
        (by.len() == ATTESTED).then_some(by)
    }
}
