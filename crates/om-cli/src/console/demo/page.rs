//! What the demo shows.

use std::fmt::Write as _;
use std::path::Path;

use om_model::json::{self, Lookup};
use serde_json::Value;

use super::Seen;
use super::fleet::SCOPE;
use crate::console::fleet::page;
use crate::console::style::{Look, Tone};

pub(super) fn show(root: &Path, seen: &Seen, look: Look) -> String {
    let mut out = String::new();
    let mut part = |heading: &str, body: &str| {
        let (heading, body) = (look.paint(Tone::Strong, heading), body.trim_end());
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{heading}\n{body}\n");
    };
    part(
        "A dozen loops, one cycle over all of them, half of them over the network",
        &fleet(seen, look),
    );
    part("The same through both transports", &transports(seen, look));
    part(
        "And if the kill switch is turned now?",
        &kill_switch(seen, look),
    );
    part(
        "Alerts that arrived at a webhook on this machine",
        &heard(&seen.alerts, look),
    );
    part("Where everything is", &places(root));
    part("Look around", &look_around(seen));
    out.trim_end().to_owned() + "\n"
}

/// The page of `ops-manager fleet status`, inset.
fn fleet(seen: &Seen, look: Look) -> String {
    let inset = Look {
        width: look.width - 2,
        ..look
    };
    let page = page::render(&seen.fleet, false, inset);
    let lines = page
        .lines()
        .map(|line| format!("  {line}").trim_end().to_owned());
    format!("\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Both transports side by side: every loop under the one it was seen through.
fn transports(seen: &Seen, look: Look) -> String {
    let column = |transport: &str| -> Vec<String> {
        let loops = seen.fleet.report.loops.iter();
        loops
            .filter(|found| found.transport == transport)
            .map(|found| {
                let health = json::text(&found.health_status);
                let id = found.loop_id.as_ref().map(json::text).unwrap_or_default();
                look.paint(tone(&health), &format!("{id:<18} {health:<9}"))
            })
            .collect()
    };
    let (files, services) = (column("local"), column("sprite_service"));
    let mut lines = vec![format!("  {:<34}{}", "from files", "from sprite services")];
    for row in 0..files.len().max(services.len()) {
        let blank = " ".repeat(28);
        let left = files.get(row).unwrap_or(&blank);
        let right = services.get(row).map_or("", String::as_str);
        lines.push(format!("    {left}    {right}").trim_end().to_owned());
    }
    lines.join("\n")
}

fn tone(health: &str) -> Tone {
    match health {
        "healthy" => Tone::Good,
        "degraded" => Tone::Warning,
        "critical" => Tone::Bad,
        _ => Tone::Faint,
    }
}

/// What would have happened by itself, and did not.
fn kill_switch(seen: &Seen, look: Look) -> String {
    let planned = entry(&seen.fleet.handoff["intents"]);
    let before = if planned["autonomous"]["eligible"] == true {
        "would have been executed by itself"
    } else {
        "waited for a person"
    };
    let execution = &seen.dispatch["execution"];
    let why = at(entry(&execution["withheld"]), "reasonCode");
    let dispatched = at(execution, "requestedIntentCount");
    let switch = "ops-manager fleet policy set kill-switch on";
    [
        format!("  {} {before}", intent()),
        format!("  {}", look.paint(Tone::Faint, &format!("$ {switch}"))),
        format!("  withheld: {why}"),
        format!("  {dispatched} dispatched; a person can still approve it:"),
        format!("  ops-manager fleet handoff approve {} \\", intent()),
        format!("    --repo {}", seen.repo.display()),
    ]
    .join("\n")
}

/// The alerts that were delivered.
fn heard(alerts: &[Value], look: Look) -> String {
    if alerts.is_empty() {
        return "  none".to_owned();
    }
    // They come in the order in which loops were done.
    let mut alerts: Vec<[String; 3]> = alerts.iter().map(heard_of).collect();
    alerts.sort();
    let line = |[severity, id, category]: &[String; 3]| {
        let tone = if severity == "critical" {
            Tone::Bad
        } else {
            Tone::Warning
        };
        let severity = look.paint(tone, &format!("{severity:<8}"));
        format!("  {severity} {id:<18} {category}")
    };
    alerts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Severity, loop and category of an alert.
fn heard_of(alert: &Value) -> [String; 3] {
    ["event.severity", "source.loopId", "event.category"].map(|path| at(alert, path))
}

fn places(root: &Path) -> String {
    format!(
        "  {}\n\
         \x20 manager's files   fleet/.superloop/ops-manager/fleet/ and <loop>/\n\
         \x20 runtime's files   fleet/.superloop/loops/, sprites/<loop>/…",
        root.display()
    )
}

fn look_around(seen: &Seen) -> String {
    let repo = seen.repo.display();
    format!(
        "  ops-manager fleet status --repo {repo}\n\
         \x20 ops-manager status --repo {repo} --loop {SCOPE}\n\
         \x20 ops-manager drill kill-switch --repo {repo}"
    )
}

/// The intent that would have been executed by itself.
fn intent() -> String {
    format!("{SCOPE}:health_critical:cancel")
}

/// The entry of a list that is about it.
fn entry(list: &Value) -> &Value {
    let mut entries = list.as_array().into_iter().flatten();
    let found = entries.find(|entry| at(entry, "intentId") == intent());
    found.unwrap_or(&Value::Null)
}

fn at(document: &Value, path: &str) -> String {
    let found = Lookup::new(document).text(path).ok().flatten();
    found.unwrap_or_default()
}
