//! Intents as a person sees them: those that wait, those about to be executed,
//! and what came of them.

use om_handoff::Order;
use om_model::LoopId;
use om_model::fleet::handoff::{
    Execution, HandoffIntent, HandoffState, IntentStatus, OutcomeReason, OutcomeStatus, ResultRow,
};
use om_store::{FleetFile, LoopFile, RepoLayout};

use super::paint::{Paint, meanings, tone_of};
use crate::console::status_page::quoted;
use crate::console::style::{Look, Tone, printable};

/// An intent that is about to be executed.
#[derive(Clone, Debug)]
pub struct Target {
    /// The intent.
    pub intent: HandoffIntent,
    /// The command line, request or hook.
    pub runs: String,
    /// Makes a repetition recognisable.
    pub idempotency_key: String,
}

/// The plan: what waits, who may act on it, and the command for it.
pub fn table(plan: &HandoffState, repo: &str, look: Look) -> String {
    let mut paint = Paint::new(look);
    let summary = &plan.summary;
    paint.line(&format!(
        "{} {}: {} pending ({} for a person only), {} executed, {} ambiguous, {} failed",
        look.paint(Tone::Strong, &printable(&plan.fleet_id)),
        plan.mode.as_str(),
        summary.pending_confirmation_count,
        summary.pending_manual_only_count,
        summary.executed_count,
        summary.ambiguous_count,
        summary.failed_count,
    ));
    if plan.intents.is_empty() {
        paint.line("Nothing is to be done.");
    }
    for intent in &plan.intents {
        row(&mut paint, intent, repo);
    }
    paint.out
}

fn row(paint: &mut Paint, intent: &HandoffIntent, repo: &str) {
    paint.line("");
    let tone = tone_of(intent.severity.as_deref().unwrap_or_default());
    let mark = paint.look.mark(tone);
    let title = format!("{mark} {}", printable(&intent.intent_id));
    let title = paint.look.paint(tone, &title);
    paint.line(&title);
    paint.wrapped(2, Tone::Good, &why(intent));
    match intent.status {
        IntentStatus::PendingOperatorConfirmation if intent.autonomous.eligible => {
            paint.wrapped(
                2,
                Tone::Good,
                "eligible: the next fleet run does it by itself",
            );
        }
        IntentStatus::PendingOperatorConfirmation => {
            let reasons = intent.autonomous.reasons.iter().map(String::as_str);
            let text = format!("not by itself: {}", printable(&meanings(reasons)));
            paint.wrapped(2, Tone::Faint, &text);
        }
        done => {
            paint.wrapped(2, Tone::Faint, done.as_str());
            return;
        }
    }
    paint.line(&format!(
        "  ops-manager fleet handoff approve {} --repo {}",
        quoted(&printable(&intent.intent_id)),
        quoted(repo)
    ));
}

fn why(intent: &HandoffIntent) -> String {
    let text = |text: &Option<String>| printable(text.as_deref().unwrap_or("unknown"));
    format!(
        "{} ({}, {} confidence), via {}",
        text(&intent.rationale),
        text(&intent.severity),
        text(&intent.confidence),
        intent.transport.as_str(),
    )
}

/// What is about to happen.
pub fn announcement(targets: &[Target], order: &Order, look: Look) -> String {
    let mut paint = Paint::new(look);
    for target in targets {
        let intent = &target.intent;
        let title = format!(
            "{}: {}",
            printable(&intent.loop_id),
            printable(&intent.intent)
        );
        let title = look.paint(Tone::Strong, &title);
        paint.line(&title);
        paint.block("intent", &[(Tone::Good, printable(&intent.intent_id))]);
        paint.block("because", &[(Tone::Good, why(intent))]);
        let reasons = intent.autonomous.reasons.iter().map(String::as_str);
        let reasons = printable(&meanings(reasons));
        if !reasons.is_empty() {
            paint.block("but", &[(Tone::Warning, reasons)]);
        }
        let mut exact = |label: &str, text: &str| {
            let label = look.paint(Tone::Faint, &format!("{label:<12}"));
            paint.line(&format!("{label}{}", printable(text)));
        };
        exact("runs", &target.runs);
        exact("key", &target.idempotency_key);
        exact("asked by", &order.requested_by);
        if let Some(note) = &order.note {
            exact("note", note);
        }
        paint.line("");
    }
    paint.out
}

/// A sentence per intent, and the evidence.
pub fn conclusion(execution: &Execution, layout: &RepoLayout, look: Look) -> String {
    let mut paint = Paint::new(look);
    for result in &execution.results {
        let (tone, sentence) = sentence(result);
        let text = format!("{} {}", look.mark(tone), printable(&sentence));
        paint.wrapped(0, tone, &text);
        paint.line(&format!("    {}", evidence(result, layout)));
    }
    for id in &execution.not_attempted {
        let text = format!("{} was not attempted: asked to end", printable(id));
        paint.wrapped(0, Tone::Warning, &text);
    }
    paint.heading("Evidence");
    let journal = layout.fleet_files().path(FleetFile::HandoffDispatch);
    paint.line(&format!(
        "  dispatches  {}",
        quoted(&journal.display().to_string())
    ));
    paint.line(&format!("  run         {}", execution.handoff_id));
    paint.out
}

fn sentence(result: &ResultRow) -> (Tone, String) {
    let what = format!("{} of loop {}", result.intent, result.loop_id);
    match result.status {
        OutcomeStatus::Executed if is_confirmed(result) => (
            Tone::Good,
            format!("{what}: executed, and its effect is there"),
        ),
        OutcomeStatus::Executed => (Tone::Good, format!("{what}: executed")),
        OutcomeStatus::Ambiguous => (
            Tone::Warning,
            format!("{what}: nobody knows whether it took effect; look before you repeat it"),
        ),
        OutcomeStatus::Failed => {
            let why = match result.reason_code {
                OutcomeReason::ControlFailedCommand => String::new(),
                other => format!(", {}", meanings([other.as_str()])),
            };
            let code = result.control_exit_code;
            (Tone::Bad, format!("{what}: failed{why} (exit code {code})"))
        }
    }
}

/// What tells more: the loop as it is now, or what control did.
fn evidence(result: &ResultRow, layout: &RepoLayout) -> String {
    let repo = quoted(&layout.repo().display().to_string());
    let id = printable(&result.loop_id);
    let look = format!(
        "ops-manager reconcile --repo {repo} --loop {} --pretty",
        quoted(&id)
    );
    if result.status == OutcomeStatus::Executed {
        return look;
    }
    let Ok(loop_id) = LoopId::new(id) else {
        return look;
    };
    let rows = layout
        .loop_files(&loop_id)
        .path(LoopFile::ControlInvocations);
    format!("tail -n 1 {} | jq .", quoted(&rows.display().to_string()))
}

fn is_confirmed(result: &ResultRow) -> bool {
    let control = result.control.as_ref();
    let status = control.and_then(|control| control.get("status"));
    status.is_some_and(|status| status == "confirmed")
}

#[cfg(test)]
mod tests;
