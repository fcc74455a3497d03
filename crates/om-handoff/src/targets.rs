//! Which intents of a plan an execution is about (chapter 06 §2.4.3–§2.4.4,
//! decisions D17 and D28).

use std::collections::BTreeSet;

use om_model::fleet::handoff::{ExecutionMode, HandoffIntent, HandoffState, IntentStatus};

/// What an execution is limited to; an empty list limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// `--loop`, in the order given.
    pub loops: Vec<String>,
    /// `--intent-id`, in the order given.
    pub intents: Vec<String>,
}

/// Why nothing is executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No intent of the pool is of these loops.
    #[error("loop filter not found in {} execution intents: {}", mode.as_str(), loops.join(","))]
    Loops {
        /// Which pool.
        mode: ExecutionMode,
        /// What was not found, in the order given.
        loops: Vec<String>,
    },
    /// These are no intents of the pool.
    #[error("intent filter not found in {} execution intents: {}", mode.as_str(), intents.join(","))]
    Intents {
        /// Which pool.
        mode: ExecutionMode,
        /// What was not found, in the order given.
        intents: Vec<String>,
    },
    /// These were executed (decision D17).
    #[error("intent already executed in this policy evaluation: {}", .0.join(","))]
    AlreadyExecuted(Vec<String>),
}

/// The places of the targets in `plan.intents`, in their order.
///
/// The pool is what is pending, and in autonomous mode eligible. Values of
/// `filters` that are not in it are errors: a misspelt id must not pass as
/// "nothing to do".
pub fn select(
    plan: &HandoffState,
    mode: ExecutionMode,
    filters: &Filters,
) -> Result<Vec<usize>, TargetError> {
    let intents = plan.intents.iter().enumerate();
    let pool: Vec<(usize, &HandoffIntent)> = intents
        .filter(|(_, intent)| in_pool(intent, mode))
        .collect();
    let loops: BTreeSet<&str> = pool.iter().map(|(_, i)| i.loop_id.as_str()).collect();
    let ids: BTreeSet<&str> = pool.iter().map(|(_, i)| i.intent_id.as_str()).collect();
    let executed = executed(plan);
    let missing = |given: &[String], known: &dyn Fn(&str) -> bool| -> Vec<String> {
        given
            .iter()
            .filter(|value| !known(value))
            .cloned()
            .collect()
    };
    let unknown = missing(&filters.loops, &|id| loops.contains(id));
    if !unknown.is_empty() {
        return Err(TargetError::Loops {
            mode,
            loops: unknown,
        });
    }
    let unknown = missing(&filters.intents, &|id| {
        ids.contains(id) || executed.contains(id)
    });
    if !unknown.is_empty() {
        return Err(TargetError::Intents {
            mode,
            intents: unknown,
        });
    }
    let done = missing(&filters.intents, &|id| ids.contains(id));
    if !done.is_empty() {
        return Err(TargetError::AlreadyExecuted(done));
    }
    let wanted = |given: &[String], id: &str| given.is_empty() || given.iter().any(|g| g == id);
    let targets = pool.into_iter().filter(|(_, intent)| {
        wanted(&filters.loops, &intent.loop_id) && wanted(&filters.intents, &intent.intent_id)
    });
    Ok(targets.map(|(index, _)| index).collect())
}

fn in_pool(intent: &HandoffIntent, mode: ExecutionMode) -> bool {
    let pending = intent.status == IntentStatus::PendingOperatorConfirmation;
    pending
        && match mode {
            ExecutionMode::Manual => true,
            ExecutionMode::Autonomous => intent.autonomous.eligible,
        }
}

fn executed(plan: &HandoffState) -> BTreeSet<&str> {
    let done = plan
        .intents
        .iter()
        .filter(|i| i.status == IntentStatus::Executed);
    done.map(|intent| intent.intent_id.as_str()).collect()
}
