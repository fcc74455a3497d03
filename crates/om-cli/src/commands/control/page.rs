//! What a person sees of a control run.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use om_control::confirm::Observation;
use om_control::quote::quote;
use om_control::{ControlOutcome, ControlRequest, Progress};
use om_model::control::{ControlReasonCode, ControlStatus, Intent, IntentRow};
use om_model::json::{self, Lookup};
use om_store::LoopFile;
use serde_json::Value;

use crate::command::output_error;
use crate::console::style::{Look, Tone, escape_controls};
use crate::console::words;
use crate::error::CliError;

/// Width of the label column.
const LABEL: usize = 10;

/// Tells a person about one control run while it happens.
pub(super) struct ControlView<'a> {
    request: &'a ControlRequest,
    look: Look,
    out: &'a mut dyn Write,
    /// The first failure of `out`; a control run is not given up for it.
    broken: Option<std::io::Error>,
    spinner: ProgressBar,
}

impl<'a> ControlView<'a> {
    pub(super) fn new(request: &'a ControlRequest, look: Look, out: &'a mut dyn Write) -> Self {
        Self {
            request,
            look,
            out,
            broken: None,
            spinner: spinner(),
        }
    }

    /// Shows how far the run has come.
    pub(super) fn update(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Recovered(rows) => rows.iter().for_each(|row| {
                let text = recovered(row);
                self.say(&self.look.paint(Tone::Warning, &harmless(&text)));
            }),
            Progress::Begun { command } => {
                let text = announcement(self.request, command, self.look);
                self.say(text.trim_end());
                self.wait_for("waiting for the command");
            }
            Progress::Executed => self.wait_for("looking for the effect"),
            Progress::Looked { attempt, observed } => self.wait_for(&looked(attempt, observed)),
            Progress::Decided => self.spinner.finish_and_clear(),
        }
    }

    /// Ends with a sentence and the evidence.
    pub(super) fn finish(mut self, outcome: &ControlOutcome) -> Result<(), CliError> {
        self.spinner.finish_and_clear();
        let text = conclusion(self.request, outcome, self.look);
        self.say(text.trim_end());
        match self.broken {
            Some(error) => Err(output_error(&error)),
            None => Ok(()),
        }
    }

    fn say(&mut self, text: &str) {
        // At once: what follows may take minutes.
        let written = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        if let Err(error) = written {
            self.broken.get_or_insert(error);
        }
    }

    fn wait_for(&self, what: &str) {
        self.spinner.enable_steady_tick(Duration::from_millis(120));
        self.spinner.set_message(harmless(what));
    }
}

/// Draws on a terminal's stderr only.
fn spinner() -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // A template that cannot be parsed falls back to the default spinner.
    match ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
        Ok(style) => spinner.with_style(style),
        Err(_) => spinner,
    }
}

fn recovered(row: &IntentRow) -> String {
    format!(
        "An earlier {} (trace {}) has no outcome: its process died. It is recorded as ambiguous.",
        row.intent.as_str(),
        row.trace_id
    )
}

/// What is about to happen.
fn announcement(request: &ControlRequest, command: &str, look: Look) -> String {
    let settings = &request.settings;
    let title = match request.intent {
        Intent::Cancel => "Cancel loop",
        Intent::Approve => "Approve the pending request of loop",
        Intent::Reject => "Reject the pending request of loop",
    };
    let title = format!("{title} {}", request.loop_id);
    let mut out = look.paint(Tone::Strong, &title) + "\n";
    let mut line = |label, text: &str| out.push_str(&labelled(label, text));
    line("asked by", &request.requested_by);
    if let Some(note) = &request.note {
        line("because", note);
    }
    line("executes", command);
    if settings.do_confirm {
        let patience = match settings.timeout_seconds {
            0 => "look for the effect once".to_owned(),
            timeout => format!(
                "look for the effect every {}, for up to {}",
                words::duration(settings.interval_seconds.max(1)),
                words::duration(timeout)
            ),
        };
        line("then", &patience);
    }
    out
}

fn looked(attempt: u64, observed: &Observation) -> String {
    let mut text = format!("look {attempt}: the loop is {}", observed.status);
    if let Some(event) = &observed.last_event {
        text = format!("{text}, last event {event}");
    }
    text
}

/// The sentence, the command's output if it matters, and where the proof is.
fn conclusion(request: &ControlRequest, outcome: &ControlOutcome, look: Look) -> String {
    let row = &outcome.row;
    let (tone, sentence) = sentence(row);
    let marked = format!("{} {}", look.mark(tone), harmless(&sentence));
    let mut out = format!("\n{}\n", look.paint(tone, marked.trim_start()));
    if let Some(text) = said(outcome) {
        for line in text.lines() {
            out.push_str(format!("    {}", harmless(line)).trim_end());
            out.push('\n');
        }
    }
    let files = request.layout.loop_files(&request.loop_id);
    let mut line = |label, text: &str| out.push_str(&labelled(label, text));
    line("trace", row.trace_id.as_str());
    let evidence = quote(files.path(LoopFile::ControlInvocations).as_os_str());
    line("evidence", &format!("tail -n 1 {evidence} | jq ."));
    let command = if row.status == ControlStatus::Ambiguous {
        "status"
    } else {
        "reconcile"
    };
    let next = format!(
        "ops-manager {command} --repo {} --loop {}",
        quote(request.layout.repo().as_os_str()),
        quote(request.loop_id.as_str().as_ref())
    );
    line("next", &next);
    out
}

/// What the command, or the client, printed when it failed.
fn said(outcome: &ControlOutcome) -> Option<&str> {
    let row = &outcome.row;
    let failed = !matches!(
        row.status,
        ControlStatus::Confirmed | ControlStatus::ExecutedUnconfirmed
    );
    let diagnostics = outcome.diagnostics.as_deref();
    diagnostics
        .or(row.command_output.as_deref())
        .filter(|_| failed)
}

fn sentence(row: &IntentRow) -> (Tone, String) {
    match &row.status {
        ControlStatus::Confirmed => (Tone::Good, confirmed(row.intent).to_owned()),
        ControlStatus::ExecutedUnconfirmed => (
            Tone::Good,
            "The command succeeded. Nobody looked for its effect.".to_owned(),
        ),
        ControlStatus::Ambiguous => (Tone::Warning, ambiguous(row)),
        ControlStatus::FailedCommand
            if row.reason_code == Some(ControlReasonCode::ControlTargetMismatch) =>
        {
            (Tone::Bad, "Refused; nothing was executed.".to_owned())
        }
        ControlStatus::FailedCommand => (
            Tone::Bad,
            format!("Failed with exit code {}.", row.exit_code),
        ),
        ControlStatus::Other(status) => (
            Tone::Warning,
            format!("The service answered with a status of its own: {status}."),
        ),
    }
}

fn confirmed(intent: Intent) -> &'static str {
    match intent {
        Intent::Cancel => "Cancelled: nothing is active, and the loop is not running.",
        Intent::Approve => "Approved: the loop is complete.",
        Intent::Reject => "Rejected: the decision is recorded.",
    }
}

/// Exit code of a command that exceeded its time limit.
const TIMED_OUT: i64 = 124;

fn ambiguous(row: &IntentRow) -> String {
    let begin = match row.exit_code {
        0 => "The command succeeded, but its effect was not seen",
        TIMED_OUT => "The command exceeded its time limit, and its effect was not seen",
        _ => "The service cannot tell whether it worked",
    };
    let verdict = row.confirm.as_ref().map(Lookup::new);
    let status = verdict.and_then(|verdict| verdict.text("observedStatus").ok().flatten());
    let seen = status.map_or(String::new(), |status| format!(" (the loop is {status})"));
    format!("{begin}{seen}. Do not repeat it blindly: look at the runtime first.")
}

fn labelled(label: &str, text: &str) -> String {
    format!("  {label:<LABEL$}{}\n", harmless(text))
}

/// `text`, which others wrote, as it can be sent to a terminal.
fn harmless(text: &str) -> String {
    let mut value = Value::from(text);
    escape_controls(&mut value);
    json::text(&value)
}

#[cfg(test)]
mod tests;
