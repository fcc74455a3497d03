//! Reason codes and states in words, and what to do about them.
//!
//! One table, so that every place says the same thing about the same code.

pub mod fleet;

/// What a person needs to know about one health reason code.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The code on the wire.
    pub code: &'static str,
    /// What it means, as a clause.
    pub meaning: &'static str,
    /// What to do, as a sentence.
    pub advice: &'static str,
    /// The command for it.
    pub command: Step,
}

/// A command that helps with a reason, filled in by the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reconcile again.
    Reconcile,
    /// Replay the event log from its start.
    Replay,
    /// Show the last events.
    LastEvents,
    /// Show the last reconcile row, which has the failure's message.
    LastPass,
    /// Show the last control invocation.
    LastInvocation,
    /// Show the last heartbeat.
    Heartbeat,
    /// Show how the recommendation came about.
    Summary,
}

const fn explanation(
    code: &'static str,
    meaning: &'static str,
    command: Step,
    advice: &'static str,
) -> Explanation {
    Explanation {
        code,
        meaning,
        advice,
        command,
    }
}

/// Every health reason code (chapter 02 §3.8) and failure code (§2.8).
pub const EXPLANATIONS: [Explanation; 15] = [
    explanation(
        "divergence_detected",
        "state and events contradict each other",
        Step::Reconcile,
        "Do not act automatically on this loop. Take a fresh look; if it persists, compare \
         divergence and evidence in the state with the runtime's own files.",
    ),
    explanation(
        "control_ambiguous",
        "the last control intent has an unknown outcome",
        Step::LastInvocation,
        "Do not repeat the intent blindly: see what was executed, compare it with the lifecycle \
         above, and reconcile.",
    ),
    explanation(
        "control_failed_command",
        "the last control intent failed",
        Step::LastInvocation,
        "Read the command's output, fix the cause, then repeat the intent.",
    ),
    explanation(
        "ingest_stale",
        "no new event",
        Step::LastEvents,
        "See whether the runtime is alive and what it did last.",
    ),
    explanation(
        "runtime_heartbeat_stale",
        "no sign of life from the runtime",
        Step::Heartbeat,
        "Check the machine and the runtime process that the last heartbeat names.",
    ),
    explanation(
        "transport_unreachable",
        "the loop cannot be observed",
        Step::LastPass,
        "The last pass says which file or service is missing. Fix it, then reconcile.",
    ),
    explanation(
        "ordering_drift_detected",
        "events arrive out of order",
        Step::Replay,
        "The event log was cut or replaced. Check it, then replay it from its start.",
    ),
    explanation(
        "invalid_transport_payload",
        "the service answers with something unusable",
        Step::LastPass,
        "Compare the versions of manager and service.",
    ),
    explanation(
        "projection_failed",
        "the snapshot could not be projected",
        Step::LastPass,
        "The last pass names the file. No event was skipped.",
    ),
    explanation(
        "reconcile_failed",
        "the last pass failed",
        Step::Reconcile,
        "Reconcile again and read its message.",
    ),
    explanation(
        "snapshot_unavailable",
        "the loop's files cannot be read",
        Step::LastPass,
        "The last pass names the file.",
    ),
    explanation(
        "events_unavailable",
        "the event log cannot be read from the cursor on",
        Step::LastPass,
        "The last pass names the line. If the log was replaced on purpose, reconcile with \
         --from-start.",
    ),
    explanation(
        "service_request_failed",
        "the service does not answer",
        Step::LastPass,
        "Check the service, or observe the loop on its own machine.",
    ),
    explanation(
        "service_response_invalid",
        "the service's answer has the wrong shape",
        Step::LastPass,
        "Compare the versions of manager and service.",
    ),
    explanation(
        "profile_drift_detected",
        "another threshold profile fits better",
        Step::Summary,
        "Review the thresholds; reconcile takes --threshold-profile.",
    ),
];

/// The explanation of `code`, if it has one.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    EXPLANATIONS
        .iter()
        .find(|explanation| explanation.code == code)
}

/// A lifecycle state as a clause.
pub fn lifecycle(state: &str) -> &'static str {
    match state {
        "running" => "an iteration is in progress",
        "awaiting_approval" => "waiting for somebody to approve or reject",
        "complete" => "finished, completion is recorded",
        "stopped" => "stopped deliberately",
        "failed" => "the last event is an error",
        "idle" => "between iterations, nothing executes",
        _ => "no trustworthy signal",
    }
}

/// A number of seconds in the two largest units that matter.
pub fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = UNITS
        .iter()
        .position(|(size, _)| seconds >= *size)
        .unwrap_or(UNITS.len() - 1);
    let (size, name) = UNITS[first];
    let (whole, rest) = (seconds / size, seconds % size);
    // Below ten of a unit the next smaller one still matters.
    match UNITS.get(first + 1) {
        Some((next, next_name)) if whole < 10 && rest / next > 0 => {
            format!("{whole} {name} {} {next_name}", rest / next)
        }
        _ => format!("{whole} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use om_model::health::HealthReasonCode;
    use om_model::state::FailureCode;

    #[test]
    fn every_reason_and_failure_code_is_explained() {
        let reasons = HealthReasonCode::KNOWN.map(|code| code.as_str().to_owned());
        let failures = FailureCode::ALL.map(|code| code.as_str().to_owned());
        for code in reasons.iter().chain(&failures) {
            assert!(explain(code).is_some(), "{code}");
        }
    }

    #[test]
    fn durations_show_what_matters() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (630, "10 min"),
            (3_600, "1 h"),
            (5_400, "1 h 30 min"),
            (90_000, "1 d 1 h"),
            (864_000, "10 d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
