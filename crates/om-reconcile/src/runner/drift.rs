//! Step 11 built in: summarise the telemetry, evaluate drift.

use om_model::drift::SummarySource;
use om_model::json;
use om_store::{ReadError, Row, Scope, last_rows, read_fold};
use serde_json::Value;

use crate::pass::{PassContext, PassInputs, Recorded};
use crate::telemetry::{self, RecentPasses, SummaryInputs};

/// Summarises the window that ends with this pass's own row, which is not on
/// disk yet. A window that cannot be read is no summary.
pub(super) fn summarize(
    inputs: &PassInputs,
    recorded: &Recorded,
    context: &PassContext,
    scope: &Scope,
) -> Result<Option<Value>, ReadError> {
    let paths = &inputs.paths;
    let window = inputs.settings.drift_summary_window;
    let rows = usize::try_from(window).unwrap_or(usize::MAX);
    let control = last_rows(&paths.control_rows, rows)?;
    let source = SummarySource {
        repo_path: inputs.source.repo_path.clone(),
        loop_id: inputs.source.loop_id.clone(),
        reconcile_telemetry_file: paths.reconcile_rows.display().to_string(),
        control_telemetry_file: paths.control_rows.display().to_string(),
        window,
    };
    let mut own = Row {
        bytes: json::compact(&recorded.row).into_bytes(),
        offset: 0,
    };
    let summary = if rows <= RecentPasses::CAPACITY {
        let recent = read_fold::<RecentPasses>(&paths.reconcile_rows, scope)?;
        telemetry::summarize_recent(source, &recent, &own, &control, context.now)
    } else {
        let mut reconcile = last_rows(&paths.reconcile_rows, rows - 1)?;
        if let Some(last) = reconcile.last() {
            own.offset = last.offset + last.bytes.len() as u64 + 1;
        }
        reconcile.push(own);
        let inputs = SummaryInputs {
            source,
            reconcile: &reconcile,
            control: &control,
        };
        telemetry::summarize(&inputs, context.now)
    };
    match summary {
        Ok(summary) => Ok(Some(telemetry::to_value(&summary))),
        Err(error) => {
            tracing::warn!(%error, "no telemetry summary in this pass");
            Ok(None)
        }
    }
}
