//! What holds for every run, whatever the sinks say (pure).

use om_alerts::RetryMode;
use om_alerts::ledger::{Batch, Ended, Ledger, Outcome, Previous, RetryOutcome, RunIdentity};
use om_alerts::retry::{ABANDON_AFTER_SECONDS, DROP_AFTER_SECONDS, MAX_ATTEMPTS};
use om_model::alerts::{AlertReason, ConsumedLine, DispatchState, SinkResult, SinkStatus};
use om_model::{Artifact, Timestamp, json};
use proptest::prelude::*;

use crate::support::{loop_id, trace};

/// What happens to one new line: `None` is a line that is not delivered.
#[derive(Clone, Debug)]
enum Fortune {
    Skipped,
    Unreadable,
    Unrouted,
    Sinks(Vec<bool>),
}

/// One run: seconds since the one before, by hand or not, what the new lines
/// meet, and whether retried sinks work.
#[derive(Clone, Debug)]
struct Step {
    pause: i64,
    by_hand: bool,
    lines: Vec<Fortune>,
    retries: Vec<u8>,
}

fn fortune() -> impl Strategy<Value = Fortune> {
    prop_oneof![
        Just(Fortune::Skipped),
        Just(Fortune::Unreadable),
        Just(Fortune::Unrouted),
        prop::collection::vec(any::<bool>(), 1..4).prop_map(Fortune::Sinks),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (
        prop_oneof![0i64..120, 0i64..100_000, 0i64..700_000],
        any::<bool>(),
        prop::collection::vec(fortune(), 0..4),
        prop::collection::vec(0u8..5, 1..5),
    )
        .prop_map(|(pause, by_hand, lines, retries)| Step {
            pause,
            by_hand,
            lines,
            retries,
        })
}

fn result(id: &str, works: bool) -> SinkResult {
    SinkResult {
        id: id.to_owned(),
        kind: "webhook".to_owned(),
        status: if works {
            SinkStatus::Success
        } else {
            SinkStatus::Failed
        },
        http_status: Some(if works { 200 } else { 503 }),
        reason_code: (!works).then_some(AlertReason::HttpError),
        message: None,
    }
}

fn results(works: &[bool]) -> Vec<SinkResult> {
    let ids = ["a", "b", "c"];
    works
        .iter()
        .zip(ids)
        .map(|(works, id)| result(id, *works))
        .collect()
}

/// What has to be true of every delivery: it is pending until it is made or
/// its end is recorded.
#[derive(Default)]
struct Books {
    failed: usize,
    made: usize,
    ended: usize,
}

impl Books {
    fn end(&mut self, ended: &[Ended]) {
        // An abandoned delivery is still pending.
        let over = |ended: &&Ended| ended.reason != AlertReason::DeliveryAbandoned;
        self.ended += ended.iter().filter(over).count();
    }

    /// What becomes of a batch if its fate is `kind`.
    fn retry(&mut self, batch: &Batch, kind: u8) -> RetryOutcome {
        let works = kind > 2;
        match kind {
            0 => RetryOutcome::SourceMissing,
            1 => RetryOutcome::Unrouted(AlertReason::RouteResolutionFailed),
            2 if batch.is_unrouted() => {
                self.made += 1;
                RetryOutcome::Skipped
            }
            _ if batch.is_unrouted() => {
                // One delivery becomes three.
                self.failed += if works { 0 } else { 2 };
                self.made += usize::from(works);
                RetryOutcome::Delivered {
                    results: results(&[works; 3]),
                    removed: Vec::new(),
                }
            }
            _ => {
                let removed = if kind == 4 {
                    &batch.deliveries[..1]
                } else {
                    &[]
                };
                let tried = &batch.deliveries[removed.len()..];
                self.made += if works { tried.len() } else { 0 };
                let one = |d: &om_model::alerts::PendingDelivery| {
                    result(d.sink_id.as_deref().unwrap_or_default(), works)
                };
                RetryOutcome::Delivered {
                    results: tried.iter().map(one).collect(),
                    removed: removed.to_vec(),
                }
            }
        }
    }
}

fn identity() -> RunIdentity {
    RunIdentity {
        loop_id: loop_id(),
        trace_id: trace("t"),
        escalations_file: "e".to_owned(),
        telemetry_file: "t".to_owned(),
    }
}

/// The state as the next run reads it.
fn reread(state: &DispatchState) -> Previous {
    let artifact = Artifact::parse(json::compact(state).as_bytes());
    Previous::read(&artifact).expect("own states can be read")
}

fn one_run(previous: Previous, step: &Step, now: Timestamp, books: &mut Books) -> DispatchState {
    let offset = previous.offset;
    let line_count = offset + step.lines.len() as u64;
    let mut ledger = Ledger::new(identity(), previous, Some(line_count));
    let mode = if step.by_hand {
        RetryMode::All
    } else {
        RetryMode::Due
    };
    let plan = ledger.plan_retries(mode, now);
    books.end(&plan.ended);
    for (batch, kind) in plan.batches.iter().zip(step.retries.iter().cycle()) {
        let outcome = books.retry(batch, *kind);
        let ended = ledger.retry(batch, &outcome, now);
        books.end(&ended);
    }
    for (number, fortune) in (offset + 1..).zip(&step.lines) {
        let outcome = match fortune {
            Fortune::Skipped => Outcome::Skipped,
            Fortune::Unreadable => Outcome::Unreadable(AlertReason::InvalidEscalationJson),
            Fortune::Unrouted => {
                books.failed += 1;
                Outcome::Unrouted(AlertReason::RouteResolutionFailed)
            }
            Fortune::Sinks(works) => {
                books.failed += works.iter().filter(|works| !**works).count();
                Outcome::Delivered(results(works))
            }
        };
        let line = ConsumedLine {
            line: number,
            start: 0,
            end: 1,
            sha256: "digest".to_owned(),
        };
        ledger.consume(&line, &outcome, now);
    }
    ledger.document(now)
}

fn check(state: &DispatchState, before: &Previous, step: &Step, now: Timestamp) {
    assert!(state.escalations_line_offset >= before.offset);
    assert_eq!(
        state.escalations_line_offset,
        before.offset + state.processed_count
    );
    assert_eq!(state.processed_count, step.lines.len() as u64);
    let told = state.dispatched_count + state.skipped_count + state.failed_count;
    assert!(told >= state.processed_count && told <= 2 * state.processed_count);
    assert_eq!(state.pending_count, state.pending_deliveries.len() as u64);
    let sorted = |pair: &[om_model::alerts::PendingDelivery]| {
        (pair[0].line, &pair[0].sink_id) <= (pair[1].line, &pair[1].sink_id)
    };
    assert!(state.pending_deliveries.windows(2).all(sorted));
    for delivery in &state.pending_deliveries {
        let age = now.seconds_since(delivery.first_failed_at);
        assert!(age <= DROP_AFTER_SECONDS);
        assert!(delivery.attempts >= 1 && delivery.line <= state.escalations_line_offset);
        assert!(delivery.last_attempt_at <= now);
        let abandoned = delivery.reason_code == AlertReason::DeliveryAbandoned;
        let exhausted = delivery.attempts >= MAX_ATTEMPTS || age >= ABANDON_AFTER_SECONDS;
        assert_eq!(abandoned, exhausted, "neither too early nor too late");
    }
}

proptest! {
    #[test]
    fn the_cursor_only_moves_on_and_no_failed_delivery_is_lost(
        steps in prop::collection::vec(step(), 1..12),
    ) {
        let mut books = Books::default();
        let mut previous = Previous::default();
        let mut now = Timestamp::from_epoch_seconds(1_900_000_000);
        for step in &steps {
            now = Timestamp::from_epoch_seconds(now.epoch_seconds() + step.pause);
            let state = one_run(previous.clone(), step, now, &mut books);
            check(&state, &previous, step, now);
            let pending = state.pending_deliveries.len();
            prop_assert_eq!(books.failed, books.made + books.ended + pending);
            previous = reread(&state);
            prop_assert_eq!(&previous.pending, &state.pending_deliveries);
        }
    }
}
