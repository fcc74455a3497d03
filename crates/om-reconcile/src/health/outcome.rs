//! What the rest of a pass needs from a health document, whoever wrote it.

use om_model::Artifact;
use om_model::json::{self, Lookup, WrongType};
use serde_json::Value;

use crate::read::or_null;

/// Status and reasons of a health document that may come from a replaced
/// health stage or from an older pass (chapter 02 §2.3, §2.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthOutcome {
    /// Status as text; `healthy` when falsy.
    pub status: String,
    /// `reasonCodes` as found; `[]` when falsy.
    pub reason_codes: Value,
    /// `reasons` as found; `[]` when falsy.
    pub reasons: Value,
    /// `thresholds.profile`, if there is one.
    pub profile: Option<String>,
}

impl HealthOutcome {
    /// Reads the document that this pass produced; `null` reads as `{}`.
    pub fn read(document: &Value) -> Result<Self, WrongType> {
        let lookup = Lookup::new(document);
        Ok(Self {
            profile: json::non_empty_text(lookup.raw("thresholds.profile")?),
            ..Self::verdict(lookup)?
        })
    }

    /// Reads the document of the last pass. Absent and malformed ones count
    /// as healthy; a blank one equals nothing, so that whatever is unhealthy
    /// now is a change.
    pub fn previous(artifact: &Artifact) -> Result<Self, WrongType> {
        if artifact.is_blank() {
            return Ok(Self {
                status: String::new(),
                reason_codes: Value::String(String::new()),
                reasons: Value::Array(Vec::new()),
                profile: None,
            });
        }
        Self::verdict(Lookup::new(or_null(artifact)))
    }

    fn verdict(lookup: Lookup<'_>) -> Result<Self, WrongType> {
        let list = |member: &str| -> Result<Value, WrongType> {
            let found = lookup.get(member)?.cloned();
            Ok(found.unwrap_or_else(|| Value::Array(Vec::new())))
        };
        let status = lookup.text("status")?;
        Ok(Self {
            status: status.unwrap_or_else(|| "healthy".to_owned()),
            reason_codes: list("reasonCodes")?,
            reasons: list("reasons")?,
            profile: None,
        })
    }

    /// Whether there is nothing to worry about.
    pub fn is_healthy(&self) -> bool {
        self.status == "healthy"
    }

    /// Whether status and reason codes, in their order, are those of `other`.
    pub fn same_verdict(&self, other: &Self) -> bool {
        self.status == other.status && self.reason_codes == other.reason_codes
    }
}
