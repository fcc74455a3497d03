//! `ops-manager promotion status`: may autonomy be widened, and what is
//! missing.

use std::io::Write;
use std::path::Path;

use clap::Args;
use om_control::quote::quote;
use om_model::json::{self, Lookup};
use om_model::promotion::gates::{Gate, GateReason, GatesDocument};
use om_promotion::gates::{GatesRequest, look};
use om_promotion::history::{self, Entry, EntryKind};
use om_store::{FleetFile, RepoLayout, View};
use serde::Serialize;

use super::page;
use super::words::explain;
use crate::args::{given, resolve_repo};
use crate::command::{Logging, output_error, print_document};
use crate::commands::fleet_reconcile::load_registry;
use crate::console::style::{Look, stdout_is_terminal};
use crate::error::CliError;
use crate::promotion::{EvaluatorFlags, failed, with_pipeline};

/// What it is for.
pub(super) const ABOUT: &str = "May autonomy be widened now? The five gates with the evidence \
that each of them used, what is missing, and the command that would provide it.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
It only looks: nothing is decided by it, and nothing is written. To put a
decision on record, which ops-manager promotion apply needs, run
ops-manager-promotion-gates with the same flags.

On a terminal: a page. With --json, or into a pipe or file: the document of
ops-manager-promotion-gates, and beside it rollout, recordedDecision,
lastChange and missing[] (gate, reasonCode, meaning, advice, command).

Examples:
  ops-manager promotion status --repo .
  ops-manager promotion status --repo . | jq -r '.missing[].command'

Exit codes: 0 promote or hold; 1 evidence of a wrong type, or no fleet.";

/// Arguments of `ops-manager promotion status`.
#[derive(Args, Debug)]
pub(super) struct Status {
    /// Repository whose fleet is judged [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    #[command(flatten)]
    evaluator: EvaluatorFlags,
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
    /// Indent the JSON by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

/// All that is told.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// What the gates would decide now.
    #[serde(flatten)]
    pub(super) decided: GatesDocument,
    /// How far autonomy reaches.
    pub(super) rollout: Rollout,
    /// What `promotion apply` would go by.
    pub(super) recorded_decision: Option<Recorded>,
    /// The latest change of the rollout.
    pub(super) last_change: Option<Entry>,
    /// Empty iff the decision is `promote`.
    pub(super) missing: Vec<Missing>,
}

/// How far autonomy reaches, by the registry.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollout {
    pub(super) mode: &'static str,
    pub(super) canary_percent: u8,
    pub(super) manual_pause: bool,
    pub(super) kill_switch: bool,
    /// Until when somebody answers for it.
    pub(super) review_by: Option<String>,
}

/// The decision in `promotion-state.json`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    pub(super) decision: String,
    pub(super) generated_at: Option<String>,
}

/// One thing that is missing, and what provides it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Missing {
    pub(super) gate: Gate,
    pub(super) reason_code: GateReason,
    pub(super) meaning: &'static str,
    pub(super) advice: &'static str,
    pub(super) command: String,
}

impl Status {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let report = self.report()?;
        if self.json || !stdout_is_terminal() {
            print_document(out, &report, self.pretty)?;
            return Ok(0);
        }
        let page = page::status(&report, Look::stdout());
        out.write_all(page.as_bytes())
            .map_err(|error| output_error(&error))?;
        Ok(0)
    }

    fn report(&self) -> Result<Report, CliError> {
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let request = GatesRequest {
            overrides: self.evaluator.as_typed(),
            ..GatesRequest::default()
        };
        request
            .overrides
            .thresholds
            .read()
            .map_err(|error| failed(&error))?;
        let request = GatesRequest {
            repo: repo.clone(),
            ..request
        };
        let decided = with_pipeline(|pipeline| look(&request, pipeline))?;
        let past = history::read(&repo, LOOKED_AT).map_err(|error| failed(&error))?;
        let changes = past.entries.into_iter();
        Ok(Report {
            rollout: rollout(&repo)?,
            recorded_decision: recorded(&repo)?,
            last_change: changes
                .into_iter()
                .find(|entry| entry.kind == EntryKind::Change),
            missing: missing(&decided),
            decided,
        })
    }
}

/// Rows of each journal among which the latest change is looked for.
const LOOKED_AT: usize = 50;

fn rollout(repo: &Path) -> Result<Rollout, CliError> {
    let loaded = load_registry(repo, None)?;
    let policy = &loaded.registry.policy;
    let autonomous = &policy.autonomous;
    let deadline = json::text(&json::to_value(&autonomous.governance)["reviewBy"]);
    Ok(Rollout {
        mode: policy.mode.as_str(),
        canary_percent: autonomous.rollout.canary_percent,
        manual_pause: autonomous.rollout.pause.manual,
        kill_switch: autonomous.safety.kill_switch,
        review_by: Some(deadline).filter(|text| text != "null"),
    })
}

/// The decision on record; a broken one is for `promotion apply` to refuse.
fn recorded(repo: &Path) -> Result<Option<Recorded>, CliError> {
    let layout = RepoLayout::new(repo.to_owned());
    let view = View::open(layout.fleet_scope_dir())?;
    let state = view.artifact(&layout.fleet_files().path(FleetFile::PromotionState))?;
    let Some(state) = state.document() else {
        return Ok(None);
    };
    let text = |path| Lookup::new(state).text(path).ok().flatten();
    Ok(text("summary.decision").map(|decision| Recorded {
        decision,
        generated_at: text("generatedAt"),
    }))
}

/// Each reason with the command that provides what is missing.
pub(super) fn missing(decided: &GatesDocument) -> Vec<Missing> {
    let repo = quote(decided.source.repo_path.as_ref());
    let outcomes = quote(decided.source.handoff_telemetry_file.as_ref());
    let verdicts = decided.gates.verdicts();
    let reasons = verdicts
        .iter()
        .flat_map(|(gate, verdict)| verdict.reasons.iter().map(move |reason| (*gate, *reason)));
    reasons
        .map(|(gate, reason_code)| {
            let explanation = explain(reason_code);
            Missing {
                gate,
                reason_code,
                meaning: explanation.meaning,
                advice: explanation.advice,
                command: explanation.step.command(&repo, &outcomes),
            }
        })
        .collect()
}
