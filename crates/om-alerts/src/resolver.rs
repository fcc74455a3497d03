//! Which sinks an escalation goes to: the built-in resolver, or a hook.

use std::ffi::OsStr;

use om_model::alerts::{AlertReason, Severity};
use om_model::json::{self, is_true, present};
use om_stage::{Hook, RunOptions, Streams};
use serde_json::Value;

use crate::config::{ConfigError, SinkConfig};
use crate::environment::Environment;
use crate::escalation::Escalation;
use crate::sink::Sink;
use crate::text::{excerpt, trimmed};

/// What decides where an escalation goes.
#[derive(Clone, Debug)]
pub enum Resolver {
    /// This configuration, read once per run. Secrets are not checked here:
    /// a missing one fails its sink only (decision D31).
    BuiltIn(Box<SinkConfig>),
    /// The configuration cannot be used; carries what the resolver would
    /// print. Every row fails to be routed and is tried again later.
    Broken(String),
    /// `OPS_MANAGER_ALERT_SINK_CONFIG_SCRIPT`, started once per row.
    Hook {
        /// The executable.
        hook: Hook,
        /// Passed on as `--config-file`, if the user named one.
        config_file: Option<String>,
    },
}

impl From<Result<SinkConfig, ConfigError>> for Resolver {
    fn from(config: Result<SinkConfig, ConfigError>) -> Self {
        match config {
            Ok(config) => Self::BuiltIn(Box::new(config)),
            Err(error) => Self::Broken(said(&error)),
        }
    }
}

/// Where one escalation goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Routing {
    /// The resolver failed, or its answer cannot be used.
    Failed {
        /// Which of the two.
        reason: AlertReason,
        /// What it said.
        message: Option<String>,
    },
    /// It answered.
    Answered(Answer),
}

/// A resolver's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The whole of it.
    pub route: Value,
    /// How bad the alert is.
    pub severity: Severity,
    /// Why nothing is sent, if nothing is.
    pub skipped: Option<AlertReason>,
    /// What is sent to; empty if skipped.
    pub sinks: Vec<Sink>,
}

impl Resolver {
    /// Asks where `escalation` goes.
    pub fn resolve(&self, escalation: &Escalation, environment: &Environment) -> Routing {
        match self {
            Self::BuiltIn(config) => built_in(config, escalation, environment),
            Self::Broken(message) => failed(message),
            Self::Hook { hook, config_file } => by_hook(hook, config_file.as_deref(), escalation),
        }
    }

    /// The sink `id` for a delivery that failed before: it counts whether it
    /// is still there and enabled, not whether the category is still routed
    /// to it. Nobody but the answer knows a hook's sinks.
    pub fn sink(&self, id: &str, answer: &Answer) -> Option<Sink> {
        let routed = answer.sinks.iter().find(|sink| sink.id == id);
        if let (None, Self::BuiltIn(config)) = (routed, self) {
            let sink = config.sink(id).filter(|sink| sink.enabled)?;
            return Some(Sink::read(&json::to_value(sink)));
        }
        routed.cloned()
    }
}

fn built_in(config: &SinkConfig, escalation: &Escalation, environment: &Environment) -> Routing {
    let severity = match escalation.severity.as_str() {
        "" => None,
        text => match Severity::parse(text) {
            None => return failed(&said(&ConfigError::Severity)),
            some => some,
        },
    };
    let document = config.route(&escalation.category, severity, environment, false);
    read_answer(json::to_value(&document), "")
}

/// What the resolver command prints when it fails.
fn said(error: &ConfigError) -> String {
    format!("error: {error}")
}

fn failed(message: &str) -> Routing {
    Routing::Failed {
        reason: AlertReason::RouteResolutionFailed,
        message: excerpt(message),
    }
}

fn by_hook(hook: &Hook, config_file: Option<&str>, escalation: &Escalation) -> Routing {
    let mut arguments: Vec<&str> = Vec::new();
    if let Some(file) = config_file {
        arguments.extend(["--config-file", file]);
    }
    // An argument cannot carry a NUL; the text form has none.
    arguments.extend(["--category", escalation.category.as_str()]);
    if !escalation.severity.is_empty() {
        arguments.extend(["--severity", escalation.severity.as_str()]);
    }
    let merged = RunOptions {
        streams: Streams::Merged,
        ..RunOptions::default()
    };
    let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
    let output = hook.run(&arguments, &merged);
    let success = output.success();
    let bytes = [output.stdout, output.stderr].concat();
    let text = json::decode(&bytes);
    if !success {
        return failed(&text);
    }
    match json::parse(&bytes) {
        Ok(answer) => read_answer(answer, &text),
        Err(_) => invalid(&text),
    }
}

fn invalid(text: &str) -> Routing {
    Routing::Failed {
        reason: AlertReason::InvalidRouteResolution,
        message: Some(trimmed(text)),
    }
}

/// Reads what is used of an answer; `text` is the answer as it was printed.
fn read_answer(route: Value, text: &str) -> Routing {
    let sinks = match present(route.get("dispatchableSinks")) {
        _ if !route.is_object() => return invalid(text),
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().map(Sink::read).collect(),
        Some(_) => return invalid(text),
    };
    let severity = route.get("eventSeverity").and_then(Value::as_str);
    let skipped = if !is_true(route.get("shouldDispatch")) {
        Some(AlertReason::SeverityBelowMin)
    } else if sinks.is_empty() {
        Some(AlertReason::NoDispatchableSinks)
    } else {
        None
    };
    Routing::Answered(Answer {
        severity: severity
            .and_then(Severity::parse)
            .unwrap_or(Severity::Warning),
        sinks: if skipped.is_some() { Vec::new() } else { sinks },
        skipped,
        route,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_used_of_an_answer() {
        let sinks = json!([{"id": "a"}]);
        for (answer, skipped) in [
            (json!({}), Some(AlertReason::SeverityBelowMin)),
            (
                json!({"shouldDispatch": false, "dispatchableSinks": sinks}),
                Some(AlertReason::SeverityBelowMin),
            ),
            (
                json!({"shouldDispatch": true}),
                Some(AlertReason::NoDispatchableSinks),
            ),
            (
                json!({"shouldDispatch": "true", "dispatchableSinks": []}),
                Some(AlertReason::NoDispatchableSinks),
            ),
            (
                json!({"shouldDispatch": "true", "dispatchableSinks": sinks}),
                None,
            ),
        ] {
            let Routing::Answered(read) = read_answer(answer.clone(), "") else {
                panic!("{answer} is an answer")
            };
            assert_eq!(read.skipped, skipped, "{answer}");
            assert_eq!(read.sinks.is_empty(), skipped.is_some(), "{answer}");
            assert_eq!(read.route, answer);
        }
    }

    #[test]
    fn an_unknown_severity_is_a_warning() {
        for (severity, read) in [
            (json!("critical"), Severity::Critical),
            (json!("high"), Severity::Warning),
            (json!(null), Severity::Warning),
            (json!(1), Severity::Warning),
        ] {
            let Routing::Answered(answer) = read_answer(json!({"eventSeverity": severity}), "")
            else {
                panic!("it is an answer")
            };
            assert_eq!(answer.severity, read, "{severity}");
        }
    }

    #[test]
    fn an_answer_of_another_type_cannot_be_used() {
        for answer in [
            json!(null),
            json!([]),
            json!("x"),
            json!({"shouldDispatch": true, "dispatchableSinks": "x"}),
            json!({"shouldDispatch": true, "dispatchableSinks": {"a": {}}}),
        ] {
            let expected = Routing::Failed {
                reason: AlertReason::InvalidRouteResolution,
                message: Some("as\nprinted".to_owned()),
            };
            assert_eq!(
                read_answer(answer.clone(), "as\nprinted\n"),
                expected,
                "{answer}"
            );
        }
    }
}
