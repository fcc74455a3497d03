//! `ops-manager-fleet-policy` (chapter 06 §1).

use std::io::{self, Write};

use clap::Args;
use om_model::TraceId;
use om_policy::{PolicyError, PolicyEvaluation, PolicyPaths, PolicyRequest};
use om_registry::RegistryStage;
use om_store::{FleetFile, RepoLayout};

use crate::args::{self, given, required, resolve_repo};
use crate::command::{CommandLine, Logging, now, print_document};
use crate::error::CliError;

/// Arguments of `ops-manager-fleet-policy`.
#[derive(Args, Clone, Debug, Default)]
pub struct FleetPolicy {
    /// Repository whose .superloop/ tree is read and written [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Fleet registry [default: <fleet>/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_file: Option<String>,
    /// Fleet state to judge [default: <fleet>/state.json]
    #[arg(long, value_name = "FILE")]
    fleet_state_file: Option<String>,
    /// Policy state, read and replaced [default: <fleet>/policy-state.json]
    #[arg(long, value_name = "FILE")]
    policy_state_file: Option<String>,
    /// Changes of the policy are appended here
    /// [default: <fleet>/telemetry/policy-governance.jsonl]
    #[arg(long, value_name = "FILE")]
    governance_audit_file: Option<String>,
    /// Earlier executions, which may pause autonomy
    /// [default: <fleet>/telemetry/handoff.jsonl]
    #[arg(long, value_name = "FILE")]
    handoff_telemetry_file: Option<String>,
    /// A row per run is appended here [default: <fleet>/telemetry/policy.jsonl]
    #[arg(long, value_name = "FILE")]
    policy_telemetry_file: Option<String>,
    /// A row per candidate is appended here
    /// [default: <fleet>/telemetry/policy-history.jsonl]
    #[arg(long, value_name = "FILE")]
    policy_history_file: Option<String>,
    /// Show a candidate once in this time, 0 for always [default: the registry's]
    #[arg(long, value_name = "N")]
    dedupe_window_seconds: Option<String>,
    /// Trace id to record [default: the fleet state's, else
    /// $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    pub(crate) trace_id: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for FleetPolicy {
    const NAME: &'static str = "ops-manager-fleet-policy";
    const SUMMARY: &'static str = "Judge the fleet: what to act on, and what may run by itself";
    const ABOUT: &'static str = "Turn what the last fan-out found into candidates for action, \
        each with its reasons: what is suppressed, what a person has to confirm, and what the \
        manager may do by itself.";
    const DETAILS: &'static str = "\
Nothing is executed: that is ops-manager-fleet-handoff's part. A candidate that
was shown a moment ago is suppressed until the dedupe window is over. In mode
guarded_auto a candidate is eligible if every gate is open (mode, governance
review, suppression, allow lists, thresholds, divergence, freeze, scope, canary,
pauses) and no rail holds it back (kill switch, cooldown, caps); its
autonomous.reasons name what does not.

Hook, an executable that replaces the registry stage:
  OPS_MANAGER_FLEET_REGISTRY_SCRIPT

Files, under <fleet> = .superloop/ops-manager/fleet/: policy-state.json (also
printed), telemetry/policy.jsonl, policy-history.jsonl and, where the policy has
changed, policy-governance.jsonl; all in one commit.

Examples:
  ops-manager-fleet-policy --repo . --pretty
  ops-manager-fleet-policy --repo . --dedupe-window-seconds 0
  ops-manager-fleet-policy --repo . | jq '.candidates[] | {candidateId, rank, suppressed}'

Exit codes: 0 judged, whatever there is to do; 1 a flag or file is invalid
(error: line on stderr, nothing written); a registry hook's own code.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let evaluation = self.evaluate()?;
        print_document(out, &evaluation.state, self.pretty)?;
        Ok(0)
    }
}

impl FleetPolicy {
    /// The evaluation of `repo` with all files in their places.
    pub fn of(repo: impl Into<String>) -> Self {
        Self {
            repo: Some(repo.into()),
            ..Self::default()
        }
    }

    /// Judges the fleet and records the result.
    pub fn evaluate(&self) -> Result<PolicyEvaluation, CliError> {
        let repo = resolve_repo(required("--repo", self.repo.as_ref())?)?;
        let request = self.request(RepoLayout::new(repo));
        let mut pass_through = |text: &str| {
            // Nobody is left to tell if stderr is gone.
            let _ = io::stderr().write_all(text.as_bytes());
        };
        om_policy::run(&request, &now, &mut pass_through).map_err(|error| match error {
            PolicyError::Registry(failure) => CliError::verbatim(failure.text, failure.exit_code),
            other => other.into(),
        })
    }

    fn request(&self, layout: RepoLayout) -> PolicyRequest {
        let registry = RegistryStage::new(layout.repo(), given(self.registry_file.as_ref()));
        PolicyRequest {
            paths: self.paths(&layout, registry.file.clone()),
            registry,
            dedupe_window_seconds: self.dedupe_window_seconds.clone(),
            trace_id: given(self.trace_id.as_ref()).and_then(TraceId::new),
            fallback_trace_id: args::trace_id(None),
            layout,
        }
    }

    fn paths(&self, layout: &RepoLayout, registry: String) -> PolicyPaths {
        let files = layout.fleet_files();
        let at = |flag: &Option<String>, file| {
            let default = || files.path(file).display().to_string();
            given(flag.as_ref()).map_or_else(default, str::to_owned)
        };
        PolicyPaths {
            registry,
            fleet_state: at(&self.fleet_state_file, FleetFile::State),
            policy_state: at(&self.policy_state_file, FleetFile::PolicyState),
            governance_audit: at(&self.governance_audit_file, FleetFile::PolicyGovernance),
            handoff_telemetry: at(&self.handoff_telemetry_file, FleetFile::HandoffRows),
            policy_telemetry: at(&self.policy_telemetry_file, FleetFile::PolicyRows),
            policy_history: at(&self.policy_history_file, FleetFile::PolicyHistory),
        }
    }
}
