//! What to do next: advice per reason code and lifecycle state.

use om_model::json::{Lookup, text};
use serde_json::Value;

use super::{Page, quoted};
use crate::console::words::{self, Step};

/// One thing to do.
pub(super) struct Advice {
    pub(super) text: String,
    pub(super) command: Option<String>,
}

impl Advice {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            command: None,
        }
    }

    fn explained(known: &words::Explanation, page: &Page<'_>) -> Self {
        Self {
            text: known.advice.to_owned(),
            command: Some(page.command(known.command)),
        }
    }
}

impl Page<'_> {
    /// Advice per reason, then per lifecycle state, else that all is well.
    pub(super) fn next_steps(&self) -> Vec<Advice> {
        let mut steps = Vec::new();
        let state = text(&self.report.lifecycle.state);
        for code in self.reason_codes() {
            if code == "ingest_stale" && state == "complete" {
                steps.push(Advice::new(
                    "The run is complete, so a silent log is expected.",
                ));
            } else if let Some(known) = words::explain(&code) {
                steps.push(Advice::explained(known, self));
            }
        }
        if self.drift_status().as_deref() == Some("drift_active")
            && let Some(known) = words::explain("profile_drift_detected")
        {
            steps.push(Advice::explained(known, self));
        }
        match state.as_str() {
            "awaiting_approval" => steps.push(Advice {
                command: Some(self.approval()),
                ..Advice::new(
                    "Review the candidate, then decide; --intent reject refuses it, --note says why.",
                )
            }),
            "stopped" | "failed" => steps.push(Advice {
                command: Some(self.command(Step::LastEvents)),
                ..Advice::new("Read why, fix the cause, then run the loop again.")
            }),
            _ => {}
        }
        // Two reasons may lead to the same look.
        let mut shown = Vec::new();
        for step in &mut steps {
            if shown.contains(&step.command) {
                step.command = None;
            }
            shown.push(step.command.clone());
        }
        if steps.is_empty() {
            steps.push(Advice::new("Nothing. Look again after the next pass."));
        }
        steps
    }

    fn reason_codes(&self) -> Vec<String> {
        let codes = self.health_value("reasonCodes").and_then(Value::as_array);
        codes.into_iter().flatten().map(text).collect()
    }

    pub(super) fn drift_status(&self) -> Option<String> {
        Lookup::new(self.report.drift.as_ref()?)
            .text("status")
            .ok()
            .flatten()
    }

    /// A command that can be pasted into a shell anywhere.
    fn command(&self, step: Step) -> String {
        let files = &self.report.files;
        let last = |file: &str| format!("tail -n 1 {} | jq .", quoted(file));
        match step {
            Step::Reconcile => self.target("ops-manager reconcile", " --pretty"),
            Step::Replay => self.target("ops-manager reconcile", " --from-start --pretty"),
            Step::Summary => self.target("ops-manager telemetry-summary", " --pretty"),
            Step::LastEvents => {
                let source = &self.report.source;
                let events = format!(".superloop/loops/{}/events.jsonl", source.loop_id);
                if self.is_remote() {
                    return format!("tail -n 5 <repository on the sprite>/{}", quoted(&events));
                }
                let events = format!("{}/{events}", source.repo_path);
                format!("tail -n 5 {}", quoted(&events))
            }
            Step::LastPass => last(&files.reconcile_telemetry_file),
            Step::LastInvocation => last(&files.control_invocations_file),
            Step::Heartbeat => format!("jq . {}", quoted(&files.heartbeat_state_file)),
        }
    }

    fn approval(&self) -> String {
        let remote = if self.is_remote() {
            " --transport sprite_service --service-base-url <url>"
        } else {
            ""
        };
        let rest = format!(" --intent approve --by <you>{remote}");
        self.target("ops-manager control", &rest)
    }

    /// Whether the loop runs on another machine, behind a service.
    pub(super) fn is_remote(&self) -> bool {
        let last = &self.report.reconcile.last_transport;
        last.as_ref()
            .is_some_and(|transport| transport == "sprite_service")
    }

    fn target(&self, command: &str, rest: &str) -> String {
        let source = &self.report.source;
        let (repo, loop_id) = (quoted(&source.repo_path), quoted(source.loop_id.as_str()));
        format!("{command} --repo {repo} --loop {loop_id}{rest}")
    }
}
