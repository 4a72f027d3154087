//! What older peers leave out has its default.

use super::*;

fn without(m: &Message, key: u64) -> Result<Option<Message>, WireError> {
    let mut fields = fields(&body_of(m));
    let before = fields.len();
    fields.retain(|f| f.0 != key);
    assert_eq!(fields.len(), before - 1, "{} has no key {key}", m.name());
    parse(m.tag(), &map_of(&fields))
}

/// Which keys of a tag may be missing, and what they then are.
fn defaults(m: &Message) -> Vec<(u64, Message)> {
    let m = m.clone();
    let mut out: Vec<(u64, Message)> = Vec::new();
    macro_rules! missing {
        ($m:ident, $($key:literal $field:ident),*) => {
            {$(
                let mut d = $m.clone();
                d.$field = Default::default();
                out.push(($key, d.into()));
            )*}
        };
    }
    match m {
        Message::Release(_)
        | Message::TopicWalk(_)
        | Message::TopicPeers(_)
        | Message::IHave(_)
        | Message::Prune(_)
        | Message::Bundle(_)
        | Message::Fetch(_) => {}
        Message::Join(m) => missing!(m, 0 overlay, 2 sketch),
        Message::ForwardJoin(_) => {}
        Message::Neighbor(m) => missing!(m, 0 overlay, 2 urgent, 3 room, 4 sketch),
        Message::NeighborReply(m) => missing!(m, 0 overlay, 2 others, 3 sketch, 4 me),
        Message::Disconnect(m) => missing!(m, 0 overlay, 1 reason, 2 instead),
        Message::Exchange(m) => missing!(m, 0 overlay, 3 near),
        Message::Shuffle(m) => missing!(m, 4 sketch),
        Message::ShuffleReply(m) => missing!(m, 3 sketch),
        Message::Topics(m) => missing!(m, 0 fresh, 1 add, 2 remove),
        Message::Gossip(m) => missing!(m, 1 pulled),
        Message::Graft(m) => missing!(m, 1 ids, 2 eager),
        Message::Ping(m) => missing!(m, 2 suspected),
        Message::Neighbors(m) => missing!(m, 1 peers),
        Message::Seek(m) => missing!(m, 4 stem),
        Message::Deposit(m) => missing!(m, 1 walk, 2 ttl, 3 known),
        Message::LackProof(m) => missing!(m, 1 walk, 2 ttl, 3 known),
        Message::Register(m) => missing!(m, 2 find),
        Message::Registered(m) => missing!(m, 1 outcome, 2 members, 3 crowd),
        Message::LookUp(m) => missing!(m, 2 have),
        Message::Holds(m) => missing!(m, 1 statements),
        Message::Envelope(m) => missing!(m, 4 kind, 7 messages, 8 credits),
        Message::RelayAck(m) => missing!(m, 1 why, 2 load),
        Message::Reserve(m) => missing!(m, 0 hold),
        Message::Reserved(m) => missing!(m, 0 why, 1 load),
        Message::CircuitPiece(m) => missing!(m, 1 piece),
        Message::CircuitAck(m) => missing!(m, 1 next),
        Message::CloseCircuit(m) => missing!(m, 1 why, 2 next),
        Message::OpenCircuit(_) | Message::CircuitOpened(_) => {}
        Message::VouchReached(m) => missing!(m, 0 anew, 1 reached, 2 lost),
        Message::CloseSession(m) => missing!(m, 1 why, 2 at_ms, 3 epoch),
        Message::Reached(_) => {}
        // Nothing of these may be missing.
        Message::Found(_) | Message::NotFound(_) => {}
        Message::VouchFor(_) => {}
        Message::OpenSession(_) | Message::Envelopes(_) | Message::Receipt(_) => {}
        Message::Want(_)
        | Message::Have(_)
        | Message::Chunk(_)
        | Message::Lack(_)
        | Message::Unwant(_)
        | Message::Certified(_)
        | Message::AskCertificates(_)
        | Message::Certificate(_)
        | Message::NoCertificates(_)
        | Message::AskCapabilities(_)
        | Message::Capability(_)
        | Message::Ack(_)
        | Message::AskReach(_)
        | Message::PingReq(_)
        | Message::Nack(_)
        | Message::RelayedPing(_)
        | Message::Alive(_)
        | Message::Compare(_)
        | Message::Same(_)
        | Message::Differ(_)
        | Message::Ranges(_)
        | Message::Symbols(_)
        | Message::WantItems(_)
        | Message::Offer(_)
        | Message::Suspect(_) => {}
        Message::Pull(m) => missing!(m, 2 ranges),
        Message::AskSymbols(m) => missing!(m, 3 first, 5 as_of),
        Message::Served(m) => missing!(m, 3 more),
        Message::Records(m) => missing!(m, 0 full, 1 fresh),
        Message::RecordsWanted(m) => missing!(m, 0 ids, 1 keys, 2 eager),
        Message::RecordsHeld(_) | Message::RecordsLazy(_) | Message::RecordsWave(_) => {}
    }
    out
}

#[test]
fn a_missing_field_has_its_default() {
    let mut seen = 0;
    for m in maps() {
        for (key, expected) in defaults(&m) {
            assert_ne!(m, expected, "the example of {} has key {key} at its default", m.name());
            assert_eq!(without(&m, key), Ok(Some(expected)), "{} without key {key}", m.name());
            seen += 1;
        }
    }
    assert_eq!(seen, 65);
}

#[test]
fn a_missing_field_without_default_is_malformed() {
    for m in maps() {
        let optional: Vec<u64> = defaults(&m).iter().map(|d| d.0).collect();
        for (key, _) in fields(&body_of(&m)).into_iter().filter(|f| !optional.contains(&f.0)) {
            assert_eq!(without(&m, key), Err(WireError::Body(m.tag())), "{} without key {key}", m.name());
        }
    }
}

#[test]
fn the_hashes_of_a_sketch_may_be_missing() {
    let m: Message = Join { overlay: None, me: peer(1), sketch: Sketch { period: 7, hashes: vec![] } }.into();
    let mut all = fields(&body_of(&m));
    let inner = all.iter_mut().find(|f| f.0 == 2).unwrap();
    inner.1 = map_of(&[(0, vec![7])]);
    assert_eq!(parse(10, &map_of(&all)), Ok(Some(m)));
}
