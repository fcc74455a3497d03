//! `ops-manager-health` (chapter 02 §3).

use std::io::Write;
use std::path::Path;

use clap::Args;
use om_model::health::{IngestStatus, TransportMode};
use om_model::{Artifact, Timestamp, TraceId};
use om_reconcile::health::{self, HealthInputs, HeartbeatFreshness};
use om_reconcile::thresholds::{self, ThresholdBase};
use om_store::{last_row, read_artifact};

use crate::args::given;
use crate::command::{CommandLine, Logging, now, print_document};
use crate::error::CliError;
use crate::thresholds::ThresholdFlags;

/// Arguments of `ops-manager-health`.
#[derive(Args, Debug)]
pub struct Health {
    /// Projected state; like every file here ignored if it is not there
    #[arg(long, value_name = "FILE")]
    state_file: Option<String>,
    /// Last heartbeat
    #[arg(long, value_name = "FILE")]
    heartbeat_state_file: Option<String>,
    /// Order diagnostics
    #[arg(long, value_name = "FILE")]
    sequence_state_file: Option<String>,
    /// Transport health
    #[arg(long, value_name = "FILE")]
    transport_health_file: Option<String>,
    /// Control intents; the last row counts
    #[arg(long, value_name = "FILE")]
    intents_file: Option<String>,
    /// Trace id to record [default: none]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// How the loop was observed: local or sprite_service [default: local]
    #[arg(long, value_name = "MODE")]
    transport: Option<String>,
    /// Label of the thresholds, not checked
    #[arg(long, value_name = "NAME")]
    threshold_profile: Option<String>,
    /// Outcome of the pass: success or failed [default: success]
    #[arg(long, value_name = "STATUS")]
    ingest_status: Option<String>,
    /// Why the pass failed
    #[arg(long, value_name = "CODE")]
    failure_code: Option<String>,
    #[command(flatten)]
    thresholds: ThresholdFlags,
    /// Evaluate as of this UTC time, YYYY-MM-DDTHH:MM:SSZ [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for Health {
    const NAME: &'static str = "ops-manager-health";
    const SUMMARY: &'static str = "Evaluate a loop's health from its artifacts";
    const ABOUT: &'static str = "Evaluate a loop's health from its artifacts: healthy, degraded \
        or critical, with a reason code for every finding. Writes nothing.";
    const DETAILS: &'static str = "\
Default thresholds: events 300/900 s, heartbeat 120/300 s, failed passes 2/4
(degraded/critical). A threshold is reached at its value.

Examples:
  ops-manager-health --state-file .superloop/ops-manager/nightly/state.json --pretty

Exit codes: 0 evaluated, whatever the status; 1 a flag or file is invalid.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let transport = parsed(
            self.transport.as_ref(),
            TransportMode::parse,
            || "--transport must be local or sprite_service",
        )?;
        let ingest_status = parsed(
            self.ingest_status.as_ref(),
            IngestStatus::parse,
            || "--ingest-status must be success or failed",
        )?;
        let base = ThresholdBase::health_defaults(given(self.threshold_profile.as_ref()));
        let thresholds = thresholds::effective(&base, &self.thresholds.overrides())?;
        let (at, updated_at) = self.moment()?;
        let read = |path: Option<&String>| match given(path) {
            Some(path) => read_artifact(Path::new(path)),
            None => Ok(Artifact::Absent),
        };
        let last_intent = match given(self.intents_file.as_ref()) {
            Some(path) => last_row(Path::new(path))?,
            None => None,
        };
        let document = health::evaluate(&HealthInputs {
            state: &read(self.state_file.as_ref())?,
            state_file: given(self.state_file.as_ref()).unwrap_or_default(),
            heartbeat: &read(self.heartbeat_state_file.as_ref())?,
            heartbeat_file: given(self.heartbeat_state_file.as_ref()).unwrap_or_default(),
            sequence: &read(self.sequence_state_file.as_ref())?,
            sequence_file: given(self.sequence_state_file.as_ref()).unwrap_or_default(),
            transport_health: &read(self.transport_health_file.as_ref())?,
            transport_health_file: given(self.transport_health_file.as_ref()).unwrap_or_default(),
            last_intent: last_intent.as_ref().map(|row| row.bytes.as_slice()),
            trace_id: given(self.trace_id.as_ref()).and_then(TraceId::new),
            transport,
            thresholds,
            ingest_status,
            failure_code: given(self.failure_code.as_ref()).map(str::to_owned),
            heartbeat_observed: HeartbeatFreshness::AsStored,
            updated_at,
            now: at,
        })?;
        print_document(out, &document, self.pretty)?;
        Ok(0)
    }
}

impl Health {
    /// The moment of the evaluation, and how it is recorded.
    fn moment(&self) -> Result<(Timestamp, String), CliError> {
        let Some(text) = given(self.now.as_ref()) else {
            let at = now();
            return Ok((at, at.to_string()));
        };
        let at = Timestamp::parse(text);
        let at = at.ok_or_else(|| CliError::new("--now must be an ISO-8601 UTC timestamp"))?;
        Ok((at, text.to_owned()))
    }
}

/// An enumerated flag; absent is the default, anything else must be a value.
pub(crate) fn parsed<T: Default>(
    value: Option<&String>,
    parse: fn(&str) -> Option<T>,
    message: impl FnOnce() -> &'static str,
) -> Result<T, CliError> {
    match value {
        None => Ok(T::default()),
        Some(text) => parse(text).ok_or_else(|| CliError::new(message())),
    }
}
