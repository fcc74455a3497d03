//! `state.json` as a whole: the projection and what a pass adds to it
//! (chapter 02 §2.6.1).

use om_model::TraceId;
use om_model::drift::{Confidence, DriftDocument};
use om_model::health::HealthDocument;
use om_model::observation::SequenceDocument;
use om_model::state::Projection;
use om_model::status::SummaryExcerpt;
use schemars::JsonSchema;

/// `state.json`: the projection, and what the last pass added to it.
///
/// Members of its owner's other tools survive every pass, so it is open.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("additionalProperties" = true))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct StateDocument {
    #[schemars(flatten)]
    projection: Projection,
    /// The health document; absent until the first pass.
    #[schemars(
        default,
        skip_serializing_if = "Option::is_none",
        with = "HealthDocument"
    )]
    health: Option<HealthDocument>,
    /// Which pass; absent until the first.
    #[schemars(default, skip_serializing_if = "Option::is_none", with = "StateTrace")]
    trace: Option<StateTrace>,
    /// Order diagnostics of the last successful pass.
    #[schemars(
        default,
        skip_serializing_if = "Option::is_none",
        with = "SequenceDocument"
    )]
    sequence: Option<SequenceDocument>,
    /// The drift document and the pass that evaluated it.
    #[schemars(default, skip_serializing_if = "Option::is_none", with = "StateDrift")]
    drift: Option<StateDrift>,
    /// Which thresholds are applied and which would fit; absent when there
    /// is no telemetry summary.
    #[schemars(default, skip_serializing_if = "Option::is_none", with = "StateTuning")]
    tuning: Option<StateTuning>,
}

/// Trace ids in the state.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", extend("additionalProperties" = true))]
#[expect(dead_code, reason = "only its schema is used")]
struct StateTrace {
    /// The last pass.
    reconcile_trace_id: TraceId,
}

/// The drift document in the state.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct StateDrift {
    #[schemars(flatten)]
    document: DriftDocument,
    /// The pass that evaluated it.
    trace_id: TraceId,
}

/// Which thresholds are applied and which would fit.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct StateTuning {
    /// In force.
    applied_profile: Option<String>,
    /// Fitting.
    recommended_profile: Option<String>,
    /// How sure.
    confidence: Option<Confidence>,
    /// Why, in a sentence.
    rationale: Option<String>,
    /// Lines behind the recommendation.
    summary_window: Option<u64>,
    /// The summary's own evidence.
    telemetry_summary: SummaryExcerpt,
}
