//! Steps 11 and 12: whether the thresholds still fit, and what the pass
//! prints.

use om_model::Artifact;
use om_model::drift::{Confidence, DriftDocument, DriftRow};
use om_model::json::{self, Lookup, WrongType};
use serde_json::{Map, Value, json};

use super::record::stamp;
use super::writes::PassWrites;
use super::{Commit, HardAbort, PassContext, PassInputs, Recorded};
use crate::drift::{self, DriftError, DriftInputs};
use crate::escalation;

/// What the drift stage is asked (step 11.2), as text: a hook gets it as is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriftRequest {
    /// The profile in force; empty if unknown.
    pub applied: String,
    /// The profile that fits; empty without a summary.
    pub recommended: String,
    /// How sure that is; `low` without a summary.
    pub confidence: String,
    /// Why; may be empty.
    pub rationale: String,
}

/// Reads the request out of the pass and its telemetry summary.
pub fn drift_request(
    recorded: &Recorded,
    summary: Option<&Value>,
) -> Result<DriftRequest, HardAbort> {
    let resolved = recorded.row.threshold_profile.clone();
    let applied = resolved.or_else(|| recorded.outcome.profile.clone());
    let lookup = Lookup::new(summary.unwrap_or(&Value::Null));
    let text = |member: &str| -> Result<String, HardAbort> {
        let found = lookup.text(member).map_err(HardAbort::SummaryStage)?;
        Ok(found.unwrap_or_default())
    };
    let confidence = text("confidence")?;
    Ok(DriftRequest {
        applied: applied.unwrap_or_default(),
        recommended: text("recommendedProfile")?,
        confidence: if confidence.is_empty() {
            Confidence::Low.as_str().to_owned()
        } else {
            confidence
        },
        rationale: text("rationale")?,
    })
}

/// Step 11.3, built in. `previous` is the drift state as found now.
pub fn drift(
    inputs: &PassInputs,
    request: &DriftRequest,
    catalog: &Artifact,
    previous: &Artifact,
    context: &PassContext,
) -> Result<DriftOutcome, HardAbort> {
    let settings = &inputs.settings;
    let confidence = Confidence::parse(&request.confidence).ok_or_else(|| {
        let found = request.confidence.clone();
        DriftError::RecommendationConfidence { found }
    })?;
    drift::check_catalog(
        catalog,
        &settings.thresholds_file,
        &request.applied,
        &request.recommended,
    )?;
    let document = drift::evaluate(
        &DriftInputs {
            loop_id: &inputs.source.loop_id,
            applied: &request.applied,
            recommended: &request.recommended,
            recommendation_confidence: confidence,
            minimum_confidence: settings.drift_min_confidence,
            required_streak: settings.drift_required_streak,
            summary_window: settings.drift_summary_window,
            rationale: &request.rationale,
            previous,
            previous_file: &inputs.paths.drift_state.display().to_string(),
        },
        context.now,
    )?;
    Ok(DriftOutcome::built_in(&document))
}

/// What the drift stage decided.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftOutcome {
    /// The document; `None` disables drift for this pass.
    document: Option<Map<String, Value>>,
    /// The row of a built-in evaluation, whose files belong to the commit; a
    /// hook wrote its own.
    row: Option<Box<DriftRow>>,
}

impl DriftOutcome {
    /// The result of [`drift::evaluate`](crate::drift::evaluate).
    pub fn built_in(document: &DriftDocument) -> Self {
        let members = match json::to_value(document) {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        Self {
            document: Some(members),
            row: Some(Box::new(drift::row(document))),
        }
    }

    /// What a drift hook printed: an object, or `null` to disable drift.
    pub fn hooked(printed: Value) -> Result<Self, HardAbort> {
        let document = match printed {
            Value::Object(members) => Some(members),
            Value::Null => None,
            other => {
                return Err(HardAbort::DriftStage(WrongType {
                    member: "document".to_owned(),
                    found: json::type_name(&other),
                    expected: "an object",
                }));
            }
        };
        Ok(Self {
            document,
            row: None,
        })
    }
}

/// A pass that is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// Everything that is not committed yet.
    pub commit: Commit,
    /// The state document, or after a failure the health document.
    pub stdout: Value,
    /// Whether the pass exits 0.
    pub success: bool,
}

/// Steps 11.4 and 12: drift and tuning go into the state, and a drift that
/// becomes active is escalated.
pub fn close(
    inputs: &PassInputs,
    recorded: Recorded,
    summary: Option<&Value>,
    drift: DriftOutcome,
    context: &PassContext,
) -> Closed {
    let paths = &inputs.paths;
    let mut commit = recorded.commit;
    let mut state = recorded.state;
    if let (Some(document), Some(row)) = (&drift.document, &drift.row) {
        commit = commit
            .put(&paths.drift_state, document)
            .append(&paths.drift_history, row);
    }
    if let Some(document) = drift.document {
        let escalation = escalation::drift(stamp(inputs, context), &document);
        if let Some(state) = &mut state {
            merge_drift(state, document, context);
            if let Some(summary) = summary {
                let tuning = tuning(recorded.outcome.profile.as_deref(), summary);
                state.insert("tuning".to_owned(), tuning);
            }
            commit = commit.put_state(&paths.state, state);
        }
        if let Some(row) = escalation {
            commit = commit.append(&paths.escalations, &row);
        }
    }
    let stdout = match (recorded.success, state) {
        (true, Some(state)) => Value::Object(state),
        _ => recorded.health,
    };
    Closed {
        commit,
        stdout,
        success: recorded.success,
    }
}

fn merge_drift(
    state: &mut Map<String, Value>,
    mut document: Map<String, Value>,
    context: &PassContext,
) {
    let id = Value::String(context.trace_id.as_str().to_owned());
    document.insert("traceId".to_owned(), id);
    state.insert("drift".to_owned(), Value::Object(document));
}

/// `tuning` of `state.json` (§2.6.1).
fn tuning(applied: Option<&str>, summary: &Value) -> Value {
    let found = |path: &str| {
        let value = Lookup::new(summary).get(path);
        value.ok().flatten().cloned()
    };
    let or_empty = |path: &str| found(path).unwrap_or_else(|| json!({}));
    json!({
        "appliedProfile": applied,
        "recommendedProfile": found("recommendedProfile"),
        "confidence": found("confidence"),
        "rationale": found("rationale"),
        "summaryWindow": found("source.window"),
        "telemetrySummary": {
            "observed": or_empty("observed"),
            "source": or_empty("source"),
        },
    })
}
