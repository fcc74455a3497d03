//! How old the decision is (chapter 07 §5.4 step 5).

use om_model::Timestamp;
use om_model::promotion::controller::{ControllerReason, Freshness};
use serde_json::Value;

/// Seconds that the clock of whoever decided may be ahead of ours.
const SKEW: u64 = 300;

/// When a decision was made, as found, against the start of the run.
///
/// `now` is the time after the decision was made: a stamp well after it is no
/// proof of freshness.
pub(super) fn freshness(
    generated_at: Option<&Value>,
    ttl_minutes: u64,
    started_at: Timestamp,
    now: Timestamp,
) -> Freshness {
    let at = generated_at
        .and_then(Value::as_str)
        .and_then(Timestamp::parse)
        .filter(|at| at.seconds_since(now) <= SKEW);
    let age_seconds = at.map(|at| started_at.seconds_since(at));
    let reason = match age_seconds {
        None => Some(ControllerReason::ControllerDecisionTimestampInvalid),
        Some(age) if age > ttl_minutes.saturating_mul(60) => {
            Some(ControllerReason::ControllerDecisionStale)
        }
        Some(_) => None,
    };
    Freshness {
        pass: reason.is_none(),
        ttl_minutes,
        age_seconds,
        reasons: reason.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const T0: i64 = 1_900_000_000;

    fn made(seconds_before: i64) -> Value {
        json!(Timestamp::from_epoch_seconds(T0 - seconds_before))
    }

    #[test]
    fn the_table_of_ages() {
        use ControllerReason as R;
        let invalid = Some(R::ControllerDecisionTimestampInvalid);
        for (stamp, age, reason) in [
            (Some(made(0)), Some(0), None),
            (Some(made(3600)), Some(3600), None),
            (
                Some(made(3601)),
                Some(3601),
                Some(R::ControllerDecisionStale),
            ),
            // Made after the start of the run, as the default stages do.
            (Some(made(-20)), Some(0), None),
            (Some(made(-330)), Some(0), None),
            (Some(made(-331)), None, invalid),
            (Some(json!("now")), None, invalid),
            (Some(json!(T0)), None, invalid),
            (None, None, invalid),
        ] {
            let now = Timestamp::from_epoch_seconds(T0 + 30);
            let t0 = Timestamp::from_epoch_seconds(T0);
            let found = freshness(stamp.as_ref(), 60, t0, now);
            assert_eq!(found.age_seconds, age, "{stamp:?}");
            assert_eq!(found.reasons.first().copied(), reason, "{stamp:?}");
            assert_eq!(found.pass, reason.is_none());
        }
    }
}
