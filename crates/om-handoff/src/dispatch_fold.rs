//! What the dispatch journal knows: dispatches without an outcome, how often
//! an intent was attempted with which key, and in which evaluations it was
//! executed.

use std::collections::{BTreeMap, BTreeSet};

use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, EvaluationIdentity, IntentExecution, OutcomeStatus,
};
use om_policy::BadRow;
use om_store::Fold;
use serde::{Deserialize, Serialize, Serializer};

use crate::key::base_key;
use crate::outcome::{intent_execution, result};

/// Keys of one intent that are remembered, the latest ones: a key is made
/// from the run's trace id, and old ones do not come back.
const KEYS: usize = 8;

/// Evaluations that an intent is remembered to be executed in, the latest
/// ones: an evaluation is acted on while it is the current one.
const EVALUATIONS: usize = 8;

/// The dispatch journal, folded. Its size depends on the number of intents,
/// not on that of dispatches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DispatchFold {
    /// By dispatch; at most those of runs that died.
    open: BTreeMap<String, DispatchRow>,
    /// By intent, oldest first.
    attempts: BTreeMap<String, Vec<Attempts>>,
    /// By intent, oldest first.
    executed: BTreeMap<String, Vec<Executed>>,
    #[serde(serialize_with = "only_sound", skip_deserializing)]
    bad: Option<BadRow>,
}

/// How often a key was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Attempts {
    key: String,
    count: u64,
}

/// An execution, and the policy evaluation it belongs to (decision D17).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Executed {
    dispatch_id: String,
    evaluation: EvaluationIdentity,
    execution: IntentExecution,
}

/// The fold of a damaged journal is not saved: when somebody has repaired it,
/// it is read again.
#[expect(clippy::ref_option, reason = "what serde passes")]
fn only_sound<S: Serializer>(bad: &Option<BadRow>, serializer: S) -> Result<S::Ok, S::Error> {
    match bad {
        None => serializer.serialize_none(),
        Some(_) => Err(serde::ser::Error::custom("the journal is damaged")),
    }
}

impl DispatchFold {
    /// Dispatches without an outcome, in the order of their making.
    pub fn open(&self) -> Vec<DispatchRow> {
        let mut open: Vec<DispatchRow> = self.open.values().cloned().collect();
        open.sort_by_key(|row| row.timestamp);
        open
    }

    /// Attempts on an intent that are recorded with `key`, or a fresh one
    /// made from it.
    pub fn attempts(&self, intent_id: &str, key: &str) -> u64 {
        let keys = self.attempts.get(intent_id).into_iter().flatten();
        let mut known = keys.filter(|attempts| attempts.key == key);
        known.next().map_or(0, |attempts| attempts.count)
    }

    /// What was executed in `evaluation`, by intent.
    pub fn executed(&self, evaluation: &EvaluationIdentity) -> BTreeMap<String, IntentExecution> {
        let of_evaluation = |(id, known): (&String, &Vec<Executed>)| {
            let mut known = known.iter().rev();
            let found = known.find(|executed| executed.evaluation == *evaluation)?;
            Some((id.clone(), found.execution.clone()))
        };
        self.executed.iter().filter_map(of_evaluation).collect()
    }

    /// The first row that cannot be read; rows after it are not counted.
    pub fn bad_row(&self) -> Option<&BadRow> {
        self.bad.as_ref()
    }

    /// Takes in a row.
    pub fn take(&mut self, row: DispatchRow) {
        match row.phase {
            DispatchPhase::Intent => {
                self.count(&row);
                self.open.insert(row.dispatch_id.clone(), row);
            }
            DispatchPhase::Outcome => {
                self.open.remove(&row.dispatch_id);
                self.remember(&row);
            }
        }
    }

    fn remember(&mut self, row: &DispatchRow) {
        let Some(evaluation) = row.evaluation.clone() else {
            return;
        };
        if row.status != Some(OutcomeStatus::Executed) {
            return;
        }
        let known = self.executed.entry(row.intent_id.clone()).or_default();
        known.retain(|executed| executed.evaluation != evaluation);
        known.push(Executed {
            dispatch_id: row.dispatch_id.clone(),
            evaluation,
            execution: intent_execution(&result(row)),
        });
        let excess = known.len().saturating_sub(EVALUATIONS);
        known.drain(..excess);
    }

    fn count(&mut self, row: &DispatchRow) {
        let key = base_key(&row.idempotency_key, row.attempt);
        let keys = self.attempts.entry(row.intent_id.clone()).or_default();
        let known = keys.iter().position(|attempts| attempts.key == key);
        let count = known.map_or(0, |at| keys.remove(at).count);
        keys.push(Attempts {
            key: key.to_owned(),
            count: count.saturating_add(1).max(row.attempt),
        });
        let excess = keys.len().saturating_sub(KEYS);
        keys.drain(..excess);
    }
}

/// The dispatches that a fold needs, however old they are: those without an
/// outcome, those with the keys and those executions that it remembers.
#[derive(Clone, Debug, Default)]
pub struct DispatchRetention {
    fold: DispatchFold,
    /// By dispatch: intent, key, and where its rows start.
    dispatches: BTreeMap<String, Dispatch>,
}

#[derive(Clone, Debug)]
struct Dispatch {
    intent_id: String,
    key: String,
    offsets: Vec<u64>,
}

impl DispatchRetention {
    /// Looks at the next row, which starts at byte `offset`; an error says
    /// what is wrong with it.
    pub fn see(&mut self, row: &[u8], offset: u64) -> Result<(), String> {
        if row.trim_ascii().is_empty() {
            return Ok(());
        }
        let row: DispatchRow = serde_json::from_slice(row).map_err(|error| error.to_string())?;
        let dispatch = || Dispatch {
            intent_id: row.intent_id.clone(),
            key: base_key(&row.idempotency_key, row.attempt).to_owned(),
            offsets: Vec::new(),
        };
        let entry = self.dispatches.entry(row.dispatch_id.clone());
        entry.or_insert_with(dispatch).offsets.push(offset);
        self.fold.take(row);
        Ok(())
    }

    /// The offsets of the rows that are needed.
    pub fn needed(self) -> BTreeSet<u64> {
        let Self { fold, dispatches } = self;
        let is_needed = |(id, dispatch): &(String, Dispatch)| {
            let keys = fold.attempts.get(&dispatch.intent_id);
            let mut keys = keys.into_iter().flatten();
            let executed = fold.executed.get(&dispatch.intent_id);
            let mut executed = executed.into_iter().flatten();
            fold.open.contains_key(id)
                || keys.any(|known| known.key == dispatch.key)
                || executed.any(|known| known.dispatch_id == *id)
        };
        let needed = dispatches.into_iter().filter(is_needed);
        needed.flat_map(|(_, dispatch)| dispatch.offsets).collect()
    }
}

impl Fold for DispatchFold {
    const NAME: &'static str = "dispatches";
    const VERSION: u32 = 2;

    fn add(&mut self, row: &[u8], offset: u64) {
        if self.bad.is_some() || row.trim_ascii().is_empty() {
            return;
        }
        match serde_json::from_slice(row) {
            Ok(row) => self.take(row),
            Err(error) => {
                self.bad = Some(BadRow {
                    offset,
                    what: error.to_string(),
                });
            }
        }
    }
}
