//! Gate 3: people keep up with what is left to them.

use std::cmp::Ordering;

use om_model::promotion::gates::{BacklogTrend, GateReason, GateThresholds, ManualBacklogGate};
use serde_json::Value;

use super::handoff::HandoffEvidence;
use super::reasons_of;
use super::status::StatusEvidence;

/// The gate over the backlog.
pub(super) fn gate(
    status: &StatusEvidence,
    handoff: &HandoffEvidence,
    thresholds: &GateThresholds,
) -> ManualBacklogGate {
    let size = size(&status.manual_backlog);
    #[expect(clippy::cast_precision_loss, reason = "a backlog is far below 2^53")]
    let most = thresholds.max_manual_backlog as f64;
    let reasons = reasons_of(&[
        (GateReason::ManualBacklogUnavailable, size.is_none()),
        (
            GateReason::ManualBacklogExceeded,
            size.is_some_and(|size| size > most),
        ),
    ]);
    ManualBacklogGate {
        verdict: reasons.into(),
        manual_backlog: status.manual_backlog.clone(),
        backlog_trend: match handoff {
            HandoffEvidence::Read(sample) => trend(&sample.backlog, thresholds.window_executions),
            HandoffEvidence::Missing | HandoffEvidence::Invalid(_) => None,
        },
    }
}

/// How much waits. A text, an array, an object is more than any number; a
/// boolean says nothing.
fn size(backlog: &Value) -> Option<f64> {
    match backlog {
        Value::Null | Value::Bool(_) => None,
        Value::Number(size) => size.as_f64(),
        Value::String(_) | Value::Array(_) | Value::Object(_) => Some(f64::INFINITY),
    }
}

/// Compares the earlier with the later half of the last plans.
fn trend(plans: &[u64], window: u64) -> Option<BacklogTrend> {
    let most = usize::try_from(window.max(2)).unwrap_or(usize::MAX);
    let last = &plans[plans.len().saturating_sub(most)..];
    let half = last.len() / 2;
    if half == 0 {
        return None;
    }
    let sum = |plans: &[u64]| {
        plans
            .iter()
            .fold(0u64, |all, next| all.saturating_add(*next))
    };
    let (earlier, later) = (sum(&last[..half]), sum(&last[last.len() - half..]));
    Some(match later.cmp(&earlier) {
        Ordering::Greater => BacklogTrend::Rising,
        Ordering::Equal => BacklogTrend::Steady,
        Ordering::Less => BacklogTrend::Falling,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_of_reasons() {
        use GateReason as R;
        for (backlog, expected) in [
            (json!(null), vec![R::ManualBacklogUnavailable]),
            (json!(0), vec![]),
            (json!(5), vec![]),
            (json!(5.5), vec![R::ManualBacklogExceeded]),
            (json!(6), vec![R::ManualBacklogExceeded]),
            (json!("0"), vec![R::ManualBacklogExceeded]),
            (json!([]), vec![R::ManualBacklogExceeded]),
            (json!({}), vec![R::ManualBacklogExceeded]),
            // Fails closed, where the original let it pass.
            (json!(true), vec![R::ManualBacklogUnavailable]),
        ] {
            let status = StatusEvidence {
                manual_backlog: backlog.clone(),
                ..StatusEvidence::default()
            };
            let gate = gate(
                &status,
                &HandoffEvidence::Missing,
                &GateThresholds::default(),
            );
            assert_eq!(gate.verdict.reasons, expected, "{backlog}");
            assert_eq!(gate.manual_backlog, backlog);
        }
    }

    #[test]
    fn the_trend_compares_the_halves_of_the_last_plans() {
        use BacklogTrend as T;
        for (plans, expected) in [
            (&[][..], None),
            (&[3], None),
            (&[1, 2], Some(T::Rising)),
            (&[2, 2], Some(T::Steady)),
            (&[2, 9, 1], Some(T::Falling)),
            (&[9, 9, 1, 2, 3, 4], Some(T::Rising)),
        ] {
            assert_eq!(trend(plans, 4), expected, "{plans:?}");
        }
    }
}
