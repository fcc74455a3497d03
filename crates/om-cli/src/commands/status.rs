//! `ops-manager-status` (chapter 03 §3.5), and the page for people.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use om_model::Artifact;
use om_model::drift::SummarySource;
use om_model::envelope::Source;
use om_model::json;
use om_model::status::{StatusFiles, StatusReport, StatusWarning};
use om_reconcile::status::{self, LastRow, StatusDocuments, StatusError, StatusInputs, StatusRows};
use om_reconcile::telemetry::{self, SummaryError, SummaryInputs};
use om_stage::{Hook, RunOptions};
use om_store::{LoopFile, LoopLayout, ReadError, RepoLayout, View, line_number_of};
use serde_json::Value;

use super::telemetry_summary::DEFAULT_WINDOW;
use crate::args::{Target, at_least_one, given};
use crate::command::{CommandLine, Logging, now, output_error, print_document};
use crate::console::status_page;
use crate::console::style::{Look, stdout_is_terminal};
use crate::error::CliError;

/// Arguments of `ops-manager-status`.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    target: Target,
    /// Passes and control actions behind the recommendation [default: 200]
    #[arg(long, value_name = "N")]
    summary_window: Option<String>,
    /// Indent the JSON by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
    #[command(flatten)]
    files: Files,
}

/// Files that may lie elsewhere than under .superloop/ops-manager/<loop>/.
#[derive(Args, Clone, Debug, Default)]
#[allow(clippy::struct_field_names, reason = "named as the flags")]
#[command(next_help_heading = "Files elsewhere than under .superloop/ops-manager/<loop>/")]
struct Files {
    /// Projected state [default: state.json]
    #[arg(long, value_name = "FILE")]
    state_file: Option<String>,
    /// Position in the event log [default: cursor.json]
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<String>,
    /// Health [default: health.json]
    #[arg(long, value_name = "FILE")]
    health_file: Option<String>,
    /// Control intents [default: intents.jsonl]
    #[arg(long, value_name = "FILE")]
    intents_file: Option<String>,
    /// Last heartbeat [default: heartbeat.json]
    #[arg(long, value_name = "FILE")]
    heartbeat_state_file: Option<String>,
    /// Heartbeat rows [default: telemetry/heartbeat.jsonl]
    #[arg(long, value_name = "FILE")]
    heartbeat_telemetry_file: Option<String>,
    /// Order diagnostics [default: sequence-state.json]
    #[arg(long, value_name = "FILE")]
    sequence_state_file: Option<String>,
    /// Order rows [default: telemetry/sequence.jsonl]
    #[arg(long, value_name = "FILE")]
    sequence_telemetry_file: Option<String>,
    /// Control audit rows [default: telemetry/control-invocations.jsonl]
    #[arg(long, value_name = "FILE")]
    control_invocations_file: Option<String>,
    /// Drift state [default: profile-drift.json]
    #[arg(long, value_name = "FILE")]
    drift_state_file: Option<String>,
    /// Drift rows, reported only [default: telemetry/profile-drift.jsonl]
    #[arg(long, value_name = "FILE")]
    drift_history_file: Option<String>,
    /// Alert dispatch state [default: alert-dispatch-state.json]
    #[arg(long, value_name = "FILE")]
    alert_dispatch_state_file: Option<String>,
    /// Alert delivery rows [default: telemetry/alerts.jsonl]
    #[arg(long, value_name = "FILE")]
    alert_dispatch_telemetry_file: Option<String>,
}

impl CommandLine for Status {
    const NAME: &'static str = "ops-manager-status";
    const SUMMARY: &'static str = "Report everything that is known about one loop";
    const ABOUT: &'static str = "Everything that is known about one loop, in one report: \
        lifecycle, health with reasons, control, heartbeat, order, drift, alerts, traces, and \
        where the evidence lies. Reads only.";
    const DETAILS: &'static str = "\
OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT replaces the telemetry summary.

Examples:
  ops-manager-status --repo . --loop nightly --pretty
  ops-manager-status --repo . --loop nightly | jq .health.reasonCodes

Exit codes: 0 reported; 1 nothing is known about the loop, or a document is
broken (error: line on stderr).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        print_document(out, &self.report()?, self.pretty)?;
        Ok(0)
    }
}

/// Arguments of `ops-manager status`: a page on a terminal.
#[derive(Args, Debug)]
pub struct StatusPage {
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    status: Status,
}

impl CommandLine for StatusPage {
    const NAME: &'static str = "ops-manager status";
    const SUMMARY: &'static str = "Report everything that is known about one loop";
    const ABOUT: &'static str = Status::ABOUT;
    const DETAILS: &'static str = "\
On a terminal: a page for people. With --json or --pretty, or into a pipe or
file: the report as JSON.

Examples:
  ops-manager status --repo . --loop nightly
  ops-manager status --repo . --loop nightly --json | jq .health.reasonCodes

Exit codes: 0 reported; 1 nothing is known about the loop, or a document is
broken (error: line on stderr).";

    fn log_filter(&self) -> Option<&str> {
        self.status.log_filter()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        if self.json || self.status.pretty || !stdout_is_terminal() {
            return self.status.run(out);
        }
        let page = status_page::render(&self.status.report()?, Look::stdout());
        out.write_all(page.as_bytes())
            .map_err(|error| output_error(&error))?;
        Ok(0)
    }
}

impl Status {
    fn report(&self) -> Result<StatusReport, CliError> {
        self.target.check_given()?;
        let window = at_least_one(
            "--summary-window",
            self.summary_window.as_ref(),
            DEFAULT_WINDOW,
        )?;
        let (repo, loop_id) = self.target.resolve()?;
        let layout = RepoLayout::new(repo);
        let files = layout.loop_files(&loop_id);
        let gather = Gather {
            source: Source {
                repo_path: layout.repo().display().to_string(),
                loop_id,
            },
            files: self.files.effective(&files),
            pending: files.path(LoopFile::ControlPending),
            window,
            typed_window: self.summary_window.clone(),
        };
        // Files that belong together, even while a pass commits.
        let view = View::open(files.scope_dir())?;
        let inputs = view.consistent(|view| gather.inputs(view))?;
        let mut report = match status::evaluate(&inputs, now()) {
            Err(StatusError::Row { line: None, .. }) => {
                // The message is about a row, so its line is worth a scan.
                status::evaluate(&with_lines(inputs), now())?
            }
            report => report?,
        };
        distinct(&mut report.warnings);
        Ok(report)
    }
}

/// Everything that one report is read from.
struct Gather {
    source: Source,
    files: StatusFiles,
    pending: PathBuf,
    window: u64,
    /// As typed, for the hook.
    typed_window: Option<String>,
}

impl Gather {
    fn inputs(&self, view: &View) -> Result<StatusInputs, CliError> {
        let mut warnings = Vec::new();
        let summary = self.summary(view, &mut warnings)?;
        let files = &self.files;
        let document = |path: &str| view.artifact(Path::new(path));
        let row = |path: &str| last_row(view, path);
        let documents = StatusDocuments {
            state: document(&files.state_file)?,
            cursor: self.cursor(view, &mut warnings)?,
            health: document(&files.health_file)?,
            heartbeat: document(&files.heartbeat_state_file)?,
            sequence: document(&files.sequence_state_file)?,
            drift: document(&files.drift_state_file)?,
            alert_dispatch: document(&files.alert_dispatch_state_file)?,
            control_pending: view.artifact(&self.pending)?,
        };
        let rows = StatusRows {
            intents: row(&files.intents_file)?,
            control: row(&files.control_telemetry_file)?,
            reconcile: row(&files.reconcile_telemetry_file)?,
            heartbeat: row(&files.heartbeat_telemetry_file)?,
            sequence: row(&files.sequence_telemetry_file)?,
            invocation: row(&files.control_invocations_file)?,
            alert: row(&files.alert_dispatch_telemetry_file)?,
        };
        Ok(StatusInputs {
            source: self.source.clone(),
            files: files.clone(),
            control_pending_file: self.pending.display().to_string(),
            documents,
            rows,
            summary_window: self.window,
            summary,
            warnings,
        })
    }

    /// The cursor, which only its owner may read: for anybody else the report
    /// goes without it, and says so.
    fn cursor(
        &self,
        view: &View,
        warnings: &mut Vec<StatusWarning>,
    ) -> Result<Artifact, ReadError> {
        match view.artifact(Path::new(&self.files.cursor_file)) {
            Err(error) if error.source.kind() == ErrorKind::PermissionDenied => {
                warnings.push(StatusWarning {
                    file: self.files.cursor_file.clone(),
                    line: None,
                    message: "permission denied; the state's own position is shown".to_owned(),
                });
                Ok(Artifact::Absent)
            }
            other => other,
        }
    }

    /// The telemetry summary; what spoils it becomes a warning.
    fn summary(
        &self,
        view: &View,
        warnings: &mut Vec<StatusWarning>,
    ) -> Result<Option<Value>, CliError> {
        let path = Path::new(&self.files.reconcile_telemetry_file);
        if !path.is_file() {
            return Ok(None);
        }
        if let Some(hook) = Hook::from_env("OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT") {
            return self.hooked_summary(&hook);
        }
        let rows = usize::try_from(self.window).unwrap_or(usize::MAX);
        let inputs = SummaryInputs {
            source: SummarySource {
                repo_path: self.source.repo_path.clone(),
                loop_id: self.source.loop_id.clone(),
                reconcile_telemetry_file: self.files.reconcile_telemetry_file.clone(),
                control_telemetry_file: self.files.control_telemetry_file.clone(),
                window: self.window,
            },
            reconcile: &view.last_rows(path, rows)?,
            control: &view.last_rows(Path::new(&self.files.control_telemetry_file), rows)?,
        };
        match telemetry::summarize(&inputs, now()) {
            Ok(summary) => Ok(Some(json::to_value(&summary))),
            Err(error) => {
                warnings.push(warning(error));
                Ok(None)
            }
        }
    }

    fn hooked_summary(&self, hook: &Hook) -> Result<Option<Value>, CliError> {
        let window = self
            .typed_window
            .clone()
            .unwrap_or_else(|| self.window.to_string());
        let arguments = [
            "--repo",
            &self.source.repo_path,
            "--loop",
            self.source.loop_id.as_str(),
            "--reconcile-telemetry-file",
            &self.files.reconcile_telemetry_file,
            "--control-telemetry-file",
            &self.files.control_telemetry_file,
            "--window",
            &window,
        ];
        let output = hook.run(&arguments, &RunOptions::default());
        if !output.success() {
            return Ok(None);
        }
        match json::parse(&output.stdout) {
            Ok(summary) => Ok(Some(summary)),
            Err(json::ParseError::Blank) => Err(CliError::new(format!(
                "{} printed nothing",
                hook.variable()
            ))),
            Err(_) => Ok(None),
        }
    }
}

impl Files {
    fn effective(&self, files: &LoopLayout) -> StatusFiles {
        let at = |flag: &Option<String>, default: PathBuf| {
            given(flag.as_ref()).map_or_else(|| default.display().to_string(), str::to_owned)
        };
        StatusFiles {
            state_file: at(&self.state_file, files.path(LoopFile::State)),
            cursor_file: at(&self.cursor_file, files.path(LoopFile::Cursor)),
            health_file: at(&self.health_file, files.path(LoopFile::Health)),
            intents_file: at(&self.intents_file, files.path(LoopFile::Intents)),
            heartbeat_state_file: at(&self.heartbeat_state_file, files.path(LoopFile::Heartbeat)),
            heartbeat_telemetry_file: at(
                &self.heartbeat_telemetry_file,
                files.path(LoopFile::HeartbeatRows),
            ),
            sequence_state_file: at(
                &self.sequence_state_file,
                files.path(LoopFile::SequenceState),
            ),
            sequence_telemetry_file: at(
                &self.sequence_telemetry_file,
                files.path(LoopFile::SequenceRows),
            ),
            control_invocations_file: at(
                &self.control_invocations_file,
                files.path(LoopFile::ControlInvocations),
            ),
            drift_state_file: at(&self.drift_state_file, files.path(LoopFile::ProfileDrift)),
            drift_history_file: at(
                &self.drift_history_file,
                files.path(LoopFile::ProfileDriftRows),
            ),
            alert_dispatch_state_file: at(
                &self.alert_dispatch_state_file,
                files.path(LoopFile::AlertDispatchState),
            ),
            alert_dispatch_telemetry_file: at(
                &self.alert_dispatch_telemetry_file,
                files.path(LoopFile::AlertRows),
            ),
            reconcile_telemetry_file: files.path(LoopFile::ReconcileRows).display().to_string(),
            control_telemetry_file: files.path(LoopFile::ControlRows).display().to_string(),
        }
    }
}

/// The same inputs with the line number of every last row.
fn with_lines(mut inputs: StatusInputs) -> StatusInputs {
    let (files, rows) = (&inputs.files, &mut inputs.rows);
    for (path, row) in [
        (&files.intents_file, &mut rows.intents),
        (&files.control_telemetry_file, &mut rows.control),
        (&files.reconcile_telemetry_file, &mut rows.reconcile),
        (&files.heartbeat_telemetry_file, &mut rows.heartbeat),
        (&files.sequence_telemetry_file, &mut rows.sequence),
        (&files.control_invocations_file, &mut rows.invocation),
        (&files.alert_dispatch_telemetry_file, &mut rows.alert),
    ] {
        if let Some(last) = row {
            last.line = line_number_of(Path::new(path), last.row.offset).ok();
        }
    }
    inputs
}

/// One warning per place: a broken last row also spoils the summary.
fn distinct(warnings: &mut Vec<StatusWarning>) {
    let mut seen = Vec::new();
    warnings.retain(|warning| {
        let place = (warning.file.clone(), warning.line);
        let new = !seen.contains(&place);
        seen.push(place);
        new
    });
}

/// The last row of a journal; its line number only if a message needs it.
fn last_row(view: &View, path: &str) -> Result<Option<LastRow>, ReadError> {
    let path = Path::new(path);
    let Some(row) = view.last_row(path)? else {
        return Ok(None);
    };
    let mut last = LastRow::new(row);
    if last.needs_line() {
        last.line = line_number_of(path, last.row.offset).ok();
    }
    Ok(Some(last))
}

/// A broken row in the summary's window, by file and line (decision D9).
fn warning(error: SummaryError) -> StatusWarning {
    let SummaryError::BadRow {
        file,
        offset,
        message,
        ..
    } = error;
    StatusWarning {
        line: line_number_of(Path::new(&file), offset).ok(),
        message: format!("{message}; no telemetry summary while it is in the window"),
        file,
    }
}
