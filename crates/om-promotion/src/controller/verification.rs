//! Whether a change was right (chapter 07 §5.4 step 8, decision D19).

use om_model::promotion::controller::{ControllerReason, Verification, VerificationStatus};
use om_model::{Artifact, json};

use crate::check::{Check, unknown};

/// Nothing was changed, so there is nothing to verify.
pub(super) fn skipped() -> Verification {
    Verification {
        ran: false,
        status: VerificationStatus::Skipped,
        decision: None,
        reason_codes: Vec::new(),
    }
}

/// The change cannot be verified, for this reason.
pub(super) fn failed(reason: ControllerReason) -> Verification {
    Verification {
        ran: true,
        status: VerificationStatus::Fail,
        decision: None,
        reason_codes: vec![reason],
    }
}

/// What the verify stage found: its result, or that it is not of this run.
pub(super) fn judge(succeeded: bool, is_written: bool, result: &Artifact) -> Verification {
    if !succeeded {
        return failed(ControllerReason::ControllerVerificationCommandFailed);
    }
    let document = match result {
        Artifact::Absent => return failed(ControllerReason::ControllerVerificationResultMissing),
        _ if !is_written => return failed(ControllerReason::ControllerVerificationResultMissing),
        Artifact::Broken(json::ParseError::Blank) => {
            return failed(ControllerReason::ControllerVerificationFailed);
        }
        Artifact::Broken(_) => {
            return failed(ControllerReason::ControllerVerificationResultInvalid);
        }
        Artifact::Document(document) => document,
    };
    let Ok(check) = Check::read(document) else {
        return failed(ControllerReason::ControllerVerificationResultInvalid);
    };
    let decision = check.decision.unwrap_or_else(unknown);
    if decision == "promote" {
        return Verification {
            ran: true,
            status: VerificationStatus::Pass,
            decision: Some(decision),
            reason_codes: Vec::new(),
        };
    }
    Verification {
        decision: Some(decision),
        ..failed(ControllerReason::ControllerVerificationFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_outcomes() {
        use ControllerReason as R;
        let promote = r#"{"summary":{"decision":"promote"}}"#;
        for (succeeded, is_written, text, decision, reason) in [
            (true, true, Some(promote), Some("promote"), None),
            (
                false,
                true,
                Some(promote),
                None,
                Some(R::ControllerVerificationCommandFailed),
            ),
            (
                true,
                false,
                Some(promote),
                None,
                Some(R::ControllerVerificationResultMissing),
            ),
            (
                true,
                false,
                None,
                None,
                Some(R::ControllerVerificationResultMissing),
            ),
            (
                true,
                true,
                Some("{"),
                None,
                Some(R::ControllerVerificationResultInvalid),
            ),
            (
                true,
                true,
                Some("[]"),
                None,
                Some(R::ControllerVerificationResultInvalid),
            ),
            (
                true,
                true,
                Some(""),
                None,
                Some(R::ControllerVerificationFailed),
            ),
            (
                true,
                true,
                Some("null"),
                Some("unknown"),
                Some(R::ControllerVerificationFailed),
            ),
            (
                true,
                true,
                Some(r#"{"summary":{"decision":"skipped"}}"#),
                Some("skipped"),
                Some(R::ControllerVerificationFailed),
            ),
        ] {
            let result = text.map_or(Artifact::Absent, |text| Artifact::parse(text.as_bytes()));
            let found = judge(succeeded, is_written, &result);
            assert_eq!(found.decision.as_deref(), decision, "{text:?}");
            assert_eq!(found.reason_codes.first().copied(), reason, "{text:?}");
            let status = if reason.is_none() {
                VerificationStatus::Pass
            } else {
                VerificationStatus::Fail
            };
            assert_eq!((found.ran, found.status), (true, status), "{text:?}");
        }
    }
}
