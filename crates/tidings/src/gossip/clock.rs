//! The core's two clocks, read from the system's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidings_proto::time::{Now, Span, Time, UnixMillis};

/// What the monotonic clock shows at the start: what was said before it, up to a day ago, has its time too.
const BEFORE: Duration = Duration::from_hours(48);

/// Monotonic time, and wall time.
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Beginning now.
    pub(super) fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// The system's word for a point in time.
    pub(super) fn instant(&self, at: Time) -> Instant {
        self.origin + Duration::from_micros(at.0).saturating_sub(BEFORE)
    }

    /// How long it has been running.
    pub(super) fn uptime(&self) -> Span {
        Span::from(self.origin.elapsed())
    }

    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: self.mono(), wall: UnixMillis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
    }

    fn mono(&self) -> Time {
        Time::default() + Span::from(BEFORE + self.origin.elapsed())
    }
}
