//! What waits for a person, what was held back, and what is guarded.

use om_model::json::{self, text};
use serde_json::Value;

use super::Page;
use crate::console::fleet::paint::{Paint, ago, items, meanings, member, tone_of};
use crate::console::status_page::quoted;
use crate::console::style::Tone;

/// The status of an intent that nobody has acted on.
const PENDING: &str = "pending_operator_confirmation";

impl Page<'_> {
    /// The last plan, and the last execution.
    pub(super) fn last_handoff(&self, paint: &mut Paint) {
        let Some(handoff) = &self.report.handoff else {
            let never = "never; run fleet-handoff, or fleet run".to_owned();
            paint.block("Handoff", &[(Tone::Faint, never)]);
            return;
        };
        let now = self.report.generated_at;
        let at = ago(handoff.updated_at.as_ref(), now, "at an unknown time");
        let summary = &handoff.summary;
        let mut lines = vec![(
            Tone::Good,
            format!(
                "{at}: {} pending, {} for a person only",
                text(&summary.pending_confirmation_count),
                handoff.pending_manual_only_count
            ),
        )];
        let last = &handoff.execution;
        if let Some(mode) = json::present(last.mode.as_ref()) {
            let by = last.requested_by.as_ref().map(text).unwrap_or_default();
            let at = ago(last.completed_at.as_ref(), now, "at an unknown time");
            let withheld = json::present(last.withheld_count.as_ref()).map(text);
            let failed = text(&last.failed_count);
            let ambiguous = text(&last.ambiguous_count);
            let tone = match (failed.as_str(), ambiguous.as_str()) {
                ("0", "0") => Tone::Good,
                _ => Tone::Warning,
            };
            let text = format!(
                "last executed {at}, {} by {by}: {} executed, {ambiguous} ambiguous, \
                 {failed} failed, {} withheld",
                text(mode),
                text(&last.executed_count),
                withheld.unwrap_or_else(|| "0".to_owned()),
            );
            lines.push((tone, text));
        }
        paint.block("Handoff", &lines);
    }

    /// Intents that nobody has acted on, each with the command for it.
    pub(super) fn waiting(&self, paint: &mut Paint) {
        let intents = items(self.handoff, "intents").iter();
        let mut pending: Vec<&Value> = intents.filter(|i| member(i, "status") == PENDING).collect();
        let rank = |intent: &&Value| intent.get("rank").and_then(json::digits);
        pending.sort_by_key(|intent| rank(intent).unwrap_or(u64::MAX));
        if pending.is_empty() {
            return;
        }
        paint.heading("Waiting for a person");
        for intent in pending.iter().take(self.most) {
            self.intent(paint, intent);
        }
        self.more(paint, pending.len());
    }

    fn intent(&self, paint: &mut Paint, intent: &Value) {
        let severity = member(intent, "severity");
        let tone = tone_of(&severity);
        let what = format!(
            "{} {}: {}",
            paint.look.mark(tone),
            member(intent, "loopId"),
            member(intent, "intent")
        );
        let what = paint.look.paint(tone, &what);
        paint.line(&format!("  {what}"));
        let why = format!(
            "{} ({severity}, {} confidence)",
            member(intent, "rationale"),
            member(intent, "confidence")
        );
        paint.wrapped(4, Tone::Good, &why);
        let autonomous = intent.get("autonomous").unwrap_or(&Value::Null);
        if autonomous.get("eligible") == Some(&Value::Bool(true)) {
            paint.wrapped(
                4,
                Tone::Good,
                "eligible: the next fleet run does it by itself",
            );
        } else {
            let reasons = items(autonomous, "reasons")
                .iter()
                .filter_map(Value::as_str);
            let reasons = meanings(reasons);
            if !reasons.is_empty() {
                paint.wrapped(4, Tone::Faint, &format!("not by itself: {reasons}"));
            }
        }
        let command = self.approval(&member(intent, "intentId"));
        paint.line(&format!("    {command}"));
    }

    fn approval(&self, intent_id: &str) -> String {
        format!(
            "ops-manager fleet handoff approve {} --repo {}",
            quoted(intent_id),
            self.repo()
        )
    }

    /// Intents that the last look kept from being dispatched.
    pub(super) fn withheld(&self, paint: &mut Paint) {
        let execution = self.handoff.get("execution").unwrap_or(&Value::Null);
        let withheld = items(execution, "withheld");
        if withheld.is_empty() {
            return;
        }
        paint.heading("Held back at the last dispatch");
        for entry in withheld.iter().take(self.most) {
            let reason = member(entry, "reasonCode");
            let text = format!(
                "{}: {}",
                member(entry, "intentId"),
                meanings([reason.as_str()])
            );
            paint.wrapped(2, Tone::Warning, &text);
        }
        self.more(paint, withheld.len());
    }

    /// Intents that are not repeated until somebody resolves them.
    pub(super) fn guarded(&self, paint: &mut Paint) {
        let guarded = items(self.handoff, "retryGuard");
        if guarded.is_empty() {
            return;
        }
        paint.heading("Guarded against repetition");
        for entry in guarded.iter().take(self.most) {
            let reason = member(entry, "reasonCode");
            let since = ago(entry.get("since"), self.report.generated_at, "");
            let id = member(entry, "intentId");
            let text = format!("{id}: {} ({since})", meanings([reason.as_str()]));
            paint.wrapped(2, Tone::Warning, &text);
            let row = member(entry, "loopId");
            let look = format!(
                "ops-manager status --repo {} --loop {}",
                self.repo(),
                quoted(&row)
            );
            paint.line(&format!("    {look}"));
        }
        self.more(paint, guarded.len());
    }
}
