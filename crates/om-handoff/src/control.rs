//! Calling control about one target: in this process, or the hook (chapter 06
//! §2.4.5, §2.6).

use std::time::Duration;

use om_control::runtime::RuntimeCall;
use om_control::{
    Clock, ControlError, ControlOutcome, ControlRequest, LocalControl, Transport, TypedNumbers,
    service,
};
use om_http::Secret;
use om_model::control::{ControlRequestSettings, Intent};
use om_model::fleet::handoff::{DispatchRow, HandoffIntent};
use om_model::health::TransportMode;
use om_model::{LoopId, json};
use om_stage::{Hook, Keep, RunOptions, Streams};
use om_store::RepoLayout;
use om_transport::service_client;
use serde_json::Number;

use crate::outcome::{Controlled, Special};

/// Names the executable that replaces control.
pub const HOOK_VARIABLE: &str = "OPS_MANAGER_CONTROL_SCRIPT";

/// The token of services that name no variable of their own.
const DEFAULT_TOKEN_VARIABLE: &str = "OPS_MANAGER_SERVICE_TOKEN";

/// What a hook may take beside the time it was given for confirmation: as
/// long as any other hook.
const HOOK_SLACK: Duration = om_stage::DEFAULT_TIME_LIMIT;

/// How targets are controlled.
#[derive(Clone, Debug)]
pub struct ControlStage {
    /// Replaces the built-in control.
    pub hook: Option<Hook>,
    /// Whether the effect is looked for.
    pub confirm: bool,
    /// How long, in seconds.
    pub timeout_seconds: Seconds,
    /// How often, in seconds.
    pub interval_seconds: Seconds,
    /// How long the runtime's command may take, in seconds; 0 is unlimited.
    pub runtime_timeout_seconds: u64,
}

impl ControlStage {
    /// What is run about an intent, for a person to read: a command line as a
    /// shell takes it, a request, or the hook.
    pub(crate) fn preview(
        &self,
        layout: &RepoLayout,
        intent: &HandoffIntent,
        by: &str,
        note: &str,
    ) -> String {
        if self.hook.is_some() {
            return format!("${HOOK_VARIABLE} --intent {}", intent.intent);
        }
        if intent.transport == TransportMode::SpriteService {
            let base_url = intent.service.base_url.clone().unwrap_or_default();
            let hook = Hook::from_env(service_client::HOOK_VARIABLE);
            let settings = settings(self, intent);
            let client = service::client(Secret::new(base_url), None, &settings, hook);
            return match client {
                Ok(client) => service::command(&client),
                Err(error) => error.to_string(),
            };
        }
        let (loop_id, wanted) = (
            LoopId::new(intent.loop_id.clone()),
            Intent::parse(&intent.intent),
        );
        let (Ok(loop_id), Some(wanted)) = (loop_id, wanted) else {
            return "nothing: control does not know it".to_owned();
        };
        let runtime = om_control::runtime::Runtime::from_env(layout.repo());
        runtime.command(&RuntimeCall {
            intent: wanted,
            repo: &layout.repo().to_string_lossy(),
            loop_id: &loop_id,
            by,
            note: Some(note),
        })
    }
}

/// A number of seconds, and how somebody typed it, which hooks are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seconds {
    /// The number.
    pub number: u64,
    /// As typed.
    pub text: String,
}

impl From<u64> for Seconds {
    fn from(number: u64) -> Self {
        Self {
            number,
            text: number.to_string(),
        }
    }
}

/// One call of control.
pub(crate) struct Call<'a> {
    pub(crate) stage: &'a ControlStage,
    pub(crate) layout: &'a RepoLayout,
    pub(crate) intent: &'a HandoffIntent,
    pub(crate) dispatch: &'a DispatchRow,
    pub(crate) note: &'a str,
}

impl Call<'_> {
    /// Calls control and waits for its end.
    pub(crate) fn run(&self, clock: &dyn Clock) -> Controlled {
        let intent = self.intent;
        // An id that is no path component reaches no file (decision D4).
        let Ok(loop_id) = LoopId::new(intent.loop_id.clone()) else {
            tracing::warn!(
                loop_id = intent.loop_id,
                "not a loop id, control not called"
            );
            return Controlled::failed();
        };
        if intent.transport == TransportMode::SpriteService && intent.service.base_url.is_none() {
            return Controlled {
                special: Some(Special::MissingServiceBaseUrl),
                ..Controlled::failed()
            };
        }
        match &self.stage.hook {
            Some(hook) => self.by_hook(hook),
            None => self.built_in(loop_id, clock),
        }
    }

    fn by_hook(&self, hook: &Hook) -> Controlled {
        let stage = self.stage;
        let confirming = stage.timeout_seconds.number;
        let confirming = confirming.saturating_add(stage.interval_seconds.number);
        let options = RunOptions {
            streams: Streams::Merged,
            keep: Keep::First,
            time_limit: HOOK_SLACK.checked_add(Duration::from_secs(confirming)),
            ..RunOptions::default()
        };
        let output = hook.run(&self.arguments(), &options);
        let printed = [output.stdout, output.stderr].concat();
        Controlled::by_hook(output.exit_code, &printed, output.timed_out)
    }

    /// The words of §2.6, in its order.
    fn arguments(&self) -> Vec<String> {
        let (intent, dispatch, stage) = (self.intent, self.dispatch, self.stage);
        let repo = self.layout.repo().to_string_lossy();
        let mut words: Vec<String> = [
            ("--repo", &*repo),
            ("--loop", &intent.loop_id),
            ("--intent", &intent.intent),
            ("--transport", intent.transport.as_str()),
            ("--trace-id", dispatch.trace_id.as_str()),
            ("--idempotency-key", &dispatch.idempotency_key),
            ("--by", &dispatch.requested_by),
            ("--note", self.note),
            ("--timeout-seconds", &stage.timeout_seconds.text),
            ("--interval-seconds", &stage.interval_seconds.text),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
        .collect();
        if !stage.confirm {
            words.push("--no-confirm".to_owned());
        }
        if intent.transport == TransportMode::SpriteService {
            let service = &intent.service;
            let base_url = service.base_url.clone().unwrap_or_default();
            words.extend(["--service-base-url".to_owned(), base_url]);
            let retries = service.retry_attempts.to_string();
            words.extend(["--retry-attempts".to_owned(), retries]);
            let backoff = service.retry_backoff_seconds.to_string();
            words.extend(["--retry-backoff-seconds".to_owned(), backoff]);
            if let Some(token) = own_token(intent) {
                words.extend(["--service-token".to_owned(), token]);
            }
        }
        words
    }

    fn built_in(&self, loop_id: LoopId, clock: &dyn Clock) -> Controlled {
        let Some(wanted) = Intent::parse(&self.intent.intent) else {
            tracing::warn!(
                intent = self.intent.intent,
                "not an intent, control not called"
            );
            return Controlled::failed();
        };
        let dispatch = self.dispatch;
        let request = ControlRequest {
            layout: self.layout.clone(),
            loop_id,
            intent: wanted,
            requested_by: dispatch.requested_by.clone(),
            note: Some(self.note.to_owned()),
            trace_id: dispatch.trace_id.clone(),
            idempotency_key: Some(dispatch.idempotency_key.clone()),
            settings: settings(self.stage, self.intent),
        };
        let outcome = match self.intent.transport {
            TransportMode::Local => {
                let local = LocalControl {
                    typed: TypedNumbers {
                        timeout_seconds: Some(self.stage.timeout_seconds.text.clone()),
                        interval_seconds: Some(self.stage.interval_seconds.text.clone()),
                    },
                    ..LocalControl::from_env(self.layout)
                };
                om_control::run(&request, Transport::Local(&local), clock, &mut |_| {})
            }
            TransportMode::SpriteService => {
                let settings = &request.settings;
                let hook = Hook::from_env(service_client::HOOK_VARIABLE);
                let base_url = self.intent.service.base_url.clone().unwrap_or_default();
                let secret = Secret::new(base_url);
                match service::client(secret, token(self.intent), settings, hook) {
                    Ok(client) => {
                        let transport = Transport::Service(&client);
                        om_control::run(&request, transport, clock, &mut |_| {})
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the service cannot be called");
                        return Controlled::failed();
                    }
                }
            }
        };
        recorded(outcome)
    }
}

fn settings(stage: &ControlStage, intent: &HandoffIntent) -> ControlRequestSettings {
    let service = &intent.service;
    ControlRequestSettings {
        do_confirm: stage.confirm,
        timeout_seconds: stage.timeout_seconds.number,
        interval_seconds: stage.interval_seconds.number,
        retry_attempts: whole(&service.retry_attempts).max(1),
        retry_backoff_seconds: whole(&service.retry_backoff_seconds),
        runtime_timeout_seconds: Some(stage.runtime_timeout_seconds),
        force_target: false,
    }
}

/// Control's row is its answer, whatever its diagnostics (decision D28).
fn recorded(outcome: Result<ControlOutcome, ControlError>) -> Controlled {
    let row = match outcome {
        Ok(outcome) => outcome.row,
        Err(ControlError::Unrecorded { row, cause }) => {
            tracing::warn!(%cause, "control's rows could not be written");
            *row
        }
        Err(error) => {
            tracing::warn!(%error, "control did nothing");
            return Controlled::failed();
        }
    };
    Controlled {
        exit_code: i64::from(row.status.exit_code()),
        control: Some(json::to_value(&row)),
        special: None,
    }
}

/// The token of the variable that the loop names, literally (decision D6).
fn own_token(intent: &HandoffIntent) -> Option<String> {
    variable(intent.service.token_env.as_deref()?)
}

/// [`own_token`], else the one for all services.
pub(crate) fn token(intent: &HandoffIntent) -> Option<Secret> {
    own_token(intent)
        .or_else(|| variable(DEFAULT_TOKEN_VARIABLE))
        .map(Secret::new)
}

/// An environment variable that is set and not empty. Names that no variable
/// can have name none.
fn variable(name: &str) -> Option<String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A number without its fraction.
fn whole(number: &Number) -> u64 {
    json::digits(&number.clone().into()).unwrap_or_else(|| {
        let value = number.as_f64().unwrap_or(0.0).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and casts saturate"
        )]
        let whole = value as u64;
        whole
    })
}
