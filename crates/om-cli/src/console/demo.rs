//! The demo: recorded loop runs, moved to the present, observed for real:
//! half of them from their files, half through a sprite service, with
//! somebody who hears the alerts.

mod page;
mod samples;
mod sprite;

use std::path::Path;
use std::process::{Command, Stdio};

use om_model::json;
use om_service::Inbox;
use serde_json::{Value, json};

use super::style::Look;
use crate::command::now;
use crate::error::CliError;
use sprite::Sprite;

/// The variable that the demo's alert sink takes its URL from.
const ALERTS_URL: &str = "DEMO_ALERTS_URL";

/// One recorded repository and how long ago its last event shall be.
struct Scene {
    sample: &'static str,
    loop_id: &'static str,
    /// Seconds.
    age: i64,
    heartbeat: bool,
    /// Whether it runs on a sprite, behind a service.
    sprite: bool,
}

const SCENES: [Scene; 8] = [
    Scene {
        sample: "running",
        loop_id: "running",
        age: 12,
        heartbeat: true,
        sprite: false,
    },
    Scene {
        sample: "complete",
        loop_id: "checkout-flow",
        age: 45,
        heartbeat: false,
        sprite: true,
    },
    Scene {
        sample: "awaiting-approval",
        loop_id: "awaiting-approval",
        age: 130,
        heartbeat: false,
        sprite: false,
    },
    Scene {
        sample: "approved",
        loop_id: "awaiting-approval",
        age: 70,
        heartbeat: false,
        sprite: true,
    },
    Scene {
        sample: "rejected",
        loop_id: "awaiting-approval",
        age: 95,
        heartbeat: false,
        sprite: false,
    },
    Scene {
        sample: "max-iterations",
        loop_id: "max-iterations",
        age: 200,
        heartbeat: false,
        sprite: true,
    },
    Scene {
        sample: "stuck",
        loop_id: "stuck",
        age: 430,
        heartbeat: false,
        sprite: false,
    },
    Scene {
        sample: "role-failure",
        loop_id: "role-failure",
        age: 1_500,
        heartbeat: false,
        sprite: true,
    },
];

/// One loop as it was found.
struct Finding {
    scene: &'static Scene,
    /// Where its service answers, if it is on a sprite.
    service: Option<String>,
    /// What status says of it.
    report: Value,
}

/// Builds the scratch repositories under `root`, reconciles each, and
/// returns what an operator sees.
pub fn run(root: &Path, look: Look) -> Result<String, CliError> {
    let inbox = Inbox::open()?;
    let sinks = root.join("alert-sinks.json");
    std::fs::write(&sinks, json::pretty(&alert_sinks()) + "\n")
        .map_err(|error| CliError::at(&sinks, error))?;
    let stage = Stage {
        root,
        alert_sinks: sinks.display().to_string(),
        alerts_url: inbox.url(),
    };
    let findings = SCENES.iter().map(|scene| stage.play(scene));
    let findings = findings.collect::<Result<Vec<_>, _>>()?;
    Ok(page::show(root, &findings, &inbox.received(), look))
}

/// Where the scenes are played.
struct Stage<'a> {
    root: &'a Path,
    alert_sinks: String,
    alerts_url: String,
}

impl Stage<'_> {
    fn play(&self, scene: &'static Scene) -> Result<Finding, CliError> {
        let repo = self.root.join(scene.sample);
        let home = if scene.sprite {
            self.root.join("sprites").join(scene.sample)
        } else {
            repo.clone()
        };
        samples::build(scene.sample, scene.age, &home, now())?;
        std::fs::create_dir_all(&repo).map_err(|error| CliError::at(&repo, error))?;
        let sprite = scene.sprite.then(|| Sprite::start(&home)).transpose()?;
        let service = sprite.as_ref().map(|sprite| sprite.url.clone());
        let repo = repo.display().to_string();
        let target = ["--repo", repo.as_str(), "--loop", scene.loop_id];
        if scene.heartbeat {
            self.invoke("heartbeat", &target)?;
        }
        let mut arguments = target.to_vec();
        arguments.extend(["--alert-config-file", &self.alert_sinks]);
        if let Some(url) = &service {
            arguments.extend(["--transport", "sprite_service", "--service-base-url", url]);
        }
        self.invoke("reconcile", &arguments)?;
        let mut report = self.invoke("status", &target)?;
        super::style::escape_controls(&mut report);
        Ok(Finding {
            scene,
            service,
            report,
        })
    }

    /// Runs a subcommand of this very program and returns what it prints.
    fn invoke(&self, subcommand: &str, arguments: &[&str]) -> Result<Value, CliError> {
        let output = own_program()?
            .arg(subcommand)
            .args(arguments)
            .env(ALERTS_URL, &self.alerts_url)
            .output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let message = message.trim().trim_start_matches("error: ");
            return Err(CliError::new(format!("{subcommand}: {message}")));
        }
        Ok(json::parse(&output.stdout)?)
    }
}

/// This program, as a process of its own: the demo must not obey hooks,
/// settings and proxies of the operator's environment.
fn own_program() -> Result<Command, CliError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if is_setting(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.env("NO_PROXY", "127.0.0.1");
    Ok(command)
}

/// Whether a variable changes what the commands do.
fn is_setting(name: &str) -> bool {
    let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
    is_proxy || name.starts_with("OPS_MANAGER_") || matches!(name, "SUPERLOOP_BIN" | "RUST_LOG")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_has_a_recorded_sample_and_half_are_on_sprites() {
        for scene in &SCENES {
            let sample = samples::SAMPLES.get_dir(scene.sample);
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
        let sprites = SCENES.iter().filter(|scene| scene.sprite).count();
        assert_eq!(sprites * 2, SCENES.len());
    }
}
