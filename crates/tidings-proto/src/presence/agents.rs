//! Which agents are here, counted by their nodes.
//!
//! Anybody can say that it speaks for an agent. So once a node has proven it, only those that prove it count: the agent is gone
//! with the last of them, whoever else goes on claiming to be it.

use std::collections::BTreeMap;

use crate::identity::AgentId;
use crate::layer::Cx;

#[derive(Clone, Copy, Debug, Default)]
struct Here {
    /// Nodes that say they speak for it, and those among them that prove it.
    all: u32,
    proven: u32,
    /// Whether it was told that the agent is here.
    told: bool,
}

/// The agents of the roster's nodes that are here; nodes that name none count each for itself.
#[derive(Debug, Default)]
pub(super) struct Speaking(BTreeMap<AgentId, Here>);

impl Speaking {
    /// A node of this agent comes. Returns whether the agent comes with it.
    pub(super) fn comes(&mut self, cx: &Cx<'_>, agent: Option<AgentId>, proven: bool) -> bool {
        let Some(agent) = agent else { return true };
        let here = self.0.entry(agent).or_default();
        here.all += 1;
        here.proven += u32::from(proven);
        !std::mem::replace(&mut here.told, true) && !is_own(cx, &agent)
    }

    /// A node of this agent that is here proves it, or no longer. Returns whether the agent comes with it.
    pub(super) fn proves(&mut self, cx: &Cx<'_>, agent: Option<AgentId>, before: bool, now: bool) -> bool {
        let Some(agent) = agent else { return false };
        let Some(here) = self.0.get_mut(&agent) else { return false };
        here.proven = (here.proven + u32::from(now)).saturating_sub(u32::from(before));
        now && !std::mem::replace(&mut here.told, true) && !is_own(cx, &agent)
    }

    /// A node of this agent goes. Returns whether the agent goes with it.
    pub(super) fn goes(&mut self, cx: &Cx<'_>, agent: Option<AgentId>, proven: bool) -> bool {
        let Some(agent) = agent else { return true };
        let Some(here) = self.0.get_mut(&agent) else { return true };
        let told = here.told;
        here.all = here.all.saturating_sub(1);
        here.proven = here.proven.saturating_sub(u32::from(proven));
        here.told = here.proven > 0 || (told && !proven && here.all > 0);
        let stays = here.told;
        if here.all == 0 {
            self.0.remove(&agent);
        }
        told && !stays && !is_own(cx, &agent)
    }
}

/// Whether this node speaks for the agent itself: then it is here as long as the node runs.
fn is_own(cx: &Cx<'_>, agent: &AgentId) -> bool {
    cx.agents.own().is_some() && AgentId::own(cx.crypto) == Some(*agent)
}
