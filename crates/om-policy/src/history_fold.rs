//! When each candidate was seen last, from `policy-history.jsonl`.

use std::collections::BTreeMap;

use om_model::Timestamp;
use om_model::json::present;
use om_store::Fold;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::row::{self, BadRow};

/// The latest sightings of one candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// When it was not suppressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsuppressed: Option<Timestamp>,
    /// When the manager was allowed to act by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible: Option<Timestamp>,
}

/// The latest sightings of every candidate there ever was.
///
/// Grows with the number of candidates, not of rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryFold {
    candidates: BTreeMap<String, Sightings>,
    #[serde(serialize_with = "row::only_sound", skip_deserializing)]
    bad: Option<BadRow>,
}

impl HistoryFold {
    /// When the candidate was seen last.
    pub fn sightings(&self, candidate_id: &str) -> Sightings {
        self.candidates
            .get(candidate_id)
            .copied()
            .unwrap_or_default()
    }

    /// The first row that cannot be used; rows after it are not counted.
    pub fn bad_row(&self) -> Option<&BadRow> {
        self.bad.as_ref()
    }

    fn count(&mut self, row: Row) {
        let Some(sighting) = row.sighting() else {
            return;
        };
        let seen = self.candidates.entry(sighting.candidate_id).or_default();
        seen.unsuppressed = seen.unsuppressed.max(sighting.seen.unsuppressed);
        seen.eligible = seen.eligible.max(sighting.seen.eligible);
    }
}

/// What one row says about a candidate.
pub(crate) struct Sighting {
    pub(crate) candidate_id: String,
    pub(crate) seen: Sightings,
}

/// What a row says about a candidate, if it does.
pub(crate) fn sighting(row: &[u8]) -> Result<Option<Sighting>, String> {
    Ok(row::read::<Row>(row)?.and_then(Row::sighting))
}

/// What the fold looks at. Category, fleet and mode do not matter (§1.4.2).
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Row {
    candidate_id: Value,
    timestamp: Value,
    suppressed: Value,
    autonomous_eligible: Value,
}

impl Row {
    fn sighting(self) -> Option<Sighting> {
        let (Value::String(candidate_id), Value::String(timestamp)) =
            (self.candidate_id, self.timestamp)
        else {
            return None;
        };
        let at = Timestamp::parse(&timestamp)?;
        let unsuppressed = present(Some(&self.suppressed)).is_none();
        let eligible = self.autonomous_eligible == Value::Bool(true);
        let seen = Sightings {
            unsuppressed: unsuppressed.then_some(at),
            eligible: eligible.then_some(at),
        };
        (unsuppressed || eligible).then_some(Sighting { candidate_id, seen })
    }
}

impl Fold for HistoryFold {
    const NAME: &'static str = "sightings";
    const VERSION: u32 = 1;

    fn add(&mut self, row: &[u8], offset: u64) {
        if self.bad.is_some() {
            return;
        }
        match row::read(row) {
            Ok(Some(row)) => self.count(row),
            Ok(None) => {}
            Err(what) => self.bad = Some(BadRow { offset, what }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(rows: &[&str]) -> HistoryFold {
        let mut fold = HistoryFold::default();
        for row in rows {
            fold.add(row.as_bytes(), 7);
        }
        fold
    }

    fn sightings(rows: &[&str]) -> (Option<String>, Option<String>) {
        let seen = fold(rows).sightings("a:x");
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        (text(seen.unsuppressed), text(seen.eligible))
    }

    const AT: &str = "2031-01-01T00:00:09Z";

    #[test]
    fn what_counts_as_an_unsuppressed_sighting() {
        for (members, counts) in [
            (r#""suppressed":false"#, true),
            (r#""suppressed":null"#, true),
            (r#""other":1"#, true),
            (r#""category":"else","fleetId":5,"mode":[]"#, true),
            (r#""suppressed":true"#, false),
            (r#""suppressed":"false""#, false),
            (r#""suppressed":0"#, false),
            (r#""suppressed":true,"suppressed":false"#, true),
        ] {
            let row = format!(r#"{{"candidateId":"a:x","timestamp":"{AT}",{members}}}"#);
            let expected = counts.then(|| AT.to_owned());
            assert_eq!(sightings(&[&row]).0, expected, "{members}");
        }
    }

    #[test]
    fn only_true_counts_as_eligible() {
        for (value, counts) in [
            ("true", true),
            ("false", false),
            ("1", false),
            (r#""true""#, false),
        ] {
            let row = format!(
                r#"{{"candidateId":"a:x","timestamp":"{AT}","suppressed":true,"autonomousEligible":{value}}}"#
            );
            let expected = counts.then(|| AT.to_owned());
            assert_eq!(sightings(&[&row]), (None, expected), "{value}");
        }
    }

    #[test]
    fn the_latest_time_counts_wherever_it_stands() {
        let row = |second: u32| {
            format!(r#"{{"candidateId":"a:x","timestamp":"2031-01-01T00:00:0{second}Z"}}"#)
        };
        let rows = [row(3), row(9), row(1)];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        assert_eq!(sightings(&rows).0.as_deref(), Some(AT));
    }

    #[test]
    fn rows_without_a_time_or_a_candidate_are_no_sightings() {
        for row in [
            r#"{"candidateId":"a:x","timestamp":"yesterday"}"#,
            r#"{"candidateId":"a:x","timestamp":5}"#,
            r#"{"candidateId":"a:x"}"#,
            r#"{"candidateId":5,"timestamp":"2031-01-01T00:00:09Z"}"#,
            r#"{"candidateId":"b:x","timestamp":"2031-01-01T00:00:09Z"}"#,
            "null",
            "{}",
            "",
            "  ",
        ] {
            assert_eq!(sightings(&[row]), (None, None), "{row}");
            assert_eq!(fold(&[row]).bad_row(), None, "{row}");
        }
    }

    #[test]
    fn a_row_that_is_no_object_is_bad() {
        for row in ["{", "5", "[]", "\"x\"", "true", "{} {}", "{\"a\":1}x", "}"] {
            assert!(fold(&[row]).bad_row().is_some(), "{row}");
        }
        let fold = fold(&["{}", "[", "{"]);
        assert_eq!(fold.bad_row().map(|bad| bad.offset), Some(7));
    }

    #[test]
    fn a_fold_with_a_bad_row_is_not_kept() {
        assert!(serde_json::to_string(&fold(&["{"])).is_err());
        let sound = fold(&[r#"{"candidateId":"a:x","timestamp":"2031-01-01T00:00:09Z"}"#]);
        let text = serde_json::to_string(&sound).expect("is written");
        let back: HistoryFold = serde_json::from_str(&text).expect("is read");
        assert_eq!(back, sound);
    }
}
