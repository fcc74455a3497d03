//! `ops-manager alerts`: alerts, for people.

use std::io::Write;

use clap::{Args, Subcommand};
use om_alerts::{Alert, ConfigError, Courier, Environment, Sink, SinkConfig};
use om_model::alerts::sinks::RoutedSink;
use om_model::alerts::{AlertReason, Severity, SinkResult, SinkStatus};
use om_model::json;
use serde_json::json;

use crate::args::{given, required, resolve_repo, trace_id};
use crate::command::{CommandLine, Logging, block_on, now, output_error};
use crate::config::Config;
use crate::console::style::printable;
use crate::error::CliError;

/// What a test notification calls itself, wherever it shows up.
const TEST_CATEGORY: &str = "test_notification (nothing is wrong)";

/// Arguments of `ops-manager alerts`.
#[derive(Args, Debug)]
pub struct Alerts {
    #[command(subcommand)]
    action: Action,
}

/// What can be done about alerts.
#[derive(Subcommand, Debug)]
enum Action {
    /// Send a test notification to one sink and show its answer
    Test(Test),
}

/// Arguments of `ops-manager alerts test`.
#[derive(Args, Debug)]
struct Test {
    /// Sink to send to; it need not be enabled [required]
    #[arg(long, value_name = "ID")]
    sink: Option<String>,
    /// Repository whose config/ is looked at [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Sink configuration [default: $OPS_MANAGER_ALERT_SINKS_FILE, else
    /// <repo>/config/ops-manager-alert-sinks.v1.json, else built in]
    #[arg(long, value_name = "FILE")]
    config_file: Option<String>,
    /// Severity to send: info, warning or critical [default: info]
    #[arg(long, value_name = "LEVEL")]
    severity: Option<String>,
    /// Sent along [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for Alerts {
    const NAME: &'static str = "ops-manager-alerts";
    const SUMMARY: &'static str = "Try out the alert sinks";
    const ABOUT: &'static str = "Try out the alert sinks: send a clearly marked test notification \
        and show what the sink answers. Nothing is recorded.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager alerts test --sink slack-default
  ops-manager alerts test --sink pagerduty-default --severity critical

Exit codes: 0 the sink accepted it; 1 it did not, or a flag or file is invalid.";

    fn log_filter(&self) -> Option<&str> {
        let Action::Test(test) = &self.action;
        test.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let Action::Test(test) = &self.action;
        test.run(out)
    }
}

impl Test {
    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let id = required("--sink", self.sink.as_ref())?;
        let severity = match self.severity.as_deref() {
            None => Severity::Info,
            Some(text) => Severity::parse(text).ok_or(ConfigError::Severity)?,
        };
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let config = Config::alert_sinks(given(self.config_file.as_ref()), Some(&repo))?;
        let sinks = SinkConfig::read(&config.artifact, &config.label)?;
        let routed = sinks
            .sink(id)
            .ok_or_else(|| no_such_sink(id, &sinks, &config.label))?;
        let alert = self.alert(severity, repo.display().to_string());
        let sink = Sink::read(&json::to_value(routed));
        let courier = Courier::new(Environment::Process);
        let results = block_on(courier.deliver(std::slice::from_ref(&sink), &alert, now()))?;
        let Some(result) = results.first() else {
            return Err(CliError::new(format!("nothing was sent to {id}")));
        };
        match result.status {
            SinkStatus::Success => {
                let text = accepted(routed, result, &alert.trace_id, &config.label);
                out.write_all(text.as_bytes())
                    .map_err(|error| output_error(&error))?;
                Ok(0)
            }
            SinkStatus::Failed => Err(CliError::new(refused(routed, result))),
        }
    }

    fn alert(&self, severity: Severity, repo_path: String) -> Alert {
        let (now, trace_id) = (now(), trace_id(self.trace_id.as_ref()).to_string());
        let loop_id = "test".to_owned();
        Alert {
            repo_path,
            category: TEST_CATEGORY.to_owned(),
            severity,
            timestamp: now.to_string(),
            escalation: json!({
                "timestamp": now,
                "loopId": loop_id,
                "traceId": trace_id,
                "category": TEST_CATEGORY,
                "test": true,
                "message": "A test by an operator. No loop needs attention.",
            }),
            loop_id,
            trace_id,
        }
    }
}

fn no_such_sink(id: &str, sinks: &SinkConfig, file: &str) -> CliError {
    let ids: Vec<&str> = sinks.sinks().iter().map(|sink| sink.id.as_str()).collect();
    CliError::new(format!(
        "there is no sink {id:?} in {file}; it has: {}",
        ids.join(", ")
    ))
}

fn accepted(sink: &RoutedSink, result: &SinkResult, trace_id: &str, file: &str) -> String {
    let note = if sink.enabled {
        String::new()
    } else {
        format!("It is disabled: no alert is sent there until \"enabled\" is true in {file}.\n")
    };
    format!(
        "{} ({}) accepted the test notification.\n  Answer: {}\n  Trace:  {trace_id}\n{note}",
        sink.id,
        sink.kind.as_str(),
        answer(result),
    )
}

/// What came back, on one line.
fn answer(result: &SinkResult) -> String {
    let status = result
        .http_status
        .map_or("no answer".to_owned(), |status| format!("HTTP {status}"));
    match &result.message {
        // Whoever answered does not get to drive the terminal.
        Some(message) => format!("{status}: {}", printable(message)),
        None => format!("{status}, without a text"),
    }
}

fn refused(sink: &RoutedSink, result: &SinkResult) -> String {
    let unset = sink.secret_refs.names().into_iter();
    let unset = unset.filter(|name| !Environment::Process.presence(name).present);
    let unset: Vec<&str> = unset.collect();
    let advice = match &result.reason_code {
        Some(AlertReason::MissingSecret) => format!("set {}", unset.join(" and ")),
        Some(AlertReason::HttpError) => {
            let names = sink.secret_refs.names().join(" and ");
            format!("check what {names} holds, or ask whoever runs the endpoint")
        }
        _ => "check that the endpoint can be reached from here".to_owned(),
    };
    let reason = result.reason_code.as_ref().map_or("", AlertReason::as_str);
    format!(
        "{} ({}) did not accept the test notification: {reason}: {}; {advice}",
        sink.id,
        sink.kind.as_str(),
        answer(result)
    )
}

#[cfg(test)]
mod tests {
    use om_model::alerts::sinks::SinkType;

    use super::*;

    #[test]
    fn an_answer_cannot_drive_the_terminal() {
        let result = SinkResult {
            id: "a".to_owned(),
            kind: json::text(&json::to_value(&SinkType::Webhook)),
            status: SinkStatus::Success,
            http_status: Some(200),
            reason_code: None,
            message: Some("ok\u{1b}[31mred \u{7}bell".to_owned()),
        };
        assert_eq!(answer(&result), "HTTP 200: ok\\u{1b}[31mred \\u{7}bell");
    }
}
