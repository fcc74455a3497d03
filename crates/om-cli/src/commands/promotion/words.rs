//! Why a gate fails, in words, and the command that provides what is missing.

use om_model::promotion::gates::{Drill, DrillTrouble, Gate, GateReason};

/// One thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    /// What it means, as a clause.
    pub(super) meaning: &'static str,
    /// What to do, as a sentence.
    pub(super) advice: &'static str,
    /// The command for it, without the repository.
    pub(super) step: Step,
}

/// A command that provides what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Let somebody answer for guarded autonomy, for a limited time.
    Govern,
    /// Observe, judge, plan and act again.
    Cycle,
    /// Judge again.
    Policy,
    /// Show what waits for people.
    Handoff,
    /// Show the latest outcomes.
    Outcomes,
    /// Lift the auto-pause.
    ClearAutoPause,
    /// Play a drill and record it.
    Drill(Drill),
}

/// Who answers for a change, to be filled in.
pub(super) const GOVERNED: &str =
    "--by <name> --approval-ref <ref> --rationale <why> --review-by <YYYY-MM-DDTHH:MM:SSZ>";

impl Step {
    /// The command; `repo` is quoted, and so is `outcomes`, the journal.
    pub(super) fn command(self, repo: &str, outcomes: &str) -> String {
        match self {
            Self::Govern => {
                format!("ops-manager fleet policy set mode guarded_auto --repo {repo} {GOVERNED}")
            }
            Self::Cycle => format!("ops-manager fleet run --repo {repo}"),
            Self::Policy => format!("ops-manager fleet-policy --repo {repo}"),
            Self::Handoff => format!("ops-manager fleet handoff --repo {repo}"),
            Self::Outcomes => format!("tail -n 20 {outcomes} | jq -c .execution.results"),
            Self::ClearAutoPause => {
                format!("ops-manager fleet policy set autopause clear --repo {repo} {GOVERNED}")
            }
            Self::Drill(drill) => {
                let name = drill_word(drill);
                format!("ops-manager drill {name} --repo {repo} --record")
            }
        }
    }
}

/// The name of a drill on the command line.
pub(super) fn drill_word(drill: Drill) -> &'static str {
    match drill {
        Drill::KillSwitch => "kill-switch",
        Drill::SpriteServiceOutage => "sprite-outage",
        Drill::AmbiguousRetryGuard => "retry-guard",
    }
}

/// A gate's name on the page.
pub(super) fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Governance => "authority",
        Gate::OutcomeReliability => "outcomes",
        Gate::ManualBacklog => "backlog",
        Gate::SafetySuppression => "safety",
        Gate::DrillRecency => "drills",
    }
}

/// A reason in words.
#[expect(clippy::too_many_lines, reason = "a table: one row per reason")]
pub(super) fn explain(reason: GateReason) -> Explanation {
    use GateReason as R;
    let (meaning, advice, step) = match reason {
        R::PolicyModeNotGuardedAuto => (
            "people decide everything: the last evaluation was advisory",
            "Let somebody answer for guarded autonomy, then run a cycle.",
            Step::Govern,
        ),
        R::GovernancePostureNotActive => (
            "nobody answers for autonomy, or not for much longer",
            "Renew who answers for it and until when, then run a cycle.",
            Step::Govern,
        ),
        R::GovernanceBlocksAutonomous => (
            "governance keeps everything from happening by itself",
            "Renew who answers for it and until when, then run a cycle.",
            Step::Govern,
        ),
        R::GovernanceAuthorityMissing => (
            "the registry does not say who answers for autonomy",
            "Say who, by which approval and why, then run a cycle.",
            Step::Govern,
        ),
        R::GovernanceReviewDeadlineMissing => (
            "the registry does not say until when somebody answers for it",
            "Give it a date of review, then run a cycle.",
            Step::Govern,
        ),
        R::GovernanceReviewExpired => (
            "the date of review has passed",
            "Review it, give it a new date, then run a cycle.",
            Step::Govern,
        ),
        R::HandoffTelemetryMissing => (
            "nothing was ever executed or planned",
            "Run cycles: every run that acts is evidence.",
            Step::Cycle,
        ),
        R::HandoffTelemetryInvalid => (
            "the record of executions has a line that is no JSON",
            "Move that line away; it is named above.",
            Step::Outcomes,
        ),
        R::AutonomousSampleInsufficient => (
            "too few autonomous runs to prove anything",
            "Let cycles run: every run that acts is evidence.",
            Step::Cycle,
        ),
        R::AutonomousSampleStale => (
            "the autonomous runs are too long ago to prove anything",
            "Let cycles run: every run that acts is evidence.",
            Step::Cycle,
        ),
        R::AutonomousAttemptsZero => (
            "the autonomous runs did not attempt anything",
            "Let cycles run: every run that acts is evidence.",
            Step::Cycle,
        ),
        R::AutonomousAmbiguityRateExceeded => (
            "too many outcomes are not known",
            "See which, and why; good runs push them out of the window.",
            Step::Outcomes,
        ),
        R::AutonomousFailureRateExceeded => (
            "too many executions failed",
            "See which, and why; good runs push them out of the window.",
            Step::Outcomes,
        ),
        R::ManualBacklogUnavailable => (
            "it is not known how much waits for people",
            "Plan the handoff.",
            Step::Handoff,
        ),
        R::ManualBacklogExceeded => (
            "too much waits for people",
            "Decide about what waits.",
            Step::Handoff,
        ),
        R::AutopauseActive => (
            "trouble has paused autonomy",
            "Find the cause and mend it; then lift the pause.",
            Step::ClearAutoPause,
        ),
        R::SuppressionPathsMissing => (
            "the fleet's status does not say why candidates were held back",
            "Evaluate the policy again.",
            Step::Policy,
        ),
        R::DrillStateMissing => (
            "no drill is on record",
            "Play all three drills; this is the first.",
            Step::Drill(Drill::KillSwitch),
        ),
        R::DrillStateInvalid => (
            "the record of drills is no JSON",
            "Repair or remove it, then play all three drills; this is the first.",
            Step::Drill(Drill::KillSwitch),
        ),
        R::Drill(trouble, drill) => return explain_drill(trouble, drill),
    };
    Explanation {
        meaning,
        advice,
        step,
    }
}

fn explain_drill(trouble: DrillTrouble, drill: Drill) -> Explanation {
    let (meaning, advice) = match trouble {
        DrillTrouble::Missing => ("a drill was never played", "Play it."),
        DrillTrouble::NotPassed => (
            "a drill was not passed",
            "Find out why the safety net did not hold, then play it again.",
        ),
        DrillTrouble::TimestampInvalid => (
            "a drill's record does not say when, or names a time to come",
            "Play it again.",
        ),
        DrillTrouble::Stale => ("a drill was played too long ago", "Play it again."),
    };
    Explanation {
        meaning,
        advice,
        step: Step::Drill(drill),
    }
}
