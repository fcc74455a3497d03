//! Gate 2: autonomous runs do what they should.

use om_model::Timestamp;
use om_model::promotion::gates::{GateReason, GateThresholds, OutcomeReliabilityGate};
use om_model::promotion::number;

use super::handoff::HandoffEvidence;
use super::{CLOCK_SKEW_SECONDS, Execution, reasons_of};

const HOUR: u64 = 3600;

/// The gate over the latest runs.
pub(super) fn gate(
    evidence: &HandoffEvidence,
    thresholds: &GateThresholds,
    now: Timestamp,
) -> OutcomeReliabilityGate {
    let all: &[Execution] = match evidence {
        HandoffEvidence::Read(sample) => &sample.runs,
        HandoffEvidence::Missing | HandoffEvidence::Invalid(_) => &[],
    };
    let window = Window::over(all, thresholds, now);
    let sums = Sums::over(&window.runs);
    let (ambiguity_rate, failure_rate) = (
        share(sums.ambiguous, sums.attempted),
        share(sums.failed, sums.attempted),
    );
    let is_attempted = sums.attempted > 0;
    let is_small = (window.runs.len() as u64) < thresholds.min_sample_size;
    let reasons = reasons_of(&[
        (
            GateReason::HandoffTelemetryMissing,
            matches!(evidence, HandoffEvidence::Missing),
        ),
        (
            GateReason::HandoffTelemetryInvalid,
            matches!(evidence, HandoffEvidence::Invalid(_)),
        ),
        (GateReason::AutonomousSampleInsufficient, is_small),
        (
            GateReason::AutonomousSampleStale,
            is_small && window.has_stale_runs,
        ),
        (
            GateReason::AutonomousAttemptsZero,
            !is_small && !is_attempted,
        ),
        (
            GateReason::AutonomousAmbiguityRateExceeded,
            is_attempted && ambiguity_rate > thresholds.max_ambiguity_rate.get(),
        ),
        (
            GateReason::AutonomousFailureRateExceeded,
            is_attempted && failure_rate > thresholds.max_failure_rate.get(),
        ),
    ]);
    let stamp = |run: Option<&&Execution>| {
        let stamp = run.map(|run| run.timestamp.clone());
        stamp.filter(|stamp| !stamp.is_empty())
    };
    OutcomeReliabilityGate {
        verdict: reasons.into(),
        sample_runs: window.runs.len(),
        attempted: sums.attempted,
        executed: sums.executed,
        ambiguous: sums.ambiguous,
        failed: sums.failed,
        ambiguity_rate: number(ambiguity_rate),
        failure_rate: number(failure_rate),
        sample_oldest_at: stamp(window.runs.first()),
        sample_newest_at: stamp(window.runs.last()),
        telemetry_error: match evidence {
            HandoffEvidence::Invalid(cause) => Some(cause.clone()),
            HandoffEvidence::Missing | HandoffEvidence::Read(_) => None,
        },
    }
}

/// The runs that count, in file order.
struct Window<'a> {
    runs: Vec<&'a Execution>,
    /// Whether runs were left out for their age.
    has_stale_runs: bool,
}

impl<'a> Window<'a> {
    /// The last runs; with a limit of age, those of them that are young
    /// enough.
    fn over(all: &'a [Execution], thresholds: &GateThresholds, now: Timestamp) -> Self {
        let most = usize::try_from(thresholds.window_executions).unwrap_or(usize::MAX);
        let last = &all[all.len().saturating_sub(most)..];
        let counts = |run: &&Execution| {
            let limit = thresholds.max_sample_age_hours;
            limit.is_none_or(|hours| is_young(run, hours, now))
        };
        let runs: Vec<&Execution> = last.iter().filter(counts).collect();
        Self {
            has_stale_runs: runs.len() < last.len(),
            runs,
        }
    }
}

/// Whether a run is known to be at most `hours` old. A stamp of a time to
/// come is no proof of youth.
fn is_young(run: &Execution, hours: u64, now: Timestamp) -> bool {
    let at = Timestamp::parse(&run.timestamp);
    at.is_some_and(|at| {
        now.seconds_since(at) <= hours.saturating_mul(HOUR)
            && at.seconds_since(now) <= CLOCK_SKEW_SECONDS
    })
}

/// What the runs of a window did.
struct Sums {
    attempted: u64,
    executed: u64,
    ambiguous: u64,
    failed: u64,
}

impl Sums {
    fn over(runs: &[&Execution]) -> Self {
        let sum = |count: fn(&Execution) -> u64| {
            let counts = runs.iter().map(|run| count(run));
            counts.fold(0, u64::saturating_add)
        };
        Self {
            attempted: sum(|run| run.requested),
            executed: sum(|run| run.executed),
            ambiguous: sum(|run| run.ambiguous),
            failed: sum(|run| run.failed),
        }
    }
}

/// `part` of `whole`, 0 without a whole.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::handoff::HandoffSample;
    use super::*;
    use om_model::promotion::Rate;

    const NOW: i64 = 1_900_000_000;

    fn now() -> Timestamp {
        Timestamp::from_epoch_seconds(NOW)
    }

    fn run_at(age_hours: i64, counts: [u64; 4]) -> Execution {
        let [requested, executed, ambiguous, failed] = counts;
        let at = Timestamp::from_epoch_seconds(NOW - age_hours * 3600);
        Execution {
            timestamp: at.to_string(),
            attempted: 1,
            requested,
            executed,
            ambiguous,
            failed,
        }
    }

    fn read(runs: Vec<Execution>) -> HandoffEvidence {
        HandoffEvidence::Read(HandoffSample {
            runs,
            backlog: Vec::new(),
        })
    }

    /// Ten runs of one intent each: some ambiguous, some failed.
    fn outcomes(ambiguous: usize, failed: usize) -> HandoffEvidence {
        let runs = (0..10).map(|n| {
            let (a, f) = (n < ambiguous, n >= ambiguous && n < ambiguous + failed);
            run_at(1, [1, u64::from(!a && !f), u64::from(a), u64::from(f)])
        });
        read(runs.collect())
    }

    fn limits() -> GateThresholds {
        GateThresholds {
            window_executions: 10,
            min_sample_size: 10,
            ..GateThresholds::default()
        }
    }

    #[test]
    fn the_table_of_reasons() {
        use GateReason as R;
        let idle = read(vec![run_at(1, [0, 2, 0, 0]); 10]);
        let cases = [
            (outcomes(0, 0), vec![]),
            (
                HandoffEvidence::Missing,
                vec![R::HandoffTelemetryMissing, R::AutonomousSampleInsufficient],
            ),
            (
                HandoffEvidence::Invalid("line 3: x".into()),
                vec![R::HandoffTelemetryInvalid, R::AutonomousSampleInsufficient],
            ),
            (read(vec![]), vec![R::AutonomousSampleInsufficient]),
            (
                read(vec![run_at(1, [1, 1, 0, 0]); 9]),
                vec![R::AutonomousSampleInsufficient],
            ),
            (idle, vec![R::AutonomousAttemptsZero]),
            (outcomes(2, 0), vec![]),
            (outcomes(3, 0), vec![R::AutonomousAmbiguityRateExceeded]),
            (outcomes(0, 2), vec![]),
            (outcomes(0, 3), vec![R::AutonomousFailureRateExceeded]),
            (
                read(vec![run_at(1, [1, 0, 0, 1])]),
                vec![
                    R::AutonomousSampleInsufficient,
                    R::AutonomousFailureRateExceeded,
                ],
            ),
        ];
        for (evidence, expected) in cases {
            let gate = gate(&evidence, &limits(), now());
            assert_eq!(gate.verdict.reasons, expected, "{evidence:?}");
        }
    }

    #[test]
    fn the_window_is_the_last_runs_and_their_sums_are_shown() {
        let mut runs = vec![run_at(30, [5, 0, 0, 5])];
        runs.extend((0..10).map(|n| run_at(20 - n, [3, 2, 1, 0])));
        let gate = gate(&read(runs), &limits(), now());
        let shown = [gate.attempted, gate.executed, gate.ambiguous, gate.failed];
        assert_eq!(shown, [30, 20, 10, 0]);
        assert_eq!(gate.ambiguity_rate.to_string(), "0.3333333333333333");
        assert_eq!(gate.failure_rate.to_string(), "0");
        assert_eq!(gate.sample_runs, 10);
        assert_eq!(gate.sample_oldest_at, Some(run_at(20, [0; 4]).timestamp));
        assert_eq!(gate.sample_newest_at, Some(run_at(11, [0; 4]).timestamp));
    }

    #[test]
    fn a_window_smaller_than_the_sample_never_suffices() {
        let thresholds = GateThresholds {
            window_executions: 5,
            ..limits()
        };
        let gate = gate(&outcomes(0, 0), &thresholds, now());
        assert_eq!(
            gate.verdict.reasons,
            [GateReason::AutonomousSampleInsufficient]
        );
    }

    #[test]
    fn with_a_limit_of_age_only_young_runs_count() {
        let thresholds = GateThresholds {
            max_sample_age_hours: Some(24),
            max_failure_rate: Rate::percent(0),
            ..limits()
        };
        let young = || vec![run_at(24, [1, 1, 0, 0]); 10];
        let mut with_old_failure = vec![run_at(25, [1, 0, 0, 1])];
        with_old_failure.extend(young());
        let wide = GateThresholds {
            window_executions: 11,
            ..thresholds.clone()
        };
        let gate_wide = gate(&read(with_old_failure.clone()), &wide, now());
        assert_eq!(gate_wide.verdict.reasons, []);
        let undated = Execution {
            timestamp: String::new(),
            ..run_at(0, [1, 1, 0, 0])
        };
        let too_few = [
            GateReason::AutonomousSampleInsufficient,
            GateReason::AutonomousSampleStale,
        ];
        for (runs, expected) in [
            (young(), &[][..]),
            (with_old_failure, &[]),
            (vec![run_at(25, [1, 1, 0, 0]); 10], &too_few),
            (vec![run_at(-1, [1, 1, 0, 0]); 10], &too_few),
            (vec![undated; 10], &too_few),
        ] {
            let gate = gate(&read(runs), &thresholds, now());
            assert_eq!(gate.verdict.reasons, expected);
        }
    }
}
