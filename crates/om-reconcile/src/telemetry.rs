//! What the last passes say about a loop, and the threshold profile that
//! fits it (chapter 02 §5).

mod recent;
mod rows;

use std::cmp::Reverse;
use std::collections::HashMap;

use om_model::Timestamp;
use om_model::drift::{
    Confidence, ReasonCount, SummaryControl, SummaryDurations, SummaryHealth, SummaryObserved,
    SummarySource, TelemetrySummary,
};
use om_model::envelope::SchemaVersion;
use om_model::json;
use om_store::Row;
use serde_json::{Number, Value};

use rows::{ControlRow, Duration, ReasonCode, ReconcileRow};

pub use recent::RecentPasses;

/// What a summary is made from: the last rows of two journals, in file
/// order. Blank rows vanish, though they counted when the rows were chosen.
#[derive(Clone, Debug)]
pub struct SummaryInputs<'a> {
    /// Where the rows come from, echoed.
    pub source: SummarySource,
    /// The window of `reconcile.jsonl`.
    pub reconcile: &'a [Row],
    /// The window of `control.jsonl`.
    pub control: &'a [Row],
}

/// Why a window cannot be summarised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SummaryError {
    /// A row is not one JSON object.
    #[error(
        "Bad JSON in {file} at {}: {message}; repair or remove the row",
        .line.map_or_else(|| format!("byte {offset}"), |line| format!("line {line}"))
    )]
    BadRow {
        /// The journal.
        file: String,
        /// Byte offset of the row in it.
        offset: u64,
        /// Line of the row, counted from 1, once [known](Self::with_line).
        line: Option<u64>,
        /// What is wrong.
        message: String,
    },
}

impl SummaryError {
    /// The same error, naming the line instead of the byte offset.
    #[must_use]
    pub fn with_line(self, number: u64) -> Self {
        let Self::BadRow {
            file,
            offset,
            message,
            ..
        } = self;
        Self::BadRow {
            file,
            offset,
            line: Some(number),
            message,
        }
    }
}

/// Summarises the window and recommends a profile.
pub fn summarize(
    inputs: &SummaryInputs<'_>,
    now: Timestamp,
) -> Result<TelemetrySummary, SummaryError> {
    let mut tally = Tally::default();
    for row in inputs.reconcile {
        let file = &inputs.source.reconcile_telemetry_file;
        if let Some(row) = parsed(row, file, ReconcileRow::parse)? {
            tally.add_reconcile(row, 1);
        }
    }
    tally.summary(inputs.source.clone(), inputs.control, now)
}

/// [`summarize`] for a pass: the last `source.window` rows are those kept in
/// `recent`, and then `own`, which is not on disk yet. The window must not be
/// larger than [`RecentPasses::CAPACITY`].
pub fn summarize_recent(
    source: SummarySource,
    recent: &RecentPasses,
    own: &Row,
    control: &[Row],
    now: Timestamp,
) -> Result<TelemetrySummary, SummaryError> {
    let before = usize::try_from(source.window.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut tally = Tally::default();
    for (times, kept) in recent.last(before) {
        let row = kept
            .row()
            .map_err(|(offset, message)| SummaryError::BadRow {
                file: source.reconcile_telemetry_file.clone(),
                offset,
                line: None,
                message: message.to_owned(),
            })?;
        if let Some(row) = row {
            tally.add_reconcile(row, times);
        }
    }
    let file = &source.reconcile_telemetry_file;
    if let Some(row) = parsed(own, file, ReconcileRow::parse)? {
        tally.add_reconcile(row, 1);
    }
    tally.summary(source, control, now)
}

/// The row as `parse` reads it, `None` if it is blank.
fn parsed<'a, T>(
    row: &'a Row,
    file: &str,
    parse: impl FnOnce(&'a [u8]) -> Result<T, String>,
) -> Result<Option<T>, SummaryError> {
    if row.bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    parse(&row.bytes)
        .map(Some)
        .map_err(|message| SummaryError::BadRow {
            file: file.to_owned(),
            offset: row.offset,
            line: None,
            message,
        })
}

/// Counts over the window.
#[derive(Debug, Default)]
struct Tally<'a> {
    attempts: u64,
    succeeded: u64,
    failed: u64,
    degraded: u64,
    critical: u64,
    ambiguous: u64,
    reasons: HashMap<ReasonCode<'a>, u64>,
    /// And how often each.
    durations: Vec<(Duration, usize)>,
}

/// A profile and why it fits.
struct Recommendation {
    when: fn(&Tally<'_>) -> bool,
    profile: &'static str,
    rationale: &'static str,
}

/// First match wins; the last one always matches.
const RECOMMENDATIONS: [Recommendation; 4] = [
    Recommendation {
        when: |window| window.attempts == 0,
        profile: "balanced",
        rationale: "No telemetry window yet; keep balanced defaults",
    },
    Recommendation {
        when: |window| window.share(window.critical) >= 0.20 || window.share(window.failed) >= 0.25,
        profile: "relaxed",
        rationale: "Observed high critical/failure rates; reduce alert noise while stabilizing",
    },
    Recommendation {
        when: |window| {
            window.critical == 0
                && window.share(window.degraded) <= 0.05
                && window.share(window.failed) <= 0.02
                && window.ambiguous == 0
        },
        profile: "strict",
        rationale: "Observed stable healthy runs; tighten thresholds for faster detection",
    },
    KEEP_BALANCED,
];

const KEEP_BALANCED: Recommendation = Recommendation {
    when: |_| true,
    profile: "balanced",
    rationale: "Observed mixed signals; keep balanced thresholds",
};

/// From how many attempts on a recommendation is how sure.
const CONFIDENCE: [(u64, Confidence); 3] = [
    (100, Confidence::High),
    (30, Confidence::Medium),
    (0, Confidence::Low),
];

impl<'a> Tally<'a> {
    /// The summary, once the control rows are counted too.
    fn summary(
        mut self,
        source: SummarySource,
        control: &[Row],
        now: Timestamp,
    ) -> Result<TelemetrySummary, SummaryError> {
        for row in control {
            let file = &source.control_telemetry_file;
            if let Some(row) = parsed(row, file, ControlRow::parse)? {
                self.ambiguous += u64::from(row.is_ambiguous());
            }
        }
        let recommendation = self.recommendation();
        Ok(TelemetrySummary {
            schema_version: SchemaVersion::V1,
            generated_at: now,
            source,
            recommended_profile: recommendation.profile.to_owned(),
            confidence: self.confidence(),
            rationale: recommendation.rationale.to_owned(),
            observed: self.observed(),
        })
    }

    /// Counts a row that stands in the journal so many `times`.
    fn add_reconcile(&mut self, row: ReconcileRow<'a>, times: usize) {
        let count = times as u64;
        self.attempts += count;
        match row.status.as_deref() {
            Some("success") => self.succeeded += count,
            Some("failed") => self.failed += count,
            _ => {}
        }
        match row.health_status.as_deref() {
            Some("degraded") => self.degraded += count,
            Some("critical") => self.critical += count,
            _ => {}
        }
        for code in row.reason_codes {
            *self.reasons.entry(code).or_default() += count;
        }
        self.durations
            .extend(row.duration.map(|duration| (duration, times)));
    }

    /// `count` ÷ attempts, 0 without any.
    fn share(&self, count: u64) -> f64 {
        if self.attempts == 0 {
            return 0.0;
        }
        // Exact: no window has 2^53 rows.
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
        return count as f64 / self.attempts as f64;
    }

    /// [`share`](Self::share) as it is written: whole values without fraction.
    fn rate(&self, count: u64) -> Number {
        if count == 0 || count == self.attempts {
            return Number::from(u8::from(count != 0));
        }
        Number::from_f64(self.share(count)).unwrap_or_else(|| Number::from(0))
    }

    fn recommendation(&self) -> Recommendation {
        let mut rules = RECOMMENDATIONS.into_iter();
        rules
            .find(|rule| (rule.when)(self))
            .unwrap_or(KEEP_BALANCED)
    }

    fn confidence(&self) -> Confidence {
        let mut levels = CONFIDENCE.into_iter();
        let level = levels.find(|(attempts, _)| self.attempts >= *attempts);
        level.map_or(Confidence::Low, |(_, level)| level)
    }

    fn observed(mut self) -> SummaryObserved {
        self.durations
            .sort_by(|(a, _), (b, _)| a.seconds.total_cmp(&b.seconds));
        SummaryObserved {
            reconcile_attempts: self.attempts,
            reconcile_success_count: self.succeeded,
            reconcile_failed_count: self.failed,
            health: SummaryHealth {
                degraded_count: self.degraded,
                critical_count: self.critical,
                degraded_rate: self.rate(self.degraded),
                critical_rate: self.rate(self.critical),
                reason_code_frequency: frequency(self.reasons),
            },
            control: SummaryControl {
                ambiguous_count: self.ambiguous,
            },
            duration_seconds: SummaryDurations {
                p50: percentile(&self.durations, 50),
                p95: percentile(&self.durations, 95),
                max: percentile(&self.durations, 100),
            },
        }
    }
}

/// Most frequent first, ties by code descending; a code that is no text
/// sorts by its type first, as JSON values are ordered.
fn frequency(reasons: HashMap<ReasonCode<'_>, u64>) -> Vec<ReasonCount> {
    let mut counted: Vec<(u64, ReasonCode<'_>)> =
        reasons.into_iter().map(|(code, n)| (n, code)).collect();
    counted.sort_unstable_by(|left, right| Reverse(left).cmp(&Reverse(right)));
    let named = counted.into_iter().map(|(count, code)| ReasonCount {
        code: code.into_value(),
        count,
    });
    named.collect()
}

/// The element at `floor((k − 1) × percent ÷ 100)` of the `k` that `sorted`
/// stands for.
fn percentile(sorted: &[(Duration, usize)], percent: usize) -> Option<Number> {
    let k: usize = sorted.iter().map(|(_, times)| times).sum();
    let mut before = k.checked_sub(1)? * percent / 100;
    let found = sorted.iter().find(|(_, times)| {
        let is_here = before < *times;
        before = before.saturating_sub(*times);
        is_here
    });
    found.map(|(duration, _)| duration.number.clone())
}

/// A summary as the rest of a pass takes it: any JSON value, because a
/// replaced summary stage may print one.
pub fn to_value(summary: &TelemetrySummary) -> Value {
    json::to_value(summary)
}
