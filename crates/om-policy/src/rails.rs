//! What holds the manager back where every gate is open (chapter 06 §1.4.5,
//! phase B). The caps are asked again before every dispatch (decision D15).

use std::collections::HashMap;

use om_model::Timestamp;
use om_model::fleet::policy::{AutonomousCooldown, AutonomyReason};
use om_model::fleet::registry::Safety;

use crate::suppression::remaining;

/// Actions that a run may still take.
#[derive(Clone, Debug)]
pub struct Caps {
    per_run: u64,
    per_loop: u64,
    taken: u64,
    taken_by_loop: HashMap<String, u64>,
}

impl Caps {
    /// The caps of `safety`, with nothing taken.
    pub fn new(safety: &Safety) -> Self {
        Self {
            per_run: safety.max_actions_per_run,
            per_loop: safety.max_actions_per_loop,
            taken: 0,
            taken_by_loop: HashMap::new(),
        }
    }

    /// Why no further action on `loop_id` may be taken; `None` if it may.
    pub fn blocks(&self, loop_id: &str) -> Option<AutonomyReason> {
        if self.taken >= self.per_run {
            return Some(AutonomyReason::MaxActionsPerRunExceeded);
        }
        let taken = self.taken_by_loop.get(loop_id).copied().unwrap_or(0);
        (taken >= self.per_loop).then_some(AutonomyReason::MaxActionsPerLoopExceeded)
    }

    /// Takes an action on `loop_id`.
    pub fn take(&mut self, loop_id: &str) {
        self.taken += 1;
        *self.taken_by_loop.entry(loop_id.to_owned()).or_default() += 1;
    }
}

/// The time between two times of being eligible, of which `last` was the
/// last one.
pub fn cooldown(seconds: u64, last: Option<Timestamp>, now: Timestamp) -> AutonomousCooldown {
    let left = last.and_then(|since| remaining(seconds, since, now));
    AutonomousCooldown {
        active: left.is_some(),
        remaining_seconds: left.unwrap_or(0),
        last_eligible_at: last,
    }
}

/// The first rail that holds back a candidate that got through all gates.
pub fn held_back(
    safety: &Safety,
    cooldown: &AutonomousCooldown,
    caps: &Caps,
    loop_id: &str,
) -> Option<AutonomyReason> {
    if safety.kill_switch {
        Some(AutonomyReason::KillSwitchEnabled)
    } else if cooldown.active {
        Some(AutonomyReason::CooldownActive)
    } else {
        caps.blocks(loop_id)
    }
}
