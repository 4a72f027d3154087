//! What newer peers may add is skipped.

use super::*;

/// A value no field of ours has: an array of a text, a map and bytes.
const STRANGE: &[u8] = &[0x83, 0x61, b'x', 0xa1, 0x02, 0x03, 0x42, 0x00, 0xff];

#[test]
fn a_field_this_version_does_not_know_is_skipped() {
    for m in maps() {
        for key in [9, 200, u64::from(u32::MAX)] {
            let mut with = fields(&body_of(&m));
            with.push((key, STRANGE.to_vec()));
            assert_eq!(parse(m.tag(), &map_of(&with)), Ok(Some(m.clone())), "{} with key {key}", m.name());
        }
    }
}

#[test]
fn an_element_more_in_a_message_that_is_an_array_is_skipped() {
    let arrays: Vec<Message> = examples().into_iter().filter(|m| body_of(m)[0] >> 5 == 4).collect();
    assert_eq!(arrays.len(), 3);
    for m in arrays {
        let mut body = body_of(&m);
        body[0] += 1;
        body.extend_from_slice(STRANGE);
        assert_eq!(parse(m.tag(), &body), Ok(Some(m.clone())), "{}", m.name());
    }
}

#[test]
fn what_is_behind_the_map_is_malformed() {
    for m in examples() {
        let mut body = body_of(&m);
        body.push(0xf6);
        assert_eq!(parse(m.tag(), &body), Err(WireError::Body(m.tag())), "{}", m.name());
    }
}

#[test]
fn an_unknown_tag_is_skipped_whatever_is_behind_it() {
    for tag in [0, 2, 21, 36, 255] {
        let f = Frame::new(tag, STRANGE, Bytes::from_static(b"raw")).to_bytes();
        assert_eq!(Message::parse(f), Ok(None));
    }
}

#[test]
fn an_element_more_in_an_announcement_or_a_range_is_skipped() {
    let ihave: Message = IHave { topic: topic(1), batches: vec![announced(2)] }.into();
    let mut body = body_of(&ihave);
    let at = body.iter().position(|b| *b == 0x83).expect("an announcement is an array of three");
    body[at] = 0x84;
    body.push(0x07);
    assert_eq!(parse(31, &body), Ok(Some(ihave)));

    let fetch: Message = Fetch { topic: topic(1), ranges: vec![range(2)] }.into();
    let mut body = body_of(&fetch);
    let at = body.iter().position(|b| *b == 0x84).expect("a range is an array of four");
    body[at] = 0x85;
    body.push(0x07);
    assert_eq!(parse(34, &body), Ok(Some(fetch)));
}

#[test]
fn a_key_more_in_a_sketch_is_skipped() {
    let m: Message = Join { overlay: None, me: peer(1), sketch: sketch() }.into();
    let mut all = fields(&body_of(&m));
    let inner = all.iter_mut().find(|f| f.0 == 2).unwrap();
    let mut sketch = fields(&inner.1);
    sketch.push((5, STRANGE.to_vec()));
    inner.1 = map_of(&sketch);
    assert_eq!(parse(10, &map_of(&all)), Ok(Some(m)));
}

fn prune_walk(addrs: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Result<Option<Message>, WireError> {
    let mut body = Vec::new();
    let mut e = Encoder::new(&mut body);
    e.map(3).unwrap().u8(0).unwrap().bytes(&[1; 32]).unwrap().u8(1).unwrap();
    e.array(2).unwrap().bytes(&[2; 32]).unwrap();
    addrs(&mut e);
    e.u8(2).unwrap().u8(3).unwrap();
    parse(18, &body)
}

fn seeker(m: Result<Option<Message>, WireError>) -> PeerAddr {
    match m {
        Ok(Some(Message::TopicWalk(w))) => w.seeker,
        other => panic!("no walk but {other:?}"),
    }
}

#[test]
fn an_address_of_an_unknown_kind_is_skipped() {
    let got = seeker(prune_walk(|e| {
        e.array(3).unwrap();
        e.array(2).unwrap().u8(7).unwrap().str("relay.example").unwrap();
        e.array(2).unwrap().u8(1).unwrap().bytes(&[127, 0, 0, 1, 0x11, 0x51]).unwrap();
        e.array(3).unwrap().u16(900).unwrap().map(0).unwrap().u8(1).unwrap();
    }));
    assert_eq!(got.addrs, [addr("127.0.0.1:4433")]);
}

#[test]
fn a_value_more_in_a_known_address_is_skipped() {
    let got = seeker(prune_walk(|e| {
        e.array(1).unwrap();
        e.array(3).unwrap().u8(1).unwrap().bytes(&[127, 0, 0, 1, 0x11, 0x51]).unwrap().u8(9).unwrap();
    }));
    assert_eq!(got.addrs, [addr("127.0.0.1:4433")]);
}

#[test]
fn addresses_past_the_limit_are_dropped() {
    let got = seeker(prune_walk(|e| {
        e.array(20).unwrap();
        for i in 0..20 {
            e.array(2).unwrap().u8(1).unwrap().bytes(&[127, 0, 0, i, 0x11, 0x51]).unwrap();
        }
    }));
    assert_eq!(got.addrs.len(), MAX_ADDRS);
    assert_eq!(got.addrs[0], addr("127.0.0.0:4433"));
}

#[test]
fn a_known_kind_of_the_wrong_length_is_malformed() {
    for (kind, len) in [(1, 5), (1, 7), (2, 6), (2, 19), (1, 0), (2, 1)] {
        let got = prune_walk(|e| {
            e.array(1).unwrap().array(2).unwrap().u8(kind).unwrap().bytes(&vec![1; len]).unwrap();
        });
        assert_eq!(got, Err(WireError::Body(18)), "kind {kind} with {len} bytes");
    }
}
