//! The command `ops-manager-fleet-status`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::fleet_status::FleetStatus>()
}
