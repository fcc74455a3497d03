//! `POST /ops/control`: one intent, executed once per idempotency key
//! (chapter 03 §3.4.4, decisions D12 and D13).

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use om_control::owner::Owner;
use om_control::{ControlError, ControlRequest, LocalControl, SystemClock, Transport, service};
use om_model::control::ControlRequestSettings;
use om_model::service::{
    ControlRequestBody, ControlResponse, HeaderFallbacks, ServiceErrorCode as Code,
};
use om_model::{Timestamp, TraceId, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use crate::app::{App, failed_task, header_text};
use crate::keys::{Begun, Boarding, Flight, Found, KeyStore, Keys, StoreError, Stored};
use crate::reply::{Refusal, Reply};

/// How long the effect is looked for, in seconds, if the request does not say
/// so.
const TIMEOUT_SECONDS: u64 = 30;

/// How often.
const INTERVAL_SECONDS: u64 = 2;

/// How long the runtime's command may take.
const RUNTIME_TIMEOUT_SECONDS: u64 = 120;

/// Retries of service calls as every control records them, also a local one.
const RETRY_ATTEMPTS: u64 = 3;
const RETRY_BACKOFF_SECONDS: u64 = 1;

/// How often an execution by another process is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Executes the intent in `body`, or answers as it was answered before.
pub(crate) async fn control(
    app: &Arc<App>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Reply, Refusal> {
    let fallbacks = HeaderFallbacks {
        trace_id: header_text(headers, "x-trace-id"),
        idempotency_key: header_text(headers, "x-idempotency-key"),
    };
    let body = ControlRequestBody::read(body, &fallbacks)
        .map_err(|error| Refusal::new(error.code(), error.to_string()))?;
    let order = Arc::new(Order::new(app, body));
    match order.body.idempotency_key.clone() {
        None => {
            let slot = app.slot()?;
            let executed = tokio::spawn(execute_once(Arc::clone(app), order, slot));
            executed.await.map_err(|error| failed_task(&error))?
        }
        Some(key) => keyed(app, &order, &key).await,
    }
}

/// One control request with everything decided that it left open.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) body: ControlRequestBody,
    pub(crate) by: String,
    /// That of the request, else the service's, else a random one.
    pub(crate) trace_id: TraceId,
    pub(crate) settings: ControlRequestSettings,
}

impl Order {
    fn new(app: &App, body: ControlRequestBody) -> Self {
        let trace_id = body.trace_id.clone();
        let trace_id = trace_id.or_else(|| app.config.trace_id.clone());
        Self {
            by: body.by.clone().unwrap_or_else(|| app.config.actor.clone()),
            trace_id: trace_id.unwrap_or_else(random_trace_id),
            settings: ControlRequestSettings {
                do_confirm: !body.no_confirm,
                timeout_seconds: body.timeout_seconds.unwrap_or(TIMEOUT_SECONDS),
                interval_seconds: body.interval_seconds.unwrap_or(INTERVAL_SECONDS),
                retry_attempts: RETRY_ATTEMPTS,
                retry_backoff_seconds: RETRY_BACKOFF_SECONDS,
                runtime_timeout_seconds: Some(
                    body.runtime_timeout_seconds
                        .unwrap_or(RUNTIME_TIMEOUT_SECONDS),
                ),
                force_target: body.force_target,
            },
            body,
        }
    }

    /// How long a repetition waits: as long as a control with these limits
    /// can take.
    fn patience(&self, app: &App) -> Duration {
        service::total_limit(&self.settings)
            .map_or(app.config.limits.repetition_wait, Duration::from_secs)
    }

    fn request(&self, app: &App) -> ControlRequest {
        ControlRequest {
            layout: app.layout.clone(),
            loop_id: self.body.loop_id.clone(),
            intent: self.body.intent,
            requested_by: self.by.clone(),
            note: self.body.note.clone(),
            trace_id: self.trace_id.clone(),
            // The key of a request is the service's; its control has its own.
            idempotency_key: None,
            settings: self.settings.clone(),
        }
    }

    fn store(&self, app: &App) -> KeyStore {
        KeyStore::new(&app.layout, &self.body.loop_id)
    }
}

fn random_trace_id() -> TraceId {
    // A UUID is not empty.
    TraceId::new(uuid::Uuid::new_v4().to_string())
        .unwrap_or_else(|| unreachable!("a trace id is never empty"))
}

impl App {
    /// Room for one more control, kept until the permit is dropped.
    fn slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.controls).try_acquire_owned().map_err(|_| {
            Refusal::busy(format!(
                "{} control intents are being executed; nothing was executed, try again later",
                self.config.limits.controls
            ))
        })
    }
}

/// A request without a key.
async fn execute_once(
    app: Arc<App>,
    order: Arc<Order>,
    slot: OwnedSemaphorePermit,
) -> Result<Reply, Refusal> {
    let executed = tokio::task::spawn_blocking(move || {
        let executed = execute(&app, &order, None);
        drop(slot);
        executed
    });
    let answer = executed.await.map_err(|error| failed_task(&error))??;
    Ok(Reply::json(answer.http_status(), &answer))
}

/// A request with a key: the first one decides, its repetitions wait for it.
async fn keyed(app: &Arc<App>, order: &Arc<Order>, key: &str) -> Result<Reply, Refusal> {
    let deadline = Instant::now() + order.patience(app);
    loop {
        let follower = match app
            .flights
            .board(&order.body.loop_id, key, order.body.intent)
        {
            Boarding::Conflict(other) => return Err(conflict(key, other.as_str())),
            Boarding::Lead(flight) => {
                // On its own: it goes on if the client goes away.
                let led = lead(
                    Arc::clone(app),
                    Arc::clone(order),
                    key.to_owned(),
                    flight,
                    deadline,
                );
                let led = tokio::spawn(led).await;
                return led.map_err(|error| failed_task(&error))?;
            }
            Boarding::Follow(follower) => follower,
        };
        if follower.is_of_another(order.body.intent) {
            if timeout_at(deadline, follower.decision()).await.is_err() {
                return Err(still_running(key));
            }
            continue;
        }
        match timeout_at(deadline, follower.landing()).await {
            Ok(Some(stored)) => return Ok(replay(stored, order)),
            // It ended without an execution: perhaps it is our turn.
            Ok(None) => {}
            Err(_) => return Err(still_running(key)),
        }
    }
}

fn conflict(key: &str, other: &str) -> Refusal {
    Refusal::new(
        Code::IdempotencyConflict,
        format!(
            "idempotency key {key:?} was used for the intent {other}; nothing was executed, use \
             another key"
        ),
    )
}

fn still_running(key: &str) -> Refusal {
    Refusal::busy(format!(
        "the control with idempotency key {key:?} is still being executed; ask again later"
    ))
}

fn replay(stored: Stored, order: &Order) -> Reply {
    Reply::json(200, &stored.replayed(order.body.trace_id.as_ref()))
}

/// What follows from what is known of a key.
enum Verdict {
    /// Execute.
    Execute,
    /// Answer with this.
    Answer(Reply),
    /// Another process executes it right now.
    Wait,
}

fn judge(found: Found, order: &Order, key: &str, now: Timestamp) -> Result<Verdict, Refusal> {
    let intent = match &found {
        Found::Free => return Ok(Verdict::Execute),
        Found::Done(stored) => &stored.intent,
        Found::Begun(begun) => &begun.intent,
    };
    if let Some(other) = intent.as_ref().filter(|i| *i != order.body.intent.as_str()) {
        return Err(conflict(key, other));
    }
    Ok(match found {
        Found::Free => Verdict::Execute,
        Found::Done(stored) => Verdict::Answer(replay(stored, order)),
        Found::Begun(begun) if is_under_way(&begun, now) => Verdict::Wait,
        Found::Begun(begun) => Verdict::Answer(Reply::json(200, &unknown(begun, order))),
    })
}

/// Whether another process may still come to an end with it. What this
/// process executes is a flight, and this request leads the only one of its
/// key: ours has ended without an answer.
fn is_under_way(begun: &Begun, now: Timestamp) -> bool {
    let owner = begun.owner.as_ref();
    owner.is_some_and(|owner| owner != Owner::current() && owner.may_be_at_work(begun.since, now))
}

/// The answer for an execution whose process ended before its outcome was
/// known: ambiguous.
fn unknown(begun: Begun, order: &Order) -> ControlResponse {
    ControlResponse {
        ok: false,
        exit_code: 2,
        result: None,
        stderr: Some(
            "error: the service ended while this intent was being executed; its outcome is \
             unknown, inspect the loop before repeating it with another idempotency key"
                .to_owned(),
        ),
        replayed: true,
        trace_id: begun.trace_id.or_else(|| order.body.trace_id.clone()),
    }
}

/// Decides about a key, executes at most once, and lets the others know.
async fn lead(
    app: Arc<App>,
    order: Arc<Order>,
    key: String,
    flight: Flight,
    deadline: Instant,
) -> Result<Reply, Refusal> {
    loop {
        let (o, k) = (Arc::clone(&order), key.clone());
        let found = app.read(move |app| o.store(app).look_up(&k)).await?;
        let found = found.map_err(|error| store_refusal(&error))?;
        let verdict = judge(found, &order, &key, App::now())?;
        flight.decide();
        match verdict {
            Verdict::Answer(reply) => return Ok(reply),
            Verdict::Wait if Instant::now() >= deadline || app.is_ending() => {
                return Err(still_running(&key));
            }
            Verdict::Wait => {
                sleep(LOOK_INTERVAL).await;
                continue;
            }
            Verdict::Execute => {}
        }
        let slot = app.slot()?;
        let (a, o, k) = (Arc::clone(&app), Arc::clone(&order), key.clone());
        let executed = tokio::task::spawn_blocking(move || {
            let executed = execute_keyed(&a, &o, &k);
            drop(slot);
            executed
        });
        if let Some(answer) = executed.await.map_err(|error| failed_task(&error))?? {
            flight.land(stored(&answer, &order, &key));
            return Ok(Reply::json(answer.http_status(), &answer));
        }
        // Another process was faster; look again at what it does.
    }
}

/// The answer as it is found in the record from now on.
fn stored(answer: &ControlResponse, order: &Order, key: &str) -> Stored {
    let mut keys = Keys::default();
    keys.finish(key, order.body.intent, answer, App::now());
    match keys.find(key) {
        Found::Done(stored) => stored,
        Found::Free | Found::Begun(_) => unreachable!("it was just stored"),
    }
}

fn store_refusal(error: &StoreError) -> Refusal {
    Refusal::new(Code::IdempotencyStoreInvalid, error.to_string())
}

/// Marks the key, executes, stores. `None` if the key is taken after all.
fn execute_keyed(app: &App, order: &Order, key: &str) -> Result<Option<ControlResponse>, Refusal> {
    let store = order.store(app);
    let begun = store.begin(key, order.body.intent, &order.trace_id, App::now());
    if begun.map_err(|error| store_refusal(&error))? != Found::Free {
        return Ok(None);
    }
    let executed = execute(app, order, Some((&store, key)));
    if executed.is_err()
        && let Err(error) = store.forget(key)
    {
        // Then repetitions are told that the outcome is unknown.
        tracing::error!(%error, key, "the key of an intent that was not executed stays in use");
    }
    executed.map(Some)
}

/// Executes the intent and stores the answer. An error: nothing was executed.
fn execute(
    app: &App,
    order: &Order,
    key: Option<(&KeyStore, &str)>,
) -> Result<ControlResponse, Refusal> {
    tracing::info!(
        loop_id = %order.body.loop_id,
        intent = order.body.intent.as_str(),
        trace_id = %order.trace_id,
        "executing"
    );
    if let Some(scripts) = &app.config.scripts {
        let answer = scripts.control(&app.layout, order);
        if let Some((store, key)) = key
            && let Err(error) = store.finish(key, order.body.intent, &answer, App::now())
        {
            tracing::error!(%error, key, "the answer is not stored");
        }
        return Ok(answer);
    }
    let local = LocalControl::from_env(&app.layout);
    let ended = om_control::run_with(
        &order.request(app),
        Transport::Local(&local),
        &SystemClock::default(),
        &mut |_| {},
        &|row| match key {
            Some((store, key)) => {
                let answer = answer(row.status.exit_code(), json::to_value(row), order);
                store.answer(key, order.body.intent, &answer, App::now())
            }
            None => om_store::Commit::new(),
        },
    );
    match ended {
        Ok(outcome) => Ok(answer(
            outcome.exit_code(),
            json::to_value(&outcome.row),
            order,
        )),
        // It was executed; that nobody can prove it makes it ambiguous.
        Err(error @ ControlError::Unrecorded { .. }) => Ok(ControlResponse {
            ok: false,
            exit_code: 2,
            result: None,
            stderr: Some(format!("error: {error}")),
            replayed: false,
            trace_id: Some(order.trace_id.clone()),
        }),
        Err(error) => Err(Refusal::internal(error.to_string())),
    }
}

fn answer(exit_code: u8, row: serde_json::Value, order: &Order) -> ControlResponse {
    ControlResponse {
        ok: exit_code == 0,
        exit_code: i64::from(exit_code),
        result: Some(row),
        stderr: None,
        replayed: false,
        trace_id: Some(order.trace_id.clone()),
    }
}
