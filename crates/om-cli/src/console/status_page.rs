//! The status of one loop as a page that is read in half a minute.

mod advice;

use std::fmt::Write as _;
use std::path::Path;

use om_model::json::{Lookup, first_present, text};
use om_model::status::StatusReport;
use om_model::{Timestamp, json};
use serde_json::Value;

use super::style::{Look, Tone};
use super::words;
use advice::Advice;

/// Width of the label column.
const LABEL: usize = 12;

/// Draws `report`.
///
/// Texts in it come from files that others write, so control characters are
/// shown, never sent to the terminal.
pub fn render(report: &StatusReport, look: Look) -> String {
    let report = &harmless(report);
    let page = Page { report, look };
    let mut out = page.title();
    for (label, lines) in [
        ("Lifecycle", page.lifecycle()),
        ("Health", page.health()),
        ("Events", vec![page.events()]),
        ("Heartbeat", vec![page.heartbeat()]),
        ("Reconcile", vec![page.reconcile()]),
        ("Control", page.control()),
        ("Alerts", vec![page.alerts()]),
        ("Thresholds", vec![page.thresholds()]),
    ] {
        page.section(&mut out, label, &lines);
    }
    page.advice(&mut out, &page.next_steps());
    page.list(&mut out, "Warnings", &page.warnings());
    page.list(&mut out, "Evidence", &page.evidence());
    out
}

/// The report with every text made safe to print.
fn harmless(report: &StatusReport) -> StatusReport {
    let mut value = json::to_value(report);
    super::style::escape_controls(&mut value);
    // A loop id has no control characters, and no other text is checked.
    serde_json::from_value(value).unwrap_or_else(|_| report.clone())
}

struct Page<'a> {
    report: &'a StatusReport,
    look: Look,
}

impl Page<'_> {
    fn title(&self) -> String {
        let status = self.health_status();
        let tone = tone_of(&status);
        let badge = format!("{} {}", self.look.mark(tone), status.to_uppercase());
        let loop_id = self.report.source.loop_id.as_str();
        let gap = self
            .look
            .width
            .saturating_sub(loop_id.chars().count() + badge.chars().count());
        format!(
            "{}{}{}\n{}\n\n",
            self.look.paint(Tone::Strong, loop_id),
            " ".repeat(gap.max(2)),
            self.look.paint(tone, &badge),
            self.look.paint(Tone::Faint, &self.report.source.repo_path),
        )
    }

    /// One labelled block; continuation lines are aligned.
    fn section(&self, out: &mut String, label: &str, lines: &[String]) {
        for (index, line) in lines.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let label = self.look.paint(Tone::Faint, &format!("{label:<LABEL$}"));
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{label}{line}");
        }
    }

    fn list(&self, out: &mut String, heading: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{}", self.look.paint(Tone::Strong, heading));
        for item in items {
            let _ = writeln!(out, "{}", self.wrapped(item));
        }
    }

    fn advice(&self, out: &mut String, steps: &[Advice]) {
        let _ = writeln!(
            out,
            "\n{}",
            self.look.paint(Tone::Strong, "What to do next")
        );
        for step in steps {
            let _ = writeln!(out, "{}", self.wrapped(&step.text));
            // A command is never wrapped, so that it can be copied whole.
            if let Some(command) = &step.command {
                let _ = writeln!(out, "      {command}");
            }
        }
    }

    fn wrapped(&self, text: &str) -> String {
        let options = textwrap::Options::new(self.look.width)
            .break_words(false)
            .word_separator(textwrap::WordSeparator::AsciiSpace)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .initial_indent("  ")
            .subsequent_indent("    ");
        textwrap::fill(text, options)
    }

    fn health_value(&self, path: &str) -> Option<&Value> {
        let health = self.report.health.as_ref()?;
        Lookup::new(health).get(path).ok().flatten()
    }

    fn health_status(&self) -> String {
        self.health_value("status")
            .map_or_else(|| "unknown".to_owned(), text)
    }

    fn lifecycle(&self) -> Vec<String> {
        let lifecycle = &self.report.lifecycle;
        let state = text(&lifecycle.state);
        let mut parts = vec![format!("{state}: {}", words::lifecycle(&state))];
        let mut detail = Vec::new();
        if let Some(run) = &lifecycle.run_id {
            detail.push(format!("run {}", text(run)));
        }
        if let Some(iteration) = &lifecycle.iteration {
            detail.push(format!("iteration {}", text(iteration)));
        }
        if let Some(confidence) = &lifecycle.confidence {
            detail.push(format!("{} confidence", text(confidence)));
        }
        if !detail.is_empty() {
            parts.push(self.look.paint(Tone::Faint, &detail.join(", ")));
        }
        parts
    }

    fn health(&self) -> Vec<String> {
        let status = self.health_status();
        let reasons = self.health_value("reasons").and_then(Value::as_array);
        let mut reasons: Vec<&Value> = reasons.into_iter().flatten().collect();
        // Worst first, as a person reads.
        reasons.sort_by_key(|reason| {
            reason.get("severity").and_then(Value::as_str) != Some("critical")
        });
        let lines: Vec<String> = reasons.into_iter().map(|r| self.reason(r)).collect();
        if lines.is_empty() {
            let verdict = match status.as_str() {
                "healthy" => "healthy: nothing to worry about",
                "unknown" => "unknown: no health has been evaluated yet",
                other => other,
            };
            return vec![self.look.paint(tone_of(&status), verdict)];
        }
        lines
    }

    fn reason(&self, reason: &Value) -> String {
        let member = |name| {
            json::present(reason.get(name))
                .map(text)
                .unwrap_or_default()
        };
        let (code, severity) = (member("code"), member("severity"));
        let tone = tone_of(&severity);
        let meaning = words::explain(&code).map_or("see", |known| known.meaning);
        let measured = measurement(&member("metric"), &member("observed"), &member("threshold"));
        format!(
            "{} {meaning}{measured}  {}",
            self.look
                .paint(tone, &format!("{} {severity}:", self.look.mark(tone))),
            self.look.paint(Tone::Faint, &code),
        )
    }

    fn events(&self) -> String {
        let cursor = &self.report.cursor;
        let (offset, count) = (
            text(&cursor.event_line_offset),
            text(&cursor.event_line_count),
        );
        let last = self.health_value("evidence.lastEventAt");
        format!(
            "{offset} of {count} consumed, last event {}",
            self.ago(last, "never seen")
        )
    }

    fn heartbeat(&self) -> String {
        let Some(heartbeat) = &self.report.visibility.heartbeat else {
            return self
                .look
                .paint(Tone::Faint, "none seen; the runtime need not send any");
        };
        let freshness = heartbeat.freshness_status.as_ref().map(text);
        let freshness = freshness.unwrap_or_else(|| "unknown".to_owned());
        let verdict = self.look.paint(tone_of(&freshness), &freshness);
        format!(
            "{verdict}, {}",
            self.ago(heartbeat.last_heartbeat_at.as_ref(), "time unknown")
        )
    }

    fn reconcile(&self) -> String {
        let last = &self.report.reconcile;
        let Some(status) = last.last_status.as_ref().map(text) else {
            return self.look.paint(Tone::Faint, "never");
        };
        let transport = last.last_transport.as_ref().map(text);
        let failure = last.last_failure_code.as_ref().map(text);
        format!(
            "{} {}{}{}",
            self.look.paint(tone_of(&status), &status),
            self.ago(last.last_timestamp.as_ref(), "at an unknown time"),
            transport.map(|t| format!(" via {t}")).unwrap_or_default(),
            failure.map(|code| format!(": {code}")).unwrap_or_default(),
        )
    }

    fn control(&self) -> Vec<String> {
        let control = &self.report.control;
        let mut lines: Vec<String> = control
            .pending
            .iter()
            .map(|entry| {
                let intent = json::present(entry.get("intent"))
                    .map(text)
                    .unwrap_or_default();
                let started = self.ago(entry.get("startedAt"), "at an unknown time");
                self.look.paint(
                    Tone::Warning,
                    &format!("{intent} without an outcome, started {started}"),
                )
            })
            .collect();
        let last = match (&control.last_intent, &control.last_status) {
            (Some(intent), Some(status)) => format!(
                "{} {}{} {}",
                text(intent),
                self.look.paint(tone_of(&text(status)), &text(status)),
                control
                    .last_requested_by
                    .as_ref()
                    .map(|by| format!(" by {}", text(by)))
                    .unwrap_or_default(),
                self.ago(control.last_timestamp.as_ref(), "at an unknown time"),
            ),
            _ => self.look.paint(Tone::Faint, "no intent so far"),
        };
        lines.push(last);
        lines
    }

    fn alerts(&self) -> String {
        let delivery = self
            .report
            .alerts
            .as_ref()
            .and_then(|alerts| alerts.last_delivery.as_ref());
        let Some(delivery) = delivery else {
            return self.look.paint(Tone::Faint, "none delivered so far");
        };
        let status = delivery.status.as_ref().map(text).unwrap_or_default();
        format!(
            "{} {}{}",
            self.look.paint(tone_of(&status), &status),
            delivery
                .escalation_category
                .as_ref()
                .map(|c| format!("{} ", text(c)))
                .unwrap_or_default(),
            self.ago(delivery.timestamp.as_ref(), "at an unknown time"),
        )
    }

    fn thresholds(&self) -> String {
        let tuning = &self.report.tuning;
        let applied = tuning.applied_profile.as_ref().map(text);
        let applied = applied.unwrap_or_else(|| "unnamed".to_owned());
        let Some(recommended) = tuning.recommended_profile.as_ref().map(text) else {
            return format!("{applied} applied, no recommendation yet");
        };
        let confidence = tuning.confidence.as_ref().map(text).unwrap_or_default();
        let verdict = match self.drift_status().as_deref() {
            Some("drift_active") => self.look.paint(Tone::Warning, "drift is active"),
            Some("mismatch_pending") => "watching".to_owned(),
            Some("insufficient_confidence") => "too little telemetry to act on".to_owned(),
            Some("aligned") => "aligned".to_owned(),
            _ => String::new(),
        };
        let gap = if verdict.is_empty() { "" } else { ": " };
        format!(
            "{applied} applied, {recommended} recommended ({confidence} confidence){gap}{verdict}"
        )
    }

    fn warnings(&self) -> Vec<String> {
        let line = |warning: &om_model::status::StatusWarning| {
            let at = warning
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            format!("{}{at}: {}", self.short(&warning.file), warning.message)
        };
        self.report.warnings.iter().map(line).collect()
    }

    fn evidence(&self) -> Vec<String> {
        let files = &self.report.files;
        let trace = self.report.reconcile.last_trace_id.as_ref().map(text);
        let mut items: Vec<String> = [
            ("state", &files.state_file),
            ("health", &files.health_file),
            ("passes", &files.reconcile_telemetry_file),
            ("intents", &files.intents_file),
        ]
        .into_iter()
        .filter(|(_, path)| Path::new(path).is_file())
        .map(|(name, path)| format!("{name:<LABEL$}{}", self.short(path)))
        .collect();
        let events = format!(
            ".superloop/loops/{}/events.jsonl{}",
            self.report.source.loop_id,
            if self.is_remote() {
                " (on the sprite)"
            } else {
                ""
            }
        );
        items.push(format!("{:<LABEL$}{events}", "events"));
        items.extend(trace.map(|trace| format!("{:<LABEL$}{trace}", "trace")));
        items
    }

    /// A path relative to the repository where possible.
    fn short(&self, path: &str) -> String {
        let relative = path.strip_prefix(&self.report.source.repo_path);
        let relative = relative.and_then(|rest| rest.strip_prefix('/'));
        quoted(relative.unwrap_or(path))
    }

    /// How long before the report `at` lies.
    fn ago(&self, at: Option<&Value>, otherwise: &str) -> String {
        let Some(at) = first_present([at]).map(text) else {
            return otherwise.to_owned();
        };
        match Timestamp::parse(&at) {
            Some(moment) => {
                let lag = self.report.generated_at.seconds_since(moment);
                format!("{} ago", words::duration(lag))
            }
            None => at,
        }
    }
}

/// The measured value against its threshold, in units a person reads.
fn measurement(metric: &str, observed: &str, threshold: &str) -> String {
    let seconds = |text: &str| json::digits_text(text).map(words::duration);
    match metric {
        "ingestLagSeconds" | "heartbeatLagSeconds" => match (seconds(observed), seconds(threshold))
        {
            (Some(observed), Some(threshold)) => format!(" for {observed} (limit {threshold})"),
            _ => String::new(),
        },
        "transportFailureStreak" => format!(", {observed} passes in a row (limit {threshold})"),
        _ => String::new(),
    }
}

fn tone_of(status: &str) -> Tone {
    match status {
        "healthy" | "success" | "fresh" | "confirmed" | "dispatched" | "ok" => Tone::Good,
        "critical" | "failed" | "failed_command" => Tone::Bad,
        _ => Tone::Warning,
    }
}

/// `text` as one word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
