//! What nobody wants to hear of (chapter 06 §1.4.2).

use om_model::Timestamp;
use om_model::fleet::policy::{DedupeCooldown, SuppressionScope};
use om_model::fleet::registry::Category;
use serde_json::{Map, Value};

/// The key of suppressions for every loop.
const EVERY_LOOP: &str = "*";

/// Seconds left of a window that began at `since`; `None` when it is over.
///
/// At the age of exactly `window` it is over. A beginning ahead of `now`
/// keeps it running, for longer than `window`.
pub(crate) fn remaining(window: u64, since: Timestamp, now: Timestamp) -> Option<u64> {
    let ahead = since.seconds_since(now);
    let left = window
        .saturating_add(ahead)
        .saturating_sub(now.seconds_since(since));
    (window > 0 && left > 0).then_some(left)
}

/// The window in which a candidate is shown once, which was shown last at
/// `last`.
pub fn dedupe(window_seconds: u64, last: Option<Timestamp>, now: Timestamp) -> DedupeCooldown {
    let last = last.filter(|_| window_seconds > 0);
    let left = last.and_then(|since| remaining(window_seconds, since, now));
    DedupeCooldown {
        enabled: window_seconds > 0,
        window_seconds,
        active: left.is_some(),
        remaining_seconds: left.unwrap_or(0),
        last_unsuppressed_at: last,
    }
}

/// Where the suppression of a candidate comes from: its loop, else every
/// loop, else the cooldown.
pub fn scope(
    suppressions: &Map<String, Value>,
    loop_id: &str,
    category: Category,
    cooldown: &DedupeCooldown,
) -> Option<SuppressionScope> {
    let lists = |key: &str| {
        let categories = suppressions.get(key).and_then(Value::as_array);
        categories.is_some_and(|all| all.iter().any(|entry| entry == category.as_str()))
    };
    let applies = |scope: &SuppressionScope| match scope {
        SuppressionScope::Loop => lists(loop_id),
        SuppressionScope::Global => lists(EVERY_LOOP),
        SuppressionScope::Cooldown => cooldown.active,
    };
    SuppressionScope::ALL.into_iter().find(applies)
}
