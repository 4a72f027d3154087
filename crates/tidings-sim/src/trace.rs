//! The trace hash: what happened, in order, in 32 bytes.

/// Hashes every event a node handles.
#[derive(Default)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
}

impl Trace {
    /// One event: when, at which node, what kind, and what tells it apart.
    pub(crate) fn note(&mut self, at: u64, node: u32, kind: u8, detail: &[u8]) {
        let mut head = [0; 16];
        head[..8].copy_from_slice(&at.to_le_bytes());
        head[8..12].copy_from_slice(&node.to_le_bytes());
        head[12] = kind;
        head[13..15].copy_from_slice(&(detail.len() as u16).to_le_bytes());
        self.hasher.update(&head);
        self.hasher.update(&detail[..detail.len().min(96)]);
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}
