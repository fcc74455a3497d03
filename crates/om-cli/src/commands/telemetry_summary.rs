//! `ops-manager-telemetry-summary` (chapter 02 §5).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use om_model::drift::SummarySource;
use om_reconcile::telemetry::{self, SummaryError, SummaryInputs};
use om_store::{LoopFile, RepoLayout, last_rows, line_number_of};

use crate::args::{Target, at_least_one, given};
use crate::command::{CommandLine, Logging, now, print_document};
use crate::error::CliError;

/// Lines that are looked at unless told otherwise.
pub(crate) const DEFAULT_WINDOW: u64 = 200;

/// Arguments of `ops-manager-telemetry-summary`.
#[derive(Args, Debug)]
pub struct TelemetrySummary {
    #[command(flatten)]
    target: Target,
    /// Reconcile rows
    /// [default: <repo>/.superloop/ops-manager/<loop>/telemetry/reconcile.jsonl]
    #[arg(long, value_name = "FILE")]
    reconcile_telemetry_file: Option<String>,
    /// Control rows, optional [default: control.jsonl beside it]
    #[arg(long, value_name = "FILE")]
    control_telemetry_file: Option<String>,
    /// Lines to look at, counted from the end, blank ones included [default: 200]
    #[arg(long, value_name = "N")]
    window: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for TelemetrySummary {
    const NAME: &'static str = "ops-manager-telemetry-summary";
    const SUMMARY: &'static str = "Summarise telemetry and recommend a threshold profile";
    const ABOUT: &'static str = "Summarise the latest passes and control actions of a loop, and \
        recommend a threshold profile. Reads only.";
    const DETAILS: &'static str = "\
Confidence: low below 30 passes, medium from 30, high from 100.

Examples:
  ops-manager-telemetry-summary --repo . --loop nightly --pretty
  ops-manager-telemetry-summary --repo . --loop nightly --window 50

Exit codes: 0 summarised; 1 no telemetry, or a broken row in the window.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let window = at_least_one("--window", self.window.as_ref(), DEFAULT_WINDOW)?;
        let (repo, loop_id) = self.target.resolve()?;
        let layout = RepoLayout::new(repo);
        let files = layout.loop_files(&loop_id);
        let path =
            |flag: Option<&String>, default: PathBuf| given(flag).map_or(default, PathBuf::from);
        let reconcile = path(
            self.reconcile_telemetry_file.as_ref(),
            files.path(LoopFile::ReconcileRows),
        );
        let control = path(
            self.control_telemetry_file.as_ref(),
            files.path(LoopFile::ControlRows),
        );
        if !reconcile.is_file() {
            let message = format!(
                "reconcile telemetry file not found: {}",
                reconcile.display()
            );
            return Err(CliError::new(message));
        }
        let rows = usize::try_from(window).unwrap_or(usize::MAX);
        let inputs = SummaryInputs {
            source: SummarySource {
                repo_path: layout.repo().display().to_string(),
                loop_id,
                reconcile_telemetry_file: reconcile.display().to_string(),
                control_telemetry_file: control.display().to_string(),
                window,
            },
            reconcile: &last_rows(&reconcile, rows)?,
            control: &last_rows(&control, rows)?,
        };
        let summary = telemetry::summarize(&inputs, now()).map_err(locate)?;
        print_document(out, &summary, self.pretty)?;
        Ok(0)
    }
}

/// Names the line of a broken row instead of its byte offset.
pub(crate) fn locate(error: SummaryError) -> CliError {
    let SummaryError::BadRow { file, offset, .. } = &error;
    match line_number_of(Path::new(file), *offset) {
        Ok(line) => CliError::from(error.with_line(line)),
        Err(_) => CliError::from(error),
    }
}
