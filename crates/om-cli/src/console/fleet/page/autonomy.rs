//! What may happen by itself, and what keeps it from happening.

use om_model::Timestamp;
use om_model::fleet::registry::PolicyMode;
use om_model::json::{present, text};
use serde_json::Value;

use super::Page;
use crate::console::fleet::paint::{Paint, ago, meanings};
use crate::console::style::Tone;
use crate::console::words;

impl Page<'_> {
    /// The switches as they are now, and what policy made of them.
    pub(super) fn autonomy(&self, paint: &mut Paint) {
        let mut lines = vec![self.mode()];
        if self.registry.policy.mode == PolicyMode::GuardedAuto {
            lines.push(self.kill_switch());
            lines.push(self.pauses());
            lines.push(self.reach());
            lines.push(self.review());
        }
        lines.extend(self.changed_since());
        paint.block("Autonomy", &lines);
        paint.block("Judged", &[self.judged()]);
    }

    fn mode(&self) -> (Tone, String) {
        match self.registry.policy.mode {
            PolicyMode::Advisory => (
                Tone::Good,
                "advisory: a person confirms every action".to_owned(),
            ),
            PolicyMode::GuardedAuto => (
                Tone::Good,
                "guarded_auto: what is eligible runs by itself".to_owned(),
            ),
        }
    }

    fn kill_switch(&self) -> (Tone, String) {
        if self.registry.policy.autonomous.safety.kill_switch {
            let text = "kill switch ON: nothing happens by itself";
            return (Tone::Bad, text.to_owned());
        }
        (Tone::Good, "kill switch off".to_owned())
    }

    fn pauses(&self) -> (Tone, String) {
        let rollout = &self.registry.policy.autonomous.rollout;
        let mut pauses = Vec::new();
        if rollout.pause.manual {
            pauses.push("paused by hand".to_owned());
        }
        let known = self.report.autonomous.as_ref();
        let auto = known.and_then(|autonomous| autonomous.rollout.as_ref());
        if let Some(auto) = auto
            && auto.autopause.active == Value::Bool(true)
        {
            let reasons = auto.autopause.reasons.as_array();
            let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
            pauses.push(format!("paused after bad outcomes: {}", meanings(reasons)));
        }
        if !rollout.frozen_loop_ids.is_empty() {
            pauses.push(format!("frozen: {}", rollout.frozen_loop_ids.join(", ")));
        }
        if pauses.is_empty() {
            return (Tone::Good, "not paused".to_owned());
        }
        (Tone::Warning, pauses.join("; "))
    }

    fn reach(&self) -> (Tone, String) {
        let rollout = &self.registry.policy.autonomous.rollout;
        let loops = match rollout.scope.loop_ids.as_slice() {
            [] => "all loops".to_owned(),
            ids => ids.join(", "),
        };
        let percent = rollout.canary_percent;
        (Tone::Good, format!("canary {percent} % of {loops}"))
    }

    fn review(&self) -> (Tone, String) {
        let governance = &self.registry.policy.autonomous.governance;
        let now = self.report.generated_at;
        let by = governance.actor.as_deref().unwrap_or("nobody");
        let approval = governance.approval_ref.as_deref().unwrap_or("no approval");
        let allowed = format!("allowed by {by} ({approval})");
        let Some(until) = &governance.review_by else {
            return (Tone::Bad, format!("no review date; {allowed}"));
        };
        let Some(deadline) = Timestamp::parse(until) else {
            return (Tone::Bad, format!("review date {until} is none; {allowed}"));
        };
        if deadline <= now {
            let since = words::duration(now.seconds_since(deadline));
            let text = format!("review EXPIRED {since} ago ({until}); {allowed}");
            return (Tone::Bad, text);
        }
        let left = words::duration(deadline.seconds_since(now));
        let posture = self
            .report
            .autonomous
            .as_ref()
            .and_then(|a| a.governance.as_ref());
        let due_soon = posture.is_some_and(|governance| governance.posture == "review_due_soon");
        let tone = if due_soon { Tone::Warning } else { Tone::Good };
        (tone, format!("review by {until}, in {left}; {allowed}"))
    }

    /// Switches that were turned after the last evaluation.
    fn changed_since(&self) -> Option<(Tone, String)> {
        let autonomous = self.report.autonomous.as_ref()?;
        let policy = &self.registry.policy;
        let judged_paused = autonomous
            .rollout
            .as_ref()
            .map(|rollout| rollout.pause.manual == Value::Bool(true));
        let mut changed = Vec::new();
        if present(Some(&autonomous.mode)).is_some_and(|m| text(m) != policy.mode.as_str()) {
            changed.push("mode");
        }
        if autonomous.safety_gate_decisions.kill_switch_active
            != policy.autonomous.safety.kill_switch
        {
            changed.push("kill switch");
        }
        if judged_paused.is_some_and(|paused| paused != policy.autonomous.rollout.pause.manual) {
            changed.push("pause");
        }
        if changed.is_empty() {
            return None;
        }
        let text = format!(
            "changed since the last evaluation: {}; what narrows counts at the next dispatch, \
             the rest from the next evaluation on",
            changed.join(", ")
        );
        Some((Tone::Warning, text))
    }

    fn judged(&self) -> (Tone, String) {
        let Some(policy) = &self.report.policy else {
            return (
                Tone::Faint,
                "never; run fleet-policy, or fleet run".to_owned(),
            );
        };
        let at = ago(
            policy.updated_at.as_ref(),
            self.report.generated_at,
            "at an unknown time",
        );
        let eligible = self.report.autonomous.as_ref();
        let eligible =
            eligible.map(|a| format!(", {} eligible", text(&a.eligible_candidate_count)));
        let counts = format!(
            "{at}: {} candidates, {} suppressed{}",
            text(&policy.candidate_count),
            text(&policy.suppressed_count),
            eligible.unwrap_or_default(),
        );
        (Tone::Good, counts)
    }
}
