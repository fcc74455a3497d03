//! The Markdown summary of an orchestration (chapter 07 §4.5).

use om_model::promotion::orchestrate::OrchestrateDocument;

use crate::check::listed;

/// The summary for people.
pub(super) fn markdown(document: &OrchestrateDocument) -> String {
    let apply = &document.apply;
    let intent = if apply.executed {
        format!(
            "Apply intent: `{}`\n\n",
            apply.intent.as_deref().unwrap_or_default()
        )
    } else {
        String::new()
    };
    format!(
        "## Ops Manager Promotion Orchestration\n\
         \n\
         Mode: `{}`\n\
         \n\
         Status: `{}`\n\
         \n\
         Promotion decision: `{}`\n\
         \n\
         Failed gates: {}\n\
         \n\
         Reason codes: {}\n\
         \n\
         {intent}\
         Result JSON: `{}`\n\
         \n\
         Promotion CI result: `{}`\n",
        document.mode.as_str(),
        document.status.as_str(),
        document.decision,
        listed(&document.summary.failed_gates),
        listed(&document.summary.reason_codes),
        document.files.result_file,
        document.files.promotion_ci_result_file,
    )
}
