//! What the fixed header may say.

use super::*;

fn header(version: u8, tag: u8, body: u16, payload: u32) -> BytesMut {
    let mut b = BytesMut::new();
    b.extend_from_slice(&[version, tag]);
    b.extend_from_slice(&body.to_le_bytes());
    b.extend_from_slice(&payload.to_le_bytes());
    b
}

#[test]
fn of_another_version_are_refused() {
    for version in [0, 2, 255] {
        let mut b = header(version, 33, 0, 0);
        assert_eq!(Message::parse(b.clone().freeze()), Err(WireError::Version(version)));
        assert_eq!(split_frame(&mut b), Err(WireError::Version(version)));
    }
}

#[test]
fn that_announce_too_long_a_payload_are_refused_before_it_arrives() {
    for payload in [MAX_PAYLOAD as u32 + 1, u32::MAX] {
        let mut b = header(VERSION, 30, 4, payload);
        let error = WireError::TooLong(HEADER_LEN + 4 + payload as usize);
        assert_eq!(Message::parse(b.clone().freeze()), Err(error));
        assert_eq!(split_frame(&mut b), Err(error));
    }
}

#[test]
fn that_announce_the_longest_payload_are_waited_for() {
    let mut b = header(VERSION, 30, 0, MAX_PAYLOAD as u32);
    assert_eq!(split_frame(&mut b), Ok(None));
}

#[test]
fn with_bytes_behind_the_frame_are_refused() {
    for m in examples() {
        let mut b = m.frame_with(Bytes::from_static(b"p")).to_bytes().to_vec();
        b.push(0);
        assert_eq!(Message::parse(b.into()), Err(WireError::Trailing));
    }
}

#[test]
fn shorter_than_a_header_wait_for_more() {
    let whole = examples()[0].frame().to_bytes();
    for len in 0..HEADER_LEN {
        assert_eq!(split_frame(&mut BytesMut::from(&whole[..len])), Ok(None));
    }
}

#[test]
fn name_their_lane_by_one_byte() {
    for lane in [Lane::Control, Lane::Data, Lane::Bulk, Lane::Probe] {
        assert_eq!(Lane::from_byte(lane as u8), Some(lane));
    }
    assert_eq!((4..=255).filter_map(Lane::from_byte).count(), 0);
}
