//! When a failed delivery is tried again (decision D10).

use om_model::Timestamp;
use om_model::alerts::{AlertReason, PendingDelivery};

/// Seconds to the second attempt; each further pause is twice as long.
pub const FIRST_PAUSE_SECONDS: u64 = 30;
/// Longest pause in seconds.
pub const LONGEST_PAUSE_SECONDS: u64 = 3_600;
/// Attempts after which no more are made by themselves.
pub const MAX_ATTEMPTS: u64 = 10;
/// Seconds after which no more attempts are made by themselves.
pub const ABANDON_AFTER_SECONDS: u64 = 24 * 3_600;
/// Seconds after which a delivery is forgotten.
pub const DROP_AFTER_SECONDS: u64 = 7 * 24 * 3_600;

/// Which pending deliveries a run tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryMode {
    /// All of them at once, abandoned ones too: a run by hand.
    All,
    /// Those due: a run of reconcile, or by hand with `--respect-backoff`.
    Due,
}

/// What a run does about a pending delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Leaves it for later.
    Wait,
    /// Tries it again.
    Try,
    /// Makes no more attempts by itself.
    Abandon,
    /// Forgets it.
    Drop,
}

/// What a run at `now` does about `delivery`.
pub fn fate(delivery: &PendingDelivery, mode: RetryMode, now: Timestamp) -> Fate {
    if now.seconds_since(delivery.first_failed_at) > DROP_AFTER_SECONDS {
        return Fate::Drop;
    }
    match mode {
        RetryMode::All => Fate::Try,
        RetryMode::Due if is_abandoned(delivery) => Fate::Wait,
        RetryMode::Due if is_exhausted(delivery, now) => Fate::Abandon,
        RetryMode::Due if delivery.next_attempt_at <= now => Fate::Try,
        RetryMode::Due => Fate::Wait,
    }
}

/// Whether it was said already that no more attempts are made.
pub(crate) fn is_abandoned(delivery: &PendingDelivery) -> bool {
    delivery.reason_code == AlertReason::DeliveryAbandoned
}

/// Whether no more attempts are made by themselves.
pub(crate) fn is_exhausted(delivery: &PendingDelivery, now: Timestamp) -> bool {
    delivery.attempts >= MAX_ATTEMPTS
        || now.seconds_since(delivery.first_failed_at) >= ABANDON_AFTER_SECONDS
}

/// When a delivery is due again whose attempt number `attempts` failed at
/// `now`.
pub fn next_attempt_at(attempts: u64, now: Timestamp) -> Timestamp {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = 2u64
        .checked_pow(doublings)
        .map_or(LONGEST_PAUSE_SECONDS, |factor| {
            factor
                .saturating_mul(FIRST_PAUSE_SECONDS)
                .min(LONGEST_PAUSE_SECONDS)
        });
    let pause = i64::try_from(pause).unwrap_or(i64::MAX);
    Timestamp::from_epoch_seconds(now.epoch_seconds().saturating_add(pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED_AT: i64 = 1_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch_seconds(FAILED_AT + i64::try_from(seconds).expect("small"))
    }

    fn delivery(attempts: u64, reason_code: AlertReason) -> PendingDelivery {
        PendingDelivery {
            line: 1,
            row_sha256: String::new(),
            sink_id: None,
            attempts,
            first_failed_at: at(0),
            last_attempt_at: at(0),
            next_attempt_at: next_attempt_at(attempts, at(0)),
            reason_code,
            http_status: None,
            trace_id: String::new(),
        }
    }

    #[test]
    fn pauses_double_from_thirty_seconds_to_an_hour() {
        for (attempts, pause) in [
            (1, 30),
            (2, 60),
            (3, 120),
            (7, 1_920),
            (8, 3_600),
            (9, 3_600),
            (80, 3_600),
            (u64::MAX, 3_600),
        ] {
            assert_eq!(next_attempt_at(attempts, at(0)), at(pause), "{attempts}");
        }
    }

    #[test]
    fn what_becomes_of_a_delivery_and_when() {
        let failed = || delivery(1, AlertReason::HttpError);
        let often = || delivery(MAX_ATTEMPTS, AlertReason::HttpError);
        let abandoned = || delivery(3, AlertReason::DeliveryAbandoned);
        let (day, week) = (ABANDON_AFTER_SECONDS, DROP_AFTER_SECONDS);
        for (delivery, after, by_itself, by_hand) in [
            (failed(), 29, Fate::Wait, Fate::Try),
            (failed(), 30, Fate::Try, Fate::Try),
            (failed(), day - 1, Fate::Try, Fate::Try),
            (failed(), day, Fate::Abandon, Fate::Try),
            (often(), 1, Fate::Abandon, Fate::Try),
            (abandoned(), day, Fate::Wait, Fate::Try),
            (abandoned(), week, Fate::Wait, Fate::Try),
            (abandoned(), week + 1, Fate::Drop, Fate::Drop),
            (failed(), week + 1, Fate::Drop, Fate::Drop),
        ] {
            let now = at(after);
            assert_eq!(fate(&delivery, RetryMode::Due, now), by_itself, "{after}");
            assert_eq!(fate(&delivery, RetryMode::All, now), by_hand, "{after}");
        }
    }
}
