//! What a pass has to know of its surroundings.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

/// One pass's time.
#[derive(Clone, Debug)]
pub struct Turn {
    pub(super) limit: Duration,
    pub(super) deadline: Instant,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Why a pass ends before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Its time is up.
    Deadline,
    /// Everything is to end.
    Stop,
}

impl Turn {
    /// The time that a pass has in all.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The time left.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether everything is to end.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Drives `work` to its end on this thread, unless time is up or
    /// everything is to end before that; it is then dropped where it waits.
    pub fn drive<F: Future>(&self, work: F) -> Result<F::Output, Cut> {
        let mut stopping = self.stopping.clone();
        Handle::current().block_on(async move {
            tokio::select! {
                biased;
                done = work => Ok(done),
                () = tokio::time::sleep_until(self.deadline) => Err(Cut::Deadline),
                _ = stopping.wait_for(|stop| *stop) => Err(Cut::Stop),
            }
        })
    }
}
