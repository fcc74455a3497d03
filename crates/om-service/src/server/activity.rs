//! What a connection is doing, and since when: whoever does nothing for too
//! long is not waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Limits;

/// The activity of one connection, shared by its stream, its requests, and
/// whoever looks for idle ones.
#[derive(Debug)]
pub(super) struct Activity {
    now: Mutex<Doing>,
    /// Somebody else needs the room.
    pub(super) evicted: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Doing {
    what: What,
    /// The client has left something unread since then.
    stalled: Option<Instant>,
    /// The client has more to send than anybody will read.
    has_unread: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Nothing was received since the last answer.
    Idle(Instant),
    /// The head of a request is arriving.
    Head(Instant),
    /// A request is being processed, or what is missing of it read.
    Request {
        /// Its body has not arrived whole.
        is_arriving: bool,
    },
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A request did not arrive in time.
    Head,
    /// Nothing happens.
    Idle,
    /// An answer is not taken.
    Stalled,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let doing = Doing {
            what: What::Idle(Instant::now()),
            stalled: None,
            has_unread: false,
        };
        Arc::new(Self {
            now: Mutex::new(doing),
            evicted: Notify::new(),
        })
    }

    /// Bytes have arrived.
    pub(super) fn received(&self) {
        let mut now = self.lock();
        if let What::Idle(_) = now.what {
            now.what = What::Head(Instant::now());
        }
    }

    /// The head of a request is complete; `is_arriving` if it has a body that
    /// may not be.
    pub(super) fn begin(&self, is_arriving: bool) {
        self.lock().what = What::Request { is_arriving };
    }

    /// The body of the request has arrived whole, or nobody waits for it.
    pub(super) fn has_body(&self) {
        let mut now = self.lock();
        if let What::Request { is_arriving } = &mut now.what {
            *is_arriving = false;
        }
    }

    /// It is answered; `has_unread` if the connection ends although the
    /// client may still be sending.
    pub(super) fn end(&self, has_unread: bool) {
        let mut now = self.lock();
        now.what = What::Idle(Instant::now());
        now.has_unread = has_unread;
    }

    /// The client does not take what is written.
    pub(super) fn stalled(&self) {
        self.lock().stalled.get_or_insert_with(Instant::now);
    }

    /// It does.
    pub(super) fn flowing(&self) {
        self.lock().stalled = None;
    }

    /// The client may still be sending what nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.lock().has_unread
    }

    /// Since when nothing is being done for the client.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match self.lock().what {
            What::Idle(since) | What::Head(since) => Some(since),
            What::Request { .. } => None,
        }
    }

    /// Whether all there is to it is a request that has not arrived yet.
    pub(super) fn is_unfinished(&self) -> bool {
        let now = self.lock();
        let is_arriving = matches!(
            now.what,
            What::Head(_) | What::Request { is_arriving: true }
        );
        is_arriving && now.stalled.is_none()
    }

    /// When this has taken too long, and what it is then.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<(Instant, Overdue)> {
        let now = self.lock();
        let stalled = now
            .stalled
            .map(|at| (at, limits.write_time, Overdue::Stalled));
        let waiting = match now.what {
            What::Idle(at) => Some((at, limits.idle_time, Overdue::Idle)),
            What::Head(at) => Some((at, limits.head_time, Overdue::Head)),
            What::Request { .. } => None,
        };
        let due = |(at, time, what): (Instant, Duration, Overdue)| (at + time, what);
        stalled.or(waiting).map(due)
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_connection_does_decides_how_long_it_may_take() {
        let limits = Limits::default();
        let activity = Activity::new();
        let overdue = || activity.deadline(&limits).map(|(_, what)| what);
        assert_eq!(overdue(), Some(Overdue::Idle));
        activity.received();
        assert_eq!(overdue(), Some(Overdue::Head));
        assert!(activity.is_unfinished());
        activity.begin(true);
        assert_eq!((overdue(), activity.idle_since()), (None, None));
        assert!(activity.is_unfinished());
        activity.has_body();
        assert!(!activity.is_unfinished());
        activity.received();
        assert_eq!(overdue(), None, "a body is not a head");
        activity.stalled();
        assert_eq!(overdue(), Some(Overdue::Stalled));
        activity.flowing();
        activity.end(false);
        assert_eq!(overdue(), Some(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_has_one_limit_as_a_whole() {
        let limits = Limits::default();
        let activity = Activity::new();
        activity.received();
        let first = activity.deadline(&limits);
        tokio::time::advance(Duration::from_secs(3)).await;
        activity.received();
        assert_eq!(activity.deadline(&limits), first);
    }
}
