//! The demo: recorded loop runs, moved to the present, observed for real.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, presets};
use include_dir::{Dir, DirEntry, include_dir};
use om_model::json::{Lookup, text};
use om_model::{Timestamp, json};
use serde_json::Value;

use super::style::{Look, Tone};
use super::words;
use crate::command::now;
use crate::error::CliError;

/// Eight repositories as the runtime left them.
static SAMPLES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../tests/fixtures/runtime");

/// One recorded repository and how long ago its last event shall be.
struct Scene {
    sample: &'static str,
    loop_id: &'static str,
    /// Seconds.
    age: i64,
    heartbeat: bool,
}

const SCENES: [Scene; 8] = [
    Scene {
        sample: "running",
        loop_id: "running",
        age: 12,
        heartbeat: true,
    },
    Scene {
        sample: "complete",
        loop_id: "checkout-flow",
        age: 45,
        heartbeat: false,
    },
    Scene {
        sample: "awaiting-approval",
        loop_id: "awaiting-approval",
        age: 130,
        heartbeat: false,
    },
    Scene {
        sample: "approved",
        loop_id: "awaiting-approval",
        age: 70,
        heartbeat: false,
    },
    Scene {
        sample: "rejected",
        loop_id: "awaiting-approval",
        age: 95,
        heartbeat: false,
    },
    Scene {
        sample: "max-iterations",
        loop_id: "max-iterations",
        age: 200,
        heartbeat: false,
    },
    Scene {
        sample: "stuck",
        loop_id: "stuck",
        age: 430,
        heartbeat: false,
    },
    Scene {
        sample: "role-failure",
        loop_id: "role-failure",
        age: 1_500,
        heartbeat: false,
    },
];

/// Builds the scratch repositories under `root`, reconciles each, and
/// returns what an operator sees.
pub fn run(root: &Path, look: Look) -> Result<String, CliError> {
    let mut reports = Vec::new();
    for scene in &SCENES {
        let repo = root.join(scene.sample);
        build(scene, &repo, now())?;
        let repo = repo.display().to_string();
        let target = ["--repo", repo.as_str(), "--loop", scene.loop_id];
        if scene.heartbeat {
            invoke("heartbeat", &target)?;
        }
        invoke(
            "reconcile",
            &[&target[..], &["--alerts-enabled", "false"]].concat(),
        )?;
        let mut report = invoke("status", &target)?;
        super::style::escape_controls(&mut report);
        reports.push((scene, report));
    }
    Ok(show(root, &reports, look))
}

/// Runs a subcommand of this very program and returns what it prints.
///
/// As a process of its own, because the demo must not obey hooks and settings
/// of the operator's environment.
fn invoke(subcommand: &str, arguments: &[&str]) -> Result<Value, CliError> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command.arg(subcommand).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if is_setting(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    let output = command
        .output()
        .map_err(|error| CliError::at(&program, error))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let message = message.trim().trim_start_matches("error: ");
        return Err(CliError::new(format!("{subcommand}: {message}")));
    }
    Ok(json::parse(&output.stdout)?)
}

/// Whether a variable changes what the commands do.
fn is_setting(name: &str) -> bool {
    name.starts_with("OPS_MANAGER_") || matches!(name, "SUPERLOOP_BIN" | "RUST_LOG")
}

/// Writes one recorded repository, its times moved so that the last event
/// lies `age` seconds before `now`.
fn build(scene: &Scene, repo: &Path, now: Timestamp) -> Result<(), CliError> {
    let sample = SAMPLES
        .get_dir(scene.sample)
        .ok_or_else(|| CliError::new(format!("no recorded sample {}", scene.sample)))?;
    let files = files_of(sample);
    let latest = files
        .iter()
        .flat_map(|(_, content)| timestamps(content))
        .max();
    let latest = latest.map_or(0, |(at, _)| at.epoch_seconds());
    let by = now.epoch_seconds() - scene.age - latest;
    for (path, content) in files {
        let relative = path.strip_prefix(scene.sample).unwrap_or(path);
        let target = repo.join(relative);
        let folder = target.parent().unwrap_or(repo);
        std::fs::create_dir_all(folder).map_err(|error| CliError::at(folder, error))?;
        std::fs::write(&target, shifted(content, by))
            .map_err(|error| CliError::at(&target, error))?;
    }
    Ok(())
}

fn files_of<'a>(folder: &'a Dir<'a>) -> Vec<(&'a Path, &'a str)> {
    folder
        .entries()
        .iter()
        .flat_map(|entry| match entry {
            DirEntry::Dir(inner) => files_of(inner),
            DirEntry::File(file) => file
                .contents_utf8()
                .map(|content| vec![(file.path(), content)])
                .unwrap_or_default(),
        })
        .collect()
}

/// Every timestamp in `content` with its byte offset, latest comparable first.
fn timestamps(content: &str) -> Vec<(Timestamp, usize)> {
    const LENGTH: usize = "2026-01-01T00:00:00Z".len();
    content
        .match_indices('T')
        .filter_map(|(at, _)| {
            let start = at.checked_sub("2026-01-01".len())?;
            let candidate = content.get(start..start + LENGTH)?;
            let written = Timestamp::parse(candidate).filter(|t| t.to_string() == candidate)?;
            Some((written, start))
        })
        .collect()
}

/// `content` with every timestamp moved by `by` seconds.
fn shifted(content: &str, by: i64) -> String {
    let mut out = String::with_capacity(content.len());
    let mut copied = 0;
    for (at, start) in timestamps(content) {
        out.push_str(&content[copied..start]);
        let moved = Timestamp::from_epoch_seconds(at.epoch_seconds() + by).to_string();
        copied = start + moved.len();
        out.push_str(&moved);
    }
    out.push_str(&content[copied..]);
    out
}

fn show(root: &Path, reports: &[(&Scene, Value)], look: Look) -> String {
    let mut out = format!(
        "{}\n\n",
        look.paint(Tone::Strong, "Eight loops, one pass each")
    );
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}\n", overview(reports, look));
    let worst = reports
        .iter()
        .max_by_key(|(_, report)| rank(&health_of(report)));
    if let Some((scene, report)) = worst
        && let Ok(report) = serde_json::from_value(report.clone())
    {
        let heading = format!("The worst of them: {}", scene.sample);
        let _ = writeln!(out, "{}\n", look.paint(Tone::Strong, &heading));
        let inset = Look {
            width: look.width - 2,
            ..look
        };
        let page = super::status_page::render(&report, inset);
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
        "  runtime's files   <repository>/.superloop/loops/<loop>/"
    );
    let _ = writeln!(
        out,
        "  manager's files   <repository>/{}/",
        manager.display()
    );
    let _ = writeln!(out, "\n{}", look.paint(Tone::Strong, "Look around"));
    let _ = writeln!(
        out,
        "  ops-manager status --repo {} --loop {}",
        first.display(),
        SCENES[2].loop_id
    );
    out
}

fn overview(reports: &[(&Scene, Value)], look: Look) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(look.width).unwrap_or(80));
    table.set_header(["repository", "loop", "lifecycle", "health", "why"]);
    // Only the reasons may wrap.
    table.set_constraints(vec![ColumnConstraint::ContentWidth; 4]);
    for (scene, report) in reports {
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
            Cell::new(scene.loop_id),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_moved_and_nothing_else() {
        let content = r#"{"at":"2026-11-20T07:36:17Z","run":"x2026-11-20T07:36:17Z","n":"T20"}"#;
        let moved = shifted(content, 3_600);
        assert_eq!(moved, content.replace("T07:", "T08:"));
        assert_eq!(shifted("no time at all", 1), "no time at all");
    }

    #[test]
    fn every_scene_has_a_recorded_sample() {
        for scene in &SCENES {
            let sample = SAMPLES.get_dir(scene.sample);
            let events = format!(
                "{}/.superloop/loops/{}/events.jsonl",
                scene.sample, scene.loop_id
            );
            assert!(
                sample.is_some_and(|dir| dir.get_file(events).is_some()),
                "{}",
                scene.sample
            );
        }
    }
}
