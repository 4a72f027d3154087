//! Look-ups: two holders are asked, more if they do not agree.

use bytes::Bytes;

use super::calls::What;
use super::register::STALE;
use super::{NEAR, Rendezvous, Timer};
use crate::discovery::admission::Standing;
use crate::discovery::index::{HOLDERS, WHOLE};
use crate::discovery::{How, Located, Search, Whereabouts, proven, shard_id};
use crate::identity::{AgentId, NodeId, PeerAddr};
use crate::io::{CommandError, Reply, Ticket};
use crate::layer::{Cx, TimerKey};
use crate::time::{Span, Time};
use crate::wire::{Holds, LookUp, MAX_HAVE, MAX_HELD, MAX_WHEREABOUTS, Message};

/// Look-ups of this node at once.
const MAX_LOOKING: usize = 256;
/// Holders asked at first: two, so that one alone cannot say what it likes.
const FIRST: usize = 2;
/// Holders that answer asked at most, and all of them.
const MOST: usize = HOLDERS + 2;
const ALL: usize = 4 * HOLDERS;
/// After so long without an answer one more is asked: somewhat more than two of the longest round trips there are, or of
/// those known to a node that is linked (a guess; who is gone is noticed after 1.5 s).
const HEDGE: Span = Span::from_millis(650);
const HEDGE_LINKED: Span = Span::from_millis(30);
/// How long a look-up may take.
const PATIENCE: Span = Span::from_secs(10);

/// Bytes of all look-ups at most: every answer full.
pub(super) const BYTES: usize = MAX_LOOKING * MOST * MAX_HELD * (MAX_WHEREABOUTS + 128);

#[derive(Clone, Debug)]
enum State {
    /// For an answer, as likely to come as this.
    Waiting(u32),
    Answered(Vec<Whereabouts>),
    Failed,
}

/// Somebody to ask.
#[derive(Clone, Debug)]
struct Candidate {
    node: PeerAddr,
    /// How likely it is to answer.
    weight: u32,
    trusted: bool,
}

/// A look-up.
#[derive(Debug)]
pub(super) struct Looking {
    ticket: Ticket,
    agent: AgentId,
    /// Whom to ask, in that order.
    candidates: Vec<Candidate>,
    next: usize,
    asked: Vec<(NodeId, State)>,
    /// The first ones did not agree.
    widened: bool,
    hedges: usize,
    began: Time,
    /// Who answered last, and whether it was linked when it was asked.
    last: Option<(NodeId, bool)>,
    linked: Vec<NodeId>,
}

impl Looking {
    pub(super) fn give_up(self, cx: &mut Cx<'_>) {
        cx.reply(self.ticket, Reply::Refused(CommandError::Leaving));
    }

    fn waiting(&self) -> usize {
        self.asked.iter().filter(|(_, s)| matches!(s, State::Waiting(_))).count()
    }

    /// Answers that are there or may be expected.
    fn expected(&self) -> u32 {
        let of = |s: &State| match s {
            State::Waiting(weight) => *weight,
            State::Answered(_) => WHOLE,
            State::Failed => 0,
        };
        self.asked.iter().map(|(_, s)| of(s)).sum()
    }

    /// Somebody who was to be there is not, or is slow: whom this node trusts is asked next.
    fn rather_trusted(&mut self) {
        let rest = self.candidates.get_mut(self.next..).unwrap_or_default();
        if let Some(at) = rest.iter().position(|c| c.trusted) {
            rest[..=at].rotate_right(1);
        }
    }

    fn answers(&self) -> impl Iterator<Item = &Vec<Whereabouts>> {
        self.asked.iter().filter_map(|(_, s)| if let State::Answered(a) = s { Some(a) } else { None })
    }

    /// The latest statement of each node in all answers, the latest first.
    fn best(&self) -> Vec<Whereabouts> {
        let mut out: Vec<Whereabouts> = Vec::new();
        for w in self.answers().flatten() {
            match out.iter_mut().find(|o| o.node() == w.node()) {
                Some(o) if o.issued_ms() < w.issued_ms() => *o = w.clone(),
                Some(_) => {}
                None => out.push(w.clone()),
            }
        }
        out.sort_by_key(|w| (std::cmp::Reverse(w.issued_ms()), w.node()));
        out
    }

    /// Whether two say the same, nobody anything later, and it is as new as it should be.
    fn is_settled(&self, now_ms: u64) -> bool {
        let best = self.best();
        let Some(first) = best.first() else { return false };
        let stale = now_ms.saturating_sub(first.issued_ms()) > STALE.as_millis();
        let same = |a: &&Vec<Whereabouts>| {
            let mut a: Vec<&Whereabouts> = a.iter().collect();
            a.sort_by_key(|w| (std::cmp::Reverse(w.issued_ms()), w.node()));
            a.into_iter().eq(best.iter())
        };
        !stale && self.answers().filter(same).count() >= FIRST
    }
}

impl Rendezvous {
    pub(super) fn look_up(&mut self, cx: &mut Cx<'_>, ticket: Ticket, agent: AgentId) {
        if self.looking.len() >= MAX_LOOKING {
            return cx.reply(ticket, Reply::Refused(CommandError::TooManyQueries { limit: MAX_LOOKING }));
        }
        let shard = shard_id(&agent.0);
        let trusted = |n: &PeerAddr| self.index.standing(&n.id).is_some_and(Standing::is_trusted);
        let candidate = |n: &PeerAddr, weight| Candidate { node: n.clone(), weight, trusted: trusted(n) };
        let near: Vec<Candidate> =
            self.index.weighed(shard, NEAR).into_iter().map(|(n, weight)| candidate(n, weight)).collect();
        let besides: Vec<Candidate> =
            self.index.trusted_nodes(shard, HOLDERS).into_iter().map(|n| candidate(n, WHOLE)).collect();
        let (mut first, mut sum) = (0, 0);
        while sum < HOLDERS as u32 * WHOLE && first < near.len() {
            sum += near[first].weight;
            first += 1;
        }
        let here = near.iter().take(first).chain(&besides).any(|c| c.node.id == cx.me);
        let (mut holders, mut others): (Vec<_>, Vec<_>) = (near, Vec::new());
        if holders.len() > first {
            others = holders.split_off(first);
        }
        // Any order will do among the holders, and each asker's is another; who is linked answers sooner, who failed later.
        let all = holders.len();
        self.rng.sample(&mut holders, all);
        holders.sort_by_key(|c| {
            (!cx.links().is_direct(&c.node.id), !cx.topology.is_ready(&c.node.id, cx.now.mono), !c.trusted)
        });
        let ids: Vec<NodeId> = holders.iter().chain(&others).map(|c| c.node.id).collect();
        holders.extend(others);
        holders.extend(besides.into_iter().filter(|c| !ids.contains(&c.node.id)));
        holders.retain(|c| c.node.id != cx.me);
        let mut asked = Vec::new();
        if here {
            asked.push((cx.me, State::Answered(self.own_shelf(cx, &agent.0))));
        }
        let began = cx.now.mono;
        let look = Looking {
            ticket,
            agent,
            candidates: holders,
            next: 0,
            asked,
            widened: false,
            hedges: 0,
            began,
            last: None,
            linked: Vec::new(),
        };
        let id = self.rng.next_u64();
        self.looking.insert(id, look);
        self.look_on(cx, id);
    }

    /// Asks whom there is to ask; ends when there is enough, or nobody left.
    pub(super) fn look_on(&mut self, cx: &mut Cx<'_>, id: u64) {
        let now = cx.now.mono;
        loop {
            let Some(l) = self.looking.get_mut(&id) else { return };
            if l.is_settled(cx.now.wall.0) || now.since(l.began) >= PATIENCE {
                return self.looked(cx, id);
            }
            let (answers, waiting) = (l.answers().count(), l.waiting());
            // One empty or stale answer is enough to ask them all.
            let poor = |a: &Vec<Whereabouts>| {
                a.iter().all(|w| cx.now.wall.0.saturating_sub(w.issued_ms()) > STALE.as_millis())
            };
            l.widened |= l.answers().any(poor) || answers >= FIRST;
            let want = if l.widened { HOLDERS } else { FIRST } + l.hedges;
            let may = l.asked.len() < ALL && answers + waiting < MOST && l.next < l.candidates.len();
            if l.expected() + WHOLE / 2 <= want as u32 * WHOLE && may {
                let to = l.candidates[l.next].clone();
                l.next += 1;
                self.ask_holder(cx, id, &to);
                continue;
            }
            if waiting == 0 {
                // Nobody is left to ask.
                return self.looked(cx, id);
            }
            break;
        }
        self.arm_hedge(cx, id);
    }

    fn ask_holder(&mut self, cx: &mut Cx<'_>, id: u64, c: &Candidate) {
        let to = &c.node;
        let Some(l) = self.looking.get(&id) else { return };
        let subject = l.agent.0;
        // Those alone whose bytes are here: a prekey is wanted of them, and others may ask.
        let have = cx.certificates.nodes(&l.agent, cx.now.wall).into_iter().map(|(_, c)| c);
        let have = have.filter(|c| cx.certificates.bytes(*c, cx.now.wall).is_some()).take(MAX_HAVE).collect();
        let question = self.rng.next_u64();
        let frame = Message::from(LookUp { id: question, subject, have }).frame();
        cx.counters.look_ups_asked += 1;
        let linked = cx.links().is_direct(&to.id);
        let asked = self.call(cx, to, question, What::LookUp(id), frame);
        if let Some(l) = self.looking.get_mut(&id) {
            l.linked.extend(linked.then_some(to.id));
            l.asked.push((to.id, if asked { State::Waiting(c.weight) } else { State::Failed }));
        }
    }

    /// When the next holder is asked although nobody has failed.
    fn arm_hedge(&mut self, cx: &mut Cx<'_>, id: u64) {
        let Some(l) = self.looking.get_mut(&id) else { return };
        let linked = |(peer, state): &(NodeId, State)| match state {
            State::Waiting(_) if cx.links.is_direct(peer) => cx.topology.rtt(peer),
            State::Waiting(_) => Some(Span(u64::MAX)),
            _ => None,
        };
        let slowest = l.asked.iter().filter_map(linked).max();
        let wait = match slowest {
            Some(rtt) if rtt < HEDGE => (rtt + rtt + HEDGE_LINKED).min(HEDGE),
            _ => HEDGE,
        };
        let timer = TimerKey::Rendezvous(Timer::Look(id));
        if !cx.deadlines.armed(&timer) {
            cx.deadlines.set(timer, cx.now.mono + wait);
        }
    }

    /// A look-up takes long.
    pub(super) fn hedge(&mut self, cx: &mut Cx<'_>, id: u64) {
        if let Some(l) = self.looking.get_mut(&id) {
            l.hedges += 1;
            l.rather_trusted();
            cx.counters.look_ups_hedged += 1;
        }
        self.look_on(cx, id);
    }

    pub(super) fn look_up_failed(&mut self, cx: &mut Cx<'_>, id: u64, node: NodeId) {
        if let Some(l) = self.looking.get_mut(&id)
            && let Some((_, state)) = l.asked.iter_mut().find(|(n, _)| *n == node)
        {
            *state = State::Failed;
            l.rather_trusted();
        }
        self.look_on(cx, id);
    }

    pub(super) fn on_holds(&mut self, cx: &mut Cx<'_>, from: NodeId, m: Holds, payload: Bytes) {
        let what = self.answered(cx, from, m.id);
        let statements = m.statements.into_iter().map(|b| Bytes::from(Vec::from(b)));
        let id = match what {
            Some(What::LookUp(id)) => id,
            Some(What::Members(topic)) => return self.take_members(cx, topic, statements),
            _ => return,
        };
        let Some(agent) = self.looking.get(&id).map(|l| l.agent) else { return };
        admit(cx, payload);
        let mut good = Vec::new();
        for w in statements.filter_map(|b| Whereabouts::parse(b).ok()) {
            let known = self.looking.get(&id).is_some_and(|l| l.answers().flatten().any(|o| *o == w));
            let holds = w.agent() == Some(agent)
                && (known || (w.check(cx.now.wall, &self.key, cx.crypto).is_ok() && proven(cx, &w, &Bytes::new())));
            match holds {
                true => good.push(w),
                false => cx.counters.answers_forged += 1,
            }
        }
        if let Some(l) = self.looking.get_mut(&id)
            && let Some((_, state)) = l.asked.iter_mut().find(|(n, _)| *n == from)
        {
            *state = State::Answered(good);
            l.last = Some((from, l.linked.contains(&from)));
        }
        self.look_on(cx, id);
    }

    /// A look-up is over.
    fn looked(&mut self, cx: &mut Cx<'_>, id: u64) {
        let Some(l) = self.looking.remove(&id) else { return };
        cx.deadlines.cancel(TimerKey::Rendezvous(Timer::Look(id)));
        let best = l.best();
        let good = best.iter().filter(|w| !w.is_withdrawn());
        let found: Vec<Located> = good.filter_map(|w| Located::of(w, How::Rendezvous, cx.now.wall)).collect();
        cx.counters.look_ups_found += u64::from(!found.is_empty());
        let asked = l.asked.iter().filter(|(n, _)| *n != cx.me).count() as u32;
        let dialed = asked - l.linked.len() as u32;
        cx.reply(l.ticket, Reply::Located(Search { found, asked, dialed, settled_by: l.last }));
    }
}

/// Takes in the certificates of an answer; what is wrong with one shows when it is needed.
fn admit(cx: &mut Cx<'_>, mut payload: Bytes) {
    for _ in 0..MAX_HAVE {
        let Some(len) = payload.first_chunk::<2>().map(|l| usize::from(u16::from_le_bytes(*l))) else { return };
        let _ = payload.split_to(2);
        if len > payload.len() {
            return;
        }
        let certificate = Bytes::copy_from_slice(&payload.split_to(len));
        let _ = cx.certificates.admit(&certificate, cx.now.wall, cx.crypto);
    }
}
