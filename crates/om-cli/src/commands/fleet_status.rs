//! `ops-manager-fleet-status` (chapter 05 §3).

use std::io::Write;
use std::path::Path;

use clap::Args;
use om_fleet::status::{self, FleetStatusError, FleetStatusInputs, LastRow};
use om_model::Artifact;
use om_model::fleet::registry::Registry;
use om_model::fleet::status::{FleetStatusFiles, FleetStatusReport};
use om_registry::Loaded;
use om_store::{FleetFile, ReadError, RepoLayout, View, line_number_of};

use super::fleet_reconcile::load_registry;
use crate::args::{given, required, resolve_repo};
use crate::command::{CommandLine, Logging, now, print_document};
use crate::error::CliError;

/// How many rows are looked through for an execution, and how many when it is
/// not among those.
const EXECUTION_LOOKBACK: [usize; 5] = [1, 4, 16, 64, 256];

/// Arguments of `ops-manager-fleet-status`.
#[derive(Args, Clone, Debug, Default)]
pub struct FleetStatus {
    /// Repository whose .superloop/ tree is read [required]
    #[arg(long, value_name = "DIR")]
    pub(crate) repo: Option<String>,
    /// Fleet registry [default: <fleet>/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_file: Option<String>,
    /// Fleet state [default: <fleet>/state.json]
    #[arg(long, value_name = "FILE")]
    fleet_state_file: Option<String>,
    /// Policy state [default: <fleet>/policy-state.json]
    #[arg(long, value_name = "FILE")]
    policy_state_file: Option<String>,
    /// Reconcile telemetry [default: <fleet>/telemetry/reconcile.jsonl]
    #[arg(long, value_name = "FILE")]
    fleet_telemetry_file: Option<String>,
    /// Handoff state [default: <fleet>/handoff-state.json]
    #[arg(long, value_name = "FILE")]
    handoff_state_file: Option<String>,
    /// Handoff telemetry [default: <fleet>/telemetry/handoff.jsonl]
    #[arg(long, value_name = "FILE")]
    handoff_telemetry_file: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pub(crate) pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for FleetStatus {
    const NAME: &'static str = "ops-manager-fleet-status";
    const SUMMARY: &'static str = "Report everything that is known about the fleet";
    const ABOUT: &'static str = "Everything that is known about the fleet, in one report: what \
        the last fan-out, policy evaluation and handoff found, which loops are exceptions, what \
        keeps autonomy from acting, and where the evidence lies. Reads only.";
    const DETAILS: &'static str = "\
OPS_MANAGER_FLEET_REGISTRY_SCRIPT replaces the registry stage.

Examples:
  ops-manager-fleet-status --repo . --pretty
  ops-manager-fleet-status --repo . | jq .exceptions
  ops-manager-fleet-status --repo . | jq .autonomous.safetyGateDecisions.byPath

Exit codes: 0 reported; 1 the fleet was never reconciled, or a document is
broken (error: line on stderr); a registry hook's own code.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        print_document(out, &self.report()?, self.pretty)?;
        Ok(0)
    }
}

impl FleetStatus {
    /// The report of `repo` with all files in their places.
    pub fn of(repo: impl Into<String>) -> Self {
        Self {
            repo: Some(repo.into()),
            ..Self::default()
        }
    }

    /// Makes the report.
    pub fn report(&self) -> Result<FleetStatusReport, CliError> {
        Ok(self.seen()?.report)
    }

    /// Makes the report, and keeps what else a page shows.
    pub(crate) fn seen(&self) -> Result<Seen, CliError> {
        let layout = RepoLayout::new(resolve_repo(required("--repo", self.repo.as_ref())?)?);
        let files = self.files(&layout);
        let view = View::open(layout.fleet_scope_dir())?;
        check_fleet_state(&view, &files)?;
        let loaded = load_registry(layout.repo(), self.registry_file.as_ref())?;
        let gather = Gather {
            repo_path: layout.repo().display().to_string(),
            files,
            loaded,
        };
        // Files that belong together, even while others commit.
        let mut inputs = view.consistent(|view| gather.inputs(view))?;
        let now = now();
        let report = match status::evaluate(&inputs, now) {
            Ok(report) if report.warnings.is_empty() => report,
            // A message about a row is worth a scan for its line.
            Ok(_) | Err(FleetStatusError::Row { .. }) => {
                inputs = with_lines(inputs);
                status::evaluate(&inputs, now)?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Seen {
            report,
            handoff: inputs.handoff,
            registry: gather.loaded.registry,
        })
    }

    fn files(&self, layout: &RepoLayout) -> FleetStatusFiles {
        let files = layout.fleet_files();
        let at = |flag: &Option<String>, file| {
            let default = || files.path(file).display().to_string();
            given(flag.as_ref()).map_or_else(default, str::to_owned)
        };
        FleetStatusFiles {
            registry_file: at(&self.registry_file, FleetFile::Registry),
            fleet_state_file: at(&self.fleet_state_file, FleetFile::State),
            policy_state_file: at(&self.policy_state_file, FleetFile::PolicyState),
            fleet_telemetry_file: at(&self.fleet_telemetry_file, FleetFile::ReconcileRows),
            handoff_state_file: at(&self.handoff_state_file, FleetFile::HandoffState),
            handoff_telemetry_file: at(&self.handoff_telemetry_file, FleetFile::HandoffRows),
        }
    }
}

/// What a page shows.
pub(crate) struct Seen {
    /// The report.
    pub(crate) report: FleetStatusReport,
    /// The handoff state, which has the intents.
    pub(crate) handoff: Artifact,
    /// The registry as it is now; policy may have seen another one.
    pub(crate) registry: Registry,
}

/// A missing fleet state is told before the registry is looked at.
fn check_fleet_state(view: &View, files: &FleetStatusFiles) -> Result<(), CliError> {
    let path = Path::new(&files.fleet_state_file);
    // A first state may be recorded and not yet be a file.
    if path.is_file() || view.bytes(path)?.is_some() {
        return Ok(());
    }
    Err(FleetStatusError::NoFleetState(files.fleet_state_file.clone()).into())
}

/// Everything that one report is read from.
struct Gather {
    repo_path: String,
    files: FleetStatusFiles,
    loaded: Loaded,
}

impl Gather {
    fn inputs(&self, view: &View) -> Result<FleetStatusInputs, ReadError> {
        let files = &self.files;
        let document = |path: &str| view.artifact(Path::new(path));
        let row = |path: &str| -> Result<Option<LastRow>, ReadError> {
            Ok(view.last_row(Path::new(path))?.map(LastRow::new))
        };
        Ok(FleetStatusInputs {
            repo_path: self.repo_path.clone(),
            files: files.clone(),
            registry_fleet_id: self.loaded.document.get("fleetId").cloned(),
            review_lapsed: self.loaded.review_lapsed.clone(),
            fleet: document(&files.fleet_state_file)?,
            policy: document(&files.policy_state_file)?,
            handoff: document(&files.handoff_state_file)?,
            fleet_row: row(&files.fleet_telemetry_file)?,
            handoff_row: row(&files.handoff_telemetry_file)?,
            execution_row: execution_row(view, &files.handoff_telemetry_file)?,
        })
    }
}

/// The last row of an execution, if it is among the last ones: there are as
/// many rows of plans behind it as there were evaluations with nothing to do.
fn execution_row(view: &View, path: &str) -> Result<Option<LastRow>, ReadError> {
    for count in EXECUTION_LOOKBACK {
        let rows = view.last_rows(Path::new(path), count)?;
        let is_all = rows.len() < count;
        let mut rows = rows.into_iter().rev();
        let found = rows.find(|row| status::is_of_execution(&row.bytes));
        if found.is_some() || is_all {
            return Ok(found.map(LastRow::new));
        }
    }
    Ok(None)
}

/// The same inputs with the line numbers of the last rows.
fn with_lines(mut inputs: FleetStatusInputs) -> FleetStatusInputs {
    let files = &inputs.files;
    for (path, row) in [
        (&files.fleet_telemetry_file, &mut inputs.fleet_row),
        (&files.handoff_telemetry_file, &mut inputs.handoff_row),
        (&files.handoff_telemetry_file, &mut inputs.execution_row),
    ] {
        if let Some(last) = row {
            last.line = line_number_of(Path::new(path), last.row.offset).ok();
        }
    }
    inputs
}
