//! Medians, and how figures are written.

use std::time::{Duration, Instant};

use crate::error::Error;

/// Durations of equal runs.
#[derive(Default)]
pub(super) struct Sample(Vec<Duration>);

impl Sample {
    /// Adds one run.
    pub(super) fn push(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The middle one (the lower of two), zero without any.
    pub(super) fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let middle = sorted.len().saturating_sub(1) / 2;
        sorted.get(middle).copied().unwrap_or_default()
    }
}

/// How long `work` takes.
pub(super) fn timed(work: impl FnOnce() -> Result<(), Error>) -> Result<Duration, Error> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// In milliseconds, three digits.
pub(super) fn milliseconds(duration: Duration) -> String {
    let value = duration.as_secs_f64() * 1e3;
    let decimals = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} ms")
}

/// `measured` as a multiple of `of`.
pub(super) fn ratio(measured: Duration, of: Duration) -> f64 {
    measured.as_secs_f64() / of.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_runs() {
        let mut sample = Sample::default();
        assert_eq!(sample.median(), Duration::ZERO);
        for (millis, median) in [(9, 9), (1, 1), (5, 5), (7, 5)] {
            sample.push(Duration::from_millis(millis));
            assert_eq!(sample.median(), Duration::from_millis(median));
        }
    }

    #[test]
    fn figures_have_three_digits() {
        for (micros, text) in [
            (1_234, "1.23 ms"),
            (12_345, "12.3 ms"),
            (123_456, "123 ms"),
            (9_999, "10.0 ms"),
        ] {
            assert_eq!(milliseconds(Duration::from_micros(micros)), text);
        }
    }
}
