//! A scratch repository with a fleet that may be promoted.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use om_model::{Timestamp, TraceId};
use om_promotion::apply::{ApplyRequest, Governance};
use om_promotion::{Hooks, Pipeline};
use om_stage::{Hook, StageOutput};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The moment at which everything happens.
pub(crate) const NOW: i64 = 1_900_000_000;

/// A registry as a person writes it: odd order, odd blanks, members of their
/// own, a disabled loop, a disabled auto-pause, no final newline.
pub(crate) const REGISTRY: &str = r#"{
  "x-owner": "platform",  "schemaVersion": "v1",
  "loops": [ {"loopId": "a", "enabled": false}, {"loopId":"b"} ],
	"policy": { "mode": "guarded_auto",
    "autonomous": {
      "rollout": {"canaryPercent": 10, "autoPause": {"enabled": false} },
      "governance": { "actor": "ada", "approvalRef": "CHG-0",
                      "rationale": "pilot", "changedAt": "2030-03-01T00:00:00Z", "reviewBy": "2030-04-01T00:00:00Z" }
    } } }"#;

/// A repository, and what its stages see.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) hooks: Hooks,
    pub(crate) status: RefCell<Value>,
    pub(crate) now: Cell<i64>,
    pub(crate) has_step_summary: Cell<bool>,
}

impl Place {
    /// All evidence says: promote.
    pub(crate) fn promotable() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("a folder"),
            hooks: Hooks::default(),
            status: RefCell::new(good_status()),
            now: Cell::new(NOW),
            has_step_summary: Cell::new(false),
        };
        fs::create_dir(place.repo()).expect("a repository");
        place.put("registry.v1.json", REGISTRY);
        place.put("state.json", "{}\n");
        place.put("telemetry/handoff.jsonl", &handoff_rows(20));
        place.put("drills/promotion.v1.json", &drills().to_string());
        place
    }

    /// With blanks, because paths may have them.
    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().join("a repo")
    }

    /// A path beside the repository.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the fleet.
    pub(crate) fn fleet(&self, name: &str) -> PathBuf {
        self.repo().join(".superloop/ops-manager/fleet").join(name)
    }

    pub(crate) fn fleet_text(&self, name: &str) -> String {
        self.fleet(name).display().to_string()
    }

    pub(crate) fn put(&self, name: &str, content: &str) {
        let path = self.fleet(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, content).expect("written");
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.fleet(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        om_model::json::parse(self.text(name).as_bytes()).expect("JSON")
    }

    /// The rows of a journal; none without one.
    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        let content = fs::read_to_string(self.fleet(name)).unwrap_or_default();
        let rows = content
            .lines()
            .map(|line| om_model::json::parse(line.as_bytes()));
        rows.map(|row| row.expect("a row")).collect()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.fleet(name).exists()
    }

    /// An executable script beside the repository, as a hook.
    pub(crate) fn hook(&self, variable: &str, body: &str) -> Hook {
        let path = self.outside(variable);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, mode).expect("executable");
        // The shell reads it: nobody's open file keeps it from being started.
        Hook::resolve(
            variable,
            &format!("sh {}", path.display()),
            std::env::var_os("PATH").as_deref(),
        )
    }

    /// Runs `command` with this place's hooks and clock.
    pub(crate) fn with<T>(&self, command: impl FnOnce(&Pipeline<'_>) -> T) -> T {
        let fleet_status = |_: &Path| printed(&self.status.borrow());
        let clock = || Timestamp::from_epoch_seconds(self.now.get());
        let trace_id = || TraceId::new("trace-new").expect("is not empty");
        let summary = self.outside("step-summary.md");
        command(&Pipeline {
            hooks: self.hooks.clone(),
            fleet_status: &fleet_status,
            clock: &clock,
            trace_id: &trace_id,
            step_summary: self.has_step_summary.get().then_some(summary),
        })
    }

    /// A request to change the rollout by somebody who may.
    pub(crate) fn apply(&self, intent: &str) -> ApplyRequest {
        ApplyRequest {
            repo: self.repo(),
            intent: Some(intent.to_owned()),
            governance: governance(),
            ..ApplyRequest::default()
        }
    }

    /// The promotion state says this.
    pub(crate) fn decided(&self, decision: &str) {
        let state = json!({ "summary": { "decision": decision } });
        self.put("promotion-state.json", &state.to_string());
    }

    /// The canary in the registry.
    pub(crate) fn canary(&self) -> u64 {
        self.json("registry.v1.json")["policy"]["autonomous"]["rollout"]["canaryPercent"]
            .as_u64()
            .expect("a number")
    }

    /// Every file of the fleet with its content, the store's own excepted.
    pub(crate) fn tree(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.fleet(""), &mut files);
        files.sort();
        files
    }
}

/// Who changes the rollout, in words with blanks.
pub(crate) fn governance() -> Governance {
    Governance {
        by: Some("kim".into()),
        approval_ref: Some("CHG-88".into()),
        rationale: Some("wider, in \"steps\" of 25".into()),
        review_by: Some("2030-05-01T00:00:00Z".into()),
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_seconds(NOW + seconds)
}

pub(crate) fn good_status() -> Value {
    json!({ "autonomous": {
        "enabled": true,
        "governance": { "posture": "active", "blocksAutonomous": false, "reasonCodes": [] },
        "outcomeRollup": { "manual_backlog": 0 },
        "rollout": { "autopause": { "active": false } },
        "safetyGateDecisions": { "byPath": {
            "policyGated": {}, "rolloutGated": {}, "governanceGated": {}, "transportGated": {},
        } },
    } })
}

pub(crate) fn handoff_rows(count: usize) -> String {
    let row = |index: usize| {
        let age = i64::try_from(count - index).expect("is small");
        let row = json!({
            "timestamp": at(-60 * age),
            "category": "fleet_handoff_execute",
            "execution": {
                "mode": "autonomous", "requestedIntentCount": 1, "executedIntentCount": 1,
                "executedCount": 1, "ambiguousCount": 0, "failedCount": 0,
            },
        });
        format!("{row}\n")
    };
    (0..count).map(row).collect()
}

pub(crate) fn drills() -> Value {
    let ids = [
        "kill_switch",
        "sprite_service_outage",
        "ambiguous_retry_guard",
    ];
    let entry = |id| json!({ "id": id, "status": "pass", "completedAt": at(-3600) });
    json!({ "schemaVersion": "v1", "drills": ids.map(entry) })
}

fn printed(document: &Value) -> StageOutput {
    StageOutput {
        stdout: format!("{document}\n").into_bytes(),
        ..StageOutput::default()
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if entry.file_name() == ".store" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
}
