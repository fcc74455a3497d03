//! The Markdown summary of a check (chapter 07 §2.5).

use std::fmt::Write;

use om_model::promotion::ci::MISSING_EVIDENCE;

use crate::check::{Check, listed};

/// Where a check's documents are.
#[derive(Clone, Copy, Debug)]
pub(super) struct SummaryPaths<'a> {
    pub(super) result: &'a str,
    pub(super) state: &'a str,
    pub(super) telemetry: &'a str,
}

/// The summary of a check that was made.
pub(super) fn of_check(check: &Check, paths: SummaryPaths<'_>) -> String {
    let SummaryPaths {
        result,
        state,
        telemetry,
    } = paths;
    format!(
        "## Ops Manager Promotion CI\n\
         \n\
         Decision: `{}`\n\
         \n\
         Failed gates: {}\n\
         \n\
         Reason codes: {}\n\
         \n\
         Result JSON: `{result}`\n\
         \n\
         Promotion state: `{state}`\n\
         \n\
         Promotion telemetry: `{telemetry}`\n",
        check.decision_or_unknown(),
        listed(&check.failed_gates),
        listed(&check.reason_codes),
    )
}

/// The summary of a check that was skipped for want of `missing`.
pub(super) fn of_skipped(missing: &[String]) -> String {
    let mut summary = format!(
        "## Ops Manager Promotion CI\n\
         \n\
         Decision: `skipped`\n\
         \n\
         Reason codes: `{MISSING_EVIDENCE}`\n\
         \n\
         Missing evidence paths:\n"
    );
    for path in missing {
        // Writing to a string does not fail.
        let _ = writeln!(summary, "- `{path}`");
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PATHS: SummaryPaths<'_> = SummaryPaths {
        result: "/r/with blank/result.json",
        state: "/r/state.json",
        telemetry: "/r/rows.jsonl",
    };

    fn check(document: &serde_json::Value) -> Check {
        Check::read(document).expect("is read")
    }

    #[test]
    fn a_promotion() {
        let check = check(&json!({ "summary": { "decision": "promote" } }));
        insta::assert_snapshot!(of_check(&check, PATHS));
    }

    #[test]
    fn a_hold_lists_gates_and_reasons() {
        let check = check(&json!({ "summary": {
            "decision": "hold",
            "failedGates": ["governance", "drill_recency"],
            "reasonCodes": ["promotion_drill_state_missing", "promotion_policy_mode_not_guarded_auto"],
        } }));
        insta::assert_snapshot!(of_check(&check, PATHS));
    }

    #[test]
    fn a_skipped_check_lists_what_is_missing() {
        insta::assert_snapshot!(of_skipped(&["/r/a b.jsonl".into(), "c.json".into()]));
    }
}
