//! Who is connected, to find the one that is idle for longest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::activity::Activity;

/// Every connection of a service.
#[derive(Debug, Default)]
pub(super) struct Roster {
    present: Mutex<HashMap<u64, Arc<Activity>>>,
    arrived: AtomicU64,
}

/// One connection; off the roster when dropped.
#[derive(Debug)]
pub(super) struct Guest {
    number: u64,
    pub(super) activity: Arc<Activity>,
    roster: Arc<Roster>,
}

impl Roster {
    /// One more connection.
    pub(super) fn enter(self: &Arc<Self>) -> Guest {
        let number = self.arrived.fetch_add(1, Ordering::Relaxed);
        let activity = Activity::new();
        self.lock().insert(number, Arc::clone(&activity));
        Guest {
            number,
            activity,
            roster: Arc::clone(self),
        }
    }

    /// Ends the connection for which nothing is being done for longest;
    /// `false` if something is being done for all of them.
    pub(super) fn end_idlest(&self) -> bool {
        let mut present = self.lock();
        let idle = present
            .iter()
            .filter_map(|(number, activity)| Some((activity.idle_since()?, *number)));
        let Some((_, number)) = idle.min() else {
            return false;
        };
        // Off the roster at once, so that the next one finds another.
        if let Some(activity) = present.remove(&number) {
            activity.evicted.notify_one();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.roster.lock().remove(&self.number);
    }
}
