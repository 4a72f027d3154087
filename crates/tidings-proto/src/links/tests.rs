use super::room::UNCLAIMED;
use super::*;
use crate::identity::TopicId;
use crate::time::Span;

fn peer(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn addrs() -> Vec<Addr> {
    vec![Addr::Socket(([127, 0, 0, 1], 1).into())]
}

fn on(overlay: u8) -> Claim {
    Claim { layer: 1, overlay: Overlay::Topic(TopicId([overlay; 32])) }
}

/// One node's links, with what they asked of the driver.
struct End {
    links: Links,
    out: Vec<Output>,
    counters: Counters,
}

impl End {
    fn new(max: usize) -> End {
        End { links: Links::new(max), out: Vec::new(), counters: Counters::default() }
    }

    fn claim(&mut self, p: u8, c: Claim) -> Claimed {
        self.links.claim(&mut self.out, &mut self.counters, peer(p), c, &addrs())
    }

    fn release(&mut self, p: u8, c: Claim) {
        self.links.release(&mut self.out, &mut self.counters, peer(p), c);
    }

    fn up(&mut self, p: u8, outbound: bool) -> bool {
        self.links.on_up(&mut self.out, &mut self.counters, peer(p), outbound, Time(0))
    }

    fn down(&mut self, p: u8) -> bool {
        self.links.on_down(&mut self.out, peer(p))
    }

    /// The other end says that it needs the link no more.
    fn hear_release(&mut self, p: u8) {
        self.links.on_frame(&peer(p), Time(1));
        self.links.on_release(&mut self.out, &mut self.counters, peer(p));
    }

    fn hear_anything(&mut self, p: u8) {
        self.links.on_frame(&peer(p), Time(1));
    }

    fn said_release(&self) -> usize {
        let release = Message::Release(Release {}).frame();
        self.out.iter().filter(|o| matches!(o, Output::Send { frame, .. } if *frame == release)).count()
    }

    fn closed(&self) -> usize {
        self.out.iter().filter(|o| matches!(o, Output::Close { .. })).count()
    }

    fn dialed(&self) -> usize {
        self.out.iter().filter(|o| matches!(o, Output::Dial { .. })).count()
    }
}

#[test]
fn the_first_claim_dials_and_later_ones_share() {
    let mut e = End::new(16);
    assert_eq!(e.claim(1, on(1)), Claimed::Dialing);
    assert_eq!(e.claim(1, on(2)), Claimed::Dialing);
    e.up(1, true);
    assert_eq!(e.claim(1, on(3)), Claimed::Up);
    assert_eq!((e.dialed(), e.links.claims(&peer(1)).len()), (1, 3));
}

#[test]
fn leaving_one_topic_keeps_a_link_that_another_needs_here() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.claim(1, on(2));
    e.up(1, true);
    e.hear_release(1);
    e.release(1, on(1));
    assert_eq!((e.said_release(), e.closed()), (0, 0));
    assert!(e.links.is_up(&peer(1)));
}

#[test]
fn leaving_the_last_topic_keeps_a_link_that_the_other_end_needs() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.up(1, true);
    e.release(1, on(1));
    assert_eq!((e.said_release(), e.closed()), (1, 0));
}

#[test]
fn a_link_closes_when_we_let_go_after_the_other_end() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.up(1, true);
    e.hear_release(1);
    assert_eq!(e.closed(), 0, "we need it");
    e.release(1, on(1));
    assert_eq!(e.closed(), 1);
}

#[test]
fn a_link_closes_when_the_other_end_lets_go_after_us() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.up(1, true);
    e.release(1, on(1));
    e.hear_release(1);
    assert_eq!((e.closed(), e.counters.links_reaped), (1, 1));
    assert!(!e.links.is_up(&peer(1)));
}

#[test]
fn a_release_holds_only_until_the_other_end_says_something_else() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.up(1, true);
    e.hear_release(1);
    e.hear_anything(1);
    e.release(1, on(1));
    assert_eq!(e.closed(), 0, "it has begun to use the link again");
}

#[test]
fn the_same_claim_made_twice_is_one() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.claim(1, on(1));
    e.up(1, true);
    e.release(1, on(1));
    assert_eq!(e.said_release(), 1);
    e.release(1, on(1));
    assert_eq!(e.said_release(), 1, "a claim that is not there cannot be given back");
}

#[test]
fn a_link_nobody_wants_any_more_when_it_comes_up_is_let_go() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.release(1, on(1));
    assert_eq!(e.said_release(), 0, "there is nothing to say it on yet");
    e.up(1, true);
    assert_eq!(e.said_release(), 1);
}

#[test]
fn a_claim_on_a_closing_link_dials_again_when_it_has_ended() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.up(1, true);
    e.hear_release(1);
    e.release(1, on(1));
    assert_eq!(e.claim(1, on(2)), Claimed::Dialing);
    assert_eq!(e.dialed(), 1);
    assert!(!e.down(1), "it is not reported as down");
    assert_eq!(e.dialed(), 2);
}

#[test]
fn no_more_links_are_dialed_or_taken_than_allowed() {
    let mut e = End::new(2);
    assert_eq!(e.claim(1, on(1)), Claimed::Dialing);
    assert!(e.up(2, false));
    assert_eq!(e.claim(3, on(1)), Claimed::Full);
    assert!(!e.up(4, false));
    assert_eq!((e.links.len(), e.closed(), e.counters.links_refused), (2, 1, 2));
    assert_eq!(e.claim(2, on(1)), Claimed::Up, "one that exists can be shared");
    e.down(1);
    assert!(e.up(4, false), "there is room again");
}

#[test]
fn where_there_is_no_room_the_longest_silent_link_that_nobody_claims_makes_some() {
    let mut e = End::new(3);
    let up_at = |e: &mut End, p, ms| {
        let at = Time::default() + Span::from_millis(ms);
        e.links.on_up(&mut e.out, &mut e.counters, peer(p), false, at)
    };
    for (p, ms) in [(1, 0), (2, 100), (3, 200)] {
        assert!(up_at(&mut e, p, ms));
    }
    assert_eq!(e.claim(1, on(1)), Claimed::Up);
    assert!(!up_at(&mut e, 4, 2_000), "what was said on them may not be answered yet");
    assert!(up_at(&mut e, 4, 2_100));
    let last = e.out.iter().rev().find(|o| matches!(o, Output::Close { .. }));
    assert!(matches!(last, Some(Output::Close { peer: p, .. }) if *p == peer(2)), "{last:?}");
    e.down(2);
    assert!(!up_at(&mut e, 5, 2_150));
    assert_eq!(e.claim(6, on(1)), Claimed::Full, "the others were heard later");
    e.links.on_frame(&peer(1), Time::default() + Span::from_millis(2_200));
    assert_eq!(e.claim(6, on(1)), Claimed::Dialing, "for a link of this node's own as well");
    e.down(3);
    assert!(e.links.is_up(&peer(1)) && e.links.is_up(&peer(4)));
}

#[test]
fn of_several_silent_links_the_longest_silent_makes_room() {
    let mut e = End::new(3);
    for (p, ms) in [(1, 100), (2, 0), (3, 200), (4, 9_000)] {
        let at = Time::default() + Span::from_millis(ms);
        assert!(e.links.on_up(&mut e.out, &mut e.counters, peer(p), false, at));
    }
    assert!(e.out.iter().any(|o| matches!(o, Output::Close { peer: p, .. } if *p == peer(2))));
    assert_eq!(e.closed(), 1);
}

#[test]
fn links_that_take_long_to_close_make_no_room_for_ever() {
    let mut e = End::new(4);
    for p in 1..=200 {
        if e.claim(p, on(1)) == Claimed::Dialing {
            e.up(p, true);
            e.release(p, on(1));
            e.hear_release(p);
        }
    }
    assert!(e.closed() > 4, "they are being closed, and none is down yet");
    assert!(e.links.len() <= 4 + SLACK, "{} links", e.links.len());
}

#[test]
fn a_peer_without_address_cannot_be_claimed() {
    let mut e = End::new(2);
    assert_eq!(e.links.claim(&mut e.out, &mut e.counters, peer(1), on(1), &[]), Claimed::NoAddress);
    assert!(e.links.is_empty() && e.out.is_empty());
}

#[test]
fn a_link_without_claims_is_closed_when_it_has_long_been_silent() {
    let mut e = End::new(4);
    e.up(1, false);
    e.up(2, false);
    e.claim(2, on(1));
    let at = |us| Time(0) + Span(us);
    e.links.reap(&mut e.out, &mut e.counters, at(UNCLAIMED.0));
    assert_eq!(e.closed(), 0);
    e.links.reap(&mut e.out, &mut e.counters, at(UNCLAIMED.0 + 1));
    assert_eq!(e.closed(), 1);
    assert!(!e.links.is_up(&peer(1)) && e.links.is_up(&peer(2)));
}

mod credit {
    use super::*;

    fn frame(len: usize) -> Frame {
        Frame { head: vec![0; len].into(), payload: bytes::Bytes::new() }
    }

    fn send(e: &mut End, lane: Lane, len: usize) -> bool {
        e.links.send(&mut e.out, &mut e.counters, peer(1), lane, frame(len))
    }

    #[test]
    fn bounds_what_is_sent_on_a_lane() {
        let mut e = End::new(4);
        e.up(1, false);
        assert!(send(&mut e, Lane::Data, Lane::Data.budget()));
        assert!(!send(&mut e, Lane::Data, 1));
        assert!(send(&mut e, Lane::Control, 1), "lanes do not share");
        e.links.on_credit(&peer(1), Lane::Data, 10, Time(0));
        assert!(send(&mut e, Lane::Data, 10));
        assert!(!send(&mut e, Lane::Data, 1));
    }

    #[test]
    fn never_grows_past_the_budget() {
        let mut e = End::new(4);
        e.up(1, false);
        e.links.on_credit(&peer(1), Lane::Data, usize::MAX, Time(0));
        assert_eq!(e.links.credit(&peer(1), Lane::Data), Lane::Data.budget());
    }

    #[test]
    fn of_all_links_together_is_bounded_and_each_keeps_a_share() {
        let links = (UNSENT / Lane::Data.budget()) as u8;
        let mut e = End::new(64);
        let fill = |e: &mut End, n: u8, len| e.links.send(&mut e.out, &mut e.counters, peer(n), Lane::Data, frame(len));
        for n in 0..=links {
            e.up(n, false);
        }
        for n in 0..links {
            assert!(fill(&mut e, n, Lane::Data.budget()));
        }
        assert_eq!(e.links.unsent(), UNSENT);
        assert!(fill(&mut e, links, SHARE));
        assert!(!fill(&mut e, links, 1));
        e.down(0);
        assert!(fill(&mut e, links, 1), "what a link held that is gone is free");
        e.up(1, false);
        assert_eq!(e.links.unsent(), UNSENT - 2 * Lane::Data.budget() + SHARE + 1, "a new link begins empty");
    }

    #[test]
    fn is_counted_when_control_has_none() {
        let mut e = End::new(4);
        e.up(1, false);
        assert!(!send(&mut e, Lane::Control, Lane::Control.budget() + 1));
        assert_eq!(e.counters.control_overflow, 1);
    }

    #[test]
    fn is_of_no_use_without_a_link() {
        let mut e = End::new(4);
        assert!(!send(&mut e, Lane::Control, 1));
        assert_eq!(e.counters.frames_unsendable, 1);
        e.claim(1, on(1));
        assert!(!send(&mut e, Lane::Control, 1), "it is being dialed");
    }
}

/// Something to say.
fn question(n: u8) -> crate::wire::Frame {
    crate::wire::Frame::new(1, &[0xa1, n, 0], bytes::Bytes::new())
}

impl End {
    fn claim_saying(&mut self, p: u8, n: u8) -> Claimed {
        let (out, counters) = (&mut self.out, &mut self.counters);
        self.links.claim_saying(out, counters, peer(p), on(9), &addrs(), Some(question(n)))
    }

    /// What went with dials.
    fn said_first(&self) -> Vec<crate::wire::Frame> {
        let first = |o: &Output| match o {
            Output::Dial { first, .. } => first.clone(),
            _ => Vec::new(),
        };
        self.out.iter().flat_map(first).collect()
    }

    fn sent(&self) -> Vec<crate::wire::Frame> {
        let frame = |o: &Output| match o {
            Output::Send { frame, .. } => Some(frame.clone()),
            _ => None,
        };
        self.out.iter().filter_map(frame).collect()
    }
}

#[test]
fn what_is_to_be_said_goes_with_the_dial() {
    let mut e = End::new(16);
    assert_eq!(e.claim_saying(1, 1), Claimed::Dialing);
    assert_eq!(e.said_first(), [question(1)]);
    e.up(1, true);
    assert_eq!(e.sent(), []);
}

#[test]
fn what_went_with_a_dial_is_said_again_if_the_peer_s_came_through() {
    let mut e = End::new(16);
    e.claim_saying(1, 1);
    e.up(1, false);
    assert_eq!(e.sent(), [question(1)]);
}

#[test]
fn what_is_to_be_said_during_a_dial_waits_for_the_link() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.claim_saying(1, 2);
    assert_eq!(e.said_first(), []);
    e.up(1, true);
    assert_eq!(e.sent(), [question(2)]);
}

#[test]
fn what_is_to_be_said_on_a_link_is_said_at_once() {
    let mut e = End::new(16);
    e.up(1, false);
    assert_eq!(e.claim_saying(1, 3), Claimed::Up);
    assert_eq!(e.sent(), [question(3)]);
}

#[test]
fn what_is_to_be_said_while_a_link_closes_goes_with_the_next_dial() {
    let mut e = End::new(16);
    e.up(1, false);
    e.links.close(&mut e.out, peer(1), LinkRefusal::Closed);
    e.claim_saying(1, 4);
    e.down(1);
    assert_eq!(e.said_first(), [question(4)]);
}

#[test]
fn little_waits_for_a_link() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    (0..20).for_each(|n| _ = e.claim_saying(1, n));
    e.up(1, true);
    assert_eq!((e.sent().len(), e.counters.control_overflow), (WAITING, 20 - WAITING as u64));
}

#[test]
fn a_link_that_was_given_back_is_dialed_again_if_the_peer_closes_it_meanwhile() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.up(1, true);
    e.release(1, on(1));
    e.claim_saying(1, 5);
    assert_eq!(e.sent().last(), Some(&question(5)));
    // It had been told that the link is not needed.
    assert!(!e.down(1), "the loss is reported");
    assert_eq!((e.dialed(), e.said_first()), (2, vec![question(5)]));
}

#[test]
fn a_link_that_was_given_back_and_is_kept_is_as_any_other() {
    let mut e = End::new(16);
    e.claim(1, on(1));
    e.up(1, true);
    e.release(1, on(1));
    e.claim_saying(1, 5);
    e.hear_anything(1);
    assert!(e.down(1), "the loss is not reported");
    assert_eq!(e.dialed(), 1);
}
