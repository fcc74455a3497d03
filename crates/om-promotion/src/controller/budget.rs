//! What may still be done (chapter 07 §5.4 step 6).

use om_model::Timestamp;
use om_model::promotion::controller::{
    Budget, ControllerIntent, ControllerReason, MatchedFreezeWindow,
};
use om_model::promotion::number;

use super::history::Usage;
use super::request::Limits;

/// What a run wants to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) intent: ControllerIntent,
    /// Percent points.
    pub(super) step: u64,
}

/// What earlier runs and the calendar leave of the limits.
pub(super) fn budget(
    limits: &Limits,
    usage: &Usage,
    frozen: Vec<MatchedFreezeWindow>,
    wish: Wish,
    started_at: Timestamp,
) -> Budget {
    let remaining = usage
        .last_mutation
        .map_or(0, |last| cooldown(limits, last, started_at));
    let widened = usage.expand_step + float(wish.step);
    // In the order of the names.
    let reasons = [
        (
            ControllerReason::ControllerBudgetApplyCountExceeded,
            usage.applies >= limits.max_applies_per_window,
        ),
        (
            ControllerReason::ControllerBudgetCooldownActive,
            remaining > 0,
        ),
        (
            ControllerReason::ControllerBudgetExpandStepExceeded,
            wish.intent == ControllerIntent::Expand
                && widened > float(limits.max_expand_step_per_window),
        ),
        (
            ControllerReason::ControllerBudgetFreezeWindowActive,
            !frozen.is_empty(),
        ),
    ];
    let holding = reasons.into_iter().filter(|(_, holds)| *holds);
    Budget {
        window_hours: limits.budget_window_hours,
        max_applies_per_window: limits.max_applies_per_window,
        max_expand_step_per_window: limits.max_expand_step_per_window,
        cooldown_minutes: limits.cooldown_minutes,
        apply_count_in_window: usage.applies,
        expand_step_in_window: number(usage.expand_step),
        cooldown_remaining_seconds: remaining,
        freeze_window_active: !frozen.is_empty(),
        freeze_windows_matched: frozen,
        reasons: holding.map(|(reason, _)| reason).collect(),
    }
}

/// Seconds of the cooldown that are left; more than all of it after a change
/// that is dated ahead.
fn cooldown(limits: &Limits, last: Timestamp, started_at: Timestamp) -> u64 {
    let whole = limits.cooldown_minutes.saturating_mul(60);
    let ahead = last.seconds_since(started_at);
    whole
        .saturating_add(ahead)
        .saturating_sub(started_at.seconds_since(last))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "percent points are far below 2^53"
)]
fn float(points: u64) -> f64 {
    points as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const T0: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_epoch_seconds(T0 + seconds)
    }

    fn limits() -> Limits {
        Limits {
            decision_ttl_minutes: 60,
            budget_window_hours: 24,
            max_applies_per_window: 1,
            max_expand_step_per_window: 25,
            cooldown_minutes: 60,
        }
    }

    fn usage(applies: u64, expand_step: f64, last: Option<i64>) -> Usage {
        Usage {
            applies,
            expand_step,
            last_mutation: last.map(at),
        }
    }

    fn reasons(limits: &Limits, usage: &Usage, wish: Wish) -> Vec<ControllerReason> {
        budget(limits, usage, Vec::new(), wish, at(0)).reasons
    }

    const EXPAND: Wish = Wish {
        intent: ControllerIntent::Expand,
        step: 25,
    };

    #[test]
    fn the_table_of_reasons() {
        use ControllerReason as R;
        let resume = Wish {
            intent: ControllerIntent::Resume,
            step: 25,
        };
        let twice = Limits {
            max_applies_per_window: 2,
            ..limits()
        };
        let never = Limits {
            max_applies_per_window: 0,
            ..limits()
        };
        let wider = Wish { step: 26, ..EXPAND };
        for (limits, usage, wish, expected) in [
            (limits(), usage(0, 0.0, None), EXPAND, vec![]),
            (
                never,
                usage(0, 0.0, None),
                EXPAND,
                vec![R::ControllerBudgetApplyCountExceeded],
            ),
            (
                limits(),
                usage(0, 0.0, None),
                wider,
                vec![R::ControllerBudgetExpandStepExceeded],
            ),
            (
                limits(),
                usage(1, 25.0, Some(-7200)),
                EXPAND,
                vec![
                    R::ControllerBudgetApplyCountExceeded,
                    R::ControllerBudgetExpandStepExceeded,
                ],
            ),
            (twice.clone(), usage(1, 25.0, Some(-7200)), resume, vec![]),
            (
                twice.clone(),
                usage(0, 0.0, Some(-3599)),
                EXPAND,
                vec![R::ControllerBudgetCooldownActive],
            ),
            (twice.clone(), usage(0, 0.0, Some(-3600)), EXPAND, vec![]),
            (
                twice,
                usage(0, 0.0, Some(5)),
                EXPAND,
                vec![R::ControllerBudgetCooldownActive],
            ),
        ] {
            assert_eq!(
                reasons(&limits, &usage, wish),
                expected,
                "{usage:?} {wish:?}"
            );
        }
    }

    #[test]
    fn what_is_left_of_the_cooldown_is_shown() {
        for (last, minutes, left) in [
            (None, 60, 0),
            (Some(-600), 60, 3000),
            (Some(-3600), 60, 0),
            (Some(100), 60, 3700),
            (Some(0), 0, 0),
            (Some(100), 0, 100),
        ] {
            let limits = Limits {
                cooldown_minutes: minutes,
                ..limits()
            };
            let found = budget(&limits, &usage(0, 0.0, last), Vec::new(), EXPAND, at(0));
            assert_eq!(found.cooldown_remaining_seconds, left, "{last:?}");
        }
    }

    #[test]
    fn a_freeze_is_a_reason_and_is_shown() {
        let window = MatchedFreezeWindow {
            start: json!("a"),
            end: json!("b"),
            reason: json!("c"),
        };
        let usage = usage(1, 0.5, Some(-10));
        let found = budget(&limits(), &usage, vec![window], EXPAND, at(0));
        insta::assert_snapshot!(om_model::json::pretty(&found));
    }
}
