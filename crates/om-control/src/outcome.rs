//! What became of an intent, as one value (chapter 03 §3.1.4).

use om_model::control::{ConfirmationStatus, ControlReasonCode, ControlStatus, ExecutionStatus};
use serde_json::Value;

use crate::target::TargetMismatch;

/// What became of an intent; all that its three rows need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Final status.
    pub status: ControlStatus,
    /// A reason that does not follow from the status.
    pub reason: Option<ControlReasonCode>,
    /// Whether the command ran.
    pub execution: ExecutionStatus,
    /// Its exit code.
    pub exit_code: i64,
    /// The last lines of its output, or the service's answer.
    pub output: String,
    /// A service answered from its store.
    pub replayed: bool,
    /// Whether the effect was looked for.
    pub attempted: bool,
    /// Whether it was seen.
    pub confirmation: ConfirmationStatus,
    /// Exit code of the confirmation, 0 without one.
    pub confirm_exit_code: i64,
    /// The confirmation's verdict.
    pub confirm: Option<Value>,
    /// Whether the effect was seen.
    pub confirmed: bool,
    /// A target check was overridden (decision D23).
    pub forced_target: bool,
}

impl Outcome {
    /// A command that failed, or was not even started: nothing to confirm.
    pub fn failed(exit_code: i64, output: String) -> Self {
        Self {
            status: ControlStatus::FailedCommand,
            reason: None,
            execution: ExecutionStatus::FailedCommand,
            exit_code,
            output,
            replayed: false,
            attempted: false,
            confirmation: ConfirmationStatus::NotAttempted,
            confirm_exit_code: 0,
            confirm: None,
            confirmed: false,
            forced_target: false,
        }
    }

    /// A command that was not started because it would have hit another loop.
    pub fn refused(mismatch: &TargetMismatch) -> Self {
        Self {
            reason: Some(ControlReasonCode::ControlTargetMismatch),
            ..Self::failed(1, mismatch.to_string())
        }
    }

    /// Nobody knows what happened: the process that acted is gone (decision
    /// D7).
    pub fn unknown() -> Self {
        Self {
            status: ControlStatus::Ambiguous,
            execution: ExecutionStatus::Unknown,
            ..Self::failed(0, String::new())
        }
    }

    /// Why the intent was not simply confirmed or executed.
    pub fn reason_code(&self) -> Option<ControlReasonCode> {
        self.reason.or(match self.status {
            ControlStatus::Ambiguous => Some(ControlReasonCode::ControlAmbiguous),
            ControlStatus::FailedCommand => Some(ControlReasonCode::ControlFailedCommand),
            _ => None,
        })
    }
}

/// How a runtime's command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself: its exit code, 128 + n for signal n, 126 or 127 if it could
    /// not be started.
    Exited(i32),
    /// By us, for exceeding its time limit (decision D13).
    TimedOut,
}

/// Exit code of a command that exceeded its time limit.
const TIMED_OUT: i64 = 124;

impl Ended {
    /// The exit code that is recorded.
    pub fn exit_code(self) -> i64 {
        match self {
            Self::Exited(code) => i64::from(code),
            Self::TimedOut => TIMED_OUT,
        }
    }

    /// Whether the command may have had an effect that can be looked for.
    pub fn may_have_acted(self) -> bool {
        matches!(self, Self::Exited(0) | Self::TimedOut)
    }
}

/// What a confirm stage left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Confirmation {
    /// 0 is confirmed; nothing else of the stage is looked at.
    pub exit_code: i64,
    /// Its verdict, if it is one document.
    pub document: Option<Value>,
}

/// The decision table of a local command (§3.1.4 A, and D13 for its time
/// limit). `confirmation` is `None` if nobody asked for it, and never needed
/// where [`Ended::may_have_acted`] says no.
pub fn local(ended: Ended, output: String, confirmation: Option<Confirmation>) -> Outcome {
    let failed = Outcome::failed(ended.exit_code(), output);
    if !ended.may_have_acted() {
        return failed;
    }
    let (status, confirmation_status) = match (&confirmation, ended) {
        (Some(Confirmation { exit_code: 0, .. }), _) => {
            (ControlStatus::Confirmed, ConfirmationStatus::Confirmed)
        }
        (Some(_), _) => (ControlStatus::Ambiguous, ConfirmationStatus::Ambiguous),
        (None, Ended::Exited(_)) => (
            ControlStatus::ExecutedUnconfirmed,
            ConfirmationStatus::Skipped,
        ),
        (None, Ended::TimedOut) => (ControlStatus::Ambiguous, ConfirmationStatus::Skipped),
    };
    let attempted = confirmation.is_some();
    let Confirmation {
        exit_code,
        document,
    } = confirmation.unwrap_or_default();
    Outcome {
        confirmed: status == ControlStatus::Confirmed,
        status,
        execution: match ended {
            Ended::Exited(_) => ExecutionStatus::Succeeded,
            Ended::TimedOut => ExecutionStatus::Unknown,
        },
        attempted,
        confirmation: confirmation_status,
        confirm_exit_code: exit_code,
        confirm: document,
        ..failed
    }
}
