//! The registry on real files, through real hooks.

#![expect(
    clippy::expect_used,
    reason = "what a test sets up works, or the test fails"
)]

mod file;
mod stage;

use std::fs;
use std::path::PathBuf;

use om_model::Timestamp;
use tempfile::TempDir;

/// Noon of a day in May.
fn now() -> Timestamp {
    Timestamp::parse("2031-05-04T12:00:00Z").expect("a timestamp")
}

/// A repository with this registry.
fn repository(registry: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("scratch folder");
    let fleet = folder.path().join(".superloop/ops-manager/fleet");
    fs::create_dir_all(&fleet).expect("fleet folder");
    let file = fleet.join("registry.v1.json");
    fs::write(&file, registry).expect("registry");
    (folder, file)
}

/// The registry that the runbook leads to when it turns guarded autonomy on.
const GUARDED: &str = r#"{
  "schemaVersion": "v1",
  "loops": [
    {
      "loopId": "loop-a"
    },
    {
      "loopId": "loop-b",
      "transport": "sprite_service",
      "service": {
        "baseUrl": "http://127.0.0.1:8787"
      }
    }
  ],
  "policy": {
    "mode": "guarded_auto",
    "autonomous": {
      "governance": {
        "actor": "<actor>",
        "approvalRef": "<approval-ref>",
        "rationale": "<rationale>",
        "changedAt": "2031-05-01T12:00:00Z",
        "reviewBy": "2031-05-05T12:00:00Z"
      },
      "rollout": {
        "canaryPercent": 25,
        "scope": {
          "loopIds": [
            "loop-a",
            "loop-b"
          ]
        }
      }
    }
  }
}
"#;
