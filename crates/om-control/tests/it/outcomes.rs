//! The decision table of a local command (chapter 03 §3.1.4 A, decision D13).

use om_control::outcome::{Confirmation, Ended, local};
use om_model::control::{
    ConfirmationStatus as C, ControlReasonCode as R, ControlStatus as S, ExecutionStatus as E,
};
use serde_json::json;

fn confirmation(exit_code: i64) -> Confirmation {
    Confirmation {
        exit_code,
        document: Some(json!({"seen": exit_code == 0})),
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn exit_code_and_confirmation_decide() {
    let exited = Ended::Exited;
    let timed_out = Ended::TimedOut;
    let ambiguous = Some(R::ControlAmbiguous);
    let failed = Some(R::ControlFailedCommand);
    for (ended, confirm, status, execution, confirmed, exit_code, reason) in [
        (
            exited(0),
            None,
            S::ExecutedUnconfirmed,
            E::Succeeded,
            C::Skipped,
            0,
            None,
        ),
        (
            exited(0),
            Some(0),
            S::Confirmed,
            E::Succeeded,
            C::Confirmed,
            0,
            None,
        ),
        (
            exited(0),
            Some(1),
            S::Ambiguous,
            E::Succeeded,
            C::Ambiguous,
            0,
            ambiguous,
        ),
        (
            exited(0),
            Some(127),
            S::Ambiguous,
            E::Succeeded,
            C::Ambiguous,
            0,
            ambiguous,
        ),
        (
            exited(3),
            None,
            S::FailedCommand,
            E::FailedCommand,
            C::NotAttempted,
            3,
            failed,
        ),
        (
            exited(127),
            None,
            S::FailedCommand,
            E::FailedCommand,
            C::NotAttempted,
            127,
            failed,
        ),
        (
            exited(137),
            None,
            S::FailedCommand,
            E::FailedCommand,
            C::NotAttempted,
            137,
            failed,
        ),
        (
            timed_out,
            Some(0),
            S::Confirmed,
            E::Unknown,
            C::Confirmed,
            124,
            None,
        ),
        (
            timed_out,
            Some(1),
            S::Ambiguous,
            E::Unknown,
            C::Ambiguous,
            124,
            ambiguous,
        ),
        (
            timed_out,
            None,
            S::Ambiguous,
            E::Unknown,
            C::Skipped,
            124,
            ambiguous,
        ),
    ] {
        let case = format!("{ended:?} {confirm:?}");
        let outcome = local(ended, "said".to_owned(), confirm.map(confirmation));
        assert_eq!(outcome.reason_code(), reason, "{case}");
        assert_eq!(outcome.confirmed, status == S::Confirmed, "{case}");
        assert_eq!(outcome.status, status, "{case}");
        assert_eq!(outcome.execution, execution, "{case}");
        assert_eq!(outcome.confirmation, confirmed, "{case}");
        assert_eq!(outcome.exit_code, exit_code, "{case}");
        assert_eq!(outcome.attempted, confirm.is_some(), "{case}");
        assert_eq!(outcome.confirm_exit_code, confirm.unwrap_or(0), "{case}");
        assert_eq!(outcome.confirm.is_some(), confirm.is_some(), "{case}");
        assert_eq!(outcome.output, "said", "{case}");
        assert!(!outcome.replayed, "{case}");
    }
}

#[test]
fn only_what_may_have_acted_is_worth_a_look() {
    for (ended, worth) in [
        (Ended::Exited(0), true),
        (Ended::Exited(1), false),
        (Ended::Exited(126), false),
        (Ended::TimedOut, true),
    ] {
        assert_eq!(ended.may_have_acted(), worth, "{ended:?}");
    }
}
