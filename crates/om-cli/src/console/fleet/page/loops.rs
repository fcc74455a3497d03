//! The loops, worst first, each exception with the command for it.

use std::path::Path;

use om_model::fleet::registry::FleetLoop;
use om_model::fleet::status::LoopPointer;
use om_model::health::TransportMode;
use om_model::json::{present, text};
use serde_json::Value;

use super::Page;
use crate::console::fleet::paint::{Paint, meanings, tone_of};
use crate::console::status_page::quoted;
use crate::console::style::Tone;
use crate::console::words::{self, Step};

/// Widths: mark and state, the longest loop id, age.
const STATE: usize = 13;
const LONGEST_ID: usize = 24;
const AGE: usize = 12;

/// One loop as it is shown.
struct Row<'a> {
    pointer: &'a LoopPointer,
    id: String,
    state: String,
    /// 0 is worst.
    severity: u8,
}

impl Page<'_> {
    pub(super) fn loops(&self, paint: &mut Paint) {
        let mut rows: Vec<Row<'_>> = self.report.loops.iter().map(Row::of).collect();
        rows.sort_by(|a, b| (a.severity, &a.id).cmp(&(b.severity, &b.id)));
        paint.heading("Loops, worst first");
        if rows.is_empty() {
            paint.line("  none");
        }
        let shown = &rows[..rows.len().min(self.most)];
        let longest = shown.iter().map(|row| row.id.chars().count()).max();
        let width = longest.unwrap_or(0).clamp(4, LONGEST_ID);
        for row in shown {
            self.row(paint, row, width);
        }
        self.more(paint, rows.len());
    }

    fn row(&self, paint: &mut Paint, row: &Row<'_>, width: usize) {
        let look = paint.look;
        let tone = tone_of(&row.state);
        let state = format!("{} {:<11}", look.mark(tone), row.state);
        let id = paint.cut(&row.id, width);
        let age = row.pointer.age_seconds.map(words::duration);
        let age = format!("{:>AGE$}", age.unwrap_or_default());
        let indent = 2 + STATE + width + 2;
        let room = look.width.saturating_sub(indent + AGE).max(20);
        let reasons = row.reasons();
        let mut lines = textwrap::wrap(&reasons, room).into_iter();
        let first = lines.next().unwrap_or_default();
        paint.line(&format!(
            "  {}{id:<width$}  {first:<room$}{}",
            look.paint(tone, &state),
            look.paint(Tone::Faint, &age),
        ));
        for line in lines {
            paint.line(&format!("{}{line}", " ".repeat(indent)));
        }
        if let Some(command) = self.next_command(row) {
            paint.line(&format!("{}{command}", " ".repeat(2 + STATE)));
        }
    }

    /// What somebody would type next; nothing for loops that are well.
    fn next_command(&self, row: &Row<'_>) -> Option<String> {
        let (repo, id) = (self.repo(), quoted(&row.id));
        match row.state.as_str() {
            "healthy" | "skipped" => None,
            "failed" => Some(self.after_failure(row)),
            _ => Some(format!("ops-manager status --repo {repo} --loop {id}")),
        }
    }

    /// The pass has failed: what tells why, or does it again.
    fn after_failure(&self, row: &Row<'_>) -> String {
        let code = row.code();
        if code.starts_with("missing_service_") {
            return format!("ops-manager fleet-registry --repo {} --pretty", self.repo());
        }
        let rows = row.pointer.artifacts.reconcile_telemetry_file.as_ref();
        let rows = rows.map(text).filter(|path| Path::new(path).is_file());
        let step = words::explain(&code).map(|known| known.command);
        match (step, rows) {
            (Some(Step::LastPass), Some(path)) => {
                format!("tail -n 1 {} | jq .", quoted(&path))
            }
            _ => self.reconcile(&row.id),
        }
    }

    /// The loop's pass as the fan-out makes it.
    fn reconcile(&self, id: &str) -> String {
        let command = format!(
            "ops-manager reconcile --repo {} --loop {} --pretty",
            self.repo(),
            quoted(id)
        );
        match self.registry.find(id) {
            Some(entry) if entry.transport == TransportMode::SpriteService => {
                format!("{}{command} {}", token(entry), service(entry))
            }
            _ => command,
        }
    }
}

/// The variable that the loop names, for the command that reads another one.
fn token(entry: &FleetLoop) -> String {
    let plain = |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name = entry.service.token_env.as_ref().filter(plain);
    name.map_or_else(String::new, |name| {
        format!("OPS_MANAGER_SERVICE_TOKEN=\"${name}\" ")
    })
}

fn service(entry: &FleetLoop) -> String {
    // An address may carry a password, which is not shown.
    let url = entry
        .service
        .base_url_text()
        .filter(|url| !url.contains('@'));
    let url = url.map_or_else(|| "<url>".to_owned(), quoted);
    format!("--transport sprite_service --service-base-url {url}")
}

impl<'a> Row<'a> {
    fn of(pointer: &'a LoopPointer) -> Self {
        let status = text(&pointer.status);
        let state = match status.as_str() {
            "failed" | "skipped" => status,
            _ => text(&pointer.health_status),
        };
        let severity = match state.as_str() {
            "failed" => 0,
            "critical" => 1,
            "degraded" => 2,
            "healthy" => 5,
            "skipped" => 4,
            _ => 3,
        };
        let id = pointer.loop_id.as_ref().map(text);
        Self {
            pointer,
            id: id.unwrap_or_else(|| "(no id)".to_owned()),
            state,
            severity,
        }
    }

    fn code(&self) -> String {
        let code = present(self.pointer.reason_code.as_ref());
        code.map(text).unwrap_or_default()
    }

    /// Why, in words.
    fn reasons(&self) -> String {
        let code = self.code();
        let health = self.pointer.health_reason_codes.as_array();
        let health = health.into_iter().flatten().filter_map(Value::as_str);
        let own = (!code.is_empty()).then_some(code.as_str());
        let told = meanings(own.into_iter().chain(health));
        if !told.is_empty() {
            return told;
        }
        let state = present(self.pointer.transition_state.as_ref()).map(text);
        state.map_or_else(String::new, |state| words::lifecycle(&state).to_owned())
    }
}
