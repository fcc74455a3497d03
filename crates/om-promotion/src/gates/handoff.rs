//! Executions and plans by handoff: what the gates use of `handoff.jsonl`
//! (chapter 07 §1.3, decisions D8, D9, D18, D19).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use om_model::json;
use om_policy::{BadRow, Execution, HandoffFold, read_handoff};
use om_store::{LineReader, ReadError, Scope, View, line_number_of};

use crate::error::PromotionError;

/// What the record of handoff says.
#[derive(Clone, Debug, PartialEq)]
pub enum HandoffEvidence {
    /// There is none.
    Missing,
    /// A line of it is not JSON; carries which and why.
    Invalid(String),
    /// It was read.
    Read(HandoffSample),
}

/// The latest runs and plans, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HandoffSample {
    /// Autonomous executions that attempted something (decision D18).
    pub runs: Vec<Execution>,
    /// Intents waiting for people, plan by plan.
    pub backlog: Vec<u64>,
}

/// Reads the last `window` runs of the record at `path`, and the last plans,
/// from the fold that handoff keeps beside it.
pub(super) fn gather(
    path: &str,
    scope: &Scope,
    window: u64,
) -> Result<HandoffEvidence, PromotionError> {
    let journal = Path::new(path);
    if !journal.is_file() {
        return Ok(HandoffEvidence::Missing);
    }
    sample(path, &read_handoff(journal, scope, window)?, window)
}

/// The same for somebody who only looks: nothing is saved, as far as the fold
/// knows that many runs.
pub(super) fn look(
    path: &str,
    view: &View,
    window: u64,
) -> Result<HandoffEvidence, PromotionError> {
    let journal = Path::new(path);
    if !journal.is_file() {
        return Ok(HandoffEvidence::Missing);
    }
    let fold: HandoffFold = view.fold(journal)?;
    if fold.covers(window) {
        return sample(path, &fold, window);
    }
    gather(path, &Scope::open(view.scope_dir())?, window)
}

fn sample(path: &str, fold: &HandoffFold, window: u64) -> Result<HandoffEvidence, PromotionError> {
    match fold.bad_row() {
        Some(bad) => unusable(path, bad),
        None => Ok(HandoffEvidence::Read(HandoffSample {
            runs: fold.last(window).to_vec(),
            backlog: fold.backlog().iter().map(|plan| plan.pending).collect(),
        })),
    }
}

/// A row that is not JSON fails the gate; one of a wrong type is an error
/// (decision D19).
fn unusable(path: &str, bad: &BadRow) -> Result<HandoffEvidence, PromotionError> {
    let journal = Path::new(path);
    let line = line_number_of(journal, bad.offset)?;
    let row = row_at(journal, bad.offset).map_err(|source| ReadError {
        path: journal.to_owned(),
        source,
    })?;
    if json::parse(&row).is_err() {
        let what = format!("{path}: line {line}: {}", bad.what);
        return Ok(HandoffEvidence::Invalid(what));
    }
    Err(PromotionError::Row {
        what: "handoff telemetry",
        path: path.to_owned(),
        line,
        cause: bad.what.clone(),
    })
}

/// The line that starts at byte `offset`.
fn row_at(journal: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(journal)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut lines = LineReader::new(file.by_ref(), offset, 0);
    let line = lines.next_line()?;
    Ok(line.map(|line| line.bytes.to_vec()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(rows: &str) -> Result<HandoffEvidence, PromotionError> {
        let folder = tempfile::tempdir().expect("a folder");
        let scope = Scope::open(folder.path().join("fleet")).expect("a scope");
        let path = folder.path().join("handoff.jsonl");
        std::fs::write(&path, rows).expect("written");
        gather(path.to_str().expect("UTF-8"), &scope, 20)
    }

    #[test]
    fn runs_that_attempted_nothing_are_not_in_the_sample() {
        let rows = "\
{\"category\":\"fleet_handoff_execute\",\"timestamp\":\"t1\",\"execution\":{\"mode\":\"autonomous\",\"requestedIntentCount\":2,\"executedCount\":2}}
{\"category\":\"fleet_handoff_execute\",\"timestamp\":\"t2\",\"execution\":{\"mode\":\"autonomous\",\"requestedIntentCount\":0}}
{\"category\":\"fleet_handoff_execute\",\"timestamp\":\"t3\",\"execution\":{\"mode\":\"manual\",\"requestedIntentCount\":1}}
{\"category\":\"fleet_handoff_plan\",\"summary\":{\"summary\":{\"pendingConfirmationCount\":4}}}
not there yet";
        let Ok(HandoffEvidence::Read(sample)) = evidence(rows) else {
            panic!("is read")
        };
        assert_eq!(sample.runs.len(), 1);
        assert_eq!((sample.runs[0].requested, sample.runs[0].executed), (2, 2));
        assert_eq!(sample.backlog, [4]);
    }

    #[test]
    fn a_line_that_is_not_json_is_named() {
        let Ok(HandoffEvidence::Invalid(what)) = evidence("{}\n{\n") else {
            panic!("is invalid")
        };
        assert!(what.contains("handoff.jsonl: line 2: "), "{what}");
    }

    #[test]
    fn a_wrong_type_is_an_error_and_never_an_empty_success() {
        for row in [
            "\"x\"",
            "{\"category\":\"fleet_handoff_execute\",\"execution\":1}",
            "{\"category\":\"fleet_handoff_execute\",\"execution\":{\"mode\":\"autonomous\",\"failedCount\":\"1\"}}",
            "{\"category\":\"fleet_handoff_execute\",\"execution\":{\"mode\":\"autonomous\",\"failedCount\":-1}}",
        ] {
            let error = evidence(&format!("{{}}\n{row}\n")).expect_err("is refused");
            let text = error.to_string();
            assert!(
                text.starts_with("invalid handoff telemetry JSONL: "),
                "{text}"
            );
            assert!(text.contains(": line 2: "), "{text}");
        }
    }

    #[test]
    fn an_empty_record_is_no_missing_one() {
        assert_eq!(
            evidence("").expect("is read"),
            HandoffEvidence::Read(HandoffSample::default())
        );
    }
}
