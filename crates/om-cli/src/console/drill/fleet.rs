//! The fleet that a drill is played on: a copy, made harmless.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use om_model::fleet::registry::{FleetLoop, Registry};
use om_model::health::TransportMode;
use om_model::{Artifact, LoopId, Timestamp, json};
use om_registry::RegistryStage;
use om_store::{FleetFile, RepoLayout, read_artifact};
use serde_json::{Map, Value, json};

use crate::command::now;
use crate::commands::fleet_registry::refused;
use crate::console::scratch::Standing;
use crate::error::CliError;

/// How long the drill's own approval lasts, in seconds: well beyond what
/// counts as due soon.
const REVIEW_IN: i64 = 90 * 24 * 3600;

/// A fleet as it is, and how its loops were found last.
#[derive(Clone, Debug)]
pub struct Original {
    /// The repository that it is from.
    pub(super) from: Option<String>,
    pub(super) fleet_id: String,
    /// The registry as written.
    document: Value,
    pub(super) members: Vec<Member>,
}

/// One loop of it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: LoopId,
    pub(super) enabled: bool,
    pub(super) standing: Standing,
    served: bool,
}

impl Original {
    /// The fleet of `repo`: its registry, which has to be valid but for its
    /// review, and its last state, if there is one. No hook is asked.
    pub fn read(repo: &Path) -> Result<Self, CliError> {
        let mut source = RegistryStage::new(repo, None);
        source.hook = None;
        let registry = source
            .read(now())
            .and_then(om_registry::Evaluation::accepted);
        let registry = registry.map_err(refused)?;
        let Artifact::Document(document) = read_artifact(Path::new(&source.file))? else {
            let message = "fleet registry changed while it was being read; try again";
            return Err(CliError::new(message));
        };
        let state = last_state(repo)?;
        let from = Some(repo.display().to_string());
        Ok(Self::new(from, document, &registry, &state))
    }

    /// Six loops that are well.
    pub fn made_up() -> Self {
        let names = [
            "billing", "checkout", "mail", "nightly", "reports", "search",
        ];
        let members = names.into_iter().filter_map(|name| Member::new(name).ok());
        Self {
            from: None,
            fleet_id: "drill".to_owned(),
            document: json!({
                "schemaVersion": "v1",
                "fleetId": "drill",
                "loops": names.map(|name| json!({"loopId": name})),
            }),
            members: members.collect(),
        }
    }

    fn new(from: Option<String>, document: Value, registry: &Registry, state: &Value) -> Self {
        let results = state.get("results").and_then(Value::as_array);
        let results = results.into_iter().flatten();
        let found: BTreeMap<&str, Standing> = results
            .filter_map(|result| Some((result.get("loopId")?.as_str()?, standing(result))))
            .collect();
        let member = |entry: &FleetLoop| Member {
            id: entry.loop_id.clone(),
            enabled: entry.enabled,
            standing: found
                .get(entry.loop_id.as_str())
                .copied()
                .unwrap_or(Standing::Healthy),
            served: entry.transport == TransportMode::SpriteService,
        };
        Self {
            from,
            fleet_id: registry.fleet_id.clone(),
            document,
            members: registry.loops.iter().map(member).collect(),
        }
    }

    /// The loops that something shall happen to, taken out of the members:
    /// enabled ones in the order of their ids, served ones first if services
    /// are what it is about; made-up ones where there are too few. Another
    /// loop that is well stays.
    pub(super) fn cast(&mut self, count: usize, served: bool) -> Result<Vec<LoopId>, CliError> {
        let mut candidates: Vec<&Member> = self.members.iter().filter(|m| m.enabled).collect();
        candidates.sort_by_key(|member| (served && !member.served, &member.id));
        let cast = candidates
            .iter()
            .take(count)
            .map(|member| member.id.clone());
        let mut cast: Vec<LoopId> = cast.collect();
        while cast.len() < count {
            cast.push(self.add()?);
        }
        let is_well = |member: &Member| member.enabled && member.standing == Standing::Healthy;
        if !self
            .members
            .iter()
            .any(|member| is_well(member) && !cast.contains(&member.id))
        {
            self.add()?;
        }
        Ok(cast)
    }

    /// A loop more, well and enabled.
    fn add(&mut self) -> Result<LoopId, CliError> {
        let is_taken = |name: &str| self.members.iter().any(|m| m.id.as_str() == name);
        let mut number = 1;
        while is_taken(&format!("drill-{number}")) {
            number += 1;
        }
        let member = Member::new(&format!("drill-{number}"))?;
        if let Some(loops) = self.document.get_mut("loops").and_then(Value::as_array_mut) {
            loops.push(json!({"loopId": member.id}));
        }
        let id = member.id.clone();
        self.members.push(member);
        Ok(id)
    }

    /// The registry of the copy: no loop is reached where it really is, and
    /// nothing but what the drill tries keeps `subjects` from being acted on
    /// by themselves. `services` are the subjects' addresses, if they have
    /// any.
    pub(super) fn registry(&self, subjects: &[LoopId], services: &[String]) -> Value {
        let mut document = self.document.clone();
        let loops = document.get_mut("loops").and_then(Value::as_array_mut);
        for entry in loops.into_iter().flatten() {
            let Some(entry) = entry.as_object_mut() else {
                continue;
            };
            let id = entry.get("loopId").and_then(Value::as_str);
            let subject = subjects
                .iter()
                .position(|subject| id == Some(subject.as_str()));
            let service = subject.and_then(|index| services.get(index));
            settle(entry, service);
        }
        for (path, value) in opened(subjects, now()) {
            put(&mut document, path, value);
        }
        document
    }
}

impl Member {
    fn new(name: &str) -> Result<Self, CliError> {
        Ok(Self {
            id: LoopId::new(name)?,
            enabled: true,
            standing: Standing::Healthy,
            served: false,
        })
    }
}

/// What the last fan-out over `repo` found; `null` if there was none.
fn last_state(repo: &Path) -> Result<Value, CliError> {
    let layout = RepoLayout::new(repo.to_owned());
    let file = layout.fleet_files().path(FleetFile::State);
    match read_artifact(&file)? {
        Artifact::Document(state) => Ok(state),
        Artifact::Absent => Ok(Value::Null),
        Artifact::Broken(error) => {
            let file = file.display();
            Err(CliError::new(format!(
                "invalid fleet state JSON: {file}: {error}"
            )))
        }
    }
}

/// How a loop has to stand to be found again as the last pass found it.
fn standing(result: &Value) -> Standing {
    let text = |name: &str| result.get(name).and_then(Value::as_str);
    match (text("status"), text("healthStatus")) {
        (Some("failed"), _) => Standing::Unreachable,
        (_, Some("critical")) => Standing::Critical,
        (_, Some("degraded")) => Standing::Degraded,
        _ => Standing::Healthy,
    }
}

/// A loop of the copy is here, or behind a service on loopback.
fn settle(entry: &mut Map<String, Value>, service: Option<&String>) {
    entry.shift_remove("sprite");
    entry.shift_remove("service");
    entry.insert("transport".to_owned(), "local".into());
    if let Some(url) = service {
        entry.insert("transport".to_owned(), "sprite_service".into());
        let service = json!({"baseUrl": url, "retryAttempts": 1, "retryBackoffSeconds": 0});
        entry.insert("service".to_owned(), service);
    }
}

/// What is set in the copy.
fn opened(subjects: &[LoopId], now: Timestamp) -> Vec<(&'static str, Value)> {
    let review_by = Timestamp::from_epoch_seconds(now.epoch_seconds() + REVIEW_IN);
    vec![
        ("policy.mode", "guarded_auto".into()),
        ("policy.suppressions", json!({})),
        ("policy.suppressionGovernance", json!({})),
        ("policy.noiseControls.dedupeWindowSeconds", 0.into()),
        ("policy.autonomous.enabled", true.into()),
        (
            "policy.autonomous.allow",
            json!({"categories": ["reconcile_failed", "health_critical"], "intents": ["cancel"]}),
        ),
        (
            "policy.autonomous.thresholds",
            json!({"minSeverity": "critical", "minConfidence": "high"}),
        ),
        (
            "policy.autonomous.safety",
            json!({
                "maxActionsPerRun": subjects.len(), "maxActionsPerLoop": 1,
                "cooldownSeconds": 0, "killSwitch": false,
            }),
        ),
        (
            "policy.autonomous.governance",
            json!({
                "actor": "ops-manager drill", "approvalRef": "drill",
                "rationale": "a drill on a scratch copy", "changedAt": now.to_string(),
                "reviewBy": review_by.to_string(),
            }),
        ),
        ("policy.autonomous.rollout.canaryPercent", 100.into()),
        (
            "policy.autonomous.rollout.scope",
            json!({"loopIds": subjects}),
        ),
        ("policy.autonomous.rollout.pause", json!({"manual": false})),
        ("policy.autonomous.rollout.frozenLoopIds", json!([])),
        (
            "policy.autonomous.rollout.autoPause",
            json!({
                "enabled": true, "lookbackExecutions": 5, "minSampleSize": subjects.len().max(3),
                "ambiguityRateThreshold": 0.4, "failureRateThreshold": 0.4,
            }),
        ),
    ]
}

/// Sets the member at a dotted path; what is in the way becomes an object.
fn put(document: &mut Value, path: &str, value: Value) {
    let mut here = document;
    for name in path.split('.') {
        if !here.is_object() {
            *here = json!({});
        }
        here = &mut here[name];
    }
    *here = value;
}

/// Writes the registry of the copy.
pub(super) fn write(repo: &Path, registry: &Value) -> Result<(), CliError> {
    let layout = RepoLayout::new(repo.to_owned());
    let folder = layout.fleet_scope_dir();
    fs::create_dir_all(&folder).map_err(|error| CliError::at(&folder, error))?;
    let file = layout.fleet_files().path(FleetFile::Registry);
    fs::write(&file, json::pretty(registry) + "\n").map_err(|error| CliError::at(&file, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(document: &Value, state: &Value) -> Original {
        let scratch = tempfile::tempdir().expect("a folder");
        let files = RepoLayout::new(scratch.path().to_owned()).fleet_files();
        write(scratch.path(), document).expect("written");
        fs::write(files.path(FleetFile::State), state.to_string()).expect("written");
        Original::read(scratch.path()).expect("is read")
    }

    fn ids(ids: &[LoopId]) -> Vec<&str> {
        ids.iter().map(LoopId::as_str).collect()
    }

    #[test]
    fn a_copy_reaches_nobody_and_opens_every_gate() {
        let mut original = original(
            &json!({
                "schemaVersion": "v1", "fleetId": "north", "theirs": 7,
                "loops": [
                    {"loopId": "far", "transport": "sprite_service", "metadata": {"x": 1},
                     "service": {"baseUrl": "http://real:1", "tokenEnv": "SECRET"},
                     "sprite": {"serviceBaseUrl": "http://real:1"}},
                    {"loopId": "off", "enabled": false},
                    {"loopId": "near"},
                ],
                "policy": {
                    "suppressions": {"*": ["health_critical"]},
                    "autonomous": {"safety": {"killSwitch": true}, "rollout": {
                        "canaryPercent": 0, "pause": {"manual": true}, "frozenLoopIds": ["far"],
                        "selector": {"salt": "theirs"}}},
                },
            }),
            &json!({"results": [{"loopId": "near", "status": "failed"}]}),
        );
        let cast = original.cast(1, true).expect("loops");
        assert_eq!(ids(&cast), ["far"]);
        let copy = original.registry(&cast, &["http://127.0.0.1:2".to_owned()]);
        let text = copy.to_string();
        assert!(!text.contains("real") && !text.contains("SECRET"), "{text}");
        let found = om_registry::evaluate(text.as_bytes(), "f", now()).expect("is JSON");
        let registry = found.valid().expect("is valid");
        assert_eq!(copy["theirs"], 7);
        assert_eq!(copy["loops"][0]["metadata"], json!({"x": 1}));
        assert_eq!(
            registry.loops[0].service.base_url_text(),
            Some("http://127.0.0.1:2")
        );
        assert!(!registry.loops[1].enabled);
        let autonomous = &registry.policy.autonomous;
        assert!(registry.policy.suppressions.is_empty());
        assert!(!autonomous.safety.kill_switch && !autonomous.rollout.pause.manual);
        assert_eq!(autonomous.rollout.canary_percent, 100);
        assert_eq!(
            copy["policy"]["autonomous"]["rollout"]["selector"]["salt"],
            "theirs"
        );
        // The only other enabled loop has failed: one that is well is added.
        assert_eq!(copy["loops"][3]["loopId"], "drill-1");
    }

    #[test]
    fn loops_stand_as_the_last_state_found_them() {
        for (result, expected) in [
            (
                json!({"status": "success", "healthStatus": "healthy"}),
                Standing::Healthy,
            ),
            (
                json!({"status": "success", "healthStatus": "degraded"}),
                Standing::Degraded,
            ),
            (
                json!({"status": "success", "healthStatus": "critical"}),
                Standing::Critical,
            ),
            (
                json!({"status": "failed", "healthStatus": "critical"}),
                Standing::Unreachable,
            ),
            (json!({"status": "skipped"}), Standing::Healthy),
        ] {
            assert_eq!(standing(&result), expected, "{result}");
        }
    }

    #[test]
    fn loops_are_added_where_there_are_too_few() {
        let mut original = original(
            &json!({"schemaVersion": "v1", "loops": [{"loopId": "drill-1", "enabled": false}]}),
            &Value::Null,
        );
        let cast = original.cast(2, false).expect("loops");
        assert_eq!(ids(&cast), ["drill-2", "drill-3"]);
        assert_eq!(original.members.len(), 4, "one of them stays out of it");
    }
}
