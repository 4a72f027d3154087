//! Cutting a stream's chunks into frames, each in memory of its own.
//!
//! A frame may be kept for long (in a log), so it must not pin the packet buffers it arrived in: every frame is
//! copied once, into exactly its length. Between frames nothing is held.

use bytes::{Bytes, BytesMut};
use tidings_proto::wire::{HEADER_LEN, Header, WireError};

/// The incomplete frame at the end of what was read, if there is one.
#[derive(Default)]
pub(super) struct Cutter {
    partial: BytesMut,
    /// Length of the partial frame, once its header is complete.
    wanted: usize,
}

impl Cutter {
    /// Takes the stream's next bytes; complete frames go to `out`. After an error the stream cannot be cut further.
    pub(super) fn feed(&mut self, mut chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), WireError> {
        while !chunk.is_empty() {
            if self.partial.is_empty() {
                match Header::peek(&chunk)? {
                    Some(header) if chunk.len() >= header.frame_len() => {
                        out.push(Bytes::copy_from_slice(&chunk.split_to(header.frame_len())));
                        continue;
                    }
                    Some(header) => self.begin(header.frame_len()),
                    // A wrong version shows in the first byte already.
                    None => self.begin(HEADER_LEN),
                }
            }
            let missing = self.wanted - self.partial.len();
            self.partial.extend_from_slice(&chunk.split_to(missing.min(chunk.len())));
            if self.partial.len() == HEADER_LEN && self.wanted == HEADER_LEN {
                let Some(header) = Header::peek(&self.partial)? else { continue };
                self.wanted = header.frame_len();
                self.partial.reserve(self.wanted - HEADER_LEN);
            }
            if self.partial.len() == self.wanted && self.wanted > 0 {
                out.push(std::mem::take(&mut self.partial).freeze());
                self.wanted = 0;
            }
        }
        Ok(())
    }

    fn begin(&mut self, wanted: usize) {
        self.partial = BytesMut::with_capacity(wanted);
        self.wanted = wanted;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidings_proto::wire::Frame;

    use super::*;

    proptest! {
        #[test]
        fn frames_survive_any_cut(
            lens in proptest::collection::vec((0usize..40, 0usize..3000), 0..20),
            cuts in proptest::collection::vec(1usize..900, 1..50),
        ) {
            let frames: Vec<Bytes> = lens
                .iter()
                .enumerate()
                .map(|(i, (body, payload))| Frame::new(i as u8, &vec![1; *body], vec![2; *payload].into()).to_bytes())
                .collect();
            let mut stream = Bytes::from(frames.concat());
            let (mut cutter, mut out, mut cuts) = (Cutter::default(), Vec::new(), cuts.iter().cycle());
            while !stream.is_empty() {
                let cut = (*cuts.next().unwrap()).min(stream.len());
                cutter.feed(stream.split_to(cut), &mut out).unwrap();
            }
            prop_assert_eq!(out, frames);
            prop_assert!(cutter.partial.is_empty());
        }
    }

    #[test]
    fn a_wrong_version_and_an_overlong_frame_are_errors() {
        let mut out = Vec::new();
        assert_eq!(Cutter::default().feed(vec![9; 8].into(), &mut out), Err(WireError::Version(9)));
        let long = [1, 0, 0, 0, 255, 255, 255, 255];
        for cut in 1..8 {
            let mut cutter = Cutter::default();
            cutter.feed(Bytes::copy_from_slice(&long[..cut]), &mut out).unwrap();
            assert!(matches!(cutter.feed(Bytes::copy_from_slice(&long[cut..]), &mut out), Err(WireError::TooLong(_))));
        }
    }
}
