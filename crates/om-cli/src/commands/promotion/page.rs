//! What a person sees of the rollout.

use om_control::quote::quote;
use om_model::Timestamp;
use om_model::json::{self, Lookup};
use om_model::promotion::Decision;
use om_model::promotion::gates::{
    BacklogTrend, Drill, Gate, GateStatus, GateThresholds, Gates, GatesDocument,
};
use om_promotion::history::{Entry, EntryKind, History, Posture};
use serde_json::{Number, Value};

use super::apply::Shown;
use super::status::{Missing, Report, Rollout};
use super::words;
use crate::console::fleet::paint::Paint;
use crate::console::style::{Look, Tone, printable};
use crate::console::words::duration;

/// The five gates, and what is missing.
pub(super) fn status(report: &Report, look: Look) -> String {
    let mut page = Paint::new(look);
    let decided = &report.decided;
    let summary = &decided.summary;
    let (tone, verdict) = match summary.decision {
        Decision::Promote => (Tone::Good, "promote, every gate passes".to_owned()),
        Decision::Hold => {
            let count = summary.gate_pass_count;
            (Tone::Warning, format!("hold, {count} of 5 gates pass"))
        }
    };
    let sentence = format!("{} Promotion: {verdict}", look.mark(tone));
    page.line(&look.paint(tone, &sentence));
    page.block("rollout", &[(Tone::Good, rollout(&report.rollout))]);
    page.block("last change", &[(Tone::Good, last_change(report))]);
    page.block("on record", &[(Tone::Good, on_record(report))]);
    page.heading("Gates");
    for (gate, verdict) in decided.gates.verdicts() {
        let tone = match verdict.status {
            GateStatus::Pass => Tone::Good,
            GateStatus::Fail => Tone::Bad,
        };
        let label = format!("{} {}", look.mark(tone), words::gate(gate));
        page.block(&label, &[(tone, evidence(gate, decided))]);
    }
    if !report.missing.is_empty() {
        page.heading("What is missing");
        missing(&mut page, &report.missing);
    }
    next(&mut page, report);
    page.out
}

fn rollout(rollout: &Rollout) -> String {
    let pause = match (rollout.kill_switch, rollout.manual_pause) {
        (true, _) => "kill switch on",
        (false, true) => "paused by hand",
        (false, false) => "not paused by hand",
    };
    let until = rollout.review_by.as_deref().map(printable);
    let until = until.map_or_else(String::new, |until| format!(", review by {until}"));
    let (mode, percent) = (rollout.mode, rollout.canary_percent);
    format!("{mode}, {percent} % of the loops, {pause}{until}")
}

fn last_change(report: &Report) -> String {
    let now = report.decided.generated_at;
    report.last_change.as_ref().map_or_else(
        || "none".to_owned(),
        |entry| {
            let age = age(&entry.timestamp, now);
            format!("{} by {}, {age}", printable(&entry.what), who(entry))
        },
    )
}

fn on_record(report: &Report) -> String {
    let now = report.decided.generated_at;
    report.recorded_decision.as_ref().map_or_else(
        || "no decision".to_owned(),
        |recorded| {
            let at = recorded.generated_at.as_deref().unwrap_or_default();
            format!(
                "{}, decided {}",
                printable(&recorded.decision),
                age(at, now)
            )
        },
    )
}

/// What a gate looked at, in one sentence.
fn evidence(gate: Gate, decided: &GatesDocument) -> String {
    let (gates, limits, now) = (&decided.gates, &decided.thresholds, decided.generated_at);
    match gate {
        Gate::Governance => {
            let found = &gates.governance;
            let codes = found.reason_codes.iter().map(|code| printable(code));
            let all: Vec<String> = [format!("posture {}", shown(&found.posture))]
                .into_iter()
                .chain(codes)
                .collect();
            all.join(", ")
        }
        Gate::OutcomeReliability => reliability(gates, limits, now),
        Gate::ManualBacklog => backlog(gates, limits),
        Gate::SafetySuppression => {
            let found = &gates.safety_suppression;
            let pause = if found.autopause_active {
                "auto-pause active"
            } else {
                "auto-pause not active"
            };
            let accounted = if found.missing_paths.is_empty() {
                "every suppression explained"
            } else {
                "not every suppression explained"
            };
            format!("{pause}, {accounted}")
        }
        Gate::DrillRecency => {
            let drills =
                Drill::REQUIRED.map(|drill| drill_state(drill, &gates.drill_recency.drills, now));
            format!(
                "{} (at most {} h)",
                drills.join(", "),
                limits.max_drill_age_hours
            )
        }
    }
}

fn reliability(gates: &Gates, limits: &GateThresholds, now: Timestamp) -> String {
    let found = &gates.outcome_reliability;
    let mut text = format!(
        "{} of {} runs, {} attempts: {} ambiguous (at most {}), {} failed (at most {})",
        found.sample_runs,
        limits.min_sample_size,
        found.attempted,
        percent(&found.ambiguity_rate),
        percent(&om_model::promotion::number(
            limits.max_ambiguity_rate.get()
        )),
        percent(&found.failure_rate),
        percent(&om_model::promotion::number(limits.max_failure_rate.get())),
    );
    if let Some(newest) = &found.sample_newest_at {
        text = format!("{text}; the last one {}", age(newest, now));
    }
    match &found.telemetry_error {
        Some(error) => format!("{text}; {}", printable(error)),
        None => text,
    }
}

fn backlog(gates: &Gates, limits: &GateThresholds) -> String {
    let found = &gates.manual_backlog;
    let count = match &found.manual_backlog {
        Value::Null => "an unknown number of intents".to_owned(),
        Value::Number(number) if number.as_u64() == Some(1) => "1 intent".to_owned(),
        other => format!("{} intents", shown(other)),
    };
    let trend = match found.backlog_trend {
        Some(BacklogTrend::Rising) => ", rising",
        Some(BacklogTrend::Steady) => ", steady",
        Some(BacklogTrend::Falling) => ", falling",
        None => "",
    };
    format!(
        "{count} waiting for people (at most {}){trend}",
        limits.max_manual_backlog
    )
}

/// A drill and how long ago it was played, by the first entry for it.
fn drill_state(drill: Drill, drills: &Value, now: Timestamp) -> String {
    let entries: Vec<&Value> = match drills {
        Value::Array(entries) => entries.iter().collect(),
        Value::Object(entries) => entries.values().collect(),
        _ => Vec::new(),
    };
    let name = words::drill_word(drill);
    let found = entries.iter().find(|entry| entry["id"] == drill.as_str());
    let Some(entry) = found else {
        return format!("{name} never");
    };
    let at = json::text(&entry["completedAt"]);
    if entry["status"] == "pass" {
        format!("{name} {}", age(&at, now))
    } else {
        format!("{name} not passed")
    }
}

fn missing(page: &mut Paint, missing: &[Missing]) {
    let mut told: Vec<&str> = Vec::new();
    for one in missing {
        let text = format!("{}: {}. {}", words::gate(one.gate), one.meaning, one.advice);
        page.wrapped(2, Tone::Warning, &text);
        // One command may provide several things.
        if !told.contains(&one.command.as_str()) {
            page.line(&format!("    {}", one.command));
            told.push(&one.command);
        }
    }
}

/// The commands after this one.
fn next(page: &mut Paint, report: &Report) {
    let decided = &report.decided;
    let (intent, heading) = match (report.rollout.manual_pause, report.rollout.canary_percent) {
        _ if decided.summary.decision == Decision::Hold => return,
        (true, _) => ("resume", "Put it on record, then resume"),
        (false, 100..) => {
            page.heading("Autonomy reaches every loop in scope already.");
            return;
        }
        (false, _) => ("expand", "Put it on record, then widen"),
    };
    let repo = quote(decided.source.repo_path.as_ref());
    page.heading(heading);
    page.line(&format!("  ops-manager promotion-gates --repo {repo}"));
    let governed = words::GOVERNED;
    page.line(&format!(
        "  ops-manager promotion apply {intent} --repo {repo} {governed}"
    ));
}

/// Who changed the rollout, newest first.
pub(super) fn history(history: &History, now: Timestamp, look: Look) -> String {
    let mut page = Paint::new(look);
    if history.entries.is_empty() {
        page.line("The rollout was never changed, and the controller never ran.");
    }
    for entry in &history.entries {
        let (tone, what) = match entry.kind {
            EntryKind::Change => (Tone::Strong, changed(entry, look)),
            EntryKind::ControllerRun => (Tone::Faint, ran(entry)),
        };
        page.line(&look.paint(tone, &what));
        let when = format!(
            "{}, {}",
            printable(&entry.timestamp),
            age(&entry.timestamp, now)
        );
        page.block("  when", &[(Tone::Good, when)]);
        if entry.actor.is_some() {
            page.block("  who", &[(Tone::Good, who(entry))]);
        }
        for (label, text) in [("  why", &entry.rationale), ("  until", &entry.review_by)] {
            if let Some(text) = text {
                page.block(label, &[(Tone::Good, printable(text))]);
            }
        }
        if let Some(trace_id) = &entry.trace_id {
            page.block("  trace", &[(Tone::Faint, printable(trace_id))]);
        }
    }
    for warning in &history.warnings {
        let line = warning
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        let text = format!("{}{line}: {}", warning.file, printable(&warning.message));
        page.wrapped(0, Tone::Warning, &text);
    }
    page.out
}

fn changed(entry: &Entry, look: Look) -> String {
    let arrow = if look.unicode { "→" } else { "->" };
    let by = if entry.by_controller {
        " by the controller"
    } else {
        ""
    };
    let what = printable(&entry.what);
    match (&entry.before, &entry.after) {
        (Some(before), Some(after)) => {
            format!("{what}{by}: {} {arrow} {}", posture(before), posture(after))
        }
        _ => format!("{what}{by}"),
    }
}

fn posture(posture: &Posture) -> String {
    let paused = if posture.manual_pause == Value::Bool(true) {
        " paused"
    } else {
        ""
    };
    format!("{} %{paused}", shown(&posture.canary_percent))
}

fn ran(entry: &Entry) -> String {
    let codes: Vec<String> = entry
        .reason_codes
        .iter()
        .map(|code| printable(code))
        .collect();
    let why = if codes.is_empty() {
        String::new()
    } else {
        format!(" ({})", codes.join(", "))
    };
    format!("controller: {}{why}", printable(&entry.what))
}

/// Who, and by which approval.
fn who(entry: &Entry) -> String {
    let actor = entry.actor.as_deref().unwrap_or("somebody");
    let approval = entry.approval_ref.as_deref();
    let approval = approval.map_or_else(String::new, |text| format!(" ({})", printable(text)));
    format!("{}{approval}", printable(actor))
}

/// What would change, before a person says yes.
pub(super) fn preview(shown: &Shown, look: Look) -> String {
    let mut page = Paint::new(look);
    let file = printable(&shown.registry_file);
    let intent = printable(&shown.intent);
    if shown.changes.is_empty() {
        page.line(&format!(
            "{intent}: done before under this key; {file} stays as it is."
        ));
        return page.out;
    }
    let decision = printable(&shown.decision);
    let heading = format!("{intent} in {file} (promotion decision: {decision})");
    page.line(&look.paint(Tone::Strong, &heading));
    let arrow = if look.unicode { "→" } else { "->" };
    for change in &shown.changes {
        page.line(&format!("  {}", printable(&change.shown(arrow))));
    }
    page.out
}

/// How it ended, and where the proof is.
pub(super) fn applied(record: &Value, look: Look) -> String {
    let mut page = Paint::new(look);
    let text = |path: &str| {
        let found = Lookup::new(record).text(path).ok().flatten();
        printable(&found.unwrap_or_default())
    };
    let is_replay = record["replayed"] == Value::Bool(true);
    let what = if is_replay {
        "was done before under this key; nothing was changed"
    } else {
        "is done"
    };
    let sentence = format!("{} {} {what}", look.mark(Tone::Good), text("intent"));
    page.line(&look.paint(Tone::Good, &sentence));
    let now = &record["rollout"]["after"];
    let paused = if now["manualPause"] == Value::Bool(true) {
        "paused by hand"
    } else {
        "not paused by hand"
    };
    let rollout = format!("{} % of the loops, {paused}", shown(&now["canaryPercent"]));
    page.block("rollout", &[(Tone::Good, rollout)]);
    page.block("trace", &[(Tone::Good, text("traceId"))]);
    page.block(
        "recorded",
        &[(Tone::Good, text("files.applyTelemetryFile"))],
    );
    page.out
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        other => printable(&json::text(other)),
    }
}

fn percent(rate: &Number) -> String {
    let rate = rate.as_f64().unwrap_or(0.0);
    let text = format!("{:.1}", rate * 100.0);
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

/// How long ago a recorded time is.
fn age(at: &str, now: Timestamp) -> String {
    Timestamp::parse(at).map_or_else(
        || "at an unknown time".to_owned(),
        |at| format!("{} ago", duration(now.seconds_since(at))),
    )
}

#[cfg(test)]
mod tests;
