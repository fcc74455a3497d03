//! Which rows of a journal are old, and which of those are needed.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::Path;

use om_model::{Timestamp, json};
use om_policy::retention::{HandoffRetention, HistoryRetention};
use om_store::LineReader;
use serde::Deserialize;
use serde_json::Value;

use super::{JournalError, unreadable};
use crate::dispatch_fold::DispatchRetention;

/// What needs rows however old they are.
pub(super) enum Window {
    None,
    History(HistoryRetention),
    Handoff(HandoffRetention),
    Dispatch(DispatchRetention),
}

impl Window {
    fn see(&mut self, row: &[u8], offset: u64) -> Result<(), String> {
        match self {
            Self::None => Ok(()),
            Self::History(window) => window.see(row, offset),
            Self::Handoff(window) => window.see(row, offset),
            Self::Dispatch(window) => window.see(row, offset),
        }
    }

    fn needed(self) -> BTreeSet<u64> {
        match self {
            Self::None => BTreeSet::new(),
            Self::History(window) => window.needed(),
            Self::Handoff(window) => window.needed(),
            Self::Dispatch(window) => window.needed(),
        }
    }
}

/// A journal, sorted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sorted {
    /// Complete lines.
    pub(super) rows: u64,
    /// The end of the last one.
    pub(super) until: u64,
    /// Where the rows start that go, ascending.
    pub(super) goes: Vec<u64>,
    /// Old rows that stay.
    pub(super) needed: u64,
}

impl Sorted {
    /// Whether the row that starts there goes.
    pub(super) fn goes(&self, offset: u64) -> bool {
        self.goes.binary_search(&offset).is_ok()
    }
}

/// Sorts the complete rows of `journal`: those from before `before` go, but for
/// the last `least` rows and what `window` needs. Rows without a time stay.
pub(super) fn sort(
    journal: &Path,
    before: Timestamp,
    least: usize,
    mut window: Window,
) -> Result<Sorted, JournalError> {
    let failed = |source| unreadable(journal, source);
    let mut lines = LineReader::new(File::open(journal).map_err(failed)?, 0, 0);
    let mut old = Vec::new();
    let mut newest = VecDeque::with_capacity(least + 1);
    while let Some(line) = lines.next_line().map_err(failed)? {
        let bad = |what| JournalError::BadRow {
            line: line.number,
            what,
        };
        let at = time_of(line.bytes).map_err(bad)?;
        window.see(line.bytes, line.start).map_err(bad)?;
        if at.is_some_and(|at| at < before) {
            old.push(line.start);
        }
        newest.push_back(line.start);
        if newest.len() > least {
            newest.pop_front();
        }
    }
    let mut stays = window.needed();
    stays.extend(newest);
    let count = old.len();
    old.retain(|offset| !stays.contains(offset));
    Ok(Sorted {
        rows: lines.lines(),
        until: lines.offset(),
        needed: (count - old.len()) as u64,
        goes: old,
    })
}

#[derive(Deserialize)]
struct Stamp {
    #[serde(default)]
    timestamp: Value,
}

/// The row's time; none if it is blank, or does not say.
fn time_of(row: &[u8]) -> Result<Option<Timestamp>, String> {
    let row = row.trim_ascii();
    if row.is_empty() {
        return Ok(None);
    }
    let timestamp = match serde_json::from_slice::<Stamp>(row) {
        Ok(stamp) if row.starts_with(b"{") => Some(stamp.timestamp),
        // Members may occur twice; slower, and tolerant.
        _ => {
            let row = json::parse(row).map_err(|error| error.to_string())?;
            row.get("timestamp").cloned()
        }
    };
    let text = timestamp.as_ref().and_then(Value::as_str);
    Ok(text.and_then(Timestamp::parse))
}
