//! Step 11 built in: summarise the telemetry, evaluate drift.

use om_model::drift::SummarySource;
use om_model::json;
use om_store::{ReadError, Row, last_rows};
use serde_json::Value;

use crate::pass::{PassContext, PassInputs, Recorded};
use crate::telemetry::{self, SummaryInputs};

/// Summarises the window that ends with this pass's own row, which is not on
/// disk yet. A window that cannot be read is no summary.
pub(super) fn summarize(
    inputs: &PassInputs,
    recorded: &Recorded,
    context: &PassContext,
) -> Result<Option<Value>, ReadError> {
    let window = inputs.settings.drift_summary_window;
    let rows = usize::try_from(window).unwrap_or(usize::MAX);
    let mut reconcile = last_rows(&inputs.paths.reconcile_rows, rows - 1)?;
    let offset = reconcile
        .last()
        .map_or(0, |row| row.offset + row.bytes.len() as u64 + 1);
    reconcile.push(Row {
        bytes: json::compact(&recorded.row).into_bytes(),
        offset,
    });
    let control = last_rows(&inputs.paths.control_rows, rows)?;
    let summary = telemetry::summarize(
        &SummaryInputs {
            source: SummarySource {
                repo_path: inputs.source.repo_path.clone(),
                loop_id: inputs.source.loop_id.clone(),
                reconcile_telemetry_file: inputs.paths.reconcile_rows.display().to_string(),
                control_telemetry_file: inputs.paths.control_rows.display().to_string(),
                window,
            },
            reconcile: &reconcile,
            control: &control,
        },
        context.now,
    );
    match summary {
        Ok(summary) => Ok(Some(telemetry::to_value(&summary))),
        Err(error) => {
            tracing::warn!(%error, "no telemetry summary in this pass");
            Ok(None)
        }
    }
}
