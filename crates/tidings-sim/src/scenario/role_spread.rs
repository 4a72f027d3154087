//! How changes of roles get around: when a node became something else, and when everybody else had heard it say so.

use std::collections::{BTreeMap, BTreeSet};

use tidings_proto::identity::NodeId;
use tidings_proto::io::Event;
use tidings_proto::roles::{PeerRole, RoleSource};
use tidings_proto::time::Time;

use super::stage::Stage;
use crate::figures::{Measured, Worst};

/// What counts as never.
const NEVER_MS: f64 = 60_000.0;

struct Change {
    at: Time,
    by: u32,
    role: PeerRole,
    heard: BTreeSet<u32>,
    last: Time,
}

/// The books.
#[derive(Default)]
pub(super) struct Spread {
    changes: Vec<Change>,
    /// Of each node the last of these.
    latest: BTreeMap<NodeId, usize>,
    /// Announcements until the middle of the traffic.
    before: Option<(Time, u64)>,
    first: Option<Time>,
}

fn announced(s: &Stage) -> u64 {
    s.alive().into_iter().filter_map(|n| s.net.node(n)).map(|n| n.counters().roles_announced).sum()
}

impl Spread {
    /// Something happened to node `n`.
    pub(super) fn hear(&mut self, s: &Stage, at: Time, n: u32, event: &Event) {
        let (node, role) = match event {
            Event::LocalRoleChanged { role, .. } => {
                self.latest.insert(s.net.id(n), self.changes.len());
                self.changes.push(Change { at, by: n, role: *role, heard: BTreeSet::new(), last: at });
                if *role == PeerRole::Relay {
                    self.first.get_or_insert(at);
                }
                return;
            }
            Event::RolePromoted { node, source: RoleSource::Claimed, .. } => (node, PeerRole::Relay),
            Event::RoleDemoted { node, source: RoleSource::Claimed, .. } => (node, PeerRole::Peer),
            _ => return,
        };
        if let Some(c) = self.latest.get(node).and_then(|at| self.changes.get_mut(*at)).filter(|c| c.role == role) {
            c.heard.insert(n);
            c.last = at;
        }
    }

    /// The beginning is over: what is announced from here on is the steady state.
    pub(super) fn settled(&mut self, s: &Stage) {
        self.before = Some((s.now(), announced(s)));
    }

    /// `need`: when somebody first needed a relay.
    pub(super) fn measure(&self, s: &Stage, need: Option<Time>, out: &mut Measured) {
        let up = s.alive();
        let all = |c: &&Change| up.contains(&c.by) && s.now().since(c.at).0 > 5_000_000;
        let took = |c: &Change| match up.iter().all(|n| *n == c.by || c.heard.contains(n)) {
            true => c.last.since(c.at).0 as f64 / 1_000.0,
            false => NEVER_MS,
        };
        out.spread("spread_ms", self.changes.iter().filter(all).map(took).collect());
        let relays = |f: &dyn Fn(&tidings_proto::Node, NodeId) -> bool| {
            up.iter().filter_map(|n| Some((s.net.node(*n)?, s.net.id(*n)))).filter(|(n, id)| f(n, *id)).count() as f64
        };
        out.value("relays_by_role", relays(&|n, id| n.role_row(&id).effective == PeerRole::Relay), Worst::Largest);
        let promoted = need.zip(self.first).map_or(f64::NAN, |(a, b)| b.since(a).0 as f64 / 1e6);
        out.value("time_to_first_promotion_s", promoted, Worst::Largest);
        if let Some((since, before)) = self.before {
            let hours = s.now().since(since).0 as f64 / 3.6e9;
            let more = (announced(s).saturating_sub(before)) as f64;
            out.value("announcements_per_node_hour", more / hours / up.len().max(1) as f64, Worst::Largest);
        }
        // How much of what is claimed somebody else can believe.
        let (mut believed, mut claims) = (0u64, 0u64);
        for n in up.iter().filter_map(|n| s.net.node(*n)) {
            for id in up.iter().map(|n| s.net.id(*n)).filter(|id| *id != n.id()) {
                let row = n.role_row(&id);
                claims += u64::from(row.claimed == Some(PeerRole::Relay));
                believed += u64::from(row.claimed == Some(PeerRole::Relay) && row.effective == PeerRole::Relay);
            }
        }
        out.value("claims_believed", believed as f64 / claims.max(1) as f64, Worst::Smallest);
    }
}
