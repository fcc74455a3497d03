//! Idempotency keys (chapter 06 §2.4.1, decision D28).

use om_model::TraceId;

/// The key of an intent under a trace id: slugs of the parts, joined; empty if
/// all slugs are.
pub fn idempotency_key(
    prefix: &str,
    trace_id: &TraceId,
    loop_id: &str,
    category: Option<&str>,
    intent: &str,
) -> String {
    let category = category.unwrap_or("unknown");
    let parts = [prefix, trace_id.as_str(), loop_id, category, intent].map(slug);
    let kept: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    kept.join("-")
}

/// The key of a call: the intent's own, or one without slugs where that is
/// empty. `attempts` recorded with it make it a fresh one, so that a stored
/// answer is not taken for the answer to this call.
pub fn call_key(own: &str, prefix: &str, loop_id: &str, intent: &str, attempts: u64) -> String {
    let base = if own.is_empty() {
        format!("{prefix}-{loop_id}-{intent}")
    } else {
        own.to_owned()
    };
    match attempts {
        0 => base,
        n => format!("{base}-r{n}"),
    }
}

/// The key of the first attempt, from that of the `attempt`-th (from 1).
pub fn base_key(key: &str, attempt: u64) -> &str {
    let suffix = format!("-r{}", attempt.saturating_sub(1));
    let repeated = key.strip_suffix(&suffix).filter(|_| attempt > 1);
    repeated.unwrap_or(key)
}

/// Lower case; what is not `a-z 0-9 . _ -` becomes `-`, runs of it one; none
/// at the ends.
fn slug(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let lower = character.to_ascii_lowercase();
        let kept = lower.is_ascii_lowercase() || lower.is_ascii_digit() || ".-_".contains(lower);
        let next = if kept { lower } else { '-' };
        if next != '-' || !out.ends_with('-') {
            out.push(next);
        }
    }
    // Runs are single by now.
    let start = out.strip_prefix('-').unwrap_or(&out);
    start.strip_suffix('-').unwrap_or(start).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trace(text: &str) -> TraceId {
        TraceId::new(text).expect("not empty")
    }

    #[test]
    fn the_contracts_slugs() {
        for (text, expected) in [
            ("T/r 1", "t-r-1"),
            ("Bay #4--x_.y", "bay-4-x_.y"),
            ("é", ""),
            ("-a-", "a"),
            ("--", ""),
            ("aéß b", "a-b"),
            ("ABC", "abc"),
            ("", ""),
        ] {
            assert_eq!(slug(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_key_joins_the_slugs_that_are_not_empty() {
        for (prefix, id, loop_id, category, intent, expected) in [
            (
                "fleet-handoff",
                "tr-9",
                "orchid",
                Some("health_critical"),
                "cancel",
                "fleet-handoff-tr-9-orchid-health_critical-cancel",
            ),
            ("P", "T/r 1", "é", None, "cancel", "p-t-r-1-unknown-cancel"),
            ("é", "é", "é", Some("é"), "é", ""),
        ] {
            let key = idempotency_key(prefix, &trace(id), loop_id, category, intent);
            assert_eq!(key, expected);
        }
    }

    #[test]
    fn a_repeated_call_gets_a_fresh_key() {
        for (own, attempts, expected) in [
            ("k", 0, "k"),
            ("k", 1, "k-r1"),
            ("k", 12, "k-r12"),
            ("", 0, "é-bay 1-cancel"),
            ("", 2, "é-bay 1-cancel-r2"),
        ] {
            let key = call_key(own, "é", "bay 1", "cancel", attempts);
            assert_eq!(key, expected);
            let base = call_key(own, "é", "bay 1", "cancel", 0);
            assert_eq!(base_key(&key, attempts + 1), base);
        }
        assert_eq!(base_key("k-r1", 1), "k-r1");
    }

    proptest! {
        #[test]
        fn a_slug_is_a_slug_of_itself(text in ".{0,20}") {
            let once = slug(&text);
            prop_assert_eq!(slug(&once), once.clone());
            prop_assert!(!once.starts_with('-') && !once.ends_with('-') && !once.contains("--"));
        }
    }
}
