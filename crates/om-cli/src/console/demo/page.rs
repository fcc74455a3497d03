//! What the demo shows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, presets};
use om_model::json::{Lookup, text};
use serde_json::Value;

use super::{Finding, SCENES};
use crate::console::status_page;
use crate::console::style::{Look, Tone};
use crate::console::words;

pub(super) fn show(root: &Path, findings: &[Finding], alerts: &[Value], look: Look) -> String {
    let mut out = format!(
        "{}\n\n",
        look.paint(
            Tone::Strong,
            "Eight loops, one pass each, half of them over the network"
        )
    );
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}\n", overview(findings, look));
    let _ = writeln!(out, "{}\n", heard(alerts, look));
    let worst = findings
        .iter()
        .max_by_key(|finding| rank(&health_of(&finding.report)));
    if let Some(worst) = worst
        && let Ok(report) = serde_json::from_value(worst.report.clone())
    {
        let heading = format!("The worst of them: {}", worst.scene.sample);
        let _ = writeln!(out, "{}\n", look.paint(Tone::Strong, &heading));
        let inset = Look {
            width: look.width - 2,
            ..look
        };
        let page = status_page::render(&report, inset);
        page.lines().for_each(|line| {
            let _ = writeln!(out, "{}", format!("  {line}").trim_end());
        });
    }
    let first = root.join(SCENES[2].sample);
    let manager: PathBuf = [".superloop", "ops-manager", "<loop>"].iter().collect();
    let _ = writeln!(out, "\n{}", look.paint(Tone::Strong, "Where everything is"));
    let _ = writeln!(out, "  {}", root.display());
    let _ = writeln!(
        out,
        "  runtime's files   <name>/.superloop/loops/<loop>/, on sprites sprites/<name>/…"
    );
    let _ = writeln!(out, "  manager's files   <name>/{}/", manager.display());
    let _ = writeln!(out, "\n{}", look.paint(Tone::Strong, "Look around"));
    let _ = writeln!(
        out,
        "  ops-manager status --repo {} --loop {}",
        first.display(),
        SCENES[2].loop_id
    );
    out
}

fn overview(findings: &[Finding], look: Look) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(look.width).unwrap_or(80));
    table.set_header(["loop", "seen", "lifecycle", "health", "why"]);
    // Only the reasons may wrap.
    table.set_constraints(vec![ColumnConstraint::ContentWidth; 4]);
    for finding in findings {
        let Finding {
            scene,
            service,
            report,
        } = finding;
        let health = health_of(report);
        let tone = match rank(&health) {
            0 => Tone::Good,
            1 => Tone::Warning,
            _ => Tone::Bad,
        };
        let lookup = |path| {
            Lookup::new(report)
                .text(path)
                .ok()
                .flatten()
                .unwrap_or_default()
        };
        table.add_row([
            Cell::new(scene.sample),
            Cell::new(if service.is_some() {
                "service"
            } else {
                "files"
            }),
            Cell::new(lookup("lifecycle.state")),
            Cell::new(look.paint(tone, &format!("{} {health}", look.mark(tone)))),
            Cell::new(reasons_of(report)),
        ]);
    }
    table
}

fn health_of(report: &Value) -> String {
    Lookup::new(report)
        .text("health.status")
        .ok()
        .flatten()
        .unwrap_or_default()
}

fn rank(health: &str) -> u8 {
    match health {
        "healthy" => 0,
        "degraded" => 1,
        _ => 2,
    }
}

fn reasons_of(report: &Value) -> String {
    let codes = Lookup::new(report).get("health.reasonCodes").ok().flatten();
    let codes = codes
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(text);
    let meanings =
        codes.map(|code| words::explain(&code).map_or(code.clone(), |e| e.meaning.to_owned()));
    meanings.collect::<Vec<_>>().join(", ")
}

/// The alerts that were delivered.
fn heard(alerts: &[Value], look: Look) -> String {
    let mut out = look.paint(
        Tone::Strong,
        "Alerts that arrived at a webhook on this machine",
    );
    if alerts.is_empty() {
        out.push_str("\n  none");
    }
    for alert in alerts {
        let lookup = |path| {
            let found = Lookup::new(alert).text(path).ok().flatten();
            found.unwrap_or_default()
        };
        let tone = match lookup("event.severity").as_str() {
            "critical" => Tone::Bad,
            _ => Tone::Warning,
        };
        let severity = format!("{:<8}", lookup("event.severity"));
        let _ = write!(
            out,
            "\n  {} {:<18} {}",
            look.paint(tone, &severity),
            lookup("source.loopId"),
            lookup("event.category"),
        );
    }
    out
}
