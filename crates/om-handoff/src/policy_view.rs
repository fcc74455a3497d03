//! The policy state as a handoff reads it (chapter 06 §2.3): tolerantly, and
//! only what it needs.

use om_model::fleet::registry::PolicyMode;
use om_model::json::{self, Lookup, ParseError, WrongType};
use serde::Deserialize;
use serde_json::Value;

use crate::members::{Members, quickly};

/// The suppression that a person need not heed (decision D28), as policy and
/// handoff write it.
pub const ADVISORY_COOLDOWN: &str = "advisory_cooldown_active";

/// What a handoff needs of a policy state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyView {
    /// `advisory` unless it says otherwise.
    pub mode: PolicyMode,
    /// `traceId`, as text.
    pub trace_id: Option<String>,
    /// `fleetId`, as text.
    pub fleet_id: Option<String>,
    /// `updatedAt`, as text.
    pub updated_at: Option<String>,
    /// In the order of the document.
    pub candidates: Vec<Candidate>,
    /// `autonomous.controls`; `null` if there are none.
    pub controls: Value,
}

/// One candidate; every member may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub candidate_id: Option<String>,
    /// Its loop.
    pub loop_id: Option<String>,
    /// What is wrong.
    pub category: Option<String>,
    /// How bad.
    pub severity: Option<String>,
    /// How certain.
    pub confidence: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// By which sign.
    pub signal: Option<String>,
    /// What to do.
    pub recommended_intent: Option<String>,
    /// Links it to the loop's pass.
    pub trace_id: Option<String>,
    /// Whether it is to be acted on.
    pub suppression: Suppression,
    /// `autonomous.eligible` is `true`.
    pub eligible: bool,
    /// `autonomous.manualOnly` is `true`.
    pub manual_only: bool,
    /// `autonomous.reasons`
    pub reasons: Vec<String>,
    /// The run it was judged in (decision D23).
    pub run_id: Option<String>,
    /// Its rank (decision D30).
    pub rank: Option<Value>,
}

/// Whether a candidate is suppressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suppression {
    /// It is not.
    #[default]
    None,
    /// Only because it was shown a moment ago (decision D28).
    Cooldown,
    /// It is.
    Other,
}

/// Why a policy state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyViewError {
    /// It is not one JSON document.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// A member has a type that cannot be used.
    #[error(transparent)]
    WrongType(#[from] WrongType),
}

impl PolicyView {
    /// Reads a policy state. Its mode is judged later; the second value is its
    /// text if there is no such mode.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Option<String>), PolicyViewError> {
        if let Some(document) = quickly::<Document>(bytes) {
            return Ok(document.view());
        }
        Ok(Self::read(&json::parse(bytes)?)?)
    }

    /// [`Self::parse`] of a document that is a value already.
    pub fn read(document: &Value) -> Result<(Self, Option<String>), WrongType> {
        json::root_object(document)?;
        let lookup = Lookup::new(document);
        let member = |name| Ok(lookup.get(name)?.cloned());
        let candidates = match lookup.get("candidates")? {
            None => &[][..],
            Some(Value::Array(candidates)) => candidates,
            Some(other) => return Err(wrong("candidates", other, "an array")),
        };
        let candidates = candidates.iter().enumerate();
        let candidates = candidates.map(|(index, candidate)| {
            let read = CandidateMembers::read(candidate, index)?;
            Ok(read.map(Members))
        });
        let document = Document {
            mode: member("mode")?,
            trace_id: member("traceId")?,
            fleet_id: member("fleetId")?,
            updated_at: member("updatedAt")?,
            autonomous: Some(Members(Autonomous {
                controls: member("autonomous.controls")?,
            })),
            candidates: Some(candidates.collect::<Result<_, _>>()?),
        };
        Ok(document.view())
    }
}

/// The members that are read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    mode: Option<Value>,
    trace_id: Option<Value>,
    fleet_id: Option<Value>,
    updated_at: Option<Value>,
    autonomous: Option<Members<Autonomous>>,
    candidates: Option<Vec<Option<Members<CandidateMembers>>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Autonomous {
    controls: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CandidateMembers {
    candidate_id: Option<Value>,
    loop_id: Option<Value>,
    category: Option<Value>,
    severity: Option<Value>,
    confidence: Option<Value>,
    rationale: Option<Value>,
    signal: Option<Value>,
    recommended_intent: Option<Value>,
    trace_id: Option<Value>,
    suppressed: Option<Value>,
    suppression_reason: Option<Value>,
    run_id: Option<Value>,
    rank: Option<Value>,
    autonomous: Option<Members<Autonomy>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Autonomy {
    eligible: Option<Value>,
    manual_only: Option<Value>,
    reasons: Option<Vec<Value>>,
}

impl Document {
    fn view(self) -> (PolicyView, Option<String>) {
        let mode = text(self.mode);
        let known = mode.as_deref().map(PolicyMode::parse);
        let controls = self
            .autonomous
            .and_then(|Members(members)| members.controls);
        let candidates = self.candidates.unwrap_or_default().into_iter();
        let view = PolicyView {
            mode: known.flatten().unwrap_or_default(),
            trace_id: text(self.trace_id).filter(|id| !id.is_empty()),
            fleet_id: text(self.fleet_id),
            updated_at: text(self.updated_at),
            candidates: candidates
                .map(|members| members.unwrap_or_default().0.candidate())
                .collect(),
            controls: normal(controls).unwrap_or_default(),
        };
        (view, mode.filter(|_| known == Some(None)))
    }
}

impl CandidateMembers {
    /// The members of a value; `None` for `null`.
    fn read(value: &Value, index: usize) -> Result<Option<Self>, WrongType> {
        let at = |member: &str| format!("candidates[{index}]{member}");
        let members = match value {
            Value::Null => return Ok(None),
            Value::Object(members) => members,
            other => return Err(wrong(&at(""), other, "an object")),
        };
        let autonomous = match json::present(members.get("autonomous")) {
            None => None,
            Some(Value::Object(members)) => Some(members),
            Some(other) => return Err(wrong(&at(".autonomous"), other, "an object")),
        };
        let autonomy = |name| json::present(autonomous.and_then(|members| members.get(name)));
        let reasons = match autonomy("reasons") {
            None => None,
            Some(Value::Array(reasons)) => Some(reasons.clone()),
            Some(other) => return Err(wrong(&at(".autonomous.reasons"), other, "an array")),
        };
        let member = |name| members.get(name).cloned();
        Ok(Some(Self {
            candidate_id: member("candidateId"),
            loop_id: member("loopId"),
            category: member("category"),
            severity: member("severity"),
            confidence: member("confidence"),
            rationale: member("rationale"),
            signal: member("signal"),
            recommended_intent: member("recommendedIntent"),
            trace_id: member("traceId"),
            suppressed: member("suppressed"),
            suppression_reason: member("suppressionReason"),
            run_id: member("runId"),
            rank: member("rank"),
            autonomous: Some(Members(Autonomy {
                eligible: autonomy("eligible").cloned(),
                manual_only: autonomy("manualOnly").cloned(),
                reasons,
            })),
        }))
    }

    fn candidate(self) -> Candidate {
        let Members(autonomy) = self.autonomous.unwrap_or_default();
        let is_true = |value: Option<Value>| value == Some(Value::Bool(true));
        let reasons = autonomy.reasons.unwrap_or_default().into_iter();
        Candidate {
            candidate_id: text(self.candidate_id),
            loop_id: text(self.loop_id),
            category: text(self.category),
            severity: text(self.severity),
            confidence: text(self.confidence),
            rationale: text(self.rationale),
            signal: text(self.signal),
            recommended_intent: text(self.recommended_intent),
            trace_id: text(self.trace_id),
            suppression: Suppression::read(
                self.suppressed.as_ref(),
                text(self.suppression_reason).as_deref(),
            ),
            eligible: is_true(autonomy.eligible),
            manual_only: is_true(autonomy.manual_only),
            reasons: reasons.filter_map(|reason| text(Some(reason))).collect(),
            run_id: text(self.run_id).filter(|id| !id.is_empty()),
            rank: normal(self.rank),
        }
    }
}

/// A value that is there, its numbers in their normal form.
fn normal(value: Option<Value>) -> Option<Value> {
    let mut value = value.filter(|value| json::present(Some(value)).is_some())?;
    json::normalize(&mut value);
    Some(value)
}

/// The text of a value that is there.
fn text(value: Option<Value>) -> Option<String> {
    Some(match normal(value)? {
        Value::String(text) => text,
        other => json::text(&other),
    })
}

impl Suppression {
    fn read(suppressed: Option<&Value>, reason: Option<&str>) -> Self {
        if json::present(suppressed).is_none() {
            Self::None
        } else if reason == Some(ADVISORY_COOLDOWN) {
            Self::Cooldown
        } else {
            Self::Other
        }
    }
}

fn wrong(member: &str, found: &Value, expected: &'static str) -> WrongType {
    WrongType {
        member: member.to_owned(),
        found: json::type_name(found),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(document: &Value) -> PolicyView {
        let view = PolicyView::read(document).expect("is readable");
        let parsed = PolicyView::parse(document.to_string().as_bytes());
        assert_eq!(parsed.as_ref(), Ok(&view), "both ways lead to one view");
        view.0
    }

    fn candidate(document: &Value) -> Candidate {
        let mut view = view(&json!({ "candidates": [document] }));
        view.candidates.remove(0)
    }

    #[test]
    fn every_member_may_be_missing() {
        for document in [json!(null), json!({}), json!({"candidates": false})] {
            assert_eq!(view(&document), PolicyView::default(), "{document}");
        }
        assert_eq!(candidate(&json!({})), Candidate::default());
        assert_eq!(candidate(&json!(null)), Candidate::default());
        assert_eq!(
            candidate(&json!({"autonomous": null})),
            Candidate::default()
        );
    }

    #[test]
    fn an_unknown_mode_is_told_apart_from_none() {
        for (mode, known, unknown) in [
            (json!(null), PolicyMode::Advisory, None),
            (json!(false), PolicyMode::Advisory, None),
            (json!("advisory"), PolicyMode::Advisory, None),
            (json!("guarded_auto"), PolicyMode::GuardedAuto, None),
            (json!("Auto"), PolicyMode::Advisory, Some("Auto")),
            (json!(""), PolicyMode::Advisory, Some("")),
            (json!(1), PolicyMode::Advisory, Some("1")),
        ] {
            let (view, text) = PolicyView::read(&json!({ "mode": mode })).expect("readable");
            assert_eq!((view.mode, text.as_deref()), (known, unknown), "{mode}");
        }
    }

    #[test]
    fn ids_that_are_numbers_are_texts() {
        let view = view(&json!({"traceId": 7, "fleetId": "north"}));
        assert_eq!(view.trace_id.as_deref(), Some("7"));
        assert_eq!(view.fleet_id.as_deref(), Some("north"));
    }

    #[test]
    fn suppression_by_cooldown_alone_is_told_apart() {
        for (document, expected) in [
            (json!({}), Suppression::None),
            (json!({"suppressed": null}), Suppression::None),
            (json!({"suppressed": false}), Suppression::None),
            (json!({"suppressed": true}), Suppression::Other),
            (json!({"suppressed": 0}), Suppression::Other),
            (
                json!({"suppressed": true, "suppressionReason": "registry_policy_suppression"}),
                Suppression::Other,
            ),
            (
                json!({"suppressed": true, "suppressionReason": "advisory_cooldown_active"}),
                Suppression::Cooldown,
            ),
            (
                json!({"suppressed": false, "suppressionReason": "advisory_cooldown_active"}),
                Suppression::None,
            ),
        ] {
            assert_eq!(candidate(&document).suppression, expected, "{document}");
        }
    }

    #[test]
    fn a_wrong_type_names_the_member() {
        for (document, message) in [
            (json!([]), "document is an array, expected an object"),
            (
                json!({"candidates": {}}),
                "candidates is an object, expected an array",
            ),
            (
                json!({"candidates": [1]}),
                "candidates[0] is a number, expected an object",
            ),
            (
                json!({"candidates": [{}, {"autonomous": "x"}]}),
                "candidates[1].autonomous is a string, expected an object",
            ),
            (
                json!({"candidates": [{"autonomous": {"reasons": "x"}}]}),
                "candidates[0].autonomous.reasons is a string, expected an array",
            ),
            (
                json!({"autonomous": []}),
                "autonomous is an array, expected an object",
            ),
        ] {
            let error = PolicyView::read(&document).expect_err("is refused");
            assert_eq!(error.to_string(), message, "{document}");
            let text = document.to_string();
            let error = PolicyView::parse(text.as_bytes()).expect_err("is refused");
            assert_eq!(error.to_string(), message, "{document}");
        }
    }

    #[test]
    fn what_only_a_tolerant_reader_can_read_is_read() {
        for (text, trace) in [
            (&br#"{"traceId":"a","traceId":"b"}"#[..], "b"),
            (b"{\"traceId\":\"x\xff\"}", "x\u{fffd}"),
            (
                br#"{"traceId":1.0,"candidates":[{"autonomous":false}]}"#,
                "1",
            ),
            (br#"{"traceId":2.0}"#, "2"),
        ] {
            let (view, _) = PolicyView::parse(text).expect("is readable");
            assert_eq!(view.trace_id.as_deref(), Some(trace));
        }
    }
}
