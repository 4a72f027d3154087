//! Links that nobody needs: closed after a while, and sooner where there is no room.

use super::{Link, Links, SLACK, State};
use crate::counters::Counters;
use crate::identity::NodeId;
use crate::io::Output;
use crate::time::{Span, Time};
use crate::wire::LinkRefusal;

/// A link nobody claims and nothing arrives on is closed after this (a guess: longer than any handshake takes).
pub(super) const UNCLAIMED: Span = Span::from_secs(20);
/// Where there are as many links as allowed, the one of these that has been silent longest makes room for a newcomer, if it
/// has been for so long: what was said on it is answered by then (a guess). It can be dialed again.
const MAKES_ROOM: Span = Span::from_secs(2);

impl Links {
    /// Whether there is room for one more. If not, the link that nobody here claims and that has been silent longest is closed, and so
    /// makes some: while it closes there may be a few more than allowed.
    pub(super) fn has_room(&mut self, out: &mut impl Extend<Output>, counters: &mut Counters) -> bool {
        if self.map.len() < self.max {
            return true;
        }
        let open = self.map.values().filter(|l| l.state != State::Closing).count();
        if self.map.len() >= self.max + SLACK {
            // Those that close take their time.
            return false;
        }
        if open < self.max {
            return true;
        }
        let now = self.heard;
        let idle = |l: &Link| l.state == State::Up && l.claims.is_empty() && now.since(l.last_heard) >= MAKES_ROOM;
        let longest = self.map.iter().filter(|(_, l)| idle(l)).min_by_key(|(_, l)| l.last_heard).map(|(p, _)| *p);
        if let Some(peer) = longest {
            self.close(out, peer, LinkRefusal::Closed);
            counters.links_reaped += 1;
        }
        longest.is_some()
    }

    /// Closes links that neither end has claimed for a while.
    pub(crate) fn reap(&mut self, out: &mut impl Extend<Output>, counters: &mut Counters, now: Time) {
        let idle: Vec<NodeId> = self
            .map
            .iter()
            .filter(|(_, l)| l.state == State::Up && l.claims.is_empty() && now.since(l.last_heard) > UNCLAIMED)
            .map(|(p, _)| *p)
            .collect();
        for peer in idle {
            self.close(out, peer, LinkRefusal::Closed);
            counters.links_reaped += 1;
        }
    }
}
