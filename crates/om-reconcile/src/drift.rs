//! Whether the applied threshold profile still fits (chapter 02 §6).

use om_model::drift::{
    Confidence, DriftAction, DriftDocument, DriftReasonCode, DriftRow, DriftStatus, DriftTransition,
};
use om_model::envelope::SchemaVersion;
use om_model::json::{self, Lookup, MAX_INTEGER, WrongType};
use om_model::observation::TelemetryCategory;
use om_model::{Artifact, LoopId, Timestamp};
use serde_json::Value;

use crate::read::blank_or_null;

/// What drift is evaluated from; an empty profile name is none.
#[derive(Clone, Debug)]
pub struct DriftInputs<'a> {
    /// The loop.
    pub loop_id: &'a LoopId,
    /// The profile in force.
    pub applied: &'a str,
    /// The profile that fits.
    pub recommended: &'a str,
    /// How sure the recommendation is.
    pub recommendation_confidence: Confidence,
    /// How sure it has to be.
    pub minimum_confidence: Confidence,
    /// Eligible mismatches in a row before drift is active, at least 1.
    pub required_streak: u64,
    /// Lines behind the recommendation, echoed.
    pub summary_window: u64,
    /// Why the recommendation was made; empty is none.
    pub rationale: &'a str,
    /// The previous `profile-drift.json`.
    pub previous: &'a Artifact,
    /// Its path, for messages.
    pub previous_file: &'a str,
}

/// Why drift cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriftError {
    /// The confidence of a recommendation is no known level.
    #[error("--recommendation-confidence must be one of: low, medium, high (got {found:?})")]
    RecommendationConfidence {
        /// The text found.
        found: String,
    },
    /// The catalog cannot be read.
    #[error("invalid threshold profiles file: {file}: {what}")]
    Catalog {
        /// The catalog's path.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// The catalog lacks the applied profile.
    #[error("unknown applied profile: {0}")]
    UnknownApplied(String),
    /// The catalog lacks the recommended profile.
    #[error("unknown recommended profile: {0}")]
    UnknownRecommended(String),
    /// The drift state is not one JSON document.
    #[error("invalid drift state JSON: {file}: {cause}; repair or remove the file")]
    Malformed {
        /// Path of the drift state.
        file: String,
        /// The parser's message.
        cause: String,
    },
    /// The drift state has a type that cannot be used.
    #[error("invalid drift state JSON: {file}: {cause}; repair or remove the file")]
    WrongType {
        /// Path of the drift state.
        file: String,
        /// The member and what stands there.
        cause: WrongType,
    },
}

/// Checks that the catalog has both profiles; an empty name is not looked
/// up, but the catalog has to be one.
pub fn check_catalog(
    catalog: &Artifact,
    file: &str,
    applied: &str,
    recommended: &str,
) -> Result<(), DriftError> {
    let invalid = |what: String| DriftError::Catalog {
        file: file.to_owned(),
        what,
    };
    let document = match catalog {
        Artifact::Document(document) => document,
        Artifact::Absent => return Err(invalid("no such file".to_owned())),
        Artifact::Broken(cause) => return Err(invalid(cause.to_string())),
    };
    let Some(Value::Object(profiles)) = document.get("profiles") else {
        return Err(invalid("profiles is not an object".to_owned()));
    };
    let known = |name: &str| name.is_empty() || profiles.get(name).is_some_and(|p| !p.is_null());
    if !known(applied) {
        return Err(DriftError::UnknownApplied(applied.to_owned()));
    }
    if !known(recommended) {
        return Err(DriftError::UnknownRecommended(recommended.to_owned()));
    }
    Ok(())
}

/// Evaluates drift over names that [`check_catalog`] has accepted.
pub fn evaluate(inputs: &DriftInputs<'_>, now: Timestamp) -> Result<DriftDocument, DriftError> {
    let (previous_streak, previously_active) = previous(inputs)?;
    let verdict = Verdict::new(inputs, previous_streak);
    let outcome = verdict.outcome();
    let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    Ok(DriftDocument {
        schema_version: SchemaVersion::V1,
        updated_at: now,
        loop_id: inputs.loop_id.clone(),
        status: outcome.status,
        reason_code: outcome.reason_code,
        applied_profile: name(inputs.applied),
        recommended_profile: name(inputs.recommended),
        recommendation_confidence: inputs.recommendation_confidence,
        minimum_confidence: inputs.minimum_confidence,
        recommendation_rank: inputs.recommendation_confidence.rank(),
        minimum_rank: inputs.minimum_confidence.rank(),
        required_streak: inputs.required_streak,
        summary_window: inputs.summary_window,
        mismatch: verdict.mismatch,
        confidence_ok: verdict.confidence_ok,
        eligible_mismatch: verdict.mismatch && verdict.confidence_ok,
        mismatch_streak: verdict.streak,
        drift_active: verdict.active,
        transitioned: DriftTransition {
            to_active: verdict.active && !previously_active,
            to_resolved: previously_active && !verdict.active,
        },
        rationale: name(inputs.rationale),
        action: outcome.action,
    })
}

/// Streak and activity at the last evaluation.
fn previous(inputs: &DriftInputs<'_>) -> Result<(u64, bool), DriftError> {
    let file = || inputs.previous_file.to_owned();
    let document = blank_or_null(inputs.previous).map_err(|cause| DriftError::Malformed {
        file: file(),
        cause: cause.to_string(),
    })?;
    let lookup = Lookup::new(document);
    let read = || -> Result<(u64, bool), WrongType> {
        let streak = lookup.get("mismatchStreak")?.and_then(json::digits);
        Ok((
            streak.unwrap_or(0),
            json::is_true(lookup.raw("driftActive")?),
        ))
    };
    read().map_err(|cause| DriftError::WrongType {
        file: file(),
        cause,
    })
}

/// What the names, the confidence and the streak add up to.
struct Verdict {
    recommended: bool,
    mismatch: bool,
    confidence_ok: bool,
    streak: u64,
    active: bool,
}

impl Verdict {
    fn new(inputs: &DriftInputs<'_>, previous_streak: u64) -> Self {
        let recommended = !inputs.recommended.is_empty();
        let mismatch =
            recommended && !inputs.applied.is_empty() && inputs.applied != inputs.recommended;
        let confidence_ok = inputs.recommendation_confidence >= inputs.minimum_confidence;
        let streak = if mismatch && confidence_ok {
            previous_streak.saturating_add(1).min(MAX_INTEGER)
        } else {
            0
        };
        Self {
            recommended,
            mismatch,
            confidence_ok,
            streak,
            active: streak >= inputs.required_streak,
        }
    }

    fn outcome(&self) -> &'static Outcome {
        let mut rows = OUTCOMES.iter();
        rows.find(|row| (row.when)(self)).unwrap_or(&PENDING)
    }
}

/// A row of the status table (§6.4).
struct Outcome {
    when: fn(&Verdict) -> bool,
    status: DriftStatus,
    reason_code: Option<DriftReasonCode>,
    action: Option<DriftAction>,
}

/// First match wins; without any, [`PENDING`].
static OUTCOMES: [Outcome; 4] = [
    Outcome {
        when: |verdict| !verdict.recommended,
        status: DriftStatus::NoRecommendation,
        reason_code: None,
        action: None,
    },
    Outcome {
        when: |verdict| !verdict.mismatch,
        status: DriftStatus::Aligned,
        reason_code: None,
        action: None,
    },
    Outcome {
        when: |verdict| !verdict.confidence_ok,
        status: DriftStatus::InsufficientConfidence,
        reason_code: None,
        action: Some(DriftAction::CollectMoreConfidentTelemetry),
    },
    Outcome {
        when: |verdict| verdict.active,
        status: DriftStatus::DriftActive,
        reason_code: Some(DriftReasonCode::ProfileDriftDetected),
        action: Some(DriftAction::ReviewThresholdProfile),
    },
];

static PENDING: Outcome = Outcome {
    when: |_| true,
    status: DriftStatus::MismatchPending,
    reason_code: None,
    action: Some(DriftAction::MonitorAdditionalWindows),
};

/// The row for `profile-drift.jsonl` about `document`.
pub fn row(document: &DriftDocument) -> DriftRow {
    DriftRow {
        timestamp: document.updated_at,
        loop_id: document.loop_id.clone(),
        category: TelemetryCategory::ProfileDriftEvaluation,
        drift: document.clone(),
    }
}
