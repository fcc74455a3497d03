//! The end of `reconcile.jsonl` as a fold: what a summary needs of its last
//! rows, so that a pass does not read the window again.

use std::borrow::Cow;
use std::collections::VecDeque;

use om_store::Fold;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::rows::{Duration, ReasonCode, ReconcileRow};

/// The last rows of a journal of passes. Most loops have long runs of equal
/// ones, which are kept once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecentPasses {
    /// How often, and what; never 0 times.
    runs: VecDeque<(usize, RecentPass)>,
    /// How many rows these are.
    rows: usize,
}

/// One row. The names are short because every pass reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum RecentPass {
    /// A blank line: counted when rows are chosen, nothing else.
    #[serde(rename = "_")]
    Blank,
    /// A row that cannot be read, and why.
    #[serde(rename = "x")]
    Bad(u64, String),
    /// Status, health, reason codes, and duration.
    #[serde(rename = "p")]
    Pass(Option<String>, Option<String>, Vec<Value>, Option<Number>),
}

impl Fold for RecentPasses {
    const NAME: &'static str = "recent";
    const VERSION: u32 = 1;
    const LAST_ROWS: Option<usize> = Some(Self::CAPACITY);

    fn add(&mut self, row: &[u8], offset: u64) {
        let new = RecentPass::read(row, offset);
        match self.runs.back_mut() {
            Some((times, last)) if *last == new => *times += 1,
            _ => self.runs.push_back((1, new)),
        }
        self.rows += 1;
        if self.rows > Self::CAPACITY {
            self.drop_first();
        }
    }
}

impl RecentPasses {
    /// Rows that are kept.
    pub const CAPACITY: usize = 256;

    fn drop_first(&mut self) {
        self.rows -= 1;
        match self.runs.front_mut() {
            Some((times, _)) if *times > 1 => *times -= 1,
            _ => {
                self.runs.pop_front();
            }
        }
    }

    /// The last `n` rows in file order: how often, and what.
    pub(super) fn last(&self, n: usize) -> impl Iterator<Item = (usize, &RecentPass)> {
        let mut skipped = self.rows.saturating_sub(n);
        self.runs.iter().filter_map(move |(times, row)| {
            let kept = times.saturating_sub(skipped);
            skipped = skipped.saturating_sub(*times);
            (kept > 0).then_some((kept, row))
        })
    }
}

impl RecentPass {
    pub(super) fn read(row: &[u8], offset: u64) -> Self {
        if row.trim_ascii().is_empty() {
            return Self::Blank;
        }
        match ReconcileRow::parse(row) {
            Err(message) => Self::Bad(offset, message),
            Ok(row) => Self::Pass(
                row.status.map(Cow::into_owned),
                row.health_status.map(Cow::into_owned),
                row.reason_codes
                    .into_iter()
                    .map(ReasonCode::into_value)
                    .collect(),
                row.duration.map(|duration| duration.number),
            ),
        }
    }

    /// The row as it was read, `None` if it is blank; offset and message if
    /// it cannot be read.
    pub(super) fn row(&self) -> Result<Option<ReconcileRow<'_>>, (u64, &str)> {
        match self {
            Self::Blank => Ok(None),
            Self::Bad(offset, message) => Err((*offset, message)),
            Self::Pass(status, health, codes, duration) => Ok(Some(ReconcileRow {
                status: status.as_deref().map(Cow::Borrowed),
                health_status: health.as_deref().map(Cow::Borrowed),
                reason_codes: codes.iter().map(ReasonCode::of).collect(),
                duration: duration.clone().and_then(Duration::new),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_row_is_the_row_that_was_read() {
        let rows: [&[u8]; 6] = [
            br#"{"status":"success","durationSeconds":3,"healthStatus":"healthy","healthReasonCodes":["a","b"]}"#,
            br#"{"status":"failed","durationSeconds":"2.50","healthStatus":7,"healthReasonCodes":{"x":null,"y":[1]}}"#,
            b"{}",
            b"null",
            b"[1]",
            b"{",
        ];
        for row in rows {
            let kept = RecentPass::read(row, 9);
            let text = serde_json::to_string(&kept).expect("serialises");
            let loaded: RecentPass = serde_json::from_str(&text).expect("parses");
            assert_eq!(loaded, kept, "{text}");
            match (ReconcileRow::parse(row), loaded.row()) {
                (Ok(read), Ok(Some(kept))) => assert_eq!(kept, read, "{text}"),
                (Err(read), Err((9, kept))) => assert_eq!(kept, read),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(RecentPass::read(b" \t", 1).row(), Ok(None));
    }

    #[test]
    fn equal_rows_are_kept_once() {
        let mut recent = RecentPasses::default();
        for row in ["", "", "{}", "{}", "{}", ""] {
            recent.add(row.as_bytes(), 0);
        }
        let times = |n| -> Vec<usize> { recent.last(n).map(|(times, _)| times).collect() };
        assert_eq!(times(9), [2, 3, 1]);
        assert_eq!(times(3), [2, 1]);
        assert_eq!(times(0), [] as [usize; 0]);
        for _ in 0..RecentPasses::CAPACITY {
            recent.add(b"", 0);
        }
        assert_eq!(recent.last(usize::MAX).count(), 1);
    }

    #[test]
    fn only_the_last_rows_are_kept() {
        let mut recent = RecentPasses::default();
        for offset in 0..1000 {
            recent.add(b"x", offset);
        }
        let offsets = |n| -> Vec<u64> {
            let rows = recent.last(n).map(|(_, row)| row.row());
            rows.filter_map(|row| row.err().map(|(offset, _)| offset))
                .collect()
        };
        assert_eq!(offsets(2), [998, 999]);
        assert_eq!(offsets(5000).len(), RecentPasses::CAPACITY);
    }
}
