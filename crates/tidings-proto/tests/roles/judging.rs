//! By what was seen.

use std::collections::BTreeSet;

use super::*;

fn judge() -> (RoleManager, Topology) {
    (RoleManager::new(id(100)), Topology::default())
}

fn work(m: &mut RoleManager, node: NodeId, messages: u64, mib: u64, seconds: u64) {
    m.record_relays(node, messages, at(seconds));
    m.record_bytes_relayed(node, mib * MIB, at(seconds));
}

#[test]
fn five_relays_promote_nobody() {
    let (mut m, mut t) = judge();
    work(&mut m, id(1), 5, 0, 0);
    assert!(m.score(&id(1), at(0)) >= PROMOTE_AT);
    assert_eq!(m.evaluate(&mut t, at(0)), []);
}

#[test]
fn five_relays_and_fifty_mebibytes_do() {
    let (mut m, mut t) = judge();
    work(&mut m, id(1), 5, 50, 0);
    let score = m.score(&id(1), at(0));
    assert_eq!(m.evaluate(&mut t, at(0)), [RoleAction::Promoted { node_id: id(1), score }]);
    assert_eq!(t.role(&id(1)), PeerRole::Relay);
}

#[test]
fn ten_relays_do() {
    let (mut m, mut t) = judge();
    for _ in 0..10 {
        m.record_relay(id(1), at(0));
    }
    assert_eq!(m.evaluate(&mut t, at(0)).len(), 1);
}

#[test]
fn ten_within_half_an_hour_do_and_ten_in_a_week_do_not() {
    let (mut m, mut t) = judge();
    for n in 0..10 {
        m.record_relay(id(1), at(n * 180));
        m.record_relay(id(2), at(n * 60_000));
    }
    assert!(matches!(m.evaluate(&mut t, at(540_000))[..], []), "long ago");
    let (mut m, mut t) = judge();
    for n in 0..10 {
        m.record_relay(id(1), at(n * 180));
    }
    assert_eq!(m.evaluate(&mut t, at(1_620)).len(), 1);
}

#[test]
fn much_work_at_a_low_score_promotes_nobody() {
    let (mut m, mut t) = judge();
    m.record_bytes_relayed(id(1), 12 * MIB, at(0));
    m.record_bytes_received(id(1), 100_000 * MIB, at(0));
    assert!(m.score(&id(1), at(0)) < PROMOTE_AT);
    assert_eq!(m.evaluate(&mut t, at(0)), []);
}

#[test]
fn it_is_due_at_once_when_work_first_suffices() {
    let (mut m, _) = judge();
    m.record_relays(id(1), 9, at(0));
    assert!(!m.is_due());
    m.record_relay(id(1), at(0));
    assert!(m.is_due());
}

#[test]
fn a_relay_between_the_two_thresholds_stays_one() {
    let (mut m, mut t) = judge();
    work(&mut m, id(1), 10, 0, 0);
    m.evaluate(&mut t, at(0));
    let hours = 30;
    let score = m.score(&id(1), at(hours * 3_600));
    assert!((DEMOTE_BELOW..PROMOTE_AT).contains(&score), "{score}");
    assert_eq!(m.evaluate(&mut t, at(hours * 3_600)), []);
    assert_eq!(t.role(&id(1)), PeerRole::Relay);
}

#[test]
fn an_idle_relay_is_one_no_longer() {
    let (mut m, mut t) = judge();
    work(&mut m, id(1), 10, 0, 0);
    m.evaluate(&mut t, at(0));
    let later = at(50 * 3_600);
    let score = m.score(&id(1), later);
    assert!(score < DEMOTE_BELOW);
    assert_eq!(m.evaluate(&mut t, later), [RoleAction::Demoted { node_id: id(1), score }]);
    assert_eq!(t.role(&id(1)), PeerRole::Peer);
}

#[test]
fn a_failing_relay_is_one_no_longer_whatever_its_score() {
    let (mut m, mut t) = judge();
    work(&mut m, id(1), 1_000, 100, 0);
    m.evaluate(&mut t, at(0));
    for _ in 0..10 {
        m.record_relay_failure(id(1), at(1));
    }
    assert!(!m.is_due(), "forty of fifty succeeded");
    m.record_relay_failure(id(1), at(1));
    assert!(m.is_due());
    assert!(matches!(m.evaluate(&mut t, at(1))[..], [RoleAction::Demoted { .. }]));
}

#[test]
fn who_was_demoted_has_to_work_anew() {
    let (mut m, mut t) = judge();
    work(&mut m, id(1), 1_000, 100, 0);
    m.evaluate(&mut t, at(0));
    for _ in 0..11 {
        m.record_relay_failure(id(1), at(1));
    }
    m.evaluate(&mut t, at(1));
    m.record_relays(id(1), 9, at(2));
    assert_eq!(m.evaluate(&mut t, at(2)), [], "its old score alone");
    m.record_relay(id(1), at(3));
    assert!(matches!(m.evaluate(&mut t, at(3))[..], [RoleAction::Promoted { .. }]));
}

#[test]
fn our_own_role_is_told_as_such() {
    let (mut m, mut t) = judge();
    work(&mut m, id(100), 10, 0, 0);
    let did = m.evaluate(&mut t, at(0));
    assert!(did.contains(&RoleAction::LocalRoleChanged { new_role: PeerRole::Relay }), "{did:?}");
    assert_eq!(m.own_role(), PeerRole::Relay);
}

#[test]
fn a_network_wants_one_relay_to_thirty_two_nodes_and_eight_at_least() {
    assert_eq!([1, 12, 256, 257, 320, 321, 1_000, 10_000, 100_000].map(wanted), [8, 8, 8, 9, 10, 11, 53, 615, 800]);
}

#[test]
fn who_sees_enough_relays_does_not_become_another() {
    let (mut m, mut t) = judge();
    m.set_network_size(100);
    for n in 1..=8 {
        work(&mut m, id(n), 10, 0, 0);
    }
    m.evaluate(&mut t, at(0));
    work(&mut m, id(100), 10, 0, 1);
    assert_eq!(m.evaluate(&mut t, at(1)), []);
    m.record_relay(id(100), at(1));
    assert!(!m.is_due(), "it would be judged at each message");
    // One of them fails: there is a place.
    for _ in 0..11 {
        m.record_relay_failure(id(1), at(2));
    }
    m.evaluate(&mut t, at(2));
    m.evaluate(&mut t, at(3));
    assert_eq!(m.own_role(), PeerRole::Relay);
}

#[test]
fn relays_that_only_say_so_count_if_they_are_in_the_index() {
    let (mut m, mut t) = judge();
    m.set_network_size(100);
    m.set_counted((1..=8).map(id).chain([id(100)]).collect());
    work(&mut m, id(100), 10, 0, 1);
    assert_eq!(m.evaluate(&mut t, at(1)), []);
    m.set_counted((1..=7).map(id).chain([id(100)]).collect());
    assert_eq!(m.evaluate(&mut t, at(2)).len(), 2);
}

#[test]
fn liars_that_do_not_lay_it_down_keep_their_share_of_the_others_from_it() {
    let liars: BTreeSet<NodeId> = (1..=60).map(id).collect();
    let mut taken = 0;
    for n in 100..200 {
        let (mut m, mut t) = (RoleManager::new(id(n)), Topology::default());
        m.set_network_size(640);
        m.set_counted(liars.clone());
        work(&mut m, id(n), 10, 0, 0);
        m.evaluate(&mut t, at(0));
        m.evaluate(&mut t, at(179));
        assert_eq!(m.own_role(), PeerRole::Peer, "those that keep to the rule may not have laid it down yet");
        m.evaluate(&mut t, at(180));
        taken += usize::from(m.own_role() == PeerRole::Relay);
    }
    // A third of sixty are wanted, and a third of a hundred have lower hashes than the third of the liars that has the lowest.
    assert!((15..55).contains(&taken), "{taken}");
}

#[test]
fn of_too_many_relays_some_lay_it_down_and_enough_stay() {
    let all: Vec<NodeId> = (1..=20).map(id).collect();
    let mut stay = 0;
    for me in &all {
        let (mut m, mut t) = (RoleManager::new(*me), Topology::default());
        for n in &all {
            work(&mut m, *n, 1_000, 0, 0);
        }
        m.evaluate(&mut t, at(0));
        m.set_network_size(200);
        assert_eq!(m.own_role(), PeerRole::Relay);
        m.evaluate(&mut t, at(10));
        assert_eq!(m.own_role(), PeerRole::Relay, "not before it was one for a while");
        m.evaluate(&mut t, at(700));
        stay += usize::from(m.own_role() == PeerRole::Relay);
    }
    assert_eq!(stay, wanted(200));
}

#[test]
fn what_is_kept_is_bounded_and_the_least_worth_goes_first() {
    let (mut m, mut t) = judge();
    work(&mut m, id(1), 50, 0, 0);
    for n in 0..MAX_SCORED as u32 + 100 {
        let mut node = [9; 32];
        node[..4].copy_from_slice(&n.to_be_bytes());
        m.record_relay_failure(NodeId(node), at(1));
    }
    assert_eq!(m.get_all_scores(&t, at(1)).len(), MAX_SCORED);
    assert_eq!(m.get_all_scores(&t, at(1))[0].0, id(1));
    assert_eq!(m.evaluate(&mut t, at(1)).len(), 1);
}

#[test]
fn a_snapshot_says_all_that_is_known() {
    let (mut m, mut t) = judge();
    assert_eq!(m.get_metrics(&id(1), &t, at(0)), None);
    work(&mut m, id(1), 9, 100, 0);
    m.record_relay_failure(id(1), at(0));
    m.record_bytes_received(id(1), 20 * MIB, at(0));
    m.record_uptime(id(1), 1_800_000);
    m.evaluate(&mut t, at(0));
    let got = m.get_metrics(&id(1), &t, at(0)).unwrap();
    assert_eq!((got.relay_count, got.failures, got.role), (9, 1, PeerRole::Relay));
    assert_eq!((got.success_rate, got.ratio, got.uptime_hours), (0.9, 5.0, 0.5));
    assert_eq!((got.first_seen, got.last_activity), (Some(at(0)), Some(at(0))));
    assert_eq!(got.score, 9.0 + 4.5 + 0.25 + 20.0 + 7.5);
    assert_eq!(got.score, got.terms.score());
}
