use super::*;

/// The process stands still; what came meanwhile is read afterwards.
fn stall(d: &mut Driven, for_ms: u64) {
    d.now.mono += ms(for_ms);
    d.now.wall.0 += for_ms;
    d.input(Input::Tick).unwrap();
}

#[test]
fn gives_everybody_a_fresh_start() {
    let (mut d, peers) = with_neighbors(10);
    // Rounds are under way, and the answers come during the stall.
    for p in &peers {
        silence(&mut d, p);
    }
    d.pass_ms(350);
    d.mute.clear();
    stall(&mut d, 3_000);
    d.pass_ms(5_000);
    assert_eq!(suspected(&d).len(), 0, "{} failed", d.counters().probes_failed);
    assert_eq!(d.counters().stalls, 1);
}

#[test]
fn does_not_use_up_a_suspects_time() {
    let (mut d, peers) = with_neighbors(2);
    suspect(&mut d, &peers[0]);
    stall(&mut d, 20_000);
    assert_eq!(left(&d), []);
    d.say(&peers[0], Topics::default());
    assert_eq!(recovered(&d), [peers[0].id]);
}

#[test]
fn over_and_over_does_not_stop_it_from_judging() {
    let (mut d, peers) = with_neighbors(1);
    silence(&mut d, &peers[0]);
    for _ in 0..40 {
        stall(&mut d, 300);
    }
    assert_eq!(suspected(&d), [peers[0].id]);
}

#[test]
fn makes_it_patient() {
    let (mut d, _) = with_neighbors(1);
    assert_eq!(d.node.local_health(), 0);
    stall(&mut d, 3_000);
    assert_eq!(d.node.local_health(), 0, "the probe that followed was answered at once");
    let (mut d, peers) = with_neighbors(1);
    silence(&mut d, &peers[0]);
    stall(&mut d, 3_000);
    assert_eq!(d.node.local_health(), 1);
}
