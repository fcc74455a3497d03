//! Which answers are worth another attempt, and how long to wait before it
//! (chapter 03 §3.3.4, decision D13).

use std::time::{Duration, SystemTime};

/// Longest `Retry-After` that is obeyed.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// A century in seconds: sums of two still fit a `Duration`.
const LONGEST_PAUSE: u64 = 100 * 366 * 86_400;

/// Statuses that may be different the next time.
pub const WORTH_REPEATING: [u16; 8] = [408, 409, 425, 429, 500, 502, 503, 504];

/// Whether `status` may be different the next time.
pub fn is_worth_repeating(status: u16) -> bool {
    WORTH_REPEATING.contains(&status)
}

/// Attempts and the pauses between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Attempts in all; 0 counts as 1.
    pub attempts: u64,
    /// Pause after the first attempt in seconds; it grows by itself with
    /// every further attempt. 0 is no pause.
    pub seconds: u64,
}

impl Backoff {
    /// Whether another attempt follows attempt `number`, counted from 1.
    pub fn has_another(&self, number: u64) -> bool {
        number < self.attempts
    }

    /// The pause after attempt `number`, counted from 1.
    ///
    /// Between half of `seconds × number` and all of it, so that clients that
    /// failed together do not come back together; `jitter` (0 to 1) says
    /// where. A longer `retry_after` of at most [`MAX_RETRY_AFTER`] replaces
    /// it.
    pub fn pause(&self, number: u64, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let seconds = self.seconds.saturating_mul(number).min(LONGEST_PAUSE);
        let half = Duration::from_secs(seconds) / 2;
        let pause = half + half.mul_f64(jitter.clamp(0.0, 1.0));
        match retry_after {
            Some(asked) if asked <= MAX_RETRY_AFTER => asked.max(pause),
            _ => pause,
        }
    }
}

/// The pause that a `Retry-After` header asks for: a number of seconds, or the
/// time from `now`, on the server's clock, to a date. A date that has passed
/// asks for none.
pub fn retry_after(value: Option<&str>, now: SystemTime) -> Option<Duration> {
    let text = value?.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let until = httpdate::parse_http_date(text).ok()?;
        return Some(until.duration_since(now).unwrap_or_default());
    }
    Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}
