//! Shards: which part of the index an agent or topic belongs to.

/// How many shards there are.
pub const SHARDS: usize = 1 << 16;

/// The shard of an agent or topic: `u16_le(BLAKE3("saorsa-rendezvous" ‖ id)[0..2])`.
pub fn shard_id(id: &[u8; 32]) -> u16 {
    let mut h = blake3::Hasher::new();
    h.update(b"saorsa-rendezvous").update(id);
    let [a, b, ..] = *h.finalize().as_bytes();
    u16::from_le_bytes([a, b])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_others_compute() {
        assert_eq!(shard_id(&[0x00; 32]), 61_660);
        assert_eq!(shard_id(&[0x01; 32]), 37_986);
        assert_eq!(shard_id(&[0x2a; 32]), 31_048);
    }
}
