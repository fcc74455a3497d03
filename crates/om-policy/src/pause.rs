//! Whether autonomy is paused, by a person or by bad outcomes (chapter 06
//! §1.4.4, decisions D1 and D18). Asked by every evaluation, and again before
//! every dispatch (decision D15).

use om_model::Timestamp;
use om_model::fleet::policy::{AutoPause, AutoPauseMetrics, AutonomyReason, Pause};
use om_model::fleet::registry::{self, Rollout};
use serde_json::Number;

use crate::handoff_fold::Execution;

/// The pause of `rollout`, given autonomous executions in the order of their
/// journal: at least those that [`crate::read_handoff`] finds for its
/// look-back.
pub fn pause(rollout: &Rollout, executions: &[Execution], now: Timestamp) -> Pause {
    let manual = rollout.pause.manual;
    let auto = auto_pause(&rollout.auto_pause, executions, now);
    let reasons = AutonomyReason::sorted(
        [
            auto.active.then_some(AutonomyReason::RolloutPausedAuto),
            manual.then_some(AutonomyReason::RolloutPausedManual),
        ]
        .into_iter()
        .flatten(),
    );
    Pause {
        active: !reasons.is_empty(),
        reasons,
        manual,
        auto,
    }
}

/// A spike of bad outcomes, and what it takes.
struct Spike {
    reason: AutonomyReason,
    count: fn(&AutoPauseMetrics) -> u64,
    threshold: fn(&registry::AutoPause) -> f64,
}

const SPIKES: [Spike; 2] = [
    Spike {
        reason: AutonomyReason::AutopauseAmbiguousSpike,
        count: |metrics| metrics.ambiguous_count,
        threshold: registry::AutoPause::ambiguity_rate,
    },
    Spike {
        reason: AutonomyReason::AutopauseFailureSpike,
        count: |metrics| metrics.failed_count,
        threshold: registry::AutoPause::failure_rate,
    },
];

fn auto_pause(
    settings: &registry::AutoPause,
    executions: &[Execution],
    now: Timestamp,
) -> AutoPause {
    let metrics = metrics(&window(settings, executions, now));
    let large_enough = metrics.attempted_count >= settings.min_sample_size;
    let fires = |spike: &&Spike| {
        let rate = share((spike.count)(&metrics), metrics.attempted_count);
        settings.enabled && large_enough && rate >= (spike.threshold)(settings)
    };
    let spikes = SPIKES.iter().filter(fires).map(|spike| spike.reason);
    let reasons = AutonomyReason::sorted(spikes);
    AutoPause {
        enabled: settings.enabled,
        active: !reasons.is_empty(),
        reasons,
        lookback_executions: settings.lookback_executions,
        min_sample_size: settings.min_sample_size,
        ambiguity_rate_threshold: settings.ambiguity_rate_threshold.clone(),
        failure_rate_threshold: settings.failure_rate_threshold.clone(),
        cleared_at: settings.cleared_at,
        metrics,
    }
}

/// The latest executions by the text of their time, those before the last
/// clearance left out.
///
/// A clearance dated ahead has not happened yet: it clears nothing, else it
/// would switch the pause off until then.
fn window<'a>(
    settings: &registry::AutoPause,
    executions: &'a [Execution],
    now: Timestamp,
) -> Vec<&'a Execution> {
    let cleared = settings.cleared_at.filter(|at| *at <= now);
    let counts = |execution: &&Execution| match cleared {
        None => true,
        Some(cleared) => Timestamp::parse(&execution.timestamp).is_some_and(|at| at >= cleared),
    };
    let mut window: Vec<&Execution> = executions.iter().filter(counts).collect();
    window.sort_by_key(|execution| &execution.timestamp);
    let lookback = usize::try_from(settings.lookback_executions).unwrap_or(usize::MAX);
    window.drain(..window.len().saturating_sub(lookback));
    window
}

fn metrics(window: &[&Execution]) -> AutoPauseMetrics {
    let sum = |count: fn(&Execution) -> u64| {
        let counts = window.iter().map(|execution| count(execution));
        counts.fold(0, u64::saturating_add)
    };
    let attempted = sum(|execution| execution.attempted);
    let ambiguous = sum(|execution| execution.ambiguous);
    let failed = sum(|execution| execution.failed);
    AutoPauseMetrics {
        window_execution_count: window.len() as u64,
        attempted_count: attempted,
        executed_count: sum(|execution| execution.executed),
        ambiguous_count: ambiguous,
        failed_count: failed,
        ambiguity_rate: rate(ambiguous, attempted),
        failure_rate: rate(failed, attempted),
    }
}

/// `part` of `whole`, 0 of nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is a double; counts beyond 2^53 do not occur"
)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// [`share`] as it is written: whole values without a fraction.
pub(crate) fn rate(part: u64, whole: u64) -> Number {
    if whole == 0 || part.is_multiple_of(whole) {
        return Number::from(part.checked_div(whole).unwrap_or(0));
    }
    Number::from_f64(share(part, whole)).unwrap_or_else(|| Number::from(0))
}
