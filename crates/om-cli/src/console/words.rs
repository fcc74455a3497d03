//! Reason codes and states in words, and what to do about them.
//!
//! One table, so that every place says the same thing about the same code.

/// What a person needs to know about one health reason code.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The code on the wire.
    pub code: &'static str,
    /// What it means, as a clause.
    pub meaning: &'static str,
    /// What to do, as a sentence; `{…}` is replaced by the page.
    pub advice: &'static str,
}

/// Every health reason code (chapter 02 §3.8) and failure code (§2.8).
pub const EXPLANATIONS: [Explanation; 15] = [
    Explanation {
        code: "divergence_detected",
        meaning: "state and events contradict each other",
        advice: "Do not act automatically on this loop. Take a fresh look: {reconcile}; if it \
                 persists, compare projection and runtime in {state}.",
    },
    Explanation {
        code: "control_ambiguous",
        meaning: "the last control intent has an unknown outcome",
        advice: "Do not repeat the intent blindly. Compare {intents} with the lifecycle above, \
                 then reconcile: {reconcile}.",
    },
    Explanation {
        code: "control_failed_command",
        meaning: "the last control intent failed",
        advice: "Read the command's output in the last row of {invocations}, fix the cause, \
                 then repeat the intent.",
    },
    Explanation {
        code: "ingest_stale",
        meaning: "no new event",
        advice: "See whether the runtime is alive (active-run.json, heartbeat) and what it did \
                 last: tail -n 5 {events}.",
    },
    Explanation {
        code: "runtime_heartbeat_stale",
        meaning: "no sign of life from the runtime",
        advice: "Check the machine and the runtime process; the last heartbeat is in {heartbeat}.",
    },
    Explanation {
        code: "transport_unreachable",
        meaning: "the loop cannot be observed",
        advice: "Check that the loop's files (or its service) are there, then reconcile again: \
                 {reconcile}. The last error is in {reconcile_rows}.",
    },
    Explanation {
        code: "ordering_drift_detected",
        meaning: "events arrive out of order",
        advice: "The event log was cut or replaced. Check it, then replay from the start: \
                 {replay}.",
    },
    Explanation {
        code: "invalid_transport_payload",
        meaning: "the service answers with something unusable",
        advice: "Compare the versions of manager and service; the message is in \
                 {reconcile_rows}.",
    },
    Explanation {
        code: "projection_failed",
        meaning: "the snapshot could not be projected",
        advice: "The message in {reconcile_rows} names the file; no event was skipped.",
    },
    Explanation {
        code: "reconcile_failed",
        meaning: "the last pass failed",
        advice: "Reconcile again and read its message: {reconcile}.",
    },
    Explanation {
        code: "snapshot_unavailable",
        meaning: "the loop's files cannot be read",
        advice: "The message in {reconcile_rows} names the file.",
    },
    Explanation {
        code: "events_unavailable",
        meaning: "the event log cannot be read from the cursor on",
        advice: "The message in {reconcile_rows} names the line. If the log was replaced on \
                 purpose, replay it: {replay}.",
    },
    Explanation {
        code: "service_request_failed",
        meaning: "the service does not answer",
        advice: "Check the service, or observe the loop on its own machine.",
    },
    Explanation {
        code: "service_response_invalid",
        meaning: "the service's answer has the wrong shape",
        advice: "Compare the versions of manager and service.",
    },
    Explanation {
        code: "profile_drift_detected",
        meaning: "another threshold profile fits better",
        advice: "Review the thresholds and pass --threshold-profile to reconcile.",
    },
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
