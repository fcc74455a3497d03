//! The dozen loops of the demo, and the policy for them.

use std::fs;
use std::path::{Path, PathBuf};

use om_model::{LoopId, Timestamp, json};
use serde_json::{Value, json};

use crate::console::scratch::{Standing, put_loop, samples};
use crate::error::CliError;

/// The loop that autonomy is for.
pub(super) const SCOPE: &str = "nightly-build";

/// One loop of the demo.
pub(super) struct DemoLoop {
    pub(super) id: &'static str,
    pub(super) place: Place,
    pub(super) heartbeat: bool,
    past: Past,
}

/// Where a loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the manager's own repository.
    Here,
    /// On a sprite, behind its service.
    Sprite,
    /// On a sprite that does not answer.
    Gone,
}

/// What it has behind it.
enum Past {
    /// A recorded run and how long ago its last event shall be, in seconds.
    Recorded {
        sample: &'static str,
        id: &'static str,
        age: i64,
    },
    /// A made-up one.
    MadeUp(Standing),
}

const fn recorded(id: &'static str, place: Place, sample: &'static str, age: i64) -> DemoLoop {
    DemoLoop {
        id,
        place,
        heartbeat: false,
        past: Past::Recorded { sample, id, age },
    }
}

const fn made_up(id: &'static str, place: Place, standing: Standing) -> DemoLoop {
    DemoLoop {
        id,
        place,
        heartbeat: false,
        past: Past::MadeUp(standing),
    }
}

/// The recorded runs that had a decision were of one loop.
const fn decided(sample: &'static str, age: i64) -> DemoLoop {
    DemoLoop {
        past: Past::Recorded {
            sample,
            id: "awaiting-approval",
            age,
        },
        ..recorded(sample, Place::Sprite, sample, age)
    }
}

/// All of them; `archive` is disabled.
pub(super) const LOOPS: [DemoLoop; 12] = [
    made_up("archive", Place::Here, Standing::Healthy),
    recorded("awaiting-approval", Place::Here, "awaiting-approval", 130),
    made_up("billing-sync", Place::Here, Standing::Degraded),
    recorded("checkout-flow", Place::Here, "complete", 45),
    made_up(SCOPE, Place::Here, Standing::Critical),
    recorded("stuck", Place::Here, "stuck", 430),
    decided("approved", 70),
    made_up("mail-digest", Place::Gone, Standing::Unreachable),
    recorded("max-iterations", Place::Sprite, "max-iterations", 200),
    decided("rejected", 95),
    recorded("role-failure", Place::Sprite, "role-failure", 1_500),
    DemoLoop {
        heartbeat: true,
        ..recorded("running", Place::Sprite, "running", 12)
    },
];

impl DemoLoop {
    /// The repository that it runs in.
    pub(super) fn home(&self, root: &Path) -> PathBuf {
        match self.place {
            Place::Here => root.join("fleet"),
            Place::Sprite | Place::Gone => root.join("sprites").join(self.id),
        }
    }

    /// Writes its runtime's files.
    pub(super) fn build(&self, home: &Path, now: Timestamp) -> Result<(), CliError> {
        match self.past {
            Past::Recorded { sample, id, age } => {
                samples::build(sample, (id, self.id), age, home, now)
            }
            Past::MadeUp(standing) => put_loop(home, &LoopId::new(self.id)?, standing, now),
        }
    }
}

/// The registry; `urls` are the services' addresses, in the order of
/// [`LOOPS`].
pub(super) fn registry(urls: &[Option<String>], now: Timestamp) -> Value {
    let day = |days: i64| {
        Timestamp::from_epoch_seconds(now.epoch_seconds() + days * 24 * 3600).to_string()
    };
    let loops = LOOPS.iter().zip(urls).map(|(entry, url)| match url {
        None => json!({"loopId": entry.id, "enabled": entry.id != "archive"}),
        Some(url) => json!({
            "loopId": entry.id, "transport": "sprite_service",
            "service": {"baseUrl": url, "retryAttempts": 1},
        }),
    });
    json!({
        "schemaVersion": "v1",
        "fleetId": "demo",
        "loops": loops.collect::<Vec<_>>(),
        "policy": {
            "mode": "guarded_auto",
            "suppressions": {"*": ["health_degraded"]},
            "suppressionGovernance": {"*": {
                "actor": "demo", "ref": "DEMO-2", "rationale": "looked at in the morning",
                "reviewBy": day(30),
            }},
            "autonomous": {
                "governance": {
                    "actor": "demo", "approvalRef": "DEMO-1", "rationale": "to see it work",
                    "changedAt": day(0), "reviewBy": day(90),
                },
                "rollout": {"scope": {"loopIds": [SCOPE]}},
            },
        },
    })
}

/// Writes the registry, its folder included.
pub(super) fn write(file: &Path, registry: &Value) -> Result<(), CliError> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(|error| CliError::at(folder, error))?;
    fs::write(file, json::pretty(registry) + "\n").map_err(|error| CliError::at(file, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_loops_are_on_sprites_and_every_recording_exists() {
        let away = LOOPS.iter().filter(|entry| entry.place != Place::Here);
        assert_eq!(away.count() * 2, LOOPS.len());
        for entry in &LOOPS {
            let scratch = tempfile::tempdir().expect("a folder");
            let now = Timestamp::from_epoch_seconds(2_000_000_000);
            entry.build(scratch.path(), now).expect("is built");
            let events = format!(".superloop/loops/{}/events.jsonl", entry.id);
            let is_there = scratch.path().join(events).is_file();
            assert_eq!(is_there, entry.place != Place::Gone, "{}", entry.id);
        }
    }

    #[test]
    fn the_registry_is_valid() {
        let now = Timestamp::from_epoch_seconds(2_000_000_000);
        let urls: Vec<_> = LOOPS
            .iter()
            .map(|_| Some("http://h:1".to_owned()))
            .collect();
        let text = registry(&urls, now).to_string();
        let found = om_registry::evaluate(text.as_bytes(), "f", now).expect("is JSON");
        assert_eq!(found.warnings, []);
        found.valid().expect("is valid");
    }
}
