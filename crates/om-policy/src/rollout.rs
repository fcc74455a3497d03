//! For which loops autonomy is on (chapter 06 §1.4.3).

use std::collections::HashSet;
use std::sync::Arc;

use om_model::fleet::policy::Selector;
use om_model::fleet::registry::{Rollout, cohort_bucket};

/// The rollout, ready to place many loops in it.
#[derive(Clone, Debug)]
pub struct Cohort {
    percent: u8,
    /// Loops in scope, as the registry lists them; none: all.
    pub(crate) scope: Arc<Vec<String>>,
    in_scope: HashSet<String>,
    frozen: HashSet<String>,
    pub(crate) salt: Arc<String>,
}

impl Cohort {
    /// The cohort of `rollout`.
    pub fn new(rollout: &Rollout) -> Self {
        Self {
            percent: rollout.canary_percent,
            scope: Arc::new(rollout.scope.loop_ids.clone()),
            in_scope: rollout.scope.loop_ids.iter().cloned().collect(),
            frozen: rollout.frozen_loop_ids.iter().cloned().collect(),
            salt: Arc::new(rollout.selector.salt.clone()),
        }
    }

    /// The loop's place.
    pub fn place(&self, loop_id: &str) -> Selector {
        let bucket = cohort_bucket(loop_id, &self.salt);
        let in_scope = self.in_scope.is_empty() || self.in_scope.contains(loop_id);
        let canary_selected = bucket < self.percent;
        Selector {
            salt: Arc::clone(&self.salt),
            bucket,
            in_scope,
            canary_selected,
            in_cohort: in_scope && canary_selected,
        }
    }

    /// Whether somebody froze the loop (decision D27).
    pub fn is_frozen(&self, loop_id: &str) -> bool {
        self.frozen.contains(loop_id)
    }
}
