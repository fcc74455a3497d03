//! What the commands really write must match the published schemas.
//!
//! A loop is generated in a temporary directory, observed and acted on by the
//! real binaries: warm, and while it cannot be observed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use om_model::{LoopId, Timestamp};
use serde_json::Value;

use crate::config::{read_json, violations};
use crate::error::Error;
use crate::gen_loop::GeneratedLoop;
use crate::generated::names_in;
use crate::workspace::{Workspace, target_directory};

/// Commands with the flags that they need besides `--repo` and `--loop`, whose
/// standard output is a document, or one per line.
const OUTPUTS: [(&str, &[&str], &str); 7] = [
    ("ops-manager-loop-run-snapshot", &[], "contract"),
    ("ops-manager-poll-events", &[], "contract"),
    ("ops-manager-telemetry-summary", &[], "telemetry-summary"),
    ("ops-manager-control", &["--intent", "cancel"], "intent-row"),
    (
        "ops-manager-confirm-intent",
        &["--intent", "reject", "--timeout-seconds", "0"],
        "confirm-verdict",
    ),
    ("ops-manager-alert-dispatch", &[], "alert-dispatch-state"),
    ("ops-manager-status", &[], "status"),
];

/// Files below `.superloop/ops-manager/<loop>/`.
const FILES: [(&str, &str); 18] = [
    ("alert-dispatch-state.json", "alert-dispatch-state"),
    ("control-pending.json", "control-pending"),
    ("cursor.json", "cursor"),
    ("escalations.jsonl", "escalation-row"),
    ("health.json", "health"),
    ("heartbeat.json", "heartbeat-state"),
    ("intents.jsonl", "intent-row"),
    ("profile-drift.json", "profile-drift"),
    ("sequence-state.json", "sequence-state"),
    ("state.json", "state"),
    ("telemetry/alerts.jsonl", "alert-row"),
    (
        "telemetry/control-invocations.jsonl",
        "control-invocation-row",
    ),
    ("telemetry/control.jsonl", "control-row"),
    ("telemetry/heartbeat.jsonl", "heartbeat-row"),
    ("telemetry/profile-drift.jsonl", "profile-drift-row"),
    ("telemetry/reconcile.jsonl", "reconcile-row"),
    ("telemetry/sequence.jsonl", "sequence-row"),
    ("telemetry/transport-health.json", "transport-health"),
];

/// Runs the commands in `cargo build`'s output and checks all they write.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let temporary = std::env::temp_dir();
    let repo = tempfile::tempdir().map_err(Error::file("create a directory in", &temporary))?;
    let observed = Observed {
        binaries: target_directory(&workspace.metadata()?).join("debug"),
        schemas: workspace.path("schemas"),
        generated: generated(repo.path())?,
    };
    let findings = observed.findings()?;
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Error::Written(findings))
    }
}

fn generated(repo: &Path) -> Result<GeneratedLoop, Error> {
    // A fixed time in the past: health is critical, which writes the most.
    let end = Timestamp::from_epoch_seconds(1_900_000_000);
    let loop_id = LoopId::new("schema-loop")?;
    GeneratedLoop::create(repo, loop_id, 120, end)
}

/// A loop, and what it takes to look at it.
struct Observed {
    binaries: PathBuf,
    schemas: PathBuf,
    generated: GeneratedLoop,
}

impl Observed {
    fn findings(&self) -> Result<Vec<String>, Error> {
        let mut findings = Vec::new();
        self.run("ops-manager-reconcile", &[])?;
        for (command, flags, schema) in OUTPUTS {
            let output = self.run(command, flags)?;
            findings.extend(self.compare(command, schema, &output)?);
        }
        self.make_unobservable()?;
        self.run("ops-manager-reconcile", &[])?;
        let scope = self.scope();
        for name in files_below(&scope)? {
            let path = scope.join(&name);
            match FILES.iter().find(|(file, _)| *file == name) {
                None => findings.push(format!(
                    "{name} has no schema; add it to xtask/src/written.rs"
                )),
                Some((_, schema)) => {
                    let content = fs::read(&path).map_err(Error::file("read", &path))?;
                    findings.extend(self.compare(&name, schema, &content)?);
                }
            }
        }
        Ok(findings)
    }

    /// Standard output of a command about the loop. Its exit code is not
    /// looked at: a loop that cannot be observed is a result, too.
    fn run(&self, command: &str, flags: &[&str]) -> Result<Vec<u8>, Error> {
        let output = Command::new(self.binaries.join(command))
            .arg("--repo")
            .arg(self.generated.repo())
            .args(["--loop", self.generated.loop_id().as_str()])
            .args(flags)
            // Fails, and is recorded: there is no runtime to be acted on.
            .env("SUPERLOOP_BIN", "/nonexistent")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| Error::Start {
                command: command.to_owned(),
                source,
            })?;
        if output.stdout.is_empty() {
            return Err(Error::Command {
                command: command.to_owned(),
                status: output.status,
                output: format!("\n{}", String::from_utf8_lossy(&output.stderr).trim_end()),
            });
        }
        Ok(output.stdout)
    }

    fn make_unobservable(&self) -> Result<(), Error> {
        let log = self.generated.events_file();
        fs::remove_file(&log).map_err(Error::file("remove", &log))
    }

    fn scope(&self) -> PathBuf {
        let ops = self.generated.repo().join(".superloop/ops-manager");
        ops.join(self.generated.loop_id().as_str())
    }

    /// Compares every document of `content` with a schema.
    fn compare(&self, what: &str, schema: &str, content: &[u8]) -> Result<Vec<String>, Error> {
        let schema_name = format!("ops-manager.{schema}.schema.json");
        let schema = read_json(&self.schemas.join(&schema_name))?;
        let mut findings = Vec::new();
        for document in serde_json::Deserializer::from_slice(content).into_iter::<Value>() {
            match document {
                Err(error) => findings.push(format!("{what}: {error}")),
                Ok(document) => findings.extend(
                    violations(&schema, &document)
                        .into_iter()
                        .map(|violation| format!("{what}{violation} (schemas/{schema_name})")),
                ),
            }
        }
        Ok(findings)
    }
}

/// Files in `scope` and its `telemetry/`, by their relative names.
fn files_below(scope: &Path) -> Result<Vec<String>, Error> {
    let top = names_in(scope)?;
    let telemetry = names_in(&scope.join("telemetry"))?;
    let telemetry = telemetry.iter().map(|name| format!("telemetry/{name}"));
    Ok(top
        .into_iter()
        .chain(telemetry)
        .filter(|name| scope.join(name).is_file())
        .collect())
}
