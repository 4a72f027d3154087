//! Everything that nodes receive, written down: for tests of what each of them can learn.

use bytes::Bytes;
use tidings_proto::time::Time;

use super::Network;

/// A frame that reached a node.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Time,
    /// Who sent it.
    pub from: u32,
    /// Who received it.
    pub to: u32,
    /// The whole frame.
    pub frame: Bytes,
}

impl Network {
    /// Writes down every frame that arrives from now on.
    pub fn record(&mut self) {
        self.heard = Some(Vec::new());
    }

    /// What was written down since the last call.
    pub fn recorded(&mut self) -> Vec<Heard> {
        self.heard.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn hears(&mut self, from: u32, to: u32, frame: &Bytes) {
        let at = Time(self.now);
        if let Some(heard) = &mut self.heard {
            heard.push(Heard { at, from, to, frame: frame.clone() });
        }
    }
}
