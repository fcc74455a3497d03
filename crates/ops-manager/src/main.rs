//! `ops-manager`: every command as a subcommand.
//!
//! Started under the name of a per-script command (a link to this binary), it
//! behaves as that command.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use om_cli::args::{self, Parsed};
use om_cli::command::{self, CommandLine};
use om_cli::commands::{
    alert_dispatch, alert_sink_config, alerts, confirm_intent, control, demo, drill, fleet,
    fleet_handoff, fleet_policy, fleet_reconcile, fleet_registry, fleet_status, health, heartbeat,
    horizon, horizon_bridge, loop_run_snapshot, poll_events, profile_drift, project_state,
    promotion, promotion_apply, promotion_ci, promotion_controller, promotion_gates,
    promotion_orchestrate, reconcile, service_client, sprite_service, status, telemetry_summary,
    threshold_profile,
};
use om_cli::error::CliError;

/// One subcommand: its name, its command line, and what runs it.
struct Entry {
    name: &'static str,
    describe: fn(&'static str) -> Command,
    run: fn(&ArgMatches) -> Result<u8, CliError>,
    /// `main` of the per-script binary of the same name, if there is one.
    script: Option<fn() -> ExitCode>,
}

/// The subcommand `name`, handled by `C`.
const fn entry<C: CommandLine>(name: &'static str) -> Entry {
    Entry {
        name,
        describe: command::describe::<C>,
        run: |matches| match C::from_arg_matches(matches) {
            Ok(arguments) => command::execute(&arguments),
            Err(error) => Err(CliError::new(error.to_string())),
        },
        script: None,
    }
}

/// A subcommand that also exists as `ops-manager-<name>`.
const fn script<C: CommandLine>(name: &'static str) -> Entry {
    let mut entry = entry::<C>(name);
    entry.script = Some(command::main::<C>);
    entry
}

/// Every subcommand, in the order of `--help`.
const ENTRIES: &[Entry] = &[
    Entry {
        script: Some(command::main::<status::Status>),
        ..entry::<status::StatusPage>("status")
    },
    script::<reconcile::Reconcile>("reconcile"),
    entry::<heartbeat::Heartbeat>("heartbeat"),
    script::<loop_run_snapshot::LoopRunSnapshot>("loop-run-snapshot"),
    script::<poll_events::PollEvents>("poll-events"),
    script::<project_state::ProjectState>("project-state"),
    script::<health::Health>("health"),
    script::<threshold_profile::ThresholdProfile>("threshold-profile"),
    script::<telemetry_summary::TelemetrySummary>("telemetry-summary"),
    script::<profile_drift::ProfileDrift>("profile-drift"),
    script::<service_client::ServiceClientCommand>("service-client"),
    script::<sprite_service::SpriteService>("sprite-service"),
    Entry {
        script: Some(command::main::<control::Control>),
        ..entry::<control::ControlPage>("control")
    },
    script::<confirm_intent::ConfirmIntent>("confirm-intent"),
    script::<alert_sink_config::AlertSinkConfig>("alert-sink-config"),
    script::<alert_dispatch::AlertDispatch>("alert-dispatch"),
    entry::<alerts::Alerts>("alerts"),
    entry::<fleet::Fleet>("fleet"),
    script::<fleet_registry::FleetRegistry>("fleet-registry"),
    script::<fleet_reconcile::FleetReconcile>("fleet-reconcile"),
    script::<fleet_policy::FleetPolicy>("fleet-policy"),
    script::<fleet_status::FleetStatus>("fleet-status"),
    script::<fleet_handoff::FleetHandoff>("fleet-handoff"),
    entry::<promotion::Promotion>("promotion"),
    script::<promotion_gates::PromotionGates>("promotion-gates"),
    script::<promotion_ci::PromotionCi>("promotion-ci"),
    script::<promotion_apply::PromotionApply>("promotion-apply"),
    script::<promotion_orchestrate::PromotionOrchestrate>("promotion-orchestrate"),
    script::<promotion_controller::PromotionController>("promotion-controller"),
    entry::<horizon::Horizon>("horizon"),
    script::<horizon_bridge::HorizonBridge>("horizon-bridge"),
    entry::<drill::Drill>("drill"),
    entry::<demo::Demo>("demo"),
];

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    if let Some(main) = argv.first().and_then(script_named) {
        return main();
    }
    command::finish(dispatch(&argv))
}

/// The per-script command that this process was started as.
fn script_named(argv0: &OsString) -> Option<fn() -> ExitCode> {
    let name = Path::new(argv0).file_name()?.to_str()?;
    let name = name
        .trim_end_matches(".sh")
        .trim_end_matches(".py")
        .strip_prefix("ops-manager-")?;
    ENTRIES.iter().find(|entry| entry.name == name)?.script
}

fn dispatch(argv: &[OsString]) -> Result<u8, CliError> {
    let subcommands = ENTRIES.iter().map(|entry| (entry.describe)(entry.name));
    let mut command = args::contract_rules(
        Command::new("ops-manager")
            .version(env!("CARGO_PKG_VERSION"))
            .before_help("Watches long-running agent loops: sees them, says what is wrong and why.")
            .arg_required_else_help(true)
            .subcommand_required(true)
            .subcommands(subcommands),
    );
    let matches = match command.try_get_matches_from_mut(argv) {
        Ok(matches) => matches,
        Err(error) => {
            return match args::refused::<()>(&error, &mut command)? {
                Parsed::Print(text) => command::print(&text),
                Parsed::Run(()) => Ok(0),
            };
        }
    };
    let (name, matches) = matches.subcommand().unwrap_or(("", &matches));
    if args::has_stray_terminator(argv, matches) {
        return Err(args::terminator_error(&format!(
            "Usage: ops-manager {name} [OPTIONS]"
        )));
    }
    match ENTRIES.iter().find(|entry| entry.name == name) {
        Some(entry) => (entry.run)(matches),
        None => Err(CliError::new(format!("unknown command: {name}"))),
    }
}
