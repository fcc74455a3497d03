//! Time as a parameter, so that tests need not wait for it.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use om_model::Timestamp;

/// The wall clock, a stopwatch and patience.
pub trait Clock {
    /// The wall clock, for what is recorded.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, for limits: it never jumps.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_epoch_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}
