//! What one run has done so far, as a value: the cursor, the counters and the
//! deliveries still to be made. Pure; the state document is a picture of it.

use std::collections::{BTreeMap, BTreeSet};

use om_model::alerts::{
    AlertReason, ConsumedLine, DispatchState, DispatchStatus, PendingDelivery, SinkResult,
    SinkStatus,
};
use om_model::envelope::SchemaVersion;
use om_model::json;
use om_model::{Artifact, LoopId, Timestamp, TraceId};
use serde_json::Value;

use crate::retry::{self, Fate, RetryMode};

/// Numbers from here on are greater than any integer of ours: 2^63.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// What a run needs of the state before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Previous {
    /// Lines consumed.
    pub offset: u64,
    /// Deliveries still to be made.
    pub pending: Vec<PendingDelivery>,
    /// Where the last line consumed was, if that is known.
    pub last_line: Option<ConsumedLine>,
}

impl Previous {
    /// Reads a state document; the error says what is wrong with it.
    ///
    /// A cursor that is no count is 0 (chapter 04 §3.3). A pending delivery
    /// that cannot be read is an error: forgetting it would lose an alert.
    pub fn read(state: &Artifact) -> Result<Self, String> {
        let document = match state {
            Artifact::Absent => return Ok(Self::default()),
            Artifact::Broken(_) if state.is_blank() => return Ok(Self::default()),
            Artifact::Broken(cause) => return Err(cause.to_string()),
            Artifact::Document(document) => document,
        };
        let members = json::root_object(document).map_err(|error| error.to_string())?;
        let offset = members.get("escalationsLineOffset").map_or(0, count);
        let last_line = members.get("lastConsumedLine").cloned();
        // Only a short cut: the cursor counts, and people edit it.
        let last_line = last_line
            .and_then(|value| serde_json::from_value::<ConsumedLine>(value).ok())
            .filter(|last| last.line == offset);
        Ok(Self {
            offset,
            pending: pending(json::present(members.get("pendingDeliveries")))?,
            last_line,
        })
    }

    /// The lines of deliveries that a run at `now` does something about.
    pub fn wanted(&self, mode: RetryMode, now: Timestamp) -> BTreeSet<u64> {
        let acts = |delivery: &&PendingDelivery| retry::fate(delivery, mode, now) != Fate::Wait;
        let wanted = self.pending.iter().filter(acts);
        wanted.map(|delivery| delivery.line).collect()
    }
}

/// A count of any size; whatever else it is counts as 0.
fn count(value: &Value) -> u64 {
    let too_large = |value: &Value| {
        let number = value.as_f64()?;
        (number >= TOO_LARGE).then_some(json::MAX_INTEGER)
    };
    let count = json::digits(value).or_else(|| too_large(value));
    count.unwrap_or(0)
}

fn pending(value: Option<&Value>) -> Result<Vec<PendingDelivery>, String> {
    let items = match value {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => {
            let found = json::type_name(other);
            return Err(format!("pendingDeliveries is {found}, expected an array"));
        }
    };
    let read = |(index, item): (usize, &Value)| {
        serde_json::from_value(item.clone())
            .map_err(|error| format!("pendingDeliveries[{index}]: {error}"))
    };
    let mut pending = items
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<Vec<PendingDelivery>, String>>()?;
    pending.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(pending)
}

/// Due deliveries go first by line, then by sink.
fn place(delivery: &PendingDelivery) -> (u64, Option<&str>) {
    (delivery.line, delivery.sink_id.as_deref())
}

/// What the documents of a run say of it.
#[derive(Clone, Debug)]
pub struct RunIdentity {
    /// The loop that is dispatched for.
    pub loop_id: LoopId,
    /// The run.
    pub trace_id: TraceId,
    /// As given.
    pub escalations_file: String,
    /// As given.
    pub telemetry_file: String,
}

/// What became of a new line.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nobody is to hear of it; blank lines included.
    Skipped,
    /// It cannot be read, and never will.
    Unreadable(AlertReason),
    /// It cannot be routed now.
    Unrouted(AlertReason),
    /// Every sink was tried.
    Delivered(Vec<SinkResult>),
}

/// What became of another attempt at pending deliveries.
#[derive(Clone, Debug, PartialEq)]
pub enum RetryOutcome {
    /// The row they are about was changed or removed.
    SourceMissing,
    /// The row could not be routed.
    Unrouted(AlertReason),
    /// The row is routed to nobody any more.
    Skipped,
    /// The sinks were tried.
    Delivered {
        /// One per delivery tried, in the order of the batch.
        results: Vec<SinkResult>,
        /// Deliveries whose sink was removed or disabled.
        removed: Vec<PendingDelivery>,
    },
}

/// Pending deliveries of one row that are tried together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The row's line.
    pub line: u64,
    /// The row's digest.
    pub row_sha256: String,
    /// Which attempt this is, counted from 1.
    pub attempt: u64,
    /// One without a sink, or one or more with.
    pub deliveries: Vec<PendingDelivery>,
}

impl Batch {
    /// Whether the row still has to be routed.
    pub fn is_unrouted(&self) -> bool {
        self.deliveries.iter().any(|d| d.sink_id.is_none())
    }
}

/// The end of a delivery that was not made.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// As it was, the reason of the last attempt included.
    pub delivery: PendingDelivery,
    /// Why it ended.
    pub reason: AlertReason,
}

/// What a run does before it looks at new lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryPlan {
    /// Deliveries that end without another attempt.
    pub ended: Vec<Ended>,
    /// Attempts, in this order.
    pub batches: Vec<Batch>,
}

/// What one run has done so far.
#[derive(Clone, Debug)]
pub struct Ledger {
    run: RunIdentity,
    /// `None`: there is no escalations file.
    line_count: Option<u64>,
    offset: u64,
    last_line: Option<ConsumedLine>,
    processed: u64,
    dispatched: u64,
    skipped: u64,
    failed: u64,
    retried: u64,
    /// Sorted by name.
    reasons: BTreeMap<String, AlertReason>,
    pending: Vec<PendingDelivery>,
}

impl Ledger {
    /// The start of a run; `line_count` is `None` without an escalations
    /// file.
    pub fn new(run: RunIdentity, previous: Previous, line_count: Option<u64>) -> Self {
        Self {
            run,
            line_count,
            offset: previous.offset,
            last_line: previous.last_line,
            processed: 0,
            dispatched: 0,
            skipped: 0,
            failed: 0,
            retried: 0,
            reasons: BTreeMap::new(),
            pending: previous.pending,
        }
    }

    /// The run.
    pub fn run(&self) -> &RunIdentity {
        &self.run
    }

    /// Deliveries still to be made.
    pub fn pending(&self) -> &[PendingDelivery] {
        &self.pending
    }

    /// Decides about the pending deliveries. Those that end are taken out
    /// (dropped) or marked (abandoned); without an escalations file nothing
    /// can be tried.
    pub fn plan_retries(&mut self, mode: RetryMode, now: Timestamp) -> RetryPlan {
        let mut plan = RetryPlan::default();
        for delivery in std::mem::take(&mut self.pending) {
            match retry::fate(&delivery, mode, now) {
                Fate::Wait => self.pending.push(delivery),
                Fate::Try => {
                    if self.line_count.is_some() {
                        add_to_batch(&mut plan.batches, &delivery);
                    }
                    self.pending.push(delivery);
                }
                Fate::Abandon => {
                    plan.ended
                        .push(ended(&delivery, AlertReason::DeliveryAbandoned));
                    self.pending.push(PendingDelivery {
                        reason_code: AlertReason::DeliveryAbandoned,
                        ..delivery
                    });
                }
                Fate::Drop => plan
                    .ended
                    .push(ended(&delivery, AlertReason::DeliveryDropped)),
            }
        }
        plan
    }

    /// Enters what became of the next new line.
    pub fn consume(&mut self, line: &ConsumedLine, outcome: &Outcome, now: Timestamp) {
        self.offset += 1;
        self.last_line = Some(line.clone());
        self.processed += 1;
        match outcome {
            Outcome::Skipped => self.skipped += 1,
            Outcome::Unreadable(reason) => self.fail(reason),
            Outcome::Unrouted(reason) => {
                self.fail(reason);
                let first = self.first_failure(line, None, reason, None, now);
                self.insert(first);
            }
            Outcome::Delivered(results) => {
                let failed = || results.iter().filter(|r| r.status == SinkStatus::Failed);
                let failures = failed().count();
                self.dispatched += u64::from(failures < results.len());
                self.failed += u64::from(failures > 0 || results.is_empty());
                for result in failed() {
                    let reason = reason_of(result);
                    self.note(&reason);
                    let id = Some(result.id.clone());
                    let first = self.first_failure(line, id, &reason, result.http_status, now);
                    self.insert(first);
                }
            }
        }
    }

    /// Enters what became of a batch; returns the deliveries that ended with
    /// it without being made.
    pub fn retry(&mut self, batch: &Batch, outcome: &RetryOutcome, now: Timestamp) -> Vec<Ended> {
        for delivery in &batch.deliveries {
            if let Some(at) = self.pending.iter().position(|kept| kept == delivery) {
                self.pending.remove(at);
            }
        }
        let all = |reason: AlertReason| -> Vec<Ended> {
            let ended = |delivery| ended(delivery, reason.clone());
            batch.deliveries.iter().map(ended).collect()
        };
        match outcome {
            RetryOutcome::SourceMissing => all(AlertReason::DeliverySourceMissing),
            RetryOutcome::Skipped if batch.is_unrouted() => {
                self.retried += 1;
                Vec::new()
            }
            RetryOutcome::Skipped => all(AlertReason::DeliverySinkRemoved),
            RetryOutcome::Unrouted(reason) => {
                self.retried += batch.deliveries.len() as u64;
                let deliveries = batch.deliveries.iter();
                deliveries
                    .filter_map(|delivery| {
                        let sink_id = delivery.sink_id.clone();
                        self.failed_again(delivery, sink_id, reason, None, now)
                    })
                    .collect()
            }
            RetryOutcome::Delivered { results, removed } => {
                let gone = removed
                    .iter()
                    .map(|delivery| ended(delivery, AlertReason::DeliverySinkRemoved));
                let mut over: Vec<Ended> = gone.collect();
                self.retried += (batch.deliveries.len() - removed.len()) as u64;
                let tried = batch.deliveries.iter().filter(|d| !removed.contains(d));
                // A row that could not be routed before has one delivery and
                // as many results as sinks.
                let unrouted = batch.is_unrouted();
                let origins: Vec<_> = tried.cycle().take(results.len()).collect();
                for (delivery, result) in origins.into_iter().zip(results) {
                    debug_assert!(unrouted || delivery.sink_id.as_deref() == Some(&result.id));
                    if result.status == SinkStatus::Failed {
                        let reason = reason_of(result);
                        let id = Some(result.id.clone());
                        let status = result.http_status;
                        over.extend(self.failed_again(delivery, id, &reason, status, now));
                    }
                }
                over
            }
        }
    }

    fn fail(&mut self, reason: &AlertReason) {
        self.failed += 1;
        self.note(reason);
    }

    fn note(&mut self, reason: &AlertReason) {
        self.reasons
            .insert(reason.as_str().to_owned(), reason.clone());
    }

    fn first_failure(
        &self,
        line: &ConsumedLine,
        sink_id: Option<String>,
        reason: &AlertReason,
        http_status: Option<u16>,
        now: Timestamp,
    ) -> PendingDelivery {
        PendingDelivery {
            line: line.line,
            row_sha256: line.sha256.clone(),
            sink_id,
            attempts: 1,
            first_failed_at: now,
            last_attempt_at: now,
            next_attempt_at: retry::next_attempt_at(1, now),
            reason_code: reason.clone(),
            http_status,
            trace_id: self.run.trace_id.to_string(),
        }
    }

    /// Keeps a delivery whose attempt failed again; returns it if this was
    /// the last one that is made by itself.
    fn failed_again(
        &mut self,
        before: &PendingDelivery,
        sink_id: Option<String>,
        reason: &AlertReason,
        http_status: Option<u16>,
        now: Timestamp,
    ) -> Option<Ended> {
        let attempts = before.attempts.saturating_add(1);
        let mut delivery = PendingDelivery {
            sink_id,
            attempts,
            last_attempt_at: now,
            next_attempt_at: retry::next_attempt_at(attempts, now),
            reason_code: reason.clone(),
            http_status,
            trace_id: self.run.trace_id.to_string(),
            ..before.clone()
        };
        let mut over = None;
        if retry::is_abandoned(before) || retry::is_exhausted(&delivery, now) {
            if !retry::is_abandoned(before) {
                over = Some(ended(&delivery, AlertReason::DeliveryAbandoned));
            }
            delivery.reason_code = AlertReason::DeliveryAbandoned;
        }
        self.insert(delivery);
        over
    }

    fn insert(&mut self, delivery: PendingDelivery) {
        let at = self
            .pending
            .partition_point(|other| place(other) <= place(&delivery));
        self.pending.insert(at, delivery);
    }

    /// The state document as it stands.
    pub fn document(&self, now: Timestamp) -> DispatchState {
        DispatchState {
            schema_version: SchemaVersion::V1,
            updated_at: now,
            loop_id: self.run.loop_id.clone(),
            trace_id: self.run.trace_id.clone(),
            escalations_file: self.run.escalations_file.clone(),
            dispatch_telemetry_file: self.run.telemetry_file.clone(),
            status: self.status(),
            processed_count: self.processed,
            dispatched_count: self.dispatched,
            skipped_count: self.skipped,
            failed_count: self.failed,
            failure_reason_codes: self.reasons.values().cloned().collect(),
            escalations_line_offset: self.offset,
            escalations_line_count: self.line_count.unwrap_or(self.offset),
            last_consumed_line: self.last_line.clone(),
            retried_count: self.retried,
            pending_count: self.pending.len() as u64,
            pending_deliveries: self.pending.clone(),
        }
    }

    fn status(&self) -> DispatchStatus {
        match (
            self.line_count,
            self.processed,
            self.failed,
            self.dispatched,
        ) {
            (None, ..) => DispatchStatus::NoSource,
            (_, 0, ..) => DispatchStatus::NoNewEscalations,
            (_, _, 0, _) => DispatchStatus::Success,
            (_, _, _, 0) => DispatchStatus::Failed,
            _ => DispatchStatus::Partial,
        }
    }
}

fn ended(delivery: &PendingDelivery, reason: AlertReason) -> Ended {
    Ended {
        delivery: delivery.clone(),
        reason,
    }
}

fn reason_of(result: &SinkResult) -> AlertReason {
    result
        .reason_code
        .clone()
        .unwrap_or(AlertReason::RequestFailed)
}

/// Deliveries of one row are tried together if it is the same attempt for
/// all of them; they come ordered by line, then by sink.
fn add_to_batch(batches: &mut Vec<Batch>, delivery: &PendingDelivery) {
    let attempt = delivery.attempts.saturating_add(1);
    let same_row = batches
        .iter_mut()
        .rev()
        .take_while(|batch| batch.line == delivery.line)
        .find(|batch| {
            let both_have_sinks = !batch.is_unrouted() && delivery.sink_id.is_some();
            both_have_sinks && batch.attempt == attempt && batch.row_sha256 == delivery.row_sha256
        });
    match same_row {
        Some(batch) => batch.deliveries.push(delivery.clone()),
        None => batches.push(Batch {
            line: delivery.line,
            row_sha256: delivery.row_sha256.clone(),
            attempt,
            deliveries: vec![delivery.clone()],
        }),
    }
}
