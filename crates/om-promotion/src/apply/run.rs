//! The change as a command.

use std::path::Path;

use om_model::promotion::ApplyIntent;
use om_model::promotion::apply::{ApplyFiles, ApplyRecord};
use om_model::{Timestamp, json};
use om_registry::RegistryStage;
use om_registry::file::{EDIT_LOCK, RegistryFile, WriteError};
use om_stage::StageOutput;
use om_store::{Commit, FleetFile, Scope, read_artifact};
use serde_json::Value;

use super::change::{Recorded, edits};
use super::request::{ApplyRequest, Checked};
use super::{decision, registry, replay};
use crate::check::unknown;
use crate::error::PromotionError;
use crate::paths::FleetPaths;
use crate::stage::{Pipeline, Printed, as_output, run_hook};

/// What is to be done about a request.
#[derive(Debug)]
pub enum Prepared {
    /// The key was used before: its record is the answer, and nothing
    /// changes.
    Replay(Value),
    /// The registry is to be changed.
    Change(Box<Change>),
}

/// A change of the registry that is allowed and valid, and not yet made.
#[derive(Debug)]
pub struct Change {
    /// The file as it was read, and as it shall be.
    pub file: RegistryFile,
    /// The record of it.
    pub record: ApplyRecord,
}

impl Change {
    /// Whether somebody who agreed to `seen` agreed to this.
    fn is_as(&self, seen: &Prepared) -> bool {
        match seen {
            Prepared::Replay(_) => false,
            Prepared::Change(seen) => {
                let is_same_file = self.file.found() == seen.file.found();
                is_same_file && self.record.rollout == seen.record.rollout
            }
        }
    }
}

/// What the file at the promotion state's path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateFile {
    /// What decides.
    Decides,
    /// The result of an earlier check: a rollback records its decision as
    /// `unknown`.
    Stale,
}

/// Changes the rollout as `request` says, or answers with the record of the
/// same key. The registry, the record and its row are one commit.
pub fn run(
    request: &ApplyRequest,
    pipeline: &Pipeline<'_>,
) -> Result<Printed<Value>, PromotionError> {
    run_checked(request, None, StateFile::Decides, pipeline)
}

/// [`run`] after a person has agreed to `seen`: if that is no longer what
/// would be done, because the registry was edited meanwhile, nothing is.
pub fn run_as_seen(
    request: &ApplyRequest,
    seen: &Prepared,
    pipeline: &Pipeline<'_>,
) -> Result<Printed<Value>, PromotionError> {
    run_checked(request, Some(seen), StateFile::Decides, pipeline)
}

fn run_checked(
    request: &ApplyRequest,
    seen: Option<&Prepared>,
    state_file: StateFile,
    pipeline: &Pipeline<'_>,
) -> Result<Printed<Value>, PromotionError> {
    request.check()?;
    let scope = Scope::open(FleetPaths::of(&request.repo).scope_dir())?;
    let _turn = scope.run_lock("promotion-apply")?;
    let _edit = scope.run_lock(EDIT_LOCK)?;
    scope.recover()?;
    let files = request.files();
    match prepare_with(request, state_file, pipeline)? {
        Prepared::Replay(record) => {
            let line = format!("{}\n", json::compact(&record));
            scope.commit(Commit::new().document(&files.apply_state_file, line))?;
            Ok(Printed::ok(record))
        }
        Prepared::Change(change) => {
            if seen.is_some_and(|seen| !change.is_as(seen)) {
                return Err(PromotionError::RegistryChanged(files.registry_file));
            }
            let row = json::compact(&change.record);
            let commit = Commit::new()
                .document(&files.apply_state_file, format!("{row}\n"))
                .row(&files.apply_telemetry_file, row);
            let commit = change.file.add_to(commit);
            change
                .file
                .commit(&scope, commit)
                .map_err(|error| match error {
                    WriteError::Changed { file } => PromotionError::RegistryChanged(file),
                    WriteError::Commit(error) => error.into(),
                })?;
            Ok(Printed::ok(json::to_value(&change.record)))
        }
    }
}

/// The change as a stage of another command: by the hook, if there is one.
pub(crate) fn stage(
    request: &ApplyRequest,
    state_file: StateFile,
    pipeline: &Pipeline<'_>,
) -> StageOutput {
    match &pipeline.hooks.apply {
        None => as_output(run_checked(request, None, state_file, pipeline)),
        Some(hook) => run_hook(hook, &request.arguments()),
    }
}

/// Reads and decides, and changes nothing: what [`run`] would do now.
pub fn prepare(
    request: &ApplyRequest,
    pipeline: &Pipeline<'_>,
) -> Result<Prepared, PromotionError> {
    prepare_with(request, StateFile::Decides, pipeline)
}

fn prepare_with(
    request: &ApplyRequest,
    state_file: StateFile,
    pipeline: &Pipeline<'_>,
) -> Result<Prepared, PromotionError> {
    let checked = request.checked()?;
    let files = request.files();
    let key = request.idempotency_key.as_deref();
    if let Some(row) = replay::find(&files.apply_telemetry_file, key, checked.intent)? {
        let state_file = &files.promotion_state_file;
        let record = replay::answer(row, request, checked.intent, state_file)?;
        return Ok(Prepared::Replay(record));
    }
    let now = pipeline.now();
    let decision = match (checked.intent, state_file) {
        (ApplyIntent::Rollback, StateFile::Stale) => unknown(),
        _ => decide(&checked, &files, now)?,
    };
    check_deadline(checked.review_by, now)?;
    let stage = RegistryStage {
        repo: request.repo.clone(),
        file: files.registry_file.clone(),
        hook: pipeline.hooks.registry.clone(),
    };
    let mut current = registry::read(&stage, checked.intent, now)?;
    let before = &current.registry;
    let edits = edits(&checked, &before.policy.autonomous.rollout, now);
    let after = registry::edit(&mut current.file, &stage, &edits, now)?;
    let recorded = Recorded {
        request,
        checked,
        files,
        decision,
        trace_id: pipeline.trace_id(request.trace_id.as_deref()),
        now,
    };
    Ok(Prepared::Change(Box::new(Change {
        record: recorded.record(before, &after),
        file: current.file,
    })))
}

/// The promotion decision, if it allows the intent.
fn decide(
    checked: &Checked<'_>,
    files: &ApplyFiles,
    now: Timestamp,
) -> Result<String, PromotionError> {
    let path = &files.promotion_state_file;
    let widens = checked.intent.widens();
    let state = match read_artifact(Path::new(path)) {
        Err(error) if widens => return Err(error.into()),
        found => found.unwrap_or_default(),
    };
    let decision = decision::decide(checked.intent, &state, path)?;
    match checked.max_decision_age_minutes {
        Some(minutes) if widens => decision::check_age(minutes, &state, path, now)?,
        _ => {}
    }
    Ok(decision)
}

fn check_deadline(review_by: &str, now: Timestamp) -> Result<(), PromotionError> {
    let flag = "--review-by";
    let refused = |expected| PromotionError::Flag { flag, expected };
    let deadline = Timestamp::parse(review_by).ok_or(refused("an ISO-8601 timestamp"))?;
    if deadline > now {
        Ok(())
    } else {
        Err(refused("in the future"))
    }
}

impl ApplyRequest {
    fn files(&self) -> ApplyFiles {
        let paths = FleetPaths::of(&self.repo);
        ApplyFiles {
            registry_file: paths.or(self.registry_file.as_ref(), FleetFile::Registry),
            promotion_state_file: paths.or(
                self.promotion_state_file.as_ref(),
                FleetFile::PromotionState,
            ),
            apply_state_file: paths.or(
                self.apply_state_file.as_ref(),
                FleetFile::PromotionApplyState,
            ),
            apply_telemetry_file: paths.or(
                self.apply_telemetry_file.as_ref(),
                FleetFile::PromotionApplyRows,
            ),
        }
    }
}
