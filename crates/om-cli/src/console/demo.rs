//! The demo: a fleet of a dozen loops in the present, half of them on the
//! other side of a network, one whole cycle over it, and somebody who hears
//! the alerts.

mod fleet;
mod page;

use std::path::{Path, PathBuf};

use om_model::{LoopId, json};
use om_service::Inbox;
use om_store::{FleetFile, RepoLayout};
use serde_json::{Value, json};

use self::fleet::{LOOPS, Place, SCOPE};
use super::fleet::page::PageInputs;
use super::scratch::{Program, Sprite, StubRuntime, start_run};
use super::style::{Look, escape_controls};
use crate::command::now;
use crate::error::CliError;
use crate::stop::StopRequest;

/// The variable that the demo's alert sink takes its URL from.
const ALERTS_URL: &str = "DEMO_ALERTS_URL";

/// What an operator saw, step by step.
struct Seen {
    repo: PathBuf,
    /// The fleet after one cycle.
    fleet: PageInputs,
    /// The dispatch after the kill switch.
    dispatch: Value,
    alerts: Vec<Value>,
}

/// Builds the fleet under `root`, takes it through one cycle, turns the kill
/// switch, and returns what an operator sees.
pub fn run(root: &Path, look: Look) -> Result<String, CliError> {
    let inbox = Inbox::open()?;
    let stage = Stage::build(root, &inbox)?;
    let mut seen = stage.play()?;
    seen.alerts = inbox.received();
    escape_controls(&mut seen.dispatch);
    seen.alerts.iter_mut().for_each(escape_controls);
    Ok(page::show(root, &seen, look))
}

/// The fleet, alive.
struct Stage {
    repo: PathBuf,
    program: Program,
    /// Ended when this is dropped.
    _sprites: Vec<Sprite>,
}

impl Stage {
    fn build(root: &Path, inbox: &Inbox) -> Result<Self, CliError> {
        let repo = root.join("fleet");
        // Where the commands look for a runtime, after the demo too.
        let runtime = StubRuntime::install(repo.clone(), "superloop.sh")?;
        let sinks = root.join("alert-sinks.json");
        std::fs::write(&sinks, json::pretty(&alert_sinks()) + "\n")
            .map_err(|error| CliError::at(&sinks, error))?;
        let settings = vec![
            (ALERTS_URL, inbox.url()),
            ("OPS_MANAGER_ALERT_SINKS_FILE", sinks.display().to_string()),
            ("SUPERLOOP_BIN", runtime.path().display().to_string()),
        ];
        let program = Program::new(settings, StopRequest::listen()?);
        let mut sprites = Vec::new();
        let mut urls = Vec::new();
        for entry in &LOOPS {
            let home = entry.home(root);
            entry.build(&home, now())?;
            urls.push(match entry.place {
                Place::Here => None,
                Place::Gone => Some(nowhere()?),
                Place::Sprite => {
                    if entry.heartbeat {
                        beat(&program, &home, entry.id)?;
                    }
                    let sprite = Sprite::start(&program, &home, None)?;
                    let url = sprite.url.clone();
                    sprites.push(sprite);
                    Some(url)
                }
            });
        }
        start_run(&repo, &LoopId::new(SCOPE)?)?;
        let file = RepoLayout::new(repo.clone())
            .fleet_files()
            .path(FleetFile::Registry);
        fleet::write(&file, &fleet::registry(&urls, now()))?;
        Ok(Self {
            repo,
            program,
            _sprites: sprites,
        })
    }

    /// One cycle, then the kill switch and what would have happened.
    fn play(&self) -> Result<Seen, CliError> {
        self.ask(&[
            "fleet-reconcile",
            "--max-parallel",
            "4",
            "--deterministic-order",
        ])?;
        self.ask(&["fleet-policy"])?;
        let handoff = self.ask(&["fleet-handoff"])?;
        let fleet = PageInputs {
            report: serde_json::from_value(self.ask(&["fleet-status"])?)?,
            handoff,
            registry: serde_json::from_value(self.ask(&["fleet-registry"])?)?,
        };
        self.ask(&[
            "fleet",
            "policy",
            "set",
            "kill-switch",
            "on",
            "--by",
            "demo",
        ])?;
        Ok(Seen {
            repo: self.repo.clone(),
            fleet,
            dispatch: self.ask(&["fleet-handoff", "--autonomous-execute", "--by", "demo"])?,
            alerts: Vec::new(),
        })
    }

    fn ask(&self, arguments: &[&str]) -> Result<Value, CliError> {
        let repo = self.repo.display().to_string();
        let arguments = [arguments, &["--repo", &repo]].concat();
        self.program.ask(&arguments)?.good()
    }
}

/// The loop of `home` says that it is alive.
fn beat(program: &Program, home: &Path, id: &str) -> Result<(), CliError> {
    let home = home.display().to_string();
    let heartbeat = ["heartbeat", "--repo", &home, "--loop", id];
    program.ask(&heartbeat)?.good().map(drop)
}

/// An address on this machine where nobody answers.
fn nowhere() -> Result<String, CliError> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(format!("http://{}", listener.local_addr()?))
}

/// Everything goes to the demo's own receiver.
fn alert_sinks() -> Value {
    json!({
        "schemaVersion": "v1",
        "defaultMinSeverity": "warning",
        "sinks": {"demo": {
            "enabled": true, "type": "webhook", "urlEnv": ALERTS_URL, "timeoutSeconds": 5,
        }},
        "routing": {
            "defaultSinks": ["demo"],
            "categorySeverity": {"health_critical": "critical"},
            "routes": [],
        },
    })
}
