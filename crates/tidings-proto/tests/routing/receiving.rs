//! What is wrong with what arrives.

use super::*;
use tidings_proto::routing::{envelope, key};

/// A node with a relay and a sender that is played.
fn receiver() -> (Driven, Fake, Fake) {
    let mut d = node(9);
    d.auto_ack = true;
    let (relay, sender) = (Fake::new(1), Fake::new(2));
    d.link(&relay);
    (d, relay, sender)
}

fn head(d: &Driven, relay: &Fake, sender: &Fake, n: u8) -> Envelope {
    let (id, via) = (PassageId([n; 16]), vec![relay.id]);
    Envelope { id, from: sender.id, to: d.id(), via, kind: 0, ttl: 1, at_ms: WALL, messages: 1, credits: None }
}

fn bring(d: &mut Driven, relay: &Fake, m: &Envelope, payload: bytes::Bytes) {
    let bytes = Message::from(m.clone()).frame_with(payload).to_bytes();
    let _ = d.frame(relay, Lane::Control, bytes);
}

#[test]
fn what_is_not_signed_by_its_sender_is_refused() {
    let (mut d, relay, sender) = receiver();
    let m = head(&d, &relay, &sender, 1);
    for payload in [envelope::seal(relay.port(), &key(&network()), &m, b""), vec![0; 64].into()] {
        bring(&mut d, &relay, &m, payload);
    }
    bring(&mut d, &relay, &m, vec![0; 63].into());
    let c = d.counters();
    assert_eq!((c.envelopes_refused_forged, c.envelopes_unsound, c.envelopes_arrived), (2, 1, 0));
}

#[test]
fn what_was_signed_in_another_network_is_refused() {
    let (mut d, relay, sender) = receiver();
    let m = head(&d, &relay, &sender, 1);
    let other = tidings_proto::identity::Network::from_name("other").unwrap();
    let payload = envelope::seal(sender.port(), &key(&other), &m, b"");
    bring(&mut d, &relay, &m, payload);
    assert_eq!(d.counters().envelopes_refused_forged, 1);
}

#[test]
fn what_comes_from_another_than_the_last_relay_is_refused() {
    let (mut d, relay, sender) = receiver();
    d.link(&sender);
    let m = head(&d, &relay, &sender, 1);
    let payload = envelope::seal(sender.port(), &key(&network()), &m, b"");
    bring(&mut d, &sender, &m, payload);
    assert_eq!((d.counters().envelopes_misrouted, d.counters().envelopes_arrived), (1, 0));
}

#[test]
fn content_that_is_no_frame_or_of_another_kind_is_counted_and_dropped() {
    let (mut d, relay, sender) = receiver();
    let unknown = Frame::new(250, &[], bytes::Bytes::new()).to_bytes();
    let ping = Message::from(Ping { seq: 1, incarnation: 1, suspected: None }).frame().to_bytes();
    let nested = Message::from(head(&d, &relay, &sender, 7)).frame().to_bytes();
    for (n, inner) in [b"nonsense".to_vec().into(), unknown, ping, nested].into_iter().enumerate() {
        let m = head(&d, &relay, &sender, n as u8);
        let payload = envelope::seal(sender.port(), &key(&network()), &m, &inner);
        bring(&mut d, &relay, &m, payload);
    }
    let c = d.counters();
    assert_eq!((c.frames_malformed, c.frames_unknown, c.frames_unexpected), (1, 1, 2));
}

#[test]
fn a_receipt_for_nothing_or_about_relays_not_used_counts_for_nothing() {
    let (mut d, relay, sender) = receiver();
    let credit = Credit { id: PassageId([5; 16]), relays: vec![relay.id], messages: 1, bytes: 7 };
    let credits = Credits::give(sender.port(), &key(&network()), WALL, vec![credit]);
    let m = Envelope { kind: 1, credits: Some(credits), ..head(&d, &relay, &sender, 1) };
    let payload = envelope::seal(sender.port(), &key(&network()), &m, b"");
    bring(&mut d, &relay, &m, payload);
    assert_eq!((d.counters().credits_refused, d.counters().relays_credited), (1, 0));
}

#[test]
fn acknowledgements_of_what_was_not_given_are_counted() {
    let (mut d, relay, _) = receiver();
    for why in [0, 1, 3, 255] {
        d.say(&relay, RelayAck { id: PassageId([9; 16]), why, load: 9 });
    }
    assert_eq!(d.counters().relay_acks_unexpected, 4);
}
