//! What nodes' clocks show.

use tidings_proto::time::{Now, Time, UnixMillis};

use super::{Network, WALL};

impl Network {
    /// The wall clocks of nodes added from now on are ahead by so much, or behind if it is negative.
    pub fn set_clocks_ahead(&mut self, ms: i64) {
        self.ahead_ms = ms;
    }

    /// The true wall time.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.clocks().wall.0
    }

    pub(crate) fn clocks(&self) -> Now {
        Now { mono: Time(self.now), wall: UnixMillis(WALL + self.now / 1000) }
    }

    /// The clocks of a node.
    pub(super) fn clocks_of(&self, n: u32) -> Now {
        let now = self.clocks();
        Now { wall: UnixMillis(now.wall.0.saturating_add_signed(self.slots[n as usize].ahead_ms)), ..now }
    }
}
