//! Look-ups.

use super::*;
use tidings_proto::discovery::rendezvous::RENEW;
use tidings_proto::discovery::{How, Search};

struct Looking {
    d: Driven,
    s: Somebody,
    ticket: Ticket,
}

fn looking_among(nodes: u8) -> Looking {
    let (mut d, s) = (indexed(nodes), Somebody::new(90, 9));
    let ticket = d.command(Command::LookUp { agent: s.agent });
    Looking { d, s, ticket }
}

fn looking() -> Looking {
    looking_among(40)
}

impl Looking {
    fn result(&self) -> Option<&Search> {
        match self.d.reply(self.ticket) {
            Some(Reply::Located(search)) => Some(search),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    fn said_at(&self, ago: u64) -> Whereabouts {
        self.s.says_at(self.d.now.wall.0 - ago, false)
    }

    fn asked(&self) -> Vec<NodeId> {
        questions(&self.d).into_iter().map(|(to, _)| to).collect()
    }

    /// The `n`th that was asked answers.
    fn answer(&mut self, n: usize, said: &[&Whereabouts]) {
        let (to, m) = questions(&self.d).remove(n);
        if !self.d.node.links().is_up(&to) {
            answer_dial(&mut self.d, to);
        }
        let certificate = self.s.certificate.clone();
        holds(&mut self.d, to, m.id, said, &[&certificate]);
    }

    fn found(&self) -> Vec<u64> {
        let now = self.d.now.wall.0;
        self.result().unwrap().found.iter().map(|l| now - l.age.as_millis()).collect()
    }
}

#[test]
fn two_holders_are_asked_with_the_dial() {
    let l = looking();
    let asked = l.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(dialed(&l.d), asked);
    let eight = holders(&l.d, &l.s.agent.0, 8);
    assert!(asked.iter().all(|a| eight.contains(a)));
}

#[test]
fn two_that_agree_settle_it() {
    let mut l = looking();
    let w = l.said_at(1_000);
    l.answer(0, &[&w]);
    assert_eq!(l.result(), None, "one is not enough");
    l.answer(1, &[&w]);
    let last = l.asked()[1];
    let r = l.result().unwrap();
    assert_eq!((r.asked, r.dialed, r.settled_by), (2, 2, Some((last, false))));
    let f = &r.found[0];
    assert_eq!((f.agent, f.node, &f.addrs, f.how), (l.s.agent, l.s.node.id, &l.s.node.addr.addrs, How::Rendezvous));
    assert_eq!(f.age, Span::from_secs(1));
}

#[test]
fn who_is_linked_is_asked_first() {
    let (mut d, s) = (indexed(40), Somebody::new(90, 9));
    let eight = holders(&d, &s.agent.0, 8);
    for h in &eight[6..] {
        d.link(&peer(*h));
    }
    d.command(Command::LookUp { agent: s.agent });
    let mut asked: Vec<NodeId> = questions(&d).into_iter().map(|(to, _)| to).collect();
    asked.sort_unstable();
    let mut linked = eight[6..].to_vec();
    linked.sort_unstable();
    assert_eq!((asked, dialed(&d)), (linked, vec![]));
}

#[test]
fn an_empty_answer_makes_all_eight_be_asked() {
    let mut l = looking();
    l.answer(0, &[]);
    let mut asked = l.asked();
    asked.sort_unstable();
    let mut eight = holders(&l.d, &l.s.agent.0, 8);
    eight.sort_unstable();
    assert_eq!(asked, eight);
}

#[test]
fn a_stale_answer_makes_all_eight_be_asked() {
    let mut l = looking();
    let w = l.said_at(RENEW.as_millis() * 2);
    l.answer(0, &[&w]);
    assert_eq!(l.asked().len(), 8);
}

#[test]
fn differing_answers_make_all_eight_be_asked_and_the_latest_counts() {
    let mut l = looking();
    let (old, new) = (l.said_at(60_000), l.said_at(1_000));
    l.answer(0, &[&old]);
    l.answer(1, &[&new]);
    assert_eq!(l.asked().len(), 8);
    l.answer(2, &[&new]);
    assert_eq!(l.found(), [new.issued_ms()]);
}

#[test]
fn two_good_answers_are_enough_whatever_the_others_withhold() {
    let mut l = looking();
    let w = l.said_at(1_000);
    l.answer(0, &[]);
    for n in 1..6 {
        l.answer(n, &[]);
    }
    l.answer(6, &[&w]);
    l.answer(7, &[&w]);
    assert_eq!(l.found().len(), 1);
}

#[test]
fn one_good_answer_counts_when_there_are_no_more() {
    let mut l = looking();
    let w = l.said_at(1_000);
    l.answer(0, &[&w]);
    l.answer(1, &[]);
    for n in 2..8 {
        l.answer(n, &[]);
    }
    assert_eq!(l.found().len(), 1);
}

#[test]
fn two_old_answers_settle_nothing() {
    let mut l = looking();
    let (old, new) = (l.said_at(RENEW.as_millis() * 2), l.said_at(1_000));
    l.answer(0, &[&old]);
    l.answer(1, &[&old]);
    assert_eq!(l.result(), None);
    l.answer(2, &[&new]);
    l.answer(3, &[&new]);
    assert_eq!(l.found(), [new.issued_ms()]);
}

#[test]
fn an_old_answer_counts_when_there_is_no_later_one() {
    let mut l = looking();
    let w = l.said_at(RENEW.as_millis() * 2);
    for n in 0..8 {
        l.answer(n, &[&w]);
    }
    assert_eq!(l.found(), [w.issued_ms()]);
}

#[test]
fn what_was_taken_back_is_not_found() {
    let mut l = looking();
    let old = l.said_at(1_000);
    let gone = l.s.says_at(l.d.now.wall.0, true);
    l.answer(0, &[&gone]);
    l.answer(1, &[&gone]);
    assert_eq!(l.found(), Vec::<u64>::new());
    let mut l = looking();
    l.answer(0, &[&old]);
    l.answer(1, &[&gone]);
    for n in 2..8 {
        l.answer(n, &[&old]);
    }
    assert_eq!(l.found(), Vec::<u64>::new(), "the later word is that it is gone");
}

#[test]
fn nobody_is_found_when_all_say_so() {
    let mut l = looking();
    l.answer(0, &[]);
    for n in 1..8 {
        assert_eq!(l.result(), None);
        l.answer(n, &[]);
    }
    assert_eq!(l.found(), Vec::<u64>::new());
    assert_eq!(l.result().unwrap().asked, 8);
}

#[test]
fn the_next_is_asked_for_one_that_cannot_be_reached() {
    let mut l = looking();
    let gone = l.asked()[0];
    fail_dial(&mut l.d, gone);
    assert_eq!(l.asked().len(), 3);
}

#[test]
fn another_is_asked_for_one_that_takes_long() {
    let mut l = looking();
    l.d.pass_ms(700);
    assert_eq!(l.asked().len(), 3);
}

#[test]
fn it_ends_although_nobody_answers_and_asks_nobody_twice() {
    let mut l = looking();
    l.d.pass_ms(12_000);
    assert_eq!(l.found(), Vec::<u64>::new());
    let mut asked = l.asked();
    asked.sort_unstable();
    asked.dedup();
    assert!(asked.len() == l.asked().len() && asked.len() <= 32, "{asked:?}");
}

#[test]
fn links_are_kept_a_while_and_given_back() {
    let mut l = looking();
    let w = l.said_at(1_000);
    l.answer(0, &[&w]);
    l.answer(1, &[&w]);
    l.d.did.clear();
    l.d.pass_ms(4_000);
    let released =
        |d: &Driven| d.did.iter().filter(|x| matches!(x, Did::Sent { message: Message::Release(_), .. })).count();
    assert_eq!(released(&l.d), 0);
    l.d.pass_ms(2_000);
    assert_eq!(released(&l.d), 2);
}

#[test]
fn an_empty_index_finds_nobody_at_once() {
    let mut d = indexed(0);
    let ticket = d.command(Command::LookUp { agent: AgentId([1; 32]) });
    assert_eq!(d.reply(ticket), Some(&Reply::Located(Search::default())));
}

#[test]
fn too_many_at_once_are_refused() {
    let mut d = indexed(40);
    for n in 0..255u8 {
        d.command(Command::LookUp { agent: AgentId([n; 32]) });
    }
    d.command(Command::LookUp { agent: AgentId([255; 32]) });
    let ticket = d.command(Command::LookUp { agent: AgentId([7; 32]) });
    assert!(
        matches!(d.reply(ticket), Some(Reply::Refused(CommandError::TooManyQueries { .. }))),
        "{:?}",
        d.reply(ticket)
    );
}

/// Answers that are not believed: they count as empty ones.
mod a_lie {
    use super::*;

    fn told(of: impl Fn(&Looking) -> (Whereabouts, AgentCertificate)) {
        let mut l = looking();
        let (w, certificate) = of(&l);
        let (to, m) = questions(&l.d).remove(0);
        answer_dial(&mut l.d, to);
        holds(&mut l.d, to, m.id, &[&w], &[&certificate]);
        assert_eq!(l.d.counters().answers_forged, 1);
        assert_eq!(l.asked().len(), 8, "it was taken for an answer");
    }

    #[test]
    fn that_is_about_another_agent() {
        let other = Somebody::new(91, 8);
        told(move |l| (other.says_at(l.d.now.wall.0, false), other.certificate.clone()));
    }

    #[test]
    fn that_the_agent_has_not_certified() {
        let liar = Somebody::new(66, 6);
        told(move |l| {
            let key = WhereaboutsKey::new(&network());
            let about = About::Agent(l.s.agent, liar.certificate.id());
            let when = (l.d.now.wall, LEFT_LIFE);
            let w = Whereabouts::issue(about, liar.node.addr.clone(), when, false, &key, &liar.crypto);
            (w, liar.certificate.clone())
        });
    }

    #[test]
    fn that_is_forged() {
        told(|l| {
            let mut bytes = l.said_at(1_000).bytes().to_vec();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            (Whereabouts::parse(bytes.into()).unwrap(), l.s.certificate.clone())
        });
    }

    #[test]
    fn that_has_expired() {
        told(|l| (l.said_at(3_600_000), l.s.certificate.clone()));
    }

    #[test]
    fn that_comes_without_a_certificate() {
        let other = Somebody::new(91, 8);
        told(move |l| (l.said_at(1_000), other.certificate.clone()));
    }

    #[test]
    fn that_answers_another_s_question() {
        let mut l = looking();
        let w = l.said_at(1_000);
        let asked = questions(&l.d);
        answer_dial(&mut l.d, asked[0].0);
        let certificate = l.s.certificate.clone();
        holds(&mut l.d, asked[0].0, asked[1].1.id, &[&w], &[&certificate]);
        assert_eq!(l.d.counters().answers_unexpected, 1);
    }

    #[test]
    fn that_repeats_an_answer() {
        let mut l = looking();
        let w = l.said_at(1_000);
        l.answer(0, &[&w]);
        l.answer(0, &[&w]);
        assert_eq!(l.result(), None, "one was counted twice");
    }
}
