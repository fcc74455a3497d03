//! A promotion check in a pipeline (chapter 07 §2.5).

use serde::Serialize;

use crate::Timestamp;
use crate::envelope::SchemaVersion;

/// The only reason of a skipped check.
pub const MISSING_EVIDENCE: &str = "promotion_ci_missing_evidence";

/// `promotion-ci-result.json` of a check that was skipped. Any other result
/// is a [`super::gates::GatesDocument`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SkippedDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the check was skipped.
    pub generated_at: Timestamp,
    /// Where.
    pub source: SkippedSource,
    /// Why.
    pub summary: SkippedSummary,
}

/// Where a check was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SkippedSource {
    /// The resolved repository.
    pub repo_path: String,
}

/// Why a check was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SkippedSummary {
    /// `skipped`.
    pub decision: &'static str,
    /// `false`.
    pub promote: bool,
    /// [`MISSING_EVIDENCE`].
    pub reason_codes: [&'static str; 1],
    /// What is missing, in the order in which it is looked for.
    pub missing_evidence_paths: Vec<String>,
}

impl SkippedDocument {
    /// A check of `repo_path` skipped for want of `missing`.
    pub fn new(now: Timestamp, repo_path: String, missing: Vec<String>) -> Self {
        Self {
            schema_version: SchemaVersion::V1,
            generated_at: now,
            source: SkippedSource { repo_path },
            summary: SkippedSummary {
                decision: "skipped",
                promote: false,
                reason_codes: [MISSING_EVIDENCE],
                missing_evidence_paths: missing,
            },
        }
    }
}
