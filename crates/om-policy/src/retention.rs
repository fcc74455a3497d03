//! Rows that evaluations need however old they are: without any of the others
//! they come to the same.

use std::collections::{BTreeMap, BTreeSet};

use om_model::Timestamp;

use crate::handoff_fold::{Entry, RING, entry};
use crate::history_fold::sighting;

/// Executions and plans that are kept whatever their age: the look-back of
/// auto-pause and the windows of the promotion gates are within them.
pub const KEPT_EXECUTIONS: u64 = 4 * RING;

/// The rows of `policy-history.jsonl` that decide: of every candidate the
/// latest unsuppressed and the latest eligible one.
#[derive(Clone, Debug, Default)]
pub struct HistoryRetention {
    latest: BTreeMap<String, [Option<(Timestamp, u64)>; 2]>,
}

impl HistoryRetention {
    /// Looks at the next row, which starts at byte `offset`; an error says
    /// what is wrong with it.
    pub fn see(&mut self, row: &[u8], offset: u64) -> Result<(), String> {
        let Some(sighting) = sighting(row)? else {
            return Ok(());
        };
        let latest = self.latest.entry(sighting.candidate_id).or_default();
        let seen = [sighting.seen.unsuppressed, sighting.seen.eligible];
        for (latest, at) in latest.iter_mut().zip(seen) {
            *latest = (*latest).max(at.map(|at| (at, offset)));
        }
        Ok(())
    }

    /// The offsets of the rows that are needed.
    pub fn needed(self) -> BTreeSet<u64> {
        let latest = self.latest.into_values().flatten().flatten();
        latest.map(|(_, offset)| offset).collect()
    }
}

/// The rows of `handoff.jsonl` that decide: the last executions and plans.
#[derive(Clone, Debug)]
pub struct HandoffRetention {
    kept: usize,
    /// With the times of their rows, as written.
    executions: Vec<(String, u64)>,
    plans: Vec<u64>,
}

impl HandoffRetention {
    /// Keeps [`KEPT_EXECUTIONS`], or `lookback` if that is more.
    pub fn new(lookback: u64) -> Self {
        let kept = KEPT_EXECUTIONS.max(lookback);
        Self {
            kept: usize::try_from(kept).unwrap_or(usize::MAX),
            executions: Vec::new(),
            plans: Vec::new(),
        }
    }

    /// Looks at the next row, which starts at byte `offset`; an error says
    /// what is wrong with it.
    pub fn see(&mut self, row: &[u8], offset: u64) -> Result<(), String> {
        match entry(row)? {
            Some(Entry::Execution(execution)) => {
                self.executions.push((execution.timestamp, offset));
            }
            Some(Entry::Plan(_)) => self.plans.push(offset),
            None => {}
        }
        Ok(())
    }

    /// The offsets of the rows that are needed: the last by file, and the
    /// latest by time.
    pub fn needed(mut self) -> BTreeSet<u64> {
        let last = |count: usize| count.saturating_sub(self.kept);
        let mut needed: BTreeSet<u64> = self.plans[last(self.plans.len())..]
            .iter()
            .copied()
            .collect();
        let by_file = &self.executions[last(self.executions.len())..];
        needed.extend(by_file.iter().map(|(_, offset)| *offset));
        self.executions.sort_unstable_by(|a, b| b.cmp(a));
        let by_time = self.executions.iter().take(self.kept);
        needed.extend(by_time.map(|(_, offset)| *offset));
        needed
    }
}
