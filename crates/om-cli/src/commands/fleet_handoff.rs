//! `ops-manager-fleet-handoff` (chapter 06 §2).

use std::io::Write;
use std::path::Path;

use clap::Args;
use om_control::SystemClock;
use om_handoff::targets::Filters;
use om_handoff::{
    Action, ControlStage, FailOn, Handoff, HandoffError, HandoffFiles, Order, Progress, Seconds,
    run,
};
use om_model::TraceId;
use om_model::fleet::handoff::{ExecutionMode, HandoffState};
use om_model::json::{self, Lookup};
use om_registry::RegistryStage;
use om_stage::Hook;
use om_store::{FleetFile, RepoLayout};

use crate::args::{self, environment, given, required, resolve_repo};
use crate::command::{CommandLine, Logging, print_document};
use crate::error::CliError;
use crate::stop::StopRequest;

/// How long the runtime's command may take, in seconds: as for
/// `ops-manager-control`.
const RUNTIME_TIMEOUT: u64 = 120;

/// Defaults of `--timeout-seconds` and `--interval-seconds`.
const TIMEOUT: u64 = 30;
const INTERVAL: u64 = 2;

/// Default of `--idempotency-prefix`.
const PREFIX: &str = "fleet-handoff";

/// Arguments of `ops-manager-fleet-handoff`.
#[derive(Args, Clone, Debug, Default)]
pub struct FleetHandoff {
    /// Repository whose .superloop/ tree is read and written [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Fleet registry [default: <fleet>/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_file: Option<String>,
    /// Policy state to plan from [default: <fleet>/policy-state.json]
    #[arg(long, value_name = "FILE")]
    policy_state_file: Option<String>,
    /// Handoff state, read and replaced [default: <fleet>/handoff-state.json]
    #[arg(long, value_name = "FILE")]
    handoff_state_file: Option<String>,
    /// Rows are appended here [default: <fleet>/telemetry/handoff.jsonl]
    #[arg(long, value_name = "FILE")]
    handoff_telemetry_file: Option<String>,
    /// Trace id to record [default: the policy state's, else
    /// $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    pub(crate) trace_id: Option<String>,
    /// Begins every idempotency key [default: fleet-handoff]
    #[arg(long, value_name = "TEXT")]
    idempotency_prefix: Option<String>,
    /// Execute pending intents that a person chose; needs --confirm
    #[arg(long)]
    execute: bool,
    /// Execute eligible intents inside the guardrails
    #[arg(long)]
    autonomous_execute: bool,
    /// Confirm --execute
    #[arg(long)]
    confirm: bool,
    /// Only intents of this loop; repeatable
    #[arg(long = "loop", value_name = "ID")]
    loops: Vec<String>,
    /// Only this intent; repeatable
    #[arg(long = "intent-id", value_name = "ID")]
    intents: Vec<String>,
    /// Who asks [default: $USER, else unknown]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Look for each effect for this long, 0 for once [default: 30]
    #[arg(long, value_name = "N")]
    timeout_seconds: Option<String>,
    /// Pause between two looks [default: 2]
    #[arg(long, value_name = "N")]
    interval_seconds: Option<String>,
    /// Do not look for effects
    #[arg(long)]
    no_runtime_confirm: bool,
    /// Exit 1 if a target did not end well (partial), or none did (failed)
    #[arg(long, value_name = "WHEN")]
    fail_on: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for FleetHandoff {
    const NAME: &'static str = "ops-manager-fleet-handoff";
    const SUMMARY: &'static str = "Plan control intents for a fleet, and execute them on request";
    const ABOUT: &'static str = "Map the candidates of the policy state to control intents, one \
        per candidate, and execute them on request: with a person's explicit confirmation, or \
        autonomously where policy found them eligible.";
    const DETAILS: &'static str = "\
Without --execute or --autonomous-execute nothing is executed. Before each
autonomous dispatch the registry is read again: a kill switch, a pause, a
freeze, a smaller cap or a lapsed review holds the rest back, and what is held
back is listed in execution.withheld.

Every dispatch is journaled before and after. If this process dies in between,
the next handoff records what became of it; nothing is repeated. An intent that
ended ambiguous or failed is executed only by a person until that is resolved.
The first TERM or INT lets the target that runs end; the second one ends it.

Hooks, each an executable that replaces a stage:
  OPS_MANAGER_FLEET_REGISTRY_SCRIPT, OPS_MANAGER_CONTROL_SCRIPT; inside the
  built-in control those of ops-manager-control

Files, under <fleet> = .superloop/ops-manager/fleet/: handoff-state.json (also
printed), a row or two in telemetry/handoff.jsonl, two rows per dispatch in
handoff-dispatch.jsonl. Control's own rows are those of ops-manager-control.

Examples:
  ops-manager-fleet-handoff --repo . --pretty
  ops-manager-fleet-handoff --repo . --execute --confirm \\
    --intent-id nightly:health_critical:cancel --by dana --note incident-7
  ops-manager-fleet-handoff --repo . --autonomous-execute --fail-on partial

Exit codes: 0 done, whatever the outcomes; 1 refused (error: line on stderr),
or --fail-on applies; 129, 130 or 143 after a signal, if targets were left.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let (handoff, fail_on) = self.prepare()?;
        let stop = match handoff.action {
            // A plan has nothing to finish.
            Action::Plan => StopRequest::default(),
            Action::Execute(_) => StopRequest::listen()?,
        };
        let stopped = || stop.is_made();
        let state = run(&handoff, &SystemClock::default(), &stopped, &mut tell);
        let state = state.map_err(refused)?;
        print_document(out, &state, self.pretty)?;
        Ok(exit_code(&state, &handoff.action, fail_on, &stop))
    }
}

/// A registry stage has said itself what is wrong.
pub(crate) fn refused(error: HandoffError) -> CliError {
    match error {
        HandoffError::Registry(failure) => CliError::verbatim(failure.text, failure.exit_code),
        other => CliError::from(other),
    }
}

/// What a registry hook says passes through.
pub(crate) fn tell(progress: Progress<'_>) {
    if let Progress::RegistrySaid(text) = progress {
        // Nobody is left to tell if stderr is gone too.
        let _ = write!(std::io::stderr(), "{text}");
    }
}

fn exit_code(
    state: &HandoffState,
    action: &Action,
    fail_on: Option<FailOn>,
    stop: &StopRequest,
) -> u8 {
    // A plan shows the execution before it.
    let (Action::Execute(_), Some(execution)) = (action, &state.execution) else {
        return 0;
    };
    let left = execution.get("notAttempted").is_some();
    if let Some(code) = stop.exit_code().filter(|_| left) {
        return code;
    }
    let count = |name| {
        let count = Lookup::new(execution).raw(name).ok().flatten();
        count.and_then(json::digits).unwrap_or(0)
    };
    let fails =
        |fail_on: FailOn| fail_on.applies(count("executedIntentCount"), count("executedCount"));
    u8::from(fail_on.is_some_and(fails))
}

impl FleetHandoff {
    /// The plan of `repo` with all files in their places.
    pub fn of(repo: impl Into<String>) -> Self {
        Self {
            repo: Some(repo.into()),
            ..Self::default()
        }
    }

    /// Checks in the order of §2.2.
    fn prepare(&self) -> Result<(Handoff, Option<FailOn>), CliError> {
        let repo = required("--repo", self.repo.as_ref())?;
        let prefix = self.idempotency_prefix.as_deref().unwrap_or(PREFIX);
        if prefix.is_empty() {
            return Err(CliError::new("--idempotency-prefix must be non-empty"));
        }
        let timeout_seconds = seconds(self.timeout_seconds.as_ref(), TIMEOUT)?;
        let interval_seconds = seconds(self.interval_seconds.as_ref(), INTERVAL)?;
        let action = self.action()?;
        let fail_on = self.fail_on.as_deref().map(|text| {
            let parsed = FailOn::parse(text);
            parsed.ok_or_else(|| CliError::new("--fail-on must be partial or failed"))
        });
        let fail_on = fail_on.transpose()?;
        let layout = RepoLayout::new(resolve_repo(repo)?);
        let control = ControlStage {
            confirm: !self.no_runtime_confirm,
            timeout_seconds,
            interval_seconds,
            ..control_stage()
        };
        let handoff = self.about(layout, action, prefix, control);
        Ok((handoff, fail_on))
    }

    /// A handoff with the same files, of this repository, with everything else
    /// as it is without flags.
    pub(crate) fn about_repo(&self, layout: RepoLayout, action: Action) -> Handoff {
        self.about(layout, action, PREFIX, control_stage())
    }

    fn about(
        &self,
        layout: RepoLayout,
        action: Action,
        prefix: &str,
        control: ControlStage,
    ) -> Handoff {
        Handoff {
            registry: RegistryStage::new(layout.repo(), given(self.registry_file.as_ref())),
            files: self.files(&layout),
            trace_id: given(self.trace_id.as_ref()).and_then(TraceId::new),
            fallback_trace_id: args::trace_id(None),
            idempotency_prefix: prefix.to_owned(),
            action,
            control,
            evaluation: None,
            layout,
        }
    }

    fn action(&self) -> Result<Action, CliError> {
        let refused = |message: &str| Err(CliError::new(message));
        if self.execute && self.autonomous_execute {
            return refused("--execute and --autonomous-execute are mutually exclusive");
        }
        if self.confirm && !self.execute {
            return refused("--confirm can only be used with --execute");
        }
        if self.execute && !self.confirm {
            return refused(
                "--execute requires --confirm to enforce explicit operator confirmation",
            );
        }
        if self.loops.iter().any(String::is_empty) {
            return refused("--loop requires a non-empty value");
        }
        if self.intents.iter().any(String::is_empty) {
            return refused("--intent-id requires a non-empty value");
        }
        let mode = match (self.execute, self.autonomous_execute) {
            (true, _) => ExecutionMode::Manual,
            (_, true) => ExecutionMode::Autonomous,
            _ => return Ok(Action::Plan),
        };
        // An empty name is kept if somebody gave it (common rules).
        let by = self.by.clone().or_else(|| environment("USER"));
        Ok(Action::Execute(Order {
            mode,
            filters: Filters {
                loops: self.loops.clone(),
                intents: self.intents.clone(),
            },
            requested_by: by.unwrap_or_else(|| "unknown".to_owned()),
            note: given(self.note.as_ref()).map(str::to_owned),
        }))
    }

    fn files(&self, layout: &RepoLayout) -> HandoffFiles {
        let files = layout.fleet_files();
        let file = |flag: Option<&String>, file| {
            given(flag).map_or_else(|| shown(&files.path(file)), str::to_owned)
        };
        HandoffFiles {
            policy_state: file(self.policy_state_file.as_ref(), FleetFile::PolicyState),
            handoff_state: file(self.handoff_state_file.as_ref(), FleetFile::HandoffState),
            handoff_telemetry: file(self.handoff_telemetry_file.as_ref(), FleetFile::HandoffRows),
        }
    }
}

/// Control as it is without flags.
fn control_stage() -> ControlStage {
    ControlStage {
        hook: Hook::from_env(om_handoff::HOOK_VARIABLE),
        confirm: true,
        timeout_seconds: Seconds::from(TIMEOUT),
        interval_seconds: Seconds::from(INTERVAL),
        runtime_timeout_seconds: RUNTIME_TIMEOUT,
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn seconds(flag: Option<&String>, default: u64) -> Result<Seconds, CliError> {
    let Some(text) = flag else {
        return Ok(Seconds::from(default));
    };
    let number = json::digits_text(text)
        .ok_or_else(|| CliError::new("timeout and interval must be non-negative integers"))?;
    Ok(Seconds {
        number,
        text: text.clone(),
    })
}
