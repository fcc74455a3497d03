//! `telemetry/alerts.jsonl` as a whole: two commands write it.

use om_model::alerts::AlertRow;
use om_model::state::AlertStageFailureRow;
use schemars::JsonSchema;

/// A row of `telemetry/alerts.jsonl`: what the dispatcher did about an
/// escalation, or why a reconcile pass could not run the dispatcher.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum AlertJournalRow {
    /// By the dispatcher (chapter 04 §3.5.2).
    Dispatch(Box<AlertRow>),
    /// By reconcile (chapter 04 §3.8).
    StageFailure(AlertStageFailureRow),
}
