//! The registry of the simulated fleet, as people write it.

use om_model::Timestamp;
use serde_json::{Value, json};

use super::faults::{Settings, Switch};

/// A review deadline that is never over.
pub(super) const FAR: &str = "2999-01-01T00:00:00Z";
const LAPSED: &str = "2020-06-01T00:00:00Z";

/// All categories.
const CATEGORIES: [&str; 3] = ["reconcile_failed", "health_critical", "health_degraded"];

/// What a registry is made from besides its settings.
pub(super) struct Fleet<'a> {
    /// Entries of `loops`.
    pub(super) loops: &'a [Value],
    /// Their ids.
    pub(super) ids: &'a [String],
}

/// The settings of a quiet fleet in which everything may happen by itself.
pub(super) fn open_settings() -> Settings {
    Settings {
        guarded: true,
        lapsed: false,
        kill_switch: false,
        paused: false,
        canary: 100,
        salt: 0,
        scope: Vec::new(),
        frozen: Vec::new(),
        disabled: Vec::new(),
        suppressed: Vec::new(),
        categories: vec![0, 1],
        per_run: 3,
        per_loop: 1,
        cooldown: 0,
        dedupe: 0,
        auto_pause: true,
        lookback: 5,
        sample: 3,
        cleared: true,
    }
}

impl Fleet<'_> {
    /// The registry with these settings.
    pub(super) fn registry(&self, settings: &Settings, now: Timestamp) -> Value {
        json!({
            "schemaVersion": "v1",
            "fleetId": "soak",
            "loops": self.entries(&settings.disabled),
            "policy": {
                "mode": mode(settings.guarded),
                "suppressions": self.suppressions(&settings.suppressed),
                "noiseControls": { "dedupeWindowSeconds": settings.dedupe },
                "autonomous": {
                    "allow": {
                        "categories": names(&settings.categories),
                        "intents": ["cancel"],
                    },
                    "safety": {
                        "maxActionsPerRun": settings.per_run,
                        "maxActionsPerLoop": settings.per_loop,
                        "cooldownSeconds": settings.cooldown,
                        "killSwitch": settings.kill_switch,
                    },
                    "governance": {
                        "actor": "soak", "approvalRef": "SOAK-1", "rationale": "a test",
                        "changedAt": "2020-01-01T00:00:00Z",
                        "reviewBy": if settings.lapsed { LAPSED } else { FAR },
                    },
                    "rollout": self.rollout(settings, now),
                },
            },
        })
    }

    fn rollout(&self, settings: &Settings, now: Timestamp) -> Value {
        let mut auto_pause = json!({
            "enabled": settings.auto_pause,
            "lookbackExecutions": settings.lookback,
            "minSampleSize": settings.sample,
        });
        if settings.cleared {
            auto_pause["clearedAt"] = json!(now);
        }
        json!({
            "canaryPercent": settings.canary,
            "scope": { "loopIds": self.chosen(&settings.scope) },
            "selector": { "salt": format!("soak-{}", settings.salt) },
            "pause": { "manual": settings.paused },
            "autoPause": auto_pause,
            "frozenLoopIds": self.chosen(&settings.frozen),
        })
    }

    fn entries(&self, disabled: &[usize]) -> Vec<Value> {
        let mut entries = self.loops.to_vec();
        for index in disabled {
            entries[*index]["enabled"] = json!(false);
        }
        entries
    }

    fn chosen(&self, indices: &[usize]) -> Vec<&str> {
        indices
            .iter()
            .map(|index| self.ids[*index].as_str())
            .collect()
    }

    fn suppressions(&self, suppressed: &[(Option<usize>, usize)]) -> Value {
        let mut map = json!({});
        for (of, category) in suppressed {
            let scope = of.map_or("*", |index| self.ids[index].as_str());
            map[scope] = json!(names(&[*category]));
        }
        map
    }

    /// Turns a switch with an editor.
    pub(super) fn turn(&self, registry: &mut Value, switch: Switch, now: Timestamp) {
        let policy = &mut registry["policy"];
        match switch {
            Switch::Guarded(on) => policy["mode"] = json!(mode(on)),
            Switch::Suppress(index, on) => {
                let categories = if on { names(&[0, 1, 2]) } else { Vec::new() };
                policy["suppressions"][&self.ids[index]] = json!(categories);
            }
            Switch::Kill(on) => policy["autonomous"]["safety"]["killSwitch"] = json!(on),
            Switch::Pause(on) => policy["autonomous"]["rollout"]["pause"]["manual"] = json!(on),
            Switch::ClearAutoPause => {
                policy["autonomous"]["rollout"]["autoPause"]["clearedAt"] = json!(now);
            }
            Switch::Canary(percent) => {
                policy["autonomous"]["rollout"]["canaryPercent"] = json!(percent);
            }
            Switch::Freeze(index, on) => {
                let id = json!(self.ids[index]);
                let frozen = &mut policy["autonomous"]["rollout"]["frozenLoopIds"];
                let mut ids: Vec<Value> = frozen.as_array().cloned().unwrap_or_default();
                ids.retain(|known| *known != id);
                if on {
                    ids.push(id);
                }
                *frozen = json!(ids);
            }
        }
    }

    /// The words after `ops-manager fleet policy set` that turn it.
    pub(super) fn words(&self, switch: Switch) -> Vec<String> {
        let on = |on: bool| if on { "on" } else { "off" };
        let words = match switch {
            Switch::Kill(state) => vec!["kill-switch", on(state)],
            Switch::Pause(state) => vec!["pause", on(state)],
            Switch::Freeze(index, state) => vec!["freeze", self.ids[index].as_str(), on(state)],
            Switch::ClearAutoPause => vec!["autopause", "clear"],
            Switch::Canary(percent) => {
                return vec!["canary".to_owned(), percent.to_string()];
            }
            Switch::Guarded(state) => vec!["mode", mode(state)],
            Switch::Suppress(index, state) => {
                vec![
                    "suppress",
                    self.ids[index].as_str(),
                    "health_critical",
                    on(state),
                ]
            }
        };
        words.into_iter().map(str::to_owned).collect()
    }
}

fn mode(guarded: bool) -> &'static str {
    if guarded { "guarded_auto" } else { "advisory" }
}

fn names(categories: &[usize]) -> Vec<&'static str> {
    categories.iter().map(|index| CATEGORIES[*index]).collect()
}
