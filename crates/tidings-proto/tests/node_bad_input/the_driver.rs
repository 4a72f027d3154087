//! What a driver may say at any time.

use super::*;

#[test]
fn may_report_links_credit_and_records_nobody_knows_of() {
    let mut s = Scene::new();
    let peer = Fake::new(77).id;
    let before = s.d.delivered().len();
    for input in [
        Input::LinkDown { peer, reason: LinkRefusal::Error },
        Input::DialFailed { peer, reason: LinkRefusal::Timeout },
        Input::SendCredit { peer, lane: Lane::Probe, bytes: usize::MAX },
        Input::SendCredit { peer: s.friend.id, lane: Lane::Probe, bytes: usize::MAX },
        Input::Stored { ticket: StoreTicket(9_999), result: Ok(()) },
        Input::Loaded { ticket: StoreTicket(9_999), result: Ok(vec![]) },
        Input::Loaded { ticket: StoreTicket(0), result: Ok(vec![]) },
        Input::Tick,
    ] {
        s.d.input(input).unwrap();
    }
    assert_eq!(s.d.delivered().len(), before);
    s.works();
}

#[test]
fn is_told_to_close_a_link_to_ourselves() {
    let mut s = Scene::new();
    let peer = s.d.id();
    s.d.input(Input::LinkUp { peer, addr: None, outbound: false, rtt: None }).unwrap();
    assert_eq!(s.d.closed(), [peer]);
    s.works();
}

#[test]
fn may_tick_at_any_time() {
    let mut s = Scene::new();
    for _ in 0..100 {
        s.d.input(Input::Tick).unwrap();
    }
    s.d.now.mono.0 -= 500_000;
    s.d.input(Input::Tick).unwrap();
    s.d.pass(Span::from_secs(30));
    s.works();
}
