//! `ops-manager fleet handoff`: what waits for a person, and doing it.

use std::io::Write;

use clap::{Args, Subcommand};
use om_control::SystemClock;
use om_handoff::dispatch_fold::DispatchFold;
use om_handoff::targets::{Filters, select};
use om_handoff::{Action, Handoff, HandoffError, Order, Progress};
use om_model::fleet::handoff::{Execution, ExecutionMode, HandoffIntent, HandoffState};
use om_store::{FleetFile, RepoLayout, View};
use serde::Deserialize;

use crate::args::{given, resolve_repo};
use crate::command::{Logging, output_error, print_document};
use crate::commands::fleet_handoff::{FleetHandoff, refused, tell};
use crate::console::confirm;
use crate::console::fleet::handoff::{Target, announcement, conclusion, table};
use crate::console::style::{Look, stdout_is_terminal};
use crate::error::CliError;
use crate::stop::StopRequest;

/// What it is for.
pub(super) const ABOUT: &str = "Plan what could be done about the fleet, from the last policy \
evaluation, and show what waits for a person. Executes nothing; approve does.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
On a terminal: a table. With --json, or into a pipe or file: the handoff state
as ops-manager-fleet-handoff prints it.

Examples:
  ops-manager fleet handoff
  ops-manager fleet handoff approve nightly:health_critical:cancel --note incident-7

Exit codes: 0 planned; 1 refused (error: line on stderr).";

/// What approving is for.
pub(super) const APPROVE_ABOUT: &str = "Execute intents that a person has decided on. Shows what \
will run and asks.";

/// Examples, files and exit codes of approving.
pub(super) const APPROVE_DETAILS: &str = "\
What is approved is what was shown: if policy is evaluated again in between,
nothing is done. On a terminal it asks; --yes does not. Without a terminal it
needs --yes, and prints the handoff state as JSON.

Files: those of ops-manager-fleet-handoff --execute, and of ops-manager-control.

Examples:
  ops-manager fleet handoff approve nightly:health_critical:cancel
  ops-manager fleet handoff approve a:health_critical:cancel b:reconcile_failed:cancel \\
    --by dana --note incident-7 --yes

Exit codes: 0 every intent was executed; 2 the outcome of one is unknown, and
none failed; 1 one failed, or nothing was done (error: line on stderr); 128 + a
signal, if intents were left.";

/// Arguments of `ops-manager fleet handoff`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Plan {
    #[command(subcommand)]
    action: Option<PlanAction>,
    #[command(flatten)]
    common: Common,
}

/// What can be done with a plan.
#[derive(Subcommand, Debug)]
enum PlanAction {
    /// Execute intents that a person has decided on
    #[command(before_help = APPROVE_ABOUT, after_help = APPROVE_DETAILS)]
    Approve(Approve),
}

/// Arguments of `ops-manager fleet handoff approve`.
#[derive(Args, Debug)]
struct Approve {
    /// Ids as ops-manager fleet handoff shows them
    #[arg(value_name = "INTENT-ID")]
    intents: Vec<String>,
    /// Who decides [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// Repository whose fleet it is [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Registry [default: <repo>/.superloop/ops-manager/fleet/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logging: Logging,
}

impl Plan {
    pub(super) fn log_filter(&self) -> Option<&str> {
        let common = match &self.action {
            Some(PlanAction::Approve(approve)) => &approve.common,
            None => &self.common,
        };
        common.logging.log.as_deref()
    }

    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        if let Some(PlanAction::Approve(approve)) = &self.action {
            return approve.run(out);
        }
        let handoff = self.common.handoff(Action::Plan)?;
        let plan = planned(&handoff)?;
        if self.common.as_json() {
            print_document(out, &plan, false)?;
        } else {
            let repo = handoff.layout.repo().display().to_string();
            say(out, &table(&plan, &repo, Look::stdout()))?;
        }
        Ok(0)
    }
}

impl Common {
    fn handoff(&self, action: Action) -> Result<Handoff, CliError> {
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let mut command = FleetHandoff::of(repo.display().to_string());
        command.registry_file.clone_from(&self.registry_file);
        Ok(command.about_repo(RepoLayout::new(repo), action))
    }

    fn as_json(&self) -> bool {
        self.json || !stdout_is_terminal()
    }
}

/// The plan of now; what an earlier run left behind is recorded first.
fn planned(handoff: &Handoff) -> Result<HandoffState, CliError> {
    let never = || false;
    let clock = SystemClock::default();
    om_handoff::run(handoff, &clock, &never, &mut tell).map_err(refused)
}

impl Approve {
    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        if self.intents.is_empty() || self.intents.iter().any(String::is_empty) {
            return Err(CliError::new(
                "approve needs intent ids, as ops-manager fleet handoff shows them",
            ));
        }
        let somebody = confirm::is_somebody_there();
        if !self.yes && !somebody {
            return Err(CliError::new("this acts on loops; add --yes to do it"));
        }
        let mut handoff = self.common.handoff(Action::Plan)?;
        let plan = planned(&handoff)?;
        let order = self.order();
        let chosen = select(&plan, order.mode, &order.filters).map_err(HandoffError::from)?;
        let intents: Vec<&HandoffIntent> = chosen.iter().map(|at| &plan.intents[*at]).collect();
        if !self.yes || !self.common.as_json() {
            let targets = targets(&handoff, &order, &intents)?;
            let shown = announcement(&targets, &order, Look::stdout());
            // A question needs its text, wherever the result goes.
            if self.common.as_json() {
                let _ = std::io::stderr().write_all(shown.as_bytes());
            } else {
                say(out, &shown)?;
            }
        }
        if !self.yes && !confirm::ask("Do it?")? {
            return Err(CliError::new("nothing was done"));
        }
        handoff.action = Action::Execute(order);
        handoff.evaluation = Some(plan.evaluation.clone());
        self.execute(&handoff, out)
    }

    fn order(&self) -> Order {
        Order {
            mode: ExecutionMode::Manual,
            filters: Filters {
                loops: Vec::new(),
                intents: self.intents.clone(),
            },
            // An empty name is kept if somebody gave it (common rules).
            requested_by: self.by.clone().unwrap_or_else(super::somebody),
            note: given(self.note.as_ref()).map(str::to_owned),
        }
    }

    fn execute(&self, handoff: &Handoff, out: &mut dyn Write) -> Result<u8, CliError> {
        let stop = StopRequest::listen()?;
        let stopped = || stop.is_made();
        let as_json = self.common.as_json();
        let mut told = |progress: Progress<'_>| {
            if let (Progress::Dispatching(row), false) = (progress, as_json) {
                let text = format!("{}: {} …", row.loop_id, row.intent);
                // Whoever does not read along still gets the result.
                let _ = writeln!(
                    std::io::stderr(),
                    "{}",
                    crate::console::style::printable(&text)
                );
            }
            tell(progress);
        };
        let clock = SystemClock::default();
        let state = om_handoff::run(handoff, &clock, &stopped, &mut told).map_err(refused)?;
        let execution = state.execution.as_ref().map(Execution::deserialize);
        let execution = execution
            .transpose()?
            .ok_or_else(|| CliError::new("the handoff has no execution"))?;
        if as_json {
            print_document(out, &state, false)?;
        } else {
            say(
                out,
                &conclusion(&execution, &handoff.layout, Look::stdout()),
            )?;
        }
        let left = !execution.not_attempted.is_empty();
        Ok(match stop.exit_code().filter(|_| left) {
            Some(code) => code,
            None => exit_code(&execution),
        })
    }
}

/// What each intent would run, and with which key.
fn targets(
    handoff: &Handoff,
    order: &Order,
    intents: &[&HandoffIntent],
) -> Result<Vec<Target>, CliError> {
    let journal = handoff
        .layout
        .fleet_files()
        .path(FleetFile::HandoffDispatch);
    let fold: DispatchFold = View::open(handoff.layout.fleet_scope_dir())?.fold(&journal)?;
    let target = |intent: &&HandoffIntent| Target {
        intent: (*intent).clone(),
        runs: handoff.preview(order, intent),
        idempotency_key: handoff.next_key(intent, &fold),
    };
    Ok(intents.iter().map(target).collect())
}

/// 0 all executed; 2 something is unknown; 1 something failed.
fn exit_code(execution: &Execution) -> u8 {
    match (execution.failed_count, execution.ambiguous_count) {
        (0, 0) => 0,
        (0, _) => 2,
        _ => 1,
    }
}

fn say(out: &mut dyn Write, text: &str) -> Result<(), CliError> {
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| output_error(&error))
}
