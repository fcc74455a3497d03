//! `POST /ops/control`: one intent, executed once per idempotency key
//! (chapter 03 §3.4.4, decisions D12 and D13).

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use om_control::owner::Owner;
use om_control::{ControlRequest, service};
use om_model::control::ControlRequestSettings;
use om_model::service::{
    ControlRequestBody, ControlResponse, HeaderFallbacks, ServiceErrorCode as Code,
};
use om_model::{Timestamp, TraceId, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use crate::app::{App, failed_task, header_text};
use crate::execution::{execute, execute_keyed, recovered};
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
    let answered = match order.body.idempotency_key.clone() {
        None => unkeyed(app, &order).await,
        Some(key) => keyed(app, &order, &key).await,
    };
    let reply = answered.unwrap_or_else(Reply::from);
    Ok(reply.about(Some(order.trace_id.clone())))
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

    pub(crate) fn request(&self, app: &App) -> ControlRequest {
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

    pub(crate) fn store(&self, app: &App) -> KeyStore {
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
async fn unkeyed(app: &Arc<App>, order: &Arc<Order>) -> Result<Reply, Refusal> {
    let slot = app.slot()?;
    // On its own: it goes on if the client goes away.
    let executed = tokio::spawn(execute_once(Arc::clone(app), Arc::clone(order), slot));
    executed.await.map_err(|error| failed_task(&error))?
}

async fn execute_once(
    app: Arc<App>,
    order: Arc<Order>,
    slot: OwnedSemaphorePermit,
) -> Result<Reply, Refusal> {
    let executed = tokio::task::spawn_blocking(move || {
        let executed = app.check_repository().and_then(|()| execute(&app, &order));
        drop(slot);
        executed
    });
    let answer = executed.await.map_err(|error| failed_task(&error))??;
    Ok(executed_now(&answer))
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

fn executed_now(answer: &ControlResponse) -> Reply {
    Reply::json(answer.http_status(), answer).about(answer.trace_id.clone())
}

fn replay(stored: Stored, order: &Order) -> Reply {
    let own = order.body.trace_id.as_ref();
    let answer = stored.replayed(own);
    let stored = json::non_empty_text(answer.get("traceId")).and_then(TraceId::new);
    // Whoever asks again looks for the id of this request.
    Reply::json(200, &answer).about(own.cloned().or(stored))
}

/// What follows from what is known of a key.
enum Verdict {
    /// Execute.
    Execute,
    /// Answer with this.
    Answer(Reply),
    /// Another process executes it right now.
    Wait,
    /// Nobody executes it any more, and it has no answer.
    Over(Begun),
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
        Found::Begun(begun) => Verdict::Over(begun),
    })
}

/// Whether another process may still come to an end with it. What this
/// process executes is a flight, and this request leads the only one of its
/// key: ours has ended without an answer.
fn is_under_way(begun: &Begun, now: Timestamp) -> bool {
    let owner = begun.owner.as_ref();
    owner.is_some_and(|owner| owner != Owner::current() && owner.may_be_at_work(begun.since, now))
}

/// The answer for an execution that is over without an answer: what recovery
/// recorded of it, else that nobody knows.
fn over(app: &App, order: &Order, key: &str, begun: Begun) -> Reply {
    if let Some(stored) = recovered(app, order, key, &begun) {
        return replay(stored, order);
    }
    let answer = unknown(begun, order);
    let trace_id = order.body.trace_id.clone().or(answer.trace_id.clone());
    Reply::json(200, &answer).about(trace_id)
}

/// The answer for an execution of which nothing is recorded: ambiguous.
fn unknown(begun: Begun, order: &Order) -> ControlResponse {
    let why = match &begun.owner {
        Some(owner) if owner == Owner::current() => {
            "this intent is no longer being executed, and its outcome could not be recorded; it is"
        }
        Some(_) => "the service ended while this intent was being executed; its outcome is",
        None => "nobody is known to be executing this intent any more; its outcome is",
    };
    ControlResponse {
        ok: false,
        exit_code: 2,
        result: None,
        stderr: Some(format!(
            "error: {why} unknown, inspect the loop before repeating it with another idempotency \
             key"
        )),
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
        let found = app.read(move |app| look_up(app, &o, &k)).await??;
        let verdict = judge(found, &order, &key, App::now())?;
        flight.decide();
        match verdict {
            Verdict::Answer(reply) => return Ok(reply),
            Verdict::Over(begun) => {
                let (a, o, k) = (Arc::clone(&app), Arc::clone(&order), key.clone());
                let over = tokio::task::spawn_blocking(move || over(&a, &o, &k, begun));
                return over.await.map_err(|error| failed_task(&error));
            }
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
            return Ok(executed_now(&answer));
        }
        // Another process was faster; look again at what it does.
    }
}

fn look_up(app: &App, order: &Order, key: &str) -> Result<Found, Refusal> {
    app.check_repository()?;
    let found = order.store(app).look_up(key);
    found.map_err(|error| store_refusal(&error))
}

/// The answer as it is found in the record from now on.
pub(crate) fn stored(answer: &ControlResponse, order: &Order, key: &str) -> Stored {
    let mut keys = Keys::default();
    keys.finish(key, order.body.intent, answer, App::now());
    match keys.find(key) {
        Found::Done(stored) => stored,
        Found::Free | Found::Begun(_) => unreachable!("it was just stored"),
    }
}

pub(crate) fn store_refusal(error: &StoreError) -> Refusal {
    Refusal::new(Code::IdempotencyStoreInvalid, error.to_string())
}
