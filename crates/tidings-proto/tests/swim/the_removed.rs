use super::*;

fn dead() -> (Driven, Vec<Fake>) {
    let (mut d, peers) = with_neighbors(3);
    suspect(&mut d, &peers[0]);
    while left(&d).is_empty() {
        d.pass_ms(10);
    }
    d.did.clear();
    (d, peers)
}

#[test]
fn are_looked_for_less_and_less_often_and_not_for_ever() {
    let (mut d, peers) = dead();
    let mut at = Vec::new();
    let began = d.now.mono;
    // Membership, which has two neighbours and nobody to ask, visits it later than that.
    while d.now.mono.since(began) < Span::from_secs(500) {
        d.pass_ms(100);
        if dialed(&d).contains(&peers[0].id) {
            at.push(d.now.mono.since(began).as_millis());
            d.did.clear();
            d.input(Input::DialFailed { peer: peers[0].id, reason: LinkRefusal::Timeout }).unwrap();
        }
    }
    assert_eq!(at.len(), 7, "{at:?}");
    assert!(at[0] <= 1_000 && at[1] - at[0] < 2_000 && at[6] - at[5] > 20_000, "{at:?}");
}

#[test]
fn are_welcome_when_they_come_back() {
    let (mut d, peers) = dead();
    d.pass_ms(100);
    d.link(&peers[0]);
    assert_eq!(recovered(&d), [peers[0].id]);
    assert_eq!(d.counters().returned, 1);
    assert!(d.node.passive_view(Overlay::Root).contains(&peers[0].id) || dialed(&d).contains(&peers[0].id));
}

#[test]
fn are_found_by_the_first_dial_if_they_were_only_stopped() {
    let (mut d, peers) = dead();
    d.auto_link = true;
    d.mute.clear();
    d.pass_ms(1_000);
    assert_eq!(recovered(&d), [peers[0].id]);
}

#[test]
fn do_not_come_back_with_a_shuffle() {
    let (mut d, peers) = dead();
    let other = Fake::new(150);
    let named = vec![peers[0].addr.clone(), other.addr.clone()];
    for _ in 0..6 {
        // Longer than it is backed off from after one failed dial.
        d.pass_ms(5_000);
        let (path, sketch) = (vec![peers[1].id], Sketch::default());
        d.say(&peers[1], Shuffle { overlay: None, ttl: 1, path, peers: named.clone(), sketch });
        let known = d.node.passive_view(Overlay::Root);
        assert!(known.contains(&other.id) && !known.contains(&peers[0].id), "{known:?}");
    }
}

#[test]
fn are_those_whose_link_went_silent_too_and_not_those_who_said_goodbye() {
    for (reason, back) in [(LinkRefusal::Silent, 1), (LinkRefusal::Goodbye, 0)] {
        let (mut d, peers) = with_neighbors(2);
        d.input(Input::LinkDown { peer: peers[0].id, reason }).unwrap();
        d.pass_ms(50);
        d.link(&peers[0]);
        assert_eq!(recovered(&d).len(), back, "{reason:?}");
    }
}

#[test]
fn of_a_whole_view_are_dialed_a_few_at_a_time() {
    let (mut d, peers) = with_neighbors(10);
    for p in &peers {
        d.input(Input::LinkDown { peer: p.id, reason: LinkRefusal::Silent }).unwrap();
    }
    d.pass_ms(1_000);
    let n = dialed(&d).len();
    assert!((1..=8).contains(&n), "{n} dials");
    assert!(d.counters().rescue_dials_limited > 0);
}
