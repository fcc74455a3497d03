//! Executing one intent, and what is recorded of it under its key (decisions
//! D7 and D12).

use std::cell::RefCell;

use om_control::owner::is_alive;
use om_control::{
    ControlError, LocalControl, Record, SystemClock, Transport, recover_pending, run_with,
};
use om_model::control::{ControlStatus, IntentRow, PendingIntent};
use om_model::json;
use om_model::service::ControlResponse;
use om_store::{Commit, LoopFile, Scope, last_rows};
use serde_json::Value;

use crate::app::App;
use crate::control::{Order, store_refusal, stored};
use crate::keys::{Begun, KeyStore, StoreError, Stored};
use crate::reply::Refusal;

/// How many of a loop's last intents are searched for a recovered one.
const SEARCHED: usize = 10_000;

/// Executes an intent without a key. An error: nothing was executed.
pub(crate) fn execute(app: &App, order: &Order) -> Result<ControlResponse, Refusal> {
    tell(order);
    match &app.config.scripts {
        Some(scripts) => Ok(scripts.control(app, order)),
        None => built_in(app, order, &()).map_err(|error| Refusal::internal(error.to_string())),
    }
}

/// Executes an intent and records its answer under `key`. `None` if the key is
/// taken after all. An error: nothing was executed, and the key is free.
pub(crate) fn execute_keyed(
    app: &App,
    order: &Order,
    key: &str,
) -> Result<Option<ControlResponse>, Refusal> {
    app.check_repository()?;
    tell(order);
    let store = order.store(app);
    if let Some(scripts) = &app.config.scripts {
        let (intent, trace_id) = (order.body.intent, &order.trace_id);
        let begun = store.begin(key, intent, trace_id, App::now());
        if !begun.map_err(|error| store_refusal(&error))? {
            return Ok(None);
        }
        let answer = scripts.control(app, order);
        if let Err(error) = store.finish(key, intent, &answer, App::now()) {
            tracing::error!(%error, key, "the answer is not stored");
        }
        return Ok(Some(answer));
    }
    let record = KeyRecord {
        store: &store,
        key,
        order,
        unusable: RefCell::default(),
    };
    match built_in(app, order, &record) {
        Ok(answer) => Ok(Some(answer)),
        Err(ControlError::Withheld) => match record.unusable.take() {
            Some(error) => Err(store_refusal(&error)),
            None => Ok(None),
        },
        Err(error) => Err(Refusal::internal(error.to_string())),
    }
}

fn tell(order: &Order) {
    tracing::info!(
        loop_id = %order.body.loop_id,
        intent = order.body.intent.as_str(),
        trace_id = %order.trace_id,
        "executing"
    );
}

/// By function call. An error: nothing was executed.
fn built_in(
    app: &App,
    order: &Order,
    record: &dyn Record,
) -> Result<ControlResponse, ControlError> {
    let local = LocalControl {
        secrets: app.secrets.clone(),
        ..LocalControl::from_env(&app.layout)
    };
    let ended = run_with(
        &order.request(app),
        Transport::Local(&local),
        &SystemClock::default(),
        &mut |_| {},
        record,
    );
    match ended {
        Ok(outcome) => Ok(answer(&outcome.row, order)),
        // It was executed; that nobody can prove it makes it ambiguous.
        Err(error @ ControlError::Unrecorded { .. }) => Ok(ControlResponse {
            ok: false,
            exit_code: 2,
            result: None,
            stderr: Some(format!("error: {error}")),
            replayed: false,
            trace_id: Some(order.trace_id.clone()),
        }),
        Err(error) => Err(error),
    }
}

fn answer(row: &IntentRow, order: &Order) -> ControlResponse {
    let exit_code = row.status.exit_code();
    ControlResponse {
        ok: exit_code == 0,
        exit_code: i64::from(exit_code),
        result: Some(json::to_value(row)),
        stderr: None,
        replayed: false,
        trace_id: Some(order.trace_id.clone()),
    }
}

/// A key is in progress from the commit of its intent on, and has its answer
/// from that of the outcome on: whenever the service dies, recovery gives an
/// intent whose key is in use its rows.
struct KeyRecord<'a> {
    store: &'a KeyStore,
    key: &'a str,
    order: &'a Order,
    /// Why the intent was withheld, unless its key is taken.
    unusable: RefCell<Option<StoreError>>,
}

impl Record for KeyRecord<'_> {
    fn begun(&self, entry: &PendingIntent) -> Option<Commit> {
        let control_key = Some(entry.idempotency_key.as_str());
        let (intent, trace_id) = (entry.intent, &entry.trace_id);
        let beginning = self
            .store
            .beginning(self.key, intent, trace_id, control_key, App::now());
        match beginning {
            Ok(commit) => commit,
            Err(error) => {
                self.unusable.replace(Some(error));
                None
            }
        }
    }

    fn ended(&self, row: &IntentRow) -> Commit {
        let answer = answer(row, self.order);
        self.store.answer(self.key, row.intent, &answer, App::now())
    }
}

/// What recovery recorded, or records now, of an execution that is over; from
/// then on the answer of its key.
pub(crate) fn recovered(app: &App, order: &Order, key: &str, begun: &Begun) -> Option<Stored> {
    let control_key = begun.control_key.as_deref()?;
    let files = app.layout.loop_files(&order.body.loop_id);
    let recovery = || -> Result<(), ControlError> {
        let scope = Scope::open(files.scope_dir())?;
        scope.recover()?;
        recover_pending(&scope, &files, App::now(), &is_alive).map(drop)
    };
    if let Err(error) = recovery() {
        tracing::error!(%error, key, "what became of an intent cannot be recorded");
    }
    let rows = last_rows(&files.path(LoopFile::Intents), SEARCHED).ok()?;
    let rows = rows
        .iter()
        .rev()
        .filter_map(|row| json::parse(&row.bytes).ok());
    let is_it =
        |row: &Value| row.get("idempotencyKey").and_then(Value::as_str) == Some(control_key);
    let row = rows.into_iter().find(is_it)?;
    let status = row.get("status").and_then(Value::as_str);
    let exit_code = ControlStatus::read(status.unwrap_or_default()).exit_code();
    let answer = ControlResponse {
        ok: exit_code == 0,
        exit_code: i64::from(exit_code),
        result: Some(row),
        stderr: None,
        replayed: false,
        trace_id: begun.trace_id.clone(),
    };
    let store = order.store(app);
    if let Err(error) = store.finish_begun(key, order.body.intent, &answer, App::now()) {
        tracing::error!(%error, key, "the answer is not stored");
    }
    Some(stored(&answer, order, key))
}
