//! The runbook's incident drills, played for real on a scratch copy of a
//! fleet: real commands, real services on loopback, a runtime that does
//! nothing real.
//!
//! A drill is a table of acts. Each act is played, what came of it is
//! compared with what the runbook promises, and the first one that does not
//! keep the promise ends the drill.

mod act;
mod evidence;
mod fleet;
mod kill_switch;
mod page;
mod retry_guard;
mod scene;
mod sprite_outage;

use std::path::Path;

use om_model::Timestamp;
use om_model::promotion::gates::Drill;
use serde::Serialize;

use crate::command::now;
use crate::error::CliError;
use crate::stop::StopRequest;
use act::{Act, Check};
pub use evidence::Record;
pub use fleet::Original;
use scene::Scene;

/// The version that a drill says something about.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a drill, or a step of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was as expected.
    Pass,
    /// Something was not.
    Fail,
    /// A step before it failed.
    NotRun,
}

/// What a drill found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    schema_version: &'static str,
    /// The id in the promotion's evidence.
    drill: &'static str,
    /// What was tried.
    title: &'static str,
    /// How it ended.
    pub status: Outcome,
    started_at: Timestamp,
    completed_at: Timestamp,
    /// Of the ops manager.
    version: &'static str,
    requested_by: String,
    fleet: Copied,
    steps: Vec<Step>,
    /// Where everything lies.
    scratch: String,
    /// The evidence file that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_in: Option<String>,
}

/// What the drill was played on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Copied {
    /// The repository whose fleet was copied; `null`: a made-up fleet.
    from: Option<String>,
    fleet_id: String,
    loop_count: usize,
    /// The loops that something happens to.
    subjects: Vec<String>,
}

/// One act and what came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    name: &'static str,
    expectation: &'static str,
    status: Outcome,
    checks: Vec<Check>,
    /// Files that show it.
    evidence: Vec<String>,
    /// Why it could not be played to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What a drill is made of.
struct Script {
    title: &'static str,
    /// How many loops something happens to.
    subjects: usize,
    /// Whether services stand in front of them.
    served: bool,
    acts: &'static [Act],
}

fn script(drill: Drill) -> &'static Script {
    match drill {
        Drill::KillSwitch => &kill_switch::SCRIPT,
        Drill::SpriteServiceOutage => &sprite_outage::SCRIPT,
        Drill::AmbiguousRetryGuard => &retry_guard::SCRIPT,
    }
}

/// The name on the command line.
pub fn name(drill: Drill) -> &'static str {
    match drill {
        Drill::KillSwitch => "kill-switch",
        Drill::SpriteServiceOutage => "sprite-outage",
        Drill::AmbiguousRetryGuard => "retry-guard",
    }
}

/// Plays `drill` in the new folder `root` on a copy of `original`.
///
/// An error means that it never began, or was interrupted; whatever goes
/// wrong afterwards is a failed step.
pub fn run(drill: Drill, original: Original, root: &Path, by: &str) -> Result<Report, CliError> {
    let started_at = now();
    let stop = StopRequest::listen()?;
    let script = script(drill);
    let mut scene = Scene::set(root, original, script, stop.clone())?;
    let steps = play(script.acts, &mut scene);
    if let Some(exit_code) = stop.exit_code() {
        let message = "the drill was interrupted; nothing was recorded";
        return Err(CliError {
            exit_code,
            ..CliError::new(message)
        });
    }
    let passed = steps.iter().all(|step| step.status == Outcome::Pass);
    Ok(Report {
        schema_version: "v1",
        drill: drill.as_str(),
        title: script.title,
        status: if passed { Outcome::Pass } else { Outcome::Fail },
        started_at,
        completed_at: now(),
        version: VERSION,
        requested_by: by.to_owned(),
        fleet: scene.copied(),
        steps,
        scratch: root.display().to_string(),
        recorded_in: None,
    })
}

/// Plays the acts in order until one fails.
fn play(acts: &[Act], scene: &mut Scene) -> Vec<Step> {
    let mut goes_on = true;
    let step = |act: &Act| {
        if !goes_on {
            return Step::of(act, Outcome::NotRun);
        }
        let played = (act.play)(scene);
        let mut step = Step::of(act, Outcome::Pass);
        step.evidence = scene.take_evidence();
        match played {
            Ok(checks) => step.checks = checks,
            Err(error) => step.error = Some(error.told()),
        }
        if step.error.is_some() || step.checks.iter().any(|check| !check.passed) {
            step.status = Outcome::Fail;
            goes_on = false;
        }
        step
    };
    acts.iter().map(step).collect()
}

impl Step {
    fn of(act: &Act, status: Outcome) -> Self {
        Self {
            name: act.name,
            expectation: act.expectation,
            status,
            checks: Vec::new(),
            evidence: Vec::new(),
            error: None,
        }
    }
}

impl CliError {
    /// The message, or the first line of what a stage said.
    fn told(&self) -> String {
        let said = self.usage.as_deref().unwrap_or_default();
        let first = said.lines().next().unwrap_or_default();
        let said = if self.message.is_empty() {
            first
        } else {
            &self.message
        };
        said.trim_start_matches("error: ").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use act::{Play, checks};

    const HOLDS: Play = |_| Ok(checks().equal("answer", 42, 42).done());
    const BREAKS: Play = |_| Ok(checks().equal("answer", 41, 42).done());
    const DIES: Play = |_| Err(CliError::verbatim("error: no answer\nat all", 1));

    fn outcomes(plays: [Play; 3]) -> Vec<Step> {
        let scratch = tempfile::tempdir().expect("a folder");
        let stop = StopRequest::default();
        let script = script(Drill::KillSwitch);
        let mut scene = Scene::set(scratch.path(), Original::made_up(), script, stop);
        let scene = scene.as_mut().expect("a scene");
        let acts = plays.map(|play| Act {
            name: "name",
            expectation: "expectation",
            play,
        });
        play(&acts, scene)
    }

    #[test]
    fn the_first_act_that_breaks_its_promise_ends_the_drill() {
        let steps = outcomes([HOLDS, BREAKS, HOLDS]);
        let found: Vec<Outcome> = steps.iter().map(|step| step.status).collect();
        assert_eq!(found, [Outcome::Pass, Outcome::Fail, Outcome::NotRun]);
    }

    #[test]
    fn an_act_that_cannot_be_played_has_failed() {
        let steps = outcomes([DIES, HOLDS, HOLDS]);
        let found: Vec<Outcome> = steps.iter().map(|step| step.status).collect();
        assert_eq!(found, [Outcome::Fail, Outcome::NotRun, Outcome::NotRun]);
        assert_eq!(steps[0].error.as_deref(), Some("no answer"));
    }

    #[test]
    fn every_drill_of_the_promotion_gates_has_acts() {
        for drill in Drill::REQUIRED {
            assert!(script(drill).acts.len() >= 4, "{}", name(drill));
        }
    }
}
