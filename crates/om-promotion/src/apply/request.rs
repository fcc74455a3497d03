//! What somebody wants of the rollout.

use std::path::PathBuf;

use om_model::promotion::ApplyIntent;

use crate::error::PromotionError;
use crate::evaluator::{expand_step, integer, push};

/// Who changes the rollout, why, until when; as typed, what is empty was not
/// given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governance {
    /// `--by`
    pub by: Option<String>,
    /// `--approval-ref`
    pub approval_ref: Option<String>,
    /// `--rationale`
    pub rationale: Option<String>,
    /// `--review-by`
    pub review_by: Option<String>,
}

impl Governance {
    /// Each flag with its value, in the order in which they are checked.
    pub(crate) fn flags(&self) -> [(&'static str, &Option<String>); 4] {
        [
            ("--by", &self.by),
            ("--approval-ref", &self.approval_ref),
            ("--rationale", &self.rationale),
            ("--review-by", &self.review_by),
        ]
    }

    /// The first flag that was not given.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let missing = self.flags().into_iter().find(|(_, value)| value.is_none());
        missing.map(|(flag, _)| flag)
    }

    /// The arguments of a hook that is told of them.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (flag, value) in self.flags() {
            push(&mut arguments, flag, value.as_ref());
        }
        arguments
    }
}

/// What somebody wants of the rollout. What is empty was not given.
#[derive(Clone, Debug, Default)]
pub struct ApplyRequest {
    /// The resolved repository.
    pub repo: PathBuf,
    /// `--registry-file`
    pub registry_file: Option<String>,
    /// `--promotion-state-file`
    pub promotion_state_file: Option<String>,
    /// `--apply-state-file`
    pub apply_state_file: Option<String>,
    /// `--apply-telemetry-file`
    pub apply_telemetry_file: Option<String>,
    /// `--intent`
    pub intent: Option<String>,
    /// `--expand-step`
    pub expand_step: Option<String>,
    /// `--idempotency-key`
    pub idempotency_key: Option<String>,
    /// `--trace-id`
    pub trace_id: Option<String>,
    /// `--loop-id`
    pub loop_id: Option<String>,
    /// `--horizon-ref`
    pub horizon_ref: Option<String>,
    /// Every `--evidence-ref`
    pub evidence_refs: Vec<String>,
    /// Who, why, until when.
    pub governance: Governance,
    /// `--max-decision-age-minutes` (additive, decision D20)
    pub max_decision_age_minutes: Option<String>,
}

/// A request whose flags are fine by themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<'a> {
    pub(super) intent: ApplyIntent,
    /// Percent points, 1 to 100.
    pub(super) step: u64,
    pub(super) actor: &'a str,
    pub(super) approval_ref: &'a str,
    pub(super) rationale: &'a str,
    pub(super) review_by: &'a str,
    pub(super) max_decision_age_minutes: Option<u64>,
}

impl ApplyRequest {
    /// Checks the flags in the contract's order (chapter 07 §3.2), the
    /// repository excepted.
    pub fn check(&self) -> Result<(), PromotionError> {
        self.checked().map(|_| ())
    }

    pub(super) fn checked(&self) -> Result<Checked<'_>, PromotionError> {
        let intent = self.intent.as_deref().and_then(ApplyIntent::parse);
        let intent = intent.ok_or(PromotionError::Flag {
            flag: "--intent",
            expected: "one of expand, resume, rollback",
        })?;
        let step = expand_step(self.expand_step.as_ref())?;
        let required = |index: usize| {
            let (flag, value) = self.governance.flags()[index];
            value.as_deref().ok_or(PromotionError::Required(flag))
        };
        Ok(Checked {
            intent,
            step,
            actor: required(0)?,
            approval_ref: required(1)?,
            rationale: required(2)?,
            review_by: required(3)?,
            max_decision_age_minutes: match &self.max_decision_age_minutes {
                None => None,
                given => Some(integer("--max-decision-age-minutes", given.as_ref(), 1, 1)?),
            },
        })
    }

    /// What a hook that replaces this stage is told (chapter 07 §4.6).
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--repo".to_owned(), self.repo.display().to_string()];
        push(
            &mut arguments,
            "--promotion-state-file",
            self.promotion_state_file.as_ref(),
        );
        push(&mut arguments, "--intent", self.intent.as_ref());
        arguments.extend(self.governance.arguments());
        for (flag, value) in [
            ("--expand-step", &self.expand_step),
            ("--idempotency-key", &self.idempotency_key),
            ("--trace-id", &self.trace_id),
            ("--loop-id", &self.loop_id),
            ("--horizon-ref", &self.horizon_ref),
        ] {
            push(&mut arguments, flag, value.as_ref());
        }
        for reference in &self.evidence_refs {
            push(&mut arguments, "--evidence-ref", Some(reference));
        }
        arguments
    }
}

/// References with line breaks in them are several.
pub(crate) fn split_refs(references: &[String]) -> impl Iterator<Item = &str> {
    references.iter().flat_map(|text| text.split('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> ApplyRequest {
        let text = |text: &str| Some(text.to_owned());
        ApplyRequest {
            intent: text("expand"),
            governance: Governance {
                by: text("kim"),
                approval_ref: text("CHG-1"),
                rationale: text("two words"),
                review_by: text("2031-05-01T00:00:00Z"),
            },
            ..ApplyRequest::default()
        }
    }

    #[test]
    fn flags_are_checked_in_the_contracts_order() {
        const INTENT: &str = "--intent must be one of expand, resume, rollback";
        const STEP: &str = "--expand-step must be an integer between 1 and 100";
        let mut request = ApplyRequest {
            expand_step: Some("0".into()),
            ..ApplyRequest::default()
        };
        let refused = |request: &ApplyRequest| request.check().expect_err("is refused").to_string();
        assert_eq!(refused(&request), INTENT);
        request.intent = Some("widen".into());
        assert_eq!(refused(&request), INTENT);
        request.intent = Some("rollback".into());
        assert_eq!(refused(&request), STEP);
        request.expand_step = None;
        assert_eq!(refused(&request), "--by is required");
        request.governance.by = complete().governance.by;
        assert_eq!(refused(&request), "--approval-ref is required");
        request.governance.approval_ref = complete().governance.approval_ref;
        assert_eq!(refused(&request), "--rationale is required");
        request.governance.rationale = complete().governance.rationale;
        assert_eq!(refused(&request), "--review-by is required");
        request.governance = complete().governance;
        assert!(request.check().is_ok());
    }

    #[test]
    fn a_hook_gets_its_words_whole_and_in_order() {
        let request = ApplyRequest {
            repo: "/r".into(),
            promotion_state_file: Some("ci.json".into()),
            expand_step: Some("10".into()),
            idempotency_key: Some("k".into()),
            trace_id: Some("t".into()),
            loop_id: Some("l".into()),
            horizon_ref: Some("h".into()),
            evidence_refs: vec!["a b".into(), "c".into()],
            ..complete()
        };
        assert_eq!(
            request.arguments().join("|"),
            "--repo|/r|--promotion-state-file|ci.json|--intent|expand|--by|kim|--approval-ref|\
             CHG-1|--rationale|two words|--review-by|2031-05-01T00:00:00Z|--expand-step|10|\
             --idempotency-key|k|--trace-id|t|--loop-id|l|--horizon-ref|h|--evidence-ref|a b|\
             --evidence-ref|c"
        );
    }

    #[test]
    fn a_reference_with_line_breaks_is_several() {
        let refs = ["a\nb".to_owned(), String::new()];
        let split: Vec<&str> = split_refs(&refs).collect();
        assert_eq!(split, ["a", "b", ""]);
    }
}
