//! The latest autonomous executions and plans, from `handoff.jsonl`.
//!
//! One fold for everybody who asks that journal something: auto-pause
//! (chapter 06 §1.4.4), the last look of a dispatch (decision D15) and the
//! promotion gates (chapter 07 §1.4). Reading it through [`read_handoff`]
//! also saves it; whoever appends rows has nothing to do.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;

use om_model::json::{self, present};
use om_store::{Fold, LineReader, ReadError, Scope, read_fold};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::row::{self, BadRow, Members};

/// Executions and plans that a saved fold can tell, the latest ones.
pub const RING: u64 = 256;

/// One autonomous execution that attempted something (decision D18).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Its row's, as written; empty if it has none.
    pub timestamp: String,
    /// Attempts as chapter 06 §1.4.4 counts them, at least 1.
    pub attempted: u64,
    /// `requestedIntentCount`, which chapter 07 counts.
    pub requested: u64,
    /// Done.
    pub executed: u64,
    /// With an unknown outcome.
    pub ambiguous: u64,
    /// Failed.
    pub failed: u64,
}

/// What a plan left to people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    /// Its row's, as written; empty if it has none.
    pub timestamp: String,
    /// `pendingConfirmationCount`
    pub pending: u64,
    /// `pendingManualOnlyCount` (decision D30); older rows have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_manual_only: Option<u64>,
}

/// The latest autonomous executions and plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandoffFold {
    /// In the order of the file.
    executions: Vec<Execution>,
    /// Whether there were more.
    dropped: bool,
    /// In the order of the file.
    plans: Vec<Backlog>,
    #[serde(serialize_with = "row::only_sound", skip_deserializing)]
    bad: Option<BadRow>,
    /// Executions that it can tell for sure.
    #[serde(skip, default = "ring")]
    capacity: usize,
}

fn ring() -> usize {
    HandoffFold::default().capacity
}

impl Default for HandoffFold {
    fn default() -> Self {
        Self::with_capacity(RING)
    }
}

impl HandoffFold {
    /// One that can tell the latest `capacity` executions.
    fn with_capacity(capacity: u64) -> Self {
        Self {
            executions: Vec::new(),
            dropped: false,
            plans: Vec::new(),
            bad: None,
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
        }
    }

    /// The last `n` executions of the file, in its order; fewer if there are
    /// fewer.
    pub fn last(&self, n: u64) -> &[Execution] {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        &self.executions[self.executions.len().saturating_sub(n)..]
    }

    /// The executions that it still knows, in the order of the file: among
    /// them the last [`RING`] of the file and the [`RING`] latest.
    pub fn executions(&self) -> &[Execution] {
        &self.executions
    }

    /// What the last plans left to people, at most [`RING`], in the order of
    /// the file.
    pub fn backlog(&self) -> &[Backlog] {
        let ring = usize::try_from(RING).unwrap_or(usize::MAX);
        &self.plans[self.plans.len().saturating_sub(ring)..]
    }

    /// Whether it knows the latest `n` executions, by file and by time.
    pub fn covers(&self, n: u64) -> bool {
        !self.dropped || usize::try_from(n).is_ok_and(|n| n <= self.capacity)
    }

    /// The first row that cannot be used; rows after it are not counted.
    pub fn bad_row(&self) -> Option<&BadRow> {
        self.bad.as_ref()
    }

    fn count(&mut self, entry: Entry) {
        match entry {
            Entry::Execution(execution) => {
                self.executions.push(execution);
                if self.executions.len() > self.capacity.saturating_mul(4) {
                    self.forget();
                }
            }
            Entry::Plan(plan) => {
                self.plans.push(plan);
                let ring = usize::try_from(RING).unwrap_or(usize::MAX);
                if self.plans.len() > 2 * ring {
                    self.plans.drain(..ring);
                }
            }
        }
    }

    /// Keeps the last executions by file and the latest by time.
    fn forget(&mut self) {
        let mut by_time: Vec<usize> = (0..self.executions.len()).collect();
        by_time.sort_by_key(|at| Reverse((&self.executions[*at].timestamp, *at)));
        let latest: BTreeSet<usize> = by_time.into_iter().take(self.capacity).collect();
        let last = self.executions.len() - self.capacity;
        let mut at = 0;
        self.executions.retain(|_| {
            at += 1;
            at > last || latest.contains(&(at - 1))
        });
        self.dropped = true;
    }
}

/// What counts of a row.
pub(crate) enum Entry {
    Execution(Execution),
    Plan(Backlog),
}

/// What counts of a row, if anything does.
pub(crate) fn entry(row: &[u8]) -> Result<Option<Entry>, String> {
    let Some(row) = row::read::<Row>(row)? else {
        return Ok(None);
    };
    let timestamp = match row.timestamp {
        Value::String(text) => text,
        _ => String::new(),
    };
    match row.category.as_str() {
        Some("fleet_handoff_execute") => {
            let execution = execution(row.execution.as_ref(), timestamp)?;
            Ok(execution.map(Entry::Execution))
        }
        Some("fleet_handoff_plan") => Ok(Some(Entry::Plan(backlog(&row.summary, timestamp)))),
        _ => Ok(None),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Row {
    category: Value,
    timestamp: Value,
    execution: Option<Members<OutcomeMembers>>,
    summary: Value,
}

/// The `execution` of an execute row, results left out; a plan row has none.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OutcomeMembers {
    mode: Value,
    requested_intent_count: Value,
    executed_intent_count: Value,
    executed_count: Value,
    ambiguous_count: Value,
    failed_count: Value,
}

/// The counts of a plan row's `summary.summary`.
fn backlog(summary: &Value, timestamp: String) -> Backlog {
    let count = |name| json::digits(summary.get("summary")?.get(name)?);
    Backlog {
        timestamp,
        pending: count("pendingConfirmationCount").unwrap_or(0),
        pending_manual_only: count("pendingManualOnlyCount"),
    }
}

/// The execution that counts, if the row is one.
fn execution(
    members: Option<&Members<OutcomeMembers>>,
    timestamp: String,
) -> Result<Option<Execution>, String> {
    let Some(Members(members)) = members.filter(|m| m.0.mode == "autonomous") else {
        return Ok(None);
    };
    let requested = count("requestedIntentCount", &members.requested_intent_count)?;
    let tried = count("executedIntentCount", &members.executed_intent_count)?;
    let execution = Execution {
        timestamp,
        attempted: tried.or(requested).unwrap_or(0),
        requested: requested.unwrap_or(0),
        executed: count("executedCount", &members.executed_count)?.unwrap_or(0),
        ambiguous: count("ambiguousCount", &members.ambiguous_count)?.unwrap_or(0),
        failed: count("failedCount", &members.failed_count)?.unwrap_or(0),
    };
    Ok((execution.attempted > 0).then_some(execution))
}

/// A count; `None` if it is missing, `null` or `false`.
fn count(name: &str, value: &Value) -> Result<Option<u64>, String> {
    match present(Some(value)) {
        None => Ok(None),
        Some(number @ Value::Number(_)) => json::digits(number)
            .map(Some)
            .ok_or_else(|| format!("execution.{name} is {number}, expected a whole number")),
        Some(other) => Err(format!(
            "execution.{name} is {}, expected a number",
            json::type_name(other)
        )),
    }
}

impl Fold for HandoffFold {
    const NAME: &'static str = "executions";
    const VERSION: u32 = 1;

    fn add(&mut self, row: &[u8], offset: u64) {
        if self.bad.is_some() {
            return;
        }
        match entry(row) {
            Ok(Some(entry)) => self.count(entry),
            Ok(None) => {}
            Err(what) => self.bad = Some(BadRow { offset, what }),
        }
    }
}

/// The fold over `journal`, which knows the latest `at_least` executions.
///
/// Up to [`RING`] of them are answered from what is saved; more take a scan
/// of the journal, unless it has no more.
pub fn read_handoff(
    journal: &Path,
    scope: &Scope,
    at_least: u64,
) -> Result<HandoffFold, ReadError> {
    let saved: HandoffFold = read_fold(journal, scope)?;
    if saved.covers(at_least) {
        return Ok(saved);
    }
    let failed = |source| ReadError {
        path: journal.to_owned(),
        source,
    };
    let file = std::fs::File::open(journal).map_err(failed)?;
    let mut fold = HandoffFold::with_capacity(at_least);
    let mut lines = LineReader::new(file, 0, 0);
    while let Some(line) = lines.next_line().map_err(failed)? {
        fold.add(line.bytes, line.start);
    }
    Ok(fold)
}
