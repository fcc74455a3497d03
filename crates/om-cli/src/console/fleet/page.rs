//! The status of a fleet as a page: what is wrong, worst first, and what to do
//! about it.

mod autonomy;
mod loops;
mod waiting;

use om_model::fleet::registry::Registry;
use om_model::fleet::status::FleetStatusReport;
use om_model::json::{self, text};
use serde_json::Value;

use super::paint::{Paint, tone_of};
use crate::console::status_page::quoted;
use crate::console::style::{Look, Tone, escape_controls};
use crate::console::words;

/// What a page is made from.
#[derive(Clone, Debug)]
pub struct PageInputs {
    /// The report.
    pub report: FleetStatusReport,
    /// The handoff state; `null` if there is none.
    pub handoff: Value,
    /// The registry as it is now.
    pub registry: Registry,
}

/// Rows of a list, unless somebody wants all of them.
const MOST: usize = 40;

/// Draws the page. Texts come from files that others write, so control
/// characters are shown, never sent to the terminal.
pub fn render(inputs: &PageInputs, all: bool, look: Look) -> String {
    let inputs = harmless(inputs);
    let page = Page {
        report: &inputs.report,
        handoff: &inputs.handoff,
        registry: &inputs.registry,
        most: if all { usize::MAX } else { MOST },
    };
    let mut paint = Paint::new(look);
    page.title(&mut paint);
    page.fleet(&mut paint);
    page.autonomy(&mut paint);
    page.last_handoff(&mut paint);
    page.loops(&mut paint);
    page.waiting(&mut paint);
    page.withheld(&mut paint);
    page.guarded(&mut paint);
    page.warnings(&mut paint);
    page.evidence(&mut paint);
    paint.out
}

/// The inputs with every text made safe to print.
fn harmless(inputs: &PageInputs) -> PageInputs {
    fn safe<T: serde::Serialize + serde::de::DeserializeOwned>(document: &T) -> Option<T> {
        let mut value = json::to_value(document);
        escape_controls(&mut value);
        serde_json::from_value(value).ok()
    }
    PageInputs {
        report: safe(&inputs.report).unwrap_or_else(|| inputs.report.clone()),
        handoff: safe(&inputs.handoff).unwrap_or_default(),
        registry: safe(&inputs.registry).unwrap_or_else(|| inputs.registry.clone()),
    }
}

struct Page<'a> {
    report: &'a FleetStatusReport,
    handoff: &'a Value,
    registry: &'a Registry,
    most: usize,
}

impl Page<'_> {
    fn title(&self, paint: &mut Paint) {
        let (tone, health) = self.health();
        let badge = format!("{} {health}", paint.look.mark(tone));
        let name = text(&self.report.source.fleet_id);
        let used = name.chars().count() + badge.chars().count();
        let gap = paint.look.width.saturating_sub(used).max(2);
        let title = format!(
            "{}{}{}",
            paint.look.paint(Tone::Strong, &name),
            " ".repeat(gap),
            paint.look.paint(tone, &badge)
        );
        paint.line(&title);
        let repo = paint.look.paint(Tone::Faint, &self.report.source.repo_path);
        paint.line(&repo);
        paint.line("");
    }

    /// The worst that is known.
    fn health(&self) -> (Tone, &'static str) {
        let rollup = &self.report.health_rollup;
        let exceptions = &self.report.exceptions;
        if rollup.critical > 0 {
            (Tone::Bad, "CRITICAL")
        } else if !exceptions.reconcile_failures.is_empty() {
            (Tone::Bad, "PARTLY UNSEEN")
        } else if rollup.degraded > 0 {
            (Tone::Warning, "DEGRADED")
        } else if rollup.healthy == 0 {
            (Tone::Warning, "UNKNOWN")
        } else {
            (Tone::Good, "HEALTHY")
        }
    }

    fn fleet(&self, paint: &mut Paint) {
        let fleet = &self.report.fleet;
        let age = fleet.age_seconds.map(words::duration);
        let age = age.map_or_else(
            || "at an unknown time".to_owned(),
            |age| format!("{age} ago"),
        );
        let took = fleet.duration_seconds.as_ref().and_then(json::digits);
        let took = took.map_or_else(String::new, |s| format!(", took {}", words::duration(s)));
        let status = text(&fleet.status);
        let counts = format!(
            "{}: {} observed, {} not, {} disabled",
            loops(&fleet.loop_count),
            text(&fleet.success_count),
            text(&fleet.failed_count),
            text(&fleet.skipped_count),
        );
        paint.block(
            "Fleet",
            &[
                (tone_of(&status), counts),
                (Tone::Good, format!("reconciled {age}{took}")),
            ],
        );
        let rollup = &self.report.health_rollup;
        let health = format!(
            "{} healthy, {} degraded, {} critical, {} unknown",
            rollup.healthy, rollup.degraded, rollup.critical, rollup.unknown
        );
        paint.block("Health", &[(Tone::Good, health)]);
    }

    fn warnings(&self, paint: &mut Paint) {
        if self.report.warnings.is_empty() {
            return;
        }
        paint.heading("Warnings");
        for warning in &self.report.warnings {
            let line = warning.line.map(|line| format!(":{line}"));
            let at = format!("{}{}", self.short(&warning.file), line.unwrap_or_default());
            paint.wrapped(2, Tone::Warning, &format!("{at}: {}", warning.message));
        }
    }

    fn evidence(&self, paint: &mut Paint) {
        paint.heading("Evidence");
        let files = &self.report.files;
        for (name, path) in [
            ("fleet", &files.fleet_state_file),
            ("policy", &files.policy_state_file),
            ("handoff", &files.handoff_state_file),
            ("registry", &files.registry_file),
        ] {
            paint.line(&format!("  {name:<10}{}", self.short(path)));
        }
        let traces = &self.report.trace_linkage;
        let mut trace = |name: &str, value: Option<&Value>| {
            if let Some(value) = json::present(value) {
                paint.line(&format!("  {name:<10}{}", text(value)));
            }
        };
        match &traces.shared_trace_id {
            Some(shared) if !shared.is_null() => trace("trace", Some(shared)),
            _ => {
                trace("trace", traces.fleet_trace_id.as_ref());
                if traces.policy_trace_id != traces.fleet_trace_id {
                    trace("policy's", traces.policy_trace_id.as_ref());
                }
            }
        }
    }

    /// A path relative to the repository where possible.
    fn short(&self, path: &str) -> String {
        let relative = path.strip_prefix(&self.report.source.repo_path);
        let relative = relative.and_then(|rest| rest.strip_prefix('/'));
        quoted(relative.unwrap_or(path))
    }

    fn repo(&self) -> String {
        quoted(&self.report.source.repo_path)
    }

    /// How many of a list are not shown, and how to see them.
    fn more(&self, paint: &mut Paint, count: usize) {
        let Some(hidden) = count.checked_sub(self.most).filter(|hidden| *hidden > 0) else {
            return;
        };
        let text = format!(
            "and {hidden} more: ops-manager fleet status --all --repo {}",
            self.repo()
        );
        let text = paint.look.paint(Tone::Faint, &text);
        paint.line(&format!("  {text}"));
    }
}

fn loops(count: &Value) -> String {
    match text(count).as_str() {
        "1" => "1 loop".to_owned(),
        count => format!("{count} loops"),
    }
}

#[cfg(test)]
mod tests;
