//! The registry before and after a change: judged here, or by the hook.

use std::io::Write;

use om_model::Timestamp;
use om_model::fleet::registry::{PolicyMode, Registry};
use om_model::promotion::ApplyIntent;
use om_registry::file::RegistryFile;
use om_registry::{Evaluation, MemberPath, RegistryStage, StageFailure};

use super::change::Edit;
use crate::error::PromotionError;

/// The registry that is to be changed, and its file.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) file: RegistryFile,
    pub(super) registry: Registry,
}

/// Reads the registry, which has to be valid and to allow autonomy. Only a
/// rollback may find its review lapsed (decisions D14, D20).
pub(super) fn read(
    stage: &RegistryStage,
    intent: ApplyIntent,
    now: Timestamp,
) -> Result<Current, PromotionError> {
    let refused = |cause: &dyn std::fmt::Display| PromotionError::Registry(cause.to_string());
    // Before anybody judges it: an edit after this is found out by the commit.
    let file = RegistryFile::read(&stage.file).map_err(|rejection| refused(&rejection))?;
    let found = match &stage.hook {
        None => None,
        Some(_) => Some(loaded(stage, intent, now).map_err(|failure| refused(&failure))?),
    };
    let registry = if let Some(registry) = found {
        registry
    } else {
        let evaluation = file.before(now).map_err(|rejection| refused(&rejection))?;
        let judged = if intent.widens() {
            Evaluation::valid(evaluation)
        } else {
            Evaluation::accepted(evaluation)
        };
        judged.map_err(|rejection| refused(&rejection))?
    };
    if registry.policy.mode == PolicyMode::GuardedAuto {
        Ok(Current { file, registry })
    } else {
        Err(PromotionError::NotGuardedAuto)
    }
}

/// Edits the file in memory, and judges the result, which has to be valid.
pub(super) fn edit(
    file: &mut RegistryFile,
    stage: &RegistryStage,
    edits: &[Edit],
    now: Timestamp,
) -> Result<Registry, PromotionError> {
    let refused =
        |cause: &dyn std::fmt::Display| PromotionError::MutatedRegistry(cause.to_string());
    for (path, value) in edits {
        let edited = file.text.set(&MemberPath::dotted(path), value);
        edited.map_err(|error| refused(&error))?;
    }
    if stage.hook.is_none() {
        let evaluation = file.after(now).map_err(|rejection| refused(&rejection))?;
        return evaluation.valid().map_err(|rejection| refused(&rejection));
    }
    let mut temporary = tempfile::NamedTempFile::new().map_err(PromotionError::Temporary)?;
    temporary
        .write_all(file.text.bytes())
        .map_err(PromotionError::Temporary)?;
    let mutated = RegistryStage {
        file: temporary.path().display().to_string(),
        ..stage.clone()
    };
    loaded(&mutated, ApplyIntent::Expand, now).map_err(|failure| refused(&failure))
}

/// What the hook says. A mode that is none of ours comes as advisory.
fn loaded(
    stage: &RegistryStage,
    intent: ApplyIntent,
    now: Timestamp,
) -> Result<Registry, StageFailure> {
    let loaded = stage.load(now)?;
    match loaded.review_lapsed.filter(|_| intent.widens()) {
        None => Ok(loaded.registry),
        Some(deadline) => Err(StageFailure {
            exit_code: 1,
            text: format!("error: governance review expired ({deadline})"),
        }),
    }
}
