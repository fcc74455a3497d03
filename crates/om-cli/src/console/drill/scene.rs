//! Where a drill is played, and what can be done there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use om_model::{LoopId, Timestamp, json};
use om_store::{FleetFile, RepoLayout, last_row};
use serde_json::Value;

use super::fleet::{self, Original};
use super::{Copied, Script};
use crate::command::now;
use crate::console::scratch::{Program, Sprite, Standing, StubRuntime, put_loop, start_run};
use crate::error::CliError;
use crate::stop::StopRequest;

/// Who acts in a drill.
const ACTOR: &str = "ops-manager-drill";

/// How often it is looked whether a second is over.
const TICK: Duration = Duration::from_millis(20);

/// A scratch fleet with everything around it.
pub(super) struct Scene {
    root: PathBuf,
    repo: PathBuf,
    program: Program,
    pub(super) runtime: StubRuntime,
    original: Original,
    pub(super) subjects: Vec<LoopId>,
    /// Of each subject, if it has any; `None` while it is down.
    services: Vec<Service>,
    evidence: Vec<PathBuf>,
    answers: usize,
    evaluations: usize,
    last_dispatch: Timestamp,
}

/// A service of a subject.
struct Service {
    home: PathBuf,
    sprite: Option<Sprite>,
    url: String,
    port: Option<u16>,
}

impl Scene {
    /// Writes the copy below `root` and starts what it needs.
    pub(super) fn set(
        root: &Path,
        mut original: Original,
        script: &Script,
        stop: StopRequest,
    ) -> Result<Self, CliError> {
        let runtime = StubRuntime::install(root.join("runtime"), "superloop")?;
        let settings = vec![
            ("SUPERLOOP_BIN", runtime.path().display().to_string()),
            ("OPS_MANAGER_ALERTS_ENABLED", "false".to_owned()),
        ];
        let subjects = original.cast(script.subjects, script.served)?;
        let mut scene = Self {
            repo: root.join("repo"),
            root: root.to_owned(),
            program: Program::new(settings, stop),
            runtime,
            original,
            subjects,
            services: Vec::new(),
            evidence: Vec::new(),
            answers: 0,
            evaluations: 0,
            last_dispatch: Timestamp::EPOCH,
        };
        scene.put_loops(script.served)?;
        let urls: Vec<String> = scene.services.iter().map(|it| it.url.clone()).collect();
        let registry = scene.original.registry(&scene.subjects, &urls);
        fleet::write(&scene.repo, &registry)?;
        let evidence = scene.root.join("evidence");
        fs::create_dir_all(&evidence).map_err(|error| CliError::at(&evidence, error))?;
        Ok(scene)
    }

    /// Every loop where it is; the subjects behind services of their own, or
    /// critical.
    fn put_loops(&mut self, served: bool) -> Result<(), CliError> {
        let now = now();
        for member in &self.original.members {
            let is_subject = self.subjects.contains(&member.id);
            let standing = if is_subject {
                Standing::Critical
            } else {
                member.standing
            };
            if !(is_subject && served) {
                put_loop(&self.repo, &member.id, standing, now)?;
            }
        }
        if !served {
            return self.restart_run();
        }
        for (index, subject) in self.subjects.iter().enumerate() {
            let home = self.root.join("sprites").join(format!("{}", index + 1));
            put_loop(&home, subject, Standing::Healthy, now)?;
            let sprite = Sprite::start(&self.program, &home, None)?;
            self.services.push(Service {
                home,
                url: sprite.url.clone(),
                port: sprite.port(),
                sprite: Some(sprite),
            });
        }
        Ok(())
    }

    /// The first subject runs (again).
    pub(super) fn restart_run(&self) -> Result<(), CliError> {
        self.subjects
            .first()
            .map_or(Ok(()), |id| start_run(&self.repo, id))
    }

    /// Ends every service at once.
    pub(super) fn end_services(&mut self) {
        for service in &mut self.services {
            service.sprite = None;
        }
    }

    /// Starts them again, each at its old address; if somebody has taken that
    /// meanwhile, at another, which the registry is told.
    pub(super) fn restart_services(&mut self) -> Result<(), CliError> {
        let file = RepoLayout::new(self.repo.clone())
            .fleet_files()
            .path(FleetFile::Registry);
        for service in &mut self.services {
            let start = |port| Sprite::start(&self.program, &service.home, port);
            let sprite = start(service.port).or_else(|_| start(None))?;
            if sprite.url != service.url {
                let text = fs::read_to_string(&file).map_err(|error| CliError::at(&file, error))?;
                let text = text.replace(&service.url, &sprite.url);
                fs::write(&file, text).map_err(|error| CliError::at(&file, error))?;
                service.url.clone_from(&sprite.url);
            }
            service.sprite = Some(sprite);
        }
        Ok(())
    }

    /// Runs a subcommand on the copy; what it says is evidence.
    pub(super) fn ask(&mut self, arguments: &[&str]) -> Result<Value, CliError> {
        let repo = self.repo.display().to_string();
        let arguments = [arguments, &["--repo", &repo]].concat();
        let answer = self.program.ask(&arguments)?;
        self.answers += 1;
        let name = format!("{:02}-{}.json", self.answers, arguments[0]);
        let file = self.root.join("evidence").join(name);
        fs::write(&file, json::pretty(&answer) + "\n")
            .map_err(|error| CliError::at(&file, error))?;
        self.evidence.push(file);
        answer.good()
    }

    /// One pass over the fleet.
    pub(super) fn reconcile(&mut self) -> Result<Value, CliError> {
        self.ask(&["fleet-reconcile", "--deterministic-order"])
    }

    /// A new evaluation of the policy.
    pub(super) fn policy(&mut self) -> Result<Value, CliError> {
        self.evaluations += 1;
        let trace_id = format!("drill-{}", self.evaluations);
        self.ask(&["fleet-policy", "--trace-id", &trace_id])
    }

    /// A handoff plan: nothing is acted on.
    pub(super) fn plan(&mut self) -> Result<Value, CliError> {
        self.ask(&["fleet-handoff"])
    }

    /// What may happen by itself happens.
    pub(super) fn dispatch(&mut self) -> Result<Value, CliError> {
        let look_once = ["--timeout-seconds", "0"];
        let arguments = ["fleet-handoff", "--autonomous-execute", "--by", ACTOR];
        let state = self.ask(&[&arguments[..], &look_once].concat());
        self.last_dispatch = now();
        state
    }

    /// A person confirms one intent.
    pub(super) fn approve(&mut self, intent: &str) -> Result<Value, CliError> {
        self.ask(&[
            "fleet-handoff",
            "--execute",
            "--confirm",
            "--intent-id",
            intent,
            "--by",
            ACTOR,
            "--timeout-seconds",
            "0",
        ])
    }

    /// Turns a switch of the registry, with all that it may need.
    pub(super) fn switch(&mut self, words: &[&str]) -> Result<Value, CliError> {
        let review_by = Timestamp::from_epoch_seconds(now().epoch_seconds() + 30 * 24 * 3600);
        let review_by = review_by.to_string();
        let approval = [
            "--by",
            ACTOR,
            "--approval-ref",
            "drill",
            "--rationale",
            "a drill on a scratch copy",
            "--review-by",
            &review_by,
            "--yes",
        ];
        self.ask(&[&["fleet", "policy", "set"], words, &approval].concat())
    }

    /// The registry as it is written now.
    pub(super) fn registry(&mut self) -> Result<Value, CliError> {
        let file = self.fleet_file(FleetFile::Registry);
        let bytes = fs::read(&file).map_err(|error| CliError::at(&file, error))?;
        json::parse(&bytes).map_err(|error| CliError::at(&file, error))
    }

    /// The last row of a journal of the fleet.
    pub(super) fn last_row(&mut self, journal: FleetFile) -> Result<Value, CliError> {
        let file = self.fleet_file(journal);
        let row = last_row(&file)?;
        let bytes = row.map_or_else(Vec::new, |row| row.bytes);
        json::parse(&bytes).map_err(|error| CliError::at(&file, error))
    }

    /// A file of the fleet; it is evidence.
    fn fleet_file(&mut self, file: FleetFile) -> PathBuf {
        let path = RepoLayout::new(self.repo.clone()).fleet_files().path(file);
        self.evidence.push(path.clone());
        path
    }

    /// Waits until the second of the last dispatch is over: artifacts know
    /// whole seconds only.
    pub(super) fn outlive_dispatch(&self) {
        while now() <= self.last_dispatch {
            std::thread::sleep(TICK);
        }
    }

    /// What shows the act that was just played.
    pub(super) fn take_evidence(&mut self) -> Vec<String> {
        let files = std::mem::take(&mut self.evidence);
        files
            .iter()
            .map(|file| file.display().to_string())
            .collect()
    }

    /// What it is played on.
    pub(super) fn copied(&self) -> Copied {
        Copied {
            from: self.original.from.clone(),
            fleet_id: self.original.fleet_id.clone(),
            loop_count: self.original.members.len(),
            subjects: self.subjects.iter().map(ToString::to_string).collect(),
        }
    }

    /// The first subject.
    pub(super) fn subject(&self) -> String {
        self.subjects
            .first()
            .map_or_else(String::new, ToString::to_string)
    }
}

/// The entry of the list `list` whose member `key` is `id`; `null` if there
/// is none.
pub(super) fn entry<'a>(list: &'a Value, key: &str, id: &str) -> &'a Value {
    let entries = list.as_array().into_iter().flatten();
    let mut found = entries.filter(|entry| entry.get(key).is_some_and(|value| value == id));
    found.next().unwrap_or(&Value::Null)
}
