//! What others say of themselves, and what is believed of it.

use super::*;

fn judge() -> (RoleManager, Topology) {
    (RoleManager::new(id(100)), Topology::default())
}

fn take(m: &mut RoleManager, t: &mut Topology, a: RoleChangeAnnounce, s: u64) -> Result<Handled, AnnounceError> {
    m.handle_role_announce(a, t, now(s))
}

#[test]
fn a_claim_is_kept_apart_and_makes_nobody_a_relay_or_a_live_peer() {
    let (mut m, mut t) = judge();
    let got = take(&mut m, &mut t, announce(&Fake::new(1), 1, 900.0, &[(&Fake::new(2), 500)]), 0);
    assert_eq!(got, Ok(Handled::Applied(PeerRole::Peer)));
    assert_eq!(m.believe(&mut t, at(0)), []);
    let row = t.role_row(&id(1));
    assert_eq!((row.claimed, row.effective, row.merit), (Some(PeerRole::Relay), PeerRole::Peer, 0.0));
    assert!(t.is_empty() && t.addrs(&id(1)).is_empty());
    assert_eq!(m.score(&id(1), at(0)), 0.0);
}

#[test]
fn a_claim_is_believed_when_one_that_worked_for_us_speaks_for_it() {
    let (mut m, mut t) = judge();
    m.record_relays(id(2), 30, at(0));
    take(&mut m, &mut t, announce(&Fake::new(1), 1, 20.0, &[(&Fake::new(2), 12)]), 0).unwrap();
    assert_eq!(m.believe(&mut t, at(0)), [(id(1), PeerRole::Relay)]);
    assert_eq!(t.role_row(&id(1)).merit, 12.0);
}

#[test]
fn no_more_of_it_is_believed_than_is_claimed() {
    let (mut m, mut t) = judge();
    m.record_relays(id(2), 300, at(0));
    take(&mut m, &mut t, announce(&Fake::new(1), 1, 20.0, &[(&Fake::new(2), 200)]), 0).unwrap();
    m.believe(&mut t, at(0));
    assert_eq!(t.role_row(&id(1)).merit, 20.0);
}

#[test]
fn what_was_seen_goes_before_what_is_said() {
    let (mut m, mut t) = judge();
    m.record_relays(id(2), 30, at(0));
    for _ in 0..10 {
        m.record_relay_failure(id(1), at(0));
    }
    take(&mut m, &mut t, announce(&Fake::new(1), 1, 20.0, &[(&Fake::new(2), 12)]), 0).unwrap();
    m.believe(&mut t, at(0));
    assert_eq!(t.role(&id(1)), PeerRole::Peer);
}

#[test]
fn one_that_fails_us_speaks_for_nobody() {
    let (mut m, mut t) = judge();
    m.record_relays(id(2), 30, at(0));
    for _ in 0..20 {
        m.record_relay_failure(id(2), at(0));
    }
    take(&mut m, &mut t, announce(&Fake::new(1), 1, 20.0, &[(&Fake::new(2), 12)]), 0).unwrap();
    assert_eq!(m.believe(&mut t, at(0)), []);
}

#[test]
fn a_word_is_worth_less_the_older_it_is() {
    let (mut m, mut t) = judge();
    m.record_relays(id(2), 300, at(0));
    take(&mut m, &mut t, announce(&Fake::new(1), 1, 20.0, &[(&Fake::new(2), 12)]), 0).unwrap();
    m.believe(&mut t, at(3_600));
    let merit = t.role_row(&id(1)).merit;
    assert!((merit - 12.0 * (-0.05f64).exp()).abs() < 0.01, "{merit}");
}

#[test]
fn an_old_one_is_refused() {
    let (mut m, mut t) = judge();
    take(&mut m, &mut t, announce(&Fake::new(1), 5, 20.0, &[]), 0).unwrap();
    for sequence in [0, 4, 5] {
        assert_eq!(take(&mut m, &mut t, announce(&Fake::new(1), sequence, 20.0, &[]), 100), Err(AnnounceError::Old));
    }
}

#[test]
fn one_of_a_far_time_is_refused() {
    let (mut m, mut t) = judge();
    let mut early = announce(&Fake::new(1), 1, 20.0, &[]);
    early.timestamp.0 += 16 * 60_000;
    assert_eq!(take(&mut m, &mut t, early, 0), Err(AnnounceError::OutOfTime));
    let late = announce(&Fake::new(1), 1, 20.0, &[]);
    assert_eq!(take(&mut m, &mut t, late, 7_200 + 15 * 60), Err(AnnounceError::OutOfTime));
}

#[test]
fn implausible_scores_are_not_believed() {
    let (mut m, mut t) = judge();
    for score in [f64::NAN, f64::INFINITY, 1_000.5, -1.0] {
        let a = announce(&Fake::new(1), 1, score, &[]);
        assert_eq!(take(&mut m, &mut t, a, 0), Err(AnnounceError::Implausible));
    }
}

#[test]
fn one_takes_effect_in_thirty_seconds_and_then_the_latest() {
    let (mut m, mut t) = judge();
    take(&mut m, &mut t, announce(&Fake::new(1), 1, 20.0, &[]), 0).unwrap();
    let mut peer = announce(&Fake::new(1), 2, 1.0, &[]);
    peer.new_role = PeerRole::Peer;
    let ends = now(30).mono;
    assert_eq!(take(&mut m, &mut t, peer, 1), Ok(Handled::Held(ends)));
    assert_eq!(take(&mut m, &mut t, announce(&Fake::new(1), 3, 30.0, &[]), 2), Ok(Handled::Held(ends)));
    let mut latest = announce(&Fake::new(1), 4, 2.0, &[]);
    latest.new_role = PeerRole::Peer;
    assert_eq!(take(&mut m, &mut t, latest, 3), Ok(Handled::Held(ends)));
    assert_eq!(t.role_row(&id(1)).claimed, Some(PeerRole::Relay));
    assert_eq!(m.release(&mut t, now(29)), []);
    assert_eq!(m.next_release(), Some(ends));
    assert_eq!(m.release(&mut t, now(30)), [(id(1), PeerRole::Relay)]);
    assert_eq!((t.role_row(&id(1)).claimed, m.claim(&id(1)).unwrap().sequence), (Some(PeerRole::Peer), 4));
}

#[test]
fn claims_are_bounded() {
    let (mut m, mut t) = judge();
    let mut a = announce(&Fake::new(1), 1, 20.0, &[]);
    for n in 0..MAX_CLAIMS as u32 {
        a.node_id.0[..4].copy_from_slice(&n.to_be_bytes());
        take(&mut m, &mut t, a.clone(), 0).unwrap();
    }
    a.node_id.0[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(take(&mut m, &mut t, a, 0), Err(AnnounceError::Full));
}

#[test]
fn a_claim_that_is_over_leaves_nothing() {
    let (mut m, mut t) = judge();
    take(&mut m, &mut t, announce(&Fake::new(1), 1, 20.0, &[]), 0).unwrap();
    assert_eq!(m.forget_claim(&id(1), &mut t, at(1)), Some(PeerRole::Relay));
    assert_eq!((t.role_row(&id(1)), t.roles().count()), (RoleRow::default(), 0));
}

/// Ten liars, a thousand identities each, sign for each other; two of them really carried a little for one that carried for us.
#[test]
fn a_ring_of_a_thousand_is_worth_what_it_really_carried() {
    let (mut m, mut t) = judge();
    m.record_relays(id(2), 1_000, at(0));
    let ring: Vec<Fake> = (0..1_000u32)
        .map(|n| {
            let mut secret = [5; 32];
            secret[..4].copy_from_slice(&n.to_be_bytes());
            Fake::of(secret)
        })
        .collect();
    for (i, liar) in ring.iter().enumerate() {
        let mut customers: Vec<(&Fake, u64)> = (1..8).map(|k| (&ring[(i + k * k) % ring.len()], 100_000)).collect();
        let honest = Fake::new(2);
        if i < 2 {
            customers.push((&honest, 6));
        }
        take(&mut m, &mut t, announce(liar, 1, 1_000.0, &customers), 0).unwrap();
    }
    m.believe(&mut t, at(0));
    let merit: f64 = ring.iter().map(|l| t.role_row(&l.id).merit).sum();
    assert!((merit - 12.0).abs() < 0.1, "{merit}");
    let relays = ring.iter().filter(|l| t.role(&l.id) == PeerRole::Relay).count();
    assert!(relays <= 6, "{relays} of them taken for relays");
}
